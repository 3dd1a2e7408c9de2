"""``RESULTS.md``: what was reached, on what. What each case gave last is kept, so that cases can be measured apart."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.case import Measured
from benchmarks.ours import Ours
from benchmarks.peers import PEERS, peer
from benchmarks.task import Contender

__all__ = ["keep", "write"]

_OURS = ("dask-batch", "dask", "distributed", "mlflow", "scikit-learn", "numpy", "pandas", "pyarrow")
_PACKAGES = (*_OURS, "ray", "joblib")


def keep(one: Measured, scale: float, folder: Path) -> None:
    """Keep what a case gave, in place of what it gave before."""
    folder.mkdir(parents=True, exist_ok=True)
    record = {"figures": _figures(one), "section": _section(one, scale)}
    (folder / f"{one.case.name}.json").write_text(json.dumps(record))


def write(names: Sequence[str], folder: Path, path: Path) -> None:
    """Write the report on all of these cases that were measured."""
    kept = [folder / f"{name}.json" for name in names]
    records = [json.loads(one.read_text()) for one in kept if one.exists()]
    figures = [line for record in records for line in record["figures"]]
    sections = [line for record in records for line in record["section"]]
    path.write_text("\n".join([*_head(), *figures, *sections, ""]))


def _head() -> list[str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    memory = psutil.virtual_memory().total / 1e9
    return [
        "# Benchmarks",
        "",
        f"`make bench`, written {datetime.date.today()}. {psutil.cpu_count()} cores ({platform.machine()}), "
        f"{memory:.0f} GB of memory, Python {platform.python_version()}; {versions}.",
        "",
        "Contenders take turns on the same data, in alternating order; the ratio of each round is taken, and the "
        "median and the range over the rounds are given. Files were in the page cache for all. Cold: no process "
        "of ours or of the peer runs; the time goes from the start of the client's Python to the last byte "
        "written. Load: the load average of the machine before each round; where it is far above 0, other work took "
        "part of the cores, and the processor seconds (`cpu_s`, all processes, loading included) say more than the "
        "wall clock.",
        "",
        *_settings(),
        "",
        "## Figures",
        "",
        "| case | what | must be | is (median) | range | reached |",
        "| --- | --- | --- | --- | --- | --- |",
    ]


def _settings() -> list[str]:
    """Return how each contender was set up, a line each."""
    found: list[Contender] = [Ours(), *map(peer, PEERS)]
    return [f"- {contender.name}: {contender.settings}." for contender in found]


def _figures(one: Measured) -> list[str]:
    lines = []
    for figure in one.case.figures:
        values = one.values(figure)
        median = statistics.median(values)
        verdict = {None: "", True: "yes", False: "**no**"}[figure.reached(median)]
        unit = f" {figure.unit}" if figure.unit else ""
        lines.append(
            f"| {one.case.name} | {figure.text} | {figure.bound} | {_number(median)}{unit} "
            f"| {_number(min(values))} – {_number(max(values))} | {verdict} |"
        )
    return lines


def _section(one: Measured, scale: float) -> list[str]:
    loads = ", ".join(f"{load:.1f}" for load in one.loads)
    how = f"{datetime.date.today()}, scale {scale:g} of the figure's size, {len(one.rounds)} rounds, load {loads}."
    lines = ["", f"## {one.case.name}", "", f"{one.case.title}. {how}", *one.case.notes]
    lines += ["", "| contender | seconds (median) | range | also |", "| --- | --- | --- | --- |"]
    for name in one.case.contenders:
        samples = [each[name] for each in one.rounds]
        seconds = [sample.seconds for sample in samples]
        also = ", ".join(
            f"{key} {_number(statistics.median(sample.numbers[key] for sample in samples))}"
            for key in samples[0].numbers
            if all(key in sample.numbers for sample in samples)
        )
        middle, spread = _number(statistics.median(seconds)), f"{_number(min(seconds))} – {_number(max(seconds))}"
        lines.append(f"| {name} | {middle} | {spread} | {also} |")
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

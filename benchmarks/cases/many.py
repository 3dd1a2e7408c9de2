"""Many small things: where a task each is what costs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.case import Case, Figure
from benchmarks.cases.shared import OURS, contenders, faster, thriftier
from benchmarks.data import csv_files, tiny_files
from benchmarks.model import model_folder
from benchmarks.peers import PEERS
from benchmarks.task import Task

__all__ = ["noop_case", "small_csv_case"]

_CSV_FILES = 20_000
_CSV_ROWS = 200
_MINI_BATCHES = 100_000
_SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "noop.py"


def small_csv_case(scale: float) -> Case:
    """A model on csv files of 200 rows."""
    files = max(100, int(_CSV_FILES * scale))
    task = Task(
        kind="table",
        inputs=str(csv_files(files, _CSV_ROWS)),
        model=str(model_folder()),
        output="",
        ending=".csv",
        expected=files * _CSV_ROWS,
    )
    return Case(
        "small-csv",
        f"{files:,} csv files of {_CSV_ROWS} rows × 20, the same model, 2 slots, cold, end to end",
        contenders(task),
        [
            Figure("speed against the bare loop", faster("bare"), at_least=2.5),
            Figure("speed against Ray Data", faster("ray"), at_least=6.0),
            Figure("speed against plain Dask", faster("dask")),
            Figure("speed against joblib", faster("joblib")),
            Figure("processor seconds of the bare loop against ours, loading included", thriftier("bare")),
        ],
    )


def noop_case(scale: float) -> Case:
    """A script that does nothing, one file a mini-batch."""
    files = max(1000, int(_MINI_BATCHES * scale))
    task = Task(
        kind="script",
        inputs=str(tiny_files(files)),
        model=str(_SCRIPT),
        output="",
        ending=".csv",
        expected=files,
    )
    return Case(
        "noop",
        f"{files:,} mini-batches of one file, of a script that does nothing, 2 slots, cold, end to end",
        contenders(task),
        [
            Figure("ms per mini-batch", lambda one: one[OURS].seconds / files * 1e3, at_most=1.0, unit="ms"),
            *(
                Figure(f"the same, {name}", lambda one, name=name: one[name].seconds / files * 1e3, unit="ms")
                for name in PEERS
            ),
        ],
    )

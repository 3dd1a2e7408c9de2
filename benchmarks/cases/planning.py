"""How long, and with how much memory, an input of very many files is listed and planned."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time

from benchmarks.case import Case, Figure
from benchmarks.cases.shared import OURS
from benchmarks.data import tiny_files
from benchmarks.task import Sample, ask

__all__ = ["planning_case"]

_FILES = 1_000_000


def planning_case(scale: float) -> Case:
    """A tenth of the files, and all; a bare walk beside it."""
    few, many = (max(1000, int(_FILES * scale * share)) for share in (0.1, 1.0))
    places = {few: str(tiny_files(few)), many: str(tiny_files(many))}

    def sample(how: str, files: int) -> Sample:
        record = ask([sys.executable, "-m", "benchmarks.cases.planning", how, places[files], str(files)])
        return Sample(record.pop("seconds"), record)

    def seconds(name: str, files: int) -> Figure:
        bounded = name == OURS and files == many
        return Figure(
            f"{files:,} files, {name}",
            lambda one: one[f"{name}, {files:,}"].seconds,
            at_most=60.0 if bounded else None,
            unit="s",
        )

    def peak(files: int) -> Figure:
        return Figure(
            f"{files:,} files: peak memory of the process that plans",
            lambda one: one[f"{OURS}, {files:,}"].numbers["peak_mb"],
            at_most=500.0,
            unit="MB",
        )

    return Case(
        "planning",
        f"{few:,} and {many:,} input files, listed and planned",
        {
            f"{name}, {files:,}": lambda name=name, files=files: sample(name, files)
            for files in (few, many)
            for name in (OURS, "os.walk")
        },
        [
            *(seconds(name, files) for files in (few, many) for name in (OURS, "os.walk")),
            *(peak(files) for files in (few, many)),
        ],
    )


def main() -> None:
    """List and plan the files below a folder; print what it took."""
    how, place, files = sys.argv[1], sys.argv[2], int(sys.argv[3])
    begun = time.perf_counter()
    numbers = _plan(place, files) if how == OURS else _walk(place, files)
    seconds = time.perf_counter() - begun
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, **numbers}))


def _plan(place: str, files: int) -> dict[str, float]:
    from dask_batch.jobfolder.folder import JobFolder
    from dask_batch.planning.build import build_plan
    from dask_batch.planning.listing import list_inputs
    from dask_batch.storage import Storage

    begun = time.perf_counter()
    found = list_inputs([place])
    listed = time.perf_counter()
    plan = build_plan(found, input_format="files", mini_batch_size=10)
    planned = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        plan.write(JobFolder(Storage(folder), "job"))
    assert len(plan) == files, f"{len(plan)} files in the plan, {files} on disk"
    return {"list_s": listed - begun, "build_s": planned - listed, "write_s": time.perf_counter() - planned}


def _walk(place: str, files: int) -> dict[str, float]:
    """Walk and look at each file, keeping what a plan has to keep."""
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            path = os.path.join(folder, name)
            stat = os.stat(path)
            found.append((path, stat.st_size, stat.st_mtime_ns))
    found.sort()
    assert len(found) == files, f"{len(found)} files found, {files} on disk"
    return {}


if __name__ == "__main__":
    main()

"""Putting outputs together, as the number of parts grows, and what one look at a job costs."""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.case import Case, Figure, Round
from benchmarks.cases.staged import peak_mb, scored, staged_job
from benchmarks.task import Sample, ask, cpu_s
from dask_batch.host.deciding import decide
from dask_batch.jobfolder.chunks import Chunk
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, Ledger
from dask_batch.jobs.reading import read_job_status
from dask_batch.outputs.finalize import finalize

__all__ = ["finalizing_case", "polling_case"]

_PARTS = (100, 1_000, 10_000)
_ROWS = 1_000
_ENTRIES_A_FILE = 10
_LOOKS = 20


def finalizing_case(scale: float) -> Case:
    """Parts of a thousand rows become one csv file, or a parquet dataset."""
    sizes = [max(10, int(count * scale)) for count in _PARTS]
    kinds = [(ending, count) for ending in ("csv", "parquet") for count in sizes]
    return Case(
        "finalizing",
        f"parts of {_ROWS:,} rows (a float and where it came from) become the output, in one process",
        {f"{count:,} parts to {ending}": _measured(ending, count) for ending, count in kinds},
        [
            *(_ms_per_part(ending, count) for ending, count in kinds),
            *(_peak(ending, sizes[-1]) for ending in ("csv", "parquet")),
        ],
    )


def polling_case(scale: float) -> Case:
    """What ``job.status`` reads: of a live job, and of one that has ended."""
    counts = [max(10, int(count * scale)) for count in _PARTS]
    kinds = [(how, count) for how in ("live", "ended") for count in counts]
    return Case(
        "polling",
        "one look at the status of a job, by the chunks in its ledger",
        {f"{how}, {count:,} chunks": _measured(how, count) for how, count in kinds},
        [
            Figure(f"{how}, {count:,} chunks", _looks_of(f"{how}, {count:,} chunks"), unit="ms a look")
            for how, count in kinds
        ],
    )


def _measured(how: str, count: int) -> Callable[[], Sample]:
    def sample() -> Sample:
        record = ask([sys.executable, "-m", "benchmarks.cases.finalizing", how, str(count)])
        return Sample(record.pop("seconds"), record)

    return sample


def _ms_per_part(ending: str, count: int) -> Figure:
    def of(one: Round) -> float:
        return one[f"{count:,} parts to {ending}"].seconds / count * 1e3

    return Figure(f"{count:,} parts to {ending}: time for each", of, unit="ms")


def _peak(ending: str, count: int) -> Figure:
    name = f"{count:,} parts to {ending}"
    return Figure(f"{name}: peak memory", lambda one: one[name].numbers["peak_mb"], unit="MB")


def _looks_of(name: str) -> Callable[[Round], float]:
    return lambda one: one[name].seconds / _LOOKS * 1e3


# -- in a process of its own -------------------------------------------------------------------------------------------


def _finalize(root: Path, ending: str, count: int) -> dict[str, float]:
    folder = _committed(root, count, with_parts=True, output_file_name=f"predictions.{ending}")
    decision = decide(folder, 1, 1, "Completed", None, count)
    begun, used = time.perf_counter(), cpu_s()
    summary = finalize(folder, decision)
    seconds = time.perf_counter() - begun
    if summary["rows"] != count * _ROWS:
        raise SystemExit(f"{summary['rows']} rows of {count * _ROWS}")
    return {"seconds": seconds, "cpu_s": cpu_s() - used, "peak_mb": peak_mb()}


def _look(root: Path, how: str, count: int) -> dict[str, float]:
    folder = _committed(root, count, with_parts=False)
    if how == "ended":
        decide(folder, 1, 1, "Failed", {"type": "Error", "message": "ended"})
    begun = time.perf_counter()
    for _ in range(_LOOKS):
        read_job_status(folder, None)
    return {"seconds": time.perf_counter() - begun}


def _committed(root: Path, count: int, *, with_parts: bool, **settings: str) -> JobFolder:
    """Return a job whose mini-batches are all in the ledger."""
    folder, _ = staged_job(root, count, **settings)
    ledger = Ledger(folder, 1)
    ledger.adopt()
    entries: list[Entry] = []
    for n in range(count):
        attempt = secrets.token_hex(8)
        part = f"parts/{attempt}.arrow" if with_parts else None
        if part:
            folder.storage.put(folder.path(part), _part(n))
        report = {name: [n if name == "mini_batch" else 1] for name in _REPORT}
        folder.storage.put_json(folder.path(f"reports/{attempt}.json"), {"mini_batches": report, "files": []})
        entries.append(scored(Chunk(n, n + 1), _ROWS, part=part, report=f"reports/{attempt}.json", instance="staged"))
    for n in range(0, count, _ENTRIES_A_FILE):
        ledger.append(entries[n : n + _ENTRIES_A_FILE])
    return folder


_REPORT = ("mini_batch", "items", "rows", "failed", "attempts", "seconds")


def _part(n: int) -> bytes:
    rows = pa.table(
        {
            "prediction": np.random.default_rng(n).standard_normal(_ROWS),
            "__split": pa.array([n] * _ROWS, pa.int32()),
            "__row": pa.array(range(_ROWS), pa.int64()),
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue().to_pybytes())


def main() -> None:
    """Do what the command line says; print what it took."""
    how, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        do = _look if how in ("live", "ended") else _finalize
        record = do(Path(folder), how, count)
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""The work itself, the same for every peer that goes file by file: load once per process, then read, predict, write."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.task import Task

__all__ = ["ONE_THREAD", "load", "pieces", "read", "score", "written_rows"]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables that give numerical libraries one thread a process."""

Piece = tuple[str, str, str, str, str]
"""Kind, model, file, where to write, and the ending: what `score` takes."""


def pieces(task: Task, inputs: str | None = None) -> list[Piece]:
    """Return a task's work, a piece per file, in order; or the same for other inputs, writing nothing."""
    files = _files(inputs or task.inputs)
    place = os.devnull if inputs else task.output
    return [
        (task.kind, task.model, path, place if inputs else f"{place}/{n:07d}{task.ending}", task.ending)
        for n, path in enumerate(files)
    ]


@lru_cache(maxsize=1)
def load(kind: str, model: str) -> Callable[[Any], Any]:
    """Return what predicts: the model's ``predict`` or the script's ``run``; loaded once in each process."""
    if kind == "script":
        import runpy

        names = runpy.run_path(model)
        names["init"]()
        run: Callable[[Any], Any] = names["run"]
        return run
    import mlflow.pyfunc
    import pyarrow as pa

    pa.set_cpu_count(1)
    predict: Callable[[Any], Any] = mlflow.pyfunc.load_model(model).predict
    return predict


def read(path: str) -> pd.DataFrame:
    """Return the rows of a csv or parquet file."""
    return pd.read_parquet(path) if path.endswith(".parquet") else pd.read_csv(path)


def score(piece: Piece) -> int:
    """Read, predict and write one file (of a script: call ``run`` with it); return the rows (results)."""
    kind, model, path, output, ending = piece
    predict = load(kind, model)
    if kind == "script":
        return len(predict([path]))
    result = pd.DataFrame({"prediction": predict(read(path))})
    if output == os.devnull:
        return 0
    if ending == ".parquet":
        result.to_parquet(output, index=False)
    else:
        result.to_csv(output, index=False)
    return len(result)


def written_rows(output: str) -> int:
    """Return the rows in the files below a folder."""
    import pyarrow.dataset as ds

    counts = {"parquet": 0, "csv": 0}
    for path in _files(output):
        kind = path.rpartition(".")[2]
        counts[kind] += ds.dataset(path, format=kind).count_rows()
    return sum(counts.values())


def _files(place: str) -> list[str]:
    if Path(place).is_file():
        return [place]
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names)

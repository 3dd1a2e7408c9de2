"""A model on parquet: predicting is all, so that an engine can only lose."""

from __future__ import annotations

from benchmarks.case import Case, Figure
from benchmarks.cases.shared import contenders, faster, thriftier
from benchmarks.data import parquet_files
from benchmarks.model import model_folder
from benchmarks.task import Task

__all__ = ["cold_case", "tabular_task", "warm_case"]

_ROWS = 12_000_000
_FILES = 48


def tabular_task(scale: float, warm: bool) -> Task:
    """Return the task: 48 parquet files of 20 doubles a row."""
    rows = max(1000, int(_ROWS * scale) // _FILES) * _FILES
    small = parquet_files(40_000, 4) if warm else None
    return Task(
        kind="table",
        inputs=str(parquet_files(rows, _FILES)),
        model=str(model_folder()),
        output="",
        ending=".parquet",
        warm_inputs=None if small is None else str(small),
        expected=rows,
    )


def warm_case(scale: float) -> Case:
    """Models loaded, processes up."""
    task = tabular_task(scale, warm=True)
    return Case(
        "tabular-warm",
        f"{task.expected:,} rows × 20 doubles, {_FILES} parquet files, 2 slots, warm on both sides",
        contenders(task, ["bare"]),
        [
            Figure("speed against the bare loop", faster("bare"), at_least=0.95),
            Figure("processor seconds of the bare loop against ours, loading included", thriftier("bare")),
        ],
    )


def cold_case(scale: float) -> Case:
    """From nothing to everything written."""
    task = tabular_task(scale, warm=False)
    return Case(
        "tabular-cold",
        f"{task.expected:,} rows × 20 doubles, {_FILES} parquet files, 2 slots, cold, end to end",
        contenders(task),
        [
            Figure("speed against the bare loop", faster("bare"), at_least=0.85),
            Figure("speed against Ray Data", faster("ray"), at_least=2.5),
            Figure("speed against plain Dask", faster("dask")),
            Figure("speed against joblib", faster("joblib")),
            Figure("processor seconds of the bare loop against ours, loading included", thriftier("bare")),
        ],
    )

"""The cases, by name: each a function of the scale that makes the data and returns a `benchmarks.case.Case`."""

from __future__ import annotations

import importlib

from benchmarks.case import Case

__all__ = ["CASES", "case"]

CASES = {
    "tabular-warm": "tabular:warm_case",
    "tabular-cold": "tabular:cold_case",
    "small-csv": "many:small_csv_case",
    "noop": "many:noop_case",
    "startup": "startup:startup_case",
    "large-csv": "large_csv:large_csv_case",
    "planning": "planning:planning_case",
    "recovery": "recovery:recovery_case",
    "chunks": "chunks:chunks_case",
    "busy": "chunks:busy_case",
    "finalizing": "finalizing:finalizing_case",
    "polling": "finalizing:polling_case",
    "queue": "queue:queue_case",
    "slurm": "slurm:slurm_case",
    "slurm-polls": "slurm:polls_case",
}


def case(name: str, scale: float) -> Case:
    """Return the case of that name, its data made."""
    # Imported late: some are also the main module of a process that they measure.
    module, _, function = CASES[name].partition(":")
    made: Case = getattr(importlib.import_module(f"benchmarks.cases.{module}"), function)(scale)
    return made

"""Runs of a job: what each changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.specs.compute import Compute, compute_from_stored
from dask_batch.specs.scoring_settings import ScoringSettings

__all__ = ["current_run", "open_run", "retries_failed", "run_compute", "run_settings"]


def current_run(folder: JobFolder) -> int:
    """Return the number of a job's newest run; 1 before any was opened."""
    return max(folder.runs(), default=1)


def open_run(
    folder: JobFolder,
    number: int,
    who: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    retry: Literal["all", "failed"] = "all",
    compute: Compute | None = None,
) -> bool:
    """Open run `number` of a job; return False if it is open already.

    Parameters
    ----------
    folder : JobFolder
        The job.
    number : int
        The run: 1, or one more than the last.
    who : str
        Who opens it.
    overrides : mapping, optional
        Settings that this run and later ones change.
    retry : str
        ``"all"``: score what no run has scored. ``"failed"``: also score again what failed in earlier runs.
    compute : LocalCompute or SlurmCompute, optional
        The compute as it is defined now, for this run and later ones.
    """
    request = {"run": number, "overrides": dict(overrides or {}), "retry": retry, "by": who, "at": now()}
    if compute is not None:
        request["compute"] = compute.to_stored()
    return folder.open_run(number, request)


def retries_failed(folder: JobFolder, number: int) -> bool:
    """Return whether a run scores failed items of earlier runs again."""
    return bool(folder.run(number).get("retry") == "failed")


def run_compute(folder: JobFolder, number: int, compute: Compute) -> Compute:
    """Return the compute of a job's run, as it was defined when that run was opened.

    Parameters
    ----------
    folder : JobFolder
        The job.
    number : int
        The run.
    compute : LocalCompute or SlurmCompute
        That of the first run.
    """
    for run in range(number, 1, -1):
        if stored := folder.run(run).get("compute"):
            return compute_from_stored(stored)
    return compute


def run_settings(folder: JobFolder, number: int, settings: ScoringSettings) -> ScoringSettings:
    """Return the settings of a job's run.

    Parameters
    ----------
    folder : JobFolder
        The job.
    number : int
        The run.
    settings : ScoringSettings
        Those of the first run; each later run keeps what the runs before it changed.
    """
    for run in range(2, number + 1):
        settings = settings.with_overrides(**folder.run(run).get("overrides", {}))
    return settings

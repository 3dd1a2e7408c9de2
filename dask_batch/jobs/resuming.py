"""Further runs: a job that ended goes on from what is finished, or has its failed items scored again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dask_batch.errors import InvalidDefinition, NotFound, Refused
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.runs import open_run, run_settings
from dask_batch.jobfolder.states import State
from dask_batch.jobs.claiming import take_place
from dask_batch.jobs.launch import ensure_host
from dask_batch.jobs.reading import JobStatus, current_run, read_job_status
from dask_batch.specs.compute import Compute, compute_from_stored
from dask_batch.specs.scoring_settings import override_name

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job

__all__ = ["go_on"]

Retry = Literal["all", "failed"]

# Mini-batches are counted in the plan, and the output place is claimed, for all runs alike.
_FIXED_BY_PLAN = frozenset({"mini_batch_size", "output_action", "output_file_name"})


def go_on(job: Job, overrides: Mapping[str, Any], retry: Retry) -> Job:
    """Open the next run of a job, start a host for it if there is none, and return the job.

    It runs on the job's compute as that is defined now.

    Parameters
    ----------
    job : Job
        One that has ended.
    overrides : mapping
        Settings that this run and later ones change.
    retry : str
        ``"all"``: score what no run has scored. ``"failed"``: also score again what is failed.

    Raises
    ------
    Refused
        It has not ended, there is nothing to score, or it belongs to somebody else.
    InvalidDefinition
        There is no such setting, or not with this value, or it is fixed by the job's plan.
    AlreadyExists
        Another job has taken the output place.
    """
    changes = {override_name(key): value for key, value in overrides.items()}
    run_settings(job.folder, current_run(job.folder), job.definition.settings).with_overrides(**changes)
    if fixed := sorted(set(changes) & _FIXED_BY_PLAN):
        raise InvalidDefinition(f"{', '.join(fixed)} cannot change: the job's plan is made; invoke a new job instead")
    if job.owner != job.context.user:
        raise Refused(
            f"job {job.name!r} belongs to {job.owner!r}: only its owner's host runs it; "
            "let the owner resume it, or invoke a job of your own"
        )
    check = _check_retryable if retry == "failed" else _check_resumable
    check(job.folder, job.host)
    take_place(job.context, job.definition)
    compute = _compute_now(job)
    _open_next_run(job, changes, retry, compute)
    ensure_host(job.context.storage, compute, job.owner)
    job.peek()
    return job


def _check_resumable(folder: JobFolder, host: HostFolder) -> None:
    """Raise Refused unless the job has ended without completing."""
    if _ended(folder, host).state is State.COMPLETED:
        raise Refused(
            f"job {folder.job!r} is completed: there is nothing to resume; see job.results(), and job.retry_failed() "
            "if items failed"
        )


def _check_retryable(folder: JobFolder, host: HostFolder) -> None:
    """Raise Refused unless the job has ended and items of it are failed."""
    status = _ended(folder, host)
    if not status.counts.failed:
        follow = "see job.results()" if status.state is State.COMPLETED else "job.resume() goes on with it"
        raise Refused(f"no item of job {folder.job!r} is failed: there is nothing to retry; {follow}")


def _ended(folder: JobFolder, host: HostFolder) -> JobStatus:
    status = read_job_status(folder, host)
    if not status.terminal:
        raise Refused(f"job {folder.job!r} is {status}: it goes on by itself; job.wait() follows it")
    return status


def _compute_now(job: Job) -> Compute:
    """Return the job's compute as it is defined now; one that was deleted, or never changed, as the job has it."""
    try:
        return compute_from_stored(job.context.catalog.computes.get(job.compute).document)
    except NotFound:
        return job.definition.compute


def _open_next_run(job: Job, overrides: dict[str, Any], retry: Retry, compute: Compute) -> None:
    """Open the next run of a job and put the job into its host's inbox.

    Raises
    ------
    Refused
        Somebody else opened one at the same moment.
    """
    number = current_run(job.folder) + 1
    if not open_run(job.folder, number, job.context.user, overrides, retry=retry, compute=compute):
        raise Refused(f"job {job.name!r} was resumed at the same moment by somebody else; job.wait() follows it")
    job.host.post(job.name)

"""Further runs: a job that ended goes on from what is finished, or has its failed items scored again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from dask_batch.errors import InvalidDefinition, NotFound, Refused
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.runs import current_run, open_run, run_settings
from dask_batch.jobfolder.states import State
from dask_batch.jobs.claiming import take_place
from dask_batch.jobs.launch import ensure_host
from dask_batch.jobs.reading import JobStatus, read_job_status
from dask_batch.jobs.refused import fail_job
from dask_batch.specs.compute import IMPLICIT, Compute, compute_from_stored
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
        One that has ended, or is interrupted.
    overrides : mapping
        Settings that this run and later ones change.
    retry : str
        ``"all"``: score what no run has scored. ``"failed"``: also score again what is failed.

    Raises
    ------
    Refused
        It goes on by itself, there is nothing to score, or it belongs to somebody else.
    NotFound
        Its compute was deleted.
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
    compute = _compute_now(job)
    check = _check_retryable if retry == "failed" else _check_resumable
    check(job.folder, job.host)
    take_place(job.context, job.definition)
    if job.folder.outcome(current_run(job.folder)) is None:
        _give_up(job)
        check(job.folder, job.host)  # a host may have come and decided at this moment
    _open_next_run(job, changes, retry, compute)
    ensure_host(job.context.storage, compute, job.owner)
    job.peek()
    return job


def _check_resumable(folder: JobFolder, host: HostFolder) -> None:
    """Raise Refused unless the job has ended without completing, or is interrupted."""
    if _at_rest(folder, host).state is State.COMPLETED:
        raise Refused(
            f"job {folder.job!r} is completed: there is nothing to resume; see job.results(), and job.retry_failed() "
            "if items failed"
        )


def _check_retryable(folder: JobFolder, host: HostFolder) -> None:
    """Raise Refused unless the job has ended, or is interrupted, and items of it are failed."""
    status = _at_rest(folder, host)
    if not status.counts.failed:
        follow = "see job.results()" if status.state is State.COMPLETED else "job.resume() goes on with it"
        raise Refused(f"no item of job {folder.job!r} is failed: there is nothing to retry; {follow}")


def _at_rest(folder: JobFolder, host: HostFolder) -> JobStatus:
    status = read_job_status(folder, host)
    if not status.terminal and not _is_undecided(folder, status):
        raise Refused(f"job {folder.job!r} is {status}: it goes on by itself; job.wait() follows it")
    return status


def _is_undecided(folder: JobFolder, status: JobStatus) -> bool:
    """Return whether no host works on a job, and none has decided how its run ends."""
    return status.state is State.INTERRUPTED and folder.outcome(current_run(folder)) is None


def _compute_now(job: Job) -> Compute:
    """Return the job's compute as it is defined now. Raises NotFound if it was deleted."""
    try:
        return compute_from_stored(job.context.catalog.computes.get(job.compute).document)
    except NotFound as error:
        if job.compute == IMPLICIT:  # it is there, also where nobody defined it
            return job.definition.compute
        raise NotFound(
            f"job {job.name!r} ran on a compute that is gone: {error}. Create it again; then the job goes on there"
        ) from error


def _give_up(job: Job) -> None:
    """Decide a run that no host works on: the next one takes over what it finished."""
    reason = {
        "type": "Interrupted",
        "message": f"no host of compute {job.compute!r} went on with it, and it was resumed",
        "next": "job.wait() follows the run that goes on",
    }
    fail_job(job.folder, job.host, reason)


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

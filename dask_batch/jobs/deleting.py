"""Deleting a job: it is gone from the first step on, and whatever is left of it can be deleted again."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dask_batch.errors import DaskBatchError, NotFound, Refused
from dask_batch.jobfolder.states import State
from dask_batch.jobs.context import Context
from dask_batch.outputs.claim import release_output
from dask_batch.outputs.target import OWNER

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job

__all__ = ["delete_job", "delete_rest", "half_deleted"]


def delete_job(job: Job) -> None:
    """Delete a job that has ended; see `Job.delete`."""
    if job.folder.definition() is not None:
        _let_go(job)
    delete_rest(job.context, job.name)


def _let_go(job: Job) -> None:
    """Raise Refused unless a job has ended; give up its output place if there are no outputs in it."""
    status = job.peek()
    if not status.terminal:
        raise Refused(f"job {job.name!r} is {status}; cancel() it before delete()")
    if status.state is not State.COMPLETED:
        # A place without outputs is free for others; nothing is lost where that cannot be said.
        with contextlib.suppress(DaskBatchError, OSError):
            release_output(job.definition.output.url, job.name)


def delete_rest(context: Context, name: str) -> None:
    """Delete what there is of a job, complete or not: its folder, and its place in the catalog.

    Raises
    ------
    NotFound
        There is nothing of such a job.
    """
    folder = context.job_folder(name)
    found = context.storage.exists(folder.name)
    # Without it there is no job. Whoever is killed after this leaves nothing that anybody would take for one: a run
    # whose decision is removed already would go again.
    context.storage.remove(folder.path("job.json"))
    context.storage.remove(folder.name)
    try:
        context.catalog.delete_job(name)
    except NotFound:
        if not found:
            raise


def half_deleted(context: Context, name: str) -> bool:
    """Return whether something is left in the folder of a job that was deleted.

    A claim of the output place is not: who invokes writes it before ``job.json``.
    """
    files = context.storage.walk(context.job_folder(name).name)
    left = any(file.rpartition("/")[2] != OWNER for file in files)
    # In this order: all else is written after job.json, so where that is missing now, it was there and was removed.
    return left and context.job_folder(name).definition() is None

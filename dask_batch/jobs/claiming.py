"""Which claims of output places still count: those of jobs that may yet write, or have written, something there."""

from __future__ import annotations

from functools import partial

from dask_batch.errors import NotFound
from dask_batch.jobfolder.runs import current_run
from dask_batch.jobs.context import Context
from dask_batch.outputs.claim import claim_output
from dask_batch.specs.job import JobDefinition

__all__ = ["has_lapsed", "take_place"]


def take_place(context: Context, job: JobDefinition, *, new: bool = False) -> None:
    """Take the output place of a job; nothing happens if it has it already.

    Parameters
    ----------
    context : Context
        The workspace.
    job : JobDefinition
        The job.
    new : bool
        Whether its name was given to it just now.

    Raises
    ------
    AlreadyExists
        The place holds files, or belongs to another job whose claim has not lapsed.
    StorageError
        It cannot be written.
    """
    target = job.output
    lapsed = partial(has_lapsed, context)
    claim_output(target.url, job.name, target.overwrite, root=context.storage.root, lapsed=lapsed, new=new)


def has_lapsed(context: Context, name: str) -> bool:
    """Return whether a job's claim of an output place counts no more, so that another job may take it over.

    A claim lapses when its job

    * never came to exist, or is deleted: neither the catalog knows it nor is there a ``job.json``. One that is known,
      without ``job.json``, is being invoked, or can be completed by a repeat of its invocation;
    * has ended other than completed and nothing was scored. It gives its place up itself, unless whoever does that is
      killed, and claims it again when it is resumed.

    Whatever this says, outputs are written only by the job whose name stands in the place when they are put there.
    """
    folder = context.job_folder(name)
    if folder.definition() is not None:
        decision = folder.decision(current_run(folder))
        return decision is not None and decision["outcome"] != "Completed" and not decision["entries"]
    try:
        context.catalog.get_job(name)
    except NotFound:
        return True
    return False

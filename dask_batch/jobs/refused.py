"""Jobs that no host will run: they fail with the reason, rather than wait for ever."""

from __future__ import annotations

from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.decisions import decision_record
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import entries_of_run, latest_adoption
from dask_batch.jobfolder.runs import current_run
from dask_batch.jobfolder.status import write_event

__all__ = ["fail_job", "fail_waiting_jobs"]


def fail_waiting_jobs(host: HostFolder, message: str) -> None:
    """Decide the jobs in a host's inbox as failed; what they finished before is kept.

    Parameters
    ----------
    host : HostFolder
        The meeting place with the host that cannot be.
    message : str
        Why it cannot be.
    """
    reason = {
        "type": "SubmissionRefused",
        "message": f"the host of compute {host.compute!r} cannot be started: {message}",
        "next": "correct the compute, then job.resume() goes on",
    }
    for job in host.inbox():
        folder = JobFolder(host.storage, job)
        if folder.definition() is not None:
            fail_job(folder, host, reason)


def fail_job(folder: JobFolder, host: HostFolder, reason: dict[str, str]) -> None:
    """Decide a job's newest run as failed, unless it is decided; should a host come up now, it finds that.

    Parameters
    ----------
    folder : JobFolder
        The job.
    host : HostFolder
        The meeting place with the host that would run it.
    reason : dict
        ``type``, ``message`` and ``next``.
    """
    run = current_run(folder)
    entries = entries_of_run(folder, run)
    decision = decision_record(run, "Failed", reason, entries, epoch=latest_adoption(folder), by=host.user)
    if folder.decide(run, decision):
        write_event(folder, "state", finish="Failed", reason=reason["message"])
    host.remove(folder.job)

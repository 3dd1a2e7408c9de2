"""Canceling: a request that the host answers, or, where no host lives, the decision itself."""

from __future__ import annotations

import time
from typing import Any

from dask_batch.errors import Refused, WaitTimeout
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.decisions import canceled_by, decision_record
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import entries_of_run, latest_adoption
from dask_batch.jobfolder.runs import current_run
from dask_batch.jobfolder.status import write_event
from dask_batch.jobs.hosts import call_off_unneeded
from dask_batch.jobs.launch import look

__all__ = ["cancel_job", "canceled_decision"]

_POLL_S = 0.1


def cancel_job(folder: JobFolder, host: HostFolder, who: str, timeout_s: float) -> None:
    """Cancel the current run of a job; when this returns, it is decided as canceled.

    Parameters
    ----------
    folder : JobFolder
        The job.
    host : HostFolder
        The meeting place with its host.
    who : str
        Who cancels.
    timeout_s : float
        How long a living host has to decide.

    Raises
    ------
    Refused
        The run was decided otherwise before: it is too late.
    WaitTimeout
        The host lives and has not decided in time; the request stands.
    """
    run = current_run(folder)
    _check_open(folder, run)
    folder.request_cancel(run, who)
    deadline = time.monotonic() + timeout_s
    while folder.decision(run) is None:
        if not look(host).alive:
            # Nobody is there to answer. Should a host come up now, it competes for the same name.
            if folder.decide(run, canceled_decision(folder, run, who)):
                write_event(folder, "state", finish="Canceled", reason=f"canceled by {who}, no host was alive")
                host.remove(folder.job)
                call_off_unneeded(host)
            continue
        if time.monotonic() > deadline:
            raise WaitTimeout(
                f"job {folder.job!r}: its host has not answered the request to cancel within {timeout_s:g} s; "
                "the request stands, look at status again"
            )
        time.sleep(_POLL_S)
    _check_canceled(folder, run)


def canceled_decision(folder: JobFolder, run: int, who: str) -> dict[str, Any]:
    """Return the decision that a run is canceled, with the entries that count at this moment."""
    entries = entries_of_run(folder, run)
    return decision_record(run, "Canceled", canceled_by(who), entries, epoch=latest_adoption(folder), by=who)


def _check_open(folder: JobFolder, run: int) -> None:
    decision = folder.decision(run)
    if decision is not None:
        raise Refused(f"job {folder.job!r} cannot be canceled: too late, it is decided as {decision['outcome']}")


def _check_canceled(folder: JobFolder, run: int) -> None:
    decision = folder.decision(run) or {}
    if decision.get("outcome") != "Canceled":
        raise Refused(
            f"job {folder.job!r} was not canceled: too late, it was decided as {decision.get('outcome')} "
            "while the request was on its way"
        )

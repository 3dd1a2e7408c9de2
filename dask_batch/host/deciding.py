"""The decision: what a run came to, with the exact entries that count in it."""

from __future__ import annotations

from typing import Any

from dask_batch.errors import DaskBatchError, InternalError
from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.ledger import Entry, check_disjoint, entries_of_run
from dask_batch.outputs.unify import check_parts
from dask_batch.planning.backlog import uncovered

__all__ = ["canceled_by", "decide"]


def canceled_by(request: dict[str, Any]) -> dict[str, Any]:
    """Return the reason of a run that is canceled because of a request."""
    return {"type": "Canceled", "message": f"canceled by {request['by']}"}


def decide(
    folder: JobFolder,
    number: int,
    epoch: int,
    outcome: str,
    reason: dict[str, Any] | None,
    mini_batches: int | None = None,
) -> dict[str, Any]:
    """Write ``final-<n>.json`` unless somebody has, and return the decision that stands.

    Parameters
    ----------
    folder : JobFolder
        The job.
    number, epoch : int
        The run, and the life of the host that decides.
    outcome : str
        ``"Completed"``, ``"Failed"`` or ``"Canceled"``. A run in which nothing succeeded, or whose parts cannot be
        put together, is failed instead of completed.
    reason : dict, optional
        Why it failed.
    mini_batches : int, optional
        How many the plan has, as far as there is one.

    Raises
    ------
    InternalError
        The run is to be completed, and its entries do not cover the plan exactly once.
    """
    # Those of this host; or, if it failed before it adopted, of the last that did.
    entries = entries_of_run(folder, number, epoch)
    counts = sum((entry.counts for entry in entries), Counts())
    if outcome == "Completed":
        _check_coverage(entries, mini_batches or 0)
        reason = _nothing_succeeded(counts) or _not_to_be_united(folder, entries)
        outcome = "Failed" if reason else outcome
        if reason is None and (request := folder.cancel_requested(number)):
            outcome, reason = "Canceled", canceled_by(request)
    decision = {
        "format": 1,
        "run": number,
        "outcome": outcome,
        "reason": reason,
        "counts": counts.to_json(),
        "entries": [entry.to_json() for entry in entries],
        "epoch": epoch,
        "by": "host",
        "at": now(),
    }
    if folder.decide(number, decision):
        return decision
    standing = folder.decision(number)
    return decision if standing is None else standing


def _check_coverage(entries: list[Entry], mini_batches: int) -> None:
    """Make sure of what everything here is for: each item of the plan counts once."""
    check_disjoint(entries)
    if missing := uncovered(mini_batches, (entry.chunk for entry in entries)):
        raise InternalError(f"{missing[0]} is in no entry of the ledger, and the run was taken for finished")


def _nothing_succeeded(counts: Counts) -> dict[str, Any] | None:
    if counts.succeeded or not counts.items:
        return None
    return {
        "type": "NothingSucceeded",
        "message": f"none of {counts.items} items succeeded",
        "next": "see job.errors() for the reason of each",
    }


def _not_to_be_united(folder: JobFolder, entries: list[Entry]) -> dict[str, Any] | None:
    try:
        check_parts(folder, entries)
    except DaskBatchError as error:
        following = "make the script or model return the same columns and types for every mini-batch"
        return {"type": type(error).__name__, "message": str(error), "next": following}
    return None

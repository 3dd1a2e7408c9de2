"""The decision: what a run came to, with the exact entries that count in it."""

from __future__ import annotations

from typing import Any

from dask_batch.errors import DaskBatchError, InternalError
from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.decisions import canceled_by, decision_record
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, check_disjoint, entries_of_run, latest_adoption
from dask_batch.outputs.unify import check_parts
from dask_batch.planning.backlog import uncovered

__all__ = ["decide"]


def decide(
    folder: JobFolder,
    number: int,
    epoch: int,
    outcome: str,
    reason: dict[str, Any] | None,
    mini_batches: int | None = None,
) -> dict[str, Any] | None:
    """Write ``final-<n>.json`` unless somebody has, and return the decision that stands.

    None is returned, and nothing written, if none stands and a host of a higher epoch has adopted the job: the run is
    that host's, with what this one committed before. (Should it adopt only after it was looked for here, this decision
    stands and each of its items counts once; that host then goes on from it.)

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
    if outcome == "Completed":
        outcome, reason = _completed(folder, number, entries, mini_batches or 0)
    if (latest_adoption(folder) or 0) > epoch:
        return folder.decision(number)
    decision = decision_record(number, outcome, reason, entries, epoch=epoch, by="host")
    if folder.decide(number, decision):
        return decision
    standing = folder.decision(number)
    return decision if standing is None else standing


def _completed(
    folder: JobFolder, number: int, entries: list[Entry], mini_batches: int
) -> tuple[str, dict[str, Any] | None]:
    """Return the outcome of a run in which everything was scored, and the reason if it is another than completion."""
    _check_coverage(entries, mini_batches)
    if reason := _nothing_succeeded(entries) or _not_to_be_united(folder, entries):
        return "Failed", reason
    if request := folder.cancel_requested(number):
        return "Canceled", canceled_by(request["by"])
    return "Completed", None


def _check_coverage(entries: list[Entry], mini_batches: int) -> None:
    """Make sure of what everything here is for: each item of the plan counts once."""
    check_disjoint(entries)
    if missing := uncovered(mini_batches, (entry.chunk for entry in entries)):
        raise InternalError(f"{missing[0]} is in no entry of the ledger, and the run was taken for finished")


def _nothing_succeeded(entries: list[Entry]) -> dict[str, Any] | None:
    counts = sum((entry.counts for entry in entries), Counts())
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

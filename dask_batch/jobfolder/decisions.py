"""What ``final-<n>.json`` says: how a run ended, and the exact entries that count in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import now
from dask_batch.jobfolder.ledger import Entry

__all__ = ["canceled_by", "decision_record"]


def decision_record(
    run: int,
    outcome: str,
    reason: dict[str, Any] | None,
    entries: Sequence[Entry],
    *,
    epoch: int | None,
    by: str,
) -> dict[str, Any]:
    """Return the decision of a run, as `JobFolder.decide` takes it.

    Parameters
    ----------
    run : int
        The run.
    outcome : str
        ``"Completed"``, ``"Failed"`` or ``"Canceled"``.
    reason : dict, optional
        Why it did not complete.
    entries : sequence of Entry
        What counts, in the plan's order.
    epoch : int, optional
        The life of the host whose entries these are; None if no host has adopted the job yet.
    by : str
        Who decides: ``"host"``, or the client's user.
    """
    counts = sum((entry.counts for entry in entries), Counts())
    return {
        "format": 1,
        "run": run,
        "outcome": outcome,
        "reason": reason,
        "counts": counts.to_json(),
        "entries": [entry.to_json() for entry in entries],
        "epoch": epoch,
        "by": by,
        "at": now(),
    }


def canceled_by(who: str) -> dict[str, Any]:
    """Return the reason of a run that is canceled because `who` asked for it."""
    return {"type": "Canceled", "message": f"canceled by {who}"}

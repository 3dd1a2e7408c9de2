"""What a coordinator has in hand, and what it adds up: plain state, no I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.ledger import Entry
from dask_batch.jobfolder.plan import Plan
from dask_batch.planning.backlog import Backlog, remaining, uncovered
from dask_batch.planning.cutting import Work
from dask_batch.planning.failed import FailedItems
from dask_batch.planning.sizing import Pace

__all__ = ["Scoreboard"]


class Scoreboard:
    """Work left, work in hand, and entries that are not in the ledger yet.

    Parameters
    ----------
    plan : Plan
        The job's plan.
    entries : list of Entry
        Those that count already.
    run : int
        Which run this is.
    failed : FailedItems, optional
        What failed in earlier runs and is to be scored again in this one.
    """

    def __init__(self, plan: Plan, entries: list[Entry], run: int = 1, failed: FailedItems | None = None) -> None:
        self.plan = plan
        self.failed = failed or FailedItems([], table=False)
        redone = (entry.chunk for entry in entries if entry.redo and entry.run == run)
        again = remaining(self.failed.chunks(lambda mini_batch: len(plan.splits(mini_batch))), redone)
        gaps = uncovered(plan.mini_batches, (entry.chunk for entry in entries))
        self.backlog = Backlog([*map(Work, gaps), *(Work(chunk, redo=True) for chunk in again)])
        # What is to be scored again is not finished, until it is.
        totals = sum((entry.counts for entry in entries), Counts())
        self._bytes_of_one = totals.bytes // max(1, totals.items)
        self.counts = totals - sum(map(self._before, again), Counts())
        self.chunks = len(entries)
        self.mini_batches_done = sum(map(_mini_batches, entries))
        self.slot_seconds = sum(entry.seconds for entry in entries)
        self.pace = Pace()
        self.in_hand: set[Work] = set()
        self.uncommitted: list[Entry] = []
        self.poisoned: dict[int, dict[str, Any]] = {}
        """Splits that kill whoever reads them, with the error record they fail with."""

    @property
    def done(self) -> bool:
        """Whether everything is scored and in the ledger."""
        return not (self.backlog or self.in_hand or self.uncommitted)

    def chunks_left(self) -> int:
        """Return about how many chunks are left, those in hand included."""
        left = self.backlog.left
        per_chunk = self.pace.next_size(left, 1) if left else 1
        return len(self.in_hand) + -(-left // per_chunk)

    def take(self, slots: int) -> Work:
        """Take the next work in hand."""
        work = self.backlog.take(self.pace.next_size(max(1, self.backlog.left), slots))
        self.in_hand.add(work)
        return work

    def drop(self, work: Work) -> None:
        """Put work out of hand."""
        self.in_hand.discard(work)

    def put_back(self, work: list[Work]) -> None:
        """Put work that goes again where it is taken from first."""
        self.backlog.put_back(work)

    def scored(self, entry: Entry, busy_s: float) -> None:
        """Take note of a chunk that is scored; it counts once `committed` is called."""
        self.uncommitted.append(entry)
        if entry.chunk.items is None and not entry.redo:
            self.pace = self.pace.measured(entry.chunk.stop - entry.chunk.first, busy_s)

    def committed(self, entries: list[Entry]) -> None:
        """Add up entries that are in the ledger now."""
        for entry in entries:
            self.counts += entry.counts
            if entry.redo:
                self.counts += self._before(entry.chunk)
            self.mini_batches_done += _mini_batches(entry)
            self.slot_seconds += entry.seconds
        self.chunks += len(entries)
        self.uncommitted = self.uncommitted[len(entries) :]

    def _before(self, chunk: Chunk) -> Counts:
        """Return what the failed items in a chunk count for in the totals of earlier runs, bytes about."""
        counts = self.failed.within(chunk)
        return replace(counts, bytes=counts.items * self._bytes_of_one)


def _mini_batches(entry: Entry) -> int:
    """Return how many mini-batches an entry finishes; of a mini-batch in pieces, the last piece counts."""
    chunk = entry.chunk
    if entry.redo or (chunk.items is not None and chunk.items[1] is not None):
        return 0
    return chunk.stop - chunk.first

"""Items that failed in earlier runs and are to be scored again: as chunks, and what they were counted as. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dask_batch.jobfolder.chunks import Chunk, Counts

__all__ = ["FailedItems"]

Range = tuple[int, int | None]
"""Items lo to hi - 1; hi None: to the end."""


@dataclass(slots=True)
class _Group:
    """What failed of one mini-batch of files, or of one split of a table.

    Parameters
    ----------
    at : set of int
        Items of the mini-batch, or rows of the split.
    rest : int, optional
        The row from which on a split could not be read.
    """

    at: set[int] = field(default_factory=set)
    rest: int | None = None

    def ranges(self) -> list[Range]:
        """Return the failed items, neighbours together."""
        found: list[Range] = []
        for n in sorted(self.at):
            if found and found[-1][1] == n:
                found[-1] = (found[-1][0], n + 1)
            else:
                found.append((n, n + 1))
        if self.rest is not None:
            found.append((self.rest, None))
        return found

    def within(self, items: Range) -> tuple[int, int]:
        """Return how many single items, and how many unreadable rests, lie in a range; a rest lies where it ends."""
        lo, hi = items
        singles = sum(lo <= n and (hi is None or n < hi) for n in self.at)
        return singles, int(self.rest is not None and hi is None)


class FailedItems:
    """What is failed now and can be told apart: rows of tables by their split, files by their mini-batch.

    Parameters
    ----------
    records : iterable of mapping
        Error records, as scoring processes wrote them.
    table : bool
        Whether items are rows of tables.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]], *, table: bool) -> None:
        self._table = table
        self._groups: dict[tuple[int, int | None], _Group] = {}
        for record in records:
            at = record["row"] if table else record["item"]
            if record["split"] is None or (at is None and not table):
                continue  # a script with bisect off, which returned too few results, does not tell which are missing
            key = (int(record["mini_batch"]), int(record["split"]) if table else None)
            group = self._groups.setdefault(key, _Group())
            if at is None:
                group.rest = int(record.get("rows_before") or 0)
            else:
                group.at.add(int(at))

    def __len__(self) -> int:
        return sum(len(group.at) + (group.rest is not None) for group in self._groups.values())

    def chunks(self, items_of: Callable[[int], int]) -> Iterator[Chunk]:
        """Yield chunks that cover each failed item, in order.

        Parameters
        ----------
        items_of : callable
            Returns how many files a mini-batch has. Those that failed as a whole go again as a whole.
        """
        whole: Chunk | None = None
        for (mini_batch, split), group in sorted(self._groups.items(), key=lambda item: _order(item[0])):
            ranges = group.ranges()
            if split is None and ranges == [(0, items_of(mini_batch))]:
                if whole and whole.stop == mini_batch:
                    whole = Chunk(whole.first, mini_batch + 1)
                    continue
                if whole:
                    yield whole
                whole = Chunk(mini_batch, mini_batch + 1)
                continue
            if whole:
                yield whole
                whole = None
            if split is None:
                yield from (Chunk(mini_batch, mini_batch + 1, items) for items in ranges)
            else:
                # A split is read once, however many of its rows failed.
                yield Chunk(mini_batch, mini_batch + 1, (ranges[0][0], ranges[-1][1]), split)
        if whole:
            yield whole

    def rows(self, chunk: Chunk) -> list[Range] | None:
        """Return the rows that a chunk of one split is about, neighbours together; None for other chunks."""
        if chunk.split is None or chunk.items is None:
            return None
        group = self._groups.get((chunk.first, chunk.split), _Group())
        cut = (_cut(rows, chunk.items) for rows in group.ranges())
        return [rows for rows in cut if rows is not None]

    def within(self, chunk: Chunk) -> Counts:
        """Return what the failed items in a chunk were counted as when they failed."""
        singles = rests = 0
        items = chunk.items or (0, None)
        for mini_batch in range(chunk.first, chunk.stop):
            group = self._groups.get((mini_batch, chunk.split))
            if group is not None:
                found = group.within(items)
                singles, rests = singles + found[0], rests + found[1]
        both = singles + rests
        if self._table:
            return Counts(items=both, failed=both, failed_files=rests, rows_in=singles)
        return Counts(items=both, failed=both, failed_files=both)


def _order(key: tuple[int, int | None]) -> tuple[int, int]:
    mini_batch, split = key
    return mini_batch, -1 if split is None else split


def _cut(rows: Range, items: Range) -> Range | None:
    """Return the part of `rows` that lies in `items`."""
    lo = max(rows[0], items[0])
    his = [hi for hi in (rows[1], items[1]) if hi is not None]
    hi = min(his, default=None)
    return None if hi is not None and hi <= lo else (lo, hi)

"""What of a plan is still to be scored: a bounded memory of it, however large the plan. Pure."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dask_batch.jobfolder.chunks import Chunk, Point
from dask_batch.planning.cutting import Work

__all__ = ["Backlog", "remaining", "uncovered"]


def uncovered(mini_batches: int, covered: Iterable[Chunk]) -> list[Chunk]:
    """Return what of a plan no chunk covers, in order, as few chunks as possible.

    Parameters
    ----------
    mini_batches : int
        How many the plan has.
    covered : iterable of Chunk
        In any order; they may overlap. Chunks of failed rows cover nothing that others do not.

    Examples
    --------
    >>> [str(chunk) for chunk in uncovered(9, [Chunk(2, 4), Chunk(6, 7, (0, 5))])]
    ['mini-batches 0 to 1', 'mini-batches 4 to 5', 'mini-batch 6, items 5 to the end', 'mini-batches 7 to 8']
    """
    return remaining([Chunk(0, mini_batches)], covered)


def remaining(wanted: Iterable[Chunk], covered: Iterable[Chunk]) -> list[Chunk]:
    """Return what of the wanted chunks is not covered, in order.

    Parameters
    ----------
    wanted : iterable of Chunk
        Disjoint, in any order.
    covered : iterable of Chunk
        In any order; they may overlap. Rows of a split are covered by chunks of that split only.

    Examples
    --------
    >>> wanted = [Chunk(0, 1, (2, 9), split=0), Chunk(3, 4, (0, 2))]
    >>> [str(chunk) for chunk in remaining(wanted, [Chunk(0, 1, (4, 5), split=0), Chunk(3, 4)])]
    ['mini-batch 0, failed rows of split 0, 2 to 3', 'mini-batch 0, failed rows of split 0, 5 to 8']
    """
    covering = _spans(covered)
    left = [
        chunk
        for split, spans in _spans(wanted).items()
        for begin, end in _without(spans, covering.get(split, []))
        for chunk in Chunk.between(begin, end, split)
    ]
    return sorted(left, key=lambda chunk: (chunk.first, -1 if chunk.split is None else chunk.split, chunk.begin))


_Span = tuple[Point, Point]


def _spans(chunks: Iterable[Chunk]) -> dict[int | None, list[_Span]]:
    """Return where chunks begin and end, sorted, by what they count in: a split's rows, or items of mini-batches."""
    found: dict[int | None, list[_Span]] = {}
    for chunk in chunks:
        found.setdefault(chunk.split, []).append((chunk.begin, chunk.end))
    return {split: sorted(spans) for split, spans in found.items()}


def _without(wanted: list[_Span], covered: list[_Span]) -> Iterator[_Span]:
    """Yield the pieces of the wanted spans that lie in no covered one; both are sorted."""
    first = 0
    for begin, end in wanted:
        while first < len(covered) and covered[first][1] <= begin:
            first += 1
        for n in range(first, len(covered)):
            start, stop = covered[n]
            if start >= end:
                break
            if start > begin:
                yield begin, start
            begin = max(begin, stop)  # noqa: PLW2901 - where what is left of this span begins
        if begin < end:
            yield begin, end


class Backlog:
    """The work of a job that nobody has in hand.

    Parameters
    ----------
    gaps : iterable of Work
        What is to be scored, in order.
    """

    def __init__(self, gaps: Iterable[Work]) -> None:
        self._gaps = deque(gaps)
        self._again: deque[Work] = deque()

    @property
    def left(self) -> int:
        """Mini-batches, or pieces of some, that nobody has in hand."""
        return sum(work.chunk.stop - work.chunk.first for work in itertools.chain(self._gaps, self._again))

    def __bool__(self) -> bool:
        return bool(self._gaps or self._again)

    def take(self, size: int) -> Work:
        """Take the next work: what goes again first, then up to `size` mini-batches of the plan."""
        if self._again:
            return self._again.popleft()
        gap = self._gaps.popleft()
        first, stop = gap.chunk.first, gap.chunk.stop
        if stop - first <= size:
            return gap
        self._gaps.appendleft(replace(gap, chunk=Chunk(first + size, stop)))
        return replace(gap, chunk=Chunk(first, first + size))

    def put_back(self, work: Iterable[Work]) -> None:
        """Put work back that goes again."""
        self._again.extend(work)

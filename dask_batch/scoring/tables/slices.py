"""From blocks to slices: what one prediction gets. Where slices begin depends on the input alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dask_batch.scoring.tables.blocks import Block, Lost, concat_blocks

__all__ = ["Slice", "cut_slices", "only_rows"]


@dataclass(frozen=True)
class Slice:
    """Consecutive items of a mini-batch.

    Parameters
    ----------
    first : int
        The item that the block begins with, counted over all rows of the mini-batch, unreadable ones included.
    block : Block
        The rows.
    """

    first: int
    block: Block


def cut_slices(
    pieces: Iterable[Block | Lost],
    batch_rows: int,
    *,
    coalesce: bool = True,
    items: tuple[int, int | None] | None = None,
    lost: bool = True,
) -> Iterator[Slice | Lost]:
    """Yield the rows of a mini-batch in slices, and the files that are lost.

    Parameters
    ----------
    pieces : iterable of Block or Lost
        What was read of the mini-batch, in order.
    batch_rows : int
        A slice ends at each multiple of this, counted from the start of the mini-batch (with `coalesce`) or of the
        file (without; there a slice also ends with its file).
    coalesce : bool
        Whether a slice may hold rows of several files.
    items : tuple of (int, int or None), optional
        Only items lo to hi - 1.
    lost : bool
        Whether the lost files are told, all of them.
    """
    lo, hi = items or (0, None)
    stop = float("inf") if hi is None else hi
    waiting: list[Block] = []
    begin = position = origin = 0  # of what is waiting; of the next row; from where slices are counted
    file: int | None = None
    for piece in pieces:
        if isinstance(piece, Lost):
            if lost:
                yield piece
            continue
        for block in [piece] if coalesce else _by_file(piece):
            owner = block.spans[0].split["file"] if block.spans else file
            if not coalesce and owner != file:
                yield from _taken(waiting, begin)
                waiting, file, begin, origin = [], owner, position, position
            offset = 0
            while offset < len(block):
                room = batch_rows - (position - origin) % batch_rows
                count = min(room, len(block) - offset)
                first, last = max(lo, position), min(stop, position + count)
                if first < last:
                    if not waiting:
                        begin = first
                    waiting.append(block.slice(offset + first - position, int(offset + last - position)))
                offset += count
                position += count
                if count == room:
                    yield from _taken(waiting, begin)
                    waiting = []
        if position >= stop and not lost:
            break  # nothing that follows is ours
    yield from _taken(waiting, begin)


def only_rows(slices: Iterable[Slice | Lost], rows: Sequence[tuple[int, int | None]]) -> Iterator[Slice | Lost]:
    """Yield what of the slices of one split lies in some ranges of its rows.

    Parameters
    ----------
    slices : iterable of Slice or Lost
        Those of a mini-batch that has one split, so that items are its rows.
    rows : sequence of (int, int or None)
        Rows lo to hi - 1, ascending; hi None: to the end.
    """
    end = rows[-1][1] if rows else 0
    for piece in slices:
        if isinstance(piece, Lost):
            yield piece
            continue
        stop = piece.first + len(piece.block)
        for lo, hi in rows:
            first, last = max(lo, piece.first), stop if hi is None else min(hi, stop)
            if first < last:
                yield Slice(first, piece.block.slice(first - piece.first, last - piece.first))
        if end is not None and stop >= end:
            return  # the rest need not be read


def _taken(waiting: list[Block], begin: int) -> Iterator[Slice]:
    if waiting:
        yield Slice(begin, concat_blocks(waiting))


def _by_file(block: Block) -> Iterator[Block]:
    start = 0
    for span in block.spans:
        yield block.slice(start, start + span.rows)
        start += span.rows

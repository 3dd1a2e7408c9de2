"""Blocks: rows of one or more splits, readable and unreadable ones, in input order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dask_batch.scoring.parts import fit, unite
from dask_batch.scoring.results import or_text
from dask_batch.scoring.tables.faults import RowFault

if TYPE_CHECKING:
    import numpy.typing as npt

    _Ints = npt.NDArray[np.int64]

__all__ = ["Block", "Lost", "Span", "concat_blocks"]


@dataclass(frozen=True)
class Span:
    """Consecutive rows of one split.

    Parameters
    ----------
    split : dict
        The split, as the plan describes it.
    first, rows : int
        Its rows `first` to `first` + `rows` - 1, counted from 0.
    """

    split: dict[str, Any]
    first: int
    rows: int


@dataclass(frozen=True)
class Lost:
    """A file that cannot be read, from row `after` on.

    Parameters
    ----------
    split : dict
        The split that was being read.
    after : int
        Rows of it that were read before.
    error : Exception
        Why.
    """

    split: dict[str, Any]
    after: int
    error: Exception


@dataclass(frozen=True)
class Block:
    """Rows that are read and cast.

    Parameters
    ----------
    table : pyarrow.Table
        The readable rows.
    spans : list of Span
        Where all rows came from, in order.
    faults : list of RowFault
        The unreadable rows, by ascending position.
    model, carried : tuple of str
        Which of the columns the model gets, and which are carried along into the output.
    """

    table: pa.Table
    spans: list[Span]
    faults: list[RowFault] = field(default_factory=list)
    model: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.table.num_rows) + len(self.faults)

    def positions(self) -> _Ints:
        """Return the positions of the readable rows, shape (table.num_rows,)."""
        everything = np.arange(len(self), dtype=np.int64)
        if not self.faults:
            return everything
        return np.delete(everything, [fault.position for fault in self.faults])

    def origins(self) -> tuple[npt.NDArray[np.int32], _Ints]:
        """Return the split and the row within it of all rows, each of shape (len(self),)."""
        counts = [span.rows for span in self.spans]
        splits = np.repeat(np.array([span.split["split"] for span in self.spans], np.int32), counts)
        starts = np.cumsum([0, *counts[:-1]])
        shifts = np.array([span.first for span in self.spans], np.int64) - starts
        return splits, np.arange(len(splits), dtype=np.int64) + np.repeat(shifts, counts)

    def slice(self, lo: int, hi: int) -> Block:
        """Return rows lo to hi - 1; no values are copied."""
        if lo == 0 and hi == len(self):
            return self
        before = sum(fault.position < lo for fault in self.faults)
        inside = [fault for fault in self.faults if lo <= fault.position < hi]
        table = self.table.slice(lo - before, hi - lo - len(inside))
        faults = [RowFault(fault.position - lo, fault.message, fault.values) for fault in inside]
        return Block(table, _cut_spans(self.spans, lo, hi), faults, self.model, self.carried)


def concat_blocks(blocks: Sequence[Block]) -> Block:
    """Return consecutive blocks as one. A carried column that some lack is null there."""
    if len(blocks) == 1:
        return blocks[0]
    spans: list[Span] = []
    faults: list[RowFault] = []
    start = 0
    for block in blocks:
        spans += block.spans
        faults += [RowFault(start + fault.position, fault.message, fault.values) for fault in block.faults]
        start += len(block)
    model = tuple(dict.fromkeys(name for block in blocks for name in block.model))
    carried = tuple(dict.fromkeys(name for block in blocks for name in block.carried))
    return Block(_concat_tables([block.table for block in blocks]), spans, faults, model, carried)


def _cut_spans(spans: list[Span], lo: int, hi: int) -> list[Span]:
    cut = []
    start = 0
    for span in spans:
        first, stop = max(lo, start), min(hi, start + span.rows)
        if first < stop:
            cut.append(Span(span.split, span.first + first - start, stop - first))
        start += span.rows
    return cut


def _concat_tables(tables: list[pa.Table]) -> pa.Table:
    """Columns that have types without a common one (carried from files of several formats) become text."""
    marked = [or_text(table, table.column_names) for table in tables]
    schema = reduce(unite, (table.schema for table in marked))
    return pa.concat_tables([fit(table, schema) for table in marked])

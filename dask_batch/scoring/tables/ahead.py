"""What the reading thread makes of a chunk while the model predicts: rows, ready for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Union

import pyarrow as pa

from dask_batch.scoring.reading import ReadLane
from dask_batch.scoring.records import Verdict
from dask_batch.scoring.scorer import Request
from dask_batch.scoring.tables.blocks import Lost, Span
from dask_batch.scoring.tables.columns import Wanted
from dask_batch.scoring.tables.faults import RowFault
from dask_batch.scoring.tables.readers import read_splits
from dask_batch.scoring.tables.slices import Slice, cut_slices, only_rows

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["End", "Rows", "Work", "read_ahead", "size_of"]


@dataclass(frozen=True)
class Rows:
    """Rows ready for one prediction.

    Parameters
    ----------
    frame : pandas.DataFrame
        What the model gets: the readable rows.
    carried : pyarrow.Table
        Their columns that go into the output.
    items, splits, rows : numpy.ndarray
        Their items in the mini-batch, splits, and rows within the split.
    spans : list of Span
        Where all rows came from.
    faults : list of (RowFault, int, int, int)
        The unreadable rows, each with item, split and row.
    warnings : list of str
        What was cast although it changes the type.
    """

    frame: Any
    carried: pa.Table
    items: npt.NDArray[np.int64]
    splits: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int64]
    spans: list[Span]
    faults: list[tuple[RowFault, int, int, int]]
    warnings: list[str]
    size: int


class End:
    """The end of a mini-batch."""


Work = Union[Rows, Lost, End]


def read_ahead(request: Request, wanted: Wanted, lane: ReadLane) -> Iterator[Work]:
    """Yield what a chunk has, in order: rows ready for the model, lost files, and the end of each mini-batch.

    Parameters
    ----------
    request : Request
        The chunk.
    wanted : Wanted
        Which columns to read, and as what.
    lane : ReadLane
        Where to say what is being read.
    """
    settings = request.settings
    for mini_batch, splits in enumerate(request.mini_batches, request.first):
        if _tells_lost(request):
            yield from (Lost(split, 0, Verdict(split["skip"])) for split in splits if "skip" in split)
        readable = [split for split in splits if "skip" not in split]
        pieces = read_splits(readable, wanted, settings.batch_rows, partial(lane.at, mini_batch))
        slices = cut_slices(
            pieces, settings.batch_rows, coalesce=settings.coalesce, items=request.items, lost=_tells_lost(request)
        )
        for piece in slices if request.only is None else only_rows(slices, request.only):
            yield piece if isinstance(piece, Lost) else _ready(piece, wanted)
        yield End()


def _tells_lost(request: Request) -> bool:
    """Return whether this chunk tells the files that are lost: so each is told once, however mini-batches are divided.

    The piece that begins a mini-batch does. Where failed rows are scored again, each piece tells of its own.
    """
    return request.only is not None or request.items is None or request.items[0] == 0


def _ready(piece: Slice, wanted: Wanted) -> Rows:
    """Turn a slice into what the model gets; done in the reading thread, while the model predicts the one before."""
    block = piece.block
    positions = block.positions()
    splits, rows = block.origins()
    given = block.table.select(list(block.model))
    warnings = [
        f"column {column.name!r} has missing values: its integers became floats"
        for column in given.schema
        if pa.types.is_integer(column.type) and given[column.name].null_count
    ]
    warnings += [
        f"column {column.name!r} has only whole numbers in the sample that types are told from, and others in the "
        "input: its integers became floats beside them"
        for column in given.schema
        if pa.types.is_floating(column.type) and pa.types.is_integer(wanted.types.get(column.name, pa.null()))
    ]
    faults = [
        (fault, piece.first + fault.position, int(splits[fault.position]), int(rows[fault.position]))
        for fault in block.faults
    ]
    return Rows(
        frame=given.to_pandas(use_threads=False, ignore_metadata=True),
        carried=block.table.select(list(block.carried)),
        items=positions + piece.first,
        splits=splits[positions] if faults else splits,
        rows=rows[positions] if faults else rows,
        spans=block.spans,
        faults=faults,
        warnings=warnings,
        size=block.table.nbytes * 2,
    )


def size_of(work: Work) -> int:
    """Return about how many bytes it takes."""
    return work.size if isinstance(work, Rows) else 0

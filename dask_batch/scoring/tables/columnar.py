"""Parquet and Arrow files: read in batches of rows, only the columns that are needed."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from dask_batch.scoring.tables.columns import Chosen, Wanted, distinct
from dask_batch.scoring.tables.faults import Unreadable

__all__ = ["arrow_tables", "parquet_tables"]

_WHOLE_BYTES = 64 << 20


def parquet_tables(
    file: BinaryIO, split: dict[str, Any], wanted: Wanted, batch_rows: int
) -> tuple[Chosen, Iterator[pa.Table]]:
    """Return the columns of a parquet file that are read, and its rows in batches.

    Up to 64 MiB of them (uncompressed) come as one table, so that a corrupt file gives all of its rows or none.
    """
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(_source(file))
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it is not a readable parquet file; is it truncated? {_first_line(error)}") from error
    names = parquet.schema_arrow.names
    chosen = wanted.choose(distinct(names))
    groups = range(parquet.metadata.num_row_groups)
    if split["cut"] == "row_groups":
        groups = groups[split["start"] : split["stop"]]
    size = sum(parquet.metadata.row_group(group).total_byte_size for group in groups)
    if size <= _WHOLE_BYTES:
        return chosen, iter([_whole(parquet, list(groups), chosen)])
    return chosen, _batches(parquet, list(groups), chosen, batch_rows)


def arrow_tables(file: BinaryIO, wanted: Wanted) -> tuple[Chosen, Iterator[pa.Table]]:
    """Return the columns of an Arrow file, Arrow stream or Feather file that are read, and its rows in batches."""
    try:
        reader = pa.ipc.open_file(_source(file))
    except pa.ArrowInvalid:
        return _arrow_stream(file, wanted)
    chosen = wanted.choose(distinct(reader.schema.names))
    batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
    return chosen, _selected(batches, reader.schema, chosen)


def _source(file: BinaryIO) -> Any:
    """Local files are read without Python (and its lock), through the handle whose version was checked."""
    if isinstance(file, io.FileIO):
        with contextlib.suppress(OSError):
            return pa.OSFile(f"/dev/fd/{file.fileno()}")
    return pa.PythonFile(file, "r")


def _whole(parquet: Any, groups: list[int], chosen: Chosen) -> pa.Table:
    try:
        table = parquet.read_row_groups(groups, columns=list(chosen.read), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it cannot be read; is it corrupt? {_first_line(error)}") from error
    return _plain(table, chosen)


def _batches(parquet: Any, groups: list[int], chosen: Chosen, batch_rows: int) -> Iterator[pa.Table]:
    batches = parquet.iter_batches(batch_rows, groups, columns=list(chosen.read), use_threads=False)
    try:
        for batch in batches:
            yield _plain(pa.Table.from_batches([batch]), chosen)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it cannot be read; is it corrupt? {_first_line(error)}") from error


def _arrow_stream(file: BinaryIO, wanted: Wanted) -> tuple[Chosen, Iterator[pa.Table]]:
    file.seek(0)
    if file.read(4) == b"FEA1":
        from pyarrow import feather

        file.seek(0)
        table = feather.read_table(pa.BufferReader(file.read()))
        chosen = wanted.choose(distinct(table.column_names))
        return chosen, iter([_plain(table, chosen)])
    file.seek(0)
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(file, "r"))
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it is not a readable Arrow file; is it truncated? {_first_line(error)}") from error
    chosen = wanted.choose(distinct(reader.schema.names))
    return chosen, _selected(iter(reader), reader.schema, chosen)


def _selected(batches: Iterator[pa.RecordBatch], schema: pa.Schema, chosen: Chosen) -> Iterator[pa.Table]:
    names = distinct(schema.names)
    try:
        for batch in batches:
            yield _plain(pa.Table.from_batches([batch]).rename_columns(names), chosen)
    except (pa.ArrowException, OSError) as error:
        raise Unreadable(f"it cannot be read; is it truncated or corrupt? {_first_line(error)}") from error


def _plain(table: pa.Table, chosen: Chosen) -> pa.Table:
    """Without pandas' metadata, which would turn columns into an index."""
    try:
        return table.select(list(chosen.read)).replace_schema_metadata(None)
    except KeyError as error:
        raise Unreadable(f"it has several columns of one name: {error}.") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

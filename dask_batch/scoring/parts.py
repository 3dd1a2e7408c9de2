"""A part: the rows of one attempt, streamed into an Arrow IPC file, whatever the tables' types turn out to be."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pyarrow as pa

from dask_batch.scoring.arrays import array_of
from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.publish import writing
from dask_batch.scoring.unify import DoesNotFit, fit_column, plain_type, unify_fields

__all__ = ["PartWriter", "fit", "unite"]

_BATCH_BYTES = 8 << 20
_MAX_PENDING = 4096


class PartWriter:
    """Writes tables to one Arrow IPC file of one schema; memory stays near 8 MB.

    Tables may differ: columns are united by name, types by `dask_batch.scoring.unify`. When a table does not fit the
    schema so far, what follows goes to another segment, and `finish` brings all segments to the last schema.

    Parameters
    ----------
    path : str
        The file to make; segments get names beside it.
    origin : callable, optional
        Returns words for where the first row of a table comes from, for messages.
    """

    def __init__(self, path: str, origin: Callable[[pa.Table], str] | None = None) -> None:
        self._path = path
        self._origin = origin
        self._settled: dict[str, pa.Table] = {}  # for each column, a row from where its type comes
        self._segments: list[str] = []
        self._schema: pa.Schema | None = None
        self._writer: pa.RecordBatchFileWriter | None = None
        self._file: pa.OSFile | None = None
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self.rows = 0

    def write(self, table: pa.Table) -> None:
        """Append a table; raises ChunkFailed if it cannot be united with the others, or written."""
        if not table.num_rows:
            return
        table = _plain(table)
        if self._pending and table.schema != self._pending[0].schema:
            self._flush()
        self._pending.append(table)
        self._pending_bytes += table.nbytes
        self.rows += table.num_rows
        if self._pending_bytes >= _BATCH_BYTES or len(self._pending) >= _MAX_PENDING:
            self._flush()

    def finish(self) -> str | None:
        """Return the path of the finished file, or None if there were no rows."""
        self._flush()
        self._close()
        if not self._segments:
            return None
        if len(self._segments) == 1:
            os.replace(self._segments[0], self._path)
        else:
            writing(self._path, self._merge)
        return self._path

    def abort(self) -> None:
        """Remove everything."""
        self._pending.clear()
        self._writer = None
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        for path in (*self._segments, self._path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _flush(self) -> None:
        if not self._pending:
            return
        table = self._pending[0] if len(self._pending) == 1 else pa.concat_tables(self._pending).combine_chunks()
        self._pending, self._pending_bytes = [], 0
        schema = self._united(table)
        writing(self._path, lambda: self._append(table, schema))

    def _united(self, table: pa.Table) -> pa.Schema:
        """Return the schema of what was written and `table` together."""
        before = pa.schema([]) if self._schema is None else self._schema
        schema = unite(before, table.schema, lambda name: self._told(name, table))
        known = {field.name: field.type for field in before}
        changed = [field.name for field in schema if known.get(field.name) != field.type]
        if changed:
            self._settled.update(dict.fromkeys(changed, table.take(array_of([0], pa.int64()))))
        return schema

    def _told(self, name: str, table: pa.Table) -> tuple[str, str]:
        if self._origin is None or name not in self._settled:
            return "some rows", "others"
        return self._origin(self._settled[name]), self._origin(table)

    def _append(self, table: pa.Table, schema: pa.Schema) -> None:
        if self._writer is None or schema != self._schema:
            self._close()
            self._segments.append(f"{self._path}.{len(self._segments)}")
            self._file = pa.OSFile(self._segments[-1], "wb")
            self._writer = pa.ipc.new_file(self._file, schema)
            self._schema = schema
        self._writer.write_table(fit(table, schema))

    def _close(self) -> None:
        if self._writer is not None:
            writing(self._path, self._writer.close)
            self._writer = None
        if self._file is not None:
            writing(self._path, self._file.close)
            self._file = None

    def _merge(self) -> None:
        with pa.OSFile(self._path, "wb") as file, pa.ipc.new_file(file, self._schema) as writer:
            for batch in self._batches():
                writer.write_table(fit(pa.Table.from_batches([batch]), self._schema))
        for path in self._segments:
            os.unlink(path)
        self._segments = []

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for path in self._segments:
            with pa.memory_map(path) as file:
                reader = pa.ipc.open_file(file)
                for n in range(reader.num_record_batches):
                    yield reader.get_batch(n)


def unite(
    first: pa.Schema,
    second: pa.Schema,
    told: Callable[[str], tuple[str, str]] = lambda _: ("some rows", "others"),
) -> pa.Schema:
    """Return the schema that holds both: columns of `first`, then new ones of `second`.

    Parameters
    ----------
    first, second : pyarrow.Schema
        Those of two tables.
    told : callable
        Takes the name of a column; returns words for the rows of either table that have it.

    Raises
    ------
    ChunkFailed
        A column has two types that cannot be united.
    """
    fields = {field.name: field for field in first}
    for field in second:
        known = fields.get(field.name)
        if known is None:
            fields[field.name] = field.with_type(plain_type(field.type))
            continue
        united = unify_fields(known, field)
        if united is None:
            some, others = told(field.name)
            raise ChunkFailed(
                f"output column {field.name!r} is {known.type} in {some} and {plain_type(field.type)} in {others}; a "
                "column has one type in the whole output: return the same type from every call"
            )
        fields[field.name] = united
    return pa.schema(fields.values())


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring a table to a schema that was united from its own; raises ChunkFailed if a value is out of range."""
    if table.schema == schema:
        return table
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(fit_column(table.column(field.name), field.type))
        except DoesNotFit as error:
            raise ChunkFailed(f"output column {field.name!r}: {error}; return the same type from every call") from error
    return pa.table(columns, schema=schema)


def _plain(table: pa.Table) -> pa.Table:
    """Return the table without pandas' metadata, dictionaries and extension types."""
    schema = table.schema
    odd = [
        n
        for n, kind in enumerate(schema.types)
        if pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType)
    ]
    for n in odd:
        kind, column = schema.field(n).type, table.column(n)
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind.storage_type
        table = table.set_column(n, schema.field(n).with_type(plain), column.cast(plain))
    return table.replace_schema_metadata(None) if table.schema.metadata else table

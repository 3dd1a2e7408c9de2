"""The independent pieces of work in finalizing: format some rows, or copy some files. Plain values and functions.

Whoever finalizes runs them in any order, in any process that reaches the storage, each as often as it likes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pt

from dask_batch.errors import InternalError
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.plan import Plan
from dask_batch.outputs.read import Piece, Sources, read_piece
from dask_batch.outputs.render import csv_header, csv_rows, jsonl_rows
from dask_batch.outputs.target import writing
from dask_batch.outputs.unify import plain_type
from dask_batch.storage import Storage, is_local

__all__ = ["CopyTask", "FormatTask", "format_group", "rows_per_file"]

_ROW_GROUP = 131_072
_FILE_BYTES = 128 << 20
_TEXT_BYTES = 64 << 20


@dataclass(frozen=True)
class FormatTask:
    """Some rows that become one file.

    Parameters
    ----------
    root, job : str
        The job whose rows they are.
    format : str
        ``"csv"``, ``"jsonl"`` or ``"parquet"``.
    pieces : tuple
        Where the rows stand (`read.Piece`).
    schema : pyarrow.Schema
        Of the output.
    bases : dict of int to int
        Rows before a split in its file, where there are any.
    header : bool
        Whether a csv file begins with the names of the columns.
    url : str
        The file to write.
    """

    root: str
    job: str
    format: str
    pieces: tuple[Piece, ...]
    schema: pa.Schema
    bases: dict[int, int]
    header: bool
    url: str

    def run(self) -> dict[str, Any]:
        """Write the file and return its ``url`` and how many ``rows`` and ``bytes`` it has."""
        folder = JobFolder(Storage(self.root), self.job)
        with writing(self.url) as file:
            rows = _WRITERS[self.format](file, self._batches(folder), self)
            return {"url": self.url, "rows": rows, "bytes": file.tell()}

    def _batches(self, folder: JobFolder) -> Iterator[pa.RecordBatch]:
        plan = Plan.read(folder)
        if plan is None:
            raise InternalError(f"{folder} has entries but no plan")
        bases = np.zeros(len(plan), np.int64)
        for split, rows in self.bases.items():
            bases[split] = rows
        sources = Sources(plan, bases)
        for piece in self.pieces:
            yield from read_piece(folder, piece, self.schema, sources)


@dataclass(frozen=True)
class CopyTask:
    """Some files that are copied to the output place as they are.

    Parameters
    ----------
    root : str
        The storage that they are in.
    files : tuple of (str, str)
        Name in that storage, and the path or URL to write.
    """

    root: str
    files: tuple[tuple[str, str], ...]

    def run(self) -> dict[str, Any]:
        """Copy the files and return how many ``files`` and ``bytes`` there are."""
        storage = Storage(self.root)
        with ThreadPoolExecutor(4 if is_local(self.files[0][1]) else 16) as pool:
            sizes = list(pool.map(lambda pair: _copy(storage, *pair), self.files))
        return {"files": len(self.files), "bytes": sum(sizes)}


def format_group(task: FormatTask | CopyTask) -> dict[str, Any]:
    """Do one task of finalizing; what it returns is small."""
    return task.run()


def rows_per_file(schema: pa.Schema) -> int:
    """Return how many rows one file of a dataset has: a power of two that makes about 128 MB in memory.

    It depends on the columns alone, so that files are the same however the job was cut into chunks.

    Examples
    --------
    >>> rows_per_file(pa.schema([("prediction", pa.float64()), ("source_row", pa.int64())]))
    4194304
    """
    width = sum(_width(field.type) for field in schema)
    fitting = _FILE_BYTES // max(width, 1)
    return min(max(1 << (fitting.bit_length() - 1), _ROW_GROUP), 1 << 22)


def _width(kind: pa.DataType) -> int:
    try:
        return max(int(kind.bit_width) // 8, 1)
    except ValueError:
        return 32


def _copy(storage: Storage, name: str, url: str) -> int:
    with storage.open_read(name) as source, writing(url) as target:
        shutil.copyfileobj(source, target, 1 << 20)
        return target.tell()


# -- formats -----------------------------------------------------------------------------------------------------------


def _write_csv(file: Any, batches: Iterable[pa.RecordBatch], task: FormatTask) -> int:
    if task.header:
        file.write(csv_header(task.schema))
    return _write_text(file, batches, csv_rows)


def _write_jsonl(file: Any, batches: Iterable[pa.RecordBatch], task: FormatTask) -> int:
    return _write_text(file, batches, jsonl_rows)


def _write_text(file: Any, batches: Iterable[pa.RecordBatch], render: Callable[[pa.RecordBatch], bytes]) -> int:
    """Write the text of the rows; the disk takes one step while the next is rendered."""
    rows = 0
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(int)
        for batch in batches:
            # Wide rows go in smaller steps, so that the text of one step stays small.
            step = max(_TEXT_BYTES * batch.num_rows // max(batch.nbytes, _TEXT_BYTES), 1)
            for lo in range(0, batch.num_rows, step):
                text = render(batch.slice(lo, step))
                written.result()
                written = pool.submit(file.write, text)
            rows += batch.num_rows
        written.result()
    return rows


def _write_parquet(file: Any, batches: Iterable[pa.RecordBatch], task: FormatTask) -> int:
    """Write row groups of a fixed number of rows, without dictionaries, so that batching leaves no trace."""
    schema = pa.schema([(field.name, plain_type(field.type)) for field in task.schema])
    rows, waiting, held = 0, list[pa.RecordBatch](), 0
    with pq.ParquetWriter(file, schema, compression="zstd", **_encodings(schema)) as writer:
        for batch in batches:
            waiting.append(batch)
            held += batch.num_rows
            while held >= _ROW_GROUP:
                table = pa.Table.from_batches(waiting)
                writer.write_table(_plain(table.slice(0, _ROW_GROUP), schema), row_group_size=_ROW_GROUP)
                waiting = table.slice(_ROW_GROUP).to_batches()
                held -= _ROW_GROUP
                rows += _ROW_GROUP
        if held:
            writer.write_table(_plain(pa.Table.from_batches(waiting), schema), row_group_size=_ROW_GROUP)
    return rows + held


def _encodings(schema: pa.Schema) -> dict[str, Any]:
    """Return how columns are encoded: row numbers as differences, which takes less time and next to no room."""
    counted = [field.name for field in schema if field.name == "source_row" and pt.is_integer(field.type)]
    others = [field.name for field in schema if field.name not in counted]
    return {"use_dictionary": others, "column_encoding": dict.fromkeys(counted, "DELTA_BINARY_PACKED")}


def _plain(table: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        column.cast(field.type) if pt.is_dictionary(column.type) else column
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.table(columns, schema=schema).combine_chunks()


_WRITERS = {"csv": _write_csv, "jsonl": _write_jsonl, "parquet": _write_parquet}

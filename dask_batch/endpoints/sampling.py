"""The first items of an input, for trying a deployment: files for scripts, rows of the first files for tables."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from dask_batch.planning.formats import compression_of, format_of, is_table, plain_format
from dask_batch.storage import is_local, locate, retry

__all__ = ["sample_inputs"]

_RECORD_LIMIT = 64 << 20  # bytes of text that a sample may hold


def sample_inputs(paths: list[str], input_format: str, max_items: int, folder: str) -> list[str]:
    """Return local files that hold the first items of an input.

    Parameters
    ----------
    paths : list of str
        The files of the input, in order.
    input_format : str
        ``"files"`` and ``"images"``: an item is a file. ``"table"``: an item is a row.
    max_items : int
        How many items at most.
    folder : str
        Where samples are written.

    Returns
    -------
    list of str
        Whole files where they are (remote ones too: whoever scores fetches them), cut ones in `folder`. Text is cut
        between records and otherwise copied byte for byte. What cannot be cut is taken whole.
    """
    if input_format != "table":
        return paths[:max_items]
    chosen: list[str] = []
    left = max_items
    for number, path in enumerate(paths):
        if left <= 0:
            break
        target = os.path.join(folder, str(number), Path(path).name)
        os.makedirs(os.path.dirname(target), mode=0o700)
        rows = _cut(path, left, target)
        if rows is None:
            chosen.append(path)
            left -= 1
        else:
            chosen.append(target)
            left -= max(rows, 1)
    return chosen


def _cut(path: str, rows: int, target: str) -> int | None:
    """Write the first rows of a file and return how many there are; None if it must be taken whole."""
    name = format_of(path)
    if not is_table(name) or plain_format(name) == "json":
        return None
    try:
        with _open(path) as file:
            if name == "parquet":
                return _cut_arrow(pq.ParquetFile(file).iter_batches(min(rows, 65_536)), rows, target, parquet=True)
            if name == "arrow":
                reader = pa.ipc.open_file(file)
                batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
                return _cut_arrow(batches, rows, target, parquet=False)
            compression = compression_of(name)
            header = plain_format(name) in ("csv", "tsv")
            quoted = plain_format(name) != "jsonl"
            with _opener(compression)(file, "rb") as text, _opener(compression)(target, "wb") as out:
                return _cut_text(text, out, rows + header, quoted=quoted) - header
    except (OSError, EOFError, ValueError, pa.ArrowException, lzma.LZMAError):
        # It cannot be read: scoring it says so, as an item that fails.
        shutil.rmtree(os.path.dirname(target), ignore_errors=True)
        return None


def _open(path: str) -> IO[bytes]:
    if is_local(path):
        return open(path, "rb")
    fs, where = locate(path)
    return cast("IO[bytes]", retry(lambda: fs.open(where, "rb")))


def _opener(compression: str | None) -> Callable[[Any, str], IO[bytes]]:
    if compression is None:
        return lambda file, mode: cast("IO[bytes]", open(file, mode)) if isinstance(file, str) else file
    if compression == "zst":
        return lambda file, mode: cast(
            "IO[bytes]",
            pa.CompressedInputStream(file, "zstd") if mode == "rb" else pa.CompressedOutputStream(file, "zstd"),
        )
    module: Any = {"gz": gzip, "bz2": bz2, "xz": lzma}[compression]
    return lambda file, mode: cast("IO[bytes]", module.open(file, mode))


def _cut_text(text: IO[bytes], out: IO[bytes], records: int, *, quoted: bool) -> int:
    """Copy the first records; a line feed within quotes (an odd number of them so far) ends no record."""
    copied = inside = size = 0
    left = b""
    while copied < records and size < _RECORD_LIMIT:
        block = text.read(1 << 16)
        if not block and not left:
            break
        lines = (left + block).splitlines(keepends=True) if block else [left]
        left = b""
        if block and not lines[-1].endswith(b"\n"):
            left = lines.pop()
        for line in lines:
            out.write(line)
            size += len(line)
            inside = (inside + line.count(b'"')) % 2 if quoted else 0
            copied += not inside
            if copied >= records:
                break
    return copied


def _cut_arrow(batches: Any, rows: int, target: str, *, parquet: bool) -> int:
    taken: list[pa.RecordBatch] = []
    left = rows
    for batch in batches:
        taken.append(batch.slice(0, left))
        left -= taken[-1].num_rows
        if left <= 0:
            break
    if not taken:
        raise ValueError("no rows")
    table = pa.Table.from_batches(taken)
    if parquet:
        pq.write_table(table, target)
    else:
        with pa.OSFile(target, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    return int(table.num_rows)

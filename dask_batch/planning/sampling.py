"""The columns of single files and their types, as far as a sample of the rows tells.

Of a text file rows from its start, middle and end are looked at, up to 1 MiB each; of a compressed one from its start.
Parquet and Arrow files say their types.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pyarrow.types as pt

from dask_batch.planning.formats import compression_of, format_of, plain_format
from dask_batch.scoring.tables.csv_text import split_header
from dask_batch.scoring.tables.records import last_record_end
from dask_batch.scoring.unify import unify_types
from dask_batch.storage import locate

__all__ = ["SOME_ROWS", "schemas_of"]

SOME_ROWS = {b"rows": b"some"}
"""The metadata of a column that some of the sampled rows lack altogether (JSON)."""

_THREADS = 8
_PIECE_BYTES = 1 << 20
_JSON_LIMIT = 64 << 20
_JSON_ROWS = 5_000
_CODECS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
_BOM = b"\xef\xbb\xbf"


def schemas_of(paths: Sequence[str]) -> list[tuple[str, pa.Schema]]:
    """Return path and schema of each file that can be read as a table; the others' reasons are found when scoring.

    Schemas of text files hold int64, double, bool, string, null and, from JSON, nested types only.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        schemas = list(pool.map(_schema_of, paths))
    return [(path, schema) for path, schema in zip(paths, schemas, strict=True) if schema is not None]


def _schema_of(path: str) -> pa.Schema | None:
    name = format_of(path)
    kind, compression = plain_format(name), compression_of(name)
    try:
        fs, where = locate(path)
        with fs.open(where, "rb") as file:
            if kind in _TEXT:
                schema = _TEXT[kind](_pieces(file, compression))
            elif kind in _WHOLE:
                schema = _WHOLE[kind](_decompressed(file, compression))
            else:
                return None
    except Exception:  # noqa: BLE001 - an unreadable file is one failed item later, with its reason
        return None
    return schema if schema is None or schema.names else None


def _decompressed(file: Any, compression: str | None) -> Any:
    if compression is None:
        return file
    if compression == "xz":
        return lzma.open(file)
    return pa.CompressedInputStream(pa.PythonFile(file, "r"), _CODECS[compression])


def _pieces(file: Any, compression: str | None) -> list[bytes]:
    """Return the start of a text, and if it is large, whole lines from its middle and its end."""
    first = _decompressed(file, compression).read(_PIECE_BYTES)
    if compression is not None or len(first) < _PIECE_BYTES:
        return [first]
    size = file.seek(0, 2)
    pieces = [first]
    for start in (max(_PIECE_BYTES, (size - _PIECE_BYTES) // 2), max(_PIECE_BYTES, size - _PIECE_BYTES)):
        file.seek(start)
        piece = file.read(_PIECE_BYTES)
        pieces.append(piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1])
    return pieces


# -- delimited text ----------------------------------------------------------------------------------------------------


def _csv_schema(pieces: list[bytes], delimiter: str) -> pa.Schema:
    first, *later = pieces
    header, start = split_header(first, delimiter)
    rows = first[start:]
    if len(first) == _PIECE_BYTES:
        rows = rows[: last_record_end(rows, delimiter)]
    schemas = [_rows_schema(rows, header.names, delimiter)]
    if later and _breaks_lines(rows, header.names, delimiter):
        later = []  # lines from the middle might begin inside quotes
    for piece in later:
        try:
            schemas.append(_rows_schema(piece, header.names, delimiter))
        except (UnicodeDecodeError, pa.ArrowInvalid):
            continue  # what is wrong with it is told when it is scored
    return _united(schemas)


def _rows_schema(rows: bytes, names: Sequence[str], delimiter: str) -> pa.Schema:
    rows.decode()  # What is no text is told before the parser sees it: it complains of undecodable rows on stderr.
    if not rows.strip():
        return pa.schema([(name, pa.null()) for name in names])
    table = _parsed(rows, names, delimiter, newlines_in_values=True)
    return pa.schema([(name, _text_type(kind)) for name, kind in zip(names, table.schema.types, strict=True)])


def _breaks_lines(rows: bytes, names: Sequence[str], delimiter: str) -> bool:
    """Return whether there are newlines inside quotes."""
    if b'"' not in rows or not rows.strip():
        return False
    counts = [_parsed(rows, names, delimiter, newlines_in_values=either).num_rows for either in (True, False)]
    return bool(counts[0] != counts[1])


def _parsed(rows: bytes, names: Sequence[str], delimiter: str, *, newlines_in_values: bool) -> pa.Table:
    return pa_csv.read_csv(
        pa.BufferReader(rows),
        # One block: types are told from the first.
        read_options=pa_csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(rows) + 1),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, newlines_in_values=newlines_in_values, invalid_row_handler=lambda _: "skip"
        ),
    )


def _text_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that pandas would see in text; dates stay text there."""
    keep = pt.is_null(kind) or pt.is_integer(kind) or pt.is_floating(kind) or pt.is_boolean(kind)
    return kind if keep else pa.string()


# -- JSON --------------------------------------------------------------------------------------------------------------


def _jsonl_schema(pieces: list[bytes]) -> pa.Schema:
    schemas = []
    for n, piece in enumerate(pieces):
        lines = piece[len(_BOM) if piece.startswith(_BOM) else 0 :].split(b"\n")
        if n == 0 and len(piece) == _PIECE_BYTES:
            lines.pop()  # it may have been cut
        schemas.append(_schema_of_rows(_loaded(lines)))
    return _united(schemas)


def _loaded(lines: Iterable[bytes]) -> list[Any]:
    rows = []
    for line in lines:
        try:
            if line.strip():
                rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue  # one failed row, when it is scored
    return rows


def _json_schema(file: Any) -> pa.Schema | None:
    content = file.read(_JSON_LIMIT)
    if len(content) == _JSON_LIMIT:
        return None
    rows = json.loads(content)
    return _schema_of_rows(rows[:_JSON_ROWS]) if isinstance(rows, list) else None


def _schema_of_rows(rows: list[Any]) -> pa.Schema:
    rows = [row for row in rows if isinstance(row, dict)]
    fields = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        fields.append(pa.field(name, _type_of_values(values), metadata=SOME_ROWS if len(values) < len(rows) else None))
    return pa.schema(fields)


def _type_of_values(values: list[Any]) -> pa.DataType:
    try:
        kind = pa.array(values).type
    except (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError):
        return pa.string()
    return kind if pt.is_nested(kind) else _text_type(kind)


# -- both --------------------------------------------------------------------------------------------------------------


def _united(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns of pieces of one text; types without a common one are text."""
    fields: dict[str, pa.Field] = {}
    names = [set(schema.names) for schema in schemas if len(schema)]
    some = {name for found in names for name in set().union(*names) - found}
    some |= {field.name for schema in schemas for field in schema if field.metadata == SOME_ROWS}
    for schema in schemas:
        for field in schema:
            known = fields.get(field.name, field)
            kind = unify_types(known.type, field.type)
            if kind is None:
                kind = pa.string()
            fields[field.name] = pa.field(field.name, kind, metadata=SOME_ROWS if field.name in some else None)
    return pa.schema(list(fields.values()))


def _parquet_schema(file: Any) -> pa.Schema:
    return pq.read_schema(file)


def _arrow_schema(file: Any) -> pa.Schema:
    content = pa.PythonFile(file, "r")
    try:
        return pa.ipc.open_file(content).schema
    except pa.ArrowInvalid:
        file.seek(0)
        return pa.ipc.open_stream(pa.PythonFile(file, "r")).schema


_TEXT: dict[str, Callable[[list[bytes]], pa.Schema]] = {
    "csv": partial(_csv_schema, delimiter=","),
    "tsv": partial(_csv_schema, delimiter="\t"),
    "jsonl": _jsonl_schema,
}
_WHOLE: dict[str, Callable[[Any], pa.Schema | None]] = {
    "json": _json_schema,
    "parquet": _parquet_schema,
    "arrow": _arrow_schema,
}

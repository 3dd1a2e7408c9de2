"""Rows as text: csv and JSON lines, a column at a time.

The text of a row depends on the row and the output's columns alone, so the same rows make the same bytes however they
were batched. Floats are the shortest text that reads back as the same number, and always look like floats.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["csv_header", "csv_rows", "jsonl_rows"]

_CSV_SPECIAL = r'[",\r\n]|^[ \t]|[ \t]$|^$'
_JSON_SPECIAL = r'["\\\x00-\x1f]'


def csv_header(schema: pa.Schema) -> bytes:
    """Return the first line of a csv file with these columns.

    Examples
    --------
    >>> csv_header(pa.schema([("a", pa.int64()), ("b, c", pa.string())]))
    b'a,"b, c"\\n'
    """
    names = pa.array(schema.names, pa.string())
    return (",".join(_csv_strings(names).to_pylist()) + "\n").encode()


def csv_rows(batch: pa.RecordBatch) -> bytes:
    """Return rows as csv lines: comma, ``\\n``, quotes only where they are needed, null as nothing.

    An empty string is ``""``, so that it differs from null. Nested values are JSON, bytes are base64.

    Examples
    --------
    >>> csv_rows(pa.record_batch({"a": [1.0, None, 0.1], "b": ["x", 'a "b" c', ""]}))
    b'1.0,x\\n,"a ""b"" c"\\n0.1,""\\n'
    """
    return _lines([_text(column, _csv_strings, "") for column in batch.columns], ",")


def jsonl_rows(batch: pa.RecordBatch) -> bytes:
    """Return rows as JSON objects, one a line; nulls, NaN and infinities are ``null``.

    Examples
    --------
    >>> jsonl_rows(pa.record_batch({"a": [1.0, None], "b": ["x", 'say "hi"']}))
    b'{"a":1.0,"b":"x"}\\n{"a":null,"b":"say \\\\"hi\\\\""}\\n'
    """
    parts: list[Any] = []
    for n, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        key = ("{" if n == 0 else ",") + json.dumps(name, ensure_ascii=False) + ":"
        parts += [pa.scalar(key), _text(_finite(column), _json_strings, "null")]
    return _lines([_concat([*parts, pa.scalar("}")])], "") if parts else b"{}\n" * batch.num_rows


def _lines(columns: list[pa.Array], separator: str) -> bytes:
    """Join the columns of each row and end it with a newline; the buffer of the strings is then the text itself."""
    if not columns or not len(columns[0]):
        return b""
    columns = [*columns[:-1], _concat([columns[-1], "\n"])]
    lines = pc.binary_join_element_wise(*columns, separator) if len(columns) > 1 else columns[0]
    offsets = np.frombuffer(lines.buffers()[1], np.int64 if pt.is_large_string(lines.type) else np.int32)
    first, last = int(offsets[lines.offset]), int(offsets[lines.offset + len(lines)])
    return bytes(memoryview(lines.buffers()[2])[first:last])


def _concat(parts: list[Any]) -> pa.Array:
    return pc.binary_join_element_wise(*parts, "")


def _text(column: pa.Array, quote: Callable[[pa.Array], pa.Array], null: str) -> pa.Array:
    """Return the values of a column as text; `quote` does so for strings."""
    kind = column.type
    if pt.is_dictionary(kind):
        # Files' names stand in thousands of rows each.
        text = _text(column.dictionary, quote, null).take(column.indices)
    elif pt.is_null(kind):
        text = pa.nulls(len(column), pa.string())
    elif pt.is_floating(kind):
        text = _floats(column)
    elif pt.is_string(kind) or pt.is_large_string(kind):
        text = quote(column)
    elif pt.is_boolean(kind) or pt.is_integer(kind):
        text = column.cast(pa.string())
    elif pt.is_temporal(kind) or pt.is_decimal(kind):
        text = quote(column.cast(pa.string()))
    else:
        text = _nested(column, quote)
    return text.fill_null(null)


def _floats(column: pa.Array) -> pa.Array:
    """Return floats as text with a point or an exponent, so that they are read back as floats."""
    if column.type == pa.float16():
        column = column.cast(pa.float32())
    text = column.cast(pa.string())
    bare = pc.and_(pc.equal(pc.trunc(column), column), pc.is_finite(column))
    if not pc.any(bare).as_py():
        return text
    bare = pc.and_(bare, pc.invert(pc.match_substring_regex(text, "[e.]")))
    return pc.binary_join_element_wise(text, pc.if_else(bare, ".0", ""), "")


def _finite(column: pa.Array) -> pa.Array:
    if not pt.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


def _nested(column: pa.Array, quote: Callable[[pa.Array], pa.Array]) -> pa.Array:
    if quote is _json_strings and not pt.is_binary(column.type):
        return pa.array([None if value is None else _json(value) for value in column.to_pylist()], pa.string())
    return quote(pa.array([None if value is None else _plain(value) for value in column.to_pylist()], pa.string()))


def _plain(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain_value)


def _plain_value(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _csv_strings(texts: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(texts, _CSV_SPECIAL)
    if not pc.any(special).as_py():
        return texts
    escaped = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(special, escaped, texts)


def _json_strings(texts: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(texts, _JSON_SPECIAL)
    if pc.any(special).as_py():
        # Escapes are rare, so only the values that need them go through Python.
        escaped = [json.dumps(value, ensure_ascii=False)[1:-1] for value in texts.filter(special).to_pylist()]
        texts = pc.replace_with_mask(texts, special.fill_null(False), pa.array(escaped, texts.type))
    return pc.binary_join_element_wise('"', texts, '"', "")

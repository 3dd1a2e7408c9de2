"""Delimited text: parsed by pyarrow with the types that are fixed, row by row only where something is wrong.

pyarrow's parser reads each number as the closest double and each field by its own type, so that a value never depends
on the text around it, and it names the rows that have too many or too few fields. On one thread it is about as fast as
pandas: on many small files parsed together three times as fast as pandas file by file, on one large file somewhat
slower than pandas in chunks (0.8 of its speed, 20 columns of doubles, to DataFrames, on a busy machine).
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from dask_batch.scoring.tables.casting import MISSING, cast_sampled, cast_text, drop_rows, json_values, kind_of, quoted
from dask_batch.scoring.tables.columns import Chosen, distinct
from dask_batch.scoring.tables.faults import RowFault, Unreadable
from dask_batch.scoring.tables.records import ends_quoted
from dask_batch.scoring.tables.sources import looks_like

__all__ = ["Header", "check_text", "parse_rows", "split_header", "text_fault"]

_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 20  # measured once, parsing alone: 650 MB/s with 1 MiB, 430 with one block of 16 MiB
_LARGEST_BLOCK = (1 << 31) - 1
_LONGEST_HEADER = 1 << 20
_LINE_END = re.compile(rb"\r\n?|\n")  # as pyarrow ends rows


@dataclass(frozen=True)
class Header:
    """The first record of a delimited text.

    Parameters
    ----------
    raw : bytes
        As it stands in the file, with its line end.
    names : tuple of str
        The columns, made distinct.
    """

    raw: bytes
    names: tuple[str, ...]


def check_text(data: bytes) -> None:
    """Raise Unreadable if `data` cannot be text."""
    if b"\0" in data:
        what = looks_like(data)
        raise Unreadable(
            f"it is {what}, not what its name says." if what else "it is no text: it contains bytes of value 0."
        )
    if what := looks_like(data):
        raise Unreadable(f"it is {what}, not what its name says.")


def split_header(data: bytes, delimiter: str) -> tuple[Header, int]:
    """Return the header of a delimited text, and where its rows begin.

    Examples
    --------
    >>> split_header(b'a,"b c"\\r\\n1,2', ",")
    (Header(raw=b'a,"b c"\\r\\n', names=('a', 'b c')), 9)
    """
    start = len(_BOM) if data.startswith(_BOM) else 0
    while data[start : start + 1] in (b"\n", b"\r"):
        start += 1
    stop = _line_end(data, start)
    while ends_quoted(data[start:stop], delimiter) and stop < len(data) and stop - start < _LONGEST_HEADER:
        stop = _line_end(data, stop)
    raw = data[start:stop]
    if not raw.strip():
        raise Unreadable("it is empty.")
    try:
        fields = next(csv.reader(io.StringIO(raw.decode("utf-8").rstrip("\r\n"), newline=""), delimiter=delimiter))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Unreadable(f"its first line cannot be read as the names of columns: {error}.") from None
    return Header(raw, tuple(distinct(fields))), stop


def parse_rows(body: bytes, header: Header, chosen: Chosen, delimiter: str) -> tuple[pa.Table, list[RowFault]]:
    """Parse rows without their header.

    Parameters
    ----------
    body : bytes
        Whole records.
    header : Header
        Says which column is which.
    chosen : Chosen
        Which columns to read; model columns of a fixed type as that type (with no fixed types at all: as they look),
        all others as text, verbatim. An empty field of text is a missing value.
    delimiter : str
        The character between fields.

    Returns
    -------
    table : pyarrow.Table
        The readable rows.
    faults : list of RowFault
        The others: rows with too many or too few fields, or with values that are not of their column's type.
    """
    types = _types_of(chosen)
    if _is_blank(body):
        return chosen.complete(_empty(chosen, types)), []
    ragged: list[Any] = []
    try:
        table = _parse(body, header, chosen, types, delimiter, ragged)
        table = _blank_to_null(table, [name for name in table.column_names if kind_of(table[name].type) == "text"])
        faults: list[RowFault] = []
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        ragged.clear()
        try:
            body.decode("utf-8")
            table = _parse(body, header, chosen, dict.fromkeys(chosen.read, pa.string()), delimiter, ragged)
        except UnicodeDecodeError as bad:
            raise text_fault(bad) from None
        except pa.ArrowInvalid:
            raise Unreadable(f"it cannot be parsed: {error}.") from None
        table, faults = _cast_carefully(table, types, sampled=chosen.sampled)
    if ends_quoted(body, delimiter):
        raise Unreadable("a quote in it is opened and never closed; is the file truncated?")
    return chosen.complete(table), _merge(faults, [_ragged_fault(row, header, delimiter) for row in ragged])


def text_fault(error: UnicodeDecodeError) -> Unreadable:
    """Return what to say of text that is not UTF-8."""
    at = error.object[error.start : error.start + 1].hex()
    return Unreadable(f"it is not UTF-8 text: byte 0x{at} at offset {error.start:,} ({error.reason}).")


def _is_blank(body: bytes) -> bool:
    return not body[:256].strip() and not body.strip()  # stripping copies, so look at the beginning first


def _types_of(chosen: Chosen) -> dict[str, pa.DataType]:
    """Return the types of the columns to read; one without is read as it looks (nothing is known of the model)."""
    guessed = set() if chosen.types else set(chosen.model)
    return {name: chosen.types.get(name, pa.string()) for name in chosen.read if name not in guessed}


def _parse(
    body: bytes,
    header: Header,
    chosen: Chosen,
    types: dict[str, pa.DataType],
    delimiter: str,
    ragged: list[Any],
) -> pa.Table:
    try:
        return _parse_in_blocks(body, header, chosen, types, delimiter, ragged, _BLOCK)
    except pa.ArrowInvalid as error:
        # pyarrow looks for the end of a record in two blocks at most, and a record may be longer.
        if "straddl" not in str(error) or len(body) <= _BLOCK:
            raise
    ragged.clear()
    return _parse_in_blocks(body, header, chosen, types, delimiter, ragged, min(len(body) + 1, _LARGEST_BLOCK))


def _parse_in_blocks(
    body: bytes,
    header: Header,
    chosen: Chosen,
    types: dict[str, pa.DataType],
    delimiter: str,
    ragged: list[Any],
    block_size: int,
) -> pa.Table:
    def skip(row: Any) -> str:
        ragged.append((row.number - 1, row.expected_columns, row.actual_columns, row.text))
        return "skip"

    return pa_csv.read_csv(
        pa.BufferReader(body),
        read_options=pa_csv.ReadOptions(column_names=list(header.names), use_threads=False, block_size=block_size),
        parse_options=pa_csv.ParseOptions(
            delimiter=delimiter, invalid_row_handler=skip, newlines_in_values=b'"' in body
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types=types,
            include_columns=list(chosen.read),
            null_values=list(MISSING),
            strings_can_be_null=False,
        ),
    )


def _empty(chosen: Chosen, types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table({name: pa.array([], types.get(name, pa.null())) for name in chosen.read})


def _blank_to_null(table: pa.Table, names: list[str]) -> pa.Table:
    for name in names:
        column = table[name]
        blank = pc.equal(column, "")
        if pc.any(blank).as_py():
            filled = pc.if_else(blank, pa.scalar(None, column.type), column)
            table = table.set_column(table.schema.get_field_index(name), name, filled)
    return table


def _cast_carefully(
    table: pa.Table, types: dict[str, pa.DataType], *, sampled: bool
) -> tuple[pa.Table, list[RowFault]]:
    given = table
    guilty: dict[int, str] = {}
    for name in table.column_names:
        where = table.schema.get_field_index(name)
        want = types.get(name, pa.string())
        cast = partial(cast_text, table.column(where))
        column, bad = cast_sampled(cast, want) if sampled else cast(want)
        table = table.set_column(where, name, column)
        for position in bad.tolist():
            text = given.column(where)[position].as_py()
            guilty.setdefault(position, f"column {name!r}: {quoted(text)} cannot be read as {column.type}")
    texts = [name for name in table.column_names if kind_of(table[name].type) == "text"]
    return drop_rows(_blank_to_null(table, texts), given, guilty)


def _ragged_fault(row: tuple[int, int, int, str], header: Header, delimiter: str) -> RowFault:
    position, expected, actual, text = row
    try:
        fields = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:  # a field of more than 128 KiB
        fields = [text]
    names = [*header.names, *(f"field {n + 1}" for n in range(expected, len(fields)))]
    values = json_values(dict(zip(names, fields)))
    more = "more" if actual > expected else "fewer"
    return RowFault(position, f"the row has {actual} fields, {more} than the header's {expected} columns", values)


def _merge(faults: list[RowFault], ragged: list[RowFault]) -> list[RowFault]:
    """Rows that pyarrow left out shift the positions of those after them."""
    if not ragged:
        return faults
    count = len(ragged)
    left_out = np.array([fault.position for fault in ragged])
    # The kept row k stands after every left-out row whose position, less the left-out ones before it, is at most k.
    before = left_out - np.arange(count)
    shifted = [
        RowFault(fault.position + int(np.searchsorted(before, fault.position, "right")), fault.message, fault.values)
        for fault in faults
    ]
    return sorted([*shifted, *ragged], key=lambda fault: fault.position)


def _line_end(data: bytes, start: int) -> int:
    found = _LINE_END.search(data, start)
    return found.end() if found else len(data)

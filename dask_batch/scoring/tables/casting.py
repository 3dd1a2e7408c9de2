"""Casts to the types that are fixed for the job: lossless ones happen, the values of others are named, row by row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dask_batch.scoring.tables.columns import Chosen
from dask_batch.scoring.tables.faults import RowFault, Unreadable

if TYPE_CHECKING:
    import numpy.typing as npt

    _Positions = npt.NDArray[np.int64]

__all__ = ["MISSING", "cast_column", "cast_table", "cast_text", "cast_values", "json_values", "kind_of", "quoted"]

MISSING = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""What stands for a missing value in text columns of numbers, dates and booleans: pandas' list."""

_TRUE, _FALSE = {"1", "true", "True", "TRUE"}, {"0", "false", "False", "FALSE"}
_KINDS = (
    ("bool", pa.types.is_boolean),
    ("int", pa.types.is_integer),
    ("float", pa.types.is_floating),
    ("decimal", pa.types.is_decimal),
    ("time", pa.types.is_timestamp),
    ("date", pa.types.is_date),
    ("text", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or _is(t, "is_string_view")),
    ("bytes", lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or _is(t, "is_binary_view")),
)
# From which kinds of column values can be cast to which, losslessly value by value.
_SOURCES = {
    "bool": {"bool", "int", "float"},
    "int": {"bool", "int", "float", "decimal"},
    "float": {"bool", "int", "float", "decimal"},
    "decimal": {"int", "decimal"},
    "time": {"time", "date", "text"},
    "date": {"date"},
    "text": {"text"},
    "bytes": {"bytes", "text"},
}
_NONE: _Positions = np.empty(0, np.int64)


def kind_of(what: pa.DataType) -> str:
    """Return the kind of a type: bool, int, float, decimal, time, date, text, bytes or other."""
    return next((kind for kind, is_kind in _KINDS if is_kind(what)), "other")


def _is(what: pa.DataType, question: str) -> bool:
    ask = getattr(pa.types, question, None)  # newer than the oldest pyarrow that will do
    return bool(ask and ask(what))


def cast_table(table: pa.Table, chosen: Chosen) -> tuple[pa.Table, list[RowFault]]:
    """Return the rows whose columns all have, losslessly, the types that `chosen` fixes, and the faults of the others.

    Raises
    ------
    Unreadable
        A column is of another kind altogether (text where numbers belong).
    """
    guilty: dict[int, str] = {}
    given = table
    for name, want in chosen.types.items():
        where = table.schema.get_field_index(name)
        if where < 0 or table.schema.field(where).type == want:
            continue
        column, bad = cast_column(name, table.column(where), want)
        table = table.set_column(where, name, column)
        for position in bad.tolist():
            value = given.column(where)[position].as_py()
            guilty.setdefault(position, f"column {name!r}: {quoted(value)} cannot be cast to {want} without loss")
    return drop_rows(table, given, guilty)


def drop_rows(table: pa.Table, given: pa.Table, guilty: dict[int, str]) -> tuple[pa.Table, list[RowFault]]:
    """Return `table` without the guilty rows, and their faults, with the values that they have in `given`."""
    if not guilty:
        return table, []
    positions = sorted(guilty)
    keep = np.ones(table.num_rows, bool)
    keep[positions] = False
    rows = given.take(pa.array(positions)).to_pylist()
    faults = [RowFault(n, guilty[n], json_values(row)) for n, row in zip(positions, rows)]
    return table.filter(pa.array(keep)), faults


def cast_column(name: str, column: pa.ChunkedArray, want: pa.DataType) -> tuple[pa.ChunkedArray, _Positions]:
    """Return a column as type `want`, null where that is not possible without loss, and those positions."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    have = column.type
    if have == want:
        return column, _NONE
    if pa.types.is_null(have):
        return pa.chunked_array([pa.nulls(len(column), want)]), _NONE
    source, target = kind_of(have), kind_of(want)
    if source not in _SOURCES.get(target, ()):
        raise Unreadable(f"its column {name!r} is {have}, and the model needs {want}, which it cannot be cast to.")
    if source == "text" and target == "time":
        return cast_text(column, want)
    if source == "float" and target in {"int", "bool"}:
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, have), column)  # not a number is a missing value
    if target == "bool":
        column = column.cast(pa.float64())
        have = pa.float64()
    try:
        cast = column.cast(want, safe=False)
        back = cast.cast(have, safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Unreadable(f"its column {name!r} cannot be cast from {have} to {want}: {error}.") from None
    if source in {"text", "bytes", "date"} or (source == "time" and pa.types.is_timestamp(want)):
        return _checked_times(column, cast, back, source)
    differs = pc.fill_null(pc.not_equal(back, column), False)
    if target == "int" and source in {"int", "float"}:
        # Casting back proves nothing there: 2**64 - 1 becomes -1 as int64, which becomes 2**64 - 1 again.
        differs = pc.or_(differs, _beyond(column, want))
    if source == "float":
        differs = pc.and_(differs, pc.invert(pc.is_nan(column)))
    return _without(cast, _where(differs))


def cast_text(column: pa.ChunkedArray, want: pa.DataType) -> tuple[pa.ChunkedArray, _Positions]:
    """Return a column of text as type `want`, null where it does not read as one, and those positions."""
    kind = kind_of(want)
    if kind in {"text", "bytes"}:
        return column.cast(want), _NONE
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.fill_null(pc.is_in(trimmed, value_set=pa.array(MISSING)), True)
    texts = pc.if_else(missing, pa.scalar(None, trimmed.type), trimmed)
    try:
        return texts.cast(want), _NONE
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    if kind == "time":
        return _times(texts, want)
    values = [None if text is None else _read_as(kind, text) for text in texts.to_pylist()]
    bad = [n for n, value in enumerate(values) if value is _UNREAD]
    if kind == "float":  # Arrow reads it, so that a value is the same whatever stands in the rows around it
        cleaned = [None if value is None or value is _UNREAD else value for value in values]
        return pa.chunked_array([pa.array(cleaned, pa.string()).cast(want)]), np.array(bad, np.int64)
    array, too_large = _array_of([None if value is _UNREAD else value for value in values], want)
    return array, np.array(sorted({*bad, *too_large}), np.int64)


def cast_values(name: str, values: list[Any], want: pa.DataType | None) -> tuple[pa.ChunkedArray, _Positions]:
    """Return Python values, as JSON has them, as type `want` (None: as they are), and positions that are not of it."""
    try:
        column = pa.chunked_array([pa.array(values)])
    except _NO_ARRAY:
        return _as_text(values) if want is None else _cast_one_by_one(name, values, want)
    if want is None or column.type == want:
        return column, _NONE
    try:
        return cast_column(name, column, want)
    except Unreadable:
        return _cast_one_by_one(name, values, want)


def cast_sampled(
    cast: Callable[[pa.DataType], tuple[pa.ChunkedArray, _Positions]], want: pa.DataType
) -> tuple[pa.ChunkedArray, _Positions]:
    """Return a column of text as the type that a sample had, or as double where that had whole numbers by chance.

    Parameters
    ----------
    cast : callable
        Returns the column as a type, and the positions of values that are not of it.
    want : pyarrow.DataType
        The sample's type. Only int64 gives way, and only to numbers that a double holds exactly.
    """
    column, bad = cast(want)
    if not len(bad) or want != pa.int64():
        return column, bad
    wider, worse = cast(pa.float64())
    large = pc.greater_equal(pc.abs(wider), pa.scalar(float(2**53)))
    if len(worse) >= len(bad) or pc.any(large).as_py():
        return column, bad
    return wider, worse


def json_values(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with values that JSON can hold; others as text, long ones cut."""
    return {str(name): _json_value(value) for name, value in row.items()}


def quoted(value: Any) -> str:
    """Return a value as it is shown in a message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


# -- one value ---------------------------------------------------------------------------------------------------------


class _Unread:
    pass


# What pyarrow makes no array of: several types, numbers out of range, halves of surrogate pairs, deep nesting.
_NO_ARRAY = (pa.ArrowException, ValueError, TypeError, OverflowError, RecursionError)


_UNREAD = _Unread()


def _read_as(kind: str, text: str) -> Any:
    """Return the value that a text stands for, floats as the text that Arrow can read; _UNREAD if there is none."""
    if kind == "bool":
        return True if text in _TRUE else False if text in _FALSE else _UNREAD
    plain = text[1:] if text.startswith("+") else text
    try:
        number = float(plain)
        if "_" in plain or plain[:1] == "+" or not plain.isascii():
            return _UNREAD
        if kind == "float":
            return plain
        return int(plain) if plain.lstrip("-").isdigit() else int(number) if number.is_integer() else _UNREAD
    except (ValueError, OverflowError):
        return _UNREAD


def _json_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None if np.isnan(value) else str(value)
    if isinstance(value, dict):
        return json_values(value)
    if isinstance(value, (list, tuple)) and len(value) <= 100:
        return [_json_value(one) for one in value]
    text = (value if isinstance(value, str) else str(value)).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 1000 else f"{text[:1000]}… ({len(text):,} characters in all)"


# -- arrays ------------------------------------------------------------------------------------------------------------


def _beyond(column: pa.ChunkedArray, want: pa.DataType) -> pa.ChunkedArray:
    """Return which numbers of a column are less or greater than any of the integer type `want`."""
    limits = np.iinfo(want.to_pandas_dtype())
    lowest, past = int(limits.min), int(limits.max) + 1
    if pa.types.is_integer(column.type):
        own = np.iinfo(column.type.to_pandas_dtype())
        below = pc.less(column, pa.scalar(max(lowest, int(own.min)), column.type))
        above = pc.greater(column, pa.scalar(min(past - 1, int(own.max)), column.type))
    else:  # powers of two, so they are exact
        below = pc.less(column, pa.scalar(float(lowest), column.type))
        above = pc.greater_equal(column, pa.scalar(float(past), column.type))
    return pc.fill_null(pc.or_(below, above), False)


def _where(mask: pa.ChunkedArray) -> _Positions:
    if not pc.any(mask).as_py():
        return _NONE
    return np.flatnonzero(mask.to_numpy()).astype(np.int64)


def _without(column: pa.ChunkedArray, bad: _Positions) -> tuple[pa.ChunkedArray, _Positions]:
    if not len(bad):
        return column, bad
    mask = np.zeros(len(column), bool)
    mask[bad] = True
    return pc.if_else(pa.array(mask), pa.scalar(None, column.type), column), bad


def _checked_times(
    column: pa.ChunkedArray, cast: pa.ChunkedArray, back: pa.ChunkedArray, source: str
) -> tuple[pa.ChunkedArray, _Positions]:
    if source in {"text", "bytes"}:
        return cast, _NONE
    # Finer than the target: what a model sees is rounded down. Out of range: the value comes back as another.
    seconds = pc.not_equal(back.cast(pa.timestamp("s"), safe=False), column.cast(pa.timestamp("s"), safe=False))
    return _without(cast, _where(pc.fill_null(seconds, False)))


def _times(texts: pa.ChunkedArray, want: pa.DataType) -> tuple[pa.ChunkedArray, _Positions]:
    """Read dates one by one, so that none depends on its neighbours; times with a zone become UTC."""
    import pandas as pd

    each = "mixed" if pd.__version__ >= "2" else None  # pandas 1 knows no other way
    read = pd.to_datetime(pd.Series(texts.to_pylist(), dtype=object), format=each, errors="coerce", utc=True)
    bad = np.flatnonzero(read.isna().to_numpy() & ~texts.is_null().to_numpy()).astype(np.int64)
    naive = pa.chunked_array([pa.array(read.dt.tz_localize(None))])
    cast = naive.cast(want, safe=False)
    column, beyond = _checked_times(naive, cast, cast.cast(naive.type, safe=False), "time")
    return column, np.union1d(bad, beyond)


def _array_of(values: Sequence[Any], want: pa.DataType) -> tuple[pa.ChunkedArray, list[int]]:
    """Return values as an array, and the positions of integers that are too large for it."""
    bad: list[int] = []
    if pa.types.is_integer(want):
        limits = np.iinfo(want.to_pandas_dtype())
        bad = [n for n, value in enumerate(values) if value is not None and not limits.min <= value <= limits.max]
        values = [None if n in set(bad) else value for n, value in enumerate(values)] if bad else values
    return pa.chunked_array([pa.array(values, want)]), bad


def _cast_one_by_one(name: str, values: list[Any], want: pa.DataType) -> tuple[pa.ChunkedArray, _Positions]:
    arrays, bad = [], []
    for n, value in enumerate(values):
        try:
            one, wrong = cast_column(name, pa.chunked_array([pa.array([value])]), want)
        except (*_NO_ARRAY, Unreadable):
            one, wrong = pa.chunked_array([pa.nulls(1, want)]), np.zeros(1, np.int64)
        arrays += one.chunks
        if len(wrong):
            bad.append(n)
    return pa.chunked_array([pa.concat_arrays(arrays)]), np.array(bad, np.int64)


def _as_text(values: list[Any]) -> tuple[pa.ChunkedArray, _Positions]:
    """Return values of several types, for a model that says nothing about them; and texts that are no Unicode."""
    import json

    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    bad = [n for n, text in enumerate(texts) if text is not None and not _is_unicode(text)]
    for n in bad:
        texts[n] = None
    return pa.chunked_array([pa.array(texts, pa.string())]), np.array(bad, np.int64)


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone half of a surrogate pair, which JSON can write and nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""What a script's ``run()`` may return, and the rows that come of it."""

from __future__ import annotations

import datetime
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dask_batch.scoring.arrays import array_of

__all__ = ["OR_TEXT", "RESERVED", "Rows", "count_of", "or_text", "rows_of", "text_beside_others", "text_of"]

RESERVED = ("__split", "__row")
OR_TEXT = {b"or": b"text"}
"""The metadata of a column that becomes text where its types have nothing in common; see `or_text`."""

_ALLOWED = "a list, a tuple, a pandas DataFrame or Series, a numpy array, or a generator"
_INT64 = range(-(2**63), 2**63)
_PLAIN: dict[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}


@dataclass(frozen=True)
class Rows:
    """The rows that one call returned.

    Parameters
    ----------
    count : int
        How many.
    values : list, optional
        The one column ``prediction``, if that is all there is; None: see `table`.
    type : pyarrow.DataType, optional
        Its type.
    table : pyarrow.Table, optional
        Several columns, or values that need more than a type to become a column.
    """

    count: int
    values: list[Any] | None = None
    type: pa.DataType | None = None
    table: pa.Table | None = None


def count_of(result: Any) -> int:
    """Return how many results `result` holds, consuming it if it is a generator; TypeError as `rows_of`."""
    kind, content = _open(result)
    return int(content.num_rows) if kind == "table" else len(content)


def rows_of(result: Any) -> Rows:
    """Return the rows that a result of ``run()`` stands for.

    DataFrames are taken as they are, without their index. Of anything else each element is a row: dicts by column,
    all else in the column ``prediction``, which keeps the elements' type if they have one type (int with float is
    float, None is null) and is text otherwise; nested elements become JSON.

    Parameters
    ----------
    result : object
        What ``run()`` returned.

    Raises
    ------
    TypeError
        It is of a type that has no rows: None, a string, a dict, a number.
    ValueError
        Its column names are taken twice, or are ours.

    Examples
    --------
    >>> rows_of([1, 2.5]).values, rows_of(["a", 1]).values, rows_of([[1, 2], [3]]).values
    ([1.0, 2.5], ['a', '1'], ['[1, 2]', '[3]'])
    >>> rows_of([{"a": 1}, {"b": "x"}]).table.column_names
    ['a', 'b']
    """
    kind, content = _open(result)
    if kind == "frame":
        table = _from_frame(content)
        return Rows(len(content), table=table)
    if kind == "table":
        _check_names(content.column_names)
        return Rows(content.num_rows, table=content)
    if content and all(isinstance(element, dict) for element in content):
        return Rows(len(content), table=_from_dicts(content))
    column = _column(content)
    if isinstance(column, tuple):
        return Rows(len(content), values=column[0], type=column[1])
    return Rows(len(content), table=or_text(pa.table({"prediction": column}), ["prediction"]))


def text_of(value: Any) -> str:
    """Return a value as text: strings as they are, nested ones as JSON, bytes decoded, all else by ``str``.

    Examples
    --------
    >>> text_of("a"), text_of((1, None)), text_of(b"x"), text_of(1.0)
    ('a', '[1, null]', 'x', '1.0')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (list, tuple, dict)) or _shape(value):
        try:
            return json.dumps(value, default=_for_json, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            return str(value)
    return str(value)


def text_beside_others(value: Any) -> str | None:
    """Return a value as text in a column of several types; None, and what is not a number, is no text.

    Whole floats look like integers, because it depends on a number's neighbours whether it came here as one.

    Examples
    --------
    >>> text_beside_others(1.0), text_beside_others(1), text_beside_others(0.5), text_beside_others(True)
    ('1', '1', '0.5', 'True')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return str(int(value))
    return text_of(value)


def or_text(table: pa.Table, names: Iterable[str]) -> pa.Table:
    """Return `table` with these columns marked: where one has several types without a common one, it is text.

    Elements of several types in one result are text, and so they have to be when they come from several calls.
    """
    marked = set(names)
    fields = [field.with_metadata(OR_TEXT) if field.name in marked else field for field in table.schema]
    return pa.table(table.columns, schema=pa.schema(fields))


# -- what it is --------------------------------------------------------------------------------------------------------


def _open(result: Any) -> tuple[str, Any]:
    """Return ("frame", DataFrame), ("table", pyarrow.Table) or ("list", list)."""
    if type(result) is list:
        return "list", result
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(result, pandas.DataFrame):
        return "frame", result
    if pandas is not None and isinstance(result, pandas.Series):
        return "list", _from_series(result)
    if isinstance(result, pa.RecordBatch):
        return "table", pa.Table.from_batches([result])
    if isinstance(result, pa.Table):
        return "table", result
    if hasattr(result, "to_arrow") and hasattr(result, "columns"):  # polars, and others of its kind
        return "table", result.to_arrow()
    wrong = result is None or isinstance(result, (str, bytes, bytearray, Mapping, Set))
    if wrong or not isinstance(result, Iterable) or _shape(result) == ():
        raise TypeError(f"run() returned {_name_of(result)}; it must return {_ALLOWED}, with one element per result")
    return "list", list(result)


def _name_of(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of an array or tensor of any library; None for everything else."""
    shape = getattr(value, "shape", None)
    return tuple(shape) if isinstance(shape, Sequence) and hasattr(value, "dtype") else None


def _from_series(series: Any) -> list[Any]:
    """What pandas calls missing is null, as in a DataFrame."""
    return [None if gone else value for value, gone in zip(series, series.isna())]


# -- columns -----------------------------------------------------------------------------------------------------------


def _column(values: list[Any]) -> tuple[list[Any], pa.DataType] | pa.Array:
    """Return values ready for a column and its type, or the column where it takes more."""
    kinds = set(map(type, values))
    if len(kinds) == 1:
        kind = next(iter(kinds))
        if kind in _PLAIN and (kind is not int or _fits(values)):
            return values, _PLAIN[kind]
    kinds.discard(type(None))
    if not kinds:
        return values, pa.null()
    if any(_shape(value) == () for value in values):
        return _numpy_column(values, kinds)
    return _mixed_column(values, kinds)


def _numpy_column(values: list[Any], kinds: set[type]) -> tuple[list[Any], pa.DataType] | pa.Array:
    """Scalars of numpy, or 0-dimensional arrays or tensors: one numpy type is kept, else they are Python's."""
    import numpy as np

    if len(kinds) == 1 and issubclass(next(iter(kinds)), np.generic):
        dtype = next(value for value in values if value is not None).dtype
        if dtype.kind in "biuf":
            return [None if value is None else value.item() for value in values], pa.from_numpy_dtype(dtype)
        if dtype.kind == "M":
            return pa.array([None if value is None else value.astype("M8[us]").item() for value in values])
    return _column([value.item() if _shape(value) == () and hasattr(value, "item") else value for value in values])


def _mixed_column(values: list[Any], kinds: set[type]) -> tuple[list[Any], pa.DataType] | pa.Array:
    if all(issubclass(kind, bool) for kind in kinds):
        return values, pa.bool_()
    if not any(issubclass(kind, bool) for kind in kinds):
        if all(issubclass(kind, int) for kind in kinds) and _fits(values):
            return [None if value is None else int(value) for value in values], pa.int64()
        if all(issubclass(kind, (int, float)) for kind in kinds) and not all(issubclass(kind, int) for kind in kinds):
            return [None if value is None else float(value) for value in values], pa.float64()
    if len(kinds) == 1 and issubclass(next(iter(kinds)), (datetime.date, datetime.datetime)):
        return pa.array(values)
    return [text_beside_others(value) for value in values], pa.string()


def _fits(values: list[Any]) -> bool:
    return all(value is None or value in _INT64 for value in values)


def _from_dicts(rows: list[dict[Any, Any]]) -> pa.Table:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    names = [str(key) for key in keys]
    _check_names(names)
    columns = [_as_array(_column([row.get(key) for row in rows])) for key in keys]
    return or_text(pa.table(columns, names=names), names)


def _as_array(column: tuple[list[Any], pa.DataType] | pa.Array) -> pa.Array:
    return array_of(column[0], column[1]) if isinstance(column, tuple) else column


def _from_frame(frame: Any) -> pa.Table:
    """Return a DataFrame's columns, without its index."""
    names = [str(name) for name in frame.columns]
    _check_names(names)
    if not names and len(frame):
        raise ValueError(
            f"run() returned a DataFrame of {len(frame)} rows without any column, which says nothing; give it one"
        )
    plain = frame.reset_index(drop=True).set_axis(names, axis=1)
    try:
        return pa.Table.from_pandas(plain, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        # One column at least holds objects of several types.
        return pa.table([_series_column(plain[name]) for name in names], names=names)


def _series_column(series: Any) -> pa.Array:
    try:
        return pa.Array.from_pandas(series)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return _as_array(_column(_from_series(series)))


def _check_names(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"the result has the column name {twice[0]!r} more than once; give each column its own name")
    for name in RESERVED:
        if name in names:
            raise ValueError(f"the result has a column {name!r}, a name that is reserved; give it another one")


def _for_json(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return str(value)

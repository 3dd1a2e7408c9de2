"""What a model returned, as columns: one row per row of its input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dask_batch.scoring.results import text_beside_others

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["WrongLength", "columns_of", "joined"]

_HIDDEN = ("__split", "__row")
_NO_ARRAY = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


class WrongLength(Exception):
    """The model returned another number of results than it got rows."""


def columns_of(result: Any, rows: int) -> pa.Table:
    """Return the result of a prediction as columns.

    Parameters
    ----------
    result : object
        A DataFrame (its columns), Series (its name, else ``prediction``), array of one dimension (``prediction``) or
        two (``prediction_0`` and so on; ``prediction`` if there is one), list, dict of arrays, or Arrow table.
    rows : int
        How many rows the model got.

    Raises
    ------
    WrongLength
        It has another number of rows.
    TypeError
        It is nothing that has rows.

    Examples
    --------
    >>> columns_of(np.array([[1.0, 2.0]]), 1).column_names
    ['prediction_0', 'prediction_1']
    """
    table = _table_of(result)
    if table.num_rows != rows:
        raise WrongLength(f"the model got {rows} rows and returned {table.num_rows} results")
    taken = [name for name in _HIDDEN if name in table.column_names]
    if taken:
        raise ValueError(f"the model returned a column {taken[0]!r}: that name is reserved")
    return table


def joined(carried: pa.Table, predictions: pa.Table) -> tuple[pa.Table, list[str]]:
    """Return carried input columns, then predictions, and the names that both have: there the input gets ``input_``."""
    clashes = [name for name in carried.column_names if name in predictions.column_names]
    taken = {*predictions.column_names, *carried.column_names}
    new = {}
    for name in clashes:
        candidate = f"input_{name}"
        while candidate in taken:
            candidate = f"input_{candidate}"
        new[name] = candidate
        taken.add(candidate)
    names = [new.get(name, name) for name in carried.column_names]
    columns = [*carried.columns, *predictions.columns]
    return pa.table(columns, names=[*names, *predictions.column_names]), clashes


def _table_of(result: Any) -> pa.Table:
    if isinstance(result, pa.Table):
        return result.replace_schema_metadata(None)
    kind = type(result).__name__
    if kind == "DataFrame" and hasattr(result, "iloc"):
        return _from_frame(result)
    if kind == "Series" and hasattr(result, "iloc"):
        return _named({str(result.name) if result.name is not None else "prediction": _array(result)})
    if isinstance(result, dict):
        return _from_dict(result)
    if hasattr(result, "toarray"):  # a sparse matrix
        result = result.toarray()
    if hasattr(result, "detach"):  # a torch tensor
        result = result.detach().cpu().numpy()
    if isinstance(result, np.ndarray):
        return _from_array(result)
    if isinstance(result, (pa.Array, pa.ChunkedArray)):
        return _named({"prediction": result})
    if isinstance(result, (list, tuple)):
        return _from_list(list(result))
    if result is not None and hasattr(result, "__array__"):
        return _from_array(np.asarray(result))
    raise TypeError(
        f"the model returned {type(result).__name__}; expected is a DataFrame, Series, array, list or dict of arrays"
    )


def _named(columns: dict[str, Any]) -> pa.Table:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise WrongLength(f"the model returned columns of different lengths: {sorted(lengths)}")
    return pa.table(columns)


def _from_frame(frame: Any) -> pa.Table:
    names = ["_".join(map(str, name)) if isinstance(name, tuple) else str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"the model returned several columns named {repeated[0]!r}")
    if not names:
        return pa.table({"prediction": pa.nulls(len(frame))}) if len(frame) else pa.table({})
    return pa.table([_array(frame.iloc[:, n]) for n in range(len(names))], names=names)


def _from_dict(result: dict[Any, Any]) -> pa.Table:
    columns: dict[str, Any] = {}
    for name, values in result.items():
        for inner, column in zip(*_inner(_table_of(values))):
            columns[str(name) + re.sub("^prediction", "", inner)] = column
    return _named(columns)


def _inner(table: pa.Table) -> tuple[list[str], list[Any]]:
    names = table.column_names
    return (["prediction"] if len(names) == 1 else names), table.columns


def _from_array(array: npt.NDArray[Any]) -> pa.Table:
    if array.ndim == 0:
        raise WrongLength("the model returned a single value, not one per row")
    if array.ndim == 1:
        return _named({"prediction": _array(array)})
    if array.ndim == 2 and array.shape[1] == 1:
        return _named({"prediction": _array(array[:, 0])})
    if array.ndim == 2:
        return pa.table({f"prediction_{n}": _array(array[:, n]) for n in range(array.shape[1])})
    return _named({"prediction": pa.array(array.tolist())})


def _from_list(values: list[Any]) -> pa.Table:
    if values and all(isinstance(value, dict) for value in values):
        names = dict.fromkeys(str(name) for value in values for name in value)
        texts = [{str(name): one for name, one in value.items()} for value in values]
        return pa.table({name: _array([value.get(name) for value in texts]) for name in names})
    if values and all(isinstance(value, np.ndarray) and value.ndim for value in values):
        return _from_array(np.stack(values)) if len({value.shape for value in values}) == 1 else _ragged(values)
    return _named({"prediction": _array(values)})


def _ragged(values: list[Any]) -> pa.Table:
    return _named({"prediction": pa.array([value.tolist() for value in values])})


def _array(values: Any) -> Any:
    if isinstance(values, list):
        return _of_objects([value.item() if isinstance(value, np.generic) else value for value in values])
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "O":
            return _of_objects(values.tolist(), from_pandas=True)
        if values.dtype.kind in "US":
            return pa.array(values.tolist())
        return pa.array(np.ascontiguousarray(values))  # its missing values stay nan, as the model said
    try:
        array = pa.array(values, from_pandas=True)
    except _NO_ARRAY:
        return _of_objects(values.tolist(), from_pandas=True)
    return array.cast(pa.string()) if pa.types.is_large_string(array.type) else array


def _of_objects(values: list[Any], *, from_pandas: bool = False) -> Any:
    """Return objects as a column: with labels beside it, not a number is a missing value; several types are text."""
    try:
        return pa.array(values, from_pandas=from_pandas)
    except _NO_ARRAY:
        pass
    values = [None if isinstance(value, float) and value != value else value for value in values]  # noqa: PLR0124
    try:
        return pa.array(values)
    except _NO_ARRAY:
        return pa.array([text_beside_others(value) for value in values], pa.string())

"""Arrow columns from lists of Python values, without pandas.

``pyarrow.array`` imports pandas the first time it sees a list, which takes a second: too long for a script that never
uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["array_of"]

_NUMPY = {"halffloat": "float16", "float": "float32", "double": "float64"}  # integers have the same names in both


def array_of(values: Sequence[Any], type: pa.DataType) -> pa.Array:  # noqa: A002  (as pyarrow calls it)
    """Return a column of the values, None being null.

    Parameters
    ----------
    values : sequence
        Python bools, integers, floats or strings, fitting `type`.
    type : pyarrow.DataType
        Null, boolean, an integer, a floating point type or string; any other goes to ``pyarrow.array``.

    Examples
    --------
    >>> array_of([1, None, 3], pa.int64()).to_pylist(), array_of(["ü", None, ""], pa.string()).to_pylist()
    ([1, None, 3], ['ü', None, ''])
    """
    if pa.types.is_null(type):
        return pa.nulls(len(values))
    if pa.types.is_string(type):
        return _strings(values)
    if not (pa.types.is_boolean(type) or pa.types.is_integer(type) or pa.types.is_floating(type)):
        return pa.array(values, type)
    validity = _validity(values)
    if validity is not None:
        values = [0 if value is None else value for value in values]
    if pa.types.is_boolean(type):
        data = np.packbits(np.fromiter(values, np.bool_, len(values)), bitorder="little")
    else:
        data = np.fromiter(values, _NUMPY.get(str(type), str(type)), len(values))
    return pa.Array.from_buffers(type, len(values), [validity, pa.py_buffer(data)])


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """Return the bitmap of what is not None; None if nothing is."""
    if None not in values:
        return None
    present = np.fromiter((value is not None for value in values), np.bool_, len(values))
    return pa.py_buffer(np.packbits(present, bitorder="little"))


def _strings(values: Sequence[str | None]) -> pa.Array:
    encoded = [b"" if value is None else value.encode("utf-8", "backslashreplace") for value in values]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(value) for value in encoded], out=offsets[1:])
    kind, width = (pa.string(), np.int32) if offsets[-1] < 2**31 else (pa.large_string(), np.int64)
    buffers = [_validity(values), pa.py_buffer(offsets.astype(width)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(kind, len(encoded), buffers)

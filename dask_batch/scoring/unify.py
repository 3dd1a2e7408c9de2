"""One type for the values of one output column, whichever calls and chunks they came from.

Parts are put together by these rules while they are written, and all parts of a job when its output is: so the output
does not depend on how its rows were shared out. No value is altered on the way, but for integers past 2**53 in a column
that has floats too.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from dask_batch.scoring.arrays import array_of
from dask_batch.scoring.results import OR_TEXT, text_beside_others

__all__ = ["DoesNotFit", "fit_column", "plain_type", "unify_fields", "unify_types"]

# Before version 14 pyarrow united null with T, and nothing else.
_PROMOTE = {"promote_options": "permissive"} if int(pa.__version__.partition(".")[0]) >= 14 else {}
_UNITS = ("s", "ms", "us", "ns")

_SIGNED = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_ALL_INTEGERS = pa.decimal128(20, 0)  # int64 and uint64 alike


class DoesNotFit(ValueError):
    """A value is out of the range of its column's type: a date that nanoseconds do not reach."""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that values of `kind` have in the output: no dictionaries, one kind of string and of bytes.

    Examples
    --------
    >>> plain_type(pa.dictionary(pa.int32(), pa.large_string())), plain_type(pa.int8())
    (DataType(string), DataType(int8))
    """
    if pt.is_dictionary(kind) or _is(kind, "is_run_end_encoded"):
        return plain_type(kind.value_type)
    if pt.is_large_string(kind) or _is(kind, "is_string_view"):
        return pa.string()
    if pt.is_large_binary(kind) or _is(kind, "is_binary_view") or pt.is_fixed_size_binary(kind):
        return pa.binary()
    return kind


def unify_types(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that holds the values of both, or None if there is none.

    Integers with floats are double; int64 with uint64, which no integer type holds, is a decimal of 20 digits.

    Examples
    --------
    >>> unify_types(pa.int64(), pa.float32()), unify_types(pa.null(), pa.string())
    (DataType(double), DataType(string))
    >>> unify_types(pa.int64(), pa.uint64()), unify_types(pa.string(), pa.int64()) is None
    (Decimal128Type(decimal128(20, 0)), True)
    """
    one, other = plain_type(one), plain_type(other)
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        return _unify_numbers(one, other)
    if pt.is_list(one) and pt.is_list(other):
        inner = unify_types(one.value_type, other.value_type)
        return None if inner is None else pa.list_(inner)
    if (pt.is_temporal(one) and pt.is_temporal(other)) or (pt.is_nested(one) and pt.is_nested(other)):
        return _unify_by_arrow(one, other)
    return None


def unify_fields(one: pa.Field, other: pa.Field) -> pa.Field | None:
    """Return the column that holds the values of both, or None if there is none.

    A column that may be text (see `dask_batch.scoring.results.or_text`) is text where its types have nothing in common.
    """
    kind = unify_types(one.type, other.type)
    may_be_text = OR_TEXT in (one.metadata, other.metadata)
    if kind is None and may_be_text:
        kind = pa.string()
    return None if kind is None else pa.field(one.name, kind, metadata=OR_TEXT if may_be_text else None)


def fit_column(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """Return a column as a type that was unified from its own; raises DoesNotFit if a value is out of its range."""
    if column.type == kind:
        return column
    if pt.is_string(kind) and not pt.is_string(plain_type(column.type)) and not pt.is_null(column.type):
        return array_of([text_beside_others(value) for value in column.to_pylist()], kind)
    try:
        return column.cast(kind, safe=not _has_floats(kind))
    except (pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.array(column.to_pylist(), kind)  # older versions of pyarrow add no field to a struct
    except pa.ArrowInvalid as error:
        raise DoesNotFit(f"a value of type {column.type} is out of the range of {kind}: {error}") from error


def _is(kind: pa.DataType, question: str) -> bool:
    ask = getattr(pt, question, None)  # newer than the oldest pyarrow that will do
    return bool(ask and ask(kind))


def _has_floats(kind: pa.DataType) -> bool:
    if pt.is_struct(kind):
        return any(_has_floats(kind[n].type) for n in range(kind.num_fields))
    if pt.is_map(kind):
        return _has_floats(kind.item_type)
    return _has_floats(kind.value_type) if hasattr(kind, "value_type") else bool(pt.is_floating(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind))


def _unify_numbers(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if pt.is_floating(one) and pt.is_floating(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    if pt.is_floating(one) or pt.is_floating(other):
        return pa.float64()
    if pt.is_decimal(one) or pt.is_decimal(other):
        return _unify_decimals(one, other)
    if pt.is_signed_integer(one) == pt.is_signed_integer(other):
        return max(one, other, key=lambda kind: kind.bit_width)
    signed, unsigned = (one, other) if pt.is_signed_integer(one) else (other, one)
    return _SIGNED.get(max(signed.bit_width, unsigned.bit_width * 2), _ALL_INTEGERS)


def _unify_decimals(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    before, after = (max(counts) for counts in zip(_digits(one), _digits(other)))
    if before + after > 76:
        return None
    return pa.decimal128(before + after, after) if before + after <= 38 else pa.decimal256(before + after, after)


def _digits(kind: pa.DataType) -> tuple[int, int]:
    """Return how many digits values may have before and after the point; for integers of any size, the largest's.

    So the type does not depend on the order in which integers of several sizes and decimals come.
    """
    if pt.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return _ALL_INTEGERS.precision, 0


def _unify_by_arrow(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    for date, time in ((one, other), (other, one)):
        if pt.is_date(date) and pt.is_timestamp(time):
            return time if time.tz is None else None
    if pt.is_timestamp(one) and pt.is_timestamp(other):
        finer = max(one.unit, other.unit, key=_UNITS.index)
        return pa.timestamp(finer, one.tz) if one.tz == other.tz else None
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, **_PROMOTE).field("x").type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None

from __future__ import annotations

import functools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.errors import JobFailed
from dask_batch.outputs.unify import cast_batch, unify_schemas, unify_types
from dask_batch.scoring.results import or_text

NUMBERS = [pa.null(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()]
NUMBERS += [pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(5, 2)]


@pytest.mark.parametrize(
    "one, other, expected",
    [
        (pa.int8(), pa.int64(), pa.int64()),
        (pa.int32(), pa.uint32(), pa.int64()),
        (pa.int64(), pa.uint64(), pa.decimal128(20, 0)),
        (pa.int8(), pa.uint64(), pa.decimal128(20, 0)),
        (pa.list_(pa.int64()), pa.list_(pa.uint64()), pa.list_(pa.decimal128(20, 0))),
        (pa.decimal128(5, 2), pa.int64(), pa.decimal128(22, 2)),
        (pa.decimal128(38, 2), pa.decimal128(38, 0), pa.decimal256(40, 2)),
        (pa.decimal128(5, 2), pa.float32(), pa.float64()),
        (pa.int8(), pa.float32(), pa.float64()),
        (pa.null(), pa.list_(pa.int8()), pa.list_(pa.int8())),
        (pa.date32(), pa.timestamp("s"), pa.timestamp("s")),
        (pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("ns")),
        (pa.dictionary(pa.int32(), pa.string()), pa.large_string(), pa.string()),
        (pa.bool_(), pa.int64(), None),
        (pa.string(), pa.float64(), None),
        (pa.string(), pa.timestamp("s"), None),
        (pa.timestamp("s"), pa.timestamp("s", "UTC"), None),
    ],
)
def test_two_types_have_one_that_holds_both_or_none(one, other, expected):
    assert unify_types(one, other) == expected
    assert unify_types(other, one) == expected


@given(st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=6), st.randoms())
def test_the_order_of_parts_does_not_matter_to_the_types(kinds, random):
    shuffled = list(kinds)
    random.shuffle(shuffled)
    assert functools.reduce(unify_types, kinds) == functools.reduce(unify_types, shuffled)


def test_the_error_names_the_parts_that_settled_and_broke_the_type():
    schemas = [pa.schema([("a", kind)]) for kind in (pa.null(), pa.int8(), pa.int64(), pa.string())]
    with pytest.raises(JobFailed, match="type int64 in part 2 and type string in part 3"):
        unify_schemas(schemas, lambda n: f"part {n}")


@pytest.mark.parametrize("order", [1, -1])
def test_a_column_that_may_be_text_is_text_where_parts_have_nothing_in_common(order):
    tables = [or_text(pa.table({"a": values}), ["a"]) for values in (["x"], [3], [0.5])][::order]
    schema = unify_schemas(table.schema for table in tables)
    assert schema == pa.schema([("a", pa.string())])
    cast = [cast_batch(batch, schema) for table in tables for batch in table.to_batches()]
    assert [batch.column("a")[0].as_py() for batch in cast] == ["x", "3", "0.5"][::order]


def test_a_value_that_the_united_type_cannot_hold_is_told():
    batch = pa.record_batch({"a": pa.array([253402214400], pa.timestamp("s"))})
    with pytest.raises(JobFailed, match="column 'a' of the output: a value of type"):
        cast_batch(batch, pa.schema([("a", pa.timestamp("ns"))]))


def test_rows_get_the_columns_they_lack_as_nulls():
    batch = pa.record_batch({"b": pa.array([1], pa.int64())})
    cast = cast_batch(batch, pa.schema([("a", pa.string()), ("b", pa.float64())]))
    assert cast.to_pylist() == [{"a": None, "b": 1.0}]

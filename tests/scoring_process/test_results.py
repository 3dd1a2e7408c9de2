"""What run() may return, and the rows that come of it."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.scoring.arrays import array_of
from dask_batch.scoring.results import count_of, rows_of


def column(result) -> tuple[list, str]:
    rows = rows_of(result)
    if rows.table is not None:
        return rows.table.column("prediction").to_pylist(), str(rows.table.schema.field("prediction").type)
    made = array_of(rows.values, rows.type)
    made.validate(full=True)
    return made.to_pylist(), str(made.type)


@pytest.mark.parametrize(
    ("result", "values", "kind"),
    [
        ([1, 2], [1, 2], "int64"),
        ((0.5, 1.5), [0.5, 1.5], "double"),
        ([True, None], [True, None], "bool"),
        ([1, 2.5, None], [1.0, 2.5, None], "double"),
        (["a", "ü"], ["a", "ü"], "string"),
        (["a", 1, None], ["a", "1", None], "string"),
        ([True, 1], ["True", "1"], "string"),
        ([2**70, 1], [str(2**70), "1"], "string"),
        ([None, None], [None, None], "null"),
        ([b"raw"], ["raw"], "string"),
        (["\ud800"], ["\\ud800"], "string"),
        ([np.float32(0.5)], [0.5], "float"),
        ([np.int8(3), None], [3, None], "int8"),
        ([np.int64(3), 2.5], [3.0, 2.5], "double"),
        ([np.bool_(True)], [True], "bool"),
        ([np.str_("x")], ["x"], "string"),
        ([np.array(4)], [4], "int64"),
        ([[1, 2], [3]], ["[1, 2]", "[3]"], "string"),
        ([np.array([0.25, 0.75])], ["[0.25, 0.75]"], "string"),
        ([(1, {"a": np.int64(2)})], ['[1, {"a": 2}]'], "string"),
        ([datetime.date(2026, 1, 2)], [datetime.date(2026, 1, 2)], "date32[day]"),
        (np.array([1, 2], np.int16), [1, 2], "int16"),
        (np.array([[1, 2], [3, 4]]), ["[1, 2]", "[3, 4]"], "string"),
        (pd.Series(["a", None]), ["a", None], "string"),
        (pd.Series([1, 2], index=[7, 9]), [1, 2], "int64"),
        ((n * n for n in range(3)), [0, 1, 4], "int64"),
        (range(2), [0, 1], "int64"),
    ],
)
def test_elements_become_the_column_prediction(result, values, kind):
    assert column(result) == (values, kind)


def test_dates_with_times_keep_their_type():
    values, kind = column([datetime.datetime(2026, 1, 2, 3), None])
    assert values == [datetime.datetime(2026, 1, 2, 3), None]
    assert kind.startswith("timestamp")


class Odd:
    def __str__(self):
        return "odd"


def test_other_objects_become_text():
    assert column([Odd(), 3]) == (["odd", "3"], "string")


def test_dicts_become_columns_in_the_order_they_come():
    table = rows_of([{"label": "cat", "score": 1}, {"score": 0.5, "extra": [1]}]).table
    assert table.to_pylist() == [
        {"label": "cat", "score": 1.0, "extra": None},
        {"label": None, "score": 0.5, "extra": "[1]"},
    ]


def test_a_frame_is_taken_without_its_index_and_with_text_names():
    frame = pd.DataFrame({0: [1, 2], "b": ["x", None]}, index=[5, 6])
    assert rows_of(frame).table.to_pydict() == {"0": [1, 2], "b": ["x", None]}


def test_a_frame_with_objects_of_several_types_becomes_text_where_needed():
    frame = pd.DataFrame({"a": [1, 2], "b": pd.Series(["x", 3], dtype=object)})
    table = rows_of(frame).table
    assert table.to_pydict() == {"a": [1, 2], "b": ["x", "3"]}
    assert str(table.schema.field("a").type) == "int64"


def test_arrow_tables_are_taken_as_they_are():
    assert rows_of(pa.table({"a": [1]})).table.to_pydict() == {"a": [1]}


@pytest.mark.parametrize(("result", "named"), [(None, "None"), ("text", "a str"), ({"a": 1}, "a dict"), (5, "a int")])
def test_what_has_no_rows_is_refused_with_its_type_and_what_is_allowed(result, named):
    with pytest.raises(TypeError, match=f"returned {named}; it must return a list"):
        rows_of(result)
    with pytest.raises(TypeError):
        count_of(result)


def test_an_array_without_dimensions_is_refused():
    with pytest.raises(TypeError, match="ndarray"):
        rows_of(np.array(3))


@pytest.mark.parametrize("names", [["a", "a"], ["__split"], [1, "1"]])
def test_column_names_that_cannot_be_are_refused(names):
    with pytest.raises(ValueError, match="column"):
        rows_of(pd.DataFrame([[0] * len(names)], columns=names))


@pytest.mark.parametrize("result", [[], pd.DataFrame({"a": []}), (x for x in [])])
def test_no_results_are_no_rows(result):
    assert rows_of(result).count == 0


@given(st.lists(st.none() | st.text()) | st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_columns_hold_what_the_list_held(values):
    made, _ = column(values)
    assert made == [v if not isinstance(v, str) else v.encode("utf-8", "backslashreplace").decode() for v in values]


def test_a_frame_of_rows_without_columns_is_refused():
    with pytest.raises(ValueError, match="a DataFrame of 2 rows without any column"):
        rows_of(pd.DataFrame(index=range(2)))
    assert rows_of(pd.DataFrame()).count == 0

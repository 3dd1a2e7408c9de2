"""A part is one file of one schema, whatever the tables looked like."""

from __future__ import annotations

import errno
import os

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.parts import PartWriter
from dask_batch.scoring.publish import Publisher, writing
from dask_batch.scoring.results import or_text, rows_of
from dask_batch.scoring.transient import is_transient
from dask_batch.scoring.unify import unify_types


def written(folder, *tables: pa.Table) -> pa.Table | None:
    writer = PartWriter(str(folder / "part.arrow"))
    for table in tables:
        writer.write(table)
    path = writer.finish()
    if path is None:
        return None
    with pa.OSFile(path) as file:
        read = pa.ipc.open_file(file).read_all()
    assert [name for name in os.listdir(folder) if name.startswith("part")] == ["part.arrow"]
    return read


def test_tables_are_kept_in_order(tmp_path):
    tables = [pa.table({"a": [n, n + 1]}) for n in range(0, 10000, 2)]
    assert written(tmp_path, *tables).column("a").to_pylist() == list(range(10000))


def test_no_rows_make_no_file(tmp_path):
    assert written(tmp_path, pa.table({"a": pa.array([], pa.int64())})) is None


def test_types_and_columns_are_united_over_all_tables(tmp_path):
    big = pa.table({"a": pa.array(range(2_000_000), pa.int64())})  # written before the next one is seen
    read = written(tmp_path, big, pa.table({"a": [0.5], "b": ["x"]}), pa.table({"b": [None]}), pa.table({"a": [1]}))
    assert read.schema.field("a").type == pa.float64()
    assert read.slice(1_999_999).to_pylist() == [
        {"a": 1999999.0, "b": None},
        {"a": 0.5, "b": "x"},
        {"a": None, "b": "x"} | {"b": None},
        {"a": 1.0, "b": None},
    ]


def test_dictionaries_become_plain_columns(tmp_path):
    read = written(tmp_path, pa.table({"a": pa.array(["x", "y"]).dictionary_encode()}), pa.table({"a": ["z"]}))
    assert read.column("a").to_pylist() == ["x", "y", "z"]


def test_types_that_cannot_be_united_are_named(tmp_path):
    with pytest.raises(ChunkFailed, match="'a' is int64 in some rows and string in others"):
        written(tmp_path, pa.table({"a": [1]}), pa.table({"a": ["x"]}))


def test_the_rows_of_two_types_are_named_by_where_they_come_from(tmp_path):
    writer = PartWriter(str(tmp_path / "part.arrow"), lambda table: f"rows of {table['from'][0]}")
    tables = [pa.table({"a": [value], "from": [name]}) for value, name in [(None, "x"), (1, "y"), (2, "z"), ("s", "w")]]
    with pytest.raises(ChunkFailed, match="'a' is int64 in rows of y and string in rows of w"):
        for table in tables:
            writer.write(table)
        writer.finish()
    writer.abort()


def test_integers_that_no_integer_type_holds_together_stay_exact(tmp_path):
    tables = [
        pa.table({"a": pa.array([value], kind)}) for value, kind in [(-(2**63), pa.int64()), (2**64 - 1, pa.uint64())]
    ]
    read = written(tmp_path, *tables)
    assert [int(value) for value in read.column("a").to_pylist()] == [-(2**63), 2**64 - 1]


def test_a_column_that_may_be_text_is_text_as_if_its_values_had_come_together(tmp_path):
    values = [1, 2.0, 0.5, True, "x", None]
    alone = [or_text(pa.table({"a": pa.array([value])}), ["a"]) for value in values]
    together = rows_of(values).values
    assert written(tmp_path, *alone).column("a").to_pylist() == together
    assert written(tmp_path, *reversed(alone)).column("a").to_pylist() == together[::-1]


def test_integers_become_floats_inside_lists_and_structs_too(tmp_path):
    whole, broken = [[2**60 + 1], [2]], [[0.5], None]
    tables = [pa.table({"a": values, "b": [{"x": value} for value in values]}) for values in (whole, broken)]
    read = written(tmp_path, *tables)
    assert read.column("a").to_pylist() == [[2.0**60], [2.0], [0.5], None]
    assert read.column("b").to_pylist()[0] == {"x": [2.0**60]}


def test_a_date_that_the_united_type_cannot_hold_is_told(tmp_path):
    late, fine = pa.array([253402214400], pa.timestamp("s")), pa.array([1], pa.timestamp("ns"))
    with pytest.raises(
        ChunkFailed, match=r"'a': a value of type timestamp\[s\] is out of the range of timestamp\[ns\]"
    ):
        written(tmp_path, pa.table({"a": late}), pa.table({"a": fine}))


kinds = st.sampled_from([pa.null(), pa.bool_(), pa.int8(), pa.int64(), pa.float32(), pa.float64(), pa.string()])


@given(kinds, kinds)
def test_uniting_types_does_not_depend_on_the_order(first, second):
    assert unify_types(first, second) == unify_types(second, first)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOTDIR])
def test_what_another_attempt_cannot_cure_is_not_transient(number):
    assert not is_transient(OSError(number, "no"))

    def fail():
        raise OSError(number, "no")

    with pytest.raises(ChunkFailed, match="cannot write /x/y") as caught:
        writing("/x/y", fail)
    assert not caught.value.transient


def test_a_hiccup_is_tried_again():
    outcomes = iter([ConnectionResetError(), TimeoutError(), None])

    def act():
        if error := next(outcomes):
            raise error
        return "done"

    assert writing("s3://x", act, attempts=5) == "done"


def test_files_are_published_to_remote_folders(tmp_path):
    import fsspec

    folder = f"memory://{tmp_path.name}/job"
    (tmp_path / "a").write_text("part")
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "sub" / "b").write_text("file")
    publisher = Publisher(folder)
    publisher.file(str(tmp_path / "a"), "parts/1.arrow")
    publisher.content(b"{}", "reports/1.json")
    publisher.tree(str(tmp_path / "tree"), ["sub/b"], "parts/1")
    publisher.flush()
    fs = fsspec.filesystem("memory")
    assert sorted(path.split("/job/")[1] for path in fs.find(f"/{tmp_path.name}/job")) == [
        "parts/1.arrow",
        "parts/1/sub/b",
        "reports/1.json",
    ]

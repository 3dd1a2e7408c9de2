from __future__ import annotations

import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_batch.errors import InputError
from dask_batch.planning.listing import list_inputs
from dask_batch.planning.types import check_sample, infer_types, sample_files, types_of_signature

SIGNATURE = {
    "inputs": [{"name": "age", "type": "long", "required": True}, {"name": "note", "type": "string", "required": False}]
}


def types(folder) -> dict[str, str]:
    return {name: kind for name, kind, *_ in infer_types(list_inputs([str(folder)])) or []}


def test_a_signature_fixes_the_types_of_its_columns():
    kinds = ["long", "integer", "double", "float", "boolean", "string", "binary", "datetime"]
    signature = {"inputs": [{"name": kind, "type": kind, "required": True} for kind in kinds]}
    assert [kind for _, kind in types_of_signature(signature)] == [
        "int64", "int32", "double", "float", "bool", "string", "binary", "timestamp[ns]",
    ]  # fmt: skip
    assert types_of_signature({"inputs": None, "tensor": {"dtype": "uint8", "shape": [-1, 2]}}) is None


def test_text_is_read_as_pandas_would_and_one_type_fits_all_files(tmp_path):
    (tmp_path / "a.csv").write_text("n,x,day,flag,none,mixed\n1,2,2026-01-01,true,,1\n")
    (tmp_path / "b.csv").write_text("n,x,day,flag,none,mixed\n2,2.5,2026-01-02,false,,red\n")
    assert types(tmp_path) == {
        "n": "int64", "x": "double", "day": "string", "flag": "bool", "none": "string", "mixed": "string",
    }  # fmt: skip


def test_columns_that_some_files_or_rows_lack_are_kept_as_optional(tmp_path):
    for name in "abcde":
        (tmp_path / f"{name}.csv").write_text("n\n1\n")
    (tmp_path / "f.csv").write_text("n,rare\n1,2\n")
    assert infer_types(list_inputs([str(tmp_path)])) == [["n", "int64"], ["rare", "int64", "optional"]]
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "a.jsonl").write_text('{"n": 1, "tags": ["x"]}\n{"n": 2}\n')
    assert infer_types(list_inputs([str(tmp_path / "json")])) == [
        ["n", "int64"],
        ["tags", "list<item: string>", "optional"],
    ]


def test_files_may_have_nested_columns_of_different_types(tmp_path):
    pq.write_table(pa.table({"v": [[1.0]], "s": [{"x": 1}]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"v": [["a"]], "s": [{"y": "b"}]}), tmp_path / "b.parquet")
    assert list(types(tmp_path)) == ["v", "s"]


@pytest.mark.parametrize("at", [150_000, 299_999])
@pytest.mark.parametrize("late, kind", [("2.5", "double"), ("red", "string")])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_middle_and_the_end_of_a_large_file_are_sampled_too(tmp_path, form, at, late, kind):
    values = ["1000000"] * 300_000
    values[at] = late
    if form == "csv":
        (tmp_path / "a.csv").write_text("n,s,void\n" + "".join(f'{value},"x",\n' for value in values))
    else:
        texts = ('"red"' if value == "red" else value for value in values)
        (tmp_path / "a.jsonl").write_text("".join(f'{{"n": {value}, "s": "x", "void": null}}\n' for value in texts))
    assert types(tmp_path) == {"n": kind, "s": "string", "void": "string"}


def test_lines_from_the_middle_are_not_looked_at_where_they_might_begin_inside_quotes(tmp_path):
    (tmp_path / "a.csv").write_text("n,s\n" + '1,"2\n3,x\n4,y"\n' * 300_000)
    assert types(tmp_path) == {"n": "int64", "s": "string"}


def test_a_bad_line_of_json_does_not_hide_the_others(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"n": 1}\nnothing\n[]\n{"n": 2}\n' + b"[" * 100_000 + b"\n")
    assert types(tmp_path) == {"n": "int64"}


@pytest.mark.parametrize("pack, ending", [(gzip.compress, "gz"), (bz2.compress, "bz2"), (lzma.compress, "xz")])
def test_compressed_text_is_sampled_too(tmp_path, pack, ending):
    (tmp_path / f"a.csv.{ending}").write_bytes(pack(b"a,b\n1,x\n"))
    (tmp_path / f"b.jsonl.{ending}").write_bytes(pack(b'{"a": 1.5, "b": "y"}\n'))
    assert types(tmp_path) == {"a": "double", "b": "string"}


def test_a_sample_of_a_large_file_ends_between_records(tmp_path):
    text = "a,b\n" + '1,"x\ny, ""z"""\n' * 200_000
    (tmp_path / "a.csv").write_text(text)
    assert types(tmp_path) == {"a": "int64", "b": "string"}


def test_json_and_files_with_types_of_their_own(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"a": 1, "b": None}, {"a": 2, "b": True, "c": [1]}]))
    nested = {"c": "list<item: int64>"}
    assert types(tmp_path) == {"a": "int64", "b": "bool"} | nested
    pq.write_table(pa.table({"a": pa.array([1], pa.int32()), "b": [False]}), tmp_path / "b.parquet")
    assert types(tmp_path) == {"a": "int64", "b": "bool"} | nested


def test_files_that_carry_contradicting_types_are_both_named(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(
        InputError, match=r"column 'a' has type int64 in '.*a\.parquet' and type string in '.*b\.parquet'"
    ):
        types(tmp_path)


def test_unreadable_files_do_not_matter_to_the_types(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    (tmp_path / "b.csv").write_bytes(b"")
    assert types(tmp_path) == {}
    (tmp_path / "c.csv").write_text("a\n1\n")
    assert types(tmp_path) == {"a": "int64"}


def test_an_input_without_a_required_column_is_refused_with_what_it_has(tmp_path):
    (tmp_path / "a.csv").write_text("Age,note\n1,x\n")
    reason = check_sample(list_inputs([str(tmp_path)]), SIGNATURE)
    assert "'age' is not in" in reason
    assert "which has 'Age', 'note'" in reason
    (tmp_path / "b.csv").write_text("age\n1\n")
    assert check_sample(list_inputs([str(tmp_path)]), SIGNATURE) is None


def test_an_input_without_any_table_is_refused(tmp_path):
    (tmp_path / "a.pdf").write_text("x")
    assert "neither csv" in check_sample(list_inputs([str(tmp_path)]), SIGNATURE)


def test_a_sample_is_spread_over_the_input():
    files = pa.table({"path": [str(n) for n in range(1000)]})
    assert sample_files(files)[0] == 0
    assert sample_files(files)[-1] == 999
    assert sample_files(files.slice(0, 3)) == [0, 1, 2]

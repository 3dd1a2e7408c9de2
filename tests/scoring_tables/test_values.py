"""Rows that cannot be read fail alone, and what one value is does not depend on the values around it."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_batch.planning.listing import list_inputs
from dask_batch.planning.types import infer_types

ECHO = """
def init(): pass
def run(frame): return frame
"""
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize(
    "name, head, good, bad, types, said",
    [
        ("jsonl", "", '{"t": "x"}', '{"t": "\\ud83d"}', "string", "'\\ud83d' is not of type string"),
        ("jsonl", "", '{"t": "x"}', f'{{"t": {DEEP}}}', "string", "nested too deeply"),
        ("csv", "t,u\n", "x,1", f"y,1,{'z' * 200_000}", "string", "the row has 3 fields, more than the header's 2"),
        ("csv", "t\n", "2021-01-02", "3020-01-01T00:00:00Z", "timestamp[ns]", "cannot be read as timestamp[ns]"),
        ("csv", "t\n", "2021-01-02T00:00:00Z", "1 March 3020", "timestamp[ns]", "cannot be read as timestamp[ns]"),
        ("jsonl", "", '{"t": "2021-01-02"}', '{"t": "3020-01-01"}', "timestamp[ns]", "is not of type timestamp[ns]"),
    ],
)
def test_a_row_that_no_parser_takes_fails_alone(drive, write, files, name, head, good, bad, types, said):
    paths = [write(f"{n}.{name}", f"{head}{good}\n{bad}\n{good}\n") for n in range(files)]
    scored = drive(script=ECHO).score(paths, types=[["t", types]])
    assert scored.failed() == [(n, 1) for n in range(files)]
    assert scored.rows() == [(n, row) for n in range(files) for row in (0, 2)]
    assert all(said in error["message"] for error in scored.errors)


def test_dates_out_of_range_fail_where_all_of_them_are(drive, write):
    scored = drive(script=ECHO).score([write("1.csv", "t\n3020-01-01\n1066-10-14\n")], types=[["t", "timestamp[ns]"]])
    assert scored.failed() == [(0, 0), (0, 1)]


def test_byte_order_marks_are_no_part_of_any_row(drive, write):
    paths = [write(f"{n}.jsonl", b'\xef\xbb\xbf{"a":1}\n{"a":2}\n') for n in range(3)]
    driver = drive(script=ECHO)
    for types in ([["a", "int64"]], None):
        scored = driver.score(paths, types=types)
        assert scored.column("a") == [1, 2] * 3


def test_text_takes_json_as_it_is_written(drive, write):
    values = ['"02134"', "2134", "1.10", "1e5", "true", "null", '[1, "ü"]']
    path = write("1.jsonl", "".join(f'{{"zip": {value}}}\n' for value in values))
    document = write("2.json", '[{"zip": 1.10}, {"zip": "x"}]')
    scored = drive(script=ECHO).score([path, document], types=[["zip", "string"]])
    assert scored.column("zip") == ["02134", "2134", "1.10", "1e5", "true", None, '[1, "ü"]', "1.10", "x"]


@pytest.mark.parametrize("batch_rows", [1, 100])
def test_columns_that_json_only_carries_along_are_text(drive, write, batch_rows):
    files = [write("1.jsonl", '{"a": 1, "code": 2134}\n'), write("2.jsonl", '{"a": 2, "code": "02134"}\n')]
    scored = drive(script="def init(): pass\ndef run(frame): return list(frame.a)").score(
        files, types=[["a", "int64"]], include_inputs=["code"], batch_rows=batch_rows, coalesce=batch_rows > 1
    )
    assert scored.column("code") == ["2134", "02134"]


def test_carried_columns_of_files_with_types_of_their_own_become_text_beside_text(drive, write, tmp_path):
    pq.write_table(pa.table({"a": [1], "code": [2134]}), tmp_path / "1.parquet")
    files = [tmp_path / "1.parquet", write("2.csv", "a,code\n2,02134\n")]
    driver = drive(script="def init(): pass\ndef run(frame): return list(frame.a)")
    for mini_batches in ([files], [[file] for file in files]):
        scored = driver.score(*mini_batches, types=[["a", "int64"]], include_inputs=True)
        assert scored.column("code") == ["2134", "02134"]


# -- what calls return


@pytest.mark.parametrize(
    "returned, column",
    [
        ('np.array(["a", np.nan, "b"], dtype=object)', ["a", None, "b"]),
        ('["a", np.nan, "b"]', ["a", None, "b"]),
        ('pd.Series(["a", 1, 2.0], dtype=object)', ["a", "1", "2"]),
        ('["x", 3, True]', ["x", "3", "True"]),
        ("np.array([1, np.nan, 2.5], dtype=object)", [1.0, None, 2.5]),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_labels_may_be_missing_and_elements_of_several_types_are_text(drive, write, returned, column, together):
    script = f"""
import numpy as np, pandas as pd
RETURNED = {returned}
def init(): pass
def run(frame):
    return RETURNED if len(frame) > 1 else RETURNED[frame.n[0]:frame.n[0] + 1]
"""
    paths = [write(f"{n}.csv", f"n\n{n}\n") for n in range(3)]
    scored = drive(script=script).score(paths, types=[["n", "int64"]], coalesce=together)
    assert scored.errors == []
    assert [None if pd.isna(value) else value for value in scored.column("prediction")] == column


# -- types that come from a sample


def inferred(folder) -> list[list[str]]:
    return infer_types(list_inputs([str(folder)])) or []


def test_without_a_signature_no_column_is_left_out(drive, write, tmp_path):
    files = [write(f"{n}.jsonl", f'{{"id": {n}, "emb": [1.5, 2.5], "s": {{"x": 1}}}}\n') for n in range(4)]
    files.append(write("9.jsonl", '{"id": 9, "emb": [0.5], "s": {"x": 2}, "rare": "yes"}\n'))
    types = inferred(tmp_path / "in")
    assert [one[0] for one in types] == ["id", "emb", "s", "rare"]
    scored = drive(script=ECHO).score(files, types=types)
    assert scored.errors == []
    assert scored.column("emb")[0] == [1.5, 2.5]
    assert scored.column("s")[-1] == {"x": 2}
    assert scored.column("rare") == [None] * 4 + ["yes"]


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_a_decimal_number_that_the_sample_did_not_show_makes_floats_and_fails_no_row(drive, write, name):
    values = [*["12"] * 1000, "12.5", *["7"] * 1000]
    head = "n\n" if name == "csv" else ""
    lines = (value if name == "csv" else f'{{"n": {value}}}' for value in values)
    path = write(f"1.{name}", head + "".join(f"{line}\n" for line in lines))
    scored = drive(script=ECHO).score([path], types=[["n", "int64"]])
    assert scored.column("n") == [float(value) for value in values]
    assert "column 'n' has only whole numbers in the sample" in scored.warnings[0]


@pytest.mark.parametrize("large", ["9007199254740993", "18446744073709551617"])
def test_whole_numbers_that_no_float_holds_stay_whole(drive, write, large):
    path = write("1.csv", f"n\n{large}\n12.5\n7\n")
    scored = drive(script=ECHO).score([path], types=[["n", "int64"]])
    assert (0, 1) in scored.failed()
    assert set(scored.column("n")) <= {int(large), 7}


def test_with_a_signature_a_number_that_does_not_fit_fails_its_row(drive, pyfunc, write):
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(inputs=Schema([ColSpec("long", "n")]))
    model = pyfunc("def predict(frame, params):\n    return frame.n\n", signature)
    scored = drive(model).score([write("1.csv", "n\n1\n12.5\n")], types=[["n", "int64"]])
    assert scored.failed() == [(0, 1)]

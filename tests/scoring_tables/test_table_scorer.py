"""Tables through a real MLflow model: every row is in the output once, or in the errors once."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather
from pyarrow import parquet as pq

from dask_batch.scoring.cell import IDLE, READ

CSV = "a,b\n1,2\n3,4\n5,6\n"
SUMS = [4.0, 10.0, 16.0]
FRAME = pd.DataFrame({"a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, 6.0]})


def test_a_model_is_described_with_its_signature_and_flavor(drive, adder):
    description = drive(adder, check_packages=True).scorer.description()
    assert description["flavor"] == "sklearn"
    assert description["signature"]["inputs"] == [
        {"name": "a", "type": "double", "required": True},
        {"name": "b", "type": "double", "required": True},
    ]
    assert description["signature"]["tensor"] is None
    assert description["package_problems"] == []


def test_missing_packages_of_a_model_are_named(drive, pyfunc):
    model = pyfunc("def predict(frame, params):\n    return frame.iloc[:, 0]\n")
    problems = drive(model, check_packages=True).scorer.description()["package_problems"]
    assert problems == ["the model needs no-such-package-here==1.0, which is not installed."]


def _content(name: str) -> bytes:
    table = pa.Table.from_pandas(FRAME)
    sink = pa.BufferOutputStream()
    lines = "".join(json.dumps(row) + "\n" for row in FRAME.to_dict("records")).encode()
    plain, _, packing = name.partition(".")[2].partition(".")
    if plain in ("parquet", "pqt"):
        pq.write_table(table, sink)
    elif plain == "feather":
        feather.write_feather(table, sink)
    elif plain == "arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    elif plain == "ipc":
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        texts = {"csv": CSV.encode(), "tsv": CSV.replace(",", "\t").encode(), "jsonl": lines, "ndjson": lines}
        content = texts.get(plain) or json.dumps(FRAME.to_dict("records")).encode()
        if packing == "zst":
            return pa.compress(content, "zstd", asbytes=True)
        return {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}.get(packing, bytes)(content)
    return sink.getvalue().to_pybytes()


FORMATS = [f"f.{kind}{packing}" for kind in ("csv", "tsv", "jsonl", "json") for packing in ("", ".gz", ".zst")]
FORMATS += ["f.csv.bz2", "f.csv.xz", "f.ndjson", "f.parquet", "f.pqt", "f.arrow", "f.feather", "f.ipc"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(drive, adder, write, name):
    scored = drive(adder).score([write(name, _content(name))], include_inputs=["a"])
    assert scored.errors == []
    assert scored.column("prediction") == pytest.approx(SUMS)
    assert scored.column("a") == [1.0, 3.0, 5.0]
    assert scored.rows() == [(0, 0), (0, 1), (0, 2)]


def test_small_files_are_predicted_together_and_say_where_each_row_came_from(drive, pyfunc, write):
    model = pyfunc("def predict(frame, params):\n    return np.full(len(frame), len(frame))\n")
    files = [write(f"{n}.csv", CSV) for n in range(4)]
    driver = drive(model)
    together = driver.score(files, types=[["a", "double"], ["b", "double"]])
    assert together.column("prediction") == [12] * 12
    assert together.rows() == [(n // 3, n % 3) for n in range(12)]
    assert driver.score(files, coalesce=False, types=[["a", "double"]]).column("prediction") == [3] * 12
    assert together.counts == {"items": 12, "succeeded": 12, "rows_in": 12, "rows_out": 12, "bytes": 4 * len(CSV)}


@pytest.mark.parametrize("batch_rows", [1, 2, 5, 100])
def test_slices_begin_at_multiples_of_batch_rows_counted_from_the_mini_batch(drive, pyfunc, write, batch_rows):
    model = pyfunc("def predict(frame, params):\n    return np.full(len(frame), frame.a.iloc[0])\n")
    text = "a\n" + "".join(f"{n}\n" for n in range(7))
    files = [write("1.csv", text), write("2.csv", text.replace("3\n", "bad\n")), write("3.parquet", b"")]
    pq.write_table(pa.table({"a": np.arange(7.0)}), files[2])
    scored = drive(model).score(files, batch_rows=batch_rows, types=[["a", "double"]])
    items = [n for n in range(21) if n != 10]
    expected = [next(m for m in items if m >= n // batch_rows * batch_rows) % 7 for n in items]
    assert scored.column("prediction") == expected
    assert scored.failed() == [(1, 3)]


def test_rows_with_faults_fail_alone(drive, adder, write):
    good = write("good.csv", CSV)
    bad = write("bad.csv", "a,b\n1,2\n3,4,5\nx,6\n7,8\n9\n")
    scored = drive(adder).score([good, bad, good])
    assert scored.rows() == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 3), (2, 0), (2, 1), (2, 2)]
    assert scored.failed() == [(1, 1), (1, 2), (1, 4)]
    more, text, fewer = scored.errors
    assert more["message"] == "the row has 3 fields, more than the header's 2 columns"
    assert more["values"] == {"a": "3", "b": "4", "field 3": "5"}
    assert text["message"] == "column 'a': 'x' cannot be read as double"
    assert text["values"] == {"a": "x", "b": "6"}
    assert fewer["message"].startswith("the row has 1 fields, fewer")
    assert {error["stage"] for error in scored.errors} == {"read"}
    assert [error["item"] for error in scored.errors] == [4, 5, 7]
    assert scored.counts["failed"] == 3
    assert "failed_files" not in {name for name, n in scored.counts.items() if n}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "it is empty"),
        ("blank.csv", b"\n \n\r\n", "it is empty"),
        ("empty.jsonl", b"", "it is empty"),
        ("garbage.csv", b"a,b\n\x00\x01\x02\n", "bytes of value 0"),
        ("latin.csv", "a,b\n1,é\n".encode("latin-1"), "not UTF-8"),
        ("disguised.csv", b"PAR1....", "a parquet file, not what its name says"),
        ("disguised.parquet", CSV.encode(), "not a readable parquet file"),
        ("disguised.arrow", CSV.encode(), "not a readable Arrow file"),
        ("truncated.csv.gz", gzip.compress(CSV.encode() * 99, mtime=0)[:-12], "truncated or corrupt"),
        ("truncated.csv.zst", pa.compress(CSV.encode(), "zstd", asbytes=True)[:-4], "truncated or corrupt"),
        ("truncated.csv.xz", lzma.compress(CSV.encode() * 99)[:-12], "truncated or corrupt"),
        ("open.csv", b'a,b\n1,2\n3,"4\n5,6\n', "never closed"),
        ("columns.csv", b"A,b,c\n1,2,3\n", "it lacks the column 'a' that the model needs; it has 'A', 'b', 'c'"),
        ("columns.jsonl", b'{"a": 1}\n', "it lacks the column 'b'"),
        ("broken.json", b'[{"a": 1,', "not valid JSON"),
        ("lines.jsonl", b"hello\nworld\n", "not what its name says"),
        ("picture.png", b"\x89PNG", "cannot be read as a table. Formats: csv, tsv"),
    ],
)
def test_an_unreadable_file_is_one_failed_item_and_its_neighbours_succeed(drive, adder, write, name, content, said):
    scored = drive(adder).score([write("1.csv", CSV), write(name, content), write("3.csv", CSV)])
    (error,) = scored.errors
    assert said in error["message"]
    assert name in error["message"]
    assert (error["stage"], error["split"], error["row"]) == ("read", 1, None)
    assert error["file"].endswith(name)
    assert scored.column("prediction") == pytest.approx(SUMS * 2)
    assert scored.counts["failed_files"] == 1
    assert scored.counts["items"] == 7


def test_a_truncated_parquet_file_is_one_failed_item(drive, adder, write):
    path = write("whole.parquet", _content("f.parquet"))
    cut = write("cut.parquet", path.read_bytes()[:-20])
    scored = drive(adder).score([path, cut])
    assert scored.failed() == [(1, None)]
    assert scored.column("prediction") == pytest.approx(SUMS)


def test_a_file_that_changed_or_went_since_the_plan_fails_with_that_reason(drive, adder, write, split):
    paths = [write(f"{n}.csv", CSV) for n in range(4)]
    splits = [split(path) for path in paths]
    paths[0].write_text(CSV + "7,8\n")
    os.utime(paths[1], ns=(0, 0))
    paths[2].unlink()
    scored = drive(adder).score(splits)
    assert scored.failed() == [(0, None), (1, None), (2, None)]
    grown, again, gone = [error["message"] for error in scored.errors]
    assert "it had 16 bytes, now 20" in grown
    assert "written again" in again
    assert "not there any more" in gone
    assert scored.rows() == [(3, 0), (3, 1), (3, 2)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ufeffa,b\n1,2\n", [4.0]),
        ("a,b\r\n1,2\r\n3,4\r\n", [4.0, 10.0]),
        ('"a","b"\n"1","2"\n', [4.0]),
        ('x,a,b\n"two\nlines",1,2\n"a ""quote""",3,4\n', [4.0, 10.0]),
        ("a,b\n1,2\n\n3,4\n\n\n", [4.0, 10.0]),
        ("a,b\n1,2", [4.0]),
        ("a,b\n", []),
        ("a,b", []),
        ("a,b,a\n1,2,9\n", [4.0]),
        ("b,id,a\n2,02134,1\n", [4.0]),
        ("a,b\n+1, 2 \n1e0,0.2e1\n", [4.0, 4.0]),
    ],
)
def test_text_is_read_as_people_write_it(drive, adder, write, text, expected):
    driver = drive(adder)
    for files in ([write("1.csv", text)], [write("1.csv", text), write("2.csv", text)]):
        scored = driver.score(files)
        assert scored.errors == []
        assert (scored.column("prediction") if expected else []) == pytest.approx(expected * len(files))
        assert scored.counts.get("rows_in", 0) == len(expected) * len(files)


def test_columns_that_are_only_carried_along_stay_as_they_are(drive, adder, write):
    text = write("1.csv", "zip,a,b,when,yes\n02134,1,2,2020-01-01,NA\n,3,4,x,True\n")
    scored = drive(adder).score([text], include_inputs=True)
    assert scored.column("zip") == ["02134", None]
    assert scored.column("when") == ["2020-01-01", "x"]
    assert scored.column("yes") == ["NA", "True"]
    assert scored.table.column_names == ["zip", "a", "b", "when", "yes", "prediction", "__split", "__row"]


def test_integers_with_missing_values_are_carried_along_as_integers(drive, adder, tmp_path):
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [0.0, 0.0], "id": pa.array([2**60 + 1, None])}), path)
    assert drive(adder).score([path], include_inputs=["id", "nowhere"]).column("id") == [2**60 + 1, None]


def test_a_carried_column_that_clashes_with_a_prediction_gets_a_prefix_and_a_warning(drive, adder, write):
    scored = drive(adder).score([write("1.csv", "a,b,prediction\n1,2,x\n")], include_inputs=["prediction"])
    assert scored.table.column_names[:2] == ["input_prediction", "prediction"]
    assert len(scored.warnings) == 1


TYPES = """
def predict(frame, params):
    return pd.DataFrame({c: [str(t)] * len(frame) for c, t in frame.dtypes.items()})
"""


def test_lossless_casts_happen_with_one_warning_and_others_fail_those_rows(drive, pyfunc, write, tmp_path):
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"a": [1, None, 3], "b": [1.0, 2.5, 3.0], "c": [1, 0, 7]}), path)
    text = write("2.csv", "a,b,c\n1,1.0,true\n,2.5,False\n3,3,yes\n")
    scored = drive(pyfunc(TYPES)).score(
        [path, text], types=[["a", "int64"], ["b", "int32"], ["c", "bool"]], batch_rows=3
    )
    assert scored.failed() == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert "column 'b': 2.5 cannot be cast to int32 without loss" in scored.errors[0]["message"]
    assert "column 'c': 7" in scored.errors[1]["message"]
    assert scored.column("a") == ["int64", "int64"]


ECHO = """
def init(): pass
def run(frame): return frame
"""


@pytest.mark.parametrize(
    "have, want, good, bad",
    [
        (pa.uint64(), "int64", [7, 2**63 - 1], [2**63, 2**64 - 1]),
        (pa.int64(), "uint64", [7, 2**63 - 1], [-1, -(2**63)]),
        (pa.uint32(), "int32", [7, 2**31 - 1], [2**31, 2**32 - 1]),
        (pa.int64(), "int8", [-128, 127], [-129, 128, 2**62]),
        (pa.int8(), "uint64", [0, 127], [-1]),
        (pa.float64(), "int64", [-(2.0**63), 5.0], [2.0**63, 0.5]),
        (pa.float64(), "uint32", [0.0, 2.0**32 - 1], [2.0**32, -1.0]),
    ],
)
def test_integers_never_wrap_around(drive, tmp_path, have, want, good, bad):
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"x": pa.array([*good, *bad], have)}), path)
    scored = drive(script=ECHO).score([path], types=[["x", want]])
    assert scored.column("x") == good
    assert scored.failed() == [(0, n) for n in range(len(good), len(good) + len(bad))]


def test_missing_integers_become_floats_with_one_warning(drive, pyfunc, write):
    model = pyfunc("def predict(frame, params):\n    return frame.a.isna().astype(int)\n")
    files = [write("1.csv", "a\n1\nNA\n"), write("2.csv", "a\nnull\n3\n")]
    scored = drive(model).score(files, types=[["a", "int64"]])
    assert scored.column("a") == [0, 1, 1, 0]
    assert scored.warnings == ["column 'a' has missing values: its integers became floats"]


def test_text_of_a_signature_stays_text(drive, pyfunc, write):
    model = pyfunc("def predict(frame, params):\n    return frame.s.astype(object).where(frame.s.notna(), 'missing')\n")
    scored = drive(model).score([write("1.csv", 's\n007\nNA\n" "\n\n""\n')], types=[["s", "string"]])
    assert scored.column("s") == ["007", "NA", " ", "missing"]


def test_dates_are_read_one_by_one_and_bad_ones_fail(drive, pyfunc, write):
    model = pyfunc("def predict(frame, params):\n    return frame.t.dt.strftime('%Y-%m-%d %H').to_numpy()\n")
    text = write("1.csv", "t\n2020-01-02\n2020-01-02T03:04:05Z\n3 Feb 2021\nsoon\n")
    scored = drive(model).score([text], types=[["t", "timestamp[ns]"]])
    assert scored.column("prediction") == ["2020-01-02 00", "2020-01-02 03", "2021-02-03 00"]
    assert scored.failed() == [(0, 3)]


def test_a_column_of_another_kind_fails_the_file(drive, adder, tmp_path):
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"a": ["1", "2"], "b": [1.0, 2.0]}), path)
    (error,) = drive(adder).score([path]).errors
    assert "its column 'a' is string, and the model needs double" in error["message"]


POISON = """
def predict(frame, params):
    if (frame.a == 13).any():
        raise ValueError('thirteen')
    return frame.a
"""


def test_guilty_rows_are_isolated_and_carry_their_values(drive, pyfunc, write):
    text = "a,b\n" + "".join(f"{n},{n}\n" for n in range(20))
    scored = drive(pyfunc(POISON)).score(
        [write("1.csv", text), write("2.csv", text)], types=[["a", "int64"], ["b", "double"]]
    )
    assert scored.failed() == [(0, 13), (1, 13)]
    assert scored.errors[0]["type"] == "ValueError"
    assert scored.errors[0]["values"] == {"a": 13, "b": 13.0}
    assert "thirteen" in scored.errors[0]["traceback"]
    assert len(scored.rows()) == 38
    assert scored.counts["failed"] == 2


def test_no_good_row_fails_however_many_guilty_ones_it_stands_among(drive, write):
    script = """
def init(): pass
def run(frame):
    if (frame["a"] % 3 == 0).any(): raise ValueError("guilty")
    return frame["a"]
"""
    count = 11_000
    path = write("1.csv", "a\n" + "".join(f"{n}\n" for n in range(count)))
    scored = drive(script=script).score([path], types=[["a", "int64"]])
    assert scored.column("a") == [n for n in range(count) if n % 3]
    assert {error["type"] for error in scored.errors} == {"ValueError"}
    assert scored.report["mini_batches"]["attempts"][0] > 16_384


def test_without_bisection_the_whole_slice_fails(drive, pyfunc, write):
    text = "a\n" + "".join(f"{n}\n" for n in range(20))
    scored = drive(pyfunc(POISON)).score([write("1.csv", text)], types=[["a", "int64"]], bisect=False, batch_rows=8)
    assert scored.failed() == [(0, n) for n in range(8, 16)]


def test_fewer_results_than_rows_are_bisected(drive, pyfunc, write):
    model = pyfunc("def predict(frame, params):\n    return frame.a[frame.a != 3]\n")
    scored = drive(model).score([write("1.csv", "a\n1\n2\n3\n4\n")], types=[["a", "int64"]])
    assert scored.failed() == [(0, 2)]
    assert scored.column("a") == [1, 2, 4]
    assert scored.errors[0]["type"] == "WrongLength"


@pytest.mark.parametrize(("lo", "hi"), [(0, 3), (3, 8), (8, None), (0, 0), (5, 6)])
def test_a_part_of_a_mini_batch_is_exactly_those_items(drive, adder, write, lo, hi):
    files = [write("1.csv", CSV), write("2.csv", ""), write("3.csv", CSV.replace("3,4", "x,4")), write("4.csv", CSV)]
    driver = drive(adder)
    everything = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]
    scored = driver.score(files, items=(lo, hi), batch_rows=4)
    mine = everything[lo:hi]
    assert scored.rows() == [row for row in mine if row != (2, 1)]
    lost = [(1, None)] if lo == 0 else []
    assert sorted(scored.failed(), key=str) == sorted(lost + [row for row in mine if row == (2, 1)], key=str)
    assert scored.counts.get("rows_in", 0) == len(mine)


def test_row_groups_and_byte_ranges_are_read_and_their_rows_counted(drive, adder, tmp_path, split, write):
    path = tmp_path / "1.parquet"
    pq.write_table(pa.table({"a": np.arange(10.0), "b": np.zeros(10)}), path, row_group_size=4)
    text = write("1.csv", CSV)
    lines = write("1.jsonl", _content("f.jsonl"))
    half = len(lines.read_bytes().split(b"\n")[0]) + 1
    scored = drive(adder).score(
        [
            split(path, cut="row_groups", start=1, stop=3),
            split(text, cut="bytes", start=0, stop=8),
            split(text, cut="bytes", start=8, stop=16),
            split(lines, cut="bytes", start=half, stop=lines.stat().st_size),
        ]
    )
    assert scored.column("prediction") == pytest.approx([8, 10, 12, 14, 16, 18, *SUMS, *SUMS[1:]])
    assert scored.rows()[:7] == [(0, n) for n in range(6)] + [(1, 0)]
    assert scored.message["split_rows"] == {"0": 6, "1": 1, "2": 2, "3": 2}


def test_several_mini_batches_are_reported_each(drive, adder, write):
    one, two = write("1.csv", CSV), write("2.csv", "a,b\n1,1\n")
    scored = drive(adder).score([one], [two, one], first=7)
    assert scored.report["mini_batches"]["mini_batch"] == [7, 8]
    assert scored.report["mini_batches"]["rows"] == [3, 4]
    assert scored.rows() == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (2, 2)]


SCRIPT = """
def init():
    pass

def run(frame, params):
    frame['z'] = 0
    return (frame.a * params['times']).tolist()
"""


def test_a_script_gets_data_frames_and_its_parameters(drive, write):
    driver = drive(script=SCRIPT)
    assert driver.scorer.description()["takes_params"]
    scored = driver.score([write("1.csv", "a\n1\n2\n")], params={"times": 3}, types=[["a", "int64"]])
    assert scored.column("prediction") == [3, 6]


def test_a_model_without_signature_gets_all_columns_with_the_types_of_the_plan(drive, pyfunc, write):
    scored = drive(pyfunc(TYPES)).score([write("1.csv", "a,n\n1,2\n")], types=[["a", "string"], ["n", "double"]])
    assert scored.column("a")[0] in ("str", "object")
    assert scored.column("n") == ["float64"]


def test_optional_columns_may_be_missing(drive, pyfunc, write):
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(Schema([ColSpec("double", "a"), ColSpec("double", "o", required=False)]))
    model = pyfunc("def predict(frame, params):\n    return frame.o.fillna(frame.a)\n", signature)
    scored = drive(model).score([write("1.csv", "a\n1\n"), write("2.csv", "o,a\n5,1\n")])
    assert scored.column("o") == [1.0, 5.0]


def test_a_missing_integer_costs_only_its_own_row_where_mlflow_insists_on_integers(drive, pyfunc, write):
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    # With parameters, predictions go through MLflow, which refuses floats where the signature has integers.
    signature = ModelSignature(Schema([ColSpec("long", "a")]), params=ParamSchema([ParamSpec("p", "double", 1.0)]))
    model = pyfunc("def predict(frame, params):\n    return frame.a.to_numpy() * 2\n", signature)
    scored = drive(model).score([write("1.csv", "a\n1\n3\n"), write("2.csv", "a\n4\nNA\n")], max_retries=0)
    assert scored.column("prediction") == [2, 6, 8]
    assert scored.failed() == [(1, 1)]


def test_a_model_of_the_users_own_gets_missing_integers_as_floats(drive, pyfunc, write):
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(Schema([ColSpec("long", "a")]))
    model = pyfunc("def predict(frame, params):\n    return frame.a.to_numpy() * 2\n", signature)
    scored = drive(model).score([write("1.csv", "a\n1\nNA\n3\n")])
    assert scored.failed() == []
    assert scored.column("prediction")[::2] == [2.0, 6.0]


def test_the_cell_names_the_very_split_whose_reading_holds_up_the_scoring(drive, write, split, tmp_path):
    os.mkfifo(tmp_path / "slow.csv")  # opening it takes until someone writes
    files = [write("1.csv", "a\n1\n"), split(tmp_path / "slow.csv", version=""), write("3.csv", "a\n3\n")]
    driver = drive(script="def init(): pass\ndef run(frame): return list(frame.a)")
    with ThreadPoolExecutor(1) as pool:
        scoring = pool.submit(driver.score, [write("0.csv", "a\n0\n")], files, first=4, types=[["a", "int64"]])
        until = time.monotonic() + 30
        while (said := driver.place.cell.read("read")[:4]) != (READ, 5, 2, 3) and time.monotonic() < until:
            time.sleep(0.01)
        (tmp_path / "slow.csv").write_text("a\n2\n")
        scored = scoring.result()
    assert said == (READ, 5, 2, 3)
    assert scored.column("prediction") == [0, 1, 2, 3]
    assert driver.place.cell.read("read")[0] == IDLE

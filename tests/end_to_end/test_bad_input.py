"""Bad input, through the client: each message says which, why and what next, and one bad thing costs one thing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from at_work import bound_by_permissions, end_host, write
from pyarrow import feather
from servers.providers import on_every_provider

from dask_batch import LocalCompute, ModelDeployment, Workspace
from dask_batch.errors import (
    AlreadyExists,
    DeploymentInvalid,
    InputEmpty,
    InputError,
    InputMissing,
    InvalidDefinition,
    JobFailed,
    NotFound,
    StorageError,
)

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, -2.5], "name": ["x", 'ü, "q"', "two\nlines"]})
Y = [2.5, 5.5, 3.5]
CSV = FRAME.to_csv(index=False)


def base(path: str) -> str:
    return os.path.basename(path)


def jobs_of(ws: Workspace) -> set[str]:
    return set(ws.storage.list("jobs"))


# -- inputs that are refused at once -----------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder with one good file, and much that is none."""
    write(tmp_path, "in/good.txt", "good")
    (tmp_path / "empty/deeper").mkdir(parents=True)
    write(tmp_path, "hidden/.secret.txt", "x")
    write(tmp_path, "hidden/_SUCCESS", "")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ("inn", InputMissing, ["inn' does not exist", "did you mean", "/in'"]),
        ("in/god.txt", InputMissing, ["god.txt' does not exist", "good.txt"]),
        ("in/*.csv", InputMissing, ["no file matches", "*.csv"]),
        ("in/good.txt/deeper", InputMissing, ["good.txt/deeper' does not exist"]),
        ("dangling", InputMissing, ["dangling' does not exist"]),
        ("empty", InputEmpty, ["empty' holds no file", "begin with '.' or '_'"]),
        ("hidden", InputEmpty, ["hidden' holds no file", "name them one by one"]),
        ("loop", InputError, ["loop' cannot be read", "symbolic links"]),
        ("pipe", InputError, ["pipe' is neither a file nor a folder", "copy its content"]),
        ("a\0b", InputError, ["a\\x00b' cannot be read", "null"]),
        ("x" * 300, InputError, ["cannot be read", "too long"]),
    ],
)
def test_an_input_that_leads_to_no_file_is_refused_by_name(home, texts, place, given, kind, says):
    before = jobs_of(home)
    with pytest.raises(kind) as caught:
        texts.invoke([place / "in", f"{place}/{given}"])
    for part in says:
        assert part in str(caught.value)
    assert jobs_of(home) == before


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ([], InputEmpty, "empty list"),
        ("", InputMissing, "empty text"),
        ("  ", InputMissing, "empty text"),
        (None, InputError, "NoneType"),
        (42, InputError, "int"),
        ({"a": [1]}, InputError, "dict"),
        ([1, 2], InputError, "1 is no path"),
        (pd.DataFrame(), InputEmpty, "no rows"),
        (pd.DataFrame({"a": []}), InputEmpty, "no rows"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), InputError, "same name: a"),
        (pd.DataFrame({"a": [1, {1, 2}]}), InputError, "cannot be written as parquet"),
        ("nosuch://bucket/x", InputError, "nosuch"),
        ("azureml://datastores/blob/paths/x", InputError, "datastore"),
        ("azureml:patients:1", InputMissing, "no data asset 'patients'"),
        ("patients@latest", InputMissing, "no data asset 'patients'"),
    ],
)
def test_what_is_no_input_at_all_is_refused(home, texts, given, kind, says):
    before = jobs_of(home)
    with pytest.raises(kind, match=says):
        texts.invoke(given)
    assert jobs_of(home) == before


PERMISSIONS = """
import json, os, sys
import dask_batch
from dask_batch.errors import DaskBatchError

root, place = sys.argv[1:]
said = {}


def attempt(name, call):
    try:
        call()
        said[name] = None
    except DaskBatchError as error:
        said[name] = f"{type(error).__name__}: {error}"


attempt("workspace", lambda: dask_batch.Workspace(place + "/closed/workspace"))
ws = dask_batch.Workspace(root)
endpoint = ws.endpoints["texts"]
attempt("file", lambda: endpoint.invoke(place + "/in/closed.txt"))
attempt("folder", lambda: endpoint.invoke(place + "/closed"))
attempt("glob", lambda: endpoint.invoke(place + "/closed/*.txt"))
attempt("output", lambda: endpoint.invoke(place + "/in/good.txt", output=place + "/closed/out"))
attempt("model", lambda: endpoint.deploy(dask_batch.ModelDeployment(name="m", model=place + "/in/closed.txt",
                                                                    code=place + "/code", scoring_script="score.py")))
attempt("download", lambda: ws.jobs[ws.jobs.list(limit=1)[0].name].download(place + "/closed/copy"))
print(json.dumps(said))
"""


def test_what_permissions_forbid_is_named_with_its_path(home, texts, plain, score, tmp_path):
    score(texts, write(tmp_path, "in/good.txt", "good"))
    write(tmp_path, "in/closed.txt", "secret").chmod(0)
    write(tmp_path, "code/score.py", "def init(): pass\ndef run(files): return files\n")
    write(tmp_path, "closed/a.txt", "x").parent.chmod(0)
    try:
        said = json.loads(bound_by_permissions(PERMISSIONS, home.storage.root, tmp_path))
    finally:
        (tmp_path / "closed").chmod(0o700)
    for name, text in said.items():
        assert text is not None, name
        assert "closed" in text and "ermission" in text, text
    assert said["file"].startswith("InputError: ")
    assert said["output"].startswith("StorageError: ") and "name another" in said["output"]


# -- files of a job that cannot be scored ------------------------------------------------------------------------------


def bad_tables(folder: Path) -> dict[str, str]:
    """Write files that are no tables for the model, and return what must be said of each."""
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(FRAME), parquet)
    whole = parquet.getvalue().to_pybytes()
    corrupt = bytearray(whole)
    corrupt[4:200] = os.urandom(196)
    files: dict[str, tuple[str | bytes, str]] = {
        "truncated.parquet": (whole[: len(whole) // 2], "truncated"),
        "corrupt.parquet": (bytes(corrupt), "cannot be scored"),
        "text.parquet": ("hello", "not a readable parquet file"),
        "columns.csv": ("x,y\n1,2\n", "lacks the columns 'a', 'b'"),
        "one_column.csv": ("a\n1\n", "lacks the column 'b'"),
        "semicolon.csv": ("a;b\n1;2\n", "it has 'a;b'"),
        "binary.csv": (b"\0\1\2" + os.urandom(4000), "is no text"),
        "utf16.csv": (CSV.encode("utf-16"), "UTF-16"),
        "latin.csv": (CSV.encode("latin-1"), "not UTF-8"),
        "quote.csv": ('a,b,name\n1,2,"never closed\n', "never closed"),
        "zero.csv": ("", "is empty"),
        "zero.parquet": ("", "is empty"),
        "zero.jsonl": ("", "is empty"),
        "half.json": ('[{"a": 1,', "not valid JSON"),
        "fake.csv.gz": ("not compressed", "gz compression is truncated or corrupt"),
        "half.csv.gz": (gzip.compress(CSV.encode() * 50)[:-20], "gz compression is truncated or corrupt"),
        "half.csv.xz": (lzma.compress(CSV.encode() * 50)[:-20], "xz"),
        "half.csv.bz2": (bz2.compress(CSV.encode() * 50)[:-20], "bz2"),
        "notes.xyz": ("hello", "Formats: csv"),
        "README": ("hello", "Formats: csv"),
        "picture.png": (b"\x89PNG\r\n", "(image) cannot be read as a table"),
        "sheet.xlsx": (b"PK\3\4", "Formats: csv"),
    }
    for name, (content, _) in files.items():
        write(folder, name, content)
    return {name: says for name, (_, says) in files.items()}


@on_every_provider
def test_files_that_cannot_be_read_fail_alone_whatever_is_wrong_with_them(tables, score, tmp_path):
    said = bad_tables(tmp_path)
    write(tmp_path, "a_good.csv", CSV)
    write(tmp_path, "z_good.csv", CSV)
    write(tmp_path, "header.csv", "a,b,name\n")
    write(tmp_path, ".hidden.csv", "x")
    write(tmp_path, "_SUCCESS", "")
    job = score(tables, tmp_path)

    rows = job.results()
    assert [base(path) for path in rows["source_file"]] == ["a_good.csv"] * 3 + ["z_good.csv"] * 3
    assert rows["prediction"].tolist() == Y * 2
    errors = job.errors().set_index(job.errors()["file"].map(base))
    assert set(errors.index) == set(said)
    for name, says in said.items():
        assert name in errors.loc[name, "message"], name
        assert says in errors.loc[name, "message"], name
        assert (errors.loc[name, "stage"], errors.loc[name, "attempts"]) == ("read", 1)
    assert job.status.counts.failed == len(said)
    assert repr(job.status).startswith("<Completed")


@on_every_provider
def test_rows_that_cannot_be_read_fail_alone_with_their_values(tables, score, tmp_path):
    write(tmp_path, "1.csv", "a,b,name\n1,2,x\n3\n4,5,y,6,7\n6,7,z\n")
    write(tmp_path, "2.csv", "a,b,name\n1.5,5,y\nfoo,3,z\n99999999999999999999,1,q\n7,bar,p\n\n8,1,last\n")
    write(tmp_path, "3.jsonl", '{"a":1,"b":2}\n{"a":1,\n{"a":3,"b":1}\n[1]\n{"b":1}\n')
    job = score(tables, tmp_path)
    failed = {(base(row.file), row.row): row.message for row in job.errors().itertuples()}
    assert failed.pop(("1.csv", 1)).endswith("fewer than the header's 3 columns")
    assert failed.pop(("1.csv", 2)).endswith("more than the header's 3 columns")
    assert "'1.5' cannot be read as int64" in failed.pop(("2.csv", 0))
    assert "column 'a': 'foo'" in failed.pop(("2.csv", 1))
    assert "99999999999999999999" in failed.pop(("2.csv", 2))
    assert "column 'b': 'bar'" in failed.pop(("2.csv", 3))
    assert "not valid JSON" in failed.pop(("3.jsonl", 1))
    assert "[1]" in failed.pop(("3.jsonl", 3))
    rows = job.results()
    good = [(base(path), row) for path, row in zip(rows["source_file"], rows["source_row"], strict=True)]
    assert good[:3] == [("1.csv", 0), ("1.csv", 3), ("2.csv", 4)]
    assert {("3.jsonl", 0), ("3.jsonl", 2)} <= set(good) and len(good) + len(failed) == 6
    assert "foo" in job.errors("table")["a"].astype(str).tolist()


@on_every_provider
def test_missing_numbers_become_floats_with_one_warning_and_harm_no_other_row(tables, score, tmp_path):
    write(tmp_path, "1.csv", CSV)
    write(tmp_path, "2.csv", "a,b,name\n1,2,x\n,5,y\nNaN,NA,z\n3,,z\n")
    pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": [1.0, 1.0, float("nan")]}).to_parquet(
        tmp_path / "3.parquet"
    )
    job = score(tables, tmp_path)
    assert len(job.errors()) == 0
    assert job.results()["prediction"].fillna(-99).tolist() == [*Y, 4, -99, -99, -99, 3, -99, -99]
    warned = [event["message"] for event in job.events() if event["event"] == "warning"]
    assert warned == ["column 'a' has missing values: its integers became floats"]


@on_every_provider
def test_nothing_readable_at_all_is_a_failed_job_that_says_why(tables, tmp_path):
    write(tmp_path, "a.csv", "")
    write(tmp_path, "b.xyz", "x")
    with pytest.raises(JobFailed) as caught:
        tables.invoke(tmp_path).wait(120, show=False)
    assert "none of 2 items succeeded" in str(caught.value)
    assert "a.csv" in str(caught.value) and "is empty" in str(caught.value) and "next:" in str(caught.value)


def test_a_header_without_rows_is_an_output_without_rows(tables, score, tmp_path):
    job = score(tables, write(tmp_path, "header.csv", "a,b,name\n"))
    assert job.status == "Completed" and len(job.results()) == 0 and len(job.errors()) == 0


@pytest.mark.parametrize("name", ["zero.txt", "unknown.ending", "no ending", "binary.csv"])
def test_scripts_get_any_file_whatever_its_name_or_content(texts, plain, score, tmp_path, name):
    job = score(plain, write(tmp_path, name, b"" if name.startswith("zero") else b"\0\xff\x80"))
    assert job.results()["prediction"].tolist() == [1]
    assert base(job.results()["source_file"][0]) == name


def test_wide_and_long_csv_fields_arrive_whole(tables, score, tmp_path):
    long = "ü" * 2_000_000
    wide = ",".join(f"c{n}" for n in range(5_000))
    values = ",".join(str(n) for n in range(5_000))
    write(tmp_path, "long.csv", f'a,b,name\n1,2,"{long}\n,"\n3,4,short\n')
    write(tmp_path, "wide.csv", f"{wide},b,a\n{values},1,2\n")
    job = score(tables, tmp_path, include_inputs=["name", "c4999"], output_file_name="p.parquet")
    rows = job.results()
    assert rows["prediction"].tolist() == [4.0, 10.0, 5.0]
    assert rows["name"][0] == f"{long}\n,"
    assert rows["c4999"].tolist()[2] == "4999"


# -- formats -----------------------------------------------------------------------------------------------------------


def in_all_formats(folder: Path) -> int:
    """Write the same rows in every format, and return in how many."""
    text = CSV.encode()
    lines = "".join(json.dumps(row) + "\n" for row in FRAME.to_dict("records")).encode()
    FRAME.to_csv(folder / "t.tsv", sep="\t", index=False)
    FRAME.to_csv(folder / "crlf.csv", index=False, lineterminator="\r\n")
    FRAME.to_parquet(folder / "p.parquet")
    FRAME.to_parquet(folder / "q.pqt")
    feather.write_feather(FRAME, str(folder / "f.feather"))
    with pa.ipc.new_stream(str(folder / "s.arrow"), pa.Table.from_pandas(FRAME).schema) as stream:
        stream.write(pa.Table.from_pandas(FRAME))
    contents = {
        "c.csv": text, "UPPER.CSV": text, "bom.csv": b"\xef\xbb\xbf" + text, "noend.csv": text[:-1],
        "c.csv.gz": gzip.compress(text), "c.csv.bz2": bz2.compress(text), "c.csv.xz": lzma.compress(text),
        "c.csv.zst": pa.compress(text, "zstd", asbytes=True),
        "l.jsonl": lines, "l.ndjson": lines, "l.jsonl.gz": gzip.compress(lines),
        "j.json": json.dumps(FRAME.to_dict("records")).encode(),
    }  # fmt: skip
    for name, content in contents.items():
        write(folder, name, content)
    return len(os.listdir(folder))


@on_every_provider
@pytest.mark.parametrize("coalesce", [True, False])
def test_the_same_rows_give_the_same_predictions_in_every_format(tables, score, tmp_path, coalesce):
    count = in_all_formats(tmp_path)
    job = score(tables, tmp_path, include_inputs=["name"], coalesce=coalesce, output_file_name="p.parquet")
    assert job.errors().empty
    rows = job.results()
    for file, group in rows.groupby("source_file"):
        assert group["prediction"].tolist() == Y, file
        assert group["name"].tolist() == FRAME["name"].tolist(), file
        assert group["source_row"].tolist() == [0, 1, 2], file
    assert rows["source_file"].nunique() == count == 18
    assert rows["source_file"].is_monotonic_increasing


# -- names -------------------------------------------------------------------------------------------------------------

NAMES = [
    "two words",
    "a/b",
    "../up",
    "..",
    "größe",
    "名前",
    "x" * 300,
    "x" * 65,
    "",
    ".hidden",
    "-dash",
    "a\nb",
    "a:1",
    "%41",
    "a\0",
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_that_is_no_name_is_refused_everywhere_with_the_rule(home, texts, tmp_path, name):
    file = write(tmp_path, "in.txt", "x")
    before = (list(home.endpoints), list(home.compute), list(texts.deployments), jobs_of(home))
    attempts = {
        "endpoint": lambda: home.endpoints.create(name),
        "deployment": lambda: texts.deploy(ModelDeployment(name=name, code=str(tmp_path), scoring_script="s.py")),
        "compute": lambda: home.compute.create_or_update(LocalCompute(name=name)),
        "model": lambda: home.models.create(name, path=str(file)),
        "data": lambda: home.data.create(name, path=str(file)),
        "job": lambda: texts.invoke(file, job_name=name),
    }
    for what, attempt in attempts.items():
        with pytest.raises(InvalidDefinition) as caught:
            attempt()
        assert "A-Z a-z 0-9 . _ -" in str(caught.value), what
        assert len(str(caught.value)) < 400
    assert (list(home.endpoints), list(home.compute), list(texts.deployments), jobs_of(home)) == before


@pytest.mark.parametrize("name", ["a", "9", "A-b_c.d", "x" * 64])
def test_names_at_the_edge_of_the_rule_work(home, texts, score, tmp_path, name):
    job = score(texts, write(tmp_path, "in.txt", "x"), job_name=f"{name}"[:64])
    assert home.jobs[job.name].results()["prediction"].tolist() == ["in.txt: x"]


# -- paths -------------------------------------------------------------------------------------------------------------

ODD = [
    "a space.txt", "it's.txt", '"quoted".txt', "#1.txt", "100%.txt", "%41.txt", "what?.txt", "new\nline.txt",
    "[x].txt", "*.txt", "{a,b}.txt", "a&b;c|d.txt", "back\\slash.txt", "$HOME.txt", "~tilde.txt", "-dash.txt",
    "ünï 名.txt", "a=b.txt", "a::b.txt", "tab\t.txt", " leading.txt", "trailing.txt ", "x" * 251 + ".txt",
]  # fmt: skip


@on_every_provider
def test_files_with_any_name_are_scored_and_named_as_they_are(texts, score, odd_path, tmp_path):
    for n, name in enumerate(ODD):
        write(odd_path, name, "bad" if n == 7 else str(n))
    target = tmp_path / "out 'of' #1 %20?\n[x]"
    job = score(texts, odd_path, output=target, mini_batch_size=5)
    expected = sorted(name for name in ODD if name != ODD[7])
    rows = job.results()
    assert [base(path) for path in rows["source_file"]] == expected
    assert rows["prediction"].tolist() == [f"{name}: {ODD.index(name)}" for name in expected]
    assert [base(path) for path in job.errors()["file"]] == [ODD[7]]
    assert job.outputs == {"score": str(target)} and (target / "predictions.csv").exists()
    assert job.results("path") == str(target / "predictions.csv")


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_a_file_with_any_name_is_itself_and_no_pattern(tables, texts, tmp_path, name):
    from dask_batch.planning.listing import list_inputs

    write(tmp_path, "x.txt", "another")
    path = write(tmp_path, name, "1")
    assert list_inputs([str(path)]).column("path").to_pylist() == [str(path)]
    assert texts.estimate(path).items == 1


def test_tables_with_any_name_are_scored(tables, score, odd_path):
    names = [name.removesuffix(".txt").strip()[:200] + ".csv" for name in ODD]
    for name in names:
        write(odd_path, name, CSV)
    rows = score(tables, [odd_path / name for name in names]).results()
    assert [base(path) for path in rows["source_file"][::3]] == names
    assert rows["prediction"].tolist() == Y * len(names)


def test_a_workspace_at_any_path_runs_jobs(odd_path, make_scripted, score, tmp_path, linear):
    with Workspace(odd_path / "work space") as ws:
        try:
            endpoint = make_scripted(
                ws, "e", "def init(): pass\ndef run(files): return [open(f).read() for f in files]"
            )
            job = score(endpoint, write(odd_path, "in/a b.txt", "x"))
            assert job.results()["prediction"].tolist() == ["x"]
            endpoint.deploy(ModelDeployment(name="m", model=str(linear)))
            job = score(endpoint, FRAME, deployment="m", output_file_name="p.parquet")
            assert job.results()["prediction"].tolist() == Y
            assert "begins" in job.logs("host")
        finally:
            end_host(ws)


# -- output places -----------------------------------------------------------------------------------------------------


def test_an_output_place_that_is_taken_is_refused_before_the_job_exists(home, texts, score, tmp_path):
    file = write(tmp_path, "in.txt", "x")
    write(tmp_path, "taken/notes.md", "mine")
    write(tmp_path, "a_file", "mine")
    before = jobs_of(home)
    with pytest.raises(AlreadyExists, match=r"taken' holds files already \(notes\.md\).*overwrite=True"):
        texts.invoke(file, output=tmp_path / "taken")
    for place in (tmp_path / "a_file", tmp_path / "a_file/out"):
        with pytest.raises((StorageError, AlreadyExists), match="a_file"):
            texts.invoke(file, output=place)
    assert jobs_of(home) == before and (tmp_path / "a_file").read_text() == "mine"
    job = score(texts, file, output=tmp_path / "taken", overwrite=True)
    assert job.results()["prediction"].tolist() == ["in.txt: x"]
    assert (tmp_path / "taken/notes.md").read_text() == "mine"


@pytest.mark.parametrize("place", ["/proc/dask-batch", "/dev/null/out", "nosuch://x/y", "x" * 300, "a\0b"])
def test_an_output_place_that_cannot_be_written_is_refused_by_name(home, texts, tmp_path, place, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, listed = jobs_of(home), len(home.jobs.list(limit=1000))
    with pytest.raises((StorageError, InvalidDefinition)) as caught:
        texts.invoke(write(tmp_path, "in.txt", "x"), output=place)
    assert place[:200].replace("\0", "\\x00") in str(caught.value)
    assert jobs_of(home) == before and len(home.jobs.list(limit=1000)) == listed


@pytest.mark.parametrize("output", ["", "  ", "rows.csv", "x/rows.parquet"])
def test_an_output_that_is_no_folder_says_what_to_write(texts, tmp_path, output):
    with pytest.raises(InvalidDefinition, match=r"output_file_name=|leave it out"):
        texts.invoke(write(tmp_path, "in.txt", "x"), output=output)


def test_overwriting_replaces_an_earlier_output_of_another_format(texts, score, tmp_path):
    file = write(tmp_path, "in.txt", "x")
    out = tmp_path / "out"
    score(texts, file, output=out)
    with pytest.raises(AlreadyExists, match="overwrite=True"):
        texts.invoke(file, output=out)
    score(texts, file, output=out, overwrite=True, output_file_name="p.parquet")
    assert sorted(name for name in os.listdir(out) if not name.startswith(("_", "."))) == ["p.parquet"]
    file.write_text("bad")
    with pytest.raises(JobFailed):
        score(texts, file, output=out, overwrite=True)
    assert pd.read_parquet(out / "p.parquet")["prediction"].tolist() == ["in.txt: x"]


# -- overrides, deployments, params ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"mini_batch_sise": 3}, "did you mean 'mini_batch_size'"),
        ({"mini_batch_size": 0}, "mini_batch_size=0"),
        ({"mini_batch_size": 2.5}, "mini_batch_size=2.5"),
        ({"mini_batch_size": "many"}, "mini_batch_size='many'"),
        ({"mini_batch_size": True}, "mini_batch_size=True"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": "soon"}, "timeout='soon'"),
        ({"error_threshold": -2}, "error_threshold=-2"),
        ({"error_threshold": "two"}, "error_threshold='two'"),
        ({"error_threshold": "101%"}, "error_threshold='101%'"),
        ({"output_action": "append"}, "append_row"),
        ({"output_file_name": "rows.xlsx"}, r"\.csv, \.parquet, \.jsonl"),
        ({"output_file_name": "../rows.csv"}, "without folders"),
        ({"output_file_name": "predictions"}, r"\.csv, \.parquet, \.jsonl"),
        ({"output_action": "summary_only", "output_file_name": "a.csv"}, "leave output_file_name out"),
        ({"logging_level": "loud"}, "warning"),
        ({"instance_count": 0}, "instance_count=0"),
        ({"environment_variables": {"A=B": "x"}}, "A=B"),
        ({"environment_variables": ["A"]}, "environment_variables"),
        ({"set": {"retry_settings.timout": 1}}, "did you mean 'timeout'"),
        ({"set": {"settings.timeout": 1}, "timeout": 2}, "given twice"),
        ({"params": {"a": float("nan")}}, "as JSON"),
        ({"params": {"a": object()}}, "as JSON"),
    ],
)
def test_an_override_that_cannot_be_is_refused_by_key(home, texts, tmp_path, overrides, says):
    before = jobs_of(home)
    with pytest.raises(InvalidDefinition, match=says):
        texts.invoke(write(tmp_path, "in.txt", "x"), **overrides)
    assert jobs_of(home) == before


def test_a_deployment_that_is_not_there_is_refused_with_those_that_are(texts, tmp_path):
    with pytest.raises(NotFound, match=r"'e'.*deployments: d"):
        texts.invoke(write(tmp_path, "in.txt", "x"), deployment="e")


def test_params_are_refused_by_a_script_that_takes_none(plain, tmp_path):
    with pytest.raises(InvalidDefinition, match=r"run\(mini_batch, params\)"):
        plain.invoke(write(tmp_path, "in.txt", "x"), params={"a": 1})


# -- models and scripts ------------------------------------------------------------------------------------------------


def test_a_model_that_does_not_load_is_refused_with_its_traceback(home, tmp_path, linear):
    endpoint = home.endpoints.create("unloadable")
    write(tmp_path, "broken/MLmodel", "flavors:\n  python_function:\n    loader_module: no_such_loader\n")
    write(tmp_path, "garbage/MLmodel", "{{{")
    write(tmp_path, "empty/readme.txt", "no model")
    with pytest.raises(DeploymentInvalid, match="no_such_loader"):
        endpoint.deploy(ModelDeployment(name="a", model=str(tmp_path / "broken")))
    with pytest.raises((DeploymentInvalid, InvalidDefinition), match=r"garbage|MLmodel"):
        endpoint.deploy(ModelDeployment(name="b", model=str(tmp_path / "garbage")))
    with pytest.raises(InvalidDefinition, match="scoring script"):
        endpoint.deploy(ModelDeployment(name="c", model=str(tmp_path / "empty")))
    with pytest.raises(NotFound, match=r"nowhere.*no such file"):
        endpoint.deploy(ModelDeployment(name="d", model=str(tmp_path / "nowhere")))
    assert list(endpoint.deployments) == []


MISBEHAVING = """
import ctypes, os, sys, time


def init(): pass


def run(mini_batch):
    (path,) = mini_batch
    text = open(path).read()
    if text == "exit": sys.exit(3)
    if text == "die": os._exit(4)
    if text == "crash": ctypes.string_at(0)
    if text == "hang": ctypes.PyDLL(None).sleep(600)
    if text == "none": return None
    if text == "type": return {"a": 1}
    if text == "few": return []
    if text == "unpicklable": raise type("Odd", (Exception,), {"__reduce__": None})("odd one")
    if text == "fork" and os.fork() == 0: pass
    if text == "print":
        for _ in range(20): print("x" * (1 << 20))
    if text == "cwd": os.chdir("/")
    if text == "close": os.close(1)
    return [text]
"""


@on_every_provider
def test_whatever_a_script_does_costs_its_own_file_only(home, make_scripted, score, tmp_path):
    guilty = {
        "exit": "SystemExit", "die": "exit status 4", "crash": "SIGSEGV", "hang": "timeout of 2 s", "none": "None",
        "type": "dict", "few": "FewerResults", "unpicklable": "odd one",
    }  # fmt: skip
    innocent = ["cwd", "close", "fork", "print", "ok"]
    for n, what in enumerate([*guilty, *innocent]):
        write(tmp_path, f"{n:02d}.txt", what)
    endpoint = make_scripted(home, "misbehaving", MISBEHAVING, mini_batch_size=1, timeout=2)
    job = score(endpoint, tmp_path)
    assert job.results()["prediction"].tolist() == innocent
    errors = job.errors()
    assert len(errors) == len(guilty)
    for (what, says), error in zip(guilty.items(), errors.itertuples(), strict=True):
        assert says in f"{error.type} {error.message}", what


def test_a_code_folder_with_things_that_are_no_files_is_refused_by_name(home, texts, tmp_path):
    makers = {
        "loop": lambda path: path.symlink_to(tmp_path / "loop"),
        "pipe": os.mkfifo,
        "dangling": lambda path: path.symlink_to("nowhere"),
    }
    for name, make in makers.items():
        write(tmp_path / name, "score.py", "def init(): pass\ndef run(files): return files\n")
        make(tmp_path / name / "odd")
        with pytest.raises(StorageError, match=f"{name}/odd' cannot be read.*take it out"):
            texts.deploy(ModelDeployment(name="odd", code=str(tmp_path / name), scoring_script="score.py"))
    assert list(texts.deployments) == ["d"]

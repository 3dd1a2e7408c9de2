from __future__ import annotations

import contextlib
import csv
import errno
import io
import itertools
import json
import os
import pickle

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outputs_job import Job, rows

from dask_batch.errors import AlreadyExists, JobFailed, Refused, StorageError
from dask_batch.jobs.readers import read_output
from dask_batch.outputs import tasks
from dask_batch.outputs.claim import claim_output
from dask_batch.outputs.finalize import assemble, clean, discard, finalize, format_group, plan_finalizing
from dask_batch.outputs.read import read_rows
from dask_batch.scoring.results import or_text
from dask_batch.storage import Storage


def two_files(job, make_rows):
    """Two files of three rows, the first in two splits."""
    job.plan([(0, "/in/a.csv"), (1, "/in/a.csv"), (2, "/in/b.csv")])
    job.commit((1, 3), make_rows([1, 2, 2, 2], [0, 0, 1, 2], prediction=[3.0, 4, 5, 6]), split_rows={1: 1, 2: 3})
    job.commit((0, 1), make_rows([0, 0], [0, 1], prediction=[1, 2]), split_rows={0: 2})
    return job.decide()


CSV = (
    "prediction,source_file,source_row\n"
    "1.0,/in/a.csv,0\n2.0,/in/a.csv,1\n3.0,/in/a.csv,2\n4.0,/in/b.csv,0\n5.0,/in/b.csv,1\n6.0,/in/b.csv,2\n"
)


def test_rows_stand_in_input_order_and_say_where_they_came_from(make_job, make_rows):
    job = make_job()
    summary = finalize(job.folder, two_files(job, make_rows))
    assert (job.place / "predictions.csv").read_text() == CSV
    assert summary == {"outputs": {"score": job.output["url"]}, "rows": 6, "bytes": len(CSV), "collected": 0}
    assert sorted(os.listdir(job.place)) == ["_SUCCESS", "_owner.json", "predictions.csv"]


def test_json_lines_and_parquet_hold_the_same_rows(make_job, make_rows):
    lines, dataset = make_job(file_name="p.jsonl"), make_job(file_name="p.parquet")
    for job in (lines, dataset):
        finalize(job.folder, two_files(job, make_rows))
    expected = pd.read_csv(io.StringIO(CSV))
    assert [json.loads(line) for line in (lines.place / "p.jsonl").read_text().splitlines()] == expected.to_dict(
        "records"
    )
    assert os.listdir(dataset.place / "p.parquet") == ["part-00000.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(dataset.place / "p.parquet"), expected, check_dtype=False)


@pytest.mark.parametrize("file_name", ["p.csv", "p.jsonl", "p.parquet"])
def test_tasks_that_run_apart_make_the_same_bytes_as_one_call(make_job, make_rows, file_name, monkeypatch):
    monkeypatch.setattr("dask_batch.outputs.finalize.rows_per_file", lambda _: 4 if "parquet" in file_name else 16)
    one, other = make_job(file_name=file_name), make_job(file_name=file_name)
    finalize(one.folder, two_files(one, make_rows))
    decision = two_files(other, make_rows)
    work = pickle.loads(pickle.dumps(plan_finalizing(other.folder, decision)))
    assert len(work.tasks) == 2
    results = [format_group(pickle.loads(pickle.dumps(task))) for task in reversed(work.tasks)]
    assert len(pickle.dumps(results[0])) < 1024
    assemble(other.folder, work, results)
    assert contents(one.place) == contents(other.place)


def contents(place) -> dict[str, bytes]:
    found = {str(path.relative_to(place)): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("_")}


VALUES = st.one_of(st.none(), st.floats(width=64), st.integers(-(2**40), 2**40).map(float))
TEXTS = st.one_of(st.none(), st.text(max_size=5), st.sampled_from(['"', ",", "\n", "", " a", "ü"]))


@given(st.lists(st.tuples(VALUES, TEXTS), min_size=1, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_any_chunking_of_the_same_rows_yields_the_same_bytes(tmp_path_factory, values, data):

    made = []
    for file_name in ("p.csv", "p.jsonl", "p.parquet"):
        for _ in range(2):
            job = Job(str(tmp_path_factory.mktemp("chunking")), file_name=file_name)
            job.plan([(n, f"/in/{n // 3}.csv") for n in range(len(values))])
            cuts = sorted({0, len(values), *data.draw(st.lists(st.integers(0, len(values)), max_size=5))})
            for lo, hi in itertools.pairwise(cuts):
                part = rows(
                    list(range(lo, hi)),
                    [0] * (hi - lo),
                    x=pa.array([x for x, _ in values[lo:hi]]),
                    text=pa.array([text for _, text in values[lo:hi]]),
                )
                job.commit(
                    (lo, hi), part, split_rows=dict.fromkeys(range(lo, hi), 1), batch=data.draw(st.integers(1, 9))
                )
            finalize(job.folder, job.decide())
            made.append(contents(job.place))
        assert made[-1] == made[-2]


def test_csv_reads_back_exactly(make_job, make_rows):
    floats = [0.1, 1e300, 5e-324, -0.0, 3.0, 1 / 3, None, float("inf")]
    texts = ['a "quoted" one', "comma, here", "new\nline", "", None, " space ", "plain", "ü"]
    job = make_job()
    job.plan([(0, "/in/a,b.csv")])
    job.commit((0, 1), make_rows([0] * 8, list(range(8)), x=floats, text=texts, n=pa.array([2**63 - 1] * 8)))
    finalize(job.folder, job.decide())
    text = (job.place / "predictions.csv").read_text()
    made = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [float(row["x"]) if row["x"] else None for row in made] == floats
    assert [row["text"] for row in made] == [text or "" for text in texts]
    assert {row["n"] for row in made} == {str(2**63 - 1)}
    assert {row["source_file"] for row in made} == {"/in/a,b.csv"}
    # Missing is nothing at all; an empty text is quoted.
    assert '\n-0.0,"",' in text
    assert "\n3.0,," in text


def test_parts_that_do_not_fit_together_name_column_types_and_files(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (1, "/in/b.csv")])
    job.commit((0, 1), make_rows([0], [0], p=["red"]))
    job.commit((1, 2), make_rows([1], [0], p=[1]))
    with pytest.raises(
        JobFailed, match=r"column 'p' .* string in '/in/a.csv' \(mini-batch 0\) and type int64 in '/in/b.csv'"
    ):
        finalize(job.folder, job.decide())
    assert not (job.place / "_SUCCESS").exists()


@pytest.mark.parametrize("file_name", ["p.csv", "p.jsonl", "p.parquet"])
def test_elements_of_several_types_are_text_and_large_integers_exact_in_every_chunking(make_job, make_rows, file_name):
    large = [pa.array([-1], pa.int64()), pa.array([2**64 - 1], pa.uint64()), pa.array([2], pa.int8())]
    made = [
        or_text(make_rows([n], [0], prediction=[value], hash=large[n]), ["prediction"])
        for n, value in enumerate(["x", 3, 0.5])
    ]
    job = make_job(file_name=file_name)
    job.plan([(n, f"/in/{n}.csv") for n in range(3)])
    for n, table in enumerate(made):
        job.commit((n, n + 1), table)
    finalize(job.folder, job.decide())
    found = read_output(f"{job.place}/{file_name}", [f"{file_name}/part-00000.parquet"], None, "arrow")
    assert found.column("prediction").to_pylist() == ["x", "3", "0.5"]
    if file_name != "p.parquet":
        text = (job.place / file_name).read_text()
        assert "18446744073709551615" in text and "-1" in text
    else:
        assert [int(value) for value in found.column("hash").to_pylist()] == [-1, 2**64 - 1, 2]


def test_rows_of_a_retry_take_their_places_among_the_others(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (0, "/in/b.csv"), (1, "/in/c.csv")])
    job.commit((0, 2), make_rows([0, 1, 1, 2], [0, 0, 2, 0], p=[1, 3, 5, 6]), split_rows={0: 2, 1: 3, 2: 1})
    job.commit((0, 1, 1, 2), make_rows([0], [1], p=[2.5]), run=2, split_rows={0: 1})
    job.commit((0, 1, 3, 4), make_rows([1], [1], p=[4]), run=2, split_rows={1: 1})
    finalize(job.folder, job.decide(2))
    frame = pd.read_csv(job.place / "predictions.csv")
    assert frame["p"].tolist() == [1, 2.5, 3, 4, 5, 6]
    assert frame["source_row"].tolist() == [0, 1, 0, 1, 2, 0]


def test_what_a_later_run_scored_again_replaces_the_earlier_rows(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (0, "/in/b.csv"), (1, "/in/b.csv")])
    job.commit((0, 2), make_rows([0, 0, 2], [0, 1, 0], p=[1, 2, 9]), split_rows={0: 2, 1: 0, 2: 1})
    job.commit((0, 1), make_rows([0, 0, 1], [0, 1, 0], p=[10, 20, 30]), run=2, split_rows={0: 2, 1: 1})
    finalize(job.folder, job.decide(2))
    frame = pd.read_csv(job.place / "predictions.csv")
    assert frame["p"].tolist() == [10, 20, 30, 9]
    assert frame["source_row"].tolist() == [0, 1, 0, 1]


def test_rows_of_scripts_are_left_as_they_are(make_job, make_rows):
    job = make_job(input_format="files")
    job.plan([(0, "/in/a.png"), (0, "/in/b.png")])
    job.commit((0, 1), make_rows([0, 1], [0, 0], out=["x", "y"], source_file=["/in/a.png", None]))
    finalize(job.folder, job.decide())
    assert (job.place / "predictions.csv").read_text() == "out,source_file\nx,/in/a.png\ny,\n"


def test_an_output_column_named_like_ours_is_kept(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv")])
    job.commit((0, 1), make_rows([0], [0], source_file=["mine"]))
    finalize(job.folder, job.decide())
    frame = pd.read_csv(job.place / "predictions.csv")
    assert frame.iloc[0].to_dict() == {"source_file": "mine", "dask_batch_source_file": "/in/a.csv", "source_row": 0}


def test_an_output_without_rows_has_a_header(make_job):
    job = make_job()
    job.plan([(0, "/in/a.csv")])
    job.commit((0, 1))
    finalize(job.folder, job.decide())
    assert (job.place / "predictions.csv").read_text() == "source_file,source_row\n"
    dataset = make_job(file_name="p.parquet")
    dataset.plan([(0, "/in/a.csv")])
    dataset.commit((0, 1))
    finalize(dataset.folder, dataset.decide())
    assert pd.read_parquet(dataset.place / "p.parquet").empty


def test_files_of_scripts_are_copied_and_the_last_of_a_name_wins(make_job):
    job = make_job(input_format="files", output_action="summary_only")
    job.plan([(n, f"/in/{n}.png") for n in range(3)])
    job.commit((2, 3), files={"same.txt": "2", "deep/er/x.txt": "x"})
    job.commit((0, 1), files={"same.txt": "0", "odd 'name'#%.txt": "o"})
    job.commit((1, 2), files={"same.txt": "1"})
    summary = finalize(job.folder, job.decide())
    assert contents(job.place) == {"same.txt": b"2", "deep/er/x.txt": b"x", "odd 'name'#%.txt": b"o"}
    assert summary["collected"] == 3


@pytest.mark.parametrize("name", ["predictions.csv", "_SUCCESS", "../outside.txt"])
def test_a_script_cannot_write_over_what_is_ours(make_job, name):
    job = make_job(input_format="files")
    job.plan([(0, "/in/a.png")])
    entry = job.commit((0, 1), files={"x": "1"})
    report = job.folder.storage.read_json(job.folder.path(entry.report))
    job.folder.storage.put_json(job.folder.path(entry.report), report | {"files": [[0, name]]})
    with pytest.raises(JobFailed, match="mini-batch 0 left a file"):
        finalize(job.folder, job.decide())


# -- again, and over what is there -------------------------------------------------------------------------------------


def test_finalizing_again_changes_nothing(make_job, make_rows):
    job = make_job()
    decision = two_files(job, make_rows)
    first = finalize(job.folder, decision)
    assert clean(job.folder, job.folder.definition(), decision)
    assert finalize(job.folder, decision) == first
    work = plan_finalizing(job.folder, decision)
    assert assemble(job.folder, work, []) == first


def test_an_assembly_that_was_interrupted_anywhere_can_be_repeated(make_job, make_rows, monkeypatch):
    from dask_batch.outputs import finalize as module

    real = module.move
    for stop_at in range(3):
        job = make_job(file_name="p.parquet")
        monkeypatch.setattr("dask_batch.outputs.finalize.rows_per_file", lambda _: 3)
        decision = two_files(job, make_rows)
        work = plan_finalizing(job.folder, decision)
        results = [format_group(task) for task in work.tasks]
        moved = []

        def move(source, target, moved=moved, stop_at=stop_at):
            if len(moved) == stop_at:
                moved.append("broken")
                raise KeyboardInterrupt
            real(source, target)
            moved.append(target)

        monkeypatch.setattr(module, "move", move)
        if stop_at < 2:
            with pytest.raises(KeyboardInterrupt):
                assemble(job.folder, work, results)
            assert not (job.place / "_SUCCESS").exists()
        assemble(job.folder, work, results)
        assert len(pd.read_parquet(job.place / "p.parquet")) == 6
        assert not [name for name in os.listdir(job.place) if name.startswith(".")]


@pytest.mark.parametrize("file_name", ["p.csv", "p.parquet"])
@pytest.mark.parametrize("frozen_in", ["append_files", "move"])
def test_who_was_frozen_over_it_takes_nothing_away_from_who_was_quicker(
    make_job, make_rows, monkeypatch, file_name, frozen_in
):
    from dask_batch.outputs import finalize as module

    monkeypatch.setattr(module, "rows_per_file", lambda _: 4 if "parquet" in file_name else 16)
    job, real, met = make_job(file_name=file_name), getattr(module, frozen_in), []
    decision = two_files(job, make_rows)
    work = plan_finalizing(job.folder, decision)
    results = [format_group(task) for task in work.tasks]

    def freeze(*arguments):
        real(*arguments)
        if not met:
            met.append(True)
            finish_elsewhere(job, decision)

    monkeypatch.setattr(module, frozen_in, freeze)
    with contextlib.suppress(OSError):  # it may find its own files gone, or what it would put them together from
        assemble(job.folder, work, results)
    assert met or (file_name, frozen_in) == ("p.parquet", "append_files")
    if met:
        assert json.loads((job.place / "_SUCCESS").read_text())["rows"] == 6
        assert contents(job.place) == job.expected


def test_who_was_frozen_over_a_run_does_not_take_the_next_one_for_its_own(make_job, make_rows, monkeypatch):
    from dask_batch.outputs import finalize as module

    monkeypatch.setattr(module, "rows_per_file", lambda _: 16)
    job, real, met = make_job(file_name="p.csv"), module.append_files, []
    decision = two_files(job, make_rows)
    work = plan_finalizing(job.folder, decision)
    results = [format_group(task) for task in work.tasks]

    def freeze(*arguments):
        real(*arguments)
        if not met:
            met.append(True)
            finish_elsewhere(job, decision)
            job.place.joinpath("_SUCCESS").write_text(json.dumps({"job": "j", "run": 2, "files": ["p.csv"]}))

    monkeypatch.setattr(module, "append_files", freeze)
    assert assemble(job.folder, work, results)["rows"] == 6
    assert json.loads((job.place / "_SUCCESS").read_text())["run"] == 2


def finish_elsewhere(job, decision):
    """What another host does meanwhile, to the end."""
    summary = finalize(job.folder, decision)
    job.folder.close(1, {"outcome": "Completed", "reason": None, **summary})
    clean(job.folder, job.folder.definition(), decision)
    job.expected = contents(job.place)


def test_a_crash_before_the_move_leaves_the_old_output_as_it_was(make_job, make_rows, tmp_path):
    place = tmp_path / "shared"
    old = make_job(url=str(place), name="old")
    finalize(old.folder, two_files(old, make_rows))
    before = (place / "predictions.csv").read_bytes()
    new = make_job(url=str(place), name="new", overwrite=True)
    claim_output(str(place), "new", overwrite=True)
    decision = two_files(new, make_rows)
    work = plan_finalizing(new.folder, decision)
    [format_group(task) for task in work.tasks]
    assert (place / "predictions.csv").read_bytes() == before
    assert (place / "_SUCCESS").exists()
    finalize(new.folder, decision)
    assert json.loads((place / "_SUCCESS").read_text())["job"] == "new"
    assert not [name for name in os.listdir(place) if name.startswith(".")]


@pytest.mark.parametrize("before, after", [("p.parquet", "p.csv"), ("p.csv", "p.parquet"), ("p.parquet", "p.parquet")])
def test_overwriting_removes_what_the_old_job_left_and_nothing_else(make_job, make_rows, tmp_path, before, after):
    place = tmp_path / "shared"
    old = make_job(url=str(place), name="old", file_name=before)
    old.plan([(0, "/in/a.csv")])
    old.commit((0, 1), make_rows([0], [0], p=[1]), files={"extra/x.txt": "x"})
    finalize(old.folder, old.decide())
    (place / "notes.txt").write_text("mine")
    (place / "p.parquet").mkdir(exist_ok=True)
    (place / "p.parquet/part-99999.parquet").write_text("stray")
    new = make_job(url=str(place), name="new", file_name=after)
    claim_output(str(place), "new", overwrite=True)
    finalize(new.folder, two_files(new, make_rows))
    names = set(contents(place))
    assert "notes.txt" in names
    assert "extra/x.txt" not in names
    if after == "p.parquet":
        assert names == {"notes.txt", "p.parquet/part-00000.parquet"}


def test_a_place_that_another_job_took_is_not_written(make_job, make_rows):
    job = make_job()
    decision = two_files(job, make_rows)
    claim_output(job.output["url"], "other", overwrite=True)
    with pytest.raises(AlreadyExists, match="was taken by job 'other'"):
        finalize(job.folder, decision)
    assert contents(job.place) == {}


def test_a_full_disk_is_named_and_nothing_half_written_is_visible(make_job, make_rows):
    job = make_job()
    decision = two_files(job, make_rows)
    job.place.mkdir(parents=True)
    work = plan_finalizing(job.folder, decision)
    full = [task.__class__(**{**task.__dict__, "url": "/dev/full"}) for task in work.tasks]
    with pytest.raises(StorageError, match=r"'/dev/full' cannot be written: No space left"):
        [format_group(task) for task in full]
    assert contents(job.place) == {}


def test_parts_stay_while_items_are_failed(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv")])
    job.commit((0, 1), make_rows([0], [0], p=[1]), errors=[{"mini_batch": 0, "item": 1}])
    decision = job.decide()
    finalize(job.folder, decision)
    assert not clean(job.folder, job.folder.definition(), decision)
    assert job.folder.storage.list(job.folder.path("parts"))
    assert not clean(job.folder, {"settings": {"keep_parts": True}}, decision | {"counts": {}})
    assert clean(job.folder, {"settings": {}}, decision | {"counts": {}})
    assert not job.folder.storage.exists(job.folder.path("parts"))


def test_rows_of_a_running_job_can_be_read(make_job, make_rows):
    job = make_job()
    assert read_rows(job.folder, []).num_rows == 0
    two_files(job, make_rows)
    partial = read_rows(job.folder, job.entries[:1])
    assert partial.column("prediction").to_pylist() == [3.0, 4.0, 5.0, 6.0]
    assert partial.column("source_file").to_pylist() == ["/in/a.csv"] + ["/in/b.csv"] * 3


def test_row_groups_do_not_depend_on_batches(make_job, make_rows, monkeypatch):
    monkeypatch.setattr(tasks, "_ROW_GROUP", 10)
    sizes = []
    for batch in (3, 7, 100):
        job = make_job(file_name="p.parquet")
        job.plan([(0, "/in/a.csv")])
        job.commit((0, 1), make_rows([0] * 35, list(range(35)), p=np.arange(35)), batch=batch)
        finalize(job.folder, job.decide())
        file = pq.ParquetFile(job.place / "p.parquet/part-00000.parquet")
        sizes.append([file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)])
    assert sizes == [[10, 10, 10, 5]] * 3


# -- remote ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_name", ["p.csv", "p.jsonl", "p.parquet"])
def test_a_bucket_gets_the_same_outputs(make_job, make_rows, bucket, file_name, monkeypatch):
    monkeypatch.setattr("dask_batch.outputs.finalize.rows_per_file", lambda _: 4)
    local, remote = make_job(file_name=file_name), make_job(root=f"{bucket}/ws-{file_name}", file_name=file_name)
    finalize(local.folder, two_files(local, make_rows))
    decision = two_files(remote, make_rows)
    work = plan_finalizing(remote.folder, decision)
    assemble(remote.folder, work, [format_group(task) for task in work.tasks])
    fs = fsspec.filesystem("s3")
    url = remote.output["url"]
    base = fs._strip_protocol(url)
    fs.invalidate_cache()
    found = {path[len(base) + 1 :]: fs.cat_file(path) for path in fs.find(url) if "/_" not in path}
    assert found == contents(local.place)
    assert fs.exists(f"{url}/_SUCCESS")
    assert finalize(remote.folder, decision)["rows"] == 6


def test_outputs_in_a_bucket_are_replaced_when_all_new_ones_are_there(make_job, make_rows, bucket):
    url = f"{bucket}/shared"
    old = make_job(url=url, name="old", file_name="p.parquet")
    old.plan([(0, "/in/a.csv")])
    old.commit((0, 1), make_rows([0], [0], p=[1]), files={"x.txt": "x"})
    finalize(old.folder, old.decide())
    new = make_job(url=url, name="new", file_name="p.parquet")
    claim_output(url, "new", overwrite=True)
    finalize(new.folder, two_files(new, make_rows))
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    names = sorted(path.split("/shared/")[1] for path in fs.find(url))
    assert names == ["_SUCCESS", "_owner.json", "p.parquet/part-00000.parquet"]
    with fs.open(f"{url}/p.parquet/part-00000.parquet") as file:
        assert pq.read_table(file).num_rows == 6


@pytest.mark.parametrize("root", ["local", "s3"])
def test_what_earlier_runs_left_unfinished_makes_room_and_a_failed_attempt_leaves_nothing(
    make_job, make_rows, root, bucket, monkeypatch, tmp_path
):
    url = str(tmp_path / "out") if root == "local" else f"{bucket}/{tmp_path.name}/out"
    job, place = make_job(url=url), Storage(url)
    two_files(job, make_rows)
    others = {".dask-batch-j-2-00000000", ".dask-batch-j-1-1-00000000", ".dask-batch-other-1-00000000"}
    for name in ("predictions.csv", ".dask-batch-j-1-00000000/p.csv", *(f"{name}/p.csv" for name in others)):
        place.put(name, b"x")
    seen = []

    def full(*_):
        seen.append({name.rpartition("-")[0] for name in place.list("") if name.startswith(".")})
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("dask_batch.outputs.finalize.append_files", full)
    monkeypatch.setattr("dask_batch.outputs.finalize.rows_per_file", lambda _: 16)
    job.folder.close(1, {"outcome": "Failed"})
    decision = job.decide(run=2)
    work = plan_finalizing(job.folder, decision)
    results = [format_group(task) for task in work.tasks]
    with pytest.raises(StorageError, match="No space left"):
        assemble(job.folder, work, results)
    discard(work)
    assert seen == [{name.rpartition("-")[0] for name in others}]
    assert {name for name in place.list("") if name.startswith(".")} == others


def test_a_run_that_was_closed_as_failed_is_not_finalized_by_whoever_wakes_up_later(make_job, make_rows):
    job = make_job()
    work = plan_finalizing(job.folder, two_files(job, make_rows))
    results = [format_group(task) for task in work.tasks]
    job.folder.close(1, {"outcome": "Failed"})
    plan_finalizing(job.folder, job.decide(run=2))
    with pytest.raises(Refused, match="closed as failed"):
        assemble(job.folder, work, results)
    assert not (job.place / "_SUCCESS").exists()

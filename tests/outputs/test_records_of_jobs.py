from __future__ import annotations

import pytest

from dask_batch.errors import JobFailed
from dask_batch.outputs.finalize import clean, finalize
from dask_batch.outputs.records import (
    ERROR_COLUMNS,
    check_parts,
    find_duplicates,
    read_errors,
    read_mini_batches,
)


def error(mini_batch, item, split, row, **more):
    known = {
        "stage": "predict",
        "type": "ValueError",
        "message": "no",
        "traceback": "…",
        "file": f"/in/{split}",
        "attempts": 4,
    }
    return known | {"mini_batch": mini_batch, "item": item, "split": split, "row": row} | more


def test_errors_say_which_row_of_the_file_failed(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (1, "/in/a.csv"), (2, "/in/b.csv")])
    job.commit((1, 3), errors=[error(1, 2, 1, 2), error(2, None, 2, None, stage="read")], split_rows={1: 5, 2: 0})
    job.commit((0, 1), make_rows([0] * 4, range(4), p=[1] * 4), split_rows={0: 4})
    frame = read_errors(job.folder, job.entries)
    assert tuple(frame.columns) == ERROR_COLUMNS
    assert frame["row"].tolist()[0] == 6
    assert frame["row"].isna().tolist() == [False, True]
    assert frame["stage"].tolist() == ["predict", "read"]
    assert frame["attempts"].tolist() == [4, 4]


def test_a_job_without_errors_has_an_empty_frame(make_job):
    frame = read_errors(make_job().folder, [])
    assert tuple(frame.columns) == ERROR_COLUMNS
    assert frame.empty


def test_what_a_later_run_scored_again_replaces_its_errors(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (1, "/in/b.csv")])
    first = [error(0, 1, 0, 1), error(0, 2, 0, 2), error(1, None, 1, None)]
    job.commit((0, 2), errors=first, split_rows={0: 3})
    job.commit((0, 1, 1, 2), make_rows([0], [1], p=[1]), run=2)
    assert read_errors(job.folder, job.entries)["item"].tolist()[0] == 2
    job.commit((0, 1, 2, 3), errors=[error(0, 2, 0, 2, message="still no")], run=2)
    job.commit((1, 2), make_rows([1], [0], p=[1]), run=2)
    assert read_errors(job.folder, job.entries)["message"].tolist() == ["still no"]


def test_mini_batches_add_up_over_pieces_and_runs(make_job, make_rows):
    job = make_job(input_format="files")
    job.plan([(0, "/in/a"), (0, "/in/b"), (1, "/in/c")])
    job.commit((1, 2), make_rows([2], [0], p=[1]))
    job.commit((0, 1, 0, 1), make_rows([0], [0], p=[1]))
    job.commit((0, 1, 1, None), errors=[error(0, 1, 1, 0)])
    frame = read_mini_batches(job.folder, job.entries)
    budgets = ["attempts", "process_deaths", "instance_losses", "storage_errors"]
    assert list(frame.columns) == ["mini_batch", "items", "rows", "failed", *budgets, "instance", "seconds"]
    assert frame[["mini_batch", "items", "rows", "failed", "seconds"]].to_numpy().tolist() == [
        [0, 2, 1, 1, 1.0],
        [1, 1, 1, 0, 0.5],
    ]
    job.commit((0, 1, 1, 2), make_rows([1], [0], p=[1]), run=2)
    frame = read_mini_batches(job.folder, job.entries)
    assert frame[["items", "rows", "failed"]].to_numpy().tolist() == [[2, 2, 0], [1, 1, 0]]


def test_mini_batches_outlive_their_reports(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv")])
    job.commit((0, 1), make_rows([0], [0], p=[1]))
    decision = job.decide()
    before = read_mini_batches(job.folder, job.entries)
    finalize(job.folder, decision)
    assert clean(job.folder, job.folder.definition(), decision)
    assert read_mini_batches(job.folder, job.entries).equals(before)


def test_names_that_two_mini_batches_used_are_found(make_job):
    job = make_job(input_format="files")
    job.plan([(n, f"/in/{n}") for n in range(4)])
    job.commit((3, 4), files={"x.txt": "3"})
    job.commit((0, 1), files={"x.txt": "0", "y.txt": "0"})
    job.commit((1, 2), files={"y.txt": "1"})
    assert find_duplicates(job.folder, job.entries) == [(1, "y.txt", 0), (3, "x.txt", 0)]


def test_the_same_mini_batch_may_write_its_files_again_in_a_later_run(make_job):
    job = make_job(input_format="files")
    job.plan([(0, "/in/a"), (0, "/in/b")])
    job.commit((0, 1), files={"x.txt": "1"})
    job.commit((0, 1), files={"x.txt": "2"}, run=2)
    assert find_duplicates(job.folder, job.entries) == []


def test_parts_are_checked_before_a_job_is_called_complete(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv"), (1, "/in/b.csv")])
    job.commit((0, 1), make_rows([0], [0], p=[None]))
    job.commit((1, 2), make_rows([1], [0], p=[1]))
    check_parts(job.folder, job.entries)
    job.commit((2, 3), make_rows([1], [1], p=["x"]))
    with pytest.raises(JobFailed, match="column 'p'"):
        check_parts(job.folder, job.entries)

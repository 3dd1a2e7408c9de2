"""Retrying: failed items are scored again, and what succeeds goes where it belongs in the outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from servers.providers import on_every_provider

import dask_batch as db
from dask_batch.errors import JobCanceled, JobFailed, Refused

pytestmark = on_every_provider

FILES = """
import os, time

def init(): pass

def run(mini_batch):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("".join(os.path.basename(path) + "\\n" for path in mini_batch))
    numbers = [int(open(path).read()) for path in mini_batch]
    bad = {int(n) for n in open(os.environ["BAD"]).read().split()}
    if bad & set(numbers):
        raise ValueError("bad numbers")
    if os.path.exists(os.environ["BAD"] + ".slow"):
        time.sleep(0.3)
    return numbers
"""

ROWS = """
import os, time

def init():
    while os.path.exists(os.environ["BAD"] + ".wait"):
        time.sleep(0.05)

def run(frame):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("".join(f"{x}\\n" for x in frame["x"]))
    bad = {int(n) for n in open(os.environ["BAD"]).read().split()}
    if bad & set(frame["x"]):
        raise ValueError("bad rows")
    return (frame["x"] * 10).tolist()
"""


class Ground:
    """An endpoint with a script whose dislikes are in a file, and what its run() was called with."""

    def __init__(self, folder: Path, workspace: db.Workspace) -> None:
        self.endpoint = workspace.endpoints.create("numbers")
        self.inputs, self.code = folder / "input", folder / "code"
        self.calls, self.bad = folder / "calls", folder / "bad"
        self.inputs.mkdir()
        self.code.mkdir()
        self.dislikes()

    def dislikes(self, *numbers: int) -> None:
        self.bad.write_text(" ".join(map(str, numbers)))
        self.calls.write_text("")

    def called(self) -> list[str]:
        return self.calls.read_text().split()

    def deploy(self, script: str, **settings: object) -> None:
        (self.code / "score.py").write_text(script)
        variables = {"CALLS": str(self.calls), "BAD": str(self.bad)}
        self.endpoint.deploy(
            db.ModelDeployment(
                name="d",
                code=str(self.code),
                scoring_script="score.py",
                max_retries=0,
                environment_variables=variables,
                **settings,
            )
        )


@pytest.fixture
def ground(tmp_path, ws):
    return Ground(tmp_path, ws)


@pytest.fixture
def files(ground):
    """Forty files in mini-batches of four."""
    for number in range(40):
        (ground.inputs / f"{number:03d}.txt").write_text(str(number))
    ground.deploy(FILES, mini_batch_size=4)
    return ground


@pytest.fixture
def tables(ground):
    """Three csv files of twenty rows, x counting through."""
    for n in range(3):
        pd.DataFrame({"x": range(20 * n, 20 * n + 20)}).to_csv(ground.inputs / f"{n}.csv", index=False)
    return ground


def output(job: db.Job) -> bytes:
    return Path(job.results("path")).read_bytes()


def counts(job: db.Job) -> tuple[int, int, int, int]:
    found = job.status.counts
    return found.items, found.succeeded, found.failed, found.rows_out


def test_failed_files_of_a_completed_job_are_scored_again_and_nothing_else(files):
    files.dislikes(3, 4, 5, 38)
    job = files.endpoint.invoke(files.inputs).wait(60, show=False)
    assert counts(job) == (40, 36, 4, 36)
    files.dislikes()
    assert job.retry_failed().wait(60, show=False).status == "Completed"
    assert files.called() == ["003.txt", "004.txt", "005.txt", "038.txt"]
    assert counts(job) == (40, 40, 0, 40)
    assert job.errors().empty
    assert output(job) == output(files.endpoint.invoke(files.inputs).wait(60, show=False))
    assert not job.folder.storage.exists(job.folder.path("parts"))
    frame = job.mini_batches()
    assert (len(frame), frame["items"].sum(), frame["failed"].sum()) == (10, 40, 0)


def test_what_fails_again_stays_failed_with_its_new_reason(files):
    files.dislikes(3, 4, 17)
    job = files.endpoint.invoke(files.inputs).wait(60, show=False)
    files.dislikes(17)
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (40, 39, 1, 39)
    assert [os.path.basename(file) for file in job.errors()["file"]] == ["017.txt"]
    files.dislikes()
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (40, 40, 0, 40)
    assert list(job.results()["prediction"]) == list(range(40))


def test_mini_batches_that_failed_as_a_whole_go_again_as_a_whole(files):
    files.dislikes(*range(8, 20))
    job = files.endpoint.invoke(files.inputs, bisect=False).wait(60, show=False)
    files.dislikes()
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (40, 40, 0, 40)
    assert files.called() == [f"{n:03d}.txt" for n in range(8, 20)]
    redone = [entry["chunk"] for entry in job.folder.decision(2)["entries"] if entry.get("redo")]
    assert all(len(chunk) == 2 for chunk in redone), "chunks of whole mini-batches"


def test_failed_rows_are_scored_again_and_nothing_else(tables):
    tables.deploy(ROWS, input_format="table")
    tables.dislikes(2, 3, 19, 45)
    job = tables.endpoint.invoke(tables.inputs).wait(60, show=False)
    assert counts(job) == (60, 56, 4, 56)
    values = job.errors(as_="table")
    assert [(os.path.basename(file), row) for file, row in values.index] == [
        ("0.csv", 2), ("0.csv", 3), ("0.csv", 19), ("2.csv", 5)
    ]  # fmt: skip
    assert list(values["x"]) == [2, 3, 19, 45]
    tables.dislikes(19)
    job.retry_failed().wait(60, show=False)
    assert set(tables.called()) == {"2", "3", "19", "45"}
    assert counts(job) == (60, 59, 1, 59)
    assert [(os.path.basename(e.file), e.row) for e in job.errors().itertuples()] == [("0.csv", 19)]
    tables.dislikes()
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (60, 60, 0, 60)
    assert output(job) == output(tables.endpoint.invoke(tables.inputs).wait(60, show=False))


def test_a_file_that_could_not_be_read_is_read_again_with_the_failed_rows_beside_it(tables, eventually):
    middle, away, wait = tables.inputs / "1.csv", tables.code / "1.csv", Path(f"{tables.bad}.wait")
    tables.deploy(ROWS, input_format="table")
    tables.dislikes(2, 59)
    wait.touch()
    job = tables.endpoint.invoke(tables.inputs)
    eventually(lambda: job.folder.storage.exists(job.folder.path("plan.parquet")), "the input is listed")
    middle.rename(away)
    wait.unlink()
    job.wait(60, show=False)
    assert counts(job) == (41, 38, 3, 38)
    assert job.status.counts.failed_files == 1
    tables.dislikes()
    away.rename(middle)
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (60, 60, 0, 60)
    assert job.status.counts.failed_files == 0
    assert list(job.results()["prediction"]) == [10 * n for n in range(60)]
    assert list(job.results()["source_row"]) == [*range(20)] * 3
    assert set(tables.called()) == {"2", "59", *map(str, range(20, 40))}


def test_a_file_that_changed_fails_again_and_two_versions_are_never_mixed(tables):
    tables.deploy(ROWS, input_format="table")
    tables.dislikes(5)
    job = tables.endpoint.invoke(tables.inputs).wait(60, show=False)
    tables.dislikes()
    pd.DataFrame({"x": range(100, 125)}).to_csv(tables.inputs / "0.csv", index=False)
    told = job.retry_failed(explain=True)
    assert told.changed == (str(tables.inputs / "0.csv"),)
    assert "1 input file changed since the job was planned" in str(told)
    job.retry_failed().wait(60, show=False)
    assert "changed since the job was planned" in job.errors()["message"].iloc[-1]
    assert 10 * 100 not in list(job.results()["prediction"])


def test_a_failed_job_is_finished_while_its_failed_items_are_retried(files):
    files.dislikes(3, 13)
    job = files.endpoint.invoke(files.inputs, error_threshold=0)
    with pytest.raises(JobFailed, match="error_threshold"):
        job.wait(60, show=False)
    files.dislikes()
    job.retry_failed().wait(60, show=False)
    assert counts(job) == (40, 40, 0, 40)
    assert list(job.results()["prediction"]) == list(range(40))


def test_a_host_that_dies_while_items_are_retried_costs_nothing(files, eventually, end_host):
    files.dislikes(*range(0, 40, 2))
    job = files.endpoint.invoke(files.inputs).wait(60, show=False)
    files.dislikes()
    Path(f"{files.bad}.slow").touch()
    job.retry_failed()
    eventually(lambda: job.peek().counts.succeeded > 22, "some items are retried")
    assert end_host()
    job.wait(60, show=False)
    assert counts(job) == (40, 40, 0, 40)
    assert list(job.results()["prediction"]) == list(range(40))
    assert len(job.mini_batches()) == 10
    assert [event["event"] for event in job.events()].count("taken up by another host") == 1


def test_a_retry_that_is_canceled_leaves_what_was_completed(files, eventually):
    files.dislikes(*range(0, 40, 2))
    job = files.endpoint.invoke(files.inputs, max_concurrency_per_instance=1).wait(60, show=False)
    before = output(job)
    files.dislikes()
    Path(f"{files.bad}.slow").touch()
    job.retry_failed()
    eventually(lambda: job.peek().counts.succeeded > 22, "some items are retried")
    job.cancel()
    with pytest.raises(JobCanceled):
        job.wait(60, show=False)
    items, succeeded, failed, _ = counts(job)
    assert (items, succeeded + failed, failed) == (40, 40, len(job.errors()))
    assert 0 < failed < 20
    assert (Path(job.outputs["score"]) / "predictions.csv").read_bytes() == before
    Path(f"{files.bad}.slow").unlink()
    job.retry_failed().wait(60, show=False)
    assert list(job.results()["prediction"]) == list(range(40))


def test_a_job_without_failed_items_has_nothing_to_retry(files):
    job = files.endpoint.invoke(files.inputs).wait(60, show=False)
    with pytest.raises(Refused, match=r"no item of job .* is failed"):
        job.retry_failed()
    assert job.retry_failed(explain=True).nothing
    assert str(job.resume(explain=True)) == "Nothing will be scored again: every mini-batch is finished."


def test_another_run_is_explained_before_it_is_opened(files):
    files.dislikes(3, 13)
    job = files.endpoint.invoke(files.inputs, error_threshold=0, max_concurrency_per_instance=1)
    with pytest.raises(JobFailed):
        job.wait(60, show=False)
    resumed, retried = job.resume(explain=True), job.retry_failed(explain=True)
    assert (resumed.again, retried.again) == (0, job.status.counts.failed)
    assert resumed.mini_batches == 10
    assert 0 < resumed.mini_batches_left < 10
    assert "will stay failed; retry_failed() scores failed items again" in str(resumed)
    assert job.status == "Failed"
    (files.code / "score.py").write_text(FILES + "# changed\n")
    files.endpoint.deployments["d"].update(code=str(files.code))
    assert "Deployment 'd' was changed since: the job keeps the one" in str(job.resume(explain=True))
    (files.inputs / "039.txt").unlink()
    assert job.resume(explain=True).changed == (str(files.inputs / "039.txt"),)

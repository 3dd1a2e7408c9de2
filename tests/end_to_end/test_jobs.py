"""Jobs as users live with them: side by side, canceled, killed, picked up elsewhere, changed per invocation."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from at_work import PATIENCE_S, end_host, processes_about, scoring_processes, write
from servers.providers import on_every_provider

from dask_batch import Workspace
from dask_batch.errors import JobCanceled, JobFailed, Refused

pytestmark = on_every_provider

# Rows say when and where each file was scored. A file that says "bad" raises; one that says "slow" takes long.
DIARY = """
import logging
import os
import time

log = logging.getLogger("diary")


def init():
    log.debug("a whisper")
    log.info("a word")
    log.warning("a shout")


def run(mini_batch, params):
    rows = []
    for path in mini_batch:
        began = time.time()
        if "touch" in params:
            open(os.path.join(params["touch"], os.path.basename(path)), "a").close()
        with open(path) as file:
            text = file.read()
        if text == "bad":
            raise ValueError(f"{os.path.basename(path)} is bad")
        time.sleep(params.get("slow", 600) if text == "slow" else params.get("sleep", 0))
        said = {"name": os.path.basename(path), "text": text, "size": len(mini_batch)}
        if params.get("diary"):
            said |= {"began": began, "ended": time.time(), "pid": os.getpid(), "said": os.environ.get("SAID", "")}
        rows.append(said)
    import pandas as pd
    return pd.DataFrame(rows)
"""


@pytest.fixture(scope="session")
def diary(home, make_scripted):
    return make_scripted(home, "diary", DIARY, timeout=1000)


@pytest.fixture
def files(tmp_path):
    """Return a function that writes numbered files, some with other texts, and returns their folder."""

    def make(count: int, name: str = "in", **texts: str) -> Path:
        for n in range(count):
            write(tmp_path / name, f"{n:04d}.txt", texts.get(f"n{n}", f"text {n}"))
        return tmp_path / name

    return make


def seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def in_bytes(job) -> bytes:
    return Path(job.results("path")).read_bytes()


# -- side by side ------------------------------------------------------------------------------------------------------


def test_jobs_at_once_share_the_slots_fairly(home, provider, diary, files):
    home.compute.create_or_update(provider.compute("two", slots=2))
    endpoint = home.endpoints.create("fair")
    endpoint.deploy(diary.default_deployment.spec.replace(endpoint_name=None, compute="two"))
    asked = {"mini_batch_size": 1, "params": {"sleep": 0.1, "diary": True}}
    try:
        jobs = [endpoint.invoke(files(40), **asked) for _ in range(2)]
        first, second = (job.wait(PATIENCE_S, show=False).results() for job in jobs)
    finally:
        end_host(home, "two")
    begin, end = max(first.began.min(), second.began.min()), min(first.ended.max(), second.ended.max())
    shares = [frame.began.between(begin, end).sum() for frame in (first, second)]
    assert min(shares) >= 10 and max(shares) <= 2 * min(shares)
    assert len(first) == len(second) == 40


def test_a_job_uses_no_more_processes_than_it_may(diary, score, files):
    asked = {"mini_batch_size": 1, "params": {"sleep": 0.05, "diary": True}}
    rows = score(diary, files(12), max_concurrency_per_instance=1, **asked).results().sort_values("began")
    assert (rows.began.to_numpy()[1:] >= rows.ended.to_numpy()[:-1]).all()


def _invoke(root, name, inputs, barrier):
    with Workspace(root) as ws:
        barrier.wait(60)
        ws.endpoints["e"].invoke(inputs, job_name=name)


def test_clients_that_race_start_one_host(ws, make_scripted, files):
    make_scripted(ws, "e", DIARY)
    spawn = multiprocessing.get_context("spawn")
    barrier, inputs = spawn.Barrier(3), str(files(3))
    clients = [spawn.Process(target=_invoke, args=(ws.storage.root, f"job-{n}", inputs, barrier)) for n in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(60)
    for n in range(3):
        assert len(ws.jobs[f"job-{n}"].wait(PATIENCE_S, show=False).results()) == 3
    assert ws.storage.exists("hosts/local/tester/e1.json") and not ws.storage.exists("hosts/local/tester/e2.json")
    assert len([line for line in processes_about(ws.storage.root) if "dask_batch.host" in line]) == 1


# -- canceling ---------------------------------------------------------------------------------------------------------


def test_canceling_kills_a_run_that_blocks_and_keeps_what_was_done(home, diary, files, tmp_path, eventually):
    (tmp_path / "begun").mkdir()
    asked = {"params": {"touch": str(tmp_path / "begun")}, "max_concurrency_per_instance": 1}
    job = diary.invoke(files(6, n4="slow"), mini_batch_size=1, **asked)
    eventually((tmp_path / "begun/0004.txt").exists, "the fifth file is begun, and blocks", PATIENCE_S)
    done = job.results(partial=True)["name"].tolist()
    assert done == [f"{n:04d}.txt" for n in range(len(done))] and 0 < len(done) <= 4
    job.cancel()
    asked, decided = job.folder.cancel_requested(1)["at"], job.folder.decision(1)["at"]
    assert seconds_between(asked, decided) < 5
    assert job.status == "Canceled"
    kept = job.results(partial=True)["name"].tolist()
    assert kept[: len(done)] == done and len(kept) <= 4
    assert not (Path(job.outputs["score"]) / "predictions.csv").exists()
    with pytest.raises(JobCanceled, match="canceled by tester"):
        job.wait()
    # The slot is free again.
    assert len(diary.invoke(files(2, "more")).wait(PATIENCE_S, show=False).results()) == 2


def test_a_job_that_waits_for_slots_can_be_canceled_and_others_go_on(home, diary, files, tmp_path, eventually):
    blocking = diary.invoke(
        files(8, "first", **{f"n{n}": "slow" for n in range(8)}), mini_batch_size=1, params={"slow": 6}
    )
    eventually(lambda: blocking.peek() == "Running", "the first job runs", PATIENCE_S)
    waiting = diary.invoke(files(5, "second"), mini_batch_size=1, instance_count=1)
    waiting.cancel()
    assert waiting.status == "Canceled"
    assert seconds_between(waiting.folder.cancel_requested(1)["at"], waiting.folder.decision(1)["at"]) < 5
    assert blocking.peek() == "Running"
    blocking.cancel()
    assert blocking.status == "Canceled"


# -- killing -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def undisturbed(home, diary, score, files) -> bytes:
    """What 40 files give when nothing happens."""
    return in_bytes(score(diary, files(40, n9="bad"), mini_batch_size=2))


def test_a_job_whose_host_is_killed_gives_the_same_bytes_once_it_is_waited_for(
    ws, make_scripted, files, undisturbed, eventually
):
    endpoint = make_scripted(ws, "e", DIARY)
    job = endpoint.invoke(files(40, n9="bad"), mini_batch_size=2, params={"sleep": 0.1})
    eventually(lambda: job.peek().counts.items >= 4, "some files are scored", PATIENCE_S)
    children = scoring_processes(ws)
    assert children
    assert end_host(ws)
    eventually(lambda: not any(child.is_running() for child in children), "the scoring processes die with it")
    eventually(lambda: job.peek() == "Interrupted", "the job is seen to be interrupted")
    done = job.peek().counts.items
    assert job.wait(PATIENCE_S, show=False).status == "Completed"
    assert in_bytes(job) == undisturbed
    assert [os.path.basename(path) for path in job.errors()["file"]] == ["0009.txt"]
    assert 0 < done < 40
    assert ws.storage.exists("hosts/local/tester/e2.json")


def test_a_scoring_process_that_is_killed_costs_nothing(home, diary, files, undisturbed, eventually):
    job = diary.invoke(files(40, n9="bad"), mini_batch_size=2, params={"sleep": 0.1}, max_retries=2)
    eventually(lambda: job.peek().counts.items >= 4, "some files are scored", PATIENCE_S)
    for process in scoring_processes(home):
        process.send_signal(signal.SIGKILL)
    assert job.wait(PATIENCE_S, show=False).status == "Completed"
    assert in_bytes(job) == undisturbed


STARTER = """
import os, sys, dask_batch
ws = dask_batch.Workspace(sys.argv[1])
print(ws.endpoints["diary"].invoke(sys.argv[2], mini_batch_size=1, params={"sleep": 0.1}).name, flush=True)
os._exit(0)
"""


def test_a_job_outlives_the_process_that_invoked_it_and_any_other_picks_it_up(home, diary, files):
    command = [sys.executable, "-c", STARTER, home.storage.root, str(files(10))]
    name = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_S).stdout.strip()
    with Workspace(home.storage.root) as again:
        assert [job.name for job in again.jobs.list(limit=1)] == [name]
        job = again.jobs[name].wait(PATIENCE_S, show=False)
        assert len(job.results()) == 10 and job.endpoint == "diary" and job.deployment == "d"


def test_nothing_runs_and_nothing_lies_about_once_a_host_is_idle(
    ws, provider, make_scripted, files, tmp_path, monkeypatch, eventually
):
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "1")
    ws.compute.create_or_update(provider.compute(idle_s=0.5))
    job = make_scripted(ws, "e", DIARY).invoke(files(5), params={"sleep": 0.3})
    eventually(lambda: scoring_processes(ws), "files are scored", PATIENCE_S)
    job.wait(PATIENCE_S, show=False)
    eventually(lambda: not processes_about(str(tmp_path)), "the host and all its processes are gone")
    assert [path for folder in (tmp_path / "scratch").rglob("processes") for path in folder.iterdir()] == []
    assert ws.storage.list("hosts/local/tester/inbox") == []
    # And the next job finds a host again.
    assert len(ws.endpoints["e"].invoke(files(3, "more")).wait(PATIENCE_S, show=False).results()) == 3


# -- per invocation ----------------------------------------------------------------------------------------------------


def test_settings_of_one_invocation_are_those_of_its_job_alone(home, diary, score, files):
    inputs = files(6)
    job = score(
        diary, inputs, mini_batch_size=4, environment_variables={"SAID": "hello"}, logging_level="warning",
        output_file_name="rows.parquet", params={"diary": True}, tags={"a": "b"}, display_name="six",
        experiment_name="x",
    )  # fmt: skip
    rows = job.results()
    assert rows["size"].tolist() == [4, 4, 4, 4, 2, 2] and set(rows["said"]) == {"hello"}
    assert job.mini_batches()["items"].tolist() == [4, 2]
    assert "a shout" in job.logs() and "a word" not in job.logs()
    assert len(pd.read_parquet(job.results("path"))) == 6
    assert (job.tags, job.display_name, job.experiment_name) == ({"a": "b"}, "six", "x")
    plain = score(diary, inputs, params={"diary": True}, logging_level="debug", output_file_name="rows.jsonl")
    assert set(plain.results()["size"]) == {6} and plain.results()["said"].isin(["", None]).all()
    assert all(word in plain.logs() for word in ("a whisper", "a word", "a shout"))
    assert len(Path(plain.results("path")).read_text().splitlines()) == 6


def test_zero_retries_are_zero_and_more_are_more(home, diary, score, files):
    inputs = files(2, n1="bad")
    assert score(diary, inputs, mini_batch_size=1, max_retries=0).errors()["attempts"].tolist() == [1]
    assert score(diary, inputs, mini_batch_size=1, max_retries=2).errors()["attempts"].tolist() == [3]


def test_a_timeout_of_one_invocation_ends_its_calls_only(home, diary, score, files):
    job = score(diary, files(3, n1="slow"), mini_batch_size=1, timeout=1)
    (error,) = job.errors().to_dict("records")
    assert (error["type"], os.path.basename(error["file"])) == ("Timeout", "0001.txt")
    assert "timeout of 1 s" in error["message"] and len(job.results()) == 2
    assert len(score(diary, files(3, n1="slow"), mini_batch_size=1, params={"slow": 1.2}).results()) == 3


@pytest.mark.parametrize(
    ("threshold", "completes"), [(0, False), (1, False), (2, True), (-1, True), ("10%", False), ("50%", True)]
)
def test_an_error_threshold_of_one_invocation_decides_over_its_job(home, diary, files, threshold, completes):
    job = diary.invoke(files(10, n2="bad", n7="bad"), error_threshold=threshold)
    if completes:
        assert len(job.wait(PATIENCE_S, show=False).results()) == 8
        return
    with pytest.raises(JobFailed, match=r"error_threshold") as caught:
        job.wait(PATIENCE_S, show=False)
    assert "is bad" in str(caught.value)
    with pytest.raises(JobFailed, match=r"partial=True"):
        job.results()
    assert set(job.results(partial=True)["name"]) <= {f"{n:04d}.txt" for n in range(10)} - {"0002.txt", "0007.txt"}


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # raised inside Dask
@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl"])
def test_results_are_the_same_in_every_form_of_every_format(home, diary, score, files, name):
    job = score(diary, files(5), output_file_name=name)
    frame = job.results()
    assert frame["text"].tolist() == [f"text {n}" for n in range(5)]
    assert job.results("arrow").to_pylist() == frame.to_dict("records")
    assert job.results("dask").compute().to_dict("records") == frame.to_dict("records")
    assert os.path.basename(job.results("path")) == name
    with pytest.raises(ValueError, match="choose one of"):
        job.results("polars")
    running = diary.invoke(files(2, "slow", n0="slow"), mini_batch_size=1)
    with pytest.raises(Refused, match=r"wait\(\)"):
        running.results()
    running.cancel()


def test_overwriting_takes_the_place_only_when_the_new_output_is_there(home, diary, score, files, tmp_path, eventually):
    out = tmp_path / "out"
    old = score(diary, files(3), output=out)
    new = diary.invoke(files(2, "slow", n1="slow"), output=out, overwrite=True, mini_batch_size=1)
    eventually(lambda: new.peek().counts.items == 1, "one file is scored", PATIENCE_S)
    assert len(pd.read_csv(out / "predictions.csv")) == 3
    new.cancel()
    assert len(pd.read_csv(out / "predictions.csv")) == 3
    newest = score(diary, files(1, "one"), output=out, overwrite=True)
    assert newest.results()["name"].tolist() == ["0000.txt"]
    with pytest.raises(Refused, match="replaced or removed"):
        old.results()

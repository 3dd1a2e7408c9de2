"""What follows from each failure: a test for every row of the table "what happens, what follows"."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from dask_batch.errors import InputEmpty, InputMissing, JobFailed
from dask_batch.host.coordinator import Coordinator
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.executor import InstanceLost
from dask_batch.host.inline import Here
from dask_batch.host.reporter import Capacity
from dask_batch.jobs.hosts import host_state
from dask_batch.slots.pool import Slots

COUNTING = """
import os, time

def init(): pass

def run(mini_batch):
    with open(os.path.join(os.path.dirname(mini_batch[0]), os.pardir, "calls"), "a") as calls:
        calls.write(" ".join(os.path.basename(path)[1:6] for path in mini_batch) + "\\n")
    numbers = [int(open(path).read()) for path in mini_batch]
    if 3 in numbers:
        {body}
    return numbers
"""


@pytest.fixture
def suffering(script_job, tmp_path):
    """Return a function that runs sixteen files in one mini-batch through a script that does something at file 3."""

    def run(body, **settings):
        job = script_job(COUNTING.format(body=body), 16, mini_batch_size=16, **settings).run()
        calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
        return job, calls

    return run


def others(job):
    return job.rows()["prediction"].tolist() == [n for n in range(16) if n != 3]


def most_calls(max_retries, items=16):
    """Return how many calls find one guilty item: the mini-batch with its retries, then two halves a level."""
    return 1 + max_retries + 2 * int(math.log2(items))


def test_run_raises(suffering):
    job, calls = suffering("raise ValueError('three')", max_retries=2)
    assert others(job)
    (error,) = job.errors()
    assert (error["type"], error["stage"]) == ("ValueError", "predict")
    assert 'score.py", line' in error["traceback"].splitlines()[1], "the user's frames come first"
    assert [len(call) for call in calls[:3]] == [16] * 3, "the whole mini-batch is retried before it is halved"
    assert len(calls) <= most_calls(2)


def test_run_exceeds_its_timeout(suffering):
    job, calls = suffering("time.sleep(600)", timeout=1, max_retries=0)
    assert others(job)
    (error,) = job.errors()
    assert error["type"] == "Timeout" and "time.sleep" not in error["message"]
    assert "score.py" in error["traceback"], "the stack where it hung"
    assert len(calls) <= most_calls(0)


@pytest.mark.parametrize("death", ["os._exit(5)", "os.kill(os.getpid(), 11)", "os.kill(os.getpid(), 9)"])
def test_a_crash(suffering, death):
    job, calls = suffering(death, max_retries=1)
    assert others(job)
    assert [error["type"] for error in job.errors()] == ["ProcessDied"]
    assert len(calls) <= most_calls(1)


def test_out_of_memory(suffering, monkeypatch):
    from dask_batch.host import inline

    make = inline.Slots
    monkeypatch.setattr(inline, "Slots", lambda *a, **k: make(*a, **k, memory_bytes=400 << 20))
    job, _ = suffering("hog = bytearray(800 << 20); time.sleep(60)", max_retries=0)
    assert others(job)
    assert [error["type"] for error in job.errors()] == ["OutOfMemory"]


def test_fewer_results_than_items(suffering):
    job, calls = suffering("numbers.remove(3)", max_retries=0)
    assert others(job)
    assert "no result for this file" in job.errors()[0]["message"]
    assert len(calls) <= most_calls(0)


def test_more_results_than_items_are_all_kept(suffering):
    job, _ = suffering("numbers.append(99)")
    assert job.rows()["prediction"].tolist() == [*range(16), 99]
    assert job.errors() == []


def test_a_file_that_cannot_be_read(script_job, tmp_path):
    gone = "os.unlink(os.path.join(os.path.dirname(mini_batch[0]), 'f00012.txt'))"
    job = script_job(COUNTING.format(body=gone), 16, mini_batch_size=4).run()
    assert job.rows()["prediction"].tolist() == [n for n in range(16) if n != 12]
    (error,) = job.errors()
    assert error["stage"] == "read" and error["file"].endswith("f00012.txt")


@pytest.mark.parametrize("code", ["import nonesuch", "def init(): raise OSError('no licence')"])
def test_imports_or_init_fail(script_job, tmp_path, code):
    counted = f"with open({str(tmp_path / 'loads')!r}, 'a') as loads: loads.write('x')"
    job = script_job(f"{counted}\n{code}\ndef run(files): return files\n", 4, max_retries=2)
    job.run()
    assert job.status.state == "Failed"
    assert job.status.reason["stage"] == "load"
    assert "score.py" in job.status.reason["traceback"]
    assert len((tmp_path / "loads").read_text()) <= 3, "fresh processes, never a loop"


class Losing(Here):
    """An executor whose instances are lost whenever they get one of some files."""

    def __init__(self, slots, deadly):
        super().__init__(slots)
        self.deadly, self.lost = deadly, 0

    async def score(self, task):
        lo, hi = (task["message"]["chunk"][2:4] or [0, None]) if len(task["message"]["chunk"]) > 2 else (0, None)
        splits = [split for mini_batch in task["message"]["mini_batches"] for split in mini_batch[lo:hi]]
        if task["message"]["verdict"] is None and any(split["path"].endswith(self.deadly) for split in splits):
            self.lost += 1
            raise InstanceLost("gone")
        return await super().score(task)


def bring_to_its_end(job, make_executor, capacity=None, then=None):
    """Run a job's coordinator on an executor, and do something meanwhile."""
    with Slots(job.folder.storage, 1, name="here") as slots:

        async def live():
            executor = make_executor(slots)
            dispatcher = Dispatcher(executor)
            dispatcher.resize(0 if then else 1)
            available = capacity or Capacity(instances=1)
            running = asyncio.create_task(
                Coordinator(job.folder, 1, job.definition, executor, dispatcher, available).run()
            )
            if then:
                await then(dispatcher, available)
            await asyncio.wait_for(running, 120)
            return executor

        return asyncio.run(live())


def test_an_instance_is_lost(script_job):
    job = script_job(COUNTING.format(body="pass"), 16, mini_batch_size=16, max_retries=0)
    executor = bring_to_its_end(job, lambda slots: Losing(slots, "f00003.txt"))
    assert others(job)
    assert [(error["type"], os.path.basename(error["file"])) for error in job.errors()] == [
        ("InstanceLost", "f00003.txt")
    ]
    assert executor.lost <= 3 + int(math.log2(16)), "three losses as it is, then one for each half"


def test_there_is_no_capacity(script_job):
    job = script_job(COUNTING.format(body="pass"), 16, mini_batch_size=4)

    async def instances_come_late(dispatcher, available):
        for _ in range(600):
            with contextlib.suppress(AssertionError):
                if job.status.why == "(Resources)":
                    break
            await asyncio.sleep(0.05)
        assert job.status.why == "(Resources)", "the job waits and says why"
        assert job.status.instances_pending == 1
        available.instances, available.pending, available.why = 1, 0, ""
        dispatcher.resize(1)

    bring_to_its_end(job, Here, Capacity(pending=1, why="(Resources)"), instances_come_late)
    assert job.status.state == "Completed"


def test_sigterm_comes(make_endpoint, inputs, tmp_path, eventually):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    job = endpoint.invoke(inputs, params={"sleep": 0.2})
    eventually(lambda: job.peek().counts.items, "something is committed", 60)
    host = psutil.Process(host_state(job.context.storage, "local").process["pid"])
    host.send_signal(signal.SIGTERM)
    host.wait(30)
    job.wait(60, show=False)
    scored = (tmp_path / "calls").read_text().split()
    assert sorted(scored) == [f"{n:03d}.txt" for n in range(24)], "what was running was finished and committed"


@pytest.mark.parametrize("operation", ["link", "replace", "fsync"])
def test_storage_hiccups(script_job, monkeypatch, operation):
    job = script_job(COUNTING.format(body="pass"), 16, mini_batch_size=4)
    real, hiccups = getattr(os, operation), iter([True] * 3)

    def sometimes(*arguments):
        # As network file systems do: the operation is done, and the answer is an error.
        done = real(*arguments)
        if threading.current_thread().name.startswith("asyncio") and next(hiccups, False):
            raise OSError(errno.EIO, "Input/output error")
        return done

    monkeypatch.setattr(os, operation, sometimes)
    job.run()
    assert next(hiccups, None) is None, "there were hiccups"
    assert job.status.state == "Completed", job.status.reason
    assert job.rows()["prediction"].tolist() == list(range(16))


def test_missing_input_and_empty_input(make_endpoint, tmp_path):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    with pytest.raises(InputMissing, match="nowhere"):
        endpoint.invoke(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputEmpty, match="empty"):
        endpoint.invoke(tmp_path / "empty")


def test_failures_exceed_the_error_threshold(suffering):
    job, _ = suffering("raise ValueError('three')", error_threshold=0, max_retries=0)
    assert job.status.state == "Failed"
    assert job.status.reason["type"] == "ErrorThresholdExceeded"
    assert "job.resume(error_threshold=…)" in job.status.reason["next"]
    assert job.decision["counts"]["succeeded"] == 15, "what succeeded is kept"


def test_the_host_dies(make_endpoint, inputs, hold, tmp_path, eventually):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    host = psutil.Process(host_state(job.context.storage, "local").process["pid"])
    scoring = host.children()
    host.kill()
    eventually(lambda: job.peek() == "Interrupted", "that is seen")
    eventually(lambda: not any(process.is_running() for process in scoring), "scoring processes die with their host")
    hold.unlink()
    assert job.wait(60, show=False).status == "Completed"
    assert len(job.results()) == 24


def test_a_failed_job_says_what_to_do_next(make_endpoint, inputs, tmp_path):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    (inputs / "999.txt").symlink_to(Path(tmp_path / "nothing"))
    with pytest.raises(JobFailed) as failure:
        endpoint.invoke(inputs, error_threshold=0).wait(60, show=False)
    for part in ("999.txt", "logs: ", "next: ", "job.errors()"):
        assert part in str(failure.value)

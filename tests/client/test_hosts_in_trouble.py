"""What clients see while hosts freeze, end, or find things that they do not understand."""

from __future__ import annotations

import json
import os
import signal

import psutil
import pytest

from dask_batch import Workspace
from dask_batch.errors import JobCanceled, JobFailed, Refused
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobs.hosts import host_state


@pytest.fixture
def host(ws):
    """Return a function that returns the process of the local compute's host."""
    return lambda: psutil.Process(host_state(ws.storage, "local").process["pid"])


def a_copy_of(ws, job, name, **changes):
    """Write the ``job.json`` of a job under another name, as a client would, and return the folder."""
    folder = JobFolder(ws.storage, name)
    record = json.loads(json.dumps(job.folder.definition()).replace(job.name, name))
    folder.create(record | changes)
    return folder


def test_a_job_that_cannot_be_understood_fails_alone(ws, scripted, files, eventually):
    healthy = scripted.invoke(files, params={"sleep": 0.5}, mini_batch_size=1)
    odd = a_copy_of(ws, healthy, "odd", deployment={"from": "a newer version"})
    odd.open_run(1, {"run": 1})
    HostFolder(ws.storage, "local", "tester").post("odd")
    eventually(lambda: odd.decision(1), "the odd job is decided", 60)
    assert odd.decision(1)["outcome"] == "Failed" and "cannot be understood" in odd.decision(1)["reason"]["message"]
    assert healthy.wait(60).status == "Completed"
    assert host_state(ws.storage, "local").epoch == 1


def test_a_job_whose_client_died_before_it_opened_the_first_run_runs(ws, scripted, files, eventually):
    first = scripted.invoke(files).wait(60)
    folder = a_copy_of(ws, first, "orphan")
    HostFolder(ws.storage, "local", "tester").post("orphan")
    scripted.invoke(files)
    eventually(lambda: folder.closed(1), "the orphan is completed", 60)


def test_a_frozen_host_is_replaced_and_ended_and_the_job_is_whole(ws, scripted, files, host, eventually):
    job = scripted.invoke(files, params={"sleep": 1.0}, mini_batch_size=1)
    eventually(lambda: job.status.counts.items > 1, "something is committed", 60)
    frozen = host()
    family = frozen.children()
    os.kill(frozen.pid, signal.SIGSTOP)
    assert job.wait(120).status == "Completed"
    assert list(job.results()["prediction"]) == [f"{n:02d}.txt={n}" for n in range(12) if n != 7]
    assert len(job.errors()) == 1
    _, left = psutil.wait_procs([frozen, *family], timeout=20)
    assert not left, "the frozen host and its scoring processes are gone"


def test_a_heartbeat_that_is_not_taken_ends_nothing(ws, scripted, files, eventually):
    job = scripted.invoke(files, params={"sleep": 0.7}, mini_batch_size=1)
    eventually(lambda: job.folder.storage.list(job.folder.path("ledger")), "the job has begun", 60)
    beat = ws.storage.url("hosts/local/tester/e1-heartbeat.json")
    os.unlink(beat)
    os.mkdir(beat)
    eventually(lambda: "a heartbeat was not taken" in job.logs("host"), "a heartbeat failed", 30)
    os.rmdir(beat)
    assert job.wait(120).status == "Completed"
    assert host_state(ws.storage, "local").epoch == 1


def test_what_is_invoked_while_a_host_ends_gets_the_next_one(ws, scripted, files, host, eventually):
    slow = scripted.invoke(files, params={"sleep": 2.0}, mini_batch_size=1)
    eventually(lambda: slow.peek() == "Running", "the job runs", 60)
    ending = host()
    ending.send_signal(signal.SIGTERM)
    eventually(lambda: host_state(ws.storage, "local").state == "draining", "the host is about to end")
    job = scripted.invoke(files)
    # Nobody waits for it or looks at it: it must go on by itself.
    eventually(lambda: job.folder.closed(1), "the job has completed", 90)
    assert not psutil.pid_exists(ending.pid) or ending.status() == psutil.STATUS_ZOMBIE
    assert slow.wait(120).status == "Completed"


def test_a_job_can_be_canceled_while_its_input_is_listed(ws, scripted, files, odd_store, eventually):
    odd_store("find", "dask_batch.host")
    job = scripted.invoke(f"odd://{files}")
    eventually(lambda: job.peek() == "Provisioning", "the host lists the input", 60)
    job.cancel(timeout=5)
    with pytest.raises(JobCanceled):
        job.wait(10)


def test_only_its_owner_resumes_a_job(ws, scripted, files, monkeypatch):
    job = scripted.invoke(files, error_threshold=0)
    with pytest.raises(JobFailed):
        job.wait(60)
    monkeypatch.setenv("DASK_BATCH_USER", "somebody")
    with Workspace(ws.storage.root) as other, pytest.raises(Refused, match="belongs to 'tester'"):
        other.jobs[job.name].resume()


def test_a_place_is_free_once_the_job_that_wrote_nothing_whole_is_deleted(ws, scripted, files, tmp_path):
    job = scripted.invoke(files, error_threshold=0, mini_batch_size=1, output=tmp_path / "out")
    with pytest.raises(JobFailed):
        job.wait(60)
    job.delete()
    assert scripted.invoke(files, output=tmp_path / "out").wait(60).status == "Completed"


def test_a_refused_resume_takes_no_place_away(ws, scripted, files, tmp_path):
    place = tmp_path / "out"
    first = scripted.invoke(files, output=place, overwrite=True).wait(60)
    second = scripted.invoke(files, output=place, overwrite=True)
    with pytest.raises(Refused, match="nothing to resume"):
        first.resume()
    assert second.wait(60).status == "Completed"

"""A host that is asked to end finishes what it has begun, commits it, and is gone soon, whatever its storage does."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from servers.s3 import s3_server

from dask_batch import ModelDeployment, Workspace
from dask_batch.jobs.hosts import host_state

MARKING = """
import os, secrets, time


def init():
    pass


def run(mini_batch, params):
    (path,) = mini_batch
    mark = os.path.join(params["marks"], f"{os.path.basename(path)}-{secrets.token_hex(4)}")
    open(mark, "w").close()
    time.sleep(params["sleep"])
    return [os.path.basename(path)]
"""


@pytest.fixture
def marking(tmp_path):
    """A code folder whose script notes each call of ``run``."""
    folder = tmp_path / "marking"
    folder.mkdir()
    (folder / "score.py").write_text(MARKING)
    return folder


def asked_to_end(storage):
    """Send SIGTERM to the host of the local compute and return its process."""
    process = psutil.Process(host_state(storage, "local").process["pid"])
    process.send_signal(signal.SIGTERM)
    return process


def test_what_is_in_hand_is_finished_and_committed_once(ws, marking, files, tmp_path, eventually):
    endpoint = ws.endpoints.create("marker")
    endpoint.deploy(ModelDeployment(name="slow", code=str(marking), scoring_script="score.py", mini_batch_size=1))
    marks = tmp_path / "marks"
    marks.mkdir()
    job = endpoint.invoke(files, params={"marks": str(marks), "sleep": 0.7})
    eventually(lambda: len(os.listdir(marks)) >= 2, "two files are in hand", 60)
    host = asked_to_end(ws.storage)
    host.wait(30)
    assert job.peek() == "Interrupted"
    assert job.wait(120).status == "Completed"
    assert list(job.results()["prediction"]) == sorted(os.listdir(files))
    called = sorted(name.partition("-")[0] for name in os.listdir(marks))
    assert called == sorted(os.listdir(files)), "run() was called with each file once, although the host ended"


def test_a_storage_that_does_not_answer_does_not_keep_a_host(code, files, tmp_path, eventually):
    with s3_server() as bucket:
        server = next(child for child in psutil.Process().children() if "moto.server" in child.cmdline())
        with Workspace(f"{bucket}/workspace", catalog=f"sqlite:///{tmp_path}/catalog.sqlite") as ws:
            endpoint = ws.endpoints.create("counter")
            endpoint.deploy(ModelDeployment(name="chars", code=str(code), scoring_script="score.py"))
            job = endpoint.invoke(files, params={"sleep": 1.0}, mini_batch_size=1)
            eventually(lambda: job.peek() == "Running", "the job runs", 60)
            host = psutil.Process(host_state(ws.storage, "local").process["pid"])
            scoring = host.children()
            server.suspend()
            try:
                host.send_signal(signal.SIGTERM)
                host.wait(60)
                _, left = psutil.wait_procs(scoring, timeout=10)
                assert not left, "scoring processes end with their host"
            finally:
                server.resume()
            assert job.wait(120).status == "Completed"

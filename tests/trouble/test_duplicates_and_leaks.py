"""Many clients with one wish, many jobs on one host: one job, and nothing that is left behind."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dask_batch.errors import NotFound, Refused
from dask_batch.jobs.hosts import host_state, stop_host

INVOKE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from dask_batch import Workspace

root, inputs = sys.argv[1:]
with Workspace(root) as ws:
    endpoint = ws.endpoints["e"]
    with ThreadPoolExecutor(10) as pool:
        jobs = pool.map(lambda _: endpoint.invoke(inputs, idempotency_key="one").name, range(10))
        print("\\n".join(jobs))
"""


def test_fifty_invocations_with_one_key_are_one_job(make_endpoint, inputs, tmp_path, python):
    ws, _ = make_endpoint(tmp_path / "workspace")
    clients = [python(INVOKE, tmp_path / "workspace", inputs) for _ in range(5)]
    told = [name for client in clients for name in client.communicate(timeout=120)[0].split()]
    assert [client.returncode for client in clients] == [0] * 5
    assert len(told) == 50
    (name,) = set(told)
    assert [job.name for job in ws.jobs.list()] == [name]
    assert ws.storage.list("jobs") == [name]
    ws.jobs.get(name).wait(60, show=False)
    assert sorted((tmp_path / "calls").read_text().split()) == [f"{n:03d}.txt" for n in range(24)]


def test_a_job_is_canceled_once_however_many_ask(make_endpoint, inputs, hold, tmp_path, eventually):
    ws, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    with pytest.raises(Refused, match="cancel"):
        job.delete()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ws.jobs.get(job.name).cancel) for _ in range(4)]
    assert job.peek() == "Canceled"
    # Those that came while it was being decided got what they wanted, and those that came later hear of it.
    assert all(one.exception() is None or "decided as Canceled" in str(one.exception()) for one in asked)
    assert any(one.exception() is None for one in asked)
    with pytest.raises(Refused, match="too late, it is decided as Canceled"):
        job.cancel()
    job.delete()
    with pytest.raises(NotFound):
        ws.jobs.get(job.name)


def test_an_endpoint_with_jobs_that_run_is_deleted_only_on_demand(make_endpoint, inputs, hold, tmp_path, eventually):
    ws, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    with pytest.raises(Refused, match="cancel_jobs=True"):
        ws.endpoints.delete("e")
    ws.endpoints.delete("e", cancel_jobs=True)
    assert job.peek() == "Canceled"
    assert "e" not in list(ws.endpoints)


def test_fifty_jobs_leave_nothing_behind(make_endpoint, inputs, tmp_path, eventually, monkeypatch):
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "30")
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(tmp_path / "scratch"))
    ws, endpoint = make_endpoint(tmp_path / "workspace")

    def run(count):
        for _ in range(count):
            endpoint.invoke(inputs).wait(60, show=False)

    def held():
        host = psutil.Process(host_state(ws.storage, "local").process["pid"])
        return host.num_fds(), host.memory_info().rss / 1e6

    run(5)
    descriptors, memory = held()
    run(20)
    eventually(lambda: held()[0] <= descriptors, "descriptors are closed", 30)
    assert held()[1] < memory + 20, "megabytes"
    for _ in range(3):
        stop_host(ws.storage, "local")
        run(8)
    run(1)
    stop_host(ws.storage, "local")
    eventually(lambda: not _processes_of(tmp_path), "scoring processes have ended with their host", 10)
    assert not os.listdir(tmp_path / "scratch" / "processes")
    left = [path for path in Path(tmp_path / "workspace").rglob("*") if path.name.startswith((".tmp-", ".dask-batch-"))]
    assert not left
    assert not list(Path(tmp_path / "workspace" / "jobs").glob("*/parts"))
    assert len(ws.jobs.list(limit=100)) == 50


def _processes_of(folder):
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if str(folder) in " ".join(process.info["cmdline"] or ())]

"""Cancel and delete at any moment, twice, and from two clients: each is done once, and nothing comes back."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dask_batch import Workspace
from dask_batch.errors import AlreadyExists, DaskBatchError, NotFound, Refused
from dask_batch.jobs.hosts import host_state


@pytest.fixture
def finalizing(scripted, files, odd_store, tmp_path, eventually):
    """A job that is decided as completed, and whose outputs take a minute to be put in place."""
    odd_store("open", "dask_batch.host", when="'predictions' in str(path) or 'piece' in str(path)")
    (tmp_path / "out").mkdir()
    job = scripted.invoke(files, output=f"odd://{tmp_path}/out")
    eventually(lambda: job.peek() == "Finalizing", "the outputs are being written", 60)
    return job


def let_go(ws, eventually):
    """Wait until the host has nothing more to do with any job."""
    eventually(lambda: not host_state(ws.storage, "local").jobs, "the host has put its jobs down", 30)


def test_a_job_that_is_deleted_as_soon_as_it_has_ended_does_not_come_back(ws, scripted, files, eventually):
    scripted.invoke(files).wait(60)
    for turn in range(6):
        job = scripted.invoke(files, params={"sleep": 5.0 if turn % 2 else 0.0})
        if turn % 2:
            eventually(lambda job=job: job.peek().mini_batches, "the job is planned", 60)
            job.cancel()
        eventually(lambda job=job: job.peek().terminal, "the job has ended", 60)
        job.delete()
    let_go(ws, eventually)
    eventually(lambda: len(ws.storage.list("jobs")) == 1, "the folders of deleted jobs are gone")
    assert len(ws.jobs.list()) == 1


def test_two_clients_that_delete_a_job_at_once_have_deleted_it(ws, scripted, files):
    job = scripted.invoke(files).wait(60)
    with Workspace(ws.storage.root) as other, ThreadPoolExecutor(4) as pool:
        handles = [ws.jobs.get(job.name), other.jobs.get(job.name)] * 2
        done = [pool.submit(handle.delete) for handle in handles]
    assert any(one.exception() is None for one in done)
    assert all(isinstance(one.exception(), DaskBatchError | None) for one in done)
    assert not Path(job.folder.url()).exists()
    with pytest.raises(NotFound, match=job.name):
        ws.jobs.delete(job.name)


def test_two_clients_that_cancel_a_job_while_it_is_planned(ws, scripted, files, odd_store, eventually):
    odd_store("find", "dask_batch.host")
    job = scripted.invoke(f"odd://{files}")
    eventually(lambda: job.peek() == "Provisioning", "the host lists the input", 60)
    with Workspace(ws.storage.root) as other, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(handle.cancel) for handle in (job, other.jobs.get(job.name))]
    assert job.peek() == "Canceled"
    assert any(one.exception() is None for one in asked)
    assert all(one.exception() is None or "decided as Canceled" in str(one.exception()) for one in asked)
    with pytest.raises(Refused, match="decided as Canceled"):
        job.cancel()


def test_a_job_whose_outputs_are_being_written_can_be_neither_canceled_nor_deleted(finalizing):
    with pytest.raises(Refused, match="too late, it is decided as Completed"):
        finalizing.cancel()
    with pytest.raises(Refused, match=r"cancel\(\) it before delete"):
        finalizing.delete()
    assert finalizing.peek() == "Finalizing"


def test_an_endpoint_whose_job_can_no_longer_be_canceled_is_deleted_all_the_same(ws, finalizing):
    with pytest.raises(Refused, match="cancel_jobs=True"):
        ws.endpoints.delete("counter")
    ws.endpoints.delete("counter", cancel_jobs=True)
    assert "counter" not in list(ws.endpoints)
    assert ws.jobs.get(finalizing.name).peek() == "Finalizing", "the job stays, and goes on"


def test_a_job_without_a_host_is_canceled_by_its_client_once(ws, scripted, files, end_host, eventually):
    job = scripted.invoke(files, params={"sleep": 5.0})
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    end_host()
    eventually(lambda: job.peek() == "Interrupted", "that is seen")
    with Workspace(ws.storage.root) as other, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(handle.cancel) for handle in (job, other.jobs.get(job.name))]
    assert any(one.exception() is None for one in asked)
    assert job.peek() == "Canceled" and job.folder.runs() == [1]
    job.delete()
    assert os.listdir(ws.storage.url("jobs")) == []


def test_a_job_whose_deletion_was_killed_half_way_is_gone_and_the_rest_can_be_deleted(ws, scripted, files, monkeypatch):
    job = scripted.invoke(files, job_name="half", idempotency_key="key").wait(60)

    def die_over_it(path):
        os.unlink(os.path.join(path, "final-1.json"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dask_batch.storage.remove_folder", die_over_it)
        job.delete()
    assert job.folder.runs() == [1] and job.folder.decision(1) is None, "what is left looks like a run that goes on"
    with pytest.raises(NotFound, match=r"was deleted, and something of it is left; ws.jobs.delete\('half'\)"):
        ws.jobs.get("half")
    assert ws.jobs.list() == []
    for again in ({"job_name": "half"}, {"idempotency_key": "key"}):
        with pytest.raises(AlreadyExists, match=r"left of .*ws.jobs.delete\('half'\)"):
            scripted.invoke(files, **again)
    ws.jobs.delete("half")
    assert not Path(job.folder.url()).exists()
    for delete in (job.delete, lambda: ws.jobs.delete("half")):
        with pytest.raises(NotFound, match="half"):
            delete()
    assert scripted.invoke(files, job_name="half").wait(60).status == "Completed"

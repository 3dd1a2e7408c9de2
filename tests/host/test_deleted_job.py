"""A job that is deleted under its host, as a client does while that one is frozen: it is dropped at once."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from dask_batch.host import preparing
from dask_batch.host.coordinator import Coordinator
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.inline import Here
from dask_batch.host.reporter import Capacity
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.slots.pool import Slots

SCRIPT = """
    import os, time

    def init(): pass

    def run(mini_batch):
        open("{begun}", "w").close()
        while not os.path.exists("{go}"):
            time.sleep(0.02)
        return mini_batch
"""


@pytest.fixture
def deleted_while(script_job, tmp_path):
    """Return a function that lets a host work on a job until a condition holds, deletes the job, and waits for it.

    Another job of the name may follow. The job, what its folder then holds, and the job's coordinator are returned.
    """

    def work(condition, then=lambda job: None, script=SCRIPT):
        job = script_job(script.format(begun=tmp_path / "begun", go=tmp_path / "go"), 8, mini_batch_size=1)
        folder = JobFolder(job.folder.storage, "job-1", job.definition.created)
        with Slots(folder.storage, 1, name="here") as slots:

            async def live():
                dispatcher = Dispatcher(Here(slots))
                dispatcher.resize(1)
                coordinator = Coordinator(folder, 1, job.definition, Here(slots), dispatcher, Capacity(instances=1))
                running = asyncio.create_task(coordinator.run())
                while not condition(job):
                    await asyncio.sleep(0.02)
                folder.storage.remove(folder.path("job.json"))
                folder.storage.remove(folder.name)
                then(job)
                await asyncio.wait_for(running, 30)
                return coordinator

            coordinator = asyncio.run(live())
        return job, coordinator

    return work


def scoring(job):
    return os.path.exists(os.path.join(os.path.dirname(job.definition.inputs[0]), "begun"))


def files(job):
    return [name for name in job.folder.storage.walk("jobs/job-1") if "/logs/" not in name]


def test_a_job_that_is_deleted_while_it_is_scored_is_dropped_at_once(deleted_while):
    job, coordinator = deleted_while(scoring)
    assert coordinator.settled, "the host has nothing more to do with it"
    assert files(job) == []


def test_another_job_of_the_same_name_gets_nothing_of_the_one_before(deleted_while):
    def follow(job):
        job.folder.create(job.definition.replace(created="2026-01-01T00:00:00.000+00:00").to_stored())
        job.folder.open_run(1, {"run": 1})

    job, coordinator = deleted_while(scoring, follow)
    assert coordinator.settled
    assert files(job) == ["jobs/job-1/job.json", "jobs/job-1/run-1.json"]


def test_a_job_that_is_deleted_while_it_is_planned_is_dropped_at_once(deleted_while, monkeypatch):
    begun, go_on, listing = threading.Event(), threading.Event(), preparing.list_inputs

    def slow(inputs):
        begun.set()
        go_on.wait(60)
        return listing(inputs)

    monkeypatch.setattr(preparing, "list_inputs", slow)
    try:
        job, coordinator = deleted_while(lambda job: begun.is_set())
        assert coordinator.settled
        assert files(job) == []
    finally:
        go_on.set()

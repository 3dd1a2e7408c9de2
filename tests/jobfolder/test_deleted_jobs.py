"""What a host still writes for a job that was deleted while it was frozen: nothing, and never for the next one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.folder import JobFolder, JobGone
from dask_batch.jobfolder.ledger import Entry, Ledger
from dask_batch.jobfolder.plan import PLAN_SCHEMA, Plan, PlanInfo
from dask_batch.jobfolder.runs import open_run
from dask_batch.jobfolder.states import State
from dask_batch.jobfolder.status import Status, write_event, write_status
from dask_batch.storage import Storage

FIRST, SECOND = "2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:00.001+00:00"

WRITES = {
    "adoption": lambda folder: Ledger(folder, 1).adopt(),
    "entries": lambda folder: Ledger(folder, 1).append([Entry(Chunk(0, 1), Counts(items=1))]),
    "plan": lambda folder: Plan(pa.Table.from_pylist([], PLAN_SCHEMA), PlanInfo("files", 0, 0)).write(folder),
    "run": lambda folder: open_run(folder, 1, "tester"),
    "decision": lambda folder: folder.decide(1, {"outcome": "Failed"}),
    "closing": lambda folder: folder.close(1, {"outcome": "Failed"}),
}
FOR_PEOPLE = {
    "status": lambda folder: write_status(folder, Status(State.RUNNING)),
    "event": lambda folder: write_event(folder, "something happened"),
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a job, as its host holds it."""
    folder = JobFolder(Storage(str(tmp_path)), "job-1", FIRST)
    folder.create({"name": "job-1", "created": FIRST})
    return folder


def names(folder):
    return list(folder.storage.walk(folder.name))


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("followed", [False, True])
def test_nothing_that_counts_is_written_for_a_deleted_job(folder, what, followed):
    folder.storage.remove(folder.name)
    if followed:
        folder.create({"name": "job-1", "created": SECOND})
    before = names(folder)
    with pytest.raises(JobGone, match="job-1"):
        WRITES[what](folder)
    assert names(folder) == before


@pytest.mark.parametrize("what", FOR_PEOPLE)
@pytest.mark.parametrize("followed", [False, True])
def test_nothing_for_people_is_written_for_a_deleted_job(folder, what, followed):
    folder.storage.remove(folder.name)
    if followed:
        folder.create({"name": "job-1", "created": SECOND})
    before = names(folder)
    FOR_PEOPLE[what](folder)
    assert names(folder) == before


@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_at_the_moment_of_deletion_is_taken_back(folder, what, monkeypatch):
    create = folder.storage.create

    def frozen(name, content):
        # The host looked, froze, and woke up beside another job.
        folder.storage.remove(folder.name)
        JobFolder(Storage(folder.storage.root), "job-1").create({"name": "job-1", "created": SECOND})
        return create(name, content)

    monkeypatch.setattr(folder.storage, "create", frozen)
    with pytest.raises(JobGone):
        WRITES[what](folder)
    assert names(folder) == ["jobs/job-1/job.json"]


@pytest.mark.parametrize("what", [*WRITES, *FOR_PEOPLE])
def test_all_of_it_is_written_for_a_job_that_is_there(folder, what):
    (WRITES | FOR_PEOPLE)[what](folder)
    assert len(names(folder)) == 2

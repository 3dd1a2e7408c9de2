"""A job whose host has trouble: nothing is missing in silence, nothing is blamed that is innocent."""

from __future__ import annotations

import errno

import pytest

from dask_batch.errors import InternalError
from dask_batch.host.collected import CollectedNames
from dask_batch.host.deciding import decide
from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.ledger import Entry, Ledger
from dask_batch.slots.deployments import Loadable

DIES_ONCE = """
    import os, shutil

    def init(): pass

    def run(mini_batch):
        numbers = [int(open(path).read()) for path in mini_batch]
        if 3 in numbers and not os.path.exists("{mark}"):
            open("{mark}", "w").close()
            shutil.rmtree("{events}", ignore_errors=True)
            open("{events}", "w").close()
            os._exit(3)
        return numbers
"""


TROUBLE = """
    import os

    def init():
        with open("{loads}", "a") as loads:
            loads.write("x")
        if os.path.getsize("{loads}") <= {times}:
            try:
                raise OSError(28, "No space left on device", "/scratch/weights")
            except OSError as error:
                raise RuntimeError("the weights cannot be unpacked: No space left on device") from error

    def run(mini_batch):
        return [int(open(path).read()) for path in mini_batch]
"""


def test_a_deployment_is_loaded_again_where_a_disk_is_to_blame(script_job, tmp_path):
    job = script_job(TROUBLE.format(loads=tmp_path / "loads", times=2), 4, mini_batch_size=4, max_retries=0)
    job.run()
    assert job.decision["outcome"] == "Completed"
    assert job.rows()["prediction"].tolist() == list(range(4))
    assert len((tmp_path / "loads").read_text()) == 3


def test_a_deployment_that_a_disk_keeps_from_loading_is_not_to_be_corrected(script_job, tmp_path):
    job = script_job(TROUBLE.format(loads=tmp_path / "loads", times=99), 4, mini_batch_size=4, max_retries=0)
    job.run()
    reason = job.decision["reason"]
    assert job.decision["outcome"] == "Failed"
    assert "No space left on device" in reason["message"]
    assert "see to the disk or store" in reason["next"] and "job.resume()" in reason["next"]
    assert len((tmp_path / "loads").read_text()) == 6, "so often work goes again, with longer and longer waits"


def test_a_deployment_is_loaded_again_where_its_store_did_not_answer(script_job, monkeypatch):
    job = script_job("def init(): pass\ndef run(files): return files\n", 4, max_retries=0)
    load, refusals = Loadable.load_message, iter([ConnectionResetError("reset"), OSError(errno.EIO, "I/O error")])

    def sometimes(self, storage):
        for error in refusals:
            raise error
        return load(self, storage)

    monkeypatch.setattr(Loadable, "load_message", sometimes)
    job.run()
    assert next(refusals, None) is None
    assert job.decision["outcome"] == "Completed"


def test_what_is_for_people_only_costs_no_row_where_it_cannot_be_written(script_job, tmp_path):
    events = tmp_path / "workspace/jobs/job-1/events"
    script = DIES_ONCE.format(mark=tmp_path / "mark", events=events)
    job = script_job(script, 12, mini_batch_size=2, max_retries=2)
    job.run(slots=2)
    assert events.is_file(), "events cannot be written since the process died"
    assert job.decision["outcome"] == "Completed"
    assert job.rows()["prediction"].tolist() == list(range(12))


def test_a_run_is_not_completed_while_something_of_its_plan_is_in_no_entry(script_job):
    job = script_job("def init(): pass\ndef run(files): return files\n", 4)
    ledger = Ledger(job.folder, 1)
    ledger.adopt()
    ledger.append([Entry(Chunk(0, 2), Counts(items=2, succeeded=2)), Entry(Chunk(3, 4), Counts(items=1, succeeded=1))])
    with pytest.raises(InternalError, match="mini-batch 2 is in no entry of the ledger"):
        decide(job.folder, 1, 1, "Completed", None, mini_batches=4)
    assert job.folder.decision(1) is None
    ledger.append([Entry(Chunk(2, 4), Counts(items=2, succeeded=2))])
    with pytest.raises(InternalError, match="overlap"):
        decide(job.folder, 1, 1, "Completed", None, mini_batches=4)


@pytest.mark.parametrize("outcome", ["Completed", "Failed", "Canceled"])
def test_a_host_that_was_replaced_decides_nothing(script_job, outcome):
    job = script_job("def init(): pass\ndef run(files): return files\n", 4)
    old = Ledger(job.folder, 1)
    old.adopt()
    old.append([Entry(Chunk(0, 4), Counts(items=4, succeeded=4))])
    Ledger(job.folder, 2).adopt()
    assert decide(job.folder, 1, 1, outcome, None, mini_batches=4) is None
    assert job.folder.decision(1) is None
    by_the_next = decide(job.folder, 1, 2, "Completed", None, mini_batches=4)
    assert decide(job.folder, 1, 1, outcome, None, mini_batches=4) == by_the_next == job.folder.decision(1)


def test_a_cancel_that_comes_while_a_run_is_decided_is_in_time(script_job):
    job = script_job("def init(): pass\ndef run(files): return files\n", 4)
    Ledger(job.folder, 1).adopt()
    job.folder.request_cancel(1, "tester")
    decision = decide(job.folder, 1, 1, "Completed", None, mini_batches=0)
    assert (decision["outcome"], decision["reason"]["message"]) == ("Canceled", "canceled by tester")


def test_two_parts_of_one_mini_batch_that_leave_the_same_file_are_in_conflict(script_job):
    job = script_job("def init(): pass\ndef run(files): return files\n", 4)
    folder = job.folder

    def entry(name, items):
        folder.storage.put_json(folder.path("reports", f"{name}.json"), {"files": [[0, "scores.txt"]]})
        return Entry(Chunk(0, 1, items), Counts(collected=1), report=f"reports/{name}.json")

    names = CollectedNames(folder)
    names.add([entry("one", (0, 3))])
    assert names.conflicts(entry("again", (0, 3))) == {}
    conflict = names.conflicts(entry("other", (3, None)))[0]
    assert "two parts of mini-batch 0 wrote 'scores.txt'" in conflict["message"]

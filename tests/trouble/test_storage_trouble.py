"""Disks that fill up or become read-only under a job, a catalog that is away: each row counts once all the same."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import psutil
import pytest

from dask_batch.errors import JobFailed, StorageError
from dask_batch.jobs.hosts import host_state

WHOLE = [f"{n:03d}.txt" for n in range(24)]


def names(job):
    return [text.split("=")[0] for text in job.results()["prediction"]]


def test_a_disk_that_is_full_while_a_job_runs(disk, make_endpoint, inputs, hold, tmp_path, eventually):
    _, endpoint = make_endpoint(disk.path / "workspace")
    before = endpoint.invoke(inputs).wait(60, show=False)
    (tmp_path / "calls").unlink()
    hold.touch()
    job = endpoint.invoke(inputs, output=str(disk.path / "out"))
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    disk.fill()
    hold.unlink()
    eventually((tmp_path / "calls").exists, "a chunk is scored, and cannot be written", 60)
    assert not (disk.path / "out" / "_SUCCESS").exists()
    assert names(before) == WHOLE
    disk.free()
    with contextlib.suppress(JobFailed):
        job.wait(120, show=False)
    if job.status == "Failed":
        assert "No space left" in job.status.reason["message"]
        job.resume().wait(60, show=False)
    assert names(job) == WHOLE


def test_an_output_place_that_is_full_when_the_outputs_are_written(disk, make_endpoint, inputs, tmp_path):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    out = disk.path / "out"
    job = endpoint.invoke(inputs, params={"size": 1_000_000}, output=str(out))
    with pytest.raises(JobFailed, match=r"no space is left on the device|No space left") as failure:
        job.wait(90, show=False)
    assert str(disk.path) in str(failure.value)
    assert not (out / "_SUCCESS").exists()
    assert not (out / "predictions.csv").exists()
    assert len(job.results(partial=True)) == 24
    calls = (tmp_path / "calls").read_text()
    for _ in range(2):
        with pytest.raises(JobFailed, match="No space left"):
            job.resume().wait(90, show=False)
        assert os.listdir(out) == ["_owner.json"], "what did not fit takes no room"
    disk.grow()
    assert job.resume().wait(90, show=False).status == "Completed"
    assert names(job) == WHOLE
    assert (tmp_path / "calls").read_text() == calls, "outputs are written without scoring again"


def test_an_output_place_that_becomes_read_only_and_writable_again(
    disk, make_endpoint, inputs, hold, tmp_path, eventually
):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs, output=str(disk.path / "out"))
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    disk.allow(writing=False)
    hold.unlink()
    with pytest.raises(JobFailed, match=r"output '.*' cannot be written: Read-only file system") as failure:
        job.wait(60, show=False)
    assert "resume" in str(failure.value)
    with pytest.raises(StorageError, match="Read-only file system"):
        endpoint.invoke(inputs, output=str(disk.path / "other"))
    disk.allow(writing=True)
    calls = (tmp_path / "calls").read_text()
    job.resume().wait(60, show=False)
    assert names(job) == WHOLE
    assert (tmp_path / "calls").read_text() == calls, "outputs are written without scoring again"


def test_a_job_does_not_care_for_a_catalog_that_is_away(make_endpoint, inputs, hold, tmp_path, eventually):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    catalog = tmp_path / "workspace" / "catalog.sqlite"
    away = [(path, path.with_name(path.name + ".away")) for path in catalog.parent.glob("catalog.sqlite*")]
    for path, aside in away:
        path.rename(aside)
    hold.unlink()
    eventually(lambda: job.folder.closed(1), "the job is completed", 60)
    assert job.wait(10, show=False).status == "Completed"
    assert names(job) == WHOLE
    for path, aside in away:
        aside.rename(path)
    assert job.wait(10, show=False).status == "Completed"
    assert names(job) == WHOLE


def test_jobs_that_have_ended_are_read_beside_a_catalog_that_is_read_only(
    disk, make_endpoint, inputs, hold, tmp_path, monkeypatch
):
    monkeypatch.setenv("DASK_BATCH_CATALOG", f"sqlite:///{disk.path}/catalog.sqlite")
    ws, endpoint = make_endpoint(tmp_path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    disk.allow(writing=False)
    hold.unlink()
    assert job.wait(60, show=False).status == "Completed"
    assert names(job) == WHOLE
    assert [job.name for job in ws.jobs.list()] == [job.name]
    assert ws.jobs.list(status="Completed") == [], "that could not be noted"
    disk.allow(writing=True)
    assert job.peek() == "Completed"
    assert [job.name for job in ws.jobs.list(status="Completed")] == [job.name]


def test_power_that_was_lost_leaves_temporary_files_that_nobody_reads(make_endpoint, inputs, tmp_path):
    _, endpoint = make_endpoint(tmp_path / "workspace")
    job = endpoint.invoke(inputs).wait(60, show=False)
    for folder in ("ledger", "events", ""):
        Path(job.folder.url(folder), ".tmp-0123456789abcdef").write_bytes(b"")
    Path(job.outputs["score"], ".tmp-0123456789abcdef").write_bytes(json.dumps({"format": 1}).encode()[:5])
    assert job.peek() == "Completed"
    assert names(job) == WHOLE
    assert len(job.events()) >= 3


def test_a_host_that_dies_while_the_disk_is_full_is_followed_once_there_is_room(
    disk, make_endpoint, inputs, hold, tmp_path, eventually
):
    ws, endpoint = make_endpoint(disk.path / "workspace")
    hold.touch()
    job = endpoint.invoke(inputs)
    eventually(lambda: job.peek().mini_batches, "the job is planned", 60)
    disk.fill()
    psutil.Process(host_state(ws.storage, "local").process["pid"]).kill()
    eventually(lambda: job.peek() == "Interrupted", "that is seen")
    for _ in range(4):  # each time: that no host could be started is not held against hosts
        with pytest.raises(StorageError, match=r"no host can be started.*No space left.*/hosts/local/.*make room"):
            job.wait(5, show=False)
    disk.free()
    hold.unlink()
    assert job.wait(60, show=False).status == "Completed"
    assert names(job) == WHOLE


def test_what_cannot_be_fetched_for_want_of_room_is_not_failed(make_endpoint, disk, tmp_path, odd_store, monkeypatch):
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(disk.path / "scratch"))
    odd_store()
    _, endpoint = make_endpoint(tmp_path / "workspace")
    (tmp_path / "input" / "999.txt").write_bytes(bytes(12 << 20))
    disk.fill(but_mib=8)
    job = endpoint.invoke(f"odd://{tmp_path}/input")
    with pytest.raises(
        JobFailed, match=rf"cannot write {disk.path}.*No space left on device; make room there"
    ) as failure:
        job.wait(60, show=False)
    assert "resume" in str(failure.value)
    assert len(job.errors()) == 0, "of a file that has not been read nothing is known"
    disk.free()
    job.resume().wait(60, show=False)
    assert names(job) == [*WHOLE, "999.txt"]

"""Output places that are claimed when an invocation or a cancel breaks off: they are not lost to others."""

from __future__ import annotations

import json

import pytest

from dask_batch.endpoints import invoking
from dask_batch.errors import AlreadyExists, NotFound
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobs import resuming


@pytest.fixture
def no_host(monkeypatch):
    """Jobs are asked for, and no host takes them up."""
    for module in (invoking, resuming):
        monkeypatch.setattr(module, "ensure_host", lambda *_: None)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "out"


def interrupt(*_):
    raise KeyboardInterrupt


def owner(place):
    return json.loads((place / "_owner.json").read_text())["job"]


@pytest.fixture
def break_off(scripted, files, place, monkeypatch):
    """Return a function that begins an invocation, which breaks off once the place is claimed."""

    def invoke(*, killed, **request):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(JobFolder, "create", interrupt)
            if killed:
                patch.setattr(invoking, "_take_back", lambda *_: None)
            scripted.invoke(files, output=place, **request)
        assert (place / "_owner.json").exists() == killed

    return invoke


@pytest.mark.parametrize("same", [{"job_name": "one"}, {"idempotency_key": "key"}, {}])
def test_an_interrupted_invocation_can_be_repeated(no_host, ws, scripted, files, place, break_off, same):
    break_off(killed=False, **same)
    job = scripted.invoke(files, output=place, **same)
    assert owner(place) == job.name
    assert [job.name for job in ws.jobs.list()] == [job.name]


def test_a_killed_invocation_is_completed_by_a_repeat_with_its_key(no_host, scripted, files, place, break_off):
    break_off(killed=True, idempotency_key="key")
    name = owner(place)
    assert scripted.invoke(files, output=place, idempotency_key="key").name == name == owner(place)


def test_the_place_of_a_killed_invocation_is_free_once_that_is_deleted(no_host, ws, scripted, files, place, break_off):
    break_off(killed=True, job_name="one")
    # It may be at work yet; this cannot be told from here.
    for again in ({"job_name": "one"}, {}):
        with pytest.raises(AlreadyExists, match=r"ws.jobs.delete\('one'\)"):
            scripted.invoke(files, output=place, **again)
    ws.jobs.delete("one")
    job = scripted.invoke(files, output=place)
    assert owner(place) == job.name
    with pytest.raises(NotFound):
        ws.jobs.get("one")


def test_the_place_of_a_job_whose_cancel_was_interrupted_is_free(no_host, scripted, files, place, monkeypatch):
    canceled = scripted.invoke(files, output=place)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("dask_batch.jobs.job.release_output", interrupt)
        canceled.cancel()
    assert canceled.peek() == "Canceled" and owner(place) == canceled.name
    job = scripted.invoke(files, output=place)
    assert owner(place) == job.name
    with pytest.raises(AlreadyExists, match=job.name):
        canceled.resume()
    with pytest.raises(AlreadyExists, match=job.name):
        scripted.invoke(files, output=place)


def test_a_job_takes_no_outputs_of_a_deleted_one_of_its_name_for_its_own(scripted, files, place):
    scripted.invoke(files, output=place, job_name="one").wait(60).delete()
    (files / "12.txt").write_text("x" * 12)
    with pytest.raises(AlreadyExists, match="holds files already"):
        scripted.invoke(files, output=place, job_name="one")
    job = scripted.invoke(files, output=place, job_name="one", overwrite=True).wait(60)
    assert len(job.results()) == 12

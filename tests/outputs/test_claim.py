from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from dask_batch.errors import AlreadyExists, StorageError
from dask_batch.outputs.claim import claim_output, release_output
from dask_batch.storage import Storage


@pytest.fixture(params=["local", "s3"])
def place(request, tmp_path, bucket) -> str:
    return str(tmp_path / "out put#") if request.param == "local" else f"{bucket}/{tmp_path.name}"


def test_a_place_belongs_to_the_job_that_claims_it_first(place):
    claim_output(place, "one")
    claim_output(place, "one")
    with pytest.raises(AlreadyExists, match=r"belongs to job 'one'; .*overwrite=True"):
        claim_output(place, "two")
    claim_output(place, "two", overwrite=True)
    with pytest.raises(AlreadyExists, match="belongs to job 'two'"):
        claim_output(place, "one")


def test_a_place_with_files_is_taken_only_over_them(place):
    Storage(place).put("results.csv", b"x")
    with pytest.raises(AlreadyExists, match=r"holds files already \(results.csv\)"):
        claim_output(place, "one")
    claim_output(place, "one", overwrite=True)
    claim_output(place, "one")
    assert Storage(place).read("results.csv") == b"x"


def test_a_claim_is_given_up_by_its_owner_alone(place):
    claim_output(place, "one")
    release_output(place, "two")
    with pytest.raises(AlreadyExists):
        claim_output(place, "two")
    release_output(place, "one")
    claim_output(place, "two")


def test_a_claim_that_has_lapsed_is_taken_over_within_its_workspace_where_no_files_are(place):
    def lapsed(job: str) -> bool:
        return job == "one"

    claim_output(place, "one", root="here")
    for more in ({}, {"root": "here"}, {"root": "there", "lapsed": lapsed}):
        with pytest.raises(AlreadyExists, match="belongs to job 'one'"):
            claim_output(place, "two", **more)
    claim_output(place, "two", root="here", lapsed=lapsed)
    with pytest.raises(AlreadyExists, match="belongs to job 'two'"):
        claim_output(place, "one", root="here", lapsed=lapsed)
    Storage(place).put_json("_owner.json", {"format": 1, "job": "one", "root": "here"})
    Storage(place).put("results.csv", b"x")
    with pytest.raises(AlreadyExists, match="holds files already"):
        claim_output(place, "two", root="here", lapsed=lapsed)


def test_files_that_an_earlier_job_of_the_same_name_left_are_not_taken_for_ones_own(place):
    claim_output(place, "one")
    Storage(place).put("results.csv", b"x")
    claim_output(place, "one")
    with pytest.raises(AlreadyExists, match="holds files already"):
        claim_output(place, "one", new=True)


def test_of_many_jobs_at_once_one_gets_the_place(place):
    def attempt(job: str) -> bool:
        try:
            claim_output(place, job)
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, [f"job-{n}" for n in range(16)])) == 1


def test_hidden_files_do_not_stand_in_the_way(tmp_path):
    (tmp_path / ".gitkeep").touch()
    claim_output(str(tmp_path), "one")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match=r"output place '.*file/below' cannot be written"):
        claim_output(str(tmp_path / "file/below"), "one")
    with pytest.raises(StorageError, match="cannot be written"):
        claim_output("/proc/nothing/here", "one")
    assert os.listdir(tmp_path) == ["file"]

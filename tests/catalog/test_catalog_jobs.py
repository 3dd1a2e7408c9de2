"""The index of jobs."""

from __future__ import annotations

import pytest

from dask_batch.errors import AlreadyExists, InvalidDefinition, NotFound


def names(records):
    return [record.name for record in records]


def test_a_job_is_what_was_stored(catalog, add_job):
    record, added = add_job(
        "j1",
        idempotency_key="k ü",
        display_name="Clinic, November",
        experiment_name="nightly",
        tags={"team": "a=b", "": "empty"},
        document={"inputs": ["/data"]},
    )
    assert added
    assert record == catalog.get_job("j1") == catalog.find_job_by_key("k ü")
    assert (record.endpoint, record.deployment, record.compute, record.owner) == ("heart", "xgb", "local", "ana")
    assert (record.created, record.state) == ("2026-11-01", None)
    assert (record.display_name, record.experiment_name) == ("Clinic, November", "nightly")
    assert (record.tags, record.document) == ({"team": "a=b", "": "empty"}, {"inputs": ["/data"]})


def test_a_key_that_has_a_job_gets_that_job(catalog, add_job):
    first = add_job("j1", idempotency_key="k", document={"n": 1})
    again = add_job("j2", idempotency_key="k", document={"n": 2})
    same = add_job("j1", idempotency_key="k", document={"n": 3})
    assert again.record == same.record == first.record
    assert (first.added, again.added, same.added) == (True, False, False)
    assert catalog.count_jobs() == 1


def test_a_name_that_is_taken_is_refused(catalog, add_job):
    add_job("j1", idempotency_key="k1", tags={"a": "1"})
    for key in (None, "k2"):
        with pytest.raises(AlreadyExists, match="there is a job 'j1' already"):
            add_job("j1", idempotency_key=key, tags={"a": "2"})
    assert catalog.find_job_by_key("k2") is None
    assert names(catalog.list_jobs(tag="a=2")) == []


def test_jobs_without_a_key_are_all_added(catalog, add_job):
    assert all(add_job(f"j{n}").added for n in range(3))
    assert catalog.count_jobs() == 3


def test_jobs_are_listed_newest_first_page_by_page(catalog, add_job):
    for n in range(7):
        add_job(f"j{n}", created="the same moment")
    assert names(catalog.list_jobs(limit=None)) == [f"j{n}" for n in reversed(range(7))]
    pages = [names(catalog.list_jobs(limit=3, offset=offset)) for offset in (0, 3, 6, 9)]
    assert pages == [["j6", "j5", "j4"], ["j3", "j2", "j1"], ["j0"], []]


def test_fifty_jobs_are_listed_unless_told_otherwise(catalog, add_job):
    for n in range(55):
        add_job(f"j{n}")
    assert len(catalog.list_jobs()) == 50
    assert len(catalog.list_jobs(offset=40)) == 15


def test_a_list_shows_the_jobs_that_meet_all_conditions(catalog, add_job):
    add_job("j1")
    add_job("j2", deployment="rf", owner="ben")
    add_job("j3", endpoint="lung")
    assert names(catalog.list_jobs(endpoint="heart")) == ["j2", "j1"]
    assert names(catalog.list_jobs(endpoint="heart", deployment="rf")) == ["j2"]
    assert names(catalog.list_jobs(owner="ana")) == ["j3", "j1"]
    assert names(catalog.list_jobs(endpoint="lung", deployment="rf")) == []
    assert catalog.count_jobs(endpoint="heart") == 2
    assert catalog.count_jobs(endpoint="nowhere") == 0


def test_a_state_is_cached_for_lists_and_can_be_taken_back(catalog, add_job):
    for n in range(3):
        add_job(f"j{n}")
    assert catalog.set_job_state("j0", "Completed")
    assert catalog.set_job_state("j1", "Failed")
    assert names(catalog.list_jobs(status="Completed")) == ["j0"]
    assert names(catalog.list_jobs(ended=True)) == ["j1", "j0"]
    assert names(catalog.list_jobs(ended=False)) == ["j2"]
    assert catalog.set_job_state("j1", None)
    assert catalog.get_job("j1").state is None
    assert (catalog.count_jobs(status="Failed"), catalog.count_jobs(ended=False)) == (0, 2)


def test_the_state_of_a_job_that_is_gone_is_no_error(catalog):
    assert not catalog.set_job_state("gone", "Completed")


def test_jobs_are_found_by_a_tag_or_by_its_value(catalog, add_job):
    add_job("j1", tags={"team": "a", "a=b": "c"})
    add_job("j2", tags={"team": "a=b"})
    add_job("j3", tags={"a": "b", "empty": ""})
    add_job("j4")
    assert names(catalog.list_jobs(tag="team")) == ["j2", "j1"]
    assert names(catalog.list_jobs(tag="team=a")) == ["j1"]
    assert names(catalog.list_jobs(tag="team=a=b")) == ["j2"]
    assert names(catalog.list_jobs(tag="a=b")) == ["j3", "j1"]
    assert names(catalog.list_jobs(tag="empty=")) == ["j3"]
    assert names(catalog.list_jobs(tag="te")) == []
    assert catalog.count_jobs(tag="team", owner="ana") == 2


def test_a_deleted_job_frees_its_name_and_key(catalog, add_job):
    add_job("j1", idempotency_key="k", tags={"old": "1"})
    catalog.delete_job("j1")
    assert catalog.find_job_by_key("k") is None
    assert add_job("j1", idempotency_key="k").added
    assert names(catalog.list_jobs(tag="old")) == []


def test_a_wrong_name_lists_the_newest_few_and_the_nearest(catalog, add_job):
    with pytest.raises(NotFound, match="no job 'x'; there are no jobs yet"):
        catalog.get_job("x")
    add_job("heart-monday")
    for n in range(6):
        add_job(f"job-{n}")
    with pytest.raises(NotFound) as caught:
        catalog.get_job("heart-mondya")
    said = "no job 'heart-mondya'; did you mean 'heart-monday'? newest jobs: job-5, job-4, job-3, job-2, job-1"
    assert str(caught.value) == said
    with pytest.raises(NotFound, match="no job 'zzz'; newest jobs: job-5"):
        catalog.delete_job("zzz")


def test_long_tags_are_kept_and_found(catalog, add_job):
    add_job("j1", tags={"k" * 5000: "v" * 50_000})
    assert names(catalog.list_jobs(tag=f"{'k' * 5000}={'v' * 50_000}")) == ["j1"]


def test_a_key_too_long_for_an_index_is_refused(catalog, add_job):
    assert add_job("j1", idempotency_key="ü" * 512).added
    with pytest.raises(InvalidDefinition, match="idempotency key of job 'j2' is longer than 1024 bytes"):
        add_job("j2", idempotency_key="ü" * 513)


def test_a_text_that_is_not_unicode_is_refused(catalog, add_job):
    with pytest.raises(InvalidDefinition, match="cannot add job 'j1'"):
        add_job("j1", display_name="\ud800")
    assert catalog.count_jobs() == 0


def test_a_tag_that_is_no_text_is_refused(catalog, add_job):
    with pytest.raises(InvalidDefinition, match="tag 'a' of job 'j1' is not a text"):
        add_job("j1", tags={"a": 1})

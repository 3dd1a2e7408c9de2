"""Versions of environments, models and data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.catalog.assets import version_number
from dask_batch.errors import AlreadyExists, InvalidDefinition, NotFound


def versions(catalog, kind, name):
    return [record.version for record in catalog.assets.list(kind, name)]


@pytest.mark.parametrize("kind", ["environment", "model", "data"])
def test_each_kind_of_asset_counts_its_versions_from_one(catalog, kind):
    assert [catalog.assets.add(kind, "m", None, {"n": n}).version for n in range(3)] == ["1", "2", "3"]
    assert catalog.assets.get(kind, "m", "2").document == {"n": 1}
    assert catalog.assets.add(kind, "other", None, {}).version == "1"


def test_kinds_do_not_see_each_other(catalog):
    catalog.assets.add("model", "m", None, {})
    assert catalog.assets.add("data", "m", None, {}).version == "1"
    with pytest.raises(NotFound, match="no environment 'm'; there are no environment assets yet"):
        catalog.assets.get("environment", "m")


def test_the_latest_version_is_the_one_that_was_added_last(catalog):
    for version in ("10", "2", "beta"):
        made = catalog.assets.add("model", "m", version, {"v": version})
        assert catalog.assets.get("model", "m") == catalog.assets.get("model", "m", "latest") == made
    assert versions(catalog, "model", "m") == ["beta", "2", "10"]


def test_a_number_that_is_given_counts_and_other_versions_do_not(catalog):
    said = [catalog.assets.add("model", "m", version, {}).version for version in (None, "7", "1.5", "007", "3", None)]
    assert said == ["1", "7", "1.5", "007", "3", "8"]


def test_a_version_that_exists_is_refused_even_if_it_is_the_same(catalog):
    catalog.assets.add("model", "m", "1", {"a": 1})
    for document in ({"a": 1}, {"a": 2}):
        with pytest.raises(AlreadyExists, match="model 'm' has a version '1' already"):
            catalog.assets.add("model", "m", "1", document)
    assert catalog.assets.get("model", "m", "1").document == {"a": 1}
    assert versions(catalog, "model", "m") == ["1"]


def test_the_number_of_a_deleted_version_does_not_come_back(catalog):
    for _ in range(2):
        catalog.assets.add("model", "m", None, {})
    catalog.assets.delete("model", "m", "latest")
    assert versions(catalog, "model", "m") == ["1"]
    catalog.assets.delete("model", "m", "1")
    with pytest.raises(NotFound, match="no model 'm'"):
        catalog.assets.get("model", "m")
    assert catalog.assets.add("model", "m", None, {}).version == "3"


def test_a_wrong_name_or_version_lists_the_right_ones(catalog):
    for version in ("1", "2"):
        catalog.assets.add("data", "clinic", version, {})
    for call in (catalog.assets.get, catalog.assets.delete):
        with pytest.raises(NotFound, match="data 'clinic' has no version '3'; versions: 1, 2"):
            call("data", "clinic", "3")
        with pytest.raises(NotFound, match=r"no data 'clinics'; did you mean 'clinic'\? data assets: clinic"):
            call("data", "clinics", "latest")
    assert catalog.assets.list("data", "clinics") == ()


def test_deleting_what_does_not_exist_leaves_no_trace(catalog):
    with pytest.raises(NotFound):
        catalog.assets.delete("model", "m", "1")
    assert catalog.assets.add("model", "m", None, {}).version == "1"


def test_all_assets_of_a_kind_are_listed_by_name_and_newest_first(catalog):
    for name in ("b", "a", "b"):
        catalog.assets.add("model", name, None, {})
    listed = [(record.name, record.version) for record in catalog.assets.list("model")]
    assert listed == [("a", "1"), ("b", "2"), ("b", "1")]


def test_what_is_said_about_a_version_changes(catalog):
    made = catalog.assets.add("model", "m", None, {"path": "p"})
    catalog.assets.add("model", "m", None, {"path": "q"})
    changed = catalog.assets.update("model", "m", "1", lambda document: {**document, "description": "new"})
    assert (changed.document, changed.created) == ({"path": "p", "description": "new"}, made.created)
    assert catalog.assets.get("model", "m", "1") == changed
    assert catalog.assets.get("model", "m").document == {"path": "q"}
    with pytest.raises(NotFound, match="model 'm' has no version '7'; versions: 1, 2"):
        catalog.assets.update("model", "m", "7", dict)


def test_a_kind_that_does_not_exist_names_those_that_do(catalog):
    for call in (
        lambda: catalog.assets.add("modle", "m", None, {}),
        lambda: catalog.assets.get("modle", "m"),
        lambda: catalog.assets.list("modle"),
        lambda: catalog.assets.delete("modle", "m", "1"),
    ):
        with pytest.raises(InvalidDefinition, match=r"did you mean 'model'\? kinds: data, environment, model"):
            call()


def test_no_version_is_called_latest(catalog):
    with pytest.raises(InvalidDefinition, match="no version of model 'm' can be called 'latest'"):
        catalog.assets.add("model", "m", "latest", {})


@given(st.one_of(st.text(max_size=5), st.text("0123456789", max_size=25)))
def test_a_version_is_a_number_if_it_is_written_as_one(version):
    number = version_number(version)
    assert number is None or (str(number) == version and 0 <= number < 2**63)


@given(st.integers(0, 10**18 - 1))
def test_every_number_is_a_version(number):
    assert version_number(str(number)) == number

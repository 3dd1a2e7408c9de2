"""Endpoints, deployments and computes."""

from __future__ import annotations

import pytest

from dask_batch.errors import AlreadyExists, InvalidDefinition, NotFound, Refused

ODD = {"text": "ü\n'\"; \x00 \ud800", "deep": {"list": [1, 2.5, None, True, {"k": []}]}, "z": 1, "a": 2}


@pytest.fixture
def heart(catalog):
    """The name of an endpoint that exists."""
    return catalog.endpoints.create("heart", {"description": "at risk"}).name


# -- endpoints ---------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_what_was_stored(catalog):
    made = catalog.endpoints.create("heart", ODD)
    assert made == catalog.endpoints.get("heart")
    assert (made.document, made.revision, made.default_deployment) == (ODD, 1, None)
    assert list(made.document) == list(ODD)
    assert made.created == made.updated


def test_endpoints_are_listed_by_name_in_the_same_order_on_every_database(catalog):
    for name in ("b", "B", "a.b", "a", "A"):
        catalog.endpoints.create(name, {})
    assert [record.name for record in catalog.endpoints.list()] == ["A", "B", "a", "a.b", "b"]


def test_a_name_that_is_taken_is_refused_and_nothing_changes(catalog, heart):
    with pytest.raises(AlreadyExists, match="there is an endpoint 'heart' already"):
        catalog.endpoints.create(heart, {"other": 1})
    assert catalog.endpoints.get(heart).document == {"description": "at risk"}


def test_a_wrong_name_lists_the_right_ones(catalog, heart):
    for call in (
        lambda: catalog.endpoints.get("haert"),
        lambda: catalog.endpoints.update("haert", {}),
        lambda: catalog.endpoints.delete("haert"),
        lambda: catalog.deployments.create("haert", "d", {}),
        lambda: catalog.deployments.list("haert"),
        lambda: catalog.deployments.get("haert", "d"),
        lambda: catalog.deployments.update("haert", "d", {}),
        lambda: catalog.deployments.delete("haert", "d"),
        lambda: catalog.deployments.set_default("haert", "d"),
    ):
        with pytest.raises(NotFound, match=r"no endpoint 'haert'; did you mean 'heart'\? endpoints: heart"):
            call()


def test_document_and_default_change_together_or_not_at_all(catalog, heart):
    for name in ("a", "b"):
        catalog.deployments.create(heart, name, {})
    changed = catalog.endpoints.revise(heart, lambda document, default: ({"was": default}, "b"))
    assert (changed.document, changed.default_deployment, changed.revision) == ({"was": "a"}, "b", 2)
    with pytest.raises(NotFound, match="no deployment 'c'; deployments: a, b"):
        catalog.endpoints.revise(heart, lambda document, default: ({}, "c"))
    with pytest.raises(Refused, match="has a default deployment, 'b'"):
        catalog.endpoints.revise(heart, lambda document, default: ({}, None))
    assert catalog.endpoints.get(heart) == changed
    assert catalog.endpoints.revise(heart, lambda *present: present) == changed


def test_a_default_may_be_named_before_it_is_there(catalog):
    catalog.endpoints.create("e", {}, default="blue")
    catalog.deployments.create("e", "green", {})
    assert catalog.endpoints.get("e").default_deployment == "blue"
    with pytest.raises(NotFound):
        catalog.deployments.get("e", "blue")
    catalog.deployments.create("e", "blue", {})
    with pytest.raises(Refused, match="make another one the default first: green"):
        catalog.deployments.delete("e", "blue")


def test_an_update_replaces_the_document_and_counts_the_revision(catalog, heart):
    changed = catalog.endpoints.update(heart, {"description": "new"})
    assert (changed.document, changed.revision) == ({"description": "new"}, 2)
    assert catalog.endpoints.get(heart) == changed


def test_an_update_by_a_function_gets_the_present_document(catalog, heart):
    changed = catalog.endpoints.update(heart, lambda document: {**document, "tags": {"a": "b"}})
    assert changed.document == {"description": "at risk", "tags": {"a": "b"}}


def test_an_update_for_an_older_revision_is_refused(catalog, heart):
    catalog.endpoints.update(heart, {"n": 2}, revision=1)
    with pytest.raises(Refused, match="'heart' has been changed by somebody else: it is at revision 2"):
        catalog.endpoints.update(heart, {"n": 3}, revision=1)
    assert catalog.endpoints.get(heart).document == {"n": 2}


def test_a_function_that_fails_leaves_the_document_alone(catalog, heart):
    with pytest.raises(KeyError):
        catalog.endpoints.update(heart, lambda document: document["absent"])
    assert catalog.endpoints.get(heart).revision == 1


def test_an_endpoint_goes_with_its_deployments_and_no_others(catalog, heart):
    catalog.endpoints.create("other", {})
    for endpoint in (heart, "other"):
        catalog.deployments.create(endpoint, "d", {})
    catalog.endpoints.delete(heart)
    assert [record.name for record in catalog.endpoints.list()] == ["other"]
    assert [record.name for record in catalog.deployments.list("other")] == ["d"]
    catalog.endpoints.create(heart, {})
    assert catalog.deployments.list(heart) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"bytes"])
def test_a_document_that_json_cannot_hold_is_refused(catalog, heart, value):
    for call in (
        lambda: catalog.endpoints.create("x", {"value": value}),
        lambda: catalog.endpoints.update(heart, {"value": value}),
        lambda: catalog.deployments.create(heart, "x", {"value": value}),
        lambda: catalog.assets.add("model", "x", None, {"value": value}),
    ):
        with pytest.raises(InvalidDefinition, match="no JSON form"):
            call()
    assert catalog.deployments.list(heart) == ()


# -- deployments -------------------------------------------------------------------------------------------------------


def test_the_first_deployment_becomes_the_default_and_later_ones_do_not(catalog, heart):
    catalog.deployments.create(heart, "xgb", {"v": 1})
    catalog.deployments.create(heart, "rf", {"v": 2})
    assert catalog.endpoints.get(heart).default_deployment == "xgb"
    assert [(record.name, record.document) for record in catalog.deployments.list(heart)] == [
        ("rf", {"v": 2}),
        ("xgb", {"v": 1}),
    ]


def test_a_deployment_becomes_the_default_or_not_as_it_is_told(catalog, heart):
    catalog.deployments.create(heart, "a", {}, default=False)
    assert catalog.endpoints.get(heart).default_deployment is None
    catalog.deployments.create(heart, "b", {})
    assert catalog.endpoints.get(heart).default_deployment == "b"
    catalog.deployments.create(heart, "c", {}, default=True)
    assert catalog.endpoints.get(heart).default_deployment == "c"
    catalog.deployments.update(heart, "a", {}, default=True)
    assert catalog.endpoints.get(heart).default_deployment == "a"


def test_the_default_is_switched_to_deployments_that_exist_only(catalog, heart):
    for name in ("xgb", "rf"):
        catalog.deployments.create(heart, name, {})
    catalog.deployments.set_default(heart, "rf")
    assert catalog.endpoints.get(heart).default_deployment == "rf"
    with pytest.raises(NotFound, match=r"endpoint 'heart' has no deployment 'xgv'; did you mean 'xgb'\?"):
        catalog.deployments.set_default(heart, "xgv")
    assert catalog.endpoints.get(heart).default_deployment == "rf"


def test_switching_the_default_or_the_document_of_an_endpoint_leaves_the_other_alone(catalog, heart):
    catalog.deployments.create(heart, "a", {})
    assert catalog.endpoints.get(heart).revision == 1
    assert catalog.endpoints.update(heart, {}).default_deployment == "a"


def test_a_deployment_name_is_taken_within_its_endpoint_only(catalog, heart):
    catalog.endpoints.create("other", {})
    catalog.deployments.create(heart, "d", {"v": 1})
    catalog.deployments.create("other", "d", {"v": 2})
    with pytest.raises(AlreadyExists, match="endpoint 'heart' has a deployment 'd' already"):
        catalog.deployments.create(heart, "d", {"v": 3}, default=True)
    assert catalog.deployments.get(heart, "d").document == {"v": 1}
    assert catalog.deployments.get("other", "d").document == {"v": 2}


def test_each_update_of_a_deployment_gives_it_the_next_revision(catalog, heart):
    catalog.deployments.create(heart, "d", {"v": 1})
    assert catalog.deployments.update(heart, "d", {"v": 2}).revision == 2
    assert catalog.deployments.update(heart, "d", lambda document: {"v": document["v"] + 1}, revision=2).revision == 3
    with pytest.raises(Refused, match="deployment 'd' of endpoint 'heart' has been changed"):
        catalog.deployments.update(heart, "d", {}, revision=2)
    assert catalog.deployments.get(heart, "d").document == {"v": 3}


def test_the_default_deployment_goes_only_as_the_last_one(catalog, heart):
    for name in ("a", "b"):
        catalog.deployments.create(heart, name, {})
    with pytest.raises(Refused, match=r"deployment 'a' is the default of endpoint 'heart'; make another .*: b"):
        catalog.deployments.delete(heart, "a")
    catalog.deployments.delete(heart, "b")
    catalog.deployments.delete(heart, "a")
    assert catalog.endpoints.get(heart).default_deployment is None
    with pytest.raises(NotFound, match="endpoint 'heart' has no deployment 'a'; there are no deployments yet"):
        catalog.deployments.delete(heart, "a")


# -- computes ----------------------------------------------------------------------------------------------------------


def test_a_compute_is_created_changed_and_deleted(catalog):
    assert catalog.computes.create("local", {"type": "local"}).revision == 1
    with pytest.raises(AlreadyExists, match="there is a compute 'local' already"):
        catalog.computes.create("local", {})
    assert catalog.computes.update("local", {"max_instances": 2}, revision=1).revision == 2
    with pytest.raises(Refused, match="compute 'local' has been changed"):
        catalog.computes.update("local", {}, revision=1)
    assert [record.document for record in catalog.computes.list()] == [{"max_instances": 2}]
    for call in (
        lambda: catalog.computes.get("lokal"),
        lambda: catalog.computes.update("lokal", {}),
        lambda: catalog.computes.delete("lokal"),
    ):
        with pytest.raises(NotFound, match=r"no compute 'lokal'; did you mean 'local'\? computes: local"):
            call()
    catalog.computes.delete("local")
    assert catalog.computes.list() == ()

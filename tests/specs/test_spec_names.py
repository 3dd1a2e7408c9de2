"""Names are safe in a path, and references name one asset."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.names import Reference, check_name, parse_reference

EDGE = string.ascii_letters + string.digits


@pytest.mark.parametrize("name", ["a", "A1", "heart-classifier", "v1.2_3", "0", "a" * 64, "a..b"])
def test_a_name_of_letters_digits_and_inner_signs_is_valid(name):
    assert check_name(name, "endpoint") == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a b", "a/b", "a\\b", "..", ".", ".hidden", "../x", "a.", "-a", "a-", "_a", "ü", "名前", "a\n", "a\0",
        "٣", "a" * 65, "a" * 300, "a:1", "a@b", "~", "*", None, 3, True, b"a",
    ],
)  # fmt: skip
def test_any_other_name_is_refused_with_the_rule(name):
    with pytest.raises(InvalidDefinition, match=r"endpoint name .*use 1 to 64 of the characters"):
        check_name(name, "endpoint")


def test_the_message_names_the_sign_that_is_not_allowed_and_stays_short():
    with pytest.raises(InvalidDefinition, match="'/' is not allowed"):
        check_name("a/b", "job")
    with pytest.raises(InvalidDefinition) as caught:
        check_name("x" * 5000, "job")
    assert "it has 5000 characters" in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=80))
def test_a_valid_name_never_leaves_its_folder(name):
    try:
        check_name(name, "job")
    except InvalidDefinition:
        return
    assert name[0] in EDGE
    assert name[-1] in EDGE
    assert set(name) <= set(EDGE + "._-")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("azureml:heart:1", Reference("heart", "1")),
        ("azureml:heart@latest", Reference("heart", latest=True)),
        ("heart:2024-01", Reference("heart", "2024-01")),
        ("heart@latest", Reference("heart", latest=True)),
        ("heart", Reference("heart")),
    ],
)
def test_a_reference_names_an_asset_with_or_without_a_version(text, reference):
    assert parse_reference(text, "model") == reference
    assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    ["", "azureml:", "a:", ":1", "a:b:c", "a@prod", "a b:1", "azureml://registries/x/models/y", "azureml:/sub", 3],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(InvalidDefinition, match="model"):
        parse_reference(text, "model")

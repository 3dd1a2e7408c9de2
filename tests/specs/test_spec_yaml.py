"""YAML is read safely, and each key's line is known."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.errors import InputMissing, InvalidDefinition
from dask_batch.specs.yamlio import dump_yaml, plain, read_value, read_yaml


def test_every_key_knows_its_line(write):
    document = read_yaml(write("a: 1\n# note\nb:\n  c:\n    - x\n    - d: 2\n"))
    assert document.values == {"a": 1, "b": {"c": ["x", {"d": 2}]}}
    assert document.place(("b", "c", 1, "d")) == "deployment.yml:6"
    assert document.place(("b", "nowhere")) == "deployment.yml:3"
    assert document.place() == "deployment.yml"


def test_numbers_remember_how_they_were_written(write):
    values = read_yaml(write("a: +7\nb: 1.10\nc: 1e3\nd: -0\n")).values
    assert [value.text for value in values.values()] == ["+7", "1.10", "1e3", "-0"]
    assert plain(values) == {"a": 7, "b": 1.1, "c": 1000.0, "d": 0}


@pytest.mark.parametrize(
    "text", ["02134", "0x10", "0b1", "1:30", "1_000", "190:20:30.15", "00", "-01", "1.2.3", "=", "08.5"]
)
def test_what_only_older_yaml_takes_for_a_number_is_text(write, text):
    assert read_yaml(write(f"a: {text}\n")).values == {"a": text}
    assert read_value(text) == text


def test_dates_and_country_codes_are_text(write):
    values = read_yaml(write("day: 2024-01-02\ncountry: no\nswitch: on\nreal: true\nnone: null\n")).values
    assert plain(values) == {"day": "2024-01-02", "country": "no", "switch": "on", "real": True, "none": None}


def test_true_and_false_remember_how_they_were_written(write):
    values = read_yaml(write("a: False\nb: 'false'\n")).values
    assert (values["a"], values["a"].value, plain(values)) == ("False", False, {"a": False, "b": "false"})


def test_one_value_is_read_as_in_a_file_and_what_is_no_yaml_is_text():
    given = ["{a: 1, b: [x, 2.5]}", "{not: [closed", "a: b: c", "", " ", "# note", "!!int x", "null", "~", "3"]
    assert [plain(read_value(text)) for text in given] == [
        {"a": 1, "b": ["x", 2.5]}, "{not: [closed", "a: b: c", "", " ", "# note", "!!int x", None, None, 3,
    ]  # fmt: skip


@given(st.text() | st.sampled_from(["1e3", "1.5e3", "0x1", "1:30", "012", "true", "1_0", ".5"]))
def test_any_text_survives_being_written(text):
    read = yaml.safe_load(dump_yaml({"a": text}))
    assert read == {"a": text}
    assert read_value(dump_yaml({"a": text})) == {"a": text}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2\n", r"deployment.yml:\d+: is not valid YAML"),
        ("- a\n", "must hold one mapping"),
        ("", "must hold one mapping"),
        ("a: 1\nb: 2\na: 3\n", "deployment.yml:3: 'a' is given twice, first on line 1"),
        ("a: !!python/object/apply:os.system [ls]\n", "deployment.yml:1: the tag"),
        ("a: !!python/name:os.system\n", "deployment.yml:1: is not valid YAML"),
        ("a: !!int x\n", "deployment.yml:1: the value 'x' cannot be read"),
        ("a: \x01\n", "is not valid YAML"),
        ("? [a]\n: 1\n", "deployment.yml:1: a key must be text"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "deployment.yml:3: '<<' is not supported"),
        ("a: &a\n  b: *a\n", "too large or too deep"),
        ("a: " + "[" * 3000, "too deep|is not valid YAML"),
        ("a: " + "9" * 6000 + "\n", "cannot be read"),
    ],
)
def test_what_is_no_definition_is_refused_with_its_place(write, text, message):
    with pytest.raises(InvalidDefinition, match=message):
        read_yaml(write(text))


def test_a_small_file_cannot_unfold_into_a_huge_one(write):
    levels = [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(InvalidDefinition, match="too large"):
        read_yaml(write("\n".join(["l0: &l0 x", *levels])))


def test_a_missing_or_unreadable_file_says_so(tmp_path):
    with pytest.raises(InputMissing, match=r"nope.yml: there is no such file"):
        read_yaml(tmp_path / "nope.yml")
    with pytest.raises(InvalidDefinition, match="cannot be read"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9\n")
    with pytest.raises(InvalidDefinition, match="cannot be read"):
        read_yaml(tmp_path / "latin.yml")


def test_text_that_looks_like_something_else_survives_being_written(write):
    values = {"a": "02134", "b": "no", "c": "1.10", "d": "2024-01-02", "e": "null", "f": "", "g": "ü\n#x: y"}
    assert read_yaml(write(dump_yaml(values))).values == values

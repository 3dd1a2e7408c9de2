"""What a shell gives by dotted key: laid over a file before it is read, or over a definition that stands."""

from __future__ import annotations

import pytest

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.environment import Environment
from dask_batch.specs.yamlio import read_value


def test_what_is_given_wins_over_the_file_whatever_key_either_uses(write):
    file = write(
        "name: d\nmodel: models:/m/1\nmini_batch_size: 3\nenvironment_variables: {A: 1}\n"
        "retry_settings: {timeout: 5, max_retries: 1}\n"
    )
    given = {"settings.mini_batch_size": 7, "settings.environment_variables.B": "2", "settings.timeout": 9}
    spec = ModelDeployment.from_yaml(file, given)
    assert (spec.mini_batch_size, spec.timeout, spec.max_retries) == (7, 9.0, 1)
    assert spec.environment_variables == {"A": "1", "B": "2"}
    assert ModelDeployment.from_yaml(file).mini_batch_size == 3


def test_a_file_may_leave_to_the_shell_what_is_needed(write):
    given = {"name": "d", "endpoint_name": "e", "model": "azureml:m:1"}
    spec = ModelDeployment.from_yaml(write("settings: {mini_batch_size: 3}\n"), given)
    assert (spec.name, spec.endpoint_name, spec.model) == ("d", "e", "azureml:m:1")
    assert ModelDeployment.from_yaml(None, given).model == "azureml:m:1"


def test_paths_are_relative_to_who_gave_them(write, tmp_path, monkeypatch):
    file = write("name: d\ncode: src\nscoring_script: a.py\nenvironment: {conda_file: c.yml}\n").absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    spec = ModelDeployment.from_yaml(file, {"code": "mine", "tags.a": "b"})
    assert (spec.code, spec.environment.conda_file) == (str(tmp_path / "elsewhere/mine"), str(tmp_path / "c.yml"))
    spec = ModelDeployment.from_yaml(file, {"environment.requirements": "r.txt", "environment.conda_file": None})
    assert spec.environment == Environment(requirements=str(tmp_path / "elsewhere/r.txt"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings.mini_batch_size": "x"}, "the command line: settings.mini_batch_size='x': must be a whole number"),
        ({"mini_batchsize": 3}, "the command line: unknown key 'mini_batchsize'; did you mean"),
        ({"timeout": 1, "retry_settings": {"timeout": 2}}, "retry_settings.timeout says again what timeout says"),
        ({"tags.a": ["b"]}, "the command line: tags.a: must be text, not list"),
        ({"model.path": None, "model.name": "m"}, "model.path is missing"),
        ({"settings": 3}, "settings must hold keys"),
    ],
)
def test_what_cannot_be_is_said_to_come_from_the_command_line(write, given, message):
    file = write("name: d\nmodel: models:/m/1\nthreads: 2\n")
    for change in (
        lambda: ModelDeployment.from_yaml(file, given),
        lambda: ModelDeployment.from_yaml(file).changed_fields(given),
    ):
        with pytest.raises(InvalidDefinition) as caught:
            change()
        assert message in str(caught.value)


def test_a_mistake_in_the_file_is_still_said_with_its_line(write):
    with pytest.raises(InvalidDefinition, match=r"^deployment\.yml:3: threads=0: must be 1 or more$"):
        ModelDeployment.from_yaml(write("name: d\nmodel: models:/m/1\nthreads: 0\n"), {"mini_batch_size": 3})


def test_only_what_is_named_changes():
    spec = ModelDeployment(name="d", code="src", scoring_script="a.py", tags={"a": "1"}, timeout=5)
    changed = spec.changed_fields({"retry_settings.timeout": 9, "tags.b.c": "2", "settings.max_retries": None})
    assert changed == {"timeout": 9.0, "tags": {"a": "1", "b.c": "2"}, "max_retries": 3}
    assert spec.replace(**changed).code == "src"


def test_no_output_file_has_no_name():
    spec = ModelDeployment(name="d", model="m", output_file_name="rows.csv")
    given = {"settings.output_action": "Summary_Only"}
    assert spec.changed_fields(given) == {"output_action": "summary_only"}
    assert spec.replace(output_action="summary_only").output_action == "summary_only"
    with pytest.raises(InvalidDefinition, match="summary_only writes no output file"):
        spec.changed_fields(given | {"output_file_name": "a.csv"})


def test_a_mapping_is_added_key_by_key_where_it_holds_keys_of_ours():
    spec = ModelDeployment(name="d", model="m", mini_batch_size=3, timeout=5, tags={"a": "1"})
    changed = spec.changed_fields({"settings": read_value("{mini_batch_size: 4}"), "tags": read_value("{b: 010}")})
    assert changed == {"mini_batch_size": 4, "tags": {"b": "010"}}

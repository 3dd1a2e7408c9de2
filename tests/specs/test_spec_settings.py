"""Settings have Azure's defaults, and an invocation may override each."""

from __future__ import annotations

import pytest

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.scoring_settings import ScoringSettings, override_name


def test_defaults_are_those_of_azure_except_that_every_slot_is_used():
    settings = ScoringSettings()
    assert (settings.mini_batch_size, settings.max_retries, settings.timeout) == (10, 3, 30.0)
    assert (settings.error_threshold, settings.output_action) == (-1, "append_row")
    assert (settings.output_file_name, settings.logging_level) == ("predictions.csv", "info")
    assert (settings.instance_count, settings.max_concurrency_per_instance) == (1, None)


@pytest.mark.parametrize(("given", "held"), [(0, 0), (-1, -1), ("2%", "2%"), (" 0.5 % ", "0.5%"), ("100%", "100%")])
def test_an_error_threshold_is_a_number_or_a_percentage(given, held):
    assert ScoringSettings(error_threshold=given).error_threshold == held


def test_an_override_of_zero_is_zero_and_none_is_not_given():
    settings = ScoringSettings(max_retries=5, error_threshold=7, mini_batch_size=2)
    changed = settings.with_overrides(max_retries=0, error_threshold=0, mini_batch_size=None)
    assert (changed.max_retries, changed.error_threshold, changed.mini_batch_size) == (0, 0, 2)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("mini_batch_size", "mini_batch_size"),
        ("settings.mini_batch_size", "mini_batch_size"),
        ("retry_settings.timeout", "timeout"),
        ("settings.retry_settings.max_retries", "max_retries"),
        ("compute.instance_count", "instance_count"),
        ("resources.instance_count", "instance_count"),
        ("settings.instance_count", "instance_count"),
        ("output_file_name", "output_file_name"),
        ("settings.read_timeout", "read_timeout"),
    ],
)
def test_an_override_may_be_named_as_azure_names_it(key, name):
    assert override_name(key) == name


@pytest.mark.parametrize("key", ["mini_batchsize", "settings.mini_batchsize", "settngs.mini_batch_size"])
def test_an_unknown_override_names_the_nearest(key):
    with pytest.raises(InvalidDefinition, match=f"unknown override '{key}'; did you mean 'mini_batch_size'"):
        ScoringSettings().with_overrides(**{key: 3})


@pytest.mark.parametrize("key", ["name", "model", "compute", "scoring_script", ""])
def test_only_settings_of_a_deployment_can_be_overridden(key):
    with pytest.raises(InvalidDefinition, match="unknown override"):
        ModelDeployment(name="x", model="m").with_overrides(**{key: "y"})


def test_overrides_are_typed_and_given_once():
    with pytest.raises(InvalidDefinition, match="timeout='5': must be a number of seconds"):
        ScoringSettings().with_overrides(timeout="5")
    with pytest.raises(InvalidDefinition, match="timeout is given twice"):
        ScoringSettings().with_overrides(**{"timeout": 5, "retry_settings.timeout": 6})


def test_environment_variables_of_an_invocation_are_added():
    settings = ScoringSettings(environment_variables={"A": "1", "B": "2"})
    assert settings.with_overrides(environment_variables={"B": "3", "C": "4"}).environment_variables == {
        "A": "1",
        "B": "3",
        "C": "4",
    }
    with pytest.raises(InvalidDefinition, match="must be a mapping"):
        settings.with_overrides(environment_variables="A=1")


def test_summary_only_can_be_asked_for_at_invocation_and_then_names_no_file():
    settings = ScoringSettings(output_file_name="mine.csv").with_overrides(output_action="summary_only")
    assert settings.output_action == "summary_only"
    stored = ScoringSettings.from_stored(settings.to_stored())
    assert stored == settings
    assert stored.with_overrides(output_action="append_row", output_file_name="x.jsonl").output_file_name == "x.jsonl"
    with pytest.raises(InvalidDefinition, match="leave output_file_name out"):
        stored.with_overrides(output_file_name="x.csv")


def test_carrying_no_column_along_is_carrying_none():
    assert ScoringSettings(include_inputs=[]).include_inputs is False
    assert ScoringSettings(include_inputs=["id"]).include_inputs == ("id",)


def test_the_settings_of_a_deployment_stand_alone():
    deployment = ModelDeployment(name="x", model="m", mini_batch_size=3, output_action="summary_only")
    settings = deployment.scoring_settings()
    assert type(settings) is ScoringSettings
    assert settings == ScoringSettings(mini_batch_size=3, output_action="summary_only")
    loaded = ModelDeployment.from_stored(deployment.to_stored())
    assert loaded.scoring_settings() == settings


def test_overriding_keeps_what_was_stored():
    deployment = ModelDeployment.from_stored(ModelDeployment(name="x", model="m").to_stored())
    assert deployment.with_overrides(mini_batch_size=4) == ModelDeployment(name="x", model="m", mini_batch_size=4)

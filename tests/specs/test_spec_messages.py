"""What is wrong with a definition is said with its place, its key, its value and what is valid."""

from __future__ import annotations

import pytest

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.base import IgnoredKeyWarning
from dask_batch.specs.compute import LocalCompute, compute_from_yaml, parse_compute
from dask_batch.specs.data import Data
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.endpoint import EndpointSpec
from dask_batch.specs.environment import Environment
from dask_batch.specs.model import Model

HEAD = "name: xgb\nmodel: models:/heart@champion\n"


def message_of(file, kind=ModelDeployment):
    with pytest.raises(InvalidDefinition) as caught:
        kind.from_yaml(file)
    return str(caught.value)


def test_an_unknown_key_names_file_line_and_the_nearest_key(write):
    message = message_of(write(HEAD + "settings:\n  # how many\n  mini_batchsize: 3\n"))
    assert message.startswith(
        "deployment.yml:5: unknown key 'mini_batchsize' in settings; did you mean 'mini_batch_size'? keys: "
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae: x\n", "deployment.yml:3: unknown key 'nmae'; did you mean 'name'?"),
        (
            "mini_batchsize: 3\n",
            "deployment.yml:3: unknown key 'mini_batchsize'; did you mean 'settings.mini_batch_size'?",
        ),
        (
            "settings:\n  code: x\n",
            "deployment.yml:4: unknown key 'code' in settings; did you mean 'code_configuration.code'?",
        ),
        (
            "settings:\n  retry_settings:\n    timeuot: 3\n",
            "deployment.yml:5: unknown key 'timeuot' in settings.retry_settings; did you mean 'timeout'?",
        ),
        (
            "environment:\n  condafile: x\n",
            "deployment.yml:4: unknown key 'condafile' in environment; did you mean 'conda_file'?",
        ),
        ("settings: 3\n", "deployment.yml:3: settings must hold keys: batch_rows,"),
        ("settings:\n  mini_batch_size: 0\n", "deployment.yml:4: settings.mini_batch_size=0: must be 1 or more"),
        (
            "settings:\n  mini_batch_size: '3'\n",
            "deployment.yml:4: settings.mini_batch_size='3': must be a whole number without quotes",
        ),
        ("mini_batch_size: 2.5\n", "deployment.yml:3: mini_batch_size=2.5: must be a whole number"),
        ("mini_batch_size: true\n", "deployment.yml:3: mini_batch_size=True: must be a whole number"),
        ("mini_batch_size: 3000000000\n", "deployment.yml:3: mini_batch_size=3000000000: must be 2147483647 or less"),
        ("settings:\n  max_retries: -1\n", "deployment.yml:4: settings.max_retries=-1: must be 0 or more"),
        (
            "settings:\n  retry_settings:\n    timeout: 0\n",
            "deployment.yml:5: settings.retry_settings.timeout=0: must be a number of seconds above 0",
        ),
        ("timeout: PT30S\n", "deployment.yml:3: timeout='PT30S': must be a number of seconds above 0"),
        ("timeout: .inf\n", "must be a number of seconds above 0"),
        ("timeout: 1" + "0" * 400 + "\n", "must be a number of seconds above 0"),
        ("error_threshold: -2\n", "deployment.yml:3: error_threshold=-2: must be a whole number from -1"),
        ("error_threshold: 101%\n", "deployment.yml:3: error_threshold='101%': must be a percentage from 0% to 100%"),
        (
            "error_threshold: ten\n",
            "must be a whole number from -1 (any number of failures) on, or a percentage such as '2%'",
        ),
        ("output_action: append\n", "deployment.yml:3: output_action='append': must be 'append_row' or 'summary_only'"),
        ("output_file_name: out.xlsx\n", "must end in one of .csv, .parquet, .jsonl"),
        ("output_file_name: a/b.csv\n", "must be a file name without folders"),
        ("output_file_name: .csv\n", "must end in one of .csv, .parquet, .jsonl"),
        ("output_file_name: _x.csv\n", "begins with neither '.' nor '_'"),
        ("output_file_name: 3\n", "must be a file name that ends in one of"),
        ("include_inputs: [1]\n", "must be true, false or a list of column names"),
        ("logging_level: loud\n", "must be 'warning', 'info' or 'debug'"),
        ("settings:\n  bisect: 1\n", "deployment.yml:4: settings.bisect=1: must be true or false"),
        ("tags: [a]\n", "deployment.yml:3: tags=['a']: must be a mapping of names to text"),
        ("tags:\n  a: 1\n  b: [true]\n", "deployment.yml:5: tags.b: must be text, not list"),
        ("environment_variables:\n  A: [1]\n", "deployment.yml:4: environment_variables.A: must be text, not list"),
        (
            "environment_variables:\n  A=B: x\n",
            "deployment.yml:4: environment_variables.A=B: cannot be an environment variable",
        ),
        ("endpoint_name: a/b\n", "deployment.yml:3: endpoint_name='a/b': '/' is not allowed; use 1 to 64"),
        (
            "compute: azureml:a b\n",
            "deployment.yml:3: compute='azureml:a b': must be a compute's name: ' ' is not allowed",
        ),
        ("code: src\n", "deployment.yml:3: code: there is code and no scoring_script"),
        ("scoring_script: a.py\n", "deployment.yml:3: scoring_script: code is missing"),
        (
            "code: src\nscoring_script: ../a.py\n",
            "deployment.yml:4: scoring_script='../a.py': must be the path of a .py file inside",
        ),
        (
            "environment: 3\n",
            "deployment.yml:3: environment=3: must be 'name:version', 'name@latest', or Environment(...)",
        ),
        (
            "output_action: summary_only\noutput_file_name: a.csv\n",
            "deployment.yml:4: output_file_name: output_action summary_only writes no output file",
        ),
        (
            "instance_count: 2\nresources:\n  instance_count: 3\n",
            "deployment.yml:5: resources.instance_count says again what instance_count says (deployment.yml:3)",
        ),
        ("description: [x]\n", "deployment.yml:3: description=['x']: must be text"),
        ("environment:\n  conda_file: a\n  requirements: b\n", "both say what the environment is; keep one"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(write, text, message):
    assert message in message_of(write(HEAD + text))


def test_all_problems_are_said_at_once(write):
    message = message_of(write(HEAD + "mini_batch_size: 0\nthreads: 0\n"))
    assert [line.partition(": ")[0] for line in message.splitlines()] == ["deployment.yml:3", "deployment.yml:4"]


def test_a_missing_key_is_named(write):
    assert message_of(write("model: m\n")) == "deployment.yml: name is missing; give one"
    assert "model: is missing; give a model, or code and scoring_script" in message_of(write("name: a\n"))
    assert message_of(write("name: a\nmodel:\n  name: m\n")) == "deployment.yml:2: model.path is missing; give one"


@pytest.mark.parametrize(
    "text", ["type: pipeline\ncomponent: azureml:c@latest\n", "component: azureml:c@latest\n", "job: j\n"]
)
def test_a_pipeline_deployment_is_not_in_this_version(write, text):
    message = message_of(write("name: p\n" + text))
    assert message.startswith("deployment.yml:2: ")
    assert "pipeline deployments are not in this version yet; types: model" in message


@pytest.mark.parametrize("kind", ["kubernetes"])
def test_computes_of_later_versions_list_those_of_this_one(write, kind):
    file = write(f"name: c\ntype: {kind}\npartition: cpu\n", "c.yml")
    with pytest.raises(
        InvalidDefinition,
        match=f"c.yml:2: type='{kind}': {kind} computes are not in this version yet; types: local, slurm",
    ):
        compute_from_yaml(file)
    with pytest.raises(InvalidDefinition, match="not in this version yet"):
        parse_compute({"type": kind, "name": "c"})
    with pytest.raises(InvalidDefinition, match="not in this version yet"):
        LocalCompute(type=kind, name="c")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"type": "locl"}, "did you mean 'local'"),
        ({"min_instances": 3, "max_instances": 2}, "max_instances: 2 is below min_instances (3)"),
        ({"max_instances": 0}, "max_instances=0: must be 1 or more"),
        ({"idle_time_before_scale_down": -1}, "must be a number of seconds, 0 or more"),
        ({"memory": "8"}, "must be an amount with its unit, such as '8GB'"),
        ({"memory": "0GB"}, "must be an amount with its unit"),
        ({"slots": 0}, "slots=0: must be 1 or more"),
        ({"tier": "cheap"}, "tier='cheap': must be 'dedicated' or 'low_priority'"),
        ({"slot": 1}, "unknown key 'slot'; did you mean 'slots'?"),
    ],
)
def test_what_is_wrong_with_a_compute(values, message):
    with pytest.raises(InvalidDefinition) as caught:
        parse_compute({"name": "c", **values})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: ModelDeployment(name="x", model="m", mini_batchsize=3),
            "ModelDeployment: unknown key 'mini_batchsize'; did you mean 'mini_batch_size'? keys: ",
        ),
        (
            lambda: ModelDeployment(name="x", model="m", mini_batch_size="3"),
            "ModelDeployment: mini_batch_size='3': must be a whole number without quotes",
        ),
        (lambda: ModelDeployment(name="x", model={"pth": "m"}), "Model: path is missing"),
        (lambda: ModelDeployment(name="x", model=3), "ModelDeployment: model=3: must be a path"),
        (
            lambda: ModelDeployment(name="x", model="m", type="pipeline"),
            "pipeline deployments are not in this version yet",
        ),
        (lambda: ModelDeployment(model="m"), "ModelDeployment: name is missing; give one"),
        (
            lambda: ModelDeployment(name="x", model="m", output_action="summary_only", output_file_name="a.csv"),
            "leave output_file_name out",
        ),
        (
            lambda: ModelDeployment(name="x", code="", scoring_script="a.py"),
            "must be the folder that holds the scoring script",
        ),
        (
            lambda: Environment(python="/a", requirements=["b"]),
            "Environment: requirements: python and requirements both say",
        ),
        (lambda: Environment(requirements=3), "must be a requirements file's path or a list"),
        (lambda: Environment(conda_file=3), "must be a conda file's path or what such a file holds"),
        (Model, "Model: path is missing; give one"),
        (lambda: Model(path=" "), "must be a path or URL"),
        (lambda: Model(path="m", version=1.10), "write it in quotes (1.10 and 1.1 are the same number)"),
        (lambda: Model(path="m", type="triton_model"), "must be 'mlflow_model' or 'custom_model'"),
        (lambda: Data(name="d", path="x", type="mltable"), "must be 'uri_file' or 'uri_folder'"),
        (lambda: EndpointSpec(name="e", defaults={"deployment": "x"}), "unknown key"),
        (lambda: EndpointSpec(name="e", tags={"a": True}), "EndpointSpec: tags.a: must be text: write it in quotes"),
        (
            lambda: EndpointSpec(name="e", defaults={"deployment_name": "a b"}),
            "defaults.deployment_name='a b': ' ' is not allowed",
        ),
    ],
)
def test_keywords_are_checked_alike(build, message):
    with pytest.raises(InvalidDefinition) as caught:
        build()
    assert message in str(caught.value)


@pytest.mark.parametrize("values", [None, [1], "name: x", 3])
def test_what_is_no_mapping_is_no_definition(values):
    with pytest.raises(InvalidDefinition, match="body: must be a mapping of keys to values"):
        ModelDeployment.from_document(values, source="body")
    with pytest.raises(InvalidDefinition, match="stored ModelDeployment: must be a mapping of keys to values"):
        ModelDeployment.from_stored(values)


def test_a_secret_in_a_mapping_is_never_part_of_a_message():
    with pytest.raises(InvalidDefinition) as caught:
        ModelDeployment(name="x", model="m", environment_variables={"KEY": "hush", "OTHER": True})
    assert str(caught.value) == "ModelDeployment: environment_variables.OTHER: must be text: write it in quotes"


def test_keywords_that_mean_nothing_here_warn_at_the_line_that_gave_them():
    with pytest.warns(IgnoredKeyWarning, match="EndpointSpec: .*auth_mode") as caught:
        endpoint = EndpointSpec(name="e", auth_mode="aad_token")
    assert endpoint == EndpointSpec(name="e")
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(IgnoredKeyWarning, match="image"):
        Environment(image="ubuntu")

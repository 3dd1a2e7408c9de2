"""Files in Azure ML's CLI v2 grammar load unchanged."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from dask_batch.specs.base import IgnoredKeyWarning
from dask_batch.specs.compute import LocalCompute, compute_from_yaml
from dask_batch.specs.data import Data
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.endpoint import EndpointSpec
from dask_batch.specs.environment import Environment
from dask_batch.specs.model import Model

SCHEMA = "$schema: https://azuremlschemas.azureedge.net/latest"


def test_an_endpoint(write):
    endpoint = EndpointSpec.from_yaml(
        write(f"""
        {SCHEMA}/batchEndpoint.schema.json
        name: digits-batch
        description: Scores images of digits.
        tags:
          kind: deep-learning
          year: 2024
        defaults:
          deployment_name: digits-torch
        """)
    )
    assert endpoint.name == "digits-batch"
    assert endpoint.tags == {"kind": "deep-learning", "year": "2024"}
    assert endpoint.defaults.deployment_name == "digits-torch"


def test_an_endpoint_with_authentication_warns_once_of_all_that_means_nothing(write):
    file = write("name: digits\nauth_mode: aad_token\nlocation: westeurope\nidentity:\n  type: system_assigned\n")
    with pytest.warns(IgnoredKeyWarning) as caught:
        EndpointSpec.from_yaml(file)
    assert len(caught) == 1
    assert str(caught[0].message).endswith("ignored: auth_mode, location, identity")
    assert caught[0].filename == __file__


def test_an_mlflow_deployment_without_code(write):
    deployment = ModelDeployment.from_yaml(
        write(f"""
        {SCHEMA}/batchDeployment.schema.json
        endpoint_name: heart-batch
        name: heart-xgb
        type: model
        model: azureml:heart-mlflow@latest
        compute: azureml:batch-cluster
        resources:
          instance_count: 2
        settings:
          max_concurrency_per_instance: 2
          mini_batch_size: 2
          output_action: append_row
          output_file_name: scored.csv
          retry_settings:
            max_retries: 0
            timeout: 300
          error_threshold: 5
          logging_level: debug
        """)
    )
    assert deployment == ModelDeployment(
        endpoint_name="heart-batch", name="heart-xgb", model="azureml:heart-mlflow@latest", compute="batch-cluster",
        instance_count=2, max_concurrency_per_instance=2, mini_batch_size=2, output_file_name="scored.csv",
        max_retries=0, timeout=300, error_threshold=5, logging_level="debug",
    )  # fmt: skip


def test_a_deployment_whose_script_writes_its_own_parquet(write, tmp_path):
    file = write(f"""
        {SCHEMA}/batchDeployment.schema.json
        endpoint_name: heart-batch
        name: heart-parquet
        type: model
        model: azureml:heart-pipeline:3
        environment:
          name: heart-env
          image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest
          conda_file: environment/conda.yaml
        code_configuration:
          code: code
          scoring_script: driver.py
        compute: azureml:batch-cluster
        resources:
          instance_count: 2
          instance_type: big
        settings:
          output_action: summary_only
          retry_settings: {{max_retries: 3, timeout: 300}}
          environment_variables:
            API_VERSION: 2023-03-15
            RETRIES: 010
            TOKEN: env:TOKEN
        """)
    with pytest.warns(IgnoredKeyWarning) as caught:
        deployment = ModelDeployment.from_yaml(file)
    assert str(caught[0].message) == (
        "deployment.yml: these keys mean nothing here and are ignored: resources.instance_type, environment.image"
    )
    assert len(caught) == 1
    assert deployment.output_action == "summary_only"
    assert deployment.code == str(tmp_path / "code")
    assert deployment.scoring_script == "driver.py"
    assert isinstance(deployment.environment, Environment)
    assert deployment.environment.conda_file == str(tmp_path / "environment/conda.yaml")
    assert deployment.environment.image is not None
    assert deployment.environment_variables == {"API_VERSION": "2023-03-15", "RETRIES": "010", "TOKEN": "env:TOKEN"}


def test_a_deployment_with_an_inline_model_and_a_named_environment(write, tmp_path):
    deployment = ModelDeployment.from_yaml(
        write("""
        name: digits-torch
        endpoint_name: digits-batch
        type: model
        model:
          name: digits
          version: 1
          path: ./model/
        code_configuration:
          code: ./code/by-file/
          scoring_script: driver.py
        environment: azureml:torch-env:1.10
        compute: azureml:gpu-cluster
        settings:
          mini_batch_size: 5
          error_threshold: -1
        """)
    )
    assert deployment.model == Model(name="digits", version="1", path=str(tmp_path / "model"))
    assert deployment.environment == "azureml:torch-env:1.10"
    assert deployment.code == str(tmp_path / "code/by-file")


@pytest.mark.filterwarnings("ignore::dask_batch.specs.base.IgnoredKeyWarning")
def test_the_older_flat_layout(write, tmp_path):
    deployment = ModelDeployment.from_yaml(
        write("""
        name: digits-old
        endpoint_name: digits-batch
        model:
          path: ./digits/model/
        code_configuration:
          code: ./digits/code/
          scoring_script: driver.py
        environment:
          conda_file: ./digits/conda.yml
          image: ubuntu
        compute: azureml:batch-cluster
        resources:
          instance_count: 1
        max_concurrency_per_instance: 2
        mini_batch_size: 20
        output_action: append_row
        output_file_name: predictions.csv
        retry_settings:
          max_retries: 1
          timeout: 60
        error_threshold: 2
        logging_level: info
        """)
    )
    assert (deployment.mini_batch_size, deployment.max_retries, deployment.timeout) == (20, 1, 60.0)
    assert (deployment.max_concurrency_per_instance, deployment.error_threshold) == (2, 2)


def test_the_oldest_layout_of_paths_and_compute(write, tmp_path):
    deployment = ModelDeployment.from_yaml(
        write("""
        name: digits-oldest
        model: {name: digits, version: 1, local_path: ./model}
        code_configuration:
          code: {local_path: ./code}
          scoring_script: digits.py
        compute: {target: azureml:cpu-cluster, instance_count: 3}
        """)
    )
    assert isinstance(deployment.model, Model)
    assert deployment.model.path == str(tmp_path / "model")
    assert (deployment.code, deployment.compute) == (str(tmp_path / "code"), "cpu-cluster")
    assert deployment.instance_count == 3


@pytest.mark.parametrize("tier", ["low_priority", "lowpriority", "LowPriority"])
def test_a_cluster_becomes_a_local_compute_with_one_warning(write, tier):
    file = write(
        f"""
        {SCHEMA}/amlCompute.schema.json
        name: low-pri
        type: amlcompute
        size: STANDARD_DS3_v2
        location: westus
        min_instances: 0
        max_instances: 2
        idle_time_before_scale_down: 60
        tier: {tier}
        ssh_settings:
          admin_username: someone
          admin_password: hush
        network_settings: {{vnet_name: net, subnet: sub}}
        """,
        "cluster.yml",
    )
    with pytest.warns(IgnoredKeyWarning) as caught:
        compute = compute_from_yaml(file)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("cluster.yml: ")
    assert all(key in message for key in ("amlcompute", "size", "location", "ssh_settings", "network_settings"))
    assert "hush" not in message
    assert compute == LocalCompute(
        name="low-pri", min_instances=0, max_instances=2, idle_time_before_scale_down=60.0, tier="low_priority"
    )


def test_data_models_and_environments(write, tmp_path):
    data = Data.from_yaml(write("name: hearts\ndescription: unlabeled\ntype: uri_folder\npath: data\n"))
    assert data == Data(name="hearts", description="unlabeled", type="uri_folder", path=str(tmp_path / "data"))
    model = Model.from_yaml(write("name: heart\nversion: 1.10\ntype: mlflow_model\npath: ../model\n"))
    assert (model.version, Path(model.path).resolve()) == ("1.10", (tmp_path.parent / "model").resolve())
    environment = Environment.from_yaml(
        write("name: e\nversion: 2\nconda_file:\n  dependencies:\n    - python=3.11\n    - pip: [numpy==2.1]\n")
    )
    assert environment.conda_file == {"dependencies": ["python=3.11", {"pip": ["numpy==2.1"]}]}


@pytest.mark.parametrize(
    "path", ["azureml://datastores/d/paths/p", "s3://b/in/*.csv", "/abs/x", "https://h/x.csv", "azureml:d:1"]
)
def test_urls_references_and_absolute_paths_stay(write, path):
    assert Data.from_yaml(write(f"name: d\npath: {path}\n")).path == path


def test_a_model_given_as_text_is_a_path_only_where_it_looks_like_one_or_is_there(write, tmp_path):
    (tmp_path / "beside").mkdir()
    expected = {
        "./model": str(tmp_path / "model"),
        "sub/model": str(tmp_path / "sub/model"),
        "beside": str(tmp_path / "beside"),
        "registered": "registered",
        "heart:1": "heart:1",
        "heart@latest": "heart@latest",
        "models:/heart@champion": "models:/heart@champion",
        "runs:/abc/model": "runs:/abc/model",
    }
    found = {text: ModelDeployment.from_yaml(write(f"name: d\nmodel: {text}\n")).model for text in expected}
    assert found == expected


def test_booleans_and_numbers_are_text_where_text_is_wanted(write):
    spec = ModelDeployment.from_yaml(
        write(
            "name: d\nmodel: models:/m/1\nenvironment_variables: {TOKENIZERS_PARALLELISM: false, N: 1.10, Z: 02134}\n"
            "tags: {production: True}\nsettings: {coalesce: false, include_inputs: TRUE}\n"
        )
    )
    assert spec.environment_variables == {"TOKENIZERS_PARALLELISM": "false", "N": "1.10", "Z": "02134"}
    assert spec.tags == {"production": "True"}
    assert (spec.coalesce, spec.include_inputs) == (False, True)


def test_words_of_azure_are_read_in_any_case(write):
    assert ModelDeployment.from_yaml(write("name: d\ntype: Model\nmodel: models:/m/1\n")).type == "model"
    with pytest.warns(IgnoredKeyWarning, match="read as local"):
        assert compute_from_yaml(write("name: c\ntype: AmlCompute\n")).type == "local"
    assert compute_from_yaml(write("name: c\ntype: Local\n")).type == "local"
    assert Data.from_yaml(write("name: d\ntype: URI_FOLDER\npath: s3://b\n")).type == "uri_folder"
    assert Model.from_yaml(write("path: s3://b/m\ntype: MLFLOW_MODEL\n")).type == "mlflow_model"


def test_a_reference_is_left_alone_unless_a_file_is_called_so(write, tmp_path):
    (tmp_path / "there:1").write_text("")
    expected = {
        "d_1:1": "d_1:1",
        "d1:2": "d1:2",
        "d1@latest": "d1@latest",
        "there:1": str(tmp_path / "there:1"),
        "sub/d1@latest": str(tmp_path / "sub/d1@latest"),
        "d1": str(tmp_path / "d1"),
    }
    assert {text: Data.from_yaml(write(f"name: d\npath: {text}\n")).path for text in expected} == expected


def test_an_interpreter_without_a_folder_is_looked_up_on_the_path_later(write, tmp_path):
    assert Environment.from_yaml(write("python: python3.12\n")).python == "python3.12"
    assert Environment.from_yaml(write("python: ./env\n")).python == str(tmp_path / "env")
    assert Environment.from_yaml(write("python: ~/env\n")).python == str(Path("~/env").expanduser())


def test_what_is_stored_loads_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IgnoredKeyWarning)
        environment = Environment(name="e", image="ubuntu")
    assert Environment.from_stored(environment.to_stored()) == environment

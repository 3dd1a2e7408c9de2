"""A definition is the same after it was written and read again, as YAML or as stored."""

from __future__ import annotations

import copy
import functools
import json
import operator
import pickle
import string
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.base import Spec
from dask_batch.specs.compute import LocalCompute
from dask_batch.specs.data import Data
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.endpoint import EndpointSpec
from dask_batch.specs.environment import Environment
from dask_batch.specs.job import (
    DeploymentSnapshot,
    JobDefinition,
    OutputTarget,
    PinnedCode,
    PinnedEnvironment,
    PinnedModel,
)
from dask_batch.specs.model import Model
from dask_batch.specs.scoring_settings import ScoringSettings
from dask_batch.specs.slurm import SlurmCompute

EDGE = string.ascii_letters + string.digits
names = st.builds(
    lambda a, b, c: a + b + c, st.sampled_from(EDGE), st.text(EDGE + "._-", max_size=20), st.sampled_from(EDGE)
)
texts = st.text(max_size=30)
tags = st.dictionaries(texts, texts, max_size=3)
variables = st.dictionaries(
    st.text(st.characters(exclude_characters="=\0", codec="utf-8"), min_size=1, max_size=8),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20),
    max_size=3,
)
whole = st.integers(1, 2**31 - 1)
words = st.from_regex(r"[a-z][a-z0-9&|*_-]{0,9}", fullmatch=True)
duration = st.floats(0.001, 1e9)
places = st.one_of(
    names.map(lambda name: f"/data/{name}"),
    names.map(lambda name: f"s3://{name}/x"),
    names.map(lambda name: f"models:/{name}/1"),
)
references = st.one_of(names.map(lambda name: f"azureml:{name}:1"), names.map(lambda name: f"{name}@latest"))


def some(**fields):
    return st.fixed_dictionaries({}, optional=fields)


settings = some(
    instance_count=whole, max_concurrency_per_instance=whole, mini_batch_size=whole, max_retries=st.integers(0, 99),
    timeout=duration, read_timeout=duration, logging_level=st.sampled_from(["warning", "info", "debug"]),
    error_threshold=st.one_of(st.integers(-1, 10**6), st.integers(0, 100).map(lambda n: f"{n}%"), st.just("0.5%")),
    environment_variables=variables, batch_rows=whole, coalesce=st.booleans(), bisect=st.booleans(),
    include_inputs=st.one_of(st.booleans(), st.lists(texts, min_size=1, max_size=3)),
    on_duplicate=st.sampled_from(["error", "last"]), threads=whole, keep_parts=st.booleans(),
)  # fmt: skip
outputs = st.one_of(
    st.just({}),
    st.just({"output_action": "summary_only"}),
    st.tuples(names, st.sampled_from([".csv", ".parquet", ".jsonl"])).map(
        lambda pair: {"output_file_name": "".join(pair)}
    ),
)
described = some(description=texts, tags=tags, properties=tags)
models = st.builds(
    lambda path, extra, about: Model(path=path, **extra, **about),
    places, some(name=names, version=names, type=st.sampled_from(["mlflow_model", "custom_model"])), described,
)  # fmt: skip
sources = st.one_of(
    st.just({}),
    places.map(lambda path: {"python": path}),
    places.map(lambda path: {"requirements": path}),
    st.lists(texts, max_size=3).map(lambda lines: {"requirements": lines}),
    places.map(lambda path: {"conda_file": path}),
    st.dictionaries(texts, st.one_of(texts, st.integers(), st.lists(texts)), min_size=1, max_size=2).map(
        lambda held: {"conda_file": held}
    ),
)
environments = st.builds(
    lambda source, extra: Environment(**source, **extra),
    sources, some(name=names, version=names, description=texts, tags=tags, environment_variables=variables),
)  # fmt: skip
scripts = st.one_of(st.just({}), st.just({"code": "/code", "scoring_script": "sub/score.py"}))
deployments = st.builds(
    lambda name, model, parts: ModelDeployment(name=name, model=model, **functools.reduce(operator.or_, parts)),
    names,
    st.one_of(models, places, references),
    st.tuples(
        settings, outputs, described, scripts,
        some(endpoint_name=names, compute=names, environment=st.one_of(environments, references),
             input_format=st.sampled_from(["files", "table"])),
    ),
)  # fmt: skip
computes = st.builds(
    lambda name, low, more, extra: LocalCompute(name=name, min_instances=low, max_instances=low + more, **extra),
    names, st.integers(0, 9), st.integers(1, 9),
    some(description=texts, tags=tags, slots=whole, memory=st.just("1.5GiB"), tier=st.just("low_priority"),
         idle_time_before_scale_down=duration),
)  # fmt: skip
slurm_computes = st.builds(
    lambda name, extra: SlurmCompute(name=name, **extra),
    names,
    some(description=texts, tags=tags, slots=whole, memory=st.just("64GB"), idle_time_before_scale_down=duration,
         partition=words, account=words, qos=words, constraint=words, cores=whole, interface=words,
         walltime=st.sampled_from(["90", "01:30:00", "2-12:00:00"]), host_walltime=st.just("7-0"),
         gpus=st.one_of(st.integers(0, 8), st.just("a100:2")), host=st.sampled_from(["job", "here"]),
         low_priority_partition=words, python=st.just("/opt/env"), local_directory=st.just("$TMPDIR"),
         job_extra_directives=st.lists(st.sampled_from(["--exclusive", "-w n1", "--mail-type=END"])),
         job_script_prologue=st.lists(st.sampled_from(["module load cuda", "export A='b c'", ""]))),
)  # fmt: skip
endpoints = st.builds(
    lambda name, about, extra: EndpointSpec(name=name, **about, **extra),
    names, described, some(defaults=names.map(lambda name: {"deployment_name": name})),
)  # fmt: skip
data = st.builds(
    lambda name, path, extra: Data(name=name, path=path, **extra),
    names, places, some(version=names, description=texts, tags=tags, type=st.sampled_from(["uri_file", "uri_folder"])),
)  # fmt: skip


@given(st.one_of(deployments, models, environments, computes, slurm_computes, endpoints, data))
def test_a_definition_survives_yaml(spec: Spec):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "spec.yml")
        file.write_text(spec.to_yaml(), encoding="utf-8", newline="")
        assert type(spec).from_yaml(file) == spec


@given(st.one_of(deployments, models, environments, computes, slurm_computes, endpoints, data))
def test_a_definition_survives_being_stored_even_by_a_version_that_knows_more(spec: Spec):
    stored = json.loads(json.dumps(spec.to_stored()))
    loaded = type(spec).from_stored(stored | {"from_the_future": {"x": 1}})
    assert loaded == spec
    assert hash(loaded) == hash(spec)
    assert loaded.to_stored() == spec.to_stored()


def test_yaml_is_nested_as_azure_has_it():
    deployment = ModelDeployment(
        name="v1", model=Model(path="/m"), code="/src", scoring_script="score.py", compute="hpc",
        environment=Environment(conda_file="/env.yml"), mini_batch_size=5, timeout=60, instance_count=2, threads=2,
    )  # fmt: skip
    document = deployment.to_document()
    assert document["type"] == "model"
    assert document["model"] == {"path": "/m"}
    assert document["code_configuration"] == {"code": "/src", "scoring_script": "score.py"}
    assert document["environment"] == {"conda_file": "/env.yml"}
    assert document["resources"] == {"instance_count": 2}
    assert document["settings"]["retry_settings"] == {"max_retries": 3, "timeout": 60}
    assert document["settings"]["threads"] == 2
    assert "batch_rows" not in document["settings"]
    assert EndpointSpec(name="e").to_yaml() == "name: e\n"


def test_a_definition_never_changes():
    deployment = ModelDeployment(name="x", model="m", tags={"a": "b"})
    with pytest.raises(AttributeError, match="ModelDeployment never changes; make a new one with replace"):
        deployment.name = "y"
    with pytest.raises(AttributeError, match="never changes"):
        del deployment.name
    for change in (
        lambda tags: tags.update(c="d"), lambda tags: tags.pop("a"), lambda tags: tags.clear(),
        lambda tags: tags.setdefault("z", ""), lambda tags: tags.__setitem__("a", "c"),
        lambda tags: tags.__delitem__("a"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match="a definition never changes"):
            change(deployment.tags)
    assert deployment.replace(name="y", tags={}) == ModelDeployment(name="y", model="m")
    with pytest.raises(InvalidDefinition, match="unknown key 'nmae'"):
        deployment.replace(nmae="z")


def test_definitions_can_be_copied_pickled_hashed_and_told_apart():
    deployment = ModelDeployment(name="x", model="m", tags={"a": "b"}, environment=Environment(conda_file={"a": [1]}))
    assert pickle.loads(pickle.dumps(deployment)) == copy.deepcopy(deployment) == deployment
    assert len({deployment, deployment.replace(name="y"), deployment.replace()}) == 2


def test_a_users_own_mapping_is_not_shared():
    tags = {"a": "b"}
    deployment = ModelDeployment(name="x", model="m", tags=tags)
    tags["c"] = "d"
    assert deployment.tags == {"a": "b"}


def test_keywords_take_paths_and_numbers_of_numpy_as_they_are():
    deployment = ModelDeployment(
        name="x", model=Path("model"), code=Path("src"), scoring_script="score.py", mini_batch_size=np.int64(3),
        timeout=np.float32(2.5), environment=Environment(requirements=Path("r.txt")),
    )  # fmt: skip
    assert (deployment.model, deployment.code, deployment.mini_batch_size) == ("model", "src", 3)
    assert json.loads(json.dumps(deployment.to_stored()))["timeout"] == 2.5


def job() -> JobDefinition:
    settings = ScoringSettings(mini_batch_size=3, environment_variables={"A": "env:A"}, include_inputs=["id"])
    return JobDefinition(
        name="job-1",
        endpoint="heart",
        deployment=DeploymentSnapshot(
            endpoint="heart", name="xgb", revision=2, digest="d", kind="mlflow", input_format="table", compute="local",
            model=PinnedModel(asset="assets/a", base="model", digest="a", source="models:/heart/3", flavor="sklearn",
                              signature={"inputs": [{"name": "x", "type": "double", "required": True}]}),
            code=PinnedCode(asset="assets/c", base="src", digest="c", scoring_script="score.py"),
            environment=PinnedEnvironment(digest="e", requirements=("numpy",), python_version="3.11"),
            settings=settings,
        ),
        settings=settings.with_overrides(error_threshold="2%"),
        compute=LocalCompute(name="local"),
        inputs=("/data/a.csv", "s3://b/*.csv"),
        params={"threshold": 0.5},
        experiment_name="heart",
        owner="ada",
        created="2026-01-02T03:04:05Z",
        output=OutputTarget(url="/out", file_name="predictions.csv"),
    )  # fmt: skip


def test_a_job_survives_being_stored():
    stored = json.loads(json.dumps(job().to_stored()))
    assert JobDefinition.from_stored(stored) == job()
    assert stored["compute"]["type"] == "local"
    assert stored["format"] == 1


def test_a_job_of_a_later_version_is_read_where_it_only_knows_more():
    stored = job().to_stored()
    stored["deployment"]["model"]["new"] = 1
    stored["settings"]["new"] = 1
    stored["compute"]["new"] = 1
    assert JobDefinition.from_stored(stored) == job()
    with pytest.raises(InvalidDefinition, match="newer version of dask-batch"):
        JobDefinition.from_stored(stored | {"format": 2})
    with pytest.raises(
        InvalidDefinition, match=r"stored JobDefinition: deployment.kind='other': must be 'mlflow' or 'script'"
    ):
        JobDefinition.from_stored(stored | {"deployment": stored["deployment"] | {"kind": "other"}})

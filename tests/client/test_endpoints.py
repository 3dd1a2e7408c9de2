"""Endpoints and deployments: what can be made, what is pinned, what is refused and how it is said."""

from __future__ import annotations

import os
import stat
import time

import fsspec
import pytest
from servers.s3 import s3_server

from dask_batch import Data, Environment, LocalCompute, Model, ModelDeployment, Workspace
from dask_batch.errors import (
    AlreadyExists,
    CatalogError,
    DeploymentInvalid,
    InputEmpty,
    InputError,
    InputMissing,
    InvalidDefinition,
    MissingExtra,
    NotFound,
    Refused,
    StorageError,
)
from dask_batch.slots.assets import store_asset


def deployment(code, name="chars", **keywords):
    return ModelDeployment(name=name, code=str(code), scoring_script="score.py", **keywords)


def test_a_workspace_is_private_and_says_what_a_remote_root_needs(ws, monkeypatch):
    assert stat.S_IMODE(os.stat(ws.storage.root).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(os.path.join(ws.storage.root, "catalog.sqlite")).st_mode) == 0o600
    with pytest.raises(CatalogError, match="catalog must be named"):
        Workspace("memory://there")


def test_a_workspace_may_lie_at_any_path(odd_path):
    with Workspace(odd_path / "workspace") as one:
        one.endpoints.create("a")
    with Workspace(odd_path / "workspace") as other:
        assert list(other.endpoints) == ["a"]
    assert (odd_path / "workspace" / "catalog.sqlite").exists()


def test_collections_show_themselves_without_scripts_and_escaped(ws):
    ws.endpoints.create("a", description="<b>bold</b>")
    for shown in (ws, ws.endpoints, ws.compute, ws.models, ws.environments, ws.data, ws.jobs, ws.endpoints["a"]):
        text = shown._repr_html_()
        assert "<script" not in text and "<b>" not in text
        assert repr(shown)


def test_an_endpoint_is_created_once_found_by_name_and_updated(ws):
    ws.endpoints.create("heart", description="one", tags={"team": "a"})
    with pytest.raises(AlreadyExists, match="heart"):
        ws.endpoints.create("heart")
    with pytest.raises(NotFound, match="did you mean 'heart'"):
        ws.endpoints["haert"]
    with pytest.raises(InvalidDefinition, match="' ' is not allowed"):
        ws.endpoints.create("two words")
    ws.endpoints["heart"].update(description="two")
    assert (ws.endpoints["heart"].spec.description, dict(ws.endpoints["heart"].spec.tags)) == ("two", {"team": "a"})
    ws.endpoints.delete("heart")
    assert "heart" not in ws.endpoints


def test_the_first_deployment_is_the_default_until_another_is_made_so(ws, code):
    endpoint = ws.endpoints.create("e")
    with pytest.raises(Refused, match="has no deployment"):
        endpoint.invoke("anything")
    endpoint.deploy(deployment(code), validate=False)
    endpoint.deploy(deployment(code, "second"), validate=False)
    assert endpoint.default_deployment.name == "chars"
    assert list(endpoint.deployments) == ["chars", "second"]
    with pytest.raises(Refused, match="second"):
        endpoint.deployments["chars"].delete()
    endpoint.default_deployment = "second"
    endpoint.deployments["chars"].delete()
    endpoint.default_deployment.delete()
    assert endpoint.default_deployment is None
    with pytest.raises(NotFound, match="third"):
        endpoint.default_deployment = "third"


def test_a_deployment_without_a_default_asks_for_one(ws, code, files):
    endpoint = ws.endpoints.create("e")
    endpoint.deploy(deployment(code), validate=False, default=False)
    with pytest.raises(Refused, match=r"no default deployment.*chars"):
        endpoint.invoke(files)


def test_a_name_is_taken_unless_it_is_replaced_and_replacing_counts_up(ws, code):
    endpoint = ws.endpoints.create("e")
    endpoint.deploy(deployment(code))
    with pytest.raises(AlreadyExists, match="replace=True"):
        endpoint.deploy(deployment(code))
    (code / "score.py").write_text("def init(): pass\ndef run(files): return files\n")
    replaced = endpoint.deploy(deployment(code), replace=True)
    assert replaced.snapshot.revision == 2 and replaced.takes_params is False
    changed = replaced.update(mini_batch_size=3)
    assert (changed.snapshot.revision, changed.snapshot.settings.mini_batch_size) == (3, 3)
    assert changed.snapshot.digest == replaced.snapshot.digest


def test_deploying_copies_by_content_and_a_second_time_nothing(ws, code, model):
    endpoint = ws.endpoints.create("e")
    one = endpoint.deploy(deployment(code))
    two = endpoint.deploy(deployment(code, "second"), validate=False)
    assert one.snapshot.code == two.snapshot.code
    assert "sha256" in repr(one)
    lr = endpoint.deploy(ModelDeployment(name="lr", model=str(model)))
    assert (lr.snapshot.kind, lr.snapshot.input_format, lr.problems) == ("mlflow", "table", [])
    assert lr.snapshot.model.signature["inputs"][0]["name"] == "sepal length (cm)"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def init(:\n", "SyntaxError"),
        ("def init(): pass\n", "run"),
        ("import no_such_package\ndef init(): pass\ndef run(x): return x\n", "no_such_package"),
        ("def init(): raise RuntimeError('no weights')\ndef run(x): return x\n", "no weights"),
    ],
)
def test_a_script_that_cannot_run_is_refused_when_it_is_deployed(ws, code, script, said):
    (code / "score.py").write_text(script)
    endpoint = ws.endpoints.create("e")
    with pytest.raises(DeploymentInvalid, match=said):
        endpoint.deploy(deployment(code))
    assert list(endpoint.deployments) == []


def test_what_a_deployment_names_must_exist(ws, code, tmp_path):
    endpoint = ws.endpoints.create("e")
    with pytest.raises(NotFound, match="computes: local"):
        endpoint.deploy(deployment(code, compute="hpc"))
    with pytest.raises(NotFound, match=r"score\.py"):
        endpoint.deploy(ModelDeployment(name="d", code=str(code), scoring_script="scores.py"))
    with pytest.raises(NotFound, match="no such file or folder"):
        endpoint.deploy(ModelDeployment(name="d", model=str(tmp_path / "nowhere")))
    with pytest.raises(NotFound, match="no model 'heart'"):
        endpoint.deploy(ModelDeployment(name="d", model="azureml:heart@latest"))
    with pytest.raises(NotFound, match="no environment 'env'"):
        endpoint.deploy(deployment(code, environment="azureml:env:1"))
    (tmp_path / "weights.bin").write_bytes(b"1")
    with pytest.raises(InvalidDefinition, match="needs a scoring script"):
        endpoint.deploy(ModelDeployment(name="d", model=str(tmp_path / "weights.bin")))
    with pytest.raises(InvalidDefinition, match="endpoint_name"):
        endpoint.deploy(deployment(code, endpoint_name="other"))


def test_an_azure_deployment_file_is_deployed_with_its_inline_model_registered(ws, code, model):
    (code.parent / "deployment.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json\n"
        "name: xgb\nendpoint_name: e\ntype: model\n"
        f"model:\n  name: iris\n  path: {model}\n"
        "compute: azureml:local\nresources:\n  instance_count: 1\n"
        "settings:\n  mini_batch_size: 7\n  retry_settings:\n    max_retries: 0\n    timeout: 60\n"
    )
    endpoint = ws.endpoints.create("e")
    made = endpoint.deploy(code.parent / "deployment.yml")
    assert made.snapshot.settings.mini_batch_size == 7 and made.snapshot.settings.max_retries == 0
    assert list(ws.models) == ["iris:1"]
    assert (made.snapshot.model.name, made.snapshot.model.version) == ("iris", "1")
    again = endpoint.deploy(ModelDeployment(name="second", model="iris@latest"), validate=False)
    assert again.snapshot.model.digest == made.snapshot.model.digest


def test_assets_are_versioned_and_never_change(ws, model, tmp_path):
    assert ws.models.create(Model(name="iris", path=str(model))).version == "1"
    assert ws.models.create("iris", path=str(model)).version == "2"
    with pytest.raises(AlreadyExists, match="never change"):
        ws.models.create("iris", path=str(model), version="2")
    assert ws.models["iris@latest"].version == "2" and ws.models["azureml:iris:1"].version == "1"
    with pytest.raises(NotFound, match="versions: 1, 2"):
        ws.models["iris:3"]
    ws.models.delete("iris")
    assert list(ws.models) == []

    (tmp_path / "conda.yml").write_text("dependencies: [python=3.11, {pip: [numpy]}]")
    made = ws.environments.create(Environment(name="env", conda_file=str(tmp_path / "conda.yml")))
    (tmp_path / "conda.yml").unlink()
    assert ws.environments["env:1"] == made and made.conda_file["dependencies"][0] == "python=3.11"
    assert ws.data.create(Data(name="clinic", path="data")).path == os.path.abspath("data")


def test_local_compute_is_there_and_can_be_shaped(ws):
    assert list(ws.compute) == ["local"] and ws.compute["local"].slots is None
    ws.compute.create_or_update(LocalCompute(name="local", slots=1))
    ws.compute.create("big", max_instances=2)
    assert (ws.compute["local"].slots, ws.compute["big"].max_instances) == (1, 2)
    ws.compute.delete("local")
    assert ws.compute["local"].slots is None
    with pytest.raises(NotFound, match="big"):
        ws.compute["bgi"]


def test_a_models_alias_becomes_an_exact_version(ws, model, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_registry_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        client = mlflow.MlflowClient()
        client.create_registered_model("iris")
        client.create_model_version("iris", source=str(model))
        client.create_model_version("iris", source=str(model))
        client.set_registered_model_alias("iris", "champion", "1")
        endpoint = ws.endpoints.create("e")
        made = endpoint.deploy(ModelDeployment(name="d", model="models:/iris@champion"), validate=False)
        assert (made.snapshot.model.source, made.snapshot.model.version) == ("models:/iris/1", "1")
        newest = endpoint.deploy(ModelDeployment(name="n", model="models:/iris/latest"), validate=False)
        assert newest.snapshot.model.source == "models:/iris/2"
        with pytest.raises(NotFound, match="MLflow"):
            endpoint.deploy(ModelDeployment(name="x", model="models:/iris@nobody"))
    finally:
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)


def test_an_invocation_that_cannot_be_leaves_nothing_behind(ws, scripted, files, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = [
        (InputMissing, "did you mean", {"input": tmp_path / "inn"}),
        (InputEmpty, "no file", {"input": empty}),
        (InputEmpty, "empty list", {"input": []}),
        (InputMissing, "no data asset", {"input": "azureml:clinic:1"}),
        (InvalidDefinition, "mini_batch_size", {"input": files, "mini_batch_sise": 3}),
        (InvalidDefinition, "0 or more|must be", {"input": files, "max_retries": -1}),
        (InvalidDefinition, "as JSON", {"input": files, "params": {"a": object()}}),
        (InvalidDefinition, "output_file_name", {"input": files, "output": "x/rows.csv"}),
        (InvalidDefinition, "job name", {"input": files, "job_name": "../up"}),
        (NotFound, "deployments: chars", {"input": files, "deployment": "chras"}),
        (AlreadyExists, "holds files", {"input": files, "output": files}),
    ]
    for kind, said, keywords in refused:
        with pytest.raises(kind, match=said):
            scripted.invoke(**keywords)
    assert ws.jobs.list() == [] and ws.storage.list("jobs") == [] and not ws.storage.exists("hosts")


def test_params_are_for_scripts_that_take_them(ws, code, files):
    (code / "score.py").write_text("def init(): pass\ndef run(files): return files\n")
    endpoint = ws.endpoints.create("e")
    endpoint.deploy(deployment(code))
    with pytest.raises(InvalidDefinition, match=r"def run\(mini_batch, params\)"):
        endpoint.invoke(files, params={"a": 1})


def test_trying_a_deployment_shows_outputs_errors_and_rate_and_leaves_nothing(ws, scripted, files):
    result = scripted.default_deployment.test(files, max_items=9)
    assert (result.items, len(result.outputs), len(result.errors)) == (9, 8, 1)
    assert result.rate > 0 and "script is ready" in result.log and "9 items" in repr(result)
    assert ws.jobs.list() == [] and ws.storage.list("jobs") == []
    estimate = scripted.estimate(files)
    assert estimate.items == estimate.files == 12 and estimate.seconds > 0 and "sample" in estimate.source


def test_garbage_collection_keeps_what_is_referred_to(ws, code, scripted):
    (code / "score.py").write_text("def init(): pass\ndef run(files): return files\n")
    scripted.deploy(deployment(code), replace=True, validate=False)
    kept = scripted.default_deployment.snapshot.code.asset
    assert len([name for name in ws.storage.list("assets") if not name.endswith(".json")]) == 2
    removed = ws.gc(older_than=0)
    assert len(removed.assets) == 1 and kept not in removed.assets
    assert ws.storage.exists(kept)


def test_garbage_collection_goes_by_when_content_was_last_stored(ws, code, files):
    stored = store_asset(ws.storage, str(code))
    old = time.time() - 40 * 86_400
    os.utime(ws.storage.url(f"{stored.asset}.json"), (old, old))
    # A deployment of the same content is under way: it has stored it again, and is not in the catalog yet.
    assert store_asset(ws.storage, str(code)) == stored
    assert ws.gc(older_than=30).assets == ()
    os.utime(ws.storage.url(f"{stored.asset}.json"), (old, old))
    assert ws.gc(older_than=30).assets == (stored.asset,)
    assert not ws.storage.exists(stored.asset) and not ws.storage.exists(f"{stored.asset}.json")


def test_garbage_collection_removes_what_is_left_of_deleted_jobs_once_it_is_old(ws):
    old = time.time() - 40 * 86_400
    for name in ("old", "young", "to-come"):
        ws.storage.put_json(f"jobs/{name}/status.json", {})
        ws.storage.put_json(f"jobs/{name}/events/first.json", {})
        os.utime(ws.storage.url(f"jobs/{name}/status.json"), (old, old))
        os.utime(ws.storage.url(f"jobs/{name}/events"), (old, old))
        if name != "young":
            os.utime(ws.storage.url(f"jobs/{name}/events/first.json"), (old, old))
    named = {"endpoint": "e", "deployment": "d", "compute": "local", "owner": "tester", "created": "2026-01-01"}
    ws.catalog.add_job("to-come", **named)
    assert ws.gc(older_than=30).jobs == ("old",)
    assert ws.storage.list("jobs") == ["to-come", "young"]


@pytest.mark.parametrize(
    "written",
    ["signature: hello", "signature: {inputs: not json}", "- a", 'signature: {inputs: \'[{"type": "tensor"}]\'}'],
)
def test_a_model_whose_description_is_broken_is_named(ws, tmp_path, written):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(written)
    with pytest.raises(InvalidDefinition, match=r"MLmodel' has a signature that cannot be understood .*log the model"):
        ws.endpoints.create("e").deploy(ModelDeployment(name="d", model=str(folder)))


def test_a_model_at_an_unknown_kind_of_place_is_named(ws):
    with pytest.raises(InvalidDefinition, match="'what://model' cannot be used"):
        ws.endpoints.create("e").deploy(ModelDeployment(name="d", model="what://model"))


def test_a_store_that_does_not_answer_is_one_clear_error(ws, scripted, monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_MAX_ATTEMPTS": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"'s3://nowhere/in' cannot be read: .*credentials and endpoint"):
        scripted.invoke("s3://nowhere/in")
    with pytest.raises(StorageError, match=r"'s3://nowhere/model' cannot be read: .*credentials and endpoint"):
        scripted.deploy(ModelDeployment(name="d", model="s3://nowhere/model"))
    # Whoever mends the environment and tries again in the same process is heard.
    with s3_server(), monkeypatch.context() as mended:
        mended.setenv("AWS_ENDPOINT_URL", os.environ["FSSPEC_S3_ENDPOINT_URL"])
        mended.setitem(fsspec.config.conf, "s3", {})
        with pytest.raises(InputMissing, match="'s3://nowhere/in' does not exist"):
            scripted.invoke("s3://nowhere/in")


def test_a_deployment_that_never_loads_is_told_so(ws, tmp_path):
    (tmp_path / "score.py").write_text("import time\ndef init():\n    time.sleep(600)\ndef run(files): return files\n")
    with pytest.raises(DeploymentInvalid, match=r"longer than the load_timeout of 8 s.*\n(.*\n)*.*score.py"):
        ws.endpoints.create("e").deploy(deployment(tmp_path, load_timeout=8))


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("def init(): pass\ndef run(a, b, c): return a\n", r"run\(a, b, c\) cannot be called: missing.*'c'"),
        ("def init(model): pass\ndef run(files): return files\n", r"init\(model\) cannot be called"),
        ("def init(): pass\ndef run(): return []\n", r"run\(\) cannot be called"),
    ],
)
def test_a_script_whose_functions_cannot_be_called_is_refused(ws, tmp_path, script, says):
    (tmp_path / "score.py").write_text(script)
    with pytest.raises(DeploymentInvalid, match=says):
        ws.endpoints.create("e").deploy(deployment(tmp_path))


def test_what_is_no_name_and_no_mapping_is_said_so(ws, scripted, files):
    with pytest.raises(InvalidDefinition, match="endpoint name None"):
        ws.endpoints.create(None)
    with pytest.raises(InvalidDefinition, match="tags=3 must be text by name"):
        scripted.invoke(files, tags=3)
    with pytest.raises(InvalidDefinition, match="params=3 must be values by name"):
        scripted.invoke(files, params=3)


def test_a_store_whose_package_is_missing_names_the_extra(scripted, files):
    with pytest.raises(MissingExtra, match=r"pip install 'dask-batch\[gcs\]'"):
        scripted.invoke("gs://bucket/in")
    with pytest.raises(MissingExtra, match=r"'gs://bucket/out' needs .*pip install 'dask-batch\[gcs\]'"):
        scripted.invoke(files, output="gs://bucket/out")


def test_trying_a_deployment_counts_the_time_of_calls_that_were_killed(ws, code, files):
    (code / "score.py").write_text("import time\ndef init(): pass\ndef run(files): time.sleep(60)\n")
    endpoint = ws.endpoints.create("e")
    endpoint.deploy(deployment(code, timeout=2, max_retries=0))
    result = endpoint.default_deployment.test(files, max_items=1)
    assert len(result.errors) == 1 and result.seconds >= 2 and result.rate <= 0.5

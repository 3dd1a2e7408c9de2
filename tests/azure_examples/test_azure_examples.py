"""Examples as Azure ML's CLI takes them run unchanged: the same files and verbs, `az ml` replaced by dask-batch."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dask_batch import Workspace
from dask_batch.cli.app import app
from dask_batch.hostfolder import HostFolder, ProcessId

# Keys such as image and size mean nothing here, which is said once and is no error.
pytestmark = pytest.mark.filterwarnings("ignore::dask_batch.specs.base.IgnoredKeyWarning")

HERE = Path(__file__).parent
PATIENCE_S = 240


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A copy of the examples, with models in the places that their files name."""
    folder = tmp_path_factory.mktemp("azure") / "examples"
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py[co]", "__pycache__", "test_*", "conftest.py"))
    make_heart(folder)
    make_digits(folder / "digits-script")
    (folder / "legacy-words/model").mkdir()
    (folder / "legacy-words/model/stop.txt").write_text("the a and is")
    return folder


def make_heart(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow
        from mlflow.models import infer_signature
        from sklearn.compose import make_column_transformer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder

        data = pd.concat([pd.read_csv(path) for path in sorted((folder / "heart-mlflow/data").glob("*.csv"))])
        data = data.assign(pressure=data["pressure"].fillna(130.0))
        encode = make_column_transformer((OneHotEncoder(), ["thal"]), remainder="passthrough")
        model = make_pipeline(encode, LogisticRegression(max_iter=5000))
        model.fit(data, data["age"] > 55)
        signature = infer_signature(data.astype({"pressure": float}), model.predict(data))
        mlflow.sklearn.save_model(
            model, folder / "heart-mlflow/model", signature=signature, serialization_format="cloudpickle"
        )
    pickled = folder / "heart-parquet/model"
    pickled.mkdir()
    (pickled / "weights.pkl").write_bytes(pickle.dumps({"age": 1.0, "cholesterol": -0.2}))


def make_digits(folder: Path) -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    model = folder / "deployment/model"
    model.mkdir()
    np.save(model / "centroids.npy", np.stack([digits.data[digits.target == n].mean(axis=0) for n in range(10)]))
    data = folder / "data"
    data.mkdir()
    for n in range(25):
        rows = "\n".join(" ".join(str(int(pixel)) for pixel in row) for row in digits.images[n])
        (data / f"{n:02d}-is-{digits.target[n]}.pgm").write_text(f"P2\n8 8\n16\n{rows}\n")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The workspace that all examples share, and an end to its hosts."""
    folder = tmp_path_factory.mktemp("azure-workspace")
    yield str(folder)
    with Workspace(folder) as ws:
        for compute in ws.compute:
            hosts = HostFolder(ws.storage, compute, "tester")
            record = hosts.heartbeat(hosts.epoch()) if hosts.epoch() else None
            if record and (process := ProcessId.from_json(record["process"])).alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def az(root, examples, monkeypatch):
    """Return a function that runs a command line in the examples' folder and returns what it answers, as JSON."""
    monkeypatch.setenv("DASK_BATCH_USER", "tester")
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "60")
    monkeypatch.setenv("DASK_BATCH_ROOT", root)

    monkeypatch.chdir(examples)

    def run(line: str, *more: str, answers: bool = True):
        done = CliRunner().invoke(app, [*line.split(), *more, *(("-o", "json") if answers else ())])
        assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"
        return json.loads(done.stdout) if answers else done.stdout

    return run


@pytest.fixture
def cluster(az):
    """The compute that the deployments name."""
    if "batch-cluster" not in [one["name"] for one in az("compute list")]:
        az("compute create -f heart-mlflow/compute.yml")


def test_an_mlflow_model_without_code(az, cluster, examples, tmp_path):
    az("model create --name heart-mlflow --type mlflow_model --path heart-mlflow/model")
    az("data create -f heart-mlflow/data.yml")
    az("endpoint create -f heart-mlflow/endpoint.yml")
    az("deployment create --file heart-mlflow/deployment/deployment.yml --endpoint-name heart-batch --set-default")
    az("endpoint update --name heart-batch --set defaults.deployment_name=heart-mlflow")
    shown = az("endpoint show --name heart-batch")
    assert shown["name"] == "heart-batch" and "heart-mlflow" in json.dumps(shown)
    assert az("deployment show --name heart-mlflow --endpoint-name heart-batch")["name"] == "heart-mlflow"

    job = az("endpoint invoke --name heart-batch --input azureml:heart-unlabeled@latest")["name"]
    az(f"job stream -n {job}", answers=False)
    assert az(f"job show -n {job}")["status"] == "Completed"
    az(f"job download --name {job} --output-name score --download-path", str(tmp_path / "scores"), answers=False)
    rows = pd.read_csv(tmp_path / "scores/predictions.csv")
    assert [os.path.basename(path) for path in rows["source_file"]] == ["patients-1.csv"] * 4 + ["patients-2.csv"] * 2
    assert rows["prediction"].isin([True, False]).all()
    # The patient without a pressure is more than this model can do; Azure's first failure would take the file along.
    (error,) = az(f"job errors -n {job}")
    assert error["row"] == 2 and error["file"].endswith("patients-2.csv")
    assert [one["name"] for one in az("job list --endpoint-name heart-batch")] == [job]


def test_a_custom_script_with_its_own_model_and_environment(az, cluster, examples):
    az("endpoint create --file digits-script/endpoint.yml --name digits-batch")
    az("deployment create --file digits-script/deployment/deployment.yml --endpoint-name digits-batch --set-default")
    line = "endpoint invoke --name digits-batch --input digits-script/data --input-type uri_folder --mini-batch-size 20"
    job = az(
        f"{line} --instance-count 5 --set output_file_name=predictions_1234.csv --output-path", f"{examples}/scored"
    )
    az(f"job wait -n {job['name']}", answers=False)
    rows = pd.read_csv(examples / "scored/predictions_1234.csv")
    assert list(rows.columns[:3]) == ["file", "class", "distance"] and len(rows) == 25
    right = [name.split("-is-")[1] == f"{found}.pgm" for name, found in zip(rows["file"], rows["class"], strict=True)]
    assert sum(right) >= 22
    logs = az(f"job logs -n {job['name']}", answers=False)
    assert "run() got 20 files" in logs and "run() got 5 files" in logs


def test_a_script_that_writes_parquet_of_its_own(az, cluster, examples, tmp_path):
    az("model create --name heart-pickled --type custom_model --path heart-parquet/model")
    az("endpoint create -f heart-parquet/endpoint.yml")
    az("deployment create -f heart-parquet/deployment/deployment.yml -e heart-parquet-batch --set-default")
    job = az("endpoint invoke -n heart-parquet-batch --input heart-mlflow/data")["name"]
    az(f"job wait -n {job}", answers=False)
    az(f"job download -n {job} -p", str(tmp_path / "out"), answers=False)
    assert sorted(os.listdir(tmp_path / "out")) == ["patients-1.parquet", "patients-2.parquet"]
    frame = pd.read_parquet(tmp_path / "out/patients-1.parquet")
    assert frame["prediction"].tolist() == [
        int(age - 0.2 * c > 0) for age, c in zip(frame.age, frame.cholesterol, strict=True)
    ]


def test_a_deployment_in_the_older_layout(az, cluster, root, examples):
    az("endpoint create -n words-batch")
    az("deployment create -f legacy-words/deployment.yml -e words-batch")
    with Workspace(root) as ws:
        job = ws.endpoints["words-batch"].invoke(examples / "legacy-words/data").wait(PATIENCE_S, show=False)
        assert job.results()["prediction"].tolist() == [5, 2]
        assert job.results("path").endswith("/words.csv")
        assert job.mini_batches()["items"].tolist() == [1, 1]
        assert list(ws.models) == sorted({*ws.models, "stop-words:1"})


def test_clean_up(az):
    az("deployment delete --name heart-mlflow --endpoint-name heart-batch --yes", answers=False)
    for name in ("heart-batch", "digits-batch", "heart-parquet-batch", "words-batch"):
        az(f"endpoint delete --name {name} --yes", answers=False)
    assert az("endpoint list") == [] and len(az("job list")) == 4

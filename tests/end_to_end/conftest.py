"""One workspace with one warm host, and the deployments that most of these tests invoke."""

from __future__ import annotations

import textwrap
import warnings
from pathlib import Path

import pytest
from at_work import PATIENCE_S, USER, end_host, write

from dask_batch import ModelDeployment, Workspace

# What a file's text says is done: most tests bring their own text.
TEXTS = """
import os
import time


def init():
    print("texts are read")


def run(mini_batch, params):
    time.sleep(params.get("sleep", 0))
    rows = []
    for path in mini_batch:
        with open(path) as file:
            text = file.read()
        if text.startswith("bad"):
            raise ValueError(f"{os.path.basename(path)} is no good")
        rows.append(f"{os.path.basename(path)}: {text}")
    return rows
"""

PLAIN = """
def init(): pass
def run(mini_batch): return [1] * len(mini_batch)
"""

# y = 2a + b for numbers, and a column of text that the model wants and does not use.
LINEAR = """
import mlflow
import pandas
from mlflow.pyfunc import PythonModel


class Linear(PythonModel):
    def predict(self, context, model_input: pandas.DataFrame, params=None):
        return 2 * model_input["a"] + model_input["b"]


mlflow.models.set_model(Linear())
"""


@pytest.fixture(autouse=True)
def of_the_tester(monkeypatch):
    monkeypatch.setenv("DASK_BATCH_USER", USER)


@pytest.fixture(scope="session")
def settled(tmp_path_factory):
    """The environment of what lives longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_BATCH_SCRATCH", str(tmp_path_factory.getbasetemp() / "scratch"))
        patch.setenv("DASK_BATCH_USER", USER)
        yield


@pytest.fixture(scope="session")
def home(settled, provider, tmp_path_factory):
    """A workspace that all tests share, on each provider one."""
    with Workspace(tmp_path_factory.mktemp("home")) as ws:
        if provider.cluster is not None:
            ws.compute.create_or_update(provider.compute(idle_s=30.0))
        yield ws
        end_host(ws)
    provider.check_nothing_left()


@pytest.fixture
def ws(provider, tmp_path):
    """A workspace of a test's own."""
    with Workspace(tmp_path / "workspace") as workspace:
        if provider.cluster is not None:
            workspace.compute.create_or_update(provider.compute())
        yield workspace
        end_host(workspace)


@pytest.fixture(autouse=True)
def stays_warm(request, monkeypatch):
    """Hosts of the shared workspace stay while tests are prepared."""
    if "home" in request.fixturenames and "ws" not in request.fixturenames:
        monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "60")


@pytest.fixture(scope="session")
def code(tmp_path_factory):
    """Return a function that writes a scoring script into a folder of its own, and returns the folder."""

    def make(script: str) -> str:
        return str(write(tmp_path_factory.mktemp("code"), "score.py", textwrap.dedent(script)).parent)

    return make


@pytest.fixture(scope="session")
def linear(settled, tmp_path_factory) -> Path:
    """An MLflow model with a signature: a is an integer, b a float, name text."""
    folder = tmp_path_factory.mktemp("linear")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        import mlflow
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema

        signature = ModelSignature(
            inputs=Schema([ColSpec("long", "a"), ColSpec("double", "b"), ColSpec("string", "name", required=False)]),
            outputs=Schema([ColSpec("double", "y")]),
        )
        model = write(folder, "linear.py", LINEAR)
        mlflow.pyfunc.save_model(folder / "model", python_model=str(model), signature=signature, pip_requirements=[])
    return folder / "model"


def scripted(ws, name, folder, **settings):
    """Create an endpoint whose deployment is a script, loaded when it is used."""
    endpoint = ws.endpoints.create(name)
    settings = {"max_retries": 0} | settings
    endpoint.deploy(ModelDeployment(name="d", code=folder, scoring_script="score.py", **settings))
    return endpoint


@pytest.fixture(scope="session")
def make_scripted(code):
    """Return a function that creates an endpoint from a script's text."""
    return lambda ws, name, script, **settings: scripted(ws, name, code(script), **settings)


@pytest.fixture(scope="session")
def texts(home, make_scripted):
    """Says what is in text files; a file that begins with "bad" raises."""
    return make_scripted(home, "texts", TEXTS)


@pytest.fixture(scope="session")
def plain(home, make_scripted):
    """A script whose run takes no params."""
    return make_scripted(home, "plain", PLAIN)


@pytest.fixture(scope="session")
def tables(home, linear):
    """The MLflow model behind an endpoint."""
    endpoint = home.endpoints.create("tables")
    endpoint.deploy(ModelDeployment(name="linear", model=str(linear), max_retries=0))
    return endpoint


@pytest.fixture
def score():
    """Return a function that invokes an endpoint, waits for the end, and returns the completed job."""
    return lambda endpoint, given, **asked: endpoint.invoke(given, **asked).wait(PATIENCE_S, show=False)

"""A workspace, small real models and scripts, and an end to every host that a test started."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import warnings
from pathlib import Path

import pytest

from dask_batch import ModelDeployment, Workspace
from dask_batch.hostfolder import HostFolder, ProcessId

SCRIPT = """
import os
import time


def init():
    print("script is ready")


def run(mini_batch, params):
    time.sleep(params.get("sleep", 0))
    done = []
    for path in mini_batch:
        with open(path) as file:
            text = file.read()
        if "bad" in text:
            raise ValueError(f"cannot score {os.path.basename(path)}")
        done.append(f"{os.path.basename(path)}={len(text)}")
    return done
"""


@pytest.fixture(autouse=True)
def quick_hosts(monkeypatch):
    monkeypatch.setenv("DASK_BATCH_USER", "tester")
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "2")


def kill_host(storage, compute="local", user="tester"):
    """Kill the host of a compute, if one lives here, and say whether there was one."""
    folder = HostFolder(storage, compute, user)
    record = folder.heartbeat(folder.epoch()) if folder.epoch() else None
    if record is None or not record.get("process"):
        return False
    process = ProcessId.from_json(record["process"])
    if not process.here() or not process.alive():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    return True


@pytest.fixture
def ws(tmp_path, provider):
    """A workspace. Its compute ``local`` is this machine, or SLURM where a test runs on every provider."""
    with Workspace(tmp_path / "workspace") as workspace:
        if provider.cluster is not None:
            workspace.compute.create_or_update(provider.compute())
        yield workspace
        kill_host(workspace.storage)
        workspace.compute.stop("local")
    provider.check_nothing_left()


@pytest.fixture
def end_host(ws):
    """Kill the host of the local compute when called."""
    return lambda: kill_host(ws.storage)


@pytest.fixture
def code(tmp_path) -> Path:
    """A code folder with a script that counts characters and dislikes files with "bad" in them."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "score.py").write_text(SCRIPT)
    return folder


@pytest.fixture
def files(tmp_path) -> Path:
    """Twelve text files, the eighth of them bad."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in range(12):
        (folder / f"{n:02d}.txt").write_text("bad" if n == 7 else "x" * n)
    return folder


@pytest.fixture
def scripted(ws, code):
    """An endpoint whose default deployment is the script."""
    endpoint = ws.endpoints.create("counter")
    endpoint.deploy(ModelDeployment(name="chars", code=str(code), scoring_script="score.py", max_retries=0))
    return endpoint


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """An MLflow model that knows irises."""
    folder = tmp_path_factory.mktemp("model") / "iris"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, at import and when it infers a signature
        import mlflow
        from mlflow.models import infer_signature
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression

        data = load_iris(as_frame=True)
        fitted = LogisticRegression(max_iter=200).fit(data.data, data.target)
        signature = infer_signature(data.data, fitted.predict(data.data))
        mlflow.sklearn.save_model(fitted, folder, signature=signature)
    return folder


STORE = """
import sys, time
import fsspec
from fsspec.implementations.local import LocalFileSystem


class Odd(LocalFileSystem):
    protocol = "odd"

    {method}(self, path, *args, **kwargs):
        if {when} and "{where}" in sys.orig_argv:
            time.sleep(60)
        return super().{name}(path, *args, **kwargs)

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("odd://", ""))

    def unstrip_protocol(self, name):
        return "odd://" + name


fsspec.register_implementation("odd", Odd, clobber=True)
"""


@pytest.fixture
def odd_store(tmp_path, monkeypatch):
    """Return a function that makes ``odd://`` known, here and in processes that start from here.

    It is this machine's file system, and one of its methods takes a minute in the processes of one module.
    """

    def make(name, where, when="True"):
        site = tmp_path / "site"
        site.mkdir()
        text = STORE.format(method=f"def {name}", name=name, where=where, when=when)
        (site / "sitecustomize.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.syspath_prepend(str(site))
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")

    return make

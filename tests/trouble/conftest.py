"""A workspace on a small file system, jobs on it, and an end to what tests started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dask_batch import ModelDeployment, Workspace
from dask_batch.jobs.hosts import stop_host

SCRIPT = """
import os, time

def init(): pass

def run(mini_batch, params):
    while os.path.exists(os.environ["HOLD"]):
        time.sleep(0.05)
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("".join(os.path.basename(path) + "\\n" for path in mini_batch))
    time.sleep(params.get("sleep", 0))
    return [os.path.basename(path) + "=" + "x" * params.get("size", 1) for path in mini_batch]
"""

ODD = """
import fsspec
from fsspec.implementations.local import LocalFileSystem


class Odd(LocalFileSystem):
    protocol = "odd"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("odd://", ""))

    def unstrip_protocol(self, name):
        return "odd://" + name


fsspec.register_implementation("odd", Odd, clobber=True)
"""


class SmallDisk:
    """A file system of a few MiB, which can be filled and made read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path))

    def fill(self, but_mib: int = 0) -> None:
        """Leave no room, or not more than some MiB."""
        with open(self.path / "ballast", "wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(65536)):
                    pass
            except OSError:
                ballast.truncate(ballast.tell() - (but_mib << 20))

    def free(self) -> None:
        """Make room again."""
        (self.path / "ballast").unlink()

    def grow(self) -> None:
        """Be four times as large."""
        self._run("mount", "-o", "remount,size=64m", str(self.path))

    def allow(self, writing: bool) -> None:
        """Allow or forbid writing, to everybody."""
        self._run("mount", "-o", f"remount,{'rw' if writing else 'ro'}", str(self.path))

    def close(self) -> None:
        self._run("umount", "--lazy", str(self.path))

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}; these tests are run as root"


@pytest.fixture
def disk(tmp_path):
    small = SmallDisk(tmp_path / "disk")
    yield small
    small.close()


@pytest.fixture(autouse=True)
def as_tester(monkeypatch):
    monkeypatch.setenv("DASK_BATCH_USER", "tester")
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "3")


@pytest.fixture
def make_endpoint(tmp_path):
    """Return a function that opens a workspace in a folder and deploys a script there; its hosts end with the test."""
    opened = []

    def make(root: Path):
        code, inputs = tmp_path / "code", tmp_path / "input"
        code.mkdir()
        inputs.mkdir()
        (code / "score.py").write_text(SCRIPT)
        for n in range(24):
            (inputs / f"{n:03d}.txt").write_text(str(n))
        ws = Workspace(root)
        opened.append(ws)
        variables = {"HOLD": str(tmp_path / "hold"), "CALLS": str(tmp_path / "calls")}
        endpoint = ws.endpoints.create("e")
        endpoint.deploy(
            ModelDeployment(
                name="d",
                code=str(code),
                scoring_script="score.py",
                mini_batch_size=2,
                max_retries=0,
                environment_variables=variables,
            )
        )
        return ws, endpoint

    yield make
    for ws in opened:
        stop_host(ws.storage, "local")
        ws.close()


@pytest.fixture
def odd_store(tmp_path, monkeypatch):
    """Return a function that makes ``odd://`` known: this machine's files, as a store from which they are fetched."""

    def make():
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(ODD)
        monkeypatch.setenv("PYTHONPATH", str(site))
        exec(ODD, {"__name__": "odd"})

    return make


@pytest.fixture
def inputs(tmp_path):
    return tmp_path / "input"


@pytest.fixture
def hold(tmp_path):
    """A file whose existence keeps run() waiting."""
    return tmp_path / "hold"


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


@pytest.fixture(name="python")
def _python():
    return python

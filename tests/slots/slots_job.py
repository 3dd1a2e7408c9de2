"""A deployment of a small script, a task for it, and a look at the processes it runs in."""

from __future__ import annotations

import contextlib
import os
import textwrap

import psutil

from dask_batch.slots.assets import store_asset
from dask_batch.slots.deployments import Loadable
from dask_batch.specs.job import DeploymentSnapshot, PinnedCode
from dask_batch.specs.scoring_settings import ScoringSettings

SCRIPT = """
import os

def init():
    global answer
    answer = os.environ.get("ANSWER", "none")

def run(mini_batch):
    return [f"{answer} {os.getpid()}"] * len(mini_batch)
"""


def make_loadable(storage, folder, script=SCRIPT, environment=None, **values):
    folder.mkdir(exist_ok=True)
    (folder / "score.py").write_text(textwrap.dedent(script))
    asset = store_asset(storage, str(folder))
    scoring = ScoringSettings(**values)
    snapshot = DeploymentSnapshot(
        endpoint="e",
        name="d",
        revision=1,
        digest=asset.digest,
        code=PinnedCode(asset=asset.asset, base=asset.base, digest=asset.digest, scoring_script="score.py"),
        environment=environment,
        kind="script",
        input_format="files",
        compute="local",
        settings=scoring,
    )
    return Loadable(snapshot, scoring)


def task(loadable, tmp_path, gate="g"):
    file = tmp_path / "input.txt"
    file.write_text("x")
    split = {"split": 0, "file": 0, "path": str(file), "size": 1, "version": "", "format": "unknown", "cut": "whole"}
    message = {
        "op": "score",
        "job": "j",
        "run": 1,
        "chunk": [0, 1],
        "mini_batches": [[split | {"bytes": 1, "start": None, "stop": None}]],
        "folder": str(tmp_path / "workspace" / "jobs" / "j"),
        "attempt": os.urandom(4).hex(),
        "settings": {},
    }
    return {
        "deployment": loadable.snapshot.to_stored(),
        "scoring": loadable.settings.to_stored(),
        "gate": gate,
        "message": message,
    }


def children() -> set[int]:
    found = set()
    for process in psutil.Process().children(recursive=True):
        # It may end while it is looked at.
        with contextlib.suppress(psutil.NoSuchProcess):
            if "dask_batch.scoring" in process.cmdline():
                found.add(process.pid)
    return found

"""A workspace with a SLURM compute, and scripts whose calls can be counted from outside."""

from __future__ import annotations

import contextlib
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from dask_batch import ModelDeployment, SlurmCompute, Workspace
from dask_batch.errors import DaskBatchError
from dask_batch.planning.sizing import AIM_S

PATIENCE_S = 150

# Leaves a line per call, and waits as long as a file's text says.
COUNTED = """
import os
import time

CALLS = {calls!r}


def init():
    pass


def run(mini_batch):
    for path in mini_batch:
        with open(path) as file:
            seconds = float(file.read())
        with open(CALLS, "a") as file:
            file.write(f"{{os.path.basename(path)}} {{os.environ.get('CUDA_VISIBLE_DEVICES', '')}}\\n")
        time.sleep(seconds)
        with open(CALLS, "a") as file:
            file.write(f"{{os.path.basename(path)}} done\\n")
    return [os.path.basename(path) for path in mini_batch]
"""


@dataclass
class Ground:
    """A workspace, a cluster, and an endpoint that counts the calls of its script."""

    ws: Workspace
    folder: Path

    def compute(self, **keywords):
        """Create the compute `hpc`; small, and quickly gone."""
        given = {"partition": "main", "memory": "500MB", "walltime": "00:10:00", "idle_time_before_scale_down": 3.0}
        self.ws.compute.create_or_update(SlurmCompute(name="hpc", **(given | {"host_memory": "1GB"} | keywords)))
        return self

    def invoke(self, *seconds: float, **asked):
        """Score files that take so many seconds each."""
        if "counted" not in self.ws.endpoints:
            code = self.folder / "code"
            code.mkdir()
            script = COUNTED.format(calls=str(self.folder / "calls"))
            (code / "score.py").write_text(textwrap.dedent(script))
            deployment = ModelDeployment(name="d", code=str(code), scoring_script="score.py", compute="hpc",
                                         mini_batch_size=1, max_retries=0, timeout=100)  # fmt: skip
            self.ws.endpoints.create("counted").deploy(deployment)
        inputs = self.folder / f"input-{len(list(self.folder.glob('input-*')))}"
        inputs.mkdir()
        for number, wait in enumerate(seconds):
            (inputs / f"f{number:03}.txt").write_text(str(wait))
        return self.ws.endpoints["counted"].invoke(str(inputs), **asked)

    def calls(self, what: str = "") -> list[str]:
        """Return the files that the script was called with, in order, each as often as it was."""
        path = self.folder / "calls"
        lines = [line.partition(" ") for line in path.read_text().splitlines()] if path.exists() else []
        return [name for name, _, said in lines if (said == "done") == (what == "done")]

    def again(self, seconds: float, slots: int = 1) -> int:
        """Return how many files may be scored twice when so many slots are lost, with files that take so long.

        It is the chunk in flight of each, and a second until what was done is committed.
        """
        return slots * int((AIM_S + 1.0) / seconds)

    def names(self, count: int) -> list[str]:
        return [f"f{number:03}.txt" for number in range(count)]

    def scored(self, job) -> list[str]:
        """Wait for the end and return the output."""
        return job.wait(PATIENCE_S, show=False).results()["prediction"].tolist()

    def queued(self, slurm, *, hosts: bool = False):
        """Return the jobs of instances, or of hosts, in the queue."""
        return [job for job in slurm.queue() if "-hpc-e" in job.name and job.name.endswith("-host") == hosts]

    def running(self, slurm):
        return [job for job in self.queued(slurm) if job.state == "RUNNING"]


@pytest.fixture
def ground(slurm, tmp_path, monkeypatch):
    """A workspace on a SLURM of its own; what its compute leaves there is stopped at the end."""
    monkeypatch.setenv("DASK_BATCH_USER", "tester")
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "1")
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(tmp_path / "scratch"))
    with Workspace(tmp_path / "workspace") as ws:
        yield Ground(ws, tmp_path)
        slurm.mend()
        with contextlib.suppress(DaskBatchError):
            ws.compute.stop("hpc")

"""What all tests share: a clean environment, a scratch folder of their own, and waiting for conditions."""

from __future__ import annotations

import json
import os
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import psutil
import pytest
from servers.providers import Provider
from servers.slurm import SlurmCluster, slurm_cluster, without_slurm

from dask_batch.host.inline import run_inline
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.status import Status, read_events, read_status
from dask_batch.slots.assets import store_asset
from dask_batch.specs.compute import LocalCompute
from dask_batch.specs.job import DeploymentSnapshot, JobDefinition, OutputTarget, PinnedCode
from dask_batch.specs.scoring_settings import ScoringSettings
from dask_batch.storage import Storage

T = TypeVar("T")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of the machine reaches a test, and hosts whose instances are gone end soon."""
    for name in ("ROOT", "CATALOG", "USER", "ENVIRONMENTS", "LOG_LIMIT"):
        monkeypatch.delenv(f"DASK_BATCH_{name}", raising=False)
    monkeypatch.setenv("DASK_BATCH_SCRATCH", str(tmp_path_factory.getbasetemp() / "scratch"))
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "5")
    yield


@pytest.fixture(autouse=True, scope="module")
def no_host_outlives_its_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hosts idle for minutes before they go; those that tests of this module started go when it ends."""
    yield
    scratch = str(tmp_path_factory.getbasetemp() / "scratch")
    ours = [process for process in psutil.process_iter() if _is_host(process, scratch)]
    for process in ours:
        process.terminate()
    _, stubborn = psutil.wait_procs(ours, timeout=30)
    for process in stubborn:
        process.kill()
    assert not stubborn, "hosts end when they are asked to"


def _is_host(process: psutil.Process, scratch: str) -> bool:
    try:
        command = process.cmdline()
        return "dask_batch.host" in command and process.environ().get("DASK_BATCH_SCRATCH") == scratch
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


@pytest.fixture
def eventually() -> Callable[..., T]:
    """Return a function that waits until a condition holds, and fails after a deadline."""

    def wait(condition: Callable[[], T], what: str, within_s: float = 30.0) -> T:
        deadline = time.monotonic() + within_s
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s:g} s: {what}")
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def slurm_of_session() -> Iterator[SlurmCluster]:
    """A SLURM that the tests of this process share; use `slurm`."""
    with slurm_cluster() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_of_session: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlurmCluster]:
    """A real SLURM, which this test and what it starts talk to. A test leaves no job, and may leave it broken."""
    _talk_to(slurm_of_session, monkeypatch)
    yield slurm_of_session
    slurm_of_session.mend()
    slurm_of_session.check_nothing_left()


@pytest.fixture(scope="session")
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    """Where jobs run: this machine, or in turn each of `servers.providers.on_every_provider`."""
    if getattr(request, "param", "local") == "local":
        yield Provider()
        return
    cluster = request.getfixturevalue("slurm_of_session")
    with pytest.MonkeyPatch.context() as patch:
        _talk_to(cluster, patch)
        yield Provider(cluster)


def _talk_to(cluster: SlurmCluster, patch: pytest.MonkeyPatch) -> None:
    for name in set(os.environ) - set(without_slurm(os.environ)):
        patch.delenv(name)
    patch.setenv("SLURM_CONF", str(cluster.conf))


@pytest.fixture
def odd_path(tmp_path: Path) -> Path:
    """A folder whose name has everything that a path may have."""
    folder = tmp_path / "an odd'\"#%?&[x]{y}\nfolder ü"
    folder.mkdir()
    return folder


@dataclass
class InlineJob:
    """A job that runs in the test's own process, and what came of it."""

    folder: JobFolder
    definition: JobDefinition

    def run(self, slots: int = 1) -> InlineJob:
        run_inline(self.folder.storage, self.definition, slots=slots)
        return self

    @property
    def status(self) -> Status:
        status = read_status(self.folder)
        assert status is not None
        return status

    @property
    def decision(self) -> dict[str, Any]:
        decision = self.folder.decision(1)
        assert decision is not None
        return decision

    def rows(self) -> pd.DataFrame:
        """The output, as csv text says it."""
        return pd.read_csv(Path(self.definition.output.url) / self.definition.output.file_name)

    def errors(self) -> list[dict[str, Any]]:
        """The failed items, in input order."""
        found = []
        for entry in self.decision["entries"]:
            if name := entry.get("errors"):
                text = self.folder.storage.read(self.folder.path(name)).decode()
                found += [json.loads(line) for line in text.splitlines()]
        return found

    def events(self, what: str) -> list[dict[str, Any]]:
        return [event for event in read_events(self.folder) if event["event"] == what]

    def logs(self) -> str:
        folder = self.folder
        names = folder.storage.list(folder.path("logs"))
        return "".join(folder.storage.read(folder.path("logs", name)).decode(errors="replace") for name in names)


@pytest.fixture
def script_job(tmp_path: Path) -> Callable[..., InlineJob]:
    """Return a function that makes a job: a scoring script's text, files by name, and settings."""

    def make(
        script: str, files: dict[str, str] | int, *, params: dict[str, Any] | None = None, **settings: Any
    ) -> InlineJob:
        code, inputs = tmp_path / "code", tmp_path / "input"
        code.mkdir(exist_ok=True)
        inputs.mkdir(exist_ok=True)
        (code / "score.py").write_text(textwrap.dedent(script))
        texts = files if isinstance(files, dict) else {f"f{n:05d}.txt": str(n) for n in range(files)}
        for name, text in texts.items():
            (inputs / name).write_text(text)
        storage = Storage(str(tmp_path / "workspace"))
        asset = store_asset(storage, str(code))
        scoring = ScoringSettings(**{"timeout": 60, "max_retries": 0} | settings)
        snapshot = DeploymentSnapshot(
            endpoint="e",
            name="d",
            revision=1,
            digest=asset.digest,
            code=PinnedCode(asset=asset.asset, base=asset.base, digest=asset.digest, scoring_script="score.py"),
            kind="script",
            input_format="files",
            compute="local",
            settings=scoring,
        )
        folder = JobFolder(storage, "job-1")
        definition = JobDefinition(
            name="job-1",
            endpoint="e",
            deployment=snapshot,
            settings=scoring,
            compute=LocalCompute(name="local"),
            inputs=(str(inputs),),
            params=params or {},
            experiment_name="e",
            owner="tester",
            created=now(),
            output=OutputTarget(url=folder.url("outputs", "score"), file_name=scoring.output_file_name),
        )
        folder.create(definition.to_stored())
        folder.open_run(1, {"run": 1})
        return InlineJob(folder, definition)

    return make

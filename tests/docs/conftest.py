"""What the pages of the documentation take for granted: the model and data of the tutorial, and some notes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docs_page import blocks_of

from dask_batch import Workspace

ROOT = Path(__file__).resolve().parents[2]


def environment(workspace: Path, scratch: Path) -> dict[str, str]:
    """The environment of a reader: the package's commands on the path, everything in a temporary place."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DASK_BATCH_ROOT": str(workspace),
        "DASK_BATCH_SCRATCH": str(scratch),
        # The pages share a host, which `docs_root` stops at the end.
        "DASK_BATCH_HOST_IDLE": "120",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "COLUMNS": "100",
    }


@pytest.fixture(scope="session")
def docs_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder with the samples, the workspace that the pages share, and the scratch folder."""
    root = tmp_path_factory.mktemp("docs")
    samples = root / "samples"
    samples.mkdir()
    first = next(block for block in blocks_of(ROOT / "docs" / "tutorial.md") if block.is_run)
    made = subprocess.run(
        [sys.executable, "-c", first.text], cwd=samples, capture_output=True, text=True, timeout=120, check=False
    )
    assert made.returncode == 0, made.stderr
    (samples / "notes").mkdir()
    for number in range(12):
        text = "" if number == 7 else "a word or two " * number + "end"
        (samples / "notes" / f"note-{number:02d}.txt").write_text(text)
    yield root
    with Workspace(root / "workspace") as ws:
        for compute in ws.compute:
            stop = [sys.executable, "-m", "dask_batch.cli", "compute", "stop", "--name", compute]
            subprocess.run(stop, env=environment(root / "workspace", root / "scratch"), timeout=120, check=True)


@pytest.fixture
def reader(docs_root: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command as a reader would, in a folder with the samples unless told not to."""

    def run(*command: str, samples: bool = True) -> subprocess.CompletedProcess[str]:
        if samples:
            shutil.copytree(docs_root / "samples", tmp_path, dirs_exist_ok=True)
        return subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment(docs_root / "workspace", docs_root / "scratch"),
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
        )

    return run

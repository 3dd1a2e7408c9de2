"""The real command, in a process of its own, on a workspace of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCORE = """\
import time
from pathlib import Path

def init():
    print("the model is loaded")

def run(mini_batch, params):
    lengths = []
    for file in mini_batch:
        text = Path(file).read_text()
        if text == "bad":
            raise ValueError("this text is bad")
        time.sleep(params.get("sleep", 0))
        lengths.append(len(text))
    return lengths
"""

DEPLOYMENT = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: lengths
endpoint_name: text
type: model
code_configuration:
  code: src
  scoring_script: score.py
compute: azureml:local
settings:
  mini_batch_size: 2
"""


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Shell:
    """Runs ``dask-batch`` in a folder, on the workspace ``ws`` there."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "ws"

    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DASK_BATCH_")}
        mine = {"ROOT": self.root, "SCRATCH": self.folder / "scratch", "HOST_IDLE": 30, "USER": "tester"}
        return clean | {f"DASK_BATCH_{name}": str(value) for name, value in mine.items()}

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dask_batch.cli", *arguments]
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        settings = {"cwd": self.folder, "env": self.environment(), "text": True} | pipes | options
        return subprocess.Popen(command, **settings)

    def __call__(self, *arguments: str, **options: Any) -> Answer:
        with self.start(*arguments, **options) as process:
            out, err = process.communicate(timeout=120)
        return Answer(process.returncode, out, err)

    def ok(self, *arguments: str) -> Answer:
        answer = self(*arguments)
        assert answer.code == 0, answer.err
        return answer

    def json(self, *arguments: str) -> Any:
        return self.ok(*arguments, "-o", "json").json


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """The command on an empty workspace."""
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The command on a workspace whose endpoint ``text`` has a script that measures texts; stopped afterwards."""
    shell = Shell(tmp_path_factory.mktemp("deployed"))
    write_texts(shell.folder / "in", {f"{n}.txt": "x" * n for n in range(1, 6)} | {"6.txt": "bad"})
    (shell.folder / "src").mkdir()
    (shell.folder / "src" / "score.py").write_text(SCORE)
    (shell.folder / "deployment.yml").write_text(DEPLOYMENT)
    shell.ok("endpoint", "create", "--name", "text")
    shell.ok("deployment", "create", "-f", "deployment.yml")
    yield shell
    shell.ok("compute", "stop", "-n", "local")


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)

"""A real scoring process, driven over its pipes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from servers.s3 import s3_server

from dask_batch.scoring.cell import Cell

DEADLINE_S = 60.0


def wait_for(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true within {DEADLINE_S:g} s")


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


class Store:
    """A bucket of an S3 server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._fs, self._base = fsspec.core.url_to_fs(url)

    def url(self, name: str) -> str:
        return f"{self._url}/{name}"

    def put(self, name: str, content: str) -> dict[str, Any]:
        """Store a file and return it as the plan describes it."""
        self._fs.pipe_file(f"{self._base}/{name}", content.encode())
        info = self._fs.info(f"{self._base}/{name}", refresh=True)
        return remote_split(self.url(name), content) | {"version": info["ETag"].strip('"')}

    def names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        return sorted(path.split("/", 1)[1] for path in self._fs.find(f"{self._base}/{folder}"))


def remote_split(url: str, content: str) -> dict[str, Any]:
    """Return a whole remote file as the plan describes it."""
    rest = {"version": "", "format": "file", "cut": "whole", "start": None, "stop": None, "last": True}
    return {"path": url, "size": len(content), "bytes": len(content), **rest}


def split_of(path: Path | str) -> dict[str, Any]:
    """Return a whole local file as the plan describes it."""
    status = os.stat(path)
    return {
        "path": str(path),
        "size": status.st_size,
        "version": str(status.st_mtime_ns),
        "format": "file",
        "cut": "whole",
        "start": None,
        "stop": None,
        "bytes": status.st_size,
        "last": True,
    }


class Child:
    """A scoring process and its parent's ends of the pipes."""

    wait_for = staticmethod(wait_for)
    is_running = staticmethod(is_running)

    remote_split = staticmethod(remote_split)

    @staticmethod
    def split(path: Path | str) -> dict[str, Any]:
        """Return a whole local file as the plan describes it."""
        return split_of(path)

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.scratch = folder / "scratch"
        self.job = folder / "job"
        self.code = folder / "code"
        self.log = folder / "user.log"
        for path in (self.scratch, self.job, self.code):
            path.mkdir(parents=True)
        self.cell = Cell(str(self.scratch / "cell"), create=True)
        to_child, self.into = os.pipe()
        self.out, from_child = os.pipe()
        command = [sys.executable, "-m", "dask_batch.scoring", "--in", str(to_child), "--out", str(from_child)]
        command += ["--cell", str(self.scratch / "cell"), "--scratch", str(self.scratch), "--parent", str(os.getpid())]
        with (self.scratch / "start.log").open("ab") as log:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.scratch,
                env=dict(os.environ) | (environment or {}),
                pass_fds=(to_child, from_child),
                start_new_session=True,
            )
        os.close(to_child)
        os.close(from_child)
        self._buffer = b""
        self._attempts = 0

    # -- messages

    def send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self.into, data) :]

    def receive(self) -> dict[str, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no answer; its log:\n{self.start_log()}"
            data = os.read(self.out, 1 << 20)
            assert data, f"the process ended; its log:\n{self.start_log()}\n{self.said()}"
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return json.loads(line)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.send(message)
        return self.receive()

    def load(self, script: str | None = None, *, name: str = "score.py", **more: Any) -> dict[str, Any]:
        if script is not None:
            path = self.code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(script))
        message = {
            "op": "load",
            "key": "k",
            "kind": "script",
            "input_format": "files",
            "model_path": None,
            "code_path": str(self.code),
            "scoring_script": name,
            "environment_variables": {},
            "logging_level": "info",
            "threads": 1,
            "check_packages": True,
            "log": str(self.log),
        }
        return self.ask(message | more)

    def loaded(self, script: str, **more: Any) -> dict[str, Any]:
        answer = self.load(script, **more)
        assert answer["op"] == "loaded", answer["error"]["traceback"]
        return answer

    def score_message(
        self,
        mini_batches: list[list[Any]],
        *,
        first: int = 0,
        items: tuple[int, int | None] | None = None,
        params: dict[str, Any] | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        self._attempts += 1
        splits, position = [], 0
        for mini_batch in mini_batches:
            splits.append([split if isinstance(split, dict) else split_of(split) for split in mini_batch])
            for split in splits[-1]:
                split["split"] = split["file"] = position
                position += 1
        return {
            "op": "score",
            "job": "j",
            "run": 1,
            "chunk": [first, first + len(splits), *(items or ())],
            "mini_batches": splits,
            "folder": str(self.job),
            "attempt": f"a{self._attempts}",
            "settings": {"max_retries": 0, **settings},
            "params": params or {},
            "log": str(self.log),
        }

    def score(self, mini_batches: list[list[Any]], **more: Any) -> dict[str, Any]:
        return self.ask(self.score_message(mini_batches, **more))

    def scored(self, mini_batches: list[list[Any]], **more: Any) -> dict[str, Any]:
        answer = self.score(mini_batches, **more)
        assert answer["op"] == "scored", answer
        return answer

    # -- what it left

    def part(self, answer: dict[str, Any]) -> pa.Table:
        with pa.OSFile(str(self.job / answer["part"])) as file:
            return pa.ipc.open_file(file).read_all()

    def errors(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        if answer["errors"] is None:
            return []
        return [json.loads(line) for line in (self.job / answer["errors"]).read_text().splitlines()]

    def report(self, answer: dict[str, Any]) -> dict[str, Any]:
        return json.loads((self.job / answer["report"]).read_text())

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def start_log(self) -> str:
        return (self.scratch / "start.log").read_text()

    def finish(self) -> None:
        """Close the pipes and wait for its end."""
        for handle in (self.into, self.out):
            with contextlib.suppress(OSError):
                os.close(handle)
        try:
            self.popen.wait(DEADLINE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, signal.SIGKILL)
            self.popen.wait()
            self.cell.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    """Start scoring processes, which end with the test."""
    started: list[Child] = []

    def begin(environment: dict[str, str] | None = None) -> Child:
        child = Child(tmp_path / f"child-{len(started)}", environment)
        started.append(child)
        return child

    yield begin
    for child in started:
        child.finish()
        shutil.rmtree(child.scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Run an S3 server."""
    with s3_server() as url:
        yield url


@pytest.fixture
def store(bucket: str) -> Store:
    """A place of its own on an S3 server, which scoring processes started from now on reach."""
    return Store(f"{bucket}/{secrets.token_hex(4)}")


@pytest.fixture
def child(start: Callable[..., Child]) -> Child:
    """One scoring process."""
    return start()


@pytest.fixture
def files(tmp_path: Path) -> Callable[[int], list[Path]]:
    """Make n small files whose content is their number."""

    def make(n: int) -> list[Path]:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        paths = [folder / f"{number:03d}.txt" for number in range(n)]
        for number, path in enumerate(paths):
            path.write_text(str(number))
        return paths

    return make

"""Remote files of a script: fetched ahead, and the one that is waited for is named."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from dask_batch.scoring.cell import IDLE, READ, Cell
from dask_batch.scoring.guard import Guard
from dask_batch.scoring.inputs import mini_batches
from dask_batch.scoring.logs import Logs
from dask_batch.scoring.outbox import Outbox
from dask_batch.scoring.scorer import Place, Request


class Slow(MemoryFileSystem):
    """A store that sends files called slow when it is told to."""

    protocol = "slowstore"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    go = threading.Event()

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("slowstore://", ""))

    def get_file(self, rpath, lpath, **kwargs):
        if "slow" in rpath:
            assert self.go.wait(60)
        super().get_file(rpath, lpath, **kwargs)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = Cell(str(tmp_path / "cell"), create=True)
    yield Place(str(tmp_path), cell, Guard(cell, Logs(), str(tmp_path)), Outbox(str(tmp_path / "output")))
    cell.close()


def test_the_cell_names_the_very_file_that_the_script_waits_for(place, child):
    fsspec.register_implementation("slowstore", Slow, clobber=True)
    store = fsspec.filesystem("slowstore")
    splits = []
    for number, name in enumerate(["a", "slow", "c"], 7):
        store.pipe_file(f"/{name}", b"x")
        splits.append(child.remote_split(f"slowstore:///{name}", "x") | {"split": number, "file": number})
    message = {"job": "j", "run": 1, "chunk": [3, 4], "mini_batches": [splits], "folder": "f", "attempt": "t"}
    batches = mini_batches(Request.from_message(message), place)
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(list, batches)
        until = time.monotonic() + 30
        while (said := place.cell.read("read")[:4]) != (READ, 3, 8, 9) and time.monotonic() < until:
            time.sleep(0.01)
        Slow.go.set()
        (files,) = fetching.result()
    assert said == (READ, 3, 8, 9)
    assert files.items == [0, 1, 2]
    assert place.cell.read("read")[0] == IDLE

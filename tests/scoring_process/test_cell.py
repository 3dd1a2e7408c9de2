"""The progress cell never shows a mixture of two states."""

from __future__ import annotations

import multiprocessing
import time

from dask_batch.scoring.cell import IDLE, READ, RUN, Cell


def test_what_is_set_is_read_elsewhere(tmp_path):
    parent, child = Cell(str(tmp_path / "cell"), create=True), Cell(str(tmp_path / "cell"))
    assert parent.read("main")[0] == IDLE
    before = time.monotonic()
    child.set("main", RUN, 7, 3, 9)
    child.set("read", READ, 8)
    phase, mini_batch, lo, hi, started = parent.read("main")
    assert (phase, mini_batch, lo, hi) == (RUN, 7, 3, 9)
    assert before <= started <= time.monotonic()
    assert parent.read("read")[:4] == (READ, 8, 0, -1)


def test_a_cell_that_is_made_anew_is_idle(tmp_path):
    Cell(str(tmp_path / "cell"), create=True).set("main", RUN, 1, 2, 3)
    assert Cell(str(tmp_path / "cell"), create=True).read("main") == (IDLE, 0, 0, 0, 0.0)


def _write(path: str, stop) -> None:
    cell, n = Cell(path), 0
    while not stop.is_set():
        for _ in range(1000):
            n += 1
            cell.set("main", RUN, n, n, n)
            sum(range(500))  # what is marked takes longer than marking it


def test_a_reader_beside_a_busy_writer_sees_whole_states_only(tmp_path):
    cell = Cell(str(tmp_path / "cell"), create=True)
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    writer = context.Process(target=_write, args=(str(tmp_path / "cell"), stop))
    writer.start()
    try:
        seen = set()
        deadline = time.monotonic() + 60
        while len(seen) < 2000 and time.monotonic() < deadline:
            _, mini_batch, lo, hi, _ = cell.read("main")
            assert mini_batch == lo == hi
            seen.add(mini_batch)
        assert len(seen) >= 2000
    finally:
        stop.set()
        writer.join()

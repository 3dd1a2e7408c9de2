"""What is being read while the scoring waits for it: the lane ``"read"`` of the progress cell, for two threads."""

from __future__ import annotations

import threading

from dask_batch.scoring.cell import IDLE, READ, Cell

__all__ = ["ReadLane"]


class ReadLane:
    """Says in the cell which splits are being read, while and only while the scoring waits for input.

    The reading thread says where it is, the scoring thread whether it waits; so a file that takes too long, or kills
    the process, is known by its split and the others of its mini-batch are not suspected.

    Parameters
    ----------
    cell : Cell
        The process's.
    mini_batch : int
        The first mini-batch that will be read.
    """

    def __init__(self, cell: Cell, mini_batch: int) -> None:
        self._cell = cell
        self._lock = threading.Lock()
        self._at = (mini_batch, 0, -1)
        self._waiting = False

    def at(self, mini_batch: int, lo: int, hi: int) -> None:
        """Say that splits lo to hi - 1, counted as in the plan, are read from now on."""
        with self._lock:
            self._at = (mini_batch, lo, hi)
            if self._waiting:
                self._cell.set("read", READ, *self._at)

    def waiting(self, for_input: bool) -> None:
        """Say whether the scoring waits for input."""
        with self._lock:
            self._waiting = for_input
            if for_input:
                self._cell.set("read", READ, *self._at)
            else:
                self._cell.set("read", IDLE)

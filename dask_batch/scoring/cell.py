"""The progress cell: 128 bytes of shared memory in which a scoring process says what it is doing right now.

The parent reads it to enforce timeouts, and after a death to know which items to suspect. Writing costs less than a
microsecond and no system call, so every single call of user code can be marked.

There are two lanes of 64 bytes: eight words, each written whole. The body stands between two copies of a sequence
number; the writer goes from left to right, the reader from right to left, so a reader that finds both numbers equal
has an untorn body (a torn one could pair a new phase with an old start, and look like a timeout). ``struct.pack_into``
would not do: it zeroes the memory first, and writes byte by byte.
"""

from __future__ import annotations

import itertools
import mmap
import os
import time

__all__ = ["IDLE", "LOAD", "READ", "RUN", "WRITE", "Cell"]

IDLE, LOAD, RUN, WRITE, READ = 0, 1, 2, 3, 4

_SIZE = 128
_LANES = {"main": 0, "read": 8}  # first word; then sequence, phase, mini-batch, lo, hi, started, sequence
_STARTED, _END = 5, 6
_SETTLE_S = 0.05


class Cell:
    """What a scoring process is doing, in shared memory.

    The lane ``"main"`` is IDLE, LOAD (the deployment), RUN (user code: ``run()`` or ``predict``, consuming what it
    returns included) or WRITE (the part). The lane ``"read"`` is IDLE, or READ while reading holds up the scoring.

    Parameters
    ----------
    path : str
        The file behind the shared memory.
    create : bool
        Make it, and empty it; otherwise it must be there.

    Examples
    --------
    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/cell"
    >>> parent, child = Cell(path, create=True), Cell(path)
    >>> child.set("main", RUN, 7, 0, 10)
    >>> parent.read("main")[:4]
    (2, 7, 0, 10)
    """

    def __init__(self, path: str, create: bool = False) -> None:
        handle = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_TRUNC if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(handle, _SIZE)
            self._memory = mmap.mmap(handle, _SIZE)
        finally:
            os.close(handle)
        self._words = memoryview(self._memory).cast("q")
        self._times = memoryview(self._memory).cast("d")
        # One count a lane: two threads may write at the same time.
        self._numbers = {lane: itertools.count(1) for lane in _LANES}

    def set(self, lane: str, phase: int, mini_batch: int = -1, lo: int = 0, hi: int = -1) -> None:
        """Say what the process does from now on.

        Parameters
        ----------
        lane : str
            ``"main"`` or ``"read"``. Each lane is written by one thread at a time.
        phase : int
            IDLE, LOAD, RUN, WRITE or READ.
        mini_batch : int
            Position of the mini-batch in the plan; -1: none.
        lo, hi : int
            The items of the mini-batch that this very call is about; hi -1: to its end, or unknown. In the lane
            ``"read"`` the splits that are read, by their numbers in the plan; hi -1: any of the mini-batch's.
        """
        number, words, at = next(self._numbers[lane]), self._words, _LANES[lane]
        words[at] = number
        words[at + 1] = phase
        words[at + 2] = mini_batch
        words[at + 3] = lo
        words[at + 4] = hi
        self._times[at + _STARTED] = time.monotonic()
        words[at + _END] = number

    def read(self, lane: str) -> tuple[int, int, int, int, float]:
        """Return (phase, mini_batch, lo, hi, started): what was last `set`, and when by ``time.monotonic()``."""
        words, at = self._words, _LANES[lane]
        give_up = 0.0
        while True:
            end = words[at + _END]
            body = (words[at + 1], words[at + 2], words[at + 3], words[at + 4], self._times[at + _STARTED])
            begin = words[at]
            if begin == end:
                return body
            # Torn. A writer that was stopped (or killed) half-way leaves it so; then this is the best there is.
            give_up = give_up or time.monotonic() + _SETTLE_S
            if time.monotonic() > give_up:
                return body
            time.sleep(0.0005)

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._times.release()
        self._memory.close()

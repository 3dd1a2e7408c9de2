"""Calls of user code, with everything put back afterwards that user code likes to change."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

from dask_batch.scoring.cell import IDLE, LOAD, RUN, Cell
from dask_batch.scoring.logs import Logs

__all__ = ["Guard"]


class Guard:
    """Surrounds calls of user code.

    While inside, the progress cell says RUN with the very items of the call. Afterwards the working directory and
    the standard streams are as before (streams that user code replaces while it is loaded stay), and a process that
    user code forked and let return is ended: only the original process goes on.

    Parameters
    ----------
    cell : Cell
        Where to say what runs.
    logs : Logs
        Owner of the standard streams.
    cwd : str
        The working directory that each call starts in.

    Examples
    --------
    ::

        with guard.running(mini_batch, lo, hi):
            result = module.run(paths)
    """

    def __init__(self, cell: Cell, logs: Logs, cwd: str) -> None:
        self._cell = cell
        self._logs = logs
        self._cwd = cwd
        self._pid = os.getpid()
        os.makedirs(cwd, mode=0o700, exist_ok=True)
        os.chdir(cwd)

    def running(self, mini_batch: int, lo: int, hi: int) -> Guard:
        """Enter the call for items lo to hi - 1 of a mini-batch; use it in a ``with`` statement."""
        self._phase = (RUN, mini_batch, lo, hi)
        return self

    def loading(self) -> Guard:
        """Enter the loading of the deployment, or its end; use it in a ``with`` statement."""
        self._phase = (LOAD, -1, 0, -1)
        return self

    def __enter__(self) -> Guard:
        self._streams = sys.stdout, sys.stderr
        self._cell.set("main", *self._phase)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, _: TracebackType | None) -> None:
        if os.getpid() != self._pid:
            _end_fork(exc)
        self._cell.set("main", IDLE)
        self._logs.restore(*(self._streams if self._phase[0] == RUN else (sys.stdout, sys.stderr)))
        try:
            os.chdir(self._cwd)
        except OSError:
            os.makedirs(self._cwd, mode=0o700, exist_ok=True)
            os.chdir(self._cwd)


def _end_fork(exc: BaseException | None) -> None:
    """End a forked process that came back from user code, the way a program of its own would end."""
    status = 0
    if isinstance(exc, SystemExit):
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    elif exc is not None:
        status = 1
        traceback.print_exception(type(exc), exc, exc.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
    os._exit(status & 0xFF)

"""The log of a scoring process: what user code prints and logs, in the file that the parent names."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TextIO

__all__ = ["Logs"]

_LEVELS = {"warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Logs:
    """Standard output, standard error and logging, all into one file, line by line.

    The file can change between chunks: descriptors 1 and 2 are pointed at it, so what subprocesses and C libraries
    print lands there too.
    """

    def __init__(self) -> None:
        self._path: str | None = None
        self._handle = os.dup(2)
        sys.stdout = self._stdout = _line_buffered(1)
        sys.stderr = self._stderr = _line_buffered(2)
        # Its own stream: user code that closes sys.stderr does not close this.
        self._handler = logging.StreamHandler(_line_buffered(2))
        self._handler.setFormatter(logging.Formatter(_FORMAT))

    def level(self, name: str) -> None:
        """Send the root logger's records of this level (``"info"``, …) and above to the log."""
        root = logging.getLogger()
        if self._handler not in root.handlers:
            root.addHandler(self._handler)
        root.setLevel(_LEVELS.get(name, logging.INFO))

    def switch(self, path: str | None) -> None:
        """Write to another file from now on; None, and a file that cannot be opened, change nothing."""
        if path is None or path == self._path:
            return
        self.flush()
        try:
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            logging.getLogger(__name__).warning("cannot open the log %s: %s", path, error)
            return
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.close(self._handle)
        self._handle = handle
        self._path = path

    def restore(self, stdout: TextIO | None, stderr: TextIO | None) -> None:
        """Put streams back that user code replaced or closed.

        Parameters
        ----------
        stdout, stderr : text stream or None
            What ``sys.stdout`` and ``sys.stderr`` were before the call.
        """
        for number in (1, 2):
            try:
                os.fstat(number)
            except OSError:
                os.dup2(self._handle, number)
        sys.stdout = stdout if _is_open(stdout) else self._fresh_stdout()
        sys.stderr = stderr if _is_open(stderr) else self._fresh_stderr()

    def flush(self) -> None:
        """Write out what is still buffered."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()

    def _fresh_stdout(self) -> TextIO:
        if not _is_open(self._stdout):
            self._stdout = _line_buffered(1)
        return self._stdout

    def _fresh_stderr(self) -> TextIO:
        if not _is_open(self._stderr):
            self._stderr = _line_buffered(2)
        return self._stderr


def _line_buffered(number: int) -> TextIO:
    return open(number, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _is_open(stream: TextIO | None) -> bool:
    try:
        return stream is not None and not getattr(stream, "closed", False)
    except ValueError:  # its buffer was detached
        return False

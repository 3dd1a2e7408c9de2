"""The pipe to the parent: JSON lines, read by a thread that ends the process when the parent is gone."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from typing import Any

from dask_batch.scoring.life import end, hide

__all__ = ["Channel"]


class Channel:
    """Messages from and to the parent.

    Parameters
    ----------
    receive, send : int
        Descriptors of the two pipes. They are moved away and closed in forks, so that user code cannot reach them
        by accident.
    """

    def __init__(self, receive: int, send: int) -> None:
        self._in = hide(receive)
        self._out = hide(send)
        self._pid = os.getpid()
        self._messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        os.register_at_fork(after_in_child=self._close)
        threading.Thread(target=self._listen, name="dask-batch-pipe", daemon=True).start()

    def next(self) -> dict[str, Any]:
        """Wait for the parent's next message and return it."""
        return self._messages.get()

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; without effect in a forked process."""
        if os.getpid() != self._pid:
            return
        rest = memoryview(json.dumps(message, default=str).encode() + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._out, rest) :]
        except BrokenPipeError:
            end()

    def _listen(self) -> None:
        """Pass messages on; when the pipe closes, nobody wants this process any more."""
        buffer = bytearray()
        while True:
            try:
                data = os.read(self._in, 1 << 20)
            except OSError:
                data = b""
            if not data:
                end()
            buffer += data
            if b"\n" in data:
                *lines, rest = buffer.split(b"\n")
                buffer = bytearray(rest)
                for line in lines:
                    self._messages.put(json.loads(line))

    def _close(self) -> None:
        for handle in (self._in, self._out):
            with contextlib.suppress(OSError):
                os.close(handle)

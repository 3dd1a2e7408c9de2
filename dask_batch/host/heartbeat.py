"""The heartbeat of a host, in a thread of its own: nothing that the host does may hold it up."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from dask_batch.hostfolder import HostFolder

__all__ = ["Heartbeat"]

log = logging.getLogger(__name__)

_EVERY_S = 2.0
_HUNG_S = 120.0
_GIVE_UP_S = 600.0


class Heartbeat:
    """Says every few seconds that the host of an epoch lives, and sees when a higher epoch has begun.

    A host whose main loop hangs must not be kept alive by this thread, so it beats only while `seen` is called.

    Parameters
    ----------
    folder : HostFolder
        Where the heartbeat is.
    epoch : int
        Whose.
    process : dict
        The host's process, as `ProcessId.to_json` says it.
    """

    def __init__(self, folder: HostFolder, epoch: int, process: dict[str, Any]) -> None:
        self.replaced = threading.Event()
        """Set once a higher epoch has begun: this host must end, and nothing that it writes counts."""
        self.lost = threading.Event()
        """Set when the storage has not taken a heartbeat for minutes."""
        self._folder = folder
        self._epoch = epoch
        self._details: dict[str, Any] = {"process": process}
        self._state = "running"
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._seen_at = self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self.say("running")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def seen(self, **details: Any) -> None:
        """Take note that the host's loop turns, and what it has to say of itself."""
        self._seen_at = time.monotonic()
        self._details |= details

    def say(self, state: str) -> None:
        """Beat at once, with another state from now on: ``"running"``, ``"draining"`` or ``"stopping"``.

        Raises
        ------
        OSError
            The storage does not take it.
        """
        with self._lock:
            self._state = state
            self._beat()

    def _beat(self) -> None:
        self._folder.beat(self._epoch, self._state, **self._details)
        self._beat_at = time.monotonic()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S) and not self.replaced.is_set():
            if time.monotonic() - self._seen_at > _HUNG_S:
                log.error("the host's loop has not turned for %g s: no more heartbeats", _HUNG_S)
                continue
            try:
                self._look_and_beat()
            except Exception:
                # Clients of stores raise errors of any type; the next beat may be taken.
                log.warning("a heartbeat was not taken", exc_info=True)
                if time.monotonic() - self._beat_at > _GIVE_UP_S:
                    self.lost.set()

    def _look_and_beat(self) -> None:
        if self._folder.epoch() > self._epoch:
            self.replaced.set()
            return
        with self._lock:
            self._beat()

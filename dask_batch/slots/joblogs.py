"""Where the logs of scoring processes go: into the job's folder, by way of a local file if that is remote."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

from dask_batch.jobfolder.folder import JobFolder
from dask_batch.storage import Storage

__all__ = ["JobLogs"]

log = logging.getLogger(__name__)

_PUBLISH_EVERY_S = 5.0


class JobLogs:
    """The logs that the scoring processes of one instance write, per job.

    Parameters
    ----------
    storage : Storage
        The workspace's storage.
    folder : pathlib.Path
        Where logs are kept before they are published, if the storage is not local.
    instance : str
        Part of the logs' names.
    """

    def __init__(self, storage: Storage, folder: Path, instance: str) -> None:
        self._storage = storage
        self._folder = folder
        self._instance = instance
        self._lock = threading.Lock()
        self._published: dict[Path, tuple[int, float]] = {}

    def path(self, job: str, pid: int) -> Path:
        """Return the local file that process `pid` writes to while it works for `job`."""
        name = f"{self._instance}-{pid}.log"
        if self._storage.is_local:
            file = Path(JobFolder(self._storage, job).url("logs", name))
        else:
            file = self._folder / job / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return file

    def publish(self, *, all_now: bool = False) -> None:
        """Copy logs that have grown to their jobs' folders, if those are remote; at most every few seconds a file.

        Parameters
        ----------
        all_now : bool
            Do not wait: the processes are ending.
        """
        if self._storage.is_local:
            return
        for file in self._folder.glob("*/*.log"):
            with self._lock:
                size, when = self._published.get(file, (0, 0.0))
                now = time.monotonic()
                early = size and now - when < _PUBLISH_EVERY_S and not all_now
                content = b"" if early else file.read_bytes()
                if early or len(content) == size:
                    continue
                self._published[file] = (size, now)
            try:
                self._storage.put(JobFolder(self._storage, file.parent.name).path("logs", file.name), content)
                self._published[file] = (len(content), now)
            except Exception:
                # It is copied later; it must not fail what was scored. Clients of stores raise errors of any type.
                log.warning("log %s could not be copied yet", file.name, exc_info=True)

"""Where hosts and instances on SLURM leave files for each other, on the file system that all nodes share."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from dask_batch.storage import Storage

__all__ = ["host_folder", "meeting_folder"]


def host_folder(storage: Storage, user: str, compute: str) -> str:
    """Return the folder, on the shared file system, of all that hosts and instances of a compute leave there.

    It is in the workspace's root; where that is remote, in the user's home.
    """
    if storage.is_local:
        return storage.url(f"hosts/{compute}/{user}/slurm")
    digits = hashlib.sha256(storage.root.encode()).hexdigest()[:16]
    return str(Path.home() / ".dask-batch" / "slurm" / digits / compute / user)


def meeting_folder(storage: Storage, user: str, compute: str, epoch: int) -> str:
    """Return the folder where the host of an epoch and its instances meet."""
    return os.path.join(host_folder(storage, user, compute), f"e{epoch}")

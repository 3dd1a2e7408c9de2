"""Files of a file system, each operation so that a crash or a neighbour at work does not spoil it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

__all__ = ["read_file", "remove_folder", "sync_folder", "unlink", "write_synced"]

_REMOVALS = 20


def write_synced(path: str, content: bytes) -> None:
    """Write a new file, and its folder if there is none; when this returns the content is on disk."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        handle = os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        handle = os.open(path, flags, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def unlink(path: str) -> None:
    """Remove a file; nothing happens if it is not there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def remove_folder(path: str) -> None:
    """Remove a folder, also while others write or remove files in it: they must not make it half a removal."""
    for _ in range(_REMOVALS):
        shutil.rmtree(path, ignore_errors=True)  # which goes on where another one was quicker
        if not os.path.lexists(path):
            return
        try:
            shutil.rmtree(path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        if not os.path.lexists(path):
            return
    shutil.rmtree(path)


def read_file(path: str) -> bytes:
    """Return the content of a file."""
    with open(path, "rb") as file:
        return file.read()


def sync_folder(path: str) -> None:
    """Bring the names in a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

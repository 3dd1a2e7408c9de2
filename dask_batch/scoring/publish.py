"""Putting finished files into the job's folder, local or remote, whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable
from typing import Any, TypeVar

from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.files import is_local, local_path, locate
from dask_batch.scoring.transient import is_transient

__all__ = ["Publisher", "has_no_room", "not_written", "writing"]

T = TypeVar("T")

_NEXT_STEP = {
    errno.ENOSPC: "make room there, then resume the job",
    errno.EDQUOT: "the quota is used up: make room there, then resume the job",
    errno.EACCES: "give the job's owner permission to write there, then resume the job",
    errno.EPERM: "give the job's owner permission to write there, then resume the job",
    errno.EROFS: "make it writable, then resume the job",
}
_ATTEMPTS = 5
_FEW = 8


def writing(path: str, action: Callable[[], T], *, attempts: int = 1) -> T:
    """Return what `action` returns; a failure becomes `ChunkFailed`, naming the path, the reason and the next step.

    Parameters
    ----------
    path : str
        What is being written.
    action : callable
        Writes it.
    attempts : int
        How often a transient failure is tried, with doubling waits from 0.1 s.
    """
    for n in range(1, attempts + 1):
        try:
            return action()
        except Exception as error:
            transient = is_transient(error)
            if not transient or n == attempts:
                raise not_written(path, error, transient) from error
        time.sleep(0.1 * 2 ** (n - 1))
    raise AssertionError("unreachable")


def has_no_room(error: Exception) -> bool:
    """Return whether a disk of this machine takes nothing more."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def not_written(path: str, error: Exception, transient: bool = False) -> ChunkFailed:
    """Return the error for a file that could not be written: it names the path, the reason and the next step."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (os.strerror(number) if number else "") or str(error) or type(error).__name__
    step = _NEXT_STEP.get(number or 0, "resume the job when that is mended")
    return ChunkFailed(f"cannot write {path}: {reason}; {step}", stage="write", transient=transient)


class Publisher:
    """Puts files into one folder under names that nobody else uses.

    On local file systems a file appears by rename, and is on disk when `flush` returns; on object stores it appears
    when its upload is complete.

    Parameters
    ----------
    folder : str
        A local folder or an fsspec URL.
    """

    def __init__(self, folder: str) -> None:
        self._url = folder.rstrip("/")
        self._local = local_path(folder) if is_local(folder) else None
        self._folders: set[str] = set()

    def content(self, content: bytes, name: str) -> None:
        """Publish bytes as `name`, relative to the folder."""
        if self._local is None:
            self._remote(name, lambda fs, path: fs.pipe_file(path, content))
            return
        self._at(name, lambda temporary: _write(temporary, content))

    def file(self, source: str, name: str) -> None:
        """Publish the local file `source` as `name`; it may be moved."""
        if self._local is None:
            self._remote(name, lambda fs, path: fs.put_file(source, path))
            return
        self._at(name, lambda temporary: _move(source, temporary, sync=True))

    def tree(self, source: str, names: list[str], name: str) -> None:
        """Publish the files `names` of the local folder `source` below the folder `name`; they may be moved."""
        if self._local is None:
            sources = [os.path.join(source, file) for file in names]
            self._remote(name, lambda fs, path: fs.put(sources, [f"{path}/{file}" for file in names]))
            return
        for file in names:
            target = os.path.join(self._local, name, file)
            writing(target, lambda file=file, target=target: self._place(os.path.join(source, file), target, names))  # type: ignore[misc]
        if len(names) > _FEW:
            writing(self._local, lambda: _sync_file_system(os.path.join(str(self._local), name)))

    def flush(self) -> None:
        """Make the names of published files durable."""
        for folder in self._folders:
            writing(folder, lambda folder=folder: _sync(folder))  # type: ignore[misc]
        self._folders.clear()

    def _place(self, source: str, target: str, names: list[str]) -> None:
        self._make_folder(os.path.dirname(target))
        # One fsync a file is slow for many: then the whole file system is synced once.
        _move(source, target, sync=len(names) <= _FEW)

    def _remote(self, name: str, action: Callable[[Any, str], None]) -> None:
        url = f"{self._url}/{name}"

        def attempt() -> None:
            fs, path = locate(url)
            action(fs, path)

        writing(url, attempt, attempts=_ATTEMPTS)

    def _at(self, name: str, write: Callable[[str], None]) -> None:
        target = os.path.join(str(self._local), name)
        temporary = os.path.join(os.path.dirname(target), f".tmp-{secrets.token_hex(8)}")

        def attempt() -> None:
            self._make_folder(os.path.dirname(target))
            try:
                write(temporary)
                os.replace(temporary, target)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise

        writing(target, attempt)

    def _make_folder(self, folder: str) -> None:
        if folder not in self._folders:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            self._folders.add(folder)


def _write(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _move(source: str, target: str, *, sync: bool) -> None:
    """Rename, or copy across file systems."""
    if sync:
        _sync(source)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, target)
        os.chmod(target, 0o600)
        if sync:
            _sync(target)
        os.unlink(source)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_file_system(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):
            os.sync()
        elif libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(handle)

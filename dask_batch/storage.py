"""The storage of a workspace: the only meeting place of clients and hosts.

Everything that must survive a crash is written by one of two verbs:

* `Storage.create` writes a file only if no file has that name: the decision primitive. On file systems it is a
  temporary file, fsync, and ``link()``; on object stores a conditional PUT (fsspec's ``mode="create"``).
* `Storage.put` replaces a file as a whole: readers see the old or the new content, never a mixture.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import posixpath
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, TypeVar, cast

import fsspec

from dask_batch.errors import MissingExtra, StorageError, StorageUnsafe
from dask_batch.localfiles import read_file, remove_folder, sync_folder, unlink, write_synced
from dask_batch.scoring.files import is_local, local_path, locate
from dask_batch.scoring.transient import is_transient

__all__ = [
    "TEMPORARY",
    "Storage",
    "is_local",
    "is_transient",
    "join",
    "local_path",
    "locate",
    "missing_extra",
    "retry",
    "unreachable",
]

T = TypeVar("T")
TEMPORARY = ".tmp-"


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}


def missing_extra(url: str, error: ImportError) -> MissingExtra:
    """Return the error for a URL whose protocol needs a package that is not installed."""
    extra = _EXTRAS.get(url.partition("://")[0])
    install = f"pip install 'dask-batch[{extra}]'" if extra else "install it"
    return MissingExtra(f"{url!r} needs a package that is not installed ({error}): {install}")


def unreachable(url: str, error: Exception) -> str:
    """Return what to tell of a store that refuses or does not answer; the errors of its client may be of any type.

    fsspec keeps one client for each set of arguments, with the credentials and endpoint that it once found. All of this
    store's are dropped, so that who mends the environment and tries again in the same process is heard.
    """
    fsspec.get_filesystem_class(url.rsplit("::", maxsplit=1)[-1].partition("://")[0]).clear_instance_cache()
    reason = getattr(error, "strerror", None) or error
    return (
        f"{url!r} cannot be read: {type(error).__name__}: {reason}; "
        "check the URL, and the store's credentials and endpoint (environment variables, or fsspec's configuration)"
    )


def retry(attempt: Callable[[], T], *, times: int = 5, first_wait_s: float = 0.1) -> T:
    """Return what `attempt` returns, after up to `times` attempts with doubling waits between.

    Only transient errors (`is_transient`) are tried again; the last error is raised as it is.
    """
    for n in range(times - 1):
        try:
            return attempt()
        except Exception as error:
            if not is_transient(error):
                raise
            time.sleep(first_wait_s * 2**n)
    return attempt()


def join(*parts: str) -> str:
    """Join path parts with ``/``, on any store.

    Examples
    --------
    >>> join("s3://bucket/x/", "jobs", "a.json")
    's3://bucket/x/jobs/a.json'
    """
    rest = "/".join(part.strip("/") for part in parts[1:] if part)
    if not parts[0]:
        return rest
    first = parts[0].rstrip("/")
    return f"{first}/{rest}" if rest else first or "/"


class Storage:
    """Files below one root, on any file system that fsspec knows.

    Parameters
    ----------
    root : str
        A local folder or an fsspec URL, such as ``s3://bucket/prefix``. Credentials and endpoints come from
        fsspec's own configuration and the environment; they are never stored.

    Raises
    ------
    StorageError
        The protocol is unknown.
    MissingExtra
        The package for it is not installed.
    """

    def __init__(self, root: str) -> None:
        self.is_local = is_local(root)
        self.root = local_path(root) if self.is_local else root.rstrip("/")
        try:
            self._fs, self._base = locate(self.root)
        except ImportError as error:
            raise missing_extra(root, error) from error
        except ValueError as error:
            raise StorageError(f"{root!r} cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"Storage({self.root!r})"

    # -- names ---------------------------------------------------------------------------------------------------

    def url(self, name: str) -> str:
        """Return the path or URL under which anybody else can open `name`."""
        return join(self.root, name)

    def _path(self, name: str) -> str:
        return join(self._base, name) if name else self._base

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, name: str) -> bytes:
        """Return the content of `name`. Raises FileNotFoundError if it does not exist."""
        if self.is_local:
            return retry(lambda: read_file(self._path(name)))
        self._fs.invalidate_cache(posixpath.dirname(self._path(name)))
        return cast(bytes, retry(lambda: self._fs.cat_file(self._path(name))))

    def read_json(self, name: str) -> Any:
        """Return the JSON document in `name`. Raises FileNotFoundError if it does not exist."""
        return json.loads(self.read(name))

    def find_json(self, name: str) -> Any | None:
        """Return the JSON document in `name`, or None if there is no such file."""
        try:
            return self.read_json(name)
        except FileNotFoundError:
            return None

    def exists(self, name: str) -> bool:
        """Return whether a file or folder has this name."""
        if self.is_local:
            return os.path.lexists(self._path(name))
        self._fs.invalidate_cache(posixpath.dirname(self._path(name)))
        return bool(retry(lambda: self._fs.exists(self._path(name))))

    def list(self, folder: str) -> list[str]:
        """Return the sorted names of what is directly in `folder`; none if there is no such folder."""
        try:
            if self.is_local:
                found = os.listdir(self._path(folder))
            else:
                found = [
                    posixpath.basename(path.rstrip("/"))
                    for path in retry(lambda: self._fs.ls(self._path(folder), detail=False, refresh=True))
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in found if name and not name.startswith(TEMPORARY))

    def unfinished(self, folder: str) -> tuple[str, ...]:
        """Return the names of temporary files in `folder`: of writers at work, and of those that died over it."""
        if not self.is_local:
            return ()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return tuple(name for name in os.listdir(self._path(folder)) if name.startswith(TEMPORARY))
        return ()

    def size(self, name: str) -> int:
        """Return the size of a file in bytes."""
        if self.is_local:
            return os.stat(self._path(name)).st_size
        return int(retry(lambda: self._fs.info(self._path(name), refresh=True))["size"])

    def modified(self, name: str) -> datetime:
        """Return when the store last wrote `name`, by the store's own clock."""
        if self.is_local:
            return datetime.fromtimestamp(os.stat(self._path(name)).st_mtime, UTC)
        self._fs.invalidate_cache(posixpath.dirname(self._path(name)))
        when = retry(lambda: self._fs.modified(self._path(name)))
        return cast(datetime, when if when.tzinfo else when.replace(tzinfo=UTC))

    def open_read(self, name: str) -> BinaryIO:
        """Open a file for reading bytes."""
        if self.is_local:
            return open(self._path(name), "rb")
        return cast(BinaryIO, retry(lambda: self._fs.open(self._path(name), "rb")))

    # -- writing -------------------------------------------------------------------------------------------------

    def create(self, name: str, content: bytes) -> bool:
        """Write `name` only if nothing has that name; return whether this call wrote it.

        Of any number of concurrent callers with different content exactly one gets True; those with the very content
        that is there may get it too. When it returns, the content is on disk.
        """
        if self.is_local:
            return self._create_local(self._path(name), content)
        return self._create_remote(self._path(name), content)

    def create_json(self, name: str, document: Any) -> bool:
        """Write a JSON document as `create` does."""
        return self.create(name, _to_json(document))

    def put(self, name: str, content: bytes) -> None:
        """Write `name` as a whole, replacing what is there."""
        path = self._path(name)
        if self.is_local:
            retry(lambda: self._put_local(path, content))
        else:
            retry(lambda: self._fs.pipe_file(path, content))

    def put_json(self, name: str, document: Any) -> None:
        """Write a JSON document as `put` does."""
        self.put(name, _to_json(document))

    def open_write(self, name: str) -> BinaryIO:
        """Open a file that nobody else writes for writing bytes. On object stores it appears when closed."""
        path = self._path(name)
        if self.is_local:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            return open(path, "wb")
        return cast(BinaryIO, self._fs.open(path, "wb"))

    def copy(self, source: str, target: str) -> None:
        """Copy a file within the store."""
        if self.is_local:
            os.makedirs(os.path.dirname(self._path(target)), exist_ok=True)
            shutil.copyfile(self._path(source), self._path(target))
        else:
            retry(lambda: self._fs.cp_file(self._path(source), self._path(target)))

    def remove(self, name: str) -> None:
        """Remove a file or a whole folder; nothing happens if it is not there."""
        path = self._path(name)
        with contextlib.suppress(FileNotFoundError):
            if not self.is_local:
                retry(lambda: self._fs.rm(path, recursive=True))
            elif os.path.isdir(path) and not os.path.islink(path):
                remove_folder(path)
            else:
                os.unlink(path)

    def upload(self, local: str, name: str) -> None:
        """Copy a local file or folder to `name`, which must be a name that nobody else writes."""
        if not self.is_local:
            retry(lambda: self._fs.put(local, self._path(name), recursive=os.path.isdir(local)))
        elif os.path.isdir(local):
            shutil.copytree(local, self._path(name))
        else:
            os.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
            shutil.copyfile(local, self._path(name))

    def download(self, name: str, local: str) -> None:
        """Copy a file or folder to the local path `local`, which must not exist."""
        path = self._path(name)
        if self.is_local:
            shutil.copytree(path, local) if os.path.isdir(path) else shutil.copyfile(path, local)
        else:
            recursive = bool(retry(lambda: self._fs.isdir(path)))
            retry(lambda: self._fs.get(path.rstrip("/") + "/" if recursive else path, local, recursive=recursive))

    def walk(self, folder: str) -> Iterator[str]:
        """Yield the names of all files below `folder`, sorted, relative to the root."""
        if self.is_local:
            base = self._path(folder)
            for parent, folders, files in os.walk(base):
                folders.sort()
                for file in sorted(files):
                    yield join(folder, os.path.relpath(os.path.join(parent, file), base))
            return
        base = self._path(folder)
        for path in sorted(retry(lambda: self._fs.find(base, refresh=True))):
            yield join(folder, path[len(base.rstrip("/")) + 1 :])

    # -- safety --------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Make sure that the root is there and can be written, and that `create` never replaces a file.

        Raises
        ------
        StorageError
            The root cannot be written.
        StorageUnsafe
            The store replaced a file where it had to refuse.
        """
        probe = "workspace.json"
        try:
            if self.is_local:
                os.makedirs(self.root, mode=0o700, exist_ok=True)
                if self.exists(probe):
                    return
            self.create_json(probe, {"format": 1, "id": secrets.token_hex(8)})
            replaced = self.create_json(probe, {"format": 1, "id": secrets.token_hex(8)})
        except Exception as error:
            reason = getattr(error, "strerror", None) or error
            raise StorageError(
                f"storage root {self.root!r} cannot be written: {reason}; allow writing there, or name another"
            ) from error
        if replaced:
            raise StorageUnsafe(
                f"storage root {self.root!r} has no create-if-absent, so a job's rows could be written twice; "
                "use a POSIX file system, or an object store with conditional writes (S3, GCS, Azure)"
            )

    def _create_local(self, path: str, content: bytes) -> bool:
        if os.path.lexists(path):
            return False
        temporary = retry(lambda: self._write_temporary(path, content))
        try:
            retry(lambda: os.link(temporary, path))
        except FileExistsError:
            # On a network file system the answer may have been lost, and this be the second request.
            if os.stat(temporary).st_nlink < 2:
                return False
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
                raise StorageUnsafe(
                    f"the file system of {path!r} has no hard links, which create-if-absent needs; "
                    "put the workspace on another one"
                ) from error
            raise
        finally:
            unlink(temporary)
        retry(lambda: sync_folder(os.path.dirname(path)))
        return True

    def _put_local(self, path: str, content: bytes) -> None:
        temporary = self._write_temporary(path, content)
        try:
            os.replace(temporary, path)
        except BaseException:
            unlink(temporary)
            raise

    def _create_remote(self, path: str, content: bytes) -> bool:
        def attempt() -> bool:
            try:
                self._fs.pipe_file(path, content, mode="create")
            except FileExistsError:
                # After a lost answer, which the store's client may have answered by trying again, it was us who won.
                return bytes(self._fs.cat_file(path)) == content
            return True

        return retry(attempt)

    def _write_temporary(self, path: str, content: bytes) -> str:
        temporary = os.path.join(os.path.dirname(path), f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            write_synced(temporary, content)
        except BaseException as error:
            unlink(temporary)
            if isinstance(error, OSError) and error.errno is not None:
                # Of a disk that is full the system names no path at all, and otherwise that of a temporary file.
                raise OSError(error.errno, error.strerror, path) from error
            raise
        return temporary


def _to_json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

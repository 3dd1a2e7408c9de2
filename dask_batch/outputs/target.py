"""The output place: new files are made beside the old ones, then moved into place, then ``_SUCCESS`` is written.

On an object store a file appears when it is complete, and moving one means copying it; so files that replace nothing
are written under their names at once.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from dask_batch.errors import StorageError
from dask_batch.storage import Storage, is_local, join, local_path, locate

__all__ = [
    "OWNER",
    "REPLACED",
    "STAGING",
    "SUCCESS",
    "append_files",
    "marker",
    "move",
    "naming",
    "old_files",
    "prune",
    "remove_staged",
    "staging_folder",
    "writing",
]

OWNER = "_owner.json"
SUCCESS = "_SUCCESS"
STAGING = ".dask-batch-"
REPLACED = f"{STAGING}replaced.json"
_COPY_BYTES = 8 << 20


@contextmanager
def naming(url: str) -> Iterator[None]:
    """Turn an error of the file system into a StorageError that names `url` and says what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            error.errno,
            f"output {url!r} cannot be written: {reason}; make room or allow writing there, then resume the job",
        ) from error


@contextmanager
def writing(url: str) -> Iterator[BinaryIO]:
    """Open a new file for writing; when the block ends without an error it is complete and on disk."""
    with naming(url):
        if is_local(url):
            path = local_path(url)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            return
        fs, path = locate(url)
        remote: Any = fs.open(path, "wb")
        try:
            yield remote
        except BaseException:
            remote.discard()
            remote.closed = True  # or its destructor would complete it
            raise
        remote.close()


def append_files(sources: Iterable[str], target: BinaryIO) -> None:
    """Copy the content of files, one after the other, to an open file."""
    for url in sources:
        fs, path = locate(url)
        with fs.open(path, "rb") as file:
            shutil.copyfileobj(file, target, _COPY_BYTES)


def move(source: str, target: str) -> None:
    """Move a file into place within one store, over what is there; nothing happens if that was done already."""
    with naming(target):
        if is_local(source):
            if not os.path.lexists(local_path(source)) and os.path.lexists(local_path(target)):
                return
            parent = os.path.dirname(local_path(target))
            if os.path.isfile(parent):
                os.unlink(parent)
            os.makedirs(parent, exist_ok=True)
            if os.path.isdir(local_path(target)) and not os.path.islink(local_path(target)):
                shutil.rmtree(local_path(target))
            os.replace(local_path(source), local_path(target))
            return
        fs, path = locate(source)
        fs.invalidate_cache()
        if not fs.exists(path) and fs.exists(locate(target)[1]):
            return
        fs.cp_file(path, locate(target)[1])
        fs.rm_file(path)


def staging_folder(job: str, run: int) -> str:
    """Return a new name, within an output place, for the folder of what one attempt has not put in place yet."""
    return f"{STAGING}{job}-{run}-{secrets.token_hex(4)}"


def remove_staged(place: Storage, job: str, before: int) -> None:
    """Remove what attempts for runs of a job below `before` left unfinished, so that there is room for what comes now.

    These runs are closed. Of the same run another host may be at work.
    """
    names = re.compile(rf"{re.escape(STAGING + job)}-(\d+)-[0-9a-f]{{8}}")
    with naming(place.root):
        for name in place.list(""):
            if (match := names.fullmatch(name)) and int(match[1]) < before:
                place.remove(name)


def old_files(place: Storage, file_name: str | None) -> set[str]:
    """Return the files that earlier jobs left under the names of outputs, relative to the place.

    What a writer that died left unfinished is one of them: whoever is at work has finished before these are removed.
    """
    manifest = marker(place)
    found = set(manifest.get("files", [])) | set(place.find_json(REPLACED) or [])
    if file_name and place.exists(file_name):
        below = set(place.walk(file_name))
        found |= below or {file_name}
    return found | set(place.unfinished(""))


def marker(place: Storage) -> dict[str, Any]:
    """Return what ``_SUCCESS`` says; nothing if there is none, or another system wrote it."""
    try:
        record = place.find_json(SUCCESS)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def prune(place: Storage, old: Iterable[str], new: set[str]) -> None:
    """Remove old outputs that no new file has replaced, and whatever unfinished attempts left."""
    for name in sorted(set(old) - new):
        # A file may have become a folder, or a folder a file.
        if name.rpartition("/")[0] not in new and not any(other.startswith(f"{name}/") for other in new):
            place.remove(name)
    if is_local(place.root):
        for name in os.listdir(place.root):
            if name.startswith(STAGING):
                place.remove(name)
        return
    fs, base = locate(place.root)
    for path in fs.ls(base, detail=False, refresh=True):
        name = path.rstrip("/").rsplit("/", 1)[-1]
        if name.startswith(STAGING):
            fs.rm(join(base, name), recursive=True)

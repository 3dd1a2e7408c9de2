"""Files below local folders and matching local patterns, one at a time.

Hidden names (``.git``) and names that begin with ``_`` (``_SUCCESS``, ``_temporary``) are left out wherever nobody
wrote them down: below a folder, and where a wildcard would match them.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Iterator

from dask_batch.errors import InputError

__all__ = ["fixed_part", "is_left_out", "is_pattern", "match_local", "scan_folder", "walk_local"]

_MAGIC = re.compile(r"[*?[]")
_NOTHING = os.stat_result((stat.S_IFREG, 0, 0, 0, 0, 0, 0, 0, 0, 0))


def is_pattern(path: str) -> bool:
    """Return whether `path` has a wildcard in it.

    Examples
    --------
    >>> is_pattern("/data/*.csv"), is_pattern("/data/a.csv")
    (True, False)
    """
    return _MAGIC.search(path) is not None


def is_left_out(name: str) -> bool:
    """Return whether files and folders of this name are passed over below a folder.

    Examples
    --------
    >>> is_left_out("_SUCCESS"), is_left_out(".git"), is_left_out("a_b.csv")
    (True, True, False)
    """
    return name.startswith((".", "_"))


def fixed_part(pattern: str) -> str:
    """Return the folder that everything matching `pattern` lies in.

    Examples
    --------
    >>> fixed_part("/data/2026-*/x.csv"), fixed_part("s3://b/in/*.csv")
    ('/data', 's3://b/in')
    """
    return pattern[: _MAGIC.search(pattern).start()].rpartition("/")[0] if is_pattern(pattern) else pattern  # type: ignore[union-attr]


def walk_local(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each usable file below `folder` with its status, in no particular order.

    Links to files and folders are followed, and each folder is visited once, so a link that leads back up ends
    nowhere. A link that leads to nothing is yielded with size 0: that it cannot be read belongs in the job's errors.

    Raises
    ------
    InputError
        A folder cannot be read.
    """
    visited: set[tuple[int, int]] = set()
    own, linked = [folder], list[str]()
    while own or linked:
        # Real folders first, then links by name: which of two ways to a folder counts never depends on chance.
        if not own:
            linked.sort(reverse=True)
        current = own.pop() if own else linked.pop()
        identity = _identity(current)
        if identity in visited:
            continue
        visited.add(identity)
        for entry in scan_folder(current):
            if is_left_out(entry.name):
                continue
            if entry.is_dir():
                (linked if entry.is_symlink() else own).append(entry.path)
            elif (status := file_status(entry)) is not None:
                yield entry.path, status


def _identity(folder: str) -> tuple[int, int]:
    try:
        status = os.stat(folder)
    except OSError as error:
        raise _unreadable(folder, error) from error
    return status.st_dev, status.st_ino


def scan_folder(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder. Raises InputError, naming it, if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: str, error: OSError) -> InputError:
    return InputError(
        f"input folder {folder!r} cannot be read: {error.strerror}; allow reading it, or name other folders as input"
    )


def file_status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of a file, of nothing for a link to nothing, and None for pipes, sockets and devices."""
    try:
        status = entry.stat()
    except OSError:
        return _NOTHING
    return status if stat.S_ISREG(status.st_mode) else None


def match_local(pattern: str) -> Iterator[str]:
    """Yield the local paths that match an absolute `pattern` (``*``, ``?``, ``[…]``, ``**`` for any depth)."""
    yield from _match("/", [part for part in pattern.split("/") if part])


def _match(base: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield base
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        yield from _match_deep(base, rest)
    elif not is_pattern(head):
        path = os.path.join(base, head)
        if os.path.isdir(path) if rest else os.path.lexists(path):
            yield from _match(path, rest)
    else:
        yield from _match_wildcard(base, head, rest)


def _match_wildcard(base: str, head: str, rest: list[str]) -> Iterator[str]:
    matches = re.compile(fnmatch.translate(head)).match
    for entry in scan_folder(base):
        if matches(entry.name) and (not is_left_out(entry.name) or entry.name[0] == head[0]):
            if not rest:
                yield entry.path
            elif entry.is_dir():
                yield from _match(entry.path, rest)


def _match_deep(base: str, rest: list[str]) -> Iterator[str]:
    if not rest:
        yield base
        return
    yield from _match(base, rest)
    for entry in scan_folder(base):
        # Links are not followed here: a pattern would match the same files again at every depth.
        if entry.is_dir(follow_symlinks=False) and not is_left_out(entry.name):
            yield from _match_deep(entry.path, rest)

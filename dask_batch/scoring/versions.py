"""Whether an input is still the one that was planned: two versions of a file are never mixed in one job."""

from __future__ import annotations

import os
from typing import Any

from dask_batch.scoring.files import is_local, local_path, locate

__all__ = ["InputChanged", "InputGone", "check_unchanged", "version_of"]


class InputChanged(Exception):
    """An input file is not the one that the plan was made from."""


class InputGone(FileNotFoundError):
    """An input file that the plan names is not there any more."""


def version_of(info: dict[str, Any]) -> str:
    """Return what changes when a remote file does, from its fsspec `info`; ``""`` if nothing tells.

    Examples
    --------
    >>> version_of({"ETag": '"9b2c"'}), version_of({"size": 3})
    ('9b2c', '')
    """
    for key in ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created"):
        if value := info.get(key):
            return str(value).strip('"')
    return ""


def check_unchanged(split: dict[str, Any]) -> None:
    """Compare a file with what the plan says of it; costs one ``stat``, or one request for a remote file.

    Parameters
    ----------
    split : dict
        ``path``, ``size`` in bytes, and ``version``: modification time in ns or an etag; ``""`` is not compared.

    Raises
    ------
    InputChanged
        Size or version differ.
    InputGone
        The file does not exist.
    OSError
        It cannot be looked at.
    """
    path: str = split["path"]
    try:
        size, version = _local_state(path) if is_local(path) else _remote_state(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputGone(f"{path} was there when the job was planned and is missing now") from error
    if size is not None and size != split["size"]:
        raise InputChanged(f"{path} changed since the plan: it had {split['size']:,} bytes and has {size:,} now")
    if split["version"] and version and version != split["version"]:
        raise InputChanged(f"{path} changed since the plan: it has the same size, and was written again")


def _local_state(path: str) -> tuple[int, str]:
    status = os.stat(local_path(path) if "://" in path else path)
    return status.st_size, str(status.st_mtime_ns)


def _remote_state(path: str) -> tuple[int | None, str]:
    fs, name = locate(path)
    fs.invalidate_cache(name.rsplit("/", 1)[0])
    info = fs.info(name)
    size = info.get("size")
    return (None if size is None else int(size)), version_of(info)

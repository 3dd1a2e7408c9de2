"""What the environment says: the ``DASK_BATCH_*`` variables, each read in one place.

==========================  ======================================================================
``DASK_BATCH_ROOT``         storage root of the workspace, any fsspec URL (default ``~/.dask-batch``)
``DASK_BATCH_CATALOG``      SQLAlchemy URL of the catalog (default SQLite under a local root)
``DASK_BATCH_USER``         who owns jobs and hosts (default: the login name)
``DASK_BATCH_SCRATCH``      folder on a local disk for scratch files and caches (default: the cache folder of the user)
``DASK_BATCH_ENVIRONMENTS`` folder of built environments (default: in the scratch folder)
``DASK_BATCH_HOST_IDLE``    seconds a host without work stays (default 30)
``DASK_BATCH_PROCESS_IDLE`` seconds an idle scoring process keeps its model (default 60)
``DASK_BATCH_LOG_LIMIT``    bytes that one scoring process may leave in a job's log (default 64 MiB)
==========================  ======================================================================
"""

from __future__ import annotations

import getpass
import os
from pathlib import Path

from dask_batch.errors import InvalidDefinition

__all__ = [
    "catalog_url",
    "environments_folder",
    "host_idle_s",
    "log_limit_bytes",
    "process_idle_s",
    "root_url",
    "scratch_folder",
    "user",
]


def root_url() -> str:
    """Return the default storage root."""
    return os.environ.get("DASK_BATCH_ROOT") or str(Path.home() / ".dask-batch")


def catalog_url() -> str | None:
    """Return the catalog that the environment names, if it names one."""
    return os.environ.get("DASK_BATCH_CATALOG") or None


def user() -> str:
    """Return who owns the jobs and hosts started here, as a name that is safe in a path."""
    name = os.environ.get("DASK_BATCH_USER") or _login_name()
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name) or "user"


def _login_name() -> str:
    # A container may run under a user id that has no name.
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"


def scratch_folder() -> Path:
    """Return the folder on a local disk for scratch files and caches; it may not exist yet."""
    named = os.environ.get("DASK_BATCH_SCRATCH")
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "dask-batch"


def environments_folder() -> Path:
    """Return the folder of built environments; it may not exist yet."""
    named = os.environ.get("DASK_BATCH_ENVIRONMENTS")
    return Path(named).absolute() if named else scratch_folder() / "environments"


def host_idle_s() -> float:
    """Return how many seconds a host without work stays."""
    return _number("DASK_BATCH_HOST_IDLE", 30.0)


def process_idle_s() -> float:
    """Return how many seconds an idle scoring process keeps its model."""
    return _number("DASK_BATCH_PROCESS_IDLE", 60.0)


def log_limit_bytes() -> int:
    """Return how many bytes one scoring process may leave in a job's log."""
    return int(_number("DASK_BATCH_LOG_LIMIT", float(64 << 20)))


def _number(name: str, default: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise InvalidDefinition(f"{name}={text!r} is not a number; unset it or give one") from None
    if value < 0:
        raise InvalidDefinition(f"{name}={text!r} is negative; unset it or give a number of 0 or more")
    return value

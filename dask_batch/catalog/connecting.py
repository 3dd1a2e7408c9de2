"""From a catalog's URL to an SQLAlchemy engine that opens connections the way the catalog needs them."""

from __future__ import annotations

import contextlib
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from dask_batch.errors import CatalogError, MissingExtra

__all__ = ["WRITING", "make_engine", "parse_url", "sqlite_path"]

WRITING = "dask_batch_writing"
"""The execution option of a connection whose transactions write."""

# A frozen client must not hold a row for ever: the server ends its transaction.
_POSTGRES_LIMITS = (
    "SELECT set_config('lock_timeout', '{wait_ms}ms', true), "
    "set_config('idle_in_transaction_session_timeout', '60s', true)"
)

_FORMS = "give sqlite:////absolute/path/catalog.sqlite or postgresql://user@server/database"


def parse_url(address: str | os.PathLike[str]) -> URL:
    """Return the URL of a catalog, its driver filled in and a SQLite path made absolute.

    Parameters
    ----------
    address : str or path
        ``sqlite:////path/catalog.sqlite``, ``postgresql://…``, ``postgres://…`` or ``postgresql+psycopg://…``; or, as
        a path object, the file of a SQLite catalog.

    Raises
    ------
    CatalogError
        It is none of these.

    Examples
    --------
    >>> parse_url("sqlite:////srv/catalog.sqlite").database
    '/srv/catalog.sqlite'
    >>> parse_url("postgres://ana@db/team").drivername
    'postgresql+psycopg'
    """
    if not isinstance(address, str):
        return _sqlite_url(URL.create("sqlite"), os.fspath(address))
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        raise CatalogError(f"the catalog's address is not a database URL; {_FORMS}") from None
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            where = url.database or "memory"
            raise CatalogError(f"a catalog in {where!r} could not be shared between processes; {_FORMS}")
        return _sqlite_url(url, url.database)
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    raise CatalogError(f"a catalog cannot be kept in {url.drivername!r}; {_FORMS}")


def _sqlite_url(url: URL, path: str) -> URL:
    # Relative to where the process is now, not to where it may be later.
    return url.set(database=os.path.abspath(Path(path).expanduser()))


def sqlite_path(url: URL) -> Path | None:
    """Return the file of a SQLite catalog, None for a server."""
    return Path(str(url.database)) if url.get_backend_name() == "sqlite" else None


def make_engine(url: URL, wait_s: float) -> Engine:
    """Return an engine for `url`; nothing is connected yet, but a SQLite file is created if there is none.

    Each transaction has a connection of its own. That makes a catalog safe to use from threads and across forks, and
    leaves nothing open between calls: a team's notebooks do not exhaust the server's connections.

    Parameters
    ----------
    url : sqlalchemy.URL
        From `parse_url`.
    wait_s : float
        Seconds for which the database waits for a lock before a statement fails.

    Raises
    ------
    CatalogError
        The folder or file cannot be created.
    MissingExtra
        The driver for PostgreSQL is not installed.
    """
    path = sqlite_path(url)
    if path is None:
        return _postgres_engine(url, wait_s)
    _create_private(path)
    return _sqlite_engine(url, wait_s)


def _create_private(path: Path) -> None:
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Exclusively: closing a file that exists would drop the locks that other threads hold on it.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise CatalogError(
            f"catalog {str(path)!r} cannot be created: {error.strerror}: {error.filename!r}; name a place "
            "that you can write to, with DASK_BATCH_CATALOG or catalog="
        ) from error


def _sqlite_engine(url: URL, wait_s: float) -> Engine:
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": wait_s, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # The driver begins transactions on its own terms, and too late; `began` does it instead.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        # A transaction that reads and then writes would fail at once if another one wrote in between, whatever the
        # busy timeout; so the lock is taken first.
        writing = connection.get_execution_options().get(WRITING, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _postgres_engine(url: URL, wait_s: float) -> Engine:
    missing = MissingExtra(
        f"the catalog {url.render_as_string()!r} needs the PostgreSQL driver: pip install 'dask-batch[postgres]'"
    )
    if find_spec("psycopg") is None:
        raise missing
    try:
        # Without prepared statements, so that connection poolers such as PgBouncer are fine.
        engine = create_engine(
            url, poolclass=NullPool, isolation_level="READ COMMITTED", connect_args={"prepare_threshold": None}
        )
    except ImportError as error:  # the package is there, the library it binds is not
        raise missing from error

    limits = _POSTGRES_LIMITS.format(wait_ms=max(1, int(wait_s * 1000)))

    @event.listens_for(engine, "begin")
    def began(connection: Connection) -> None:
        connection.exec_driver_sql(limits)

    return engine

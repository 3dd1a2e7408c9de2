"""Transactions: run, tried again while somebody else has the lock, and errors put into words."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, Table
from sqlalchemy.exc import DataError, DBAPIError

from dask_batch.catalog.connecting import WRITING, make_engine, sqlite_path
from dask_batch.catalog.lockholders import lock_holders
from dask_batch.errors import CatalogError, InvalidDefinition

__all__ = ["Database", "insert_if_absent", "is_contention"]

T = TypeVar("T")

# SQLITE_BUSY, SQLITE_LOCKED and SQLITE_PROTOCOL, the low byte of extended codes: https://sqlite.org/rescode.html
_SQLITE_CONTENTION = {5, 6, 15}
# Serialization failure, deadlock, lock not available: https://www.postgresql.org/docs/current/errcodes-appendix.html
_POSTGRES_CONTENTION = {"40001", "40P01", "55P03"}

# The database waits so long itself, before the whole transaction is tried again.
_LOCK_WAIT_S = 2.0
_FIRST_WAIT_S = 0.01
_LONGEST_WAIT_S = 0.5


class Database:
    """The database of a catalog, safe to use from several threads.

    Parameters
    ----------
    url : sqlalchemy.URL
        From `connecting.parse_url`.
    patience_s : float
        Seconds for which a transaction is tried again while another one has the lock.

    Attributes
    ----------
    name : str
        The database for messages, without a password.
    is_postgres : bool
        Whether it is a PostgreSQL server.
    """

    def __init__(self, url: URL, patience_s: float) -> None:
        self._path = sqlite_path(url)
        self._patience_s = patience_s
        self._closed = False
        self.is_postgres = self._path is None
        self.name = str(self._path or url.render_as_string(hide_password=True))
        self._engine = make_engine(url, min(_LOCK_WAIT_S, patience_s))

    def close(self) -> None:
        """Refuse further transactions; those that run end as they would."""
        self._closed = True
        self._engine.dispose()

    def read(self, what: str, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, run in a transaction that only reads; see `write`."""
        return self._run(what, work, writing=False)

    def write(self, what: str, work: Callable[[Connection], T]) -> T:
        """Return what `work` returns, run in a transaction that is committed at its end.

        Parameters
        ----------
        what : str
            What is done, for messages: ``"create endpoint 'heart'"``.
        work : callable
            Takes the connection. It runs again if the database was busy, so it has no other effects. What it raises
            undoes the transaction.

        Raises
        ------
        CatalogError
            The catalog is closed, stays locked, or cannot be read or written.
        InvalidDefinition
            A text cannot be stored.
        """
        return self._run(what, work, writing=True)

    def _run(self, what: str, work: Callable[[Connection], T], *, writing: bool) -> T:
        deadline = time.monotonic() + self._patience_s
        wait_s = _FIRST_WAIT_S
        while True:
            if self._closed:
                raise CatalogError(f"catalog {self.name!r} is closed; open it again to {what}")
            try:
                return self._attempt(work, writing=writing)
            except DBAPIError as error:
                if not is_contention(error):
                    raise self._failure(what, error) from error
                if time.monotonic() >= deadline:
                    raise self._stays_locked(what) from error
            except UnicodeError as error:
                raise InvalidDefinition(f"cannot {what}: a text in it is not valid Unicode: {error}") from error
            # Spread out, so that those who wait do not all come back at the same moment.
            time.sleep(wait_s * random.uniform(0.5, 1.5))
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _attempt(self, work: Callable[[Connection], T], *, writing: bool) -> T:
        with self._engine.connect().execution_options(**{WRITING: writing}) as connection, connection.begin():
            return work(connection)

    def _failure(self, what: str, error: DBAPIError) -> Exception:
        reason = " ".join(str(error.orig).split())
        if isinstance(error, DataError):
            return InvalidDefinition(f"cannot {what}: a value in it cannot be stored: {reason}")
        step = (
            "check that the server runs, that the address is right and that you may use this database"
            if self.is_postgres
            else "check that the file is a catalog, that its disk has room and that you may write to it and its folder"
        )
        return CatalogError(f"cannot {what}: catalog {self.name!r} answers: {reason}; {step}")

    def _stays_locked(self, what: str) -> CatalogError:
        holders = lock_holders(self._path) if self._path else []
        by = f" by {', '.join(holders)}" if holders else ""
        step = (
            "end what holds it, or try again later"
            if holders or self.is_postgres
            else "if nothing else uses it, its file system has no working locks: put the catalog on a local disk, "
            "or use PostgreSQL (DASK_BATCH_CATALOG)"
        )
        return CatalogError(
            f"cannot {what}: catalog {self.name!r} has been locked{by} for {self._patience_s:.0f} s; {step}"
        )


def is_contention(error: DBAPIError) -> bool:
    """Return whether a statement failed only because another transaction had the lock."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_CONTENTION
    return getattr(error.orig, "sqlstate", None) in _POSTGRES_CONTENTION


def insert_if_absent(connection: Connection, table: Table, **values: object) -> bool:
    """Insert a row unless one with the same key exists, and return whether it was inserted.

    A transaction that is about to insert the same key is waited for.
    """
    # The module of one dialect alone: that of PostgreSQL takes a third of a second to import.
    dialect = importlib.import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
    # Inline: the generated key is not asked back, so the count of rows is that of the insertion.
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing().inline()
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1

"""Documents that change: what endpoints, deployments and computes have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, select, update

from dask_batch.catalog.database import insert_if_absent
from dask_batch.catalog.records import decode, encode, now
from dask_batch.errors import Refused

__all__ = ["Change", "change_document", "find_row", "insert_document", "lock_row", "names_of"]

Change = Mapping[str, Any] | Callable[[dict[str, Any]], Mapping[str, Any]]
"""A new document, or a function from the present document to the new one.

The function runs inside the transaction, and again if the database was busy: it is quick and does nothing else.
"""


def find_row(connection: Connection, table: Table, **key: str) -> Row[Any] | None:
    """Return the row of `table` with that key."""
    return connection.execute(select(table).where(_matches(table, key))).one_or_none()


def lock_row(connection: Connection, table: Table, **key: str) -> Row[Any] | None:
    """Return the row of `table` with that key; others who lock it wait until this transaction ends."""
    return connection.execute(select(table).where(_matches(table, key)).with_for_update()).one_or_none()


def names_of(connection: Connection, table: Table, **key: str) -> list[str]:
    """Return the names in `table`, only those with that key, sorted."""
    # Sorted here, because each database has its own order.
    return sorted(connection.execute(select(table.c.name).where(_matches(table, key))).scalars())


def insert_document(
    connection: Connection, table: Table, document: Mapping[str, Any], what: str, **key: str
) -> Row[Any] | None:
    """Insert a document at revision 1 and return its row, None if the key is taken."""
    time = now()
    text = encode(document, what)
    if not insert_if_absent(connection, table, **key, document=text, revision=1, created=time, updated=time):
        return None
    return find_row(connection, table, **key)


def change_document(
    connection: Connection, table: Table, change: Change, revision: int | None, what: str, **key: str
) -> Row[Any] | None:
    """Change a document and return its row, None if there is none.

    Raises
    ------
    Refused
        It is not at `revision`, if one is given.
    """
    row = lock_row(connection, table, **key)
    if row is None:
        return None
    if revision not in (None, row.revision):
        raise Refused(
            f"{what} has been changed by somebody else: it is at revision {row.revision}, the change was made for "
            f"revision {revision}; read it again and repeat the change"
        )
    document = change(decode(row.document)) if callable(change) else change
    values = {"document": encode(document, what), "revision": row.revision + 1, "updated": now()}
    connection.execute(update(table).where(_matches(table, key)).values(values))
    return find_row(connection, table, **key)


def _matches(table: Table, key: Mapping[str, str]) -> ColumnElement[bool]:
    return and_(True, *(table.c[column] == value for column, value in key.items()))

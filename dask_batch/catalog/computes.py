"""Computes in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from dask_batch.catalog import tables
from dask_batch.catalog.database import Database
from dask_batch.catalog.documents import Change, change_document, find_row, insert_document, names_of
from dask_batch.catalog.records import ComputeRecord, decode
from dask_batch.errors import AlreadyExists, NotFound, choose_from

__all__ = ["Computes"]


class Computes:
    """The computes of a catalog; reached as ``catalog.computes``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, document: Mapping[str, Any]) -> ComputeRecord:
        """Add a compute and return it; of any number of clients that create the same name exactly one succeeds.

        Parameters
        ----------
        name : str
            Its name, checked by the caller.
        document : mapping
            Its definition; anything that JSON can hold.

        Raises
        ------
        AlreadyExists
            There is a compute of that name.
        InvalidDefinition
            The document holds what JSON cannot hold.
        """

        def work(connection: Connection) -> ComputeRecord:
            row = insert_document(connection, tables.computes, document, f"compute {name!r}", name=name)
            if row is None:
                raise AlreadyExists(f"there is a compute {name!r} already; update it, or choose another name")
            return _record(row)

        return self._database.write(f"create compute {name!r}", work)

    def get(self, name: str) -> ComputeRecord:
        """Return a compute. Raises NotFound, with the names that exist."""

        def work(connection: Connection) -> ComputeRecord:
            return _record(_found(connection, name, find_row(connection, tables.computes, name=name)))

        return self._database.read(f"read compute {name!r}", work)

    def list(self) -> tuple[ComputeRecord, ...]:
        """Return all computes, sorted by name."""

        def work(connection: Connection) -> tuple[ComputeRecord, ...]:
            records = (_record(row) for row in connection.execute(select(tables.computes)))
            return tuple(sorted(records, key=lambda record: record.name))

        return self._database.read("list computes", work)

    def update(self, name: str, change: Change, *, revision: int | None = None) -> ComputeRecord:
        """Change the document of a compute and return the compute.

        Parameters
        ----------
        name : str
            Which compute.
        change : mapping or callable
            The new document, or a function from the present document to the new one (see `Change`).
        revision : int, optional
            Change it only if it is at this revision still.

        Raises
        ------
        NotFound
            There is no such compute.
        Refused
            It is at another revision.
        """
        what = f"compute {name!r}"

        def work(connection: Connection) -> ComputeRecord:
            row = change_document(connection, tables.computes, change, revision, what, name=name)
            return _record(_found(connection, name, row))

        return self._database.write(f"update {what}", work)

    def delete(self, name: str) -> None:
        """Delete a compute; deployments that name it stay. Raises NotFound."""

        def work(connection: Connection) -> None:
            gone = connection.execute(delete(tables.computes).where(tables.computes.c.name == name)).rowcount
            if not gone:
                raise _missing(connection, name)

        self._database.write(f"delete compute {name!r}", work)


def _missing(connection: Connection, name: str) -> NotFound:
    return NotFound(f"no compute {name!r}; {choose_from(name, names_of(connection, tables.computes), 'computes')}")


def _found(connection: Connection, name: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise _missing(connection, name)
    return row


def _record(row: Row[Any]) -> ComputeRecord:
    return ComputeRecord(row.name, decode(row.document), row.revision, row.created, row.updated)

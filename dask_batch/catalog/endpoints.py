"""Endpoints in the catalog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from dask_batch.catalog import tables
from dask_batch.catalog.database import Database
from dask_batch.catalog.documents import Change, change_document, find_row, insert_document, lock_row, names_of
from dask_batch.catalog.records import EndpointRecord, decode
from dask_batch.errors import AlreadyExists, NotFound, Refused, choose_from

__all__ = ["Endpoints", "Revision", "change_default", "no_deployment", "no_endpoint", "set_default"]

Revision = Callable[[dict[str, Any], str | None], tuple[Mapping[str, Any], str | None]]
"""From an endpoint's document and the name of its default deployment to new ones."""


class Endpoints:
    """The endpoints of a catalog; reached as ``catalog.endpoints``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, document: Mapping[str, Any], *, default: str | None = None) -> EndpointRecord:
        """Add an endpoint and return it; of any number of clients that create the same name exactly one succeeds.

        Parameters
        ----------
        name : str
            Its name, checked by the caller.
        document : mapping
            Its definition; anything that JSON can hold.
        default : str, optional
            The deployment that is to be its default, once it is there.

        Raises
        ------
        AlreadyExists
            There is an endpoint of that name.
        InvalidDefinition
            The document holds what JSON cannot hold.
        """

        def work(connection: Connection) -> EndpointRecord:
            row = insert_document(connection, tables.endpoints, document, f"endpoint {name!r}", name=name)
            if row is None:
                raise AlreadyExists(f"there is an endpoint {name!r} already; update it, or choose another name")
            set_default(connection, name, default)
            return _record(_found(connection, name, find_row(connection, tables.endpoints, name=name)))

        return self._database.write(f"create endpoint {name!r}", work)

    def get(self, name: str) -> EndpointRecord:
        """Return an endpoint. Raises NotFound, with the names that exist."""

        def work(connection: Connection) -> EndpointRecord:
            return _record(_found(connection, name, find_row(connection, tables.endpoints, name=name)))

        return self._database.read(f"read endpoint {name!r}", work)

    def list(self) -> tuple[EndpointRecord, ...]:
        """Return all endpoints, sorted by name."""

        def work(connection: Connection) -> tuple[EndpointRecord, ...]:
            records = (_record(row) for row in connection.execute(select(tables.endpoints)))
            return tuple(sorted(records, key=lambda record: record.name))

        return self._database.read("list endpoints", work)

    def update(self, name: str, change: Change, *, revision: int | None = None) -> EndpointRecord:
        """Change the document of an endpoint and return the endpoint; the default deployment stays.

        Parameters
        ----------
        name : str
            Which endpoint.
        change : mapping or callable
            The new document, or a function from the present document to the new one (see `Change`).
        revision : int, optional
            Change it only if it is at this revision still.

        Raises
        ------
        NotFound
            There is no such endpoint.
        Refused
            It is at another revision.
        """
        what = f"endpoint {name!r}"

        def work(connection: Connection) -> EndpointRecord:
            row = change_document(connection, tables.endpoints, change, revision, what, name=name)
            return _record(_found(connection, name, row))

        return self._database.write(f"update {what}", work)

    def revise(self, name: str, revision: Revision) -> EndpointRecord:
        """Change the document and the default deployment of an endpoint, all or nothing, and return the endpoint.

        Parameters
        ----------
        name : str
            Which endpoint.
        revision : callable
            From the present document and default to new ones. It runs in the transaction, as a `Change` does.

        Raises
        ------
        NotFound
            There is no such endpoint, or no such deployment.
        Refused
            There would be no default any more, and there is one.
        """
        what = f"endpoint {name!r}"

        def work(connection: Connection) -> EndpointRecord:
            row = _found(connection, name, lock_row(connection, tables.endpoints, name=name))
            present, standing = decode(row.document), row.default_deployment
            document, default = revision(present, standing)
            if default != standing:
                change_default(connection, name, standing, default)
            if dict(document) != present:
                change_document(connection, tables.endpoints, document, None, what, name=name)
            return _record(_found(connection, name, find_row(connection, tables.endpoints, name=name)))

        return self._database.write(f"update {what}", work)

    def delete(self, name: str) -> None:
        """Delete an endpoint and its deployments, all or nothing; jobs stay. Raises NotFound."""

        def work(connection: Connection) -> None:
            _found(connection, name, lock_row(connection, tables.endpoints, name=name))
            # The deployments go with it, by the foreign key.
            connection.execute(delete(tables.endpoints).where(tables.endpoints.c.name == name))

        self._database.write(f"delete endpoint {name!r}", work)


def no_endpoint(connection: Connection, name: str) -> NotFound:
    """Return the error for an endpoint that does not exist."""
    return NotFound(f"no endpoint {name!r}; {choose_from(name, names_of(connection, tables.endpoints), 'endpoints')}")


def no_deployment(connection: Connection, endpoint: str, name: str) -> NotFound:
    """Return the error for a deployment that its endpoint does not have."""
    known = choose_from(name, names_of(connection, tables.deployments, endpoint=endpoint), "deployments")
    return NotFound(f"endpoint {endpoint!r} has no deployment {name!r}; {known}")


def change_default(connection: Connection, endpoint: str, standing: str | None, name: str | None) -> None:
    """Make another deployment the default of an endpoint whose row is locked.

    Raises
    ------
    NotFound
        There is no such deployment.
    Refused
        None is to be it, and there is one.
    """
    if name is None:
        if standing is not None and find_row(connection, tables.deployments, endpoint=endpoint, name=standing):
            raise Refused(
                f"endpoint {endpoint!r} has a default deployment, {standing!r}, and those who invoke it rely on one; "
                "make another one the default, or delete the deployment"
            )
    elif find_row(connection, tables.deployments, endpoint=endpoint, name=name) is None:
        raise no_deployment(connection, endpoint, name)
    set_default(connection, endpoint, name)


def set_default(connection: Connection, endpoint: str, name: str | None) -> None:
    """Write down which deployment is the default of an endpoint."""
    table = tables.endpoints
    connection.execute(update(table).where(table.c.name == endpoint).values(default_deployment=name))


def _found(connection: Connection, name: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise no_endpoint(connection, name)
    return row


def _record(row: Row[Any]) -> EndpointRecord:
    return EndpointRecord(
        row.name, decode(row.document), row.default_deployment, row.revision, row.created, row.updated
    )

"""Deployments in the catalog. Whatever touches those of an endpoint locks its row first, so each rule holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from dask_batch.catalog import tables
from dask_batch.catalog.database import Database
from dask_batch.catalog.documents import Change, change_document, find_row, insert_document, lock_row, names_of
from dask_batch.catalog.endpoints import change_default, no_deployment, no_endpoint, set_default
from dask_batch.catalog.records import DeploymentRecord, decode
from dask_batch.errors import AlreadyExists, Refused

__all__ = ["Deployments"]


class Deployments:
    """The deployments of a catalog's endpoints; reached as ``catalog.deployments``.

    Every method raises NotFound, with the names that exist, if there is no such endpoint or deployment.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self, endpoint: str, name: str, document: Mapping[str, Any], *, default: bool | None = None
    ) -> DeploymentRecord:
        """Add a deployment to an endpoint and return it, in one transaction.

        Parameters
        ----------
        endpoint : str
            Which endpoint.
        name : str
            The deployment's name, checked by the caller.
        document : mapping
            Its definition; anything that JSON can hold.
        default : bool, optional
            Whether it becomes the endpoint's default; if not given, it does if the endpoint names none. One that the
            endpoint was created to have as its default is it from now on.

        Raises
        ------
        AlreadyExists
            The endpoint has a deployment of that name.
        """
        what = f"deployment {name!r} of endpoint {endpoint!r}"

        def work(connection: Connection) -> DeploymentRecord:
            parent = _locked_endpoint(connection, endpoint)
            row = insert_document(connection, tables.deployments, document, what, endpoint=endpoint, name=name)
            if row is None:
                raise AlreadyExists(
                    f"endpoint {endpoint!r} has a deployment {name!r} already; replace it, or choose another name"
                )
            if default or (default is None and parent.default_deployment is None):
                set_default(connection, endpoint, name)
            return _record(row)

        return self._database.write(f"create {what}", work)

    def get(self, endpoint: str, name: str) -> DeploymentRecord:
        """Return a deployment."""

        def work(connection: Connection) -> DeploymentRecord:
            row = find_row(connection, tables.deployments, endpoint=endpoint, name=name)
            return _record(_found(connection, endpoint, name, row))

        return self._database.read(f"read deployment {name!r} of endpoint {endpoint!r}", work)

    def list(self, endpoint: str) -> tuple[DeploymentRecord, ...]:
        """Return the deployments of an endpoint, sorted by name."""

        def work(connection: Connection) -> tuple[DeploymentRecord, ...]:
            if find_row(connection, tables.endpoints, name=endpoint) is None:
                raise no_endpoint(connection, endpoint)
            rows = connection.execute(select(tables.deployments).where(tables.deployments.c.endpoint == endpoint))
            return tuple(sorted((_record(row) for row in rows), key=lambda record: record.name))

        return self._database.read(f"list the deployments of endpoint {endpoint!r}", work)

    def update(
        self, endpoint: str, name: str, change: Change, *, revision: int | None = None, default: bool = False
    ) -> DeploymentRecord:
        """Change the document of a deployment, which gives it the next revision, and return the deployment.

        Parameters
        ----------
        endpoint, name : str
            Which deployment.
        change : mapping or callable
            The new document, or a function from the present document to the new one (see `Change`).
        revision : int, optional
            Change it only if it is at this revision still.
        default : bool
            Make it the endpoint's default as well.

        Raises
        ------
        Refused
            It is at another revision.
        """
        what = f"deployment {name!r} of endpoint {endpoint!r}"

        def work(connection: Connection) -> DeploymentRecord:
            _locked_endpoint(connection, endpoint)
            row = change_document(connection, tables.deployments, change, revision, what, endpoint=endpoint, name=name)
            record = _record(_found(connection, endpoint, name, row))
            if default:
                set_default(connection, endpoint, name)
            return record

        return self._database.write(f"update {what}", work)

    def set_default(self, endpoint: str, name: str | None) -> None:
        """Make a deployment the one that invocations get when they name none.

        Raises
        ------
        Refused
            None is to be it, and there is one.
        """

        def work(connection: Connection) -> None:
            parent = _locked_endpoint(connection, endpoint)
            change_default(connection, endpoint, parent.default_deployment, name)

        self._database.write(f"make deployment {name!r} the default of endpoint {endpoint!r}", work)

    def delete(self, endpoint: str, name: str) -> None:
        """Delete a deployment; its jobs stay.

        Raises
        ------
        Refused
            It is the default and the endpoint has others.
        """
        table = tables.deployments

        def work(connection: Connection) -> None:
            parent = _locked_endpoint(connection, endpoint)
            _found(connection, endpoint, name, find_row(connection, table, endpoint=endpoint, name=name))
            if parent.default_deployment == name:
                others = [other for other in names_of(connection, table, endpoint=endpoint) if other != name]
                if others:
                    raise Refused(
                        f"deployment {name!r} is the default of endpoint {endpoint!r}; "
                        f"make another one the default first: {', '.join(others)}"
                    )
                set_default(connection, endpoint, None)
            connection.execute(delete(table).where(table.c.endpoint == endpoint, table.c.name == name))

        self._database.write(f"delete deployment {name!r} of endpoint {endpoint!r}", work)


def _locked_endpoint(connection: Connection, endpoint: str) -> Row[Any]:
    row = lock_row(connection, tables.endpoints, name=endpoint)
    if row is None:
        raise no_endpoint(connection, endpoint)
    return row


def _found(connection: Connection, endpoint: str, name: str, row: Row[Any] | None) -> Row[Any]:
    if row is not None:
        return row
    if find_row(connection, tables.endpoints, name=endpoint) is None:
        raise no_endpoint(connection, endpoint)
    raise no_deployment(connection, endpoint, name)


def _record(row: Row[Any]) -> DeploymentRecord:
    return DeploymentRecord(row.endpoint, row.name, decode(row.document), row.revision, row.created, row.updated)

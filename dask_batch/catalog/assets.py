"""Assets in the catalog: versions of environments, models and data. Only what is said about a version may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, update

from dask_batch.catalog import tables
from dask_batch.catalog.database import Database, insert_if_absent
from dask_batch.catalog.documents import find_row, lock_row
from dask_batch.catalog.records import AssetRecord, decode, encode, now
from dask_batch.errors import AlreadyExists, InvalidDefinition, NotFound, choose_from

__all__ = ["ASSET_KINDS", "LATEST", "Assets", "version_number"]

ASSET_KINDS = ("data", "environment", "model")
"""The kinds of assets."""

LATEST = "latest"
"""Stands for the version that was added last."""


class Assets:
    """The assets of a catalog; reached as ``catalog.assets``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, name: str, version: str | None, document: Mapping[str, Any]) -> AssetRecord:
        """Add a version of an asset and return it.

        Parameters
        ----------
        kind : str
            One of `ASSET_KINDS`.
        name : str
            The asset's name, checked by the caller.
        version : str or None
            Its version, checked by the caller. None gives it the next whole number, counted from 1: one more than
            the highest that was ever given or used, so numbers of deleted versions do not come back.
        document : mapping
            Its definition; anything that JSON can hold.

        Raises
        ------
        AlreadyExists
            There is that version already, whatever it holds.
        InvalidDefinition
            The version is called ``latest``, or the document holds what JSON cannot hold.
        """
        what = f"{check_kind(kind)} {name!r}"
        if version == LATEST:
            raise InvalidDefinition(
                f"no version of {what} can be called {LATEST!r}, which stands for the one added last; "
                "choose another version, or leave it out"
            )
        text = encode(document, what)

        def work(connection: Connection) -> AssetRecord:
            number = _locked_number(connection, kind, name)
            chosen = str(number) if version is None else version
            key = {"kind": kind, "name": name, "version": chosen}
            if not insert_if_absent(connection, tables.assets, **key, document=text, created=now()):
                raise AlreadyExists(
                    f"{what} has a version {chosen!r} already, and versions never change; add another version"
                )
            _count_up(connection, kind, name, number, chosen)
            row = find_row(connection, tables.assets, **key)
            return _record(_found(connection, kind, name, chosen, row))

        return self._database.write(f"add a version of {what}", work)

    def get(self, kind: str, name: str, version: str | None = None) -> AssetRecord:
        """Return a version of an asset.

        Parameters
        ----------
        kind, name : str
            Which asset.
        version : str, optional
            Which version; the one added last if it is None or ``"latest"``.

        Raises
        ------
        NotFound
            There is no such asset or version; the message lists those that exist.
        """
        check_kind(kind)

        def work(connection: Connection) -> AssetRecord:
            statement = _newest_first(kind, name)
            if version not in (None, LATEST):
                statement = statement.where(tables.assets.c.version == version)
            row = connection.execute(statement.limit(1)).one_or_none()
            return _record(_found(connection, kind, name, version or LATEST, row))

        return self._database.read(f"read {kind} {name!r}", work)

    def list(self, kind: str, name: str | None = None) -> tuple[AssetRecord, ...]:
        """Return all versions of an asset, or of all assets of a kind, sorted by name, newest versions first.

        Parameters
        ----------
        kind : str
            One of `ASSET_KINDS`.
        name : str, optional
            Only this one; none are returned if it does not exist.
        """
        check_kind(kind)

        def work(connection: Connection) -> tuple[AssetRecord, ...]:
            # The sort keeps the order of equal names, so the newest version stays first.
            records = (_record(row) for row in connection.execute(_newest_first(kind, name)))
            return tuple(sorted(records, key=lambda record: record.name))

        return self._database.read(f"list {kind} assets", work)

    def update(
        self, kind: str, name: str, version: str, change: Callable[[dict[str, Any]], Mapping[str, Any]]
    ) -> AssetRecord:
        """Change what is said about a version of an asset and return it; that the rest stays is the caller's to see.

        Parameters
        ----------
        kind, name, version : str
            Which version of which asset.
        change : callable
            From the present document to the new one. It runs in the transaction.

        Raises
        ------
        NotFound
            There is no such asset or version.
        """
        table, what = tables.assets, f"version {version!r} of {check_kind(kind)} {name!r}"

        def work(connection: Connection) -> AssetRecord:
            key = {"kind": kind, "name": name, "version": version}
            row = _found(connection, kind, name, version, lock_row(connection, table, **key))
            text = encode(change(decode(row.document)), what)
            connection.execute(update(table).where(table.c.id == row.id).values(document=text))
            return _record(_found(connection, kind, name, version, find_row(connection, table, **key)))

        return self._database.write(f"update {what}", work)

    def delete(self, kind: str, name: str, version: str) -> None:
        """Delete one version of an asset; ``"latest"`` is the one added last. Raises NotFound as `get` does."""
        check_kind(kind)

        def work(connection: Connection) -> None:
            # Locked, so that the latest one is still the latest when it goes.
            _locked_number(connection, kind, name)
            statement = _newest_first(kind, name)
            if version != LATEST:
                statement = statement.where(tables.assets.c.version == version)
            row = _found(connection, kind, name, version, connection.execute(statement.limit(1)).one_or_none())
            connection.execute(delete(tables.assets).where(tables.assets.c.id == row.id))

        self._database.write(f"delete version {version!r} of {kind} {name!r}", work)


def check_kind(kind: str) -> str:
    """Return `kind` if it is one of `ASSET_KINDS`; raise InvalidDefinition otherwise."""
    if kind not in ASSET_KINDS:
        raise InvalidDefinition(f"no kind of asset {kind!r}; {choose_from(kind, ASSET_KINDS, 'kinds')}")
    return kind


def version_number(version: str) -> int | None:
    """Return the whole number that `version` is the usual text of, None if it is none.

    Examples
    --------
    >>> version_number("12"), version_number("012"), version_number("1.2"), version_number("9" * 30)
    (12, None, None, None)
    """
    # Up to 18 digits: what a database's whole numbers hold.
    plain = version.isascii() and version.isdecimal() and len(version) <= 18
    return int(version) if plain and str(int(version)) == version else None


def _locked_number(connection: Connection, kind: str, name: str) -> int:
    """Return the next number of an asset, locked until the transaction ends: versions are added one after another."""
    insert_if_absent(connection, tables.asset_names, kind=kind, name=name, next_version=1)
    row = lock_row(connection, tables.asset_names, kind=kind, name=name)
    return 1 if row is None else int(row.next_version)


def _count_up(connection: Connection, kind: str, name: str, number: int, used: str) -> None:
    following = (version_number(used) or 0) + 1
    if following > number:
        table = tables.asset_names
        matches = (table.c.kind == kind, table.c.name == name)
        connection.execute(update(table).where(*matches).values(next_version=following))


def _newest_first(kind: str, name: str | None) -> Select[Any]:
    table = tables.assets
    statement = select(table).where(table.c.kind == kind).order_by(table.c.id.desc())
    return statement if name is None else statement.where(table.c.name == name)


def _found(connection: Connection, kind: str, name: str, version: str, row: Row[Any] | None) -> Row[Any]:
    if row is not None:
        return row
    table = tables.assets
    versions = connection.execute(
        select(table.c.version).where(table.c.kind == kind, table.c.name == name).order_by(table.c.id.desc())
    ).scalars()
    known = list(versions)
    if known:
        raise NotFound(f"{kind} {name!r} has no version {version!r}; {choose_from(version, known, 'versions')}")
    names = set(connection.execute(select(table.c.name).where(table.c.kind == kind)).scalars())
    raise NotFound(f"no {kind} {name!r}; {choose_from(name, names, f'{kind} assets')}")


def _record(row: Row[Any]) -> AssetRecord:
    return AssetRecord(row.kind, row.name, row.version, decode(row.document), row.created)

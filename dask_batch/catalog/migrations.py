"""The schema's version: created once, brought up to date step by step, refused when it is newer.

To change the schema: change `tables`, and append a step to `STEPS` that makes the tables of the last version the
new ones. A new catalog is created from `tables`; an older one goes through the steps. A step runs in one transaction
with the new version's number, so a crash leaves the old version or the new one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, MetaData, insert, inspect, select, text, update

from dask_batch.catalog.database import Database
from dask_batch.catalog.tables import metadata, schema
from dask_batch.errors import CatalogError

__all__ = ["STEPS", "Step", "bring_up_to_date"]

Step = Callable[[Connection], None]

STEPS: tuple[Step, ...] = ()
"""Step n leads from version n + 1 to version n + 2 (counted from 0); so the current version is ``1 + len(STEPS)``."""

# Any number that no other program takes for the same purpose; it keeps creators of the schema apart.
_POSTGRES_LOCK = 0x6461736B5F62


def bring_up_to_date(database: Database, tables: MetaData = metadata, steps: Sequence[Step] = STEPS) -> None:
    """Create the schema if there is none, and migrate an older one.

    Any number of processes may do it at once: one does the work, the others find it done.

    Parameters
    ----------
    database : Database
        The database of the catalog.
    tables : sqlalchemy.MetaData
        The tables of the current version.
    steps : sequence of callables
        The migrations, in order; see `STEPS`.

    Raises
    ------
    CatalogError
        A newer version of dask-batch wrote the catalog, or it cannot be used.
    """
    current = 1 + len(steps)

    def known(version: int | None) -> int | None:
        if version is not None and version > current:
            raise CatalogError(
                f"catalog {database.name!r} has schema version {version}, this dask-batch knows versions up to "
                f"{current}: a newer one has used it; pip install --upgrade dask-batch"
            )
        return version

    def work(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _POSTGRES_LOCK})
        version = known(_version(connection))
        if version is None:
            tables.create_all(connection)
            connection.execute(insert(schema).values(version=current))
            return
        for step in steps[version - 1 :]:
            step(connection)
        if version < current:
            connection.execute(update(schema).values(version=current))

    if known(database.read("read the version of the schema", _version)) != current:
        database.write("create or migrate the schema", work)


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema.name):
        return None
    return connection.execute(select(schema.c.version)).scalar_one_or_none()

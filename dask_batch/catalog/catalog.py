"""The catalog as a whole: its groups of definitions, and its index of jobs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from dask_batch.catalog import tables
from dask_batch.catalog.assets import Assets
from dask_batch.catalog.computes import Computes
from dask_batch.catalog.connecting import parse_url
from dask_batch.catalog.database import Database
from dask_batch.catalog.deployments import Deployments
from dask_batch.catalog.endpoints import Endpoints
from dask_batch.catalog.jobs import AddedJob, JobRecord, filters, find_job, insert_job, job_record, no_job
from dask_batch.catalog.migrations import bring_up_to_date
from dask_batch.catalog.records import encode
from dask_batch.errors import CatalogError, InvalidDefinition

__all__ = ["Catalog", "open_catalog"]

# Every index of PostgreSQL refuses longer texts than 2,704 bytes.
_LONGEST_KEY_BYTES = 1024


def open_catalog(url: str | os.PathLike[str], *, patience_s: float = 60.0) -> Catalog:
    """Open a catalog; one that does not exist is created, an older one migrated.

    Any number of processes may do this at once.

    Parameters
    ----------
    url : str or path
        ``sqlite:////absolute/path/catalog.sqlite``, or ``postgresql://user@server/database``. A path object is the
        file of a SQLite catalog, whatever characters it has. That file is created 0600, its folder 0700.
    patience_s : float
        Seconds for which a call goes on trying while others have the database locked.

    Raises
    ------
    CatalogError
        It cannot be reached or created, or a newer version of dask-batch wrote it.
    MissingExtra
        The driver for PostgreSQL is not installed.
    """
    database = Database(parse_url(url), patience_s)
    try:
        bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return Catalog(database)


class Catalog:
    """What exists in a workspace; get one from `open_catalog`.

    It may be used from several threads, and in child processes. Each call is one transaction on a connection of its
    own: it happens as a whole or not at all, and leaves nothing open. Any call raises CatalogError if the database
    cannot be used or stays locked.

    Attributes
    ----------
    endpoints : Endpoints
        The endpoints.
    deployments : Deployments
        Their deployments.
    computes : Computes
        The computes.
    assets : Assets
        Versions of environments, models and data.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.endpoints = Endpoints(database)
        self.deployments = Deployments(database)
        self.computes = Computes(database)
        self.assets = Assets(database)

    def __repr__(self) -> str:
        return f"<Catalog {self._database.name!r}>"

    def close(self) -> None:
        """Close the catalog; later calls raise CatalogError."""
        self._database.close()

    def __enter__(self) -> Catalog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the index of jobs ---------------------------------------------------------------------------------------

    def add_job(
        self,
        name: str,
        *,
        endpoint: str,
        deployment: str,
        compute: str,
        owner: str,
        created: str,
        idempotency_key: str | None = None,
        display_name: str | None = None,
        experiment_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> AddedJob:
        """Add a job to the index, unless its idempotency key has a job.

        Parameters
        ----------
        name : str
            Its name, checked by the caller.
        endpoint, deployment, compute : str
            What it is started with; they need not exist.
        owner : str
            Who starts it.
        created : str
            When, ISO 8601.
        idempotency_key : str, optional
            Up to 1,024 bytes. Of any number of calls with the same key one adds its job, the others get that one.
        display_name, experiment_name : str, optional
            For people.
        tags : mapping of str to str, optional
            For people, and for `list_jobs`.
        document : mapping, optional
            Whatever else is to be kept; anything that JSON can hold.

        Returns
        -------
        AddedJob
            ``record``: the job; ``added``: whether this call added it.

        Raises
        ------
        AlreadyExists
            Another job has the name.
        InvalidDefinition
            The key is too long, or the document holds what JSON cannot hold.
        """
        if idempotency_key is not None and len(idempotency_key.encode(errors="replace")) > _LONGEST_KEY_BYTES:
            raise InvalidDefinition(
                f"the idempotency key of job {name!r} is longer than {_LONGEST_KEY_BYTES} bytes; use a hash of it"
            )
        for key, value in (tags or {}).items():
            if not (isinstance(key, str) and isinstance(value, str)):
                raise InvalidDefinition(f"tag {key!r} of job {name!r} is not a text: {value!r}; put it in quotes")
        values = {
            "name": name,
            "endpoint": endpoint,
            "deployment": deployment,
            "compute": compute,
            "owner": owner,
            "created": created,
            "idempotency_key": idempotency_key,
            "display_name": display_name,
            "experiment_name": experiment_name,
            "tags": encode(tags or {}, f"job {name!r}"),
            "document": encode(document or {}, f"job {name!r}"),
        }
        what = f"add job {name!r}"
        for _ in range(100):
            added = self._database.write(what, lambda connection: insert_job(connection, values, tags or {}))
            if added is not None:
                return added
        raise CatalogError(f"cannot {what}: others add and delete it all the time; use another name and key")

    def get_job(self, name: str) -> JobRecord:
        """Return a job. Raises NotFound, with the names of the newest few."""

        def work(connection: Connection) -> JobRecord:
            row = find_job(connection, tables.jobs.c.name == name)
            if row is None:
                raise no_job(connection, name)
            return job_record(row)

        return self._database.read(f"read job {name!r}", work)

    def find_job_by_key(self, idempotency_key: str) -> JobRecord | None:
        """Return the job that has this idempotency key, None if there is none."""

        def work(connection: Connection) -> JobRecord | None:
            row = find_job(connection, tables.jobs.c.idempotency_key == idempotency_key)
            return None if row is None else job_record(row)

        return self._database.read("find a job by its idempotency key", work)

    def list_jobs(
        self,
        *,
        endpoint: str | None = None,
        deployment: str | None = None,
        status: str | None = None,
        ended: bool | None = None,
        owner: str | None = None,
        tag: str | None = None,
        limit: int | None = 50,
        offset: int = 0,
    ) -> tuple[JobRecord, ...]:
        """Return the jobs that meet all conditions, those added last first.

        Parameters
        ----------
        endpoint, deployment, owner : str, optional
            Only jobs of these.
        status : str, optional
            Only jobs whose cached terminal state this is.
        ended : bool, optional
            True: only jobs with a cached terminal state. False: only those without; some of them may have ended
            since anybody looked.
        tag : str, optional
            Only jobs with this tag: ``"key"``, or ``"key=value"``.
        limit : int, optional
            At most so many; None for all.
        offset : int
            Leave out so many first.
        """
        condition = filters(endpoint, deployment, status, ended, owner, tag)
        statement = select(tables.jobs).where(condition).order_by(tables.jobs.c.id.desc()).limit(limit).offset(offset)

        def work(connection: Connection) -> tuple[JobRecord, ...]:
            return tuple(job_record(row) for row in connection.execute(statement))

        return self._database.read("list jobs", work)

    def count_jobs(
        self,
        *,
        endpoint: str | None = None,
        deployment: str | None = None,
        status: str | None = None,
        ended: bool | None = None,
        owner: str | None = None,
        tag: str | None = None,
    ) -> int:
        """Return how many jobs meet all conditions, which are those of `list_jobs`."""
        statement = (
            select(func.count())
            .select_from(tables.jobs)
            .where(filters(endpoint, deployment, status, ended, owner, tag))
        )
        return self._database.read("count jobs", lambda connection: int(connection.execute(statement).scalar_one()))

    def set_job_state(self, name: str, state: str | None) -> bool:
        """Cache the terminal state of a job, None if it runs again, and return whether there is such a job.

        The truth is in the job's folder; this is for lists. So a job that is gone is no error.
        """
        jobs = tables.jobs

        def standing(connection: Connection) -> tuple[bool, str | None]:
            row = find_job(connection, jobs.c.name == name)
            return (row is not None, None if row is None else row.state)

        what = f"note the state of job {name!r}"
        # Most often somebody has noted it before, and reading disturbs nobody.
        found, noted = self._database.read(what, standing)
        if not found or noted == state:
            return found
        statement = update(jobs).where(jobs.c.name == name).values(state=state)
        return self._database.write(what, lambda connection: connection.execute(statement).rowcount == 1)

    def delete_job(self, name: str) -> None:
        """Delete a job from the index; its idempotency key is free again. Raises NotFound as `get_job` does."""

        def work(connection: Connection) -> None:
            if not connection.execute(delete(tables.jobs).where(tables.jobs.c.name == name)).rowcount:
                raise no_job(connection, name)

        self._database.write(f"delete job {name!r}", work)

"""The index of jobs: its records, and the statements that find them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, insert, or_, select

from dask_batch.catalog import tables
from dask_batch.catalog.database import insert_if_absent
from dask_batch.catalog.records import decode
from dask_batch.errors import AlreadyExists, NotFound, choose_from

__all__ = ["AddedJob", "JobRecord", "filters", "find_job", "insert_job", "job_record", "no_job"]


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as the catalog has it.

    Attributes
    ----------
    name : str
        Its name.
    endpoint, deployment, compute : str
        What it was started with.
    owner : str
        Who started it.
    created : str
        ISO 8601, as the caller gave it.
    state : str or None
        Its terminal state, cached by whoever read it last; None if it has not ended as far as anybody has told.
    idempotency_key : str or None
        Calls with the same key make one job.
    display_name, experiment_name : str or None
        For people.
    tags : dict of str
        For people, and for `Catalog.list_jobs`.
    document : dict
        Whatever else the caller keeps.
    """

    name: str
    endpoint: str
    deployment: str
    compute: str
    owner: str
    created: str
    state: str | None
    idempotency_key: str | None
    display_name: str | None
    experiment_name: str | None
    tags: dict[str, str]
    document: dict[str, Any]


class AddedJob(NamedTuple):
    """What `Catalog.add_job` did."""

    record: JobRecord
    """The job that now has the idempotency key, or the name."""
    added: bool
    """True: this call added it. False: it was there, with the same idempotency key."""


def insert_job(connection: Connection, values: Mapping[str, Any], tags: Mapping[str, str]) -> AddedJob | None:
    """Add a job, or find the one that has its idempotency key; None if it was deleted just between the two.

    Raises
    ------
    AlreadyExists
        Another job has the name.
    """
    if insert_if_absent(connection, tables.jobs, **values):
        row = find_job(connection, tables.jobs.c.name == values["name"])
        if row is not None and tags:
            tagged = [{"job_id": row.id, "key": key, "value": value} for key, value in tags.items()]
            connection.execute(insert(tables.job_tags), tagged)
        return None if row is None else AddedJob(job_record(row), True)
    key = values["idempotency_key"]
    standing = None if key is None else find_job(connection, tables.jobs.c.idempotency_key == key)
    if standing is not None:
        return AddedJob(job_record(standing), False)
    if find_job(connection, tables.jobs.c.name == values["name"]) is not None:
        raise AlreadyExists(f"there is a job {values['name']!r} already; choose another job name, or leave it out")
    return None


def find_job(connection: Connection, condition: ColumnElement[bool]) -> Row[Any] | None:
    """Return the one job that meets `condition`."""
    return connection.execute(select(tables.jobs).where(condition)).one_or_none()


def filters(
    endpoint: str | None,
    deployment: str | None,
    status: str | None,
    ended: bool | None,
    owner: str | None,
    tag: str | None,
) -> ColumnElement[bool]:
    """Return the condition of `Catalog.list_jobs`."""
    columns = tables.jobs.c
    equal = {"endpoint": endpoint, "deployment": deployment, "state": status, "owner": owner}
    conditions = [columns[name] == value for name, value in equal.items() if value is not None]
    if ended is not None:
        conditions.append(columns.state.is_not(None) if ended else columns.state.is_(None))
    if tag is not None:
        conditions.append(_has_tag(tag))
    return and_(True, *conditions)


def _has_tag(tag: str) -> ColumnElement[bool]:
    tags = tables.job_tags.c
    key, separator, value = tag.partition("=")
    # A key may have "=" in it, so the whole text can be a key too.
    matches = tags.key == tag
    if separator:
        matches = or_(matches, and_(tags.key == key, tags.value == value))
    return exists().where(tags.job_id == tables.jobs.c.id, matches)


def no_job(connection: Connection, name: str) -> NotFound:
    """Return the error for a job that does not exist; it lists the newest few, and the nearest of many."""
    order = tables.jobs.c.id.desc()
    names = list(connection.execute(select(tables.jobs.c.name).order_by(order).limit(1000)).scalars())
    if not names:
        return NotFound(f"no job {name!r}; {choose_from(name, [], 'jobs')}")
    near = choose_from(name, names, "").partition("? ")
    hint = f"{near[0]}? " if near[1] else ""
    return NotFound(f"no job {name!r}; {hint}newest jobs: {', '.join(names[:5])}")


def job_record(row: Row[Any]) -> JobRecord:
    """Return a row as a record."""
    return JobRecord(
        name=row.name,
        endpoint=row.endpoint,
        deployment=row.deployment,
        compute=row.compute,
        owner=row.owner,
        created=row.created,
        state=row.state,
        idempotency_key=row.idempotency_key,
        display_name=row.display_name,
        experiment_name=row.experiment_name,
        tags=decode(row.tags),
        document=decode(row.document),
    )

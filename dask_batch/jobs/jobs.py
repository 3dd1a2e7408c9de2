"""The jobs of a workspace: by name, and as lists."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from dask_batch.errors import InvalidDefinition, NotFound, choose_from
from dask_batch.jobfolder.states import TERMINAL, State
from dask_batch.jobs.context import Context
from dask_batch.jobs.deleting import delete_rest, half_deleted
from dask_batch.jobs.job import Job
from dask_batch.jobs.text import amount, share
from dask_batch.specs.names import check_name

if TYPE_CHECKING:
    import pandas as pd

    from dask_batch.catalog import JobRecord

__all__ = ["JobList", "Jobs", "live_jobs", "refresh"]

_COLUMNS = ["job", "status", "progress", "items", "failed", "endpoint", "deployment", "created", "owner"]


class JobList(list[Job]):
    """Jobs, newest first, that show themselves as a table."""

    @overload
    def __getitem__(self, index: SupportsIndex) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> JobList: ...
    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return JobList(found) if isinstance(index, slice) else found

    def __repr__(self) -> str:
        if not self:
            return "no jobs"
        rows = [_COLUMNS, *(list(row.values()) for row in self._shown())]
        widths = [max(len(row[n]) for row in rows) for n in range(len(_COLUMNS))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import table_html

        return table_html("Jobs", _COLUMNS, (list(row.values()) for row in self._shown()))

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row per job."""
        import pandas as pd

        return pd.DataFrame(self.to_records(), columns=_COLUMNS)

    def to_records(self) -> list[dict[str, Any]]:
        """Return a JSON-able dict per job."""
        return [_record(job) for job in self]

    def _shown(self) -> list[dict[str, str]]:
        records = self.to_records()
        return [
            {name: str(value) for name, value in record.items()}
            | {
                "progress": share(record["progress"]),
                "items": amount(record["items"]),
                "failed": amount(record["failed"]),
            }
            | {"created": str(record["created"])[:19].replace("T", " ")}
            for record in records
        ]


def _record(job: Job) -> dict[str, Any]:
    status = job.peek()
    return {
        "job": job.name,
        "status": str(status),
        "progress": status.progress,
        "items": status.counts.items,
        "failed": status.counts.failed,
        "endpoint": job.endpoint,
        "deployment": job.deployment,
        "created": job.created,
        "owner": job.owner,
    }


class Jobs:
    """The jobs of a workspace."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getitem__(self, name: str) -> Job:
        return self.get(name)

    def __repr__(self) -> str:
        return repr(self.list(limit=10))

    def _repr_html_(self) -> str:
        return self.list(limit=10)._repr_html_()

    def get(self, name: str) -> Job:
        """Return a job by name.

        Raises
        ------
        NotFound
            There is no such job.
        """
        folder = self._context.job_folder(name)
        if folder.definition() is None:
            if half_deleted(self._context, name):
                raise NotFound(f"job {name!r} was deleted, and something of it is left; {_removal(name)}")
            # Says which jobs there are, if it is none of them.
            self._context.catalog.get_job(name)
            raise NotFound(
                f"job {name!r} has a name and nothing else: its invocation broke off, or is not done yet; "
                f"{_removal(name)}, and a repeat with the same idempotency_key completes it"
            )
        return Job(self._context, name)

    def list(
        self,
        *,
        endpoint: str | None = None,
        deployment: str | None = None,
        status: str | None = None,
        tag: str | tuple[str, str] | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> JobList:
        """Return jobs, newest first.

        Parameters
        ----------
        endpoint, deployment : str, optional
            Only jobs of these.
        status : str, optional
            Only jobs that stand there, such as ``"Running"`` or ``"Failed"``.
        tag : str or (str, str), optional
            Only jobs with this tag: ``"key"``, ``"key=value"`` or ``("key", "value")``.
        limit, offset : int
            How many at most, and how many to pass over.

        Raises
        ------
        InvalidDefinition
            There is no such status.
        """
        if status is not None and status not in [state.value for state in State]:
            raise InvalidDefinition(f"status={status!r}: {choose_from(status, [s.value for s in State], 'states')}")
        text = "=".join(tag) if isinstance(tag, tuple) else tag
        refresh(self._context, endpoint)
        catalog = self._context.catalog
        if status is None or status in TERMINAL:
            found = catalog.list_jobs(
                endpoint=endpoint, deployment=deployment, status=status, tag=text, limit=limit, offset=offset
            )
            return JobList(_handles(self._context, found))
        live = catalog.list_jobs(endpoint=endpoint, deployment=deployment, ended=False, tag=text, limit=None)
        standing = [job for job in _handles(self._context, live) if job.peek() == status]
        return JobList(standing[offset : offset + limit])

    def delete(self, name: str) -> None:
        """Delete a job; see `Job.delete`. What a half-deleted or never completed job left goes too."""
        if self._context.job_folder(check_name(name, "job")).definition() is None:
            delete_rest(self._context, name)
        else:
            Job(self._context, name).delete()


def _removal(name: str) -> str:
    return f"ws.jobs.delete({name!r}) removes it"


def live_jobs(context: Context, endpoint: str) -> list[Job]:
    """Return the jobs of an endpoint that have not ended."""
    found = context.catalog.list_jobs(endpoint=endpoint, ended=False, limit=None)
    return [job for job in _handles(context, found) if not job.peek().terminal]


def refresh(context: Context, endpoint: str | None = None) -> None:
    """Look at the jobs that had not ended as far as the catalog knows, so that it knows those that have."""
    for job in _handles(context, context.catalog.list_jobs(endpoint=endpoint, ended=False, limit=None)):
        job.peek()


def _handles(context: Context, found: Iterable[JobRecord]) -> list[Job]:
    """Return the jobs of some rows; one whose invocation broke off before it had a folder is no job."""
    jobs = []
    for record in found:
        with contextlib.suppress(NotFound):
            jobs.append(Job(context, record.name))
    return jobs

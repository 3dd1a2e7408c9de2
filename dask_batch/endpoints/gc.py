"""Removing what nobody needs any more: jobs that ended long ago, what is left of deleted ones, unused assets."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dask_batch.errors import InvalidDefinition, NotFound
from dask_batch.jobs.context import Context
from dask_batch.jobs.job import Job
from dask_batch.jobs.text import counted
from dask_batch.storage import join

__all__ = ["Collected", "collect"]


@dataclass(frozen=True, slots=True, repr=False)
class Collected:
    """What a garbage collection removed.

    Parameters
    ----------
    jobs : tuple of str
        Names of jobs.
    assets : tuple of str
        Names in the storage of models and code (``assets/…``) and of uploaded input (``data/…``).
    """

    jobs: tuple[str, ...]
    assets: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<removed {counted(len(self.jobs), 'job')} and {counted(len(self.assets), 'asset')}>"


def collect(context: Context, older_than: float | timedelta) -> Collected:
    """Remove jobs that ended before, and rests of jobs and unused assets that were written before."""
    age = older_than if isinstance(older_than, timedelta) else timedelta(days=float(older_than))
    if age < timedelta(0):
        raise InvalidDefinition(f"older_than={older_than!r} is negative; give days, 0 or more, or a timedelta")
    before = datetime.now(UTC) - age
    jobs = tuple(name for name in context.storage.list("jobs") if _remove_job(context, name, before))
    kept = _references(context)
    assets = tuple(name for name in _stored(context) if name not in kept and _remove_asset(context, name, before))
    return Collected(jobs, assets)


def _remove_job(context: Context, name: str, before: datetime) -> bool:
    if context.job_folder(name).definition() is None:
        return _remove_rest(context, name, before)
    job = Job(context, name)
    status = job.peek()
    if not status.terminal or datetime.fromisoformat(status.ended or job.created) > before:
        return False
    with contextlib.suppress(NotFound):  # others delete it too
        job.delete()
    return True


def _remove_rest(context: Context, name: str, before: datetime) -> bool:
    """Remove what is left of a deleted job, unless something of it is young: then somebody may be at work on it."""
    try:
        context.catalog.get_job(name)
    except NotFound:
        folder, storage = context.job_folder(name).name, context.storage
        with contextlib.suppress(FileNotFoundError):  # others remove it too
            written = [storage.modified(file) for file in storage.walk(folder)] or [storage.modified(folder)]
            if max(written) <= before:
                storage.remove(folder)
                return True
    # With a place in the catalog it may be a job to come: its invocation broke off, or is not done yet.
    return False


def _stored(context: Context) -> list[str]:
    """Return the names of all assets, those whose copying broke off included."""
    return sorted(
        {
            join(folder, name.removesuffix(".json"))
            for folder in ("assets", "data")
            for name in context.storage.list(folder)
            if not name.startswith(".")
        }
    )


def _remove_asset(context: Context, name: str, before: datetime) -> bool:
    marker = f"{name}.json"
    written = marker if context.storage.exists(marker) else next(iter(context.storage.walk(name)), None)
    if written is not None and context.storage.modified(written) > before:
        return False
    # Without its marker an asset does not exist, so whoever stores the same content now writes it again.
    context.storage.remove(marker)
    context.storage.remove(name)
    return True


def _references(context: Context) -> set[str]:
    """Return the assets that deployments, registered models and remaining jobs refer to."""
    kept: set[str] = set()
    for name in context.storage.list("jobs"):
        record = context.job_folder(name).definition()
        if record is not None:
            kept |= _of_snapshot(record.get("deployment", {}))
            kept |= {_data_folder(context, path) for path in record.get("inputs", [])}
    for endpoint in context.catalog.endpoints.list():
        for deployment in context.catalog.deployments.list(endpoint.name):
            kept |= _of_snapshot(deployment.document["snapshot"])
    for kind in ("model", "data"):
        kept |= {_data_folder(context, asset.document["path"]) for asset in context.catalog.assets.list(kind)}
    return kept


def _of_snapshot(snapshot: dict[str, object]) -> set[str]:
    pinned = [snapshot.get("model"), snapshot.get("code")]
    return {str(one["asset"]) for one in pinned if isinstance(one, dict)}


def _data_folder(context: Context, path: str) -> str:
    """Return ``assets/<hash>`` or ``data/<hash>`` for a path below it, otherwise an empty string."""
    root = context.storage.root.rstrip("/") + "/"
    parts = path.removeprefix(root).split("/") if path.startswith(root) else []
    return join(parts[0], parts[1]) if len(parts) > 1 and parts[0] in ("assets", "data") else ""

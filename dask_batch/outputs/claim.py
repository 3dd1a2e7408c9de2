"""Who may write to an output place: the job whose name stands in its ``_owner.json``."""

from __future__ import annotations

from typing import Any

from dask_batch.errors import AlreadyExists, DaskBatchError, StorageError
from dask_batch.jobfolder.folder import now
from dask_batch.outputs.target import OWNER, SUCCESS
from dask_batch.storage import Storage

__all__ = ["check_owner", "claim_output", "release_output"]


def claim_output(url: str, job: str, overwrite: bool = False) -> None:
    """Take the folder `url` as the output place of a job; nothing happens if the job has it already.

    Parameters
    ----------
    url : str
        A local path or fsspec URL; need not exist.
    job : str
        The job's name.
    overwrite : bool
        Take it even if it holds files or belongs to another job. What is there stays until the job's own outputs
        are complete.

    Raises
    ------
    AlreadyExists
        The place holds files, or belongs to another job.
    StorageError
        It cannot be written.
    """
    try:
        _claim(Storage(url), url, job, overwrite)
    except DaskBatchError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"output place {url!r} cannot be written: {reason}; allow writing, or name another"
        ) from error


def _claim(place: Storage, url: str, job: str, overwrite: bool) -> None:
    record = {"format": 1, "job": job, "at": now()}
    if not overwrite and (found := _foreign(place)) and _owner(place) != job:
        raise AlreadyExists(
            f"output place {url!r} holds files already ({', '.join(found[:3])}{', …' if len(found) > 3 else ''}); "
            "name another place, or allow replacing them with overwrite=True"
        )
    if place.create_json(OWNER, record) or _owner(place) == job:
        return
    if not overwrite:
        raise AlreadyExists(
            f"output place {url!r} belongs to job {_owner(place)!r}; name another place, or take it with overwrite=True"
        )
    place.put_json(OWNER, record)


def release_output(url: str, job: str) -> None:
    """Give up the claim of a job that wrote nothing, so that another job may take the place."""
    place = Storage(url)
    if _owner(place) == job and not place.exists(SUCCESS):
        place.remove(OWNER)


def check_owner(place: Storage, job: str) -> None:
    """Make sure that a job still has its output place. Raises AlreadyExists if another job took it."""
    owner = _owner(place)
    if owner is None:
        place.create_json(OWNER, {"format": 1, "job": job, "at": now()})
        owner = _owner(place)
    if owner != job:
        raise AlreadyExists(
            f"output place {place.root!r} was taken by job {owner!r} with overwrite=True; start the job again with "
            "another place"
        )


def _owner(place: Storage) -> str | None:
    record: dict[str, Any] | None = place.find_json(OWNER)
    return None if record is None else str(record.get("job"))


def _foreign(place: Storage) -> list[str]:
    """Return the names in an output place that are no claim; hidden files, leftovers of ours too, do not count."""
    return [name for name in place.list("") if name != OWNER and not name.startswith(".")]

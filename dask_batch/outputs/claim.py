"""Who may write to an output place: the job whose name stands in its ``_owner.json``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dask_batch.errors import AlreadyExists, DaskBatchError, StorageError
from dask_batch.jobfolder.folder import now
from dask_batch.outputs.target import OWNER, SUCCESS
from dask_batch.storage import Storage

__all__ = ["check_owner", "claim_output", "release_output"]


def claim_output(
    url: str,
    job: str,
    overwrite: bool = False,
    *,
    root: str = "",
    lapsed: Callable[[str], bool] = lambda job: False,
    new: bool = False,
) -> None:
    """Take the folder `url` as the output place of a job; nothing happens if the job has it already.

    A place without files whose claim has lapsed is taken over. Should two jobs do so at the same moment, the one whose
    name stands there in the end writes; the other one fails before it touches anything (`check_owner`).

    Parameters
    ----------
    url : str
        A local path or fsspec URL; need not exist.
    job : str
        The job's name.
    overwrite : bool
        Take it even if it holds files or belongs to another job. What is there stays until the job's own outputs
        are complete.
    root : str
        The storage root of the job's workspace.
    lapsed : callable
        Takes the name of another job of this workspace, and returns whether its claim counts no more.
    new : bool
        Whether the job came to its name just now: what is there was left by an earlier one of the same name.

    Raises
    ------
    AlreadyExists
        The place holds files, or belongs to another job.
    StorageError
        It cannot be written.
    """
    try:
        _claim(Storage(url), {"format": 1, "job": job, "root": root, "at": now()}, overwrite, lapsed, new)
    except DaskBatchError:
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"output place {url!r} cannot be written: {reason}; allow writing, or name another"
        ) from error


def _claim(place: Storage, record: dict[str, Any], overwrite: bool, lapsed: Callable[[str], bool], new: bool) -> None:
    job = record["job"]
    if not overwrite and (found := _foreign(place)) and (new or _owner(place) != job):
        some = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        raise AlreadyExists(
            f"output place {place.root!r} holds files already ({some}); "
            "name another place, or allow replacing them with overwrite=True"
        )
    if place.create_json(OWNER, record) or _owner(place) == job:
        return
    if overwrite:
        place.put_json(OWNER, record)
    elif not _take_over(place, record, lapsed):
        owner = _owner(place)
        raise AlreadyExists(
            f"output place {place.root!r} belongs to job {owner!r}; name another place, or take it with overwrite=True "
            f"(if the invocation of that job broke off, ws.jobs.delete({owner!r}) lets go of it)"
        )


def _take_over(place: Storage, record: dict[str, Any], lapsed: Callable[[str], bool]) -> bool:
    """Put a claim in the place of one that has lapsed, and return whether that was done."""
    standing: dict[str, Any] | None = place.find_json(OWNER)
    if standing is not None:
        # Of another workspace's jobs nothing is known here.
        if not record["root"] or standing.get("root") != record["root"] or not lapsed(str(standing["job"])):
            return False
        if place.find_json(OWNER) == standing:
            place.remove(OWNER)
    return place.create_json(OWNER, record)


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
            f"output place {place.root!r} was taken by job {owner!r} meanwhile; start the job again with another place"
        )


def _owner(place: Storage) -> str | None:
    record: dict[str, Any] | None = place.find_json(OWNER)
    return None if record is None else str(record.get("job"))


def _foreign(place: Storage) -> list[str]:
    """Return the names in an output place that are no claim; hidden files, leftovers of ours too, do not count."""
    return [name for name in place.list("") if name != OWNER and not name.startswith(".")]

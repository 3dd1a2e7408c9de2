"""``status.json`` and ``events/``: where a job stands, for people. Nothing is ever decided from them."""

from __future__ import annotations

import dataclasses
import logging
import secrets
from dataclasses import dataclass, field
from typing import Any

from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.states import State

__all__ = ["Status", "read_events", "read_status", "write_event", "write_status"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """Where a job stands.

    Parameters
    ----------
    state : State
        As its host last saw it.
    run : int
        Which run this is about.
    progress : float
        0 to 1, by bytes of input (tables) or files (scripts).
    counts : Counts
        What is finished.
    files, bytes : int
        Size of the whole input.
    mini_batches, mini_batches_done, chunks : int
        Mini-batches in the plan, those finished, chunks committed.
    rate : float
        Items per second over the last minute or so.
    eta_s : float, optional
        Seconds until the end at that rate.
    instances, instances_pending : int
        Instances there and asked for.
    why : str
        Why it waits, if it waits, in the cluster's own words.
    instance_seconds, core_seconds, slot_seconds : float
        Cost so far: seconds of instances held for the job's compute while it ran (its share), of their cores, and of
        busy slots.
    first_error : dict, optional
        The first failed item: a record as in ``errors/``.
    reason : dict, optional
        Why the job failed: ``type``, ``message``, and where known ``traceback`` and ``next``.
    created, started, ended, updated : str, optional
        Times, ISO 8601 in UTC.
    """

    state: State
    run: int = 1
    progress: float = 0.0
    counts: Counts = field(default_factory=Counts)
    files: int = 0
    bytes: int = 0
    mini_batches: int = 0
    mini_batches_done: int = 0
    chunks: int = 0
    rate: float = 0.0
    eta_s: float | None = None
    instances: int = 0
    instances_pending: int = 0
    why: str = ""
    instance_seconds: float = 0.0
    core_seconds: float = 0.0
    slot_seconds: float = 0.0
    first_error: dict[str, Any] | None = None
    reason: dict[str, Any] | None = None
    created: str | None = None
    started: str | None = None
    ended: str | None = None
    updated: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record that stands in ``status.json``."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return record | {"state": str(self.state), "counts": self.counts.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Status:
        """Return the status that `to_json` described; keys of a newer version are passed over."""
        known = {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name in record}
        known["state"] = State(known["state"])
        known["counts"] = Counts.from_json(known.get("counts", {}))
        return cls(**known)


def write_status(folder: JobFolder, status: Status) -> None:
    """Replace ``status.json``; only the job's coordinator does.

    It is for people, so where it cannot be written the job goes on without; where the job was deleted, nothing is.
    """
    record = dataclasses.replace(status, updated=now()).to_json()
    try:
        if not folder.gone():
            folder.storage.put_json(folder.path("status.json"), record)
    except Exception:
        log.warning("job %s: its status could not be written", folder.job, exc_info=True)


def read_status(folder: JobFolder) -> Status | None:
    """Return what ``status.json`` says, or None before the host has written one."""
    record = folder.storage.find_json(folder.path("status.json"))
    return None if record is None else Status.from_json(record)


def write_event(folder: JobFolder, what: str, **details: Any) -> None:
    """Note that something happened, such as ``write_event(folder, "state", start="Queued", finish="Running")``.

    It is for people, so where it cannot be written the job goes on without; where the job was deleted, nothing is.
    """
    stamp = now()
    name = f"{stamp.replace(':', '').replace('+0000', 'Z')}-{secrets.token_hex(3)}.json"
    try:
        if not folder.gone():
            folder.storage.create_json(folder.path("events", name), {"at": stamp, "event": what, **details})
    except Exception:
        log.warning("job %s: event %r could not be written", folder.job, what, exc_info=True)


def read_events(folder: JobFolder) -> list[dict[str, Any]]:
    """Return the job's events, oldest first."""
    names = folder.storage.list(folder.path("events"))
    return [folder.storage.read_json(folder.path("events", name)) for name in names]

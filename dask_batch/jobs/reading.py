"""Where a job stands, concluded from its folder: decisions first, then its host's word, then whether the host lives."""

from __future__ import annotations

import dataclasses
from typing import Any

from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.runs import current_run
from dask_batch.jobfolder.states import LIVE, TERMINAL, State
from dask_batch.jobfolder.status import Status, read_status
from dask_batch.jobs.launch import host_log, look

__all__ = ["JobStatus", "read_job_status"]


class JobStatus(str):
    """Where a job stands: a string (``status == "Completed"``) that carries the details.

    Attributes
    ----------
    state : State
        The same as the string.
    why : str
        Why the job waits, if it waits, in the cluster's own words.
    terminal : bool
        Whether the job has ended.
    run, progress, counts, files, bytes, mini_batches, mini_batches_done, chunks, rate, eta_s, instances,
    instances_pending, instance_seconds, core_seconds, slot_seconds, first_error, reason, created, started, ended,
    updated
        As in `dask_batch.jobfolder.status.Status`.
    """

    state: State
    run: int
    progress: float
    counts: Counts
    files: int
    bytes: int
    mini_batches: int
    mini_batches_done: int
    chunks: int
    rate: float
    eta_s: float | None
    instances: int
    instances_pending: int
    why: str
    instance_seconds: float
    core_seconds: float
    slot_seconds: float
    first_error: dict[str, Any] | None
    reason: dict[str, Any] | None
    created: str | None
    started: str | None
    ended: str | None
    updated: str | None

    def __new__(cls, details: Status) -> JobStatus:
        self = super().__new__(cls, details.state.value)
        for field in dataclasses.fields(details):
            setattr(self, field.name, getattr(details, field.name))
        return self

    @property
    def terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL

    def __repr__(self) -> str:
        from dask_batch.jobs.text import describe

        return f"<{describe(self)}>"

    def to_json(self) -> dict[str, Any]:
        """Return the status as a JSON-able record."""
        known = {field.name: getattr(self, field.name) for field in dataclasses.fields(Status)}
        return Status(**known).to_json()


def read_job_status(folder: JobFolder, host: HostFolder | None) -> JobStatus:
    """Return where a job stands.

    Parameters
    ----------
    folder : JobFolder
        The job.
    host : HostFolder, optional
        The meeting place with the host that is to run it; None: nobody asks whether it lives.
    """
    run = current_run(folder)
    decision = folder.outcome(run)
    details = read_status(folder)
    if details is None or details.run != run:
        details = Status(State.QUEUED, run=run, created=details.created if details else None)
    if decision is None:
        return JobStatus(_live(folder, host, run, details))
    decided = _decided(folder, run, decision, details)
    return JobStatus(_of_host(decided, host) if decided.state is State.FINALIZING else decided)


def _decided(folder: JobFolder, run: int, decision: dict[str, Any], details: Status) -> Status:
    """Return the status of a run that has its ``final-<n>.json``."""
    counts = Counts.from_json(decision.get("counts", {}))
    changes: dict[str, Any] = {
        "counts": counts,
        "reason": decision.get("reason"),
        "rate": 0.0,
        "eta_s": None,
        "why": "",
    }
    state = State(decision["outcome"])
    ended = decision.get("at")
    if state is State.COMPLETED:
        closed = folder.closed(run)
        state = State(closed["outcome"]) if closed else State.FINALIZING
        ended = closed.get("at") if closed else None
        changes |= {"progress": 1.0, "reason": closed.get("reason") if closed else None}
    if state is State.CANCELED and changes["reason"] is None:
        who = (folder.cancel_requested(run) or {}).get("by", "somebody")
        changes |= {"reason": {"type": "Canceled", "message": f"canceled by {who}"}}
    if state in TERMINAL:
        changes |= {"ended": ended, "instances": 0, "instances_pending": 0}
    return dataclasses.replace(details, state=state, **changes)


def _live(folder: JobFolder, host: HostFolder | None, run: int, details: Status) -> Status:
    """Return the status of a run that nobody has decided."""
    # A status that says the job has ended, while no decision does, was written by nobody who may say so.
    state = details.state if details.state in LIVE else State.RUNNING
    if folder.cancel_requested(run):
        state = State.CANCEL_REQUESTED
    return _of_host(dataclasses.replace(details, state=state), host)


def _of_host(details: Status, host: HostFolder | None) -> Status:
    """Return the status as it is if the host lives, and what is known of the host if not."""
    if host is None:
        return details
    view = look(host)
    if view.alive:
        return details
    if view.state == "launching":
        return dataclasses.replace(details, why=view.why or f"the host of compute {host.compute!r} is starting")
    why = f"no host runs for compute {host.compute!r} (owner {host.user})"
    path, said = host_log(host, 1) if view.attempts else ("", "")
    if path:
        why += f"; its last start failed, see {path}" + (f": {said}" if said else "")
    return dataclasses.replace(details, state=State.INTERRUPTED, why=why, rate=0.0, eta_s=None, instances=0)

"""Turns what a coordinator knows into the job's status, and writes it at most once a second."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.states import TERMINAL, State, check_transition
from dask_batch.jobfolder.status import Status, read_status, write_event, write_status

__all__ = ["Capacity", "Reporter", "first_status"]

_WRITE_EVERY_S = 1.0
_RATE_OVER_S = 60.0


@dataclass(slots=True)
class Capacity:
    """What a job's compute has at the moment, as its host knows it.

    Parameters
    ----------
    instances, pending : int
        Instances that run, and that were asked for.
    why : str
        Why it waits, in the cluster's own words.
    failure : dict, optional
        Why there will be no instances however long one waits, as a job's reason.
    """

    instances: int = 0
    pending: int = 0
    why: str = ""
    failure: dict[str, Any] | None = None


def first_status(folder: JobFolder, run: int, created: str) -> Status:
    """Return where a job stands when a host takes it up: queued again, with what an earlier host knew of it."""
    known = read_status(folder)
    if known is None:
        return Status(State.QUEUED, run=run, created=created)
    if known.run != run:
        # What a job costs is what all its runs cost.
        return Status(
            State.QUEUED,
            run=run,
            created=created,
            instance_seconds=known.instance_seconds,
            core_seconds=known.core_seconds,
        )
    return known if known.state == State.FINALIZING else replace(known, state=State.QUEUED)


@dataclass
class Reporter:
    """The status of one job.

    Parameters
    ----------
    folder : JobFolder
        The job.
    status : Status
        Where it stood when this host took it up.
    table : bool
        Whether progress goes by bytes (tables) or by files (scripts).
    """

    folder: JobFolder
    status: Status
    table: bool
    _written_at: float = 0.0
    _history: deque[tuple[float, int, float]] = field(default_factory=lambda: deque(maxlen=600))

    def move(self, state: State, **details: Any) -> None:
        """Go to another state, note it as an event and write the status at once; nothing happens if it is there."""
        if state == self.status.state:
            return
        check_transition(self.folder.job, self.status.state, state)
        write_event(self.folder, "state", start=str(self.status.state), finish=str(state), **details)
        self.update(state=state, started=self.status.started or now())
        if state in TERMINAL:
            self.update(ended=now())
        self.write()

    def update(self, **changes: Any) -> None:
        """Change the status in memory."""
        self.status = replace(self.status, **changes)

    def count(self, counts: Counts, mini_batches_done: int, chunks: int) -> None:
        """Take note of what is finished, and what follows for progress, rate and time to the end."""
        done, total = (counts.bytes, self.status.bytes) if self.table else (counts.items, self.status.files)
        progress = min(1.0, done / total) if total else 0.0
        at = time.monotonic()
        if self._history and self._history[0][1] == counts.items:
            self._history.clear()  # the time before anything was finished says nothing of the pace
        self._history.append((at, counts.items, progress))
        while at - self._history[0][0] > _RATE_OVER_S:
            self._history.popleft()
        rate, eta_s = self._pace()
        self.update(
            counts=counts,
            mini_batches_done=mini_batches_done,
            chunks=chunks,
            progress=progress,
            rate=rate,
            eta_s=eta_s,
        )

    def _pace(self) -> tuple[float, float | None]:
        (start, items, progress), (end, items_now, progress_now) = self._history[0], self._history[-1]
        if end <= start or progress_now <= progress:
            return self.status.rate, self.status.eta_s
        rate = (items_now - items) / (end - start)
        return rate, (1.0 - progress_now) * (end - start) / (progress_now - progress)

    def write_if_due(self) -> None:
        """Write the status if the last writing is a second ago."""
        if time.monotonic() - self._written_at >= _WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write the status."""
        write_status(self.folder, self.status)
        self._written_at = time.monotonic()

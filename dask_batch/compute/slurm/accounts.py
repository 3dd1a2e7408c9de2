"""What is known of the instances that were asked for: the queue's word and the scheduler's, put together. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dask_batch.compute.base import Instance
from dask_batch.compute.slurm.queue import QueuedJob, explained

__all__ = ["Account", "Asked", "dead_end", "told"]


@dataclass(slots=True)
class Asked:
    """An instance that was asked for.

    Parameters
    ----------
    name : str
        Its name.
    slots : int
        What it has room for.
    number : str, optional
        Its SLURM job; None before it is submitted.
    at : float
        When it was submitted.
    queued : QueuedJob, optional
        What the queue said of it last.
    connected, draining, released : bool
        Whether it has ever been connected, takes no more, was let go.
    there : bool
        Whether it is connected now.
    """

    name: str
    slots: int
    number: str | None = None
    at: float = 0.0
    queued: QueuedJob | None = None
    connected: bool = False
    there: bool = False
    draining: bool = False
    released: bool = False


class Account:
    """The instances of one host.

    Parameters
    ----------
    cores : int
        Cores of each.
    """

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.asked: dict[str, Asked] = {}
        self._lost: set[str] = set()

    def knows(self, job: QueuedJob) -> bool:
        """Return whether a job is one of these."""
        one = self.asked.get(job.name)
        return one is not None and one.number == job.id

    def connect(self, workers: Mapping[str, bool]) -> bool:
        """Take note of who is connected and who of them drains; return whether anything is new."""
        changed = False
        for one in self.asked.values():
            there, draining = one.name in workers, workers.get(one.name, False)
            changed |= (there, draining) != (one.there, one.draining)
            one.there, one.draining, one.connected = there, draining, one.connected or there
        return changed

    def look(self, queue: Mapping[str, QueuedJob], began: float) -> bool:
        """Take note of what the queue said, and return whether anything is new.

        Parameters
        ----------
        queue : mapping of str to QueuedJob
            By number.
        began : float
            When it was looked at: whatever was submitted later need not be in it.
        """
        changed = False
        for one in self.asked.values():
            if one.number is None or one.at >= began:
                continue
            queued = queue.get(one.number)
            changed |= queued is None or not queued.stands_as(one.queued)
            one.queued = queued
            if queued is None:
                self._lost.add(one.name)
        return changed

    def take_lost(self, began: float) -> list[Asked]:
        """Return the instances that are in no queue any more, and forget them, unless they are still connected."""
        lost = [self.asked[name] for name in self._lost if name in self.asked and not self.asked[name].there]
        for one in lost:
            del self.asked[one.name]
        self._lost.clear()
        return [one for one in lost if one.at < began]

    def forget_unsubmitted(self) -> None:
        """Forget the instances that SLURM has not taken."""
        self.asked = {name: one for name, one in self.asked.items() if one.number is not None}

    def instances(self) -> list[Instance]:
        """Return them as the host sees them."""
        return [self._instance(one) for one in self.asked.values()]

    def _instance(self, one: Asked) -> Instance:
        queued = one.queued
        cores = queued.cpus if queued is not None and queued.nodes else self.cores if one.there else 0
        if one.there and not (one.draining or one.released):
            return Instance(one.name, "running", one.slots, cores=cores)
        # Who was connected and is not any more has ended, whatever the queue still says.
        ends = queued is not None and queued.phase in ("ending", "gone")
        if one.there or one.connected or one.released or ends:
            return Instance(one.name, "draining", one.slots, cores=cores)
        return Instance(one.name, "pending", one.slots, _why(one), cores)


def _why(one: Asked) -> str:
    if one.number is None:
        return "instances are being submitted"
    if one.queued is None:
        return "instances are submitted"
    if one.queued.nodes:
        return "instances are starting on their nodes"
    reason = f"instances are pending: {explained(one.queued.reason) or 'SLURM has not looked at them yet'}"
    if one.queued.expected_start is None:
        return reason
    start = datetime.fromtimestamp(one.queued.expected_start).astimezone()
    return f"{reason}, expected to start at {start:%Y-%m-%d %H:%M}"


def dead_end(compute: str, queue: Iterable[QueuedJob]) -> dict[str, Any] | None:
    """Return the failure of a compute whose pending instances will never start, or None."""
    for job in queue:
        if job.hopeless:
            return {
                "type": "NeverStarts",
                "message": f"instances of compute {compute!r} stay pending: {explained(job.reason)}",
                "next": "correct the compute, then job.resume() goes on",
            }
    return None


def told(output: str) -> bool:
    """Return whether an instance was ended from outside before it began, as far as its output says.

    Examples
    --------
    >>> told("slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-25T12:00:00 DUE TO PREEMPTION ***")
    True
    >>> told("bash: module: command not found")
    False
    """
    return "CANCELLED AT" in output and "TIME LIMIT" not in output

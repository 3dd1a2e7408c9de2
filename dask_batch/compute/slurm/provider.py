"""Asks SLURM for instances, and keeps account of them: what `squeue` says, and which have connected."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from distributed import Scheduler

from dask_batch.compute.base import Instance
from dask_batch.compute.network import Network
from dask_batch.compute.slurm import control
from dask_batch.compute.slurm.accounts import Account, Asked, dead_end, told
from dask_batch.compute.slurm.backoff import Backoff
from dask_batch.compute.slurm.folders import meeting_folder
from dask_batch.compute.slurm.meeting import Meeting
from dask_batch.compute.slurm.names import Family
from dask_batch.compute.slurm.queue import QueuedJob
from dask_batch.compute.slurm.script import instance_script
from dask_batch.errors import SlurmError
from dask_batch.specs.compute import Compute
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.storage import Storage

__all__ = ["SlurmProvider"]

log = logging.getLogger(__name__)

_DEATHS = 3
_LAST_LINES = 8  # of what an instance said: the path of all of it goes with them
_CLOSE_S = 15.0
_HOPELESS_S = 10.0
_LEAVING = frozenset({"closing_gracefully", "closing", "closed", "failed"})


class SlurmProvider:
    """Submits SLURM jobs, each of which is one instance, and watches them.

    All of SLURM's commands are run by one task of its own, one after the other: whoever asks never waits for the
    controller.

    Parameters
    ----------
    compute : SlurmCompute
        What the user defined.
    storage : Storage
        The workspace's storage.
    user : str
        Whose host this is.
    epoch : int
        The number of its life.
    """

    def __init__(self, compute: SlurmCompute, storage: Storage, user: str, epoch: int) -> None:
        self._compute = compute
        self._storage = storage
        self._family = Family(storage.root, user, compute.name)
        self._epoch = epoch
        self._meeting = Meeting(meeting_folder(storage, user, compute.name, epoch))
        self.network = Network("tls://", self._meeting.prepare(), compute.interface)
        self._scheduler: Scheduler | None = None
        self._account = Account(compute.cores)
        self._number = 0
        self._cancel: set[str] = set()
        self._wake = asyncio.Event()
        self._refused = Backoff(1.0, 60.0)
        self._looks = Backoff(0.5, 10.0)
        self._deaf = ""
        self._deaths = 0
        self._hopeless_since: float | None = None
        self._failure: dict[str, Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what a host asks ----------------------------------------------------------------------------------------

    async def start(self, scheduler: Scheduler) -> None:
        """Say where the scheduler is, and begin to look at the queue."""
        self._scheduler = scheduler
        await asyncio.to_thread(self._meeting.announce, scheduler.address, self._storage.root)
        self._spawn(self._tend())

    @property
    def why(self) -> str:
        """What SLURM said when it last refused something or did not answer."""
        return self._refused.said or self._deaf

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why there will be no instances: SLURM refuses them for good, or they die before they begin."""
        return self._failure

    async def request(self, count: int) -> None:
        """Ask for `count` more instances, unless SLURM has just refused some."""
        if self._refused.waits(time.monotonic()):
            return
        for _ in range(count):
            self._number += 1
            name = self._family.instance(self._epoch, self._number)
            self._account.asked[name] = Asked(name, self._compute.known_slots)
        self._wake.set()

    async def release(self, instances: Iterable[str]) -> None:
        """Let these instances go: they get nothing more, and are canceled."""
        names = [name for name in instances if name in self._account.asked]
        for name in names:
            one = self._account.asked[name]
            one.released = True
            if one.number is None:
                del self._account.asked[name]
            else:
                self._cancel.add(one.number)
        if self._scheduler is not None and names:
            retiring = self._scheduler.retire_workers(names=names, close_workers=False, remove=False)
            self._spawn(_quietly(retiring))
        self._wake.set()

    async def instances(self) -> list[Instance]:
        """Return the instances as the queue said when it was last looked at, and as they are connected now."""
        if self._account.connect(self._connected()):
            self._deaths = 0
            self._look_soon()
        return self._account.instances()

    def follow(self, compute: Compute) -> int:
        """Take over the definition for instances from now on, and try again what was refused."""
        if isinstance(compute, SlurmCompute):
            self._compute = compute
            self._account.cores = compute.cores
        self._failure = None
        self._deaths = 0
        self._refused.succeeded()
        return self._compute.known_slots

    async def close(self) -> None:
        """Cancel all instances; pending ones that cannot be canceled end by themselves once they start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        numbers = self._cancel | {one.number for one in self._account.asked.values() if one.number}
        try:
            await asyncio.wait_for(asyncio.to_thread(self._cancel_all, numbers), _CLOSE_S)
        except (SlurmError, TimeoutError) as error:
            log.warning("instances could not be canceled, and end by themselves: %s", error)
        await asyncio.to_thread(self._meeting.leave)

    def _cancel_all(self, numbers: set[str]) -> None:
        """Cancel by number what is known, and by name what was submitted without its number coming back."""
        control.cancel(numbers | {job.id for job in self._queue() if self._is_stray(job)})

    # -- SLURM ---------------------------------------------------------------------------------------------------

    async def _tend(self) -> None:
        """Submit, look and cancel, one after the other, for as long as the host lives."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._looks.left(time.monotonic()))
            self._wake.clear()
            try:
                await self._submit()
                if not self._looks.waits(time.monotonic()):
                    await self._look()
                await self._cancel_some()
            except Exception:
                log.exception("the queue could not be looked after; it is tried again")
                self._looks.failed(time.monotonic(), "")

    async def _submit(self) -> None:
        for one in [one for one in self._account.asked.values() if one.number is None]:
            try:
                script = await asyncio.to_thread(self._script, one.name)
                number = await asyncio.to_thread(control.submit, script)
            except SlurmError as error:
                self._refuse(error)
                return
            one.number, one.at = number, time.monotonic()
            self._refused.succeeded()
            self._look_soon()
            log.info("instance %s is SLURM job %s", one.name, number)
            if one.released:
                self._cancel.add(number)

    def _refuse(self, error: SlurmError) -> None:
        """Take back what was asked for: it is asked for again, later."""
        log.warning("SLURM takes no instance: %s", error)
        self._refused.failed(time.monotonic(), str(error))
        if error.permanent:
            self._failure = {
                "type": "SubmissionRefused",
                "message": f"SLURM takes no instance of compute {self._compute.name!r}: {error}",
                "next": "correct the compute, then job.resume() goes on",
            }
        self._account.forget_unsubmitted()

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            queue = await asyncio.to_thread(self._queue)
        except SlurmError as error:
            self._deaf = str(error)
            self._looks.failed(time.monotonic(), self._deaf)
            return
        self._deaf = ""
        ours = {job.id: job for job in queue if self._family.epoch_of(job.name) is not None}
        changed = self._account.look(ours, began)
        for one in self._account.take_lost(began):
            await self._bury(one)
        self._cancel |= {job.id for job in ours.values() if self._is_stray(job)}
        self._give_up_hope(began, dead_end(self._compute.name, ours.values()))
        if changed:
            self._looks.succeeded()
        # An unchanged queue is looked at less and less often.
        self._looks.failed(time.monotonic(), "")

    def _script(self, name: str) -> str:
        return instance_script(self._compute, str(self._meeting.folder), name)

    def _queue(self) -> list[QueuedJob]:
        return control.queue(getpass.getuser(), self._family.prefix)

    def _give_up_hope(self, now: float, failure: dict[str, Any] | None) -> None:
        """Take note of instances that will never start; a node that comes back may still give them hope."""
        if failure is None:
            self._hopeless_since = None
        elif self._hopeless_since is None:
            self._hopeless_since = now
        elif now - self._hopeless_since >= _HOPELESS_S:
            self._failure = self._failure or failure

    def _is_stray(self, job: QueuedJob) -> bool:
        """Return whether a job is an instance of this epoch or an earlier one that nobody will ever ask for."""
        epoch = self._family.epoch_of(job.name)
        return epoch is not None and epoch <= self._epoch and not self._account.knows(job)

    async def _cancel_some(self) -> None:
        if not self._cancel:
            return
        numbers = set(self._cancel)
        try:
            await asyncio.to_thread(control.cancel, numbers)
        except SlurmError as error:
            log.warning("instances could not be canceled; it is tried again: %s", error)
            return
        self._cancel -= numbers
        self._look_soon()

    async def _bury(self, one: Asked) -> None:
        """Take note of an instance that is gone; ones that die before they begin are a mistake in the definition."""
        log.info("instance %s, SLURM job %s, is gone", one.name, one.number)
        if one.connected or one.released:
            return
        path, said = await asyncio.to_thread(self._meeting.output, one.name, one.number or "")
        if said is None or told(said):
            return
        said = "\n".join(said.splitlines()[-_LAST_LINES:])
        self._deaths += 1
        self._refused.failed(time.monotonic(), f"an instance ended before it began, see {path}")
        if self._deaths >= _DEATHS:
            self._failure = {
                "type": "InstancesDie",
                "message": f"{self._deaths} instances of compute {self._compute.name!r} in a row ended before they "
                f"began; the last one said, in {path}:\n{said}",
                "next": "correct the compute (its python, job_script_prologue, local_directory or interface), then "
                "job.resume() goes on",
            }

    # -- helpers -------------------------------------------------------------------------------------------------

    def _connected(self) -> dict[str, bool]:
        """Return the names of the connected instances, and whether each drains."""
        if self._scheduler is None:
            return {}
        # One that has just come is not "running" at once, and drains as little as those that are.
        return {str(w.name): w.status.name in _LEAVING for w in self._scheduler.workers.values()}

    def _look_soon(self) -> None:
        self._looks.succeeded()
        self._wake.set()

    def _spawn(self, doing: Any) -> None:
        task = asyncio.create_task(doing)
        self._tasks.add(task)
        done: Callable[[asyncio.Task[None]], object] = self._tasks.discard
        task.add_done_callback(done)


async def _quietly(doing: Any) -> None:
    with contextlib.suppress(Exception):  # a worker that goes at this moment needs no more retiring
        await doing

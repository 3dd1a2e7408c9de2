"""The host: the one process that owns a compute for a user, from its first job to its idle end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

from dask_batch import settings
from dask_batch.compute.base import Provider
from dask_batch.host.autoscaler import Autoscaler
from dask_batch.host.cluster import Cluster
from dask_batch.host.coordinator import Coordinator
from dask_batch.host.deciding import decide
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.heartbeat import Heartbeat
from dask_batch.host.reporter import Capacity
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder, JobGone
from dask_batch.jobfolder.runs import current_run, open_run, run_compute
from dask_batch.specs.compute import Compute
from dask_batch.specs.job import JobDefinition

__all__ = ["DRAIN_S", "Host"]

log = logging.getLogger(__name__)

_IO_THREADS = 32
_TICK_S = 0.2
_REMOTE_TICK_S = 1.0
_REST_S = 30.0
DRAIN_S = 10.0
"""How long a host that is asked to end waits for the chunks in flight."""
_TROUBLE_EVERY_S = 10.0


class Host:
    """Takes up the jobs in the inbox, gives them instances, and ends when there has been nothing to do for a while.

    Parameters
    ----------
    folder : HostFolder
        Where it meets its clients.
    epoch : int
        The number of its life.
    heartbeat : Heartbeat
        Beats already.
    compute : LocalCompute or SlurmCompute
        What it owns.
    provider : Provider
        Gives it instances.
    slots : int
        Slots of one instance.
    """

    def __init__(
        self,
        folder: HostFolder,
        epoch: int,
        heartbeat: Heartbeat,
        compute: Compute,
        provider: Provider,
        slots: int,
    ) -> None:
        self._folder = folder
        self._epoch = epoch
        self._heartbeat = heartbeat
        self._compute = compute
        self._provider = provider
        self._slots = slots
        self._jobs: dict[str, Coordinator] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._capacity = Capacity()
        self._rests_until: dict[str, float] = {}
        self._tick_s = _TICK_S if folder.storage.is_local else _REMOTE_TICK_S
        self._draining = asyncio.Event()
        self._drain_s = DRAIN_S
        self._troubled_at = 0.0
        self._charged_at = time.monotonic()

    def drain(self, within_s: float = DRAIN_S) -> None:
        """Assign nothing more, commit what comes back in so many seconds, and end; jobs go on under the next host."""
        self._drain_s = within_s
        self._draining.set()

    async def run(self) -> None:
        """Live: until idle, replaced by a higher epoch, or drained."""
        # Small reads and writes of all jobs, none of which may wait for another one's.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_IO_THREADS, "io"))
        async with Cluster(self._provider.network) as cluster:
            self._dispatcher = Dispatcher(cluster)
            self._autoscaler = Autoscaler(
                self._provider,
                slots=self._slots,
                minimum=self._compute.min_instances,
                maximum=self._compute.max_instances,
                idle_limit_s=self._compute.idle_time_before_scale_down,
            )
            await self._provider.start(cluster.scheduler)
            try:
                await self._live(cluster)
                if self._draining.is_set():
                    await self._drain()
            finally:
                await self._leave(cluster)

    async def _live(self, cluster: Cluster) -> None:
        idle_since = time.monotonic()
        while not self._draining.is_set():
            self._heartbeat.seen(instances=self._capacity.instances, pending=self._capacity.pending)
            if self._heartbeat.replaced.is_set() or self._heartbeat.lost.is_set():
                why = "is replaced by a higher one" if self._heartbeat.replaced.is_set() else "has lost its storage"
                log.warning("epoch %d %s: this host ends", self._epoch, why)
                return
            await self._attempt(self._take_up_jobs(cluster))
            await self._attempt(self._scale(cluster))
            if self._jobs:
                idle_since = time.monotonic()
            elif self._idled_out(idle_since):
                if await self._attempt(self._may_stop()):
                    return
                idle_since = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._draining.wait(), self._tick_s)

    async def _attempt(self, doing: Awaitable[bool | None]) -> bool:
        """Do one thing of a turn; where it fails, this turn does without: jobs go on, and the next turn tries again."""
        try:
            return bool(await doing)
        except Exception:
            if time.monotonic() - self._troubled_at > _TROUBLE_EVERY_S:
                self._troubled_at = time.monotonic()
                log.exception("the host goes on after an error")
            return False

    def _idled_out(self, idle_since: float) -> bool:
        """Return whether there was nothing to do for so long that instances, then the host, should go."""
        idle_s = time.monotonic() - idle_since
        return not self._autoscaler.instances and idle_s >= settings.host_idle_s()

    async def _may_stop(self) -> bool:
        """Say that this host stops, then look at the inbox once more: a job posted before must not be missed."""
        if await asyncio.to_thread(self._folder.inbox):
            return False  # a job that rests: it could not be decided, and goes again
        await asyncio.to_thread(self._heartbeat.say, "stopping")
        if not await asyncio.to_thread(self._folder.inbox):
            return True
        await asyncio.to_thread(self._heartbeat.say, "running")
        return False

    # -- jobs ----------------------------------------------------------------------------------------------------

    async def _take_up_jobs(self, cluster: Cluster) -> None:
        for job in await asyncio.to_thread(self._folder.inbox):
            if job not in self._jobs and time.monotonic() >= self._rests_until.get(job, 0.0):
                try:
                    await self._take_up(job, cluster)
                except JobGone:
                    log.info("job %s was deleted as it was taken up", job)
                except Exception as error:
                    log.exception("job %s cannot be taken up", job)
                    self._rests_until[job] = time.monotonic() + _REST_S
                    if not isinstance(error, OSError):
                        await asyncio.to_thread(self._refuse, job, error)
        for job, task in list(self._tasks.items()):
            if task.done():
                await self._put_down(job)

    async def _take_up(self, job: str, cluster: Cluster) -> None:
        record = await asyncio.to_thread(JobFolder(self._folder.storage, job).definition)
        if record is None:
            # Its folder was deleted, or the client died before it wrote it and has not come back.
            await asyncio.to_thread(self._folder.remove, job)
            return
        definition = JobDefinition.from_stored(record)
        folder = JobFolder(self._folder.storage, job, definition.created)
        runs = await asyncio.to_thread(folder.runs)
        if not runs:
            # The client died right before it opened the first run; that was all that was left to do.
            await asyncio.to_thread(open_run, folder, 1, definition.owner)
        self._follow(await asyncio.to_thread(run_compute, folder, max(runs, default=1), definition.compute))
        coordinator = await asyncio.to_thread(
            Coordinator, folder, self._epoch, definition, cluster, self._dispatcher, self._capacity
        )
        log.info("job %s begins", job)
        self._jobs[job] = coordinator
        self._tasks[job] = asyncio.create_task(coordinator.run(), name=f"job {job}")

    def _refuse(self, job: str, error: Exception) -> None:
        """Decide a job as failed that cannot be taken up, such as one of a newer version."""
        folder = JobFolder(self._folder.storage, job)
        reason = {
            "type": type(error).__name__,
            "message": f"the job cannot be understood: {error}",
            "traceback": "".join(traceback.format_exception(error)),
            "next": "run the version of dask-batch that invoked it, or delete it and invoke again",
        }
        if folder.definition() is not None:  # or it was deleted at that moment, which was all that was wrong with it
            decide(folder, current_run(folder), self._epoch, "Failed", reason)
        self._folder.remove(job)

    def _follow(self, compute: Compute) -> None:
        """Take over the compute as it was when the newest job was invoked, or gone on with."""
        self._autoscaler.minimum = compute.min_instances
        self._autoscaler.maximum = compute.max_instances
        self._autoscaler.idle_limit_s = compute.idle_time_before_scale_down
        self._autoscaler.slots = self._provider.follow(compute)

    async def _put_down(self, job: str) -> None:
        """Take a job that has ended out of the inbox, unless it could not even be decided."""
        task = self._tasks.pop(job)
        coordinator = self._jobs.pop(job)
        if task.exception() is not None:
            log.error("job %s", job, exc_info=task.exception())
        if coordinator.settled:
            await asyncio.to_thread(self._clear_inbox, coordinator.folder, coordinator.number)
        else:
            self._rests_until[job] = time.monotonic() + _REST_S
        log.info("job %s ends", job)

    def _clear_inbox(self, folder: JobFolder, run: int) -> None:
        """Remove a job's marker, unless another run of it was opened meanwhile, or another job has its name now.

        Who resumes opens the run before posting the marker, and who invokes writes ``job.json`` before: if that is seen
        here the marker is put back, and if not, it is posted after this.
        """
        self._folder.remove(folder.job)
        if folder.definition() is None:
            # It was deleted, and what was written for it at that moment made its folder anew.
            folder.storage.remove(folder.name)
        elif folder.gone() or max(folder.runs(), default=run) > run:
            self._folder.post(folder.job)

    # -- instances -----------------------------------------------------------------------------------------------

    async def _scale(self, cluster: Cluster) -> None:
        before = time.monotonic()
        demands = [coordinator.demand() for coordinator in self._jobs.values()]
        await self._autoscaler.tick(demands, cluster.busy_instances(), before)
        instances = self._autoscaler.instances
        self._capacity.instances = sum(instance.state == "running" for instance in instances)
        self._capacity.pending = sum(instance.state == "pending" for instance in instances)
        self._capacity.why = self._autoscaler.why
        # Those that drain still end what they have.
        there = any(instance.state != "pending" for instance in instances)
        failure = self._capacity.failure = None if there else self._provider.failure
        await cluster.expect(failure["message"] if failure else "")
        self._dispatcher.resize(self._autoscaler.running_slots)
        self._charge(before)

    def _charge(self, now: float) -> None:
        """Share the cost of the instances among the jobs that run."""
        seconds, self._charged_at = now - self._charged_at, now
        held = [instance for instance in self._autoscaler.instances if instance.cores]
        for coordinator in self._jobs.values():
            share = seconds / len(self._jobs)
            coordinator.charge(share * len(held), share * sum(instance.cores for instance in held))

    async def _drain(self) -> None:
        """Assign nothing more, and wait some seconds for what is in hand to come back and be committed."""
        self._dispatcher.resize(0)
        with contextlib.suppress(OSError):
            # Whoever has a job for this host waits for its end, and starts the next one.
            await asyncio.to_thread(self._heartbeat.say, "draining")
        deadline = time.monotonic() + self._drain_s
        while any(coordinator.unsaved for coordinator in self._jobs.values()) and time.monotonic() < deadline:
            self._heartbeat.seen()
            await asyncio.sleep(self._tick_s)

    async def _leave(self, cluster: Cluster) -> None:
        """End what is left, in order: jobs stop assigning and commit, then instances go."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._provider.close()
        if not self._heartbeat.replaced.is_set():
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self._heartbeat.say, "stopping")

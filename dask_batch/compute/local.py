"""Instances on this machine: Dask workers in the host's own process, without a network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distributed import Scheduler, Worker

from dask_batch import settings
from dask_batch.compute.base import Instance
from dask_batch.compute.network import Network
from dask_batch.compute.sizing import local_slots, usable_cores
from dask_batch.compute.worker import SlotsPlugin
from dask_batch.slots.pool import Slots
from dask_batch.specs.compute import Compute, LocalCompute
from dask_batch.storage import Storage

__all__ = ["LocalProvider"]


class LocalProvider:
    """Starts and closes Dask workers in this process.

    Parameters
    ----------
    compute : LocalCompute
        What the user defined.
    storage : Storage
        The workspace's storage.
    prefix : str
        The beginning of the instances' names.
    ready : Slots, optional
        Slots that exist already, for the first instance.
    """

    def __init__(self, compute: LocalCompute, storage: Storage, prefix: str, ready: Slots | None = None) -> None:
        self._compute = compute
        self._storage = storage
        self._prefix = prefix
        self._ready = ready
        self._workers: dict[str, Worker] = {}
        self._started = 0
        self._scheduler = ""

    @property
    def network(self) -> Network:
        """Within this process: no port is open."""
        return Network()

    @property
    def why(self) -> str:
        """Nothing is ever refused here."""
        return ""

    @property
    def failure(self) -> dict[str, Any] | None:
        """There is always room here."""
        return None

    def follow(self, compute: Compute) -> int:
        """Return the slots of an instance: all are as they were defined when the host began."""
        return self._compute.slots or usable_cores()

    async def start(self, scheduler: Scheduler) -> None:
        """Note the address of the scheduler."""
        self._scheduler = scheduler.address

    async def request(self, count: int) -> None:
        """Start `count` workers; they are there when this returns."""
        for _ in range(count):
            self._started += 1
            name = f"{self._prefix}-{self._started}"
            slots, self._ready = self._ready or local_slots(self._compute, self._storage, name), None
            self._workers[name] = await Worker(
                self._scheduler,
                name=name,
                nthreads=slots.count,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                local_directory=str(_dask_folder()),
                plugins=[SlotsPlugin(slots)],
            )

    async def release(self, instances: Iterable[str]) -> None:
        """Close these workers and the scoring processes in them."""
        for name in list(instances):
            worker = self._workers.pop(name, None)
            if worker is not None:
                await worker.close(timeout=10, reason="released")

    async def instances(self) -> list[Instance]:
        """Return the workers that run."""
        return [
            Instance(name, "running", worker.state.nthreads, cores=worker.state.nthreads)
            for name, worker in self._workers.items()
            if worker.status.name == "running"
        ]

    async def close(self) -> None:
        """Close all workers."""
        await self.release(list(self._workers))
        if self._ready is not None:
            self._ready.close()


def _dask_folder() -> Path:
    folder = settings.scratch_folder() / "dask"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder

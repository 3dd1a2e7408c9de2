"""A whole job right here: the same coordinator, in this process and without Dask. For trying a deployment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from dask_batch.host.coordinator import Coordinator
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.reporter import Capacity
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.slots.pool import Slots
from dask_batch.specs.job import JobDefinition
from dask_batch.storage import Storage

__all__ = ["Here", "run_inline"]


class Here:
    """An `Executor` in threads of this process.

    Parameters
    ----------
    slots : Slots
        Where chunks are scored.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    async def score(self, task: dict[str, Any]) -> dict[str, Any]:
        """Score a chunk, as `dask_batch.host.cluster.Cluster` does."""
        return await asyncio.to_thread(self._slots.score, task)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in a thread."""
        return await asyncio.to_thread(function, *arguments)

    @property
    def width(self) -> int:
        """Functions that can run at once."""
        return self._slots.count

    async def cancel(self, gate: str) -> None:
        """Kill whatever works behind a gate."""
        self._slots.cancel(gate)


def run_inline(storage: Storage, definition: JobDefinition, slots: int = 1) -> None:
    """Run a job to its end in this process, with scoring processes beside it.

    Parameters
    ----------
    storage : Storage
        Where the job's folder is, with ``job.json`` and ``run-1.json`` in it.
    definition : JobDefinition
        What ``job.json`` says.
    slots : int
        How many scoring processes it may use.
    """

    # Asyncio must run in a thread of its own: in a notebook the main thread has a running loop already.
    def target() -> None:
        asyncio.run(_run(storage, definition, slots))

    thread = threading.Thread(target=target, name="dask-batch-inline")
    thread.start()
    thread.join()


async def _run(storage: Storage, definition: JobDefinition, count: int) -> None:
    folder = JobFolder(storage, definition.name)
    with Slots(storage, count, name="here") as slots:
        here = Here(slots)
        dispatcher = Dispatcher(here)
        dispatcher.resize(count)
        coordinator = Coordinator(folder, 1, definition, here, dispatcher, Capacity(instances=1))
        await coordinator.run()

"""What runs in an instance: a Dask worker that holds slots, and the functions that Dask tasks call.

No user code runs here; it runs in the scoring processes that the slots hold.
"""

from __future__ import annotations

import asyncio
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from dask_batch.slots.pool import Slots

__all__ = ["SlotsPlugin", "cancel_gate", "score_chunk"]


class SlotsPlugin(WorkerPlugin):  # type: ignore[misc]
    """Gives a worker its slots, and ends them with it.

    Parameters
    ----------
    slots : Slots
        The slots of this instance.
    """

    name = "dask-batch-slots"

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def setup(self, worker: Worker) -> None:
        """Make the slots reachable for the tasks of this worker."""
        worker.dask_batch_slots = self._slots

    async def teardown(self, worker: Worker) -> None:
        """End the scoring processes."""
        await asyncio.to_thread(self._slots.close)


def score_chunk(task: dict[str, Any]) -> dict[str, Any]:
    """Score one chunk in a slot of this instance; arguments and result as `Slots.score` has them."""
    slots: Slots = get_worker().dask_batch_slots
    return slots.score(task)


def cancel_gate(gate: str, dask_worker: Worker) -> None:
    """Kill what works behind a gate on this instance; called by the scheduler on every worker."""
    dask_worker.dask_batch_slots.cancel(gate)

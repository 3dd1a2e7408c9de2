"""The Dask scheduler and client inside a host: chunks go in, small records come out."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any

import dask
from distributed import Client, Scheduler
from distributed.client import Future
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker
from distributed.utils import CancelledError

from dask_batch import settings
from dask_batch.compute.network import DASK_CONFIG, Network
from dask_batch.compute.worker import cancel_gate, score_chunk
from dask_batch.host.executor import InstanceLost, NoInstances

__all__ = ["Cluster"]


class Cluster:
    """A Dask scheduler and client in this process.

    Parameters
    ----------
    network : Network
        How instances reach the scheduler.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._count = itertools.count()
        self._futures: set[Future] = set()
        self._hopeless = ""

    async def __aenter__(self) -> Cluster:
        logging.getLogger("distributed").setLevel(logging.WARNING)
        dask.config.set(DASK_CONFIG | {"temporary-directory": str(settings.scratch_folder() / "dask")})
        network = self._network
        self.scheduler = await Scheduler(
            protocol=network.protocol,
            security=network.security,
            interface=network.interface,
            dashboard=False,
            dashboard_address="127.0.0.1:0",
        )
        self._client = await Client(
            self.scheduler.address, asynchronous=True, set_as_default=False, security=network.security
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
        await self.scheduler.close()

    async def score(self, task: dict[str, Any]) -> dict[str, Any]:
        """Score one chunk somewhere and return the outcome of `Slots.score`; raises InstanceLost."""
        outcome: dict[str, Any] = await self.run(score_chunk, task)
        return outcome

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in a thread of some instance and return what it returns.

        Raises
        ------
        InstanceLost
            The instance went away meanwhile.
        NoInstances
            There will be no instance to run it.
        """
        if self._hopeless:
            raise NoInstances(self._hopeless)
        # Tuple keys share one task group, so that Dask queues on the scheduler what has no slot yet.
        key = ("dask-batch", next(self._count))
        future: Future = self._client.submit(function, *arguments, key=key, pure=False, retries=0)
        self._futures.add(future)
        try:
            return await future
        except (KilledWorker, CancelledError, asyncio.CancelledError, CommClosedError) as error:
            if isinstance(error, asyncio.CancelledError):
                raise
            if self._hopeless:
                raise NoInstances(self._hopeless) from error
            raise InstanceLost(str(error)) from error
        finally:
            self._futures.discard(future)
            future.release()

    async def expect(self, hopeless: str) -> None:
        """Take note of why there will be no instances, and let go of what waits for one; ``""``: there may be some."""
        before, self._hopeless = self._hopeless, hopeless
        if hopeless and not before and self._futures:
            await self._client.cancel(list(self._futures))

    @property
    def width(self) -> int:
        """Functions that can run at once."""
        return max(1, sum(int(worker.nthreads) for worker in self.scheduler.workers.values()))

    async def cancel(self, gate: str) -> None:
        """Kill whatever works behind a gate, on all instances."""
        await self._client.run(cancel_gate, gate, on_error="ignore")

    def busy_instances(self) -> frozenset[str]:
        """Return the names of the instances that run something."""
        return frozenset(str(worker.name) for worker in self.scheduler.workers.values() if worker.processing)

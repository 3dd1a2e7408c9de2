"""The smallest interface between a host and what gives it instances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from distributed import Scheduler

from dask_batch.compute.network import Network
from dask_batch.specs.compute import Compute

__all__ = ["Instance", "Provider"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One Dask worker that is there, or was asked for.

    Parameters
    ----------
    id : str
        Its name: the Dask worker's name, and part of the names of logs.
    state : str
        ``"pending"``, ``"running"`` (it takes chunks) or ``"draining"`` (it takes none and will be gone).
    slots : int
        Scoring processes it has room for.
    why : str
        Why it is pending, in the cluster's own words.
    cores : int
        Cores that the cluster holds for it at this moment.
    """

    id: str
    state: str
    slots: int
    why: str = ""
    cores: int = 0


class Provider(Protocol):
    """Gives a host instances, which connect to the host's Dask scheduler by themselves."""

    @property
    def network(self) -> Network:
        """How instances reach the host's scheduler."""

    @property
    def why(self) -> str:
        """Why nothing more can be asked for at the moment, in the cluster's own words; empty if it can."""

    @property
    def failure(self) -> dict[str, Any] | None:
        """Why there will be no instances however long one waits; None as long as there may be some."""

    async def start(self, scheduler: Scheduler) -> None:
        """Begin; `scheduler` is what instances connect to."""

    async def request(self, count: int) -> None:
        """Ask for `count` more instances; they may come later, and fewer may be asked for after a refusal."""

    async def release(self, instances: Iterable[str]) -> None:
        """End these instances; what they run is lost, so release idle ones."""

    async def instances(self) -> list[Instance]:
        """Return the instances that are there or asked for, as the cluster says at this moment."""

    def follow(self, compute: Compute) -> int:
        """Take over the definition as the newest job has it, for instances from now on, and return the slots of each.

        What failed is tried again.
        """

    async def close(self) -> None:
        """End all instances and leave nothing behind."""

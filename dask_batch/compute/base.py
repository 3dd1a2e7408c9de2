"""The smallest interface between a host and what gives it instances."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Instance", "Provider"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One Dask worker that is there, or was asked for.

    Parameters
    ----------
    id : str
        Its name: the Dask worker's name, and part of the names of logs.
    state : str
        ``"pending"``, ``"running"`` or ``"draining"``.
    slots : int
        Scoring processes it has room for.
    why : str
        Why it is pending, in the cluster's own words.
    """

    id: str
    state: str
    slots: int
    why: str = ""


class Provider(Protocol):
    """Gives a host instances, which connect to the host's Dask scheduler by themselves."""

    async def start(self, scheduler: str) -> None:
        """Begin; `scheduler` is the address that instances connect to."""

    async def request(self, count: int) -> None:
        """Ask for `count` more instances; they may come later."""

    async def release(self, instances: Iterable[str]) -> None:
        """End these instances; what they run is lost, so release idle ones."""

    async def instances(self) -> list[Instance]:
        """Return the instances that are there or asked for, as the cluster says at this moment."""

    async def close(self) -> None:
        """End all instances and leave nothing behind."""

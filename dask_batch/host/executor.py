"""Where the functions of a run go: a Dask cluster, or right here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Executor", "InstanceLost", "NoInstances"]


class InstanceLost(Exception):
    """The instance that ran a task is gone."""


class NoInstances(Exception):
    """There are no instances, and there will be none; the message says why."""


class Executor(Protocol):
    """Runs chunks and other functions of ours."""

    async def score(self, task: dict[str, Any]) -> dict[str, Any]:
        """Score one chunk and return the outcome of `Slots.score`; raises InstanceLost."""

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function and return what it returns; raises InstanceLost, and NoInstances where there will be none."""

    @property
    def width(self) -> int:
        """Functions that can run at once, at least 1."""

    async def cancel(self, gate: str) -> None:
        """Kill whatever works behind a gate."""

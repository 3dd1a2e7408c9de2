"""Fair shares: which job gets the next free slot."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol

from dask_batch.host.executor import Executor
from dask_batch.planning.cutting import Work

__all__ = ["Dispatcher", "Line"]


class Line(Protocol):
    """One job, standing in line for slots."""

    @property
    def ready(self) -> bool:
        """Whether it has work that nobody has in hand, and may have more in hand."""

    def begin(self, slots: int) -> tuple[Work, dict[str, Any]]:
        """Take work in hand, given the slots there are, and return it with its task."""

    def end(self, work: Work, outcome: dict[str, Any] | Exception) -> None:
        """Take note of how work in hand ended."""


class Dispatcher:
    """Gives slots to jobs in turn, one chunk at a time, never more chunks than slots.

    Parameters
    ----------
    executor : Executor
        Where chunks run.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._lines: deque[Line] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self.slots = 0

    @property
    def in_flight(self) -> int:
        """Chunks that run now."""
        return len(self._running)

    def join(self, line: Line) -> None:
        """Let a job stand in line."""
        self._lines.append(line)
        self.pump()

    def leave(self, line: Line) -> None:
        """Take a job out of the line; what it has in hand goes on."""
        self._lines.remove(line)

    def resize(self, slots: int) -> None:
        """Note how many slots there are now."""
        self.slots = slots
        self.pump()

    def pump(self) -> None:
        """Start chunks while there are free slots and jobs that are ready, each in its turn."""
        while len(self._running) < self.slots:
            line = self._next_ready()
            if line is None:
                return
            work, task = line.begin(self.slots)
            running = asyncio.create_task(self._run(line, work, task))
            self._running.add(running)
            running.add_done_callback(self._done)

    def _next_ready(self) -> Line | None:
        for _ in range(len(self._lines)):
            line = self._lines[0]
            self._lines.rotate(-1)
            if line.ready:
                return line
        return None

    async def _run(self, line: Line, work: Work, task: dict[str, Any]) -> None:
        try:
            outcome: dict[str, Any] | Exception = await self._executor.score(task)
        except Exception as error:  # noqa: BLE001  (the job decides what it means)
            outcome = error
        line.end(work, outcome)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.pump()

"""Names in a job's folder, and the small records in it that never change once written."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from dask_batch.storage import Storage, join

__all__ = ["JobFolder", "JobGone", "now"]


def now() -> str:
    """Return the time as an ISO 8601 string in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JobGone(Exception):
    """The job that somebody works on was deleted; there may be another one of its name."""


class JobFolder:
    """The folder ``jobs/<job>/`` of a workspace.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    job : str
        The job's name.
    created : str, optional
        When the job was invoked, as its ``job.json`` says: for a host, which works on it for long and may be frozen
        over it. Once that job was deleted nothing more is written to the folder, which may be that of another one.
    """

    def __init__(self, storage: Storage, job: str, created: str | None = None) -> None:
        self.storage = storage
        self.job = job
        self.name = join("jobs", job)
        self._created = created
        self._outcomes: dict[int, dict[str, Any]] = {}

    def __repr__(self) -> str:
        return f"JobFolder({self.url()!r})"

    def path(self, *parts: str) -> str:
        """Return the name, within the storage, of a file in this folder."""
        return join(self.name, *parts)

    def url(self, *parts: str) -> str:
        """Return the path or URL of a file in this folder."""
        return self.storage.url(self.path(*parts))

    # -- what was asked ------------------------------------------------------------------------------------------

    def create(self, definition: dict[str, Any]) -> bool:
        """Write ``job.json``; return False if the folder has one already."""
        return self.storage.create_json(self.path("job.json"), definition)

    def definition(self) -> dict[str, Any] | None:
        """Return what ``job.json`` says, or None if there is no such job."""
        document: dict[str, Any] | None = self.storage.find_json(self.path("job.json"))
        return document

    # -- whether it is still that job ----------------------------------------------------------------------------

    def gone(self) -> bool:
        """Return whether the job that this is about was deleted; False where it was not told which one that is."""
        if self._created is None:
            return False
        record = self.definition()
        return record is None or record.get("created") != self._created

    def check(self) -> None:
        """Raise JobGone if the job that this is about was deleted."""
        if self.gone():
            raise JobGone(f"job {self.job!r} was deleted")

    def add(self, name: str, content: bytes) -> bool:
        """Write a file of this folder as `Storage.create` does. Raises JobGone if the job was deleted."""
        return self._add(name, lambda: self.storage.create(name, content))

    def add_json(self, name: str, document: Any) -> bool:
        """Write a JSON document as `add` does."""
        return self._add(name, lambda: self.storage.create_json(name, document))

    def _add(self, name: str, create: Callable[[], bool]) -> bool:
        self.check()
        added = create()
        if added and self.gone():
            # It was deleted right before this was written, which would be taken for a file of the next one.
            self.storage.remove(name)
            self.check()
        return added

    # -- runs ----------------------------------------------------------------------------------------------------

    def open_run(self, number: int, request: dict[str, Any]) -> bool:
        """Write ``run-<n>.json``; return False if that run is open already."""
        return self.add_json(self.path(f"run-{number}.json"), request)

    def runs(self) -> list[int]:
        """Return the numbers of the runs opened so far, ascending."""
        return self._numbered(r"run-(\d+)\.json")

    def run(self, number: int) -> dict[str, Any]:
        """Return what run `number` asked for."""
        document: dict[str, Any] = self.storage.read_json(self.path(f"run-{number}.json"))
        return document

    # -- cancel --------------------------------------------------------------------------------------------------

    def request_cancel(self, number: int, who: str) -> bool:
        """Ask for run `number` to be canceled; return False if somebody has asked already."""
        return self.storage.create_json(self.path(f"cancel-{number}"), {"by": who, "at": now()})

    def cancel_requested(self, number: int) -> dict[str, Any] | None:
        """Return who asked for run `number` to be canceled and when, or None."""
        document: dict[str, Any] | None = self.storage.find_json(self.path(f"cancel-{number}"))
        return document

    # -- decision ------------------------------------------------------------------------------------------------

    def decide(self, number: int, decision: dict[str, Any]) -> bool:
        """Write ``final-<n>.json``, the one name that completion, failure and cancel compete for.

        Returns False if run `number` was decided before: then that decision stands.
        """
        return self.add_json(self.path(f"final-{number}.json"), decision)

    def decision(self, number: int) -> dict[str, Any] | None:
        """Return how run `number` was decided, or None."""
        document: dict[str, Any] | None = self.storage.find_json(self.path(f"final-{number}.json"))
        return document

    def outcome(self, number: int) -> dict[str, Any] | None:
        """Return how run `number` was decided, without the entries, or None.

        A decision never changes and may be long, so it is read once by each object of this class.
        """
        if number not in self._outcomes:
            decision = self.decision(number)
            if decision is None:
                return None
            self._outcomes[number] = {name: value for name, value in decision.items() if name != "entries"}
        return self._outcomes[number]

    def close(self, number: int, result: dict[str, Any]) -> bool:
        """Write ``finalized-<n>.json``: the outputs of a completed run are in place, or could not be put there."""
        return self.add_json(self.path(f"finalized-{number}.json"), result)

    def closed(self, number: int) -> dict[str, Any] | None:
        """Return how finalizing run `number` ended, or None."""
        document: dict[str, Any] | None = self.storage.find_json(self.path(f"finalized-{number}.json"))
        return document

    def _numbered(self, pattern: str) -> list[int]:
        found = (re.fullmatch(pattern, name) for name in self.storage.list(self.name))
        return sorted(int(match[1]) for match in found if match)

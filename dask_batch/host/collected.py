"""The names of files that a job's script has left: two mini-batches must not leave the same one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dask_batch.jobfolder.chunks import Chunk
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry
from dask_batch.planning.cutting import Work

__all__ = ["CollectedNames", "without"]


class CollectedNames:
    """Which mini-batch left which file, as far as it is committed.

    Parameters
    ----------
    folder : JobFolder
        The job.
    """

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        # A mini-batch that was cut around a death leaves files from each of its pieces: (mini-batch, first item).
        self._owner: dict[str, tuple[int, int]] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Take note of the files of committed entries."""
        for entry in entries:
            self._owner |= {name: (mini_batch, _start(entry)) for mini_batch, name in self._files(entry)}

    def conflicts(self, entry: Entry) -> dict[int, dict[str, Any]]:
        """Return the mini-batches of an entry that left a file another one has left, each with its error record."""
        found: dict[int, dict[str, Any]] = {}
        for mini_batch, name in self._files(entry):
            here = (mini_batch, _start(entry))
            other = self._owner.get(name, here)
            if other != here:
                parts = other[0] == mini_batch
                both = f"two parts of mini-batch {mini_batch}" if parts else f"mini-batches {other[0]} and {mini_batch}"
                found[mini_batch] = {
                    "stage": "write",
                    "type": "DuplicateOutput",
                    "message": (
                        f"{both} wrote {name!r} to AZUREML_BI_OUTPUT_PATH; "
                        "make the name unique, for example from the input file's, or set on_duplicate='last'"
                    ),
                    "traceback": "",
                }
        return found

    def _files(self, entry: Entry) -> list[tuple[int, str]]:
        if not entry.counts.collected or entry.report is None:
            return []
        report = self._folder.storage.read_json(self._folder.path(entry.report))
        return [(int(mini_batch), str(name)) for mini_batch, name in report["files"]]


def _start(entry: Entry) -> int:
    return entry.chunk.items[0] if entry.chunk.items else 0


def without(entry: Entry, conflicts: dict[int, dict[str, Any]]) -> list[Work]:
    """Return the work that takes the place of an entry that must not be committed.

    Its conflicting mini-batches fail with their records; the others are scored again.
    """
    again: list[Work] = []
    start = entry.chunk.first
    for mini_batch, record in sorted(conflicts.items()):
        if mini_batch > start:
            again.append(Work(Chunk(start, mini_batch), redo=entry.redo))
        items = entry.chunk.items if entry.chunk.stop - entry.chunk.first == 1 else None
        again.append(Work(Chunk(mini_batch, mini_batch + 1, items), redo=entry.redo, verdict=record))
        start = mini_batch + 1
    if start < entry.chunk.stop:
        again.append(Work(Chunk(start, entry.chunk.stop), redo=entry.redo))
    return again

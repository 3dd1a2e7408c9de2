"""The ledger: what counts. Parts that no entry names do not exist.

Each epoch (the life of one host) has an adoption, which fixes the entries of earlier epochs that count, and its own
numbered files of entries. A host adopts before it scores anything. From then on no file of an earlier epoch is read
again, so whatever a frozen or replaced host still writes is without effect.

A run goes on from what the run before it was decided with: its decision, not the ledger, says what that came to. A host
that was replaced may have decided it, by entries that its successor never adopted.
"""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from dask_batch.errors import InternalError
from dask_batch.jobfolder.chunks import Chunk, Counts, Point
from dask_batch.jobfolder.folder import JobFolder, now

__all__ = ["Entry", "Ledger", "check_disjoint", "counting_entries", "entries_of_run", "in_order", "latest_adoption"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed chunk.

    Parameters
    ----------
    chunk : Chunk
        What it covers.
    counts : Counts
        What it adds to the totals; `rows_out` is the rows of its part.
    part, report, errors : str, optional
        Names of files in the job folder: the rows (Arrow IPC), the report (JSON: a row per mini-batch, and the
        collected files) and the failed items (JSON lines).
    split_rows : dict of str to int
        For splits that are only a piece of their file: rows of the split that this entry covers.
    run, attempt : int
        The run that scored it, and how many attempts it took.
    deaths, losses, hiccups : int
        Attempts that ended because a scoring process died, an instance was lost, or a store did not answer.
    redo : bool
        Whether it scores again what failed in an earlier run: then it replaces what that says of these items.
    instance : str
        Where it was scored.
    seconds : float
        How long a slot was busy with it.
    """

    chunk: Chunk
    counts: Counts
    part: str | None = None
    report: str | None = None
    errors: str | None = None
    split_rows: dict[str, int] = field(default_factory=dict)
    run: int = 1
    attempt: int = 1
    deaths: int = 0
    losses: int = 0
    hiccups: int = 0
    redo: bool = False
    instance: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the entry as it stands in the ledger."""
        record: dict[str, Any] = {"chunk": self.chunk.to_json(), "counts": self.counts.to_json()}
        for name in ("part", "report", "errors", "split_rows", "instance", "deaths", "losses", "hiccups", "redo"):
            if value := getattr(self, name):
                record[name] = value
        return record | {"run": self.run, "attempt": self.attempt, "seconds": round(self.seconds, 4)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Entry:
        """Return the entry that `to_json` described."""
        return cls(
            chunk=Chunk.from_json(record["chunk"]),
            counts=Counts.from_json(record["counts"]),
            part=record.get("part"),
            report=record.get("report"),
            errors=record.get("errors"),
            split_rows=record.get("split_rows", {}),
            run=record.get("run", 1),
            attempt=record.get("attempt", 1),
            deaths=record.get("deaths", 0),
            losses=record.get("losses", 0),
            hiccups=record.get("hiccups", 0),
            redo=record.get("redo", False),
            instance=record.get("instance", ""),
            seconds=record.get("seconds", 0.0),
        )


class Ledger:
    """The ledger of one job as the host of one epoch sees it: it adopts once, then appends.

    Parameters
    ----------
    folder : JobFolder
        The job.
    epoch : int
        The number of this host's life.
    run : int
        The run that it works on.
    """

    def __init__(self, folder: JobFolder, epoch: int, run: int = 1) -> None:
        self._folder = folder
        self._epoch = epoch
        self._run = run
        self._sequence = 0

    def adopt(self) -> list[Entry]:
        """Fix and return the entries of earlier runs and epochs that count, in the plan's order.

        Adopting twice in one epoch returns the first adoption and this epoch's own entries, as far as they still count.

        Raises
        ------
        InternalError
            Two entries that count cover the same item.
        """
        name = self._folder.path("ledger", f"e{self._epoch}-adopted.json")
        entries = entries_of_run(self._folder, self._run, self._epoch - 1)
        record = {"epoch": self._epoch, "at": now(), "entries": [entry.to_json() for entry in entries]}
        if not self._folder.add_json(name, record):
            entries = entries_of_run(self._folder, self._run, self._epoch)
            self._sequence = _next_sequence(self._folder, self._epoch)
        check_disjoint(entries)
        return entries

    def append(self, entries: Iterable[Entry]) -> None:
        """Commit entries: when this returns they count, together."""
        record = {"id": secrets.token_hex(8), "entries": [entry.to_json() for entry in entries]}
        name = self._folder.path("ledger", f"e{self._epoch}-{self._sequence:08d}.json")
        if not self._folder.add_json(name, record):
            raise InternalError(f"{name} exists already: two hosts share epoch {self._epoch}")
        self._sequence += 1


def latest_adoption(folder: JobFolder, before: int | None = None) -> int | None:
    """Return the highest epoch that adopted this job's ledger (below `before`), or None."""
    found = (re.fullmatch(r"e(\d+)-adopted\.json", name) for name in folder.storage.list(folder.path("ledger")))
    epochs = [int(match[1]) for match in found if match]
    return max((epoch for epoch in epochs if before is None or epoch < before), default=None)


def counting_entries(folder: JobFolder, epoch: int) -> Iterator[Entry]:
    """Yield the entries that count in `epoch`: those it adopted, then its own, in the order of commitment."""
    adopted = folder.storage.read_json(folder.path("ledger", f"e{epoch}-adopted.json"))
    yield from (Entry.from_json(record) for record in adopted["entries"])
    for name in folder.storage.list(folder.path("ledger")):
        if re.fullmatch(rf"e{epoch}-\d+\.json", name):
            document = folder.storage.read_json(folder.path("ledger", name))
            yield from (Entry.from_json(record) for record in document["entries"])


def entries_of_run(folder: JobFolder, run: int, epoch: int | None = None) -> list[Entry]:
    """Return the entries that count in a run, in the plan's order.

    Parameters
    ----------
    folder : JobFolder
        The job.
    run : int
        The run. It begins with what the run before was decided with.
    epoch : int, optional
        As the host of this epoch sees it, which may have been replaced. None: as they count at this moment.
    """
    known = _known(folder, None if epoch is None else epoch + 1)
    decision = folder.decision(run - 1) if run > 1 else None
    if decision is None:
        return in_order(entry for entry in known if entry.run <= run)
    before = [Entry.from_json(record) for record in decision["entries"]]
    return in_order([*before, *(entry for entry in known if entry.run == run)])


def _known(folder: JobFolder, before: int | None) -> list[Entry]:
    """Return the entries that count in the highest epoch (below `before`) that has adopted the job.

    Another host may adopt while they are read. From then on its entries count, so they are read again: else whoever
    adopts, or cancels, by what is returned here would drop what that host has finished.
    """
    last = latest_adoption(folder, before)
    while True:
        known = [] if last is None else list(counting_entries(folder, last))
        after = latest_adoption(folder, before)
        if after == last:
            return known
        last = after


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries in input order; of entries for the same items, earlier runs first."""
    return sorted(entries, key=lambda entry: (entry.chunk.first, (entry.chunk.items or (0,))[0], entry.run))


def check_disjoint(entries: Iterable[Entry]) -> None:
    """Raise InternalError if two entries of the same run cover the same item."""
    # Of one run, failed rows of splits, and items, are told apart: what failed was covered by an earlier run.
    for one, other in itertools.pairwise(sorted(entries, key=_by_run_and_kind)):
        same = one.run == other.run and (one.chunk.split is None) == (other.chunk.split is None)
        if same and one.chunk.overlaps(other.chunk):
            raise InternalError(f"{one.chunk} and {other.chunk} are both in the ledger and overlap")


def _by_run_and_kind(entry: Entry) -> tuple[int, int, Point]:
    return entry.run, -1 if entry.chunk.split is None else entry.chunk.split, entry.chunk.begin


def _next_sequence(folder: JobFolder, epoch: int) -> int:
    found = (re.fullmatch(rf"e{epoch}-(\d+)\.json", name) for name in folder.storage.list(folder.path("ledger")))
    return max((int(match[1]) + 1 for match in found if match), default=0)

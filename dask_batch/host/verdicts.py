"""What follows from how a chunk ended: pure steps from an outcome to work, entries and failures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.ledger import Entry
from dask_batch.planning.cutting import Suspect, Work, after_death

__all__ = ["after_process_death", "death_record", "entry_of", "failure"]

_TYPES = {"timeout": "Timeout", "read_timeout": "ReadTimeout", "memory": "OutOfMemory", "crash": "ProcessDied"}


def entry_of(work: Work, outcome: dict[str, Any], run: int, before: Counts) -> Entry:
    """Return the ledger entry for a chunk that was scored.

    Parameters
    ----------
    work : Work
        The chunk.
    outcome : dict
        How it was scored.
    run : int
        In which run.
    before : Counts
        What its items are counted as, where they failed in an earlier run.
    """
    counts = Counts.from_json(outcome["counts"])
    return Entry(
        chunk=work.chunk,
        # The bytes of what failed were counted when it failed.
        counts=replace(counts - before, bytes=0) if work.redo else counts,
        part=outcome.get("part"),
        report=outcome.get("report"),
        errors=outcome.get("errors"),
        split_rows=outcome.get("split_rows") or {},
        run=run,
        attempt=work.attempt,
        deaths=work.deaths,
        losses=work.losses,
        hiccups=work.hiccups,
        redo=work.redo,
        instance=outcome.get("instance", ""),
        seconds=outcome.get("slot_seconds", 0.0),
    )


def death_record(outcome: dict[str, Any]) -> dict[str, Any]:
    """Return the error record that items fail with which killed their scoring process."""
    return {
        "stage": outcome["stage"],
        "type": _TYPES[outcome["cause"]],
        "message": outcome["message"],
        "traceback": outcome["stack"],
    }


def after_process_death(
    work: Work, outcome: dict[str, Any], *, max_retries: int, bisect: bool, table: bool
) -> list[Work]:
    """Return the work that takes the place of `work`, whose scoring process died as `outcome` says."""
    suspect = None
    if outcome["stage"] == "predict" and outcome["items"] is not None and outcome["items"][1] is not None:
        halve = table and outcome["cause"] == "memory"
        suspect = Suspect(outcome["mini_batch"], tuple(outcome["items"]), halve)
    elif outcome["stage"] == "read" and outcome["mini_batch"] is not None:
        return _after_death_by_reading(work, outcome["mini_batch"])
    return after_death(work, suspect, max_retries=max_retries, bisect=bisect, verdict=death_record(outcome))


def _after_death_by_reading(work: Work, mini_batch: int) -> list[Work]:
    """Set the mini-batch apart that was being read; the caller decides when its split is to be passed over."""
    chunk = work.chunk
    if chunk.stop - chunk.first == 1:
        return [replace(work, deaths=work.deaths + 1)]
    again = [replace(work, chunk=Chunk(mini_batch, mini_batch + 1), deaths=1)]
    if mini_batch > chunk.first:
        again.insert(0, replace(work, chunk=Chunk(chunk.first, mini_batch), deaths=0))
    if mini_batch + 1 < chunk.stop:
        again.append(replace(work, chunk=Chunk(mini_batch + 1, chunk.stop), deaths=0))
    return again


def failure(error: dict[str, Any], following: str) -> dict[str, Any]:
    """Return the reason of a failed job from an error record, with what to do next."""
    kept = ("type", "message", "traceback", "stage", "file", "row")
    return {name: error[name] for name in kept if error.get(name) is not None} | {"next": following}

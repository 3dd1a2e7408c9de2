"""What to do with a chunk whose scoring process or instance died: cut around the suspect. Pure.

The mini-batch, and within it the items, that user code had in its hands when the process died are the suspect. What
was before and after it goes again, uncharged. The suspect is tried again; then each of its halves gets one try, and
so on, until single items stand alone: those are guilty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from dask_batch.jobfolder.chunks import Chunk

__all__ = ["Suspect", "Work", "after_death", "after_loss"]

_LOSSES = 3


@dataclass(frozen=True, slots=True)
class Work:
    """A chunk that is to be scored, and what happened to it so far.

    Parameters
    ----------
    chunk : Chunk
        What to score.
    deaths : int
        Scoring processes that died of it.
    losses : int
        Instances lost under it.
    hiccups : int
        Transient storage errors that it met.
    redo : bool
        Whether it scores again what failed in an earlier run.
    verdict : dict, optional
        Set once its items are guilty: the error record they fail with, without running user code on them.
    """

    chunk: Chunk
    deaths: int = 0
    losses: int = 0
    hiccups: int = 0
    redo: bool = False
    verdict: dict[str, Any] | None = field(default=None, compare=False)

    @property
    def attempt(self) -> int:
        """Which attempt the next one is, counted from 1."""
        return 1 + self.deaths + self.losses + self.hiccups


@dataclass(frozen=True, slots=True)
class Suspect:
    """What user code had in its hands when its process died.

    Parameters
    ----------
    mini_batch : int
        Position in the plan.
    items : tuple of (int, int)
        Items lo to hi - 1 of it, hi greater than lo.
    halve : bool
        Do not try the same again, go to halves at once (out of memory).
    """

    mini_batch: int
    items: tuple[int, int]
    halve: bool = False


def after_death(
    work: Work, suspect: Suspect | None, *, max_retries: int, bisect: bool, verdict: dict[str, Any]
) -> list[Work]:
    """Return the work that takes the place of `work`, whose scoring process died.

    Parameters
    ----------
    work : Work
        What the process was scoring.
    suspect : Suspect or None
        None where nothing in particular can be suspected.
    max_retries : int
        How often the suspect is tried again as it is.
    bisect : bool
        False: when the tries are used up, all items of the suspect are guilty.
    verdict : dict
        The error record that guilty items fail with.

    Returns
    -------
    list of Work
        Disjoint, together covering exactly what `work` covers, in order.
    """
    if suspect is None:
        return _after_death_of_nobody(work, max_retries, verdict)
    before, alone, after = _around(work.chunk, suspect)
    known = alone == work.chunk
    deaths = work.deaths + 1 if known else 1
    if suspect.halve:
        deaths = max(deaths, max_retries + 1)
    again = [replace(work, chunk=chunk, deaths=0) for chunk in before]
    again += _suspects(replace(work, chunk=alone, deaths=deaths), max_retries, bisect, verdict)
    return again + [replace(work, chunk=chunk, deaths=0) for chunk in after]


def after_loss(work: Work, verdict: dict[str, Any], *, files: int | None = None) -> list[Work]:
    """Return the work that takes the place of `work`, whose instance was lost.

    That is nobody's fault, so the same work goes again. After three losses it is cut in halves, which get one try
    each, down to single files; what alone loses three instances is failed.

    Parameters
    ----------
    work : Work
        What the instance was scoring.
    verdict : dict
        The error record that items fail with which nobody survives.
    files : int, optional
        How many items a single mini-batch has. None: not known before it is read (tables), so it stays whole.
    """
    lost = replace(work, losses=work.losses + 1)
    if lost.losses < _LOSSES:
        return [lost]
    if work.chunk.stop - work.chunk.first > 1:
        return [replace(lost, chunk=half, losses=_LOSSES - 1) for half in _halves(work.chunk)]
    lo, hi = work.chunk.items or (0, None)
    hi = files if hi is None else hi
    if hi is None or hi - lo <= 1:
        return [replace(lost, verdict=verdict)]
    middle = (lo + hi) // 2
    halves = ((lo, middle), (middle, work.chunk.items[1] if work.chunk.items else None))
    return [replace(lost, chunk=replace(work.chunk, items=items), losses=_LOSSES - 1) for items in halves]


def _after_death_of_nobody(work: Work, max_retries: int, verdict: dict[str, Any]) -> list[Work]:
    died = replace(work, deaths=work.deaths + 1)
    if died.deaths <= max_retries:
        return [died]
    if work.chunk.stop - work.chunk.first > 1:
        return [replace(died, chunk=half, deaths=max_retries) for half in _halves(work.chunk)]
    return [replace(died, verdict=verdict)]


def _around(chunk: Chunk, suspect: Suspect) -> tuple[list[Chunk], Chunk, list[Chunk]]:
    """Return what of a chunk lies before its suspect, the suspect as a chunk, and what lies after it."""
    k, (lo, hi) = suspect.mini_batch, suspect.items
    start, end = chunk.items or (0, None)
    before = [Chunk(chunk.first, k)] if k > chunk.first else []
    if lo > start:
        before.append(replace(chunk, first=k, stop=k + 1, items=(start, lo)))
    after = [replace(chunk, first=k, stop=k + 1, items=(hi, end))] if end is None or hi < end else []
    if k + 1 < chunk.stop:
        after.append(Chunk(k + 1, chunk.stop))
    return before, replace(chunk, first=k, stop=k + 1, items=(lo, hi)), after


def _suspects(work: Work, max_retries: int, bisect: bool, verdict: dict[str, Any]) -> list[Work]:
    """Return a suspect once more, or its halves, or the verdict on it."""
    if work.deaths <= max_retries:
        return [work]
    lo, hi = work.chunk.items or (0, None)
    if not bisect or hi is None or hi - lo <= 1:
        return [replace(work, verdict=verdict)]
    middle = (lo + hi) // 2
    # One try each: the next death of a half uses up its tries.
    return [
        replace(work, chunk=replace(work.chunk, items=items), deaths=max_retries)
        for items in ((lo, middle), (middle, hi))
    ]


def _halves(chunk: Chunk) -> list[Chunk]:
    middle = (chunk.first + chunk.stop) // 2
    return [Chunk(chunk.first, middle), Chunk(middle, chunk.stop)]

"""Retry, then bisection: which items of a range can be scored, and which cannot. Pure but for the call itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["ChunkFailed", "NotIsolated", "Solved", "solve"]

R = TypeVar("R")


class ChunkFailed(BaseException):
    """The chunk as a whole cannot be scored, whatever its items are: its part cannot be written, its store is away.

    It is no ``Exception``, so that neither `solve` nor user code takes it for a failure of items.

    Parameters
    ----------
    message : str
        What failed, with the path, the reason and the next step.
    stage : str
        ``"read"`` or ``"write"``.
    transient : bool
        Whether another attempt may succeed.
    """

    def __init__(self, message: str, *, stage: str = "write", transient: bool = False) -> None:
        super().__init__(message)
        self.stage = stage
        self.transient = transient


class NotIsolated(Exception):
    """A range failed and was not bisected further, for the number of attempts was used up; the cause says why."""


@dataclass(frozen=True)
class Solved(Generic[R]):
    """Items lo to hi - 1, settled.

    Parameters
    ----------
    lo, hi : int
        The items.
    result : object or None
        What the call for exactly these items returned.
    error : BaseException or None
        Why they failed; None: they did not.
    attempts : int
        How many calls included these items.
    """

    lo: int
    hi: int
    result: R | None
    error: BaseException | None
    attempts: int


@dataclass
class _Open:
    """A range still to be settled: `tries` calls of its own, after `before` calls of larger ranges."""

    lo: int
    hi: int
    tries: int
    before: int
    error: BaseException | None


def solve(
    lo: int,
    hi: int,
    call: Callable[[int, int], R],
    *,
    max_retries: int,
    bisect: bool,
    budget: int | None = None,
) -> Iterator[Solved[R]]:
    """Yield settled ranges that cover items lo to hi - 1 exactly once, in order.

    The whole range is tried 1 + `max_retries` times, then each half once, and so on down to single items: what fails
    is exactly the items that cannot be scored even alone. Each result is yielded before the next call is made.

    Parameters
    ----------
    lo, hi : int
        The items; an empty range yields nothing.
    call : callable
        Scores items lo to hi - 1 and returns the result; whatever it raises, ``SystemExit`` and
        ``KeyboardInterrupt`` included, is a failed attempt. `ChunkFailed` alone passes through.
    max_retries : int
        Further attempts for the whole range.
    bisect : bool
        False: a range that failed all its attempts is failed as a whole.
    budget : int, optional
        The most calls in all. Ranges that failed and are still undivided when it is used up fail with
        `NotIsolated`; ranges never tried cannot exist then, because halves come from a failed whole.

    Yields
    ------
    Solved

    Examples
    --------
    >>> def call(lo, hi):
    ...     if lo <= 2 < hi:
    ...         raise ValueError("two")
    ...     return list(range(lo, hi))
    >>> [(s.lo, s.hi, s.result, s.attempts) for s in solve(0, 4, call, max_retries=1, bisect=True)]
    [(0, 2, [0, 1], 3), (2, 3, None, 4), (3, 4, [3], 4)]
    """
    calls = 0
    todo = [_Open(lo, hi, 1 + max_retries, 0, None)] if lo < hi else []
    while todo:
        part = todo.pop()
        error = part.error
        for attempt in range(1, part.tries + 1):
            if budget is not None and calls >= budget and error is not None:
                yield Solved(part.lo, part.hi, None, _not_isolated(part, error, calls), part.before + attempt - 1)
                break
            calls += 1
            try:
                result = call(part.lo, part.hi)
            except ChunkFailed:
                raise
            except BaseException as raised:  # noqa: BLE001  (user code may raise anything, sys.exit() included)
                error = raised
            else:
                yield Solved(part.lo, part.hi, result, None, part.before + attempt)
                del result
                break
        else:
            before = part.before + part.tries
            if not bisect or part.hi - part.lo == 1:
                yield Solved(part.lo, part.hi, None, error, before)
            else:
                middle = (part.lo + part.hi) // 2
                todo.append(_Open(middle, part.hi, 1, before, error))
                todo.append(_Open(part.lo, middle, 1, before, error))


def _not_isolated(part: _Open, error: BaseException, calls: int) -> NotIsolated:
    reason = NotIsolated(
        f"these {part.hi - part.lo} items are part of a range that failed, and were not tried more finely: "
        f"{calls} attempts were made in all"
    )
    reason.__cause__ = error
    return reason

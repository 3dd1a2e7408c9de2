"""Waiting longer and longer between attempts. Pure: the clock is an argument."""

from __future__ import annotations

__all__ = ["Backoff"]


class Backoff:
    """When something may be tried again.

    Parameters
    ----------
    first_s, most_s : float
        Seconds to wait after the first failure in a row, and at most.

    Examples
    --------
    >>> backoff = Backoff(1.0, 60.0)
    >>> backoff.failed(0.0, "no"); backoff.failed(1.0, "no"); backoff.left(1.0)
    2.0
    >>> backoff.succeeded(); backoff.waits(1.0), backoff.said
    (False, '')
    """

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._next_s = first_s
        self._until = float("-inf")
        self.said = ""
        """What was said at the last failure; empty after a success."""

    def failed(self, now: float, said: str) -> None:
        """Take note of a failure: the wait doubles."""
        self._until = now + self._next_s
        self._next_s = min(2 * self._next_s, self._most_s)
        self.said = said

    def succeeded(self) -> None:
        """Take note of a success: nothing waits any more."""
        self._next_s = self._first_s
        self._until = float("-inf")
        self.said = ""

    def waits(self, now: float) -> bool:
        """Return whether it is too early to try again."""
        return now < self._until

    def left(self, now: float) -> float:
        """Return the seconds until the next try."""
        return max(0.0, self._until - now)

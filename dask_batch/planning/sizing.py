"""How many mini-batches the next chunk should have: by measured time, never by the user. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["AIM_S", "Pace"]

AIM_S = 2.0
"""Seconds a chunk should take. Long enough to hide what a task costs, short enough to lose little with it."""

_SMALLEST_S = 0.1
_GROWTH = 16
_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a job's mini-batches go, as measured so far.

    Parameters
    ----------
    seconds : float, optional
        A slot's seconds per mini-batch; None before the first chunk is back.
    largest : int
        Mini-batches in the largest chunk measured.
    """

    seconds: float | None = None
    largest: int = 0

    def measured(self, mini_batches: int, seconds: float) -> Pace:
        """Return the pace after a chunk of `mini_batches` took `seconds` of a slot."""
        one = seconds / mini_batches
        mean = one if self.seconds is None else _WEIGHT * one + (1 - _WEIGHT) * self.seconds
        return replace(self, seconds=mean, largest=max(self.largest, mini_batches))

    def next_size(self, left: int, slots: int) -> int:
        """Return how many mini-batches the next chunk should have.

        It starts at one, grows at most 16-fold a step towards `AIM_S`, and shrinks towards the end of the job so
        that all slots finish together.

        Parameters
        ----------
        left : int
            Mini-batches that nobody works on yet, at least 1.
        slots : int
            Slots that the job may use, at least 1.

        Examples
        --------
        >>> Pace().next_size(1000, 2)
        1
        >>> Pace(seconds=0.01, largest=100).next_size(1000, 2)
        200
        """
        if self.seconds is None:
            return 1
        one = max(self.seconds, 1e-6)
        by_time = min(int(AIM_S / one), self.largest * _GROWTH)
        for_the_end = max(left // (2 * slots), int(_SMALLEST_S / one))
        return max(1, min(by_time, for_the_end, left))

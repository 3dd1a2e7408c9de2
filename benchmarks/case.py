"""What a case is: contenders that do the same work, and the figures that must come of it."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.task import Sample

__all__ = ["Case", "Figure", "Measured", "Round", "measure"]

Round = dict[str, Sample]
"""One sample of each contender, taken one after another."""


@dataclass(frozen=True)
class Figure:
    """What must be reached.

    Parameters
    ----------
    text : str
        What is compared, in words.
    of : callable
        Takes a round and returns the number.
    at_least, at_most : float, optional
        The bound. Neither: reported only.
    unit : str
        Of the number; empty for ratios.
    """

    text: str
    of: Callable[[Round], float]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""

    def reached(self, value: float) -> bool | None:
        """Return whether a number satisfies the bound; None if there is none."""
        if self.at_least is not None:
            return value >= self.at_least
        return None if self.at_most is None else value <= self.at_most

    @property
    def bound(self) -> str:
        """The bound in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g} {self.unit}".strip()
        return "" if self.at_most is None else f"≤ {self.at_most:g} {self.unit}".strip()


@dataclass(frozen=True)
class Case:
    """Work of one kind.

    Parameters
    ----------
    name : str
        For the command line.
    title : str
        For the report, sizes included.
    contenders : dict
        By name, a callable that does the work once and returns its `Sample`. Each round calls all, and every other
        round in the opposite order.
    figures : sequence of Figure
        What must come of it.
    """

    name: str
    title: str
    contenders: dict[str, Callable[[], Sample]]
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()


@dataclass
class Measured:
    """A case and its rounds."""

    case: Case
    rounds: list[Round] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)

    def values(self, figure: Figure) -> list[float]:
        """Return a figure's number of each round."""
        return [figure.of(one) for one in self.rounds]

    def median(self, figure: Figure) -> float:
        """Return the median over the rounds of a figure's number."""
        return statistics.median(self.values(figure))


def measure(case: Case, rounds: int, say: Callable[[str], None]) -> Measured:
    """Run a case's contenders in alternating rounds."""
    measured = Measured(case)
    names = list(case.contenders)
    for number in range(rounds):
        one: Round = {}
        measured.loads.append(os.getloadavg()[0])
        for name in names if number % 2 == 0 else reversed(names):
            one[name] = case.contenders[name]()
            say(f"  round {number + 1}  {name:<24} {one[name].seconds:9.2f} s  {_more(one[name])}")
            time.sleep(0.5)
        measured.rounds.append(one)
    return measured


def _more(sample: Sample) -> str:
    return "  ".join(f"{name}={value:.2f}".rstrip("0").rstrip(".") for name, value in sample.numbers.items())

"""What happens to a job in one round: drawn from a seed, apart from doing it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AT_ONCE", "HERE", "ON_SLURM", "Kill", "draw"]

HERE = {"host": 5, "scoring": 5, "all": 3, "term": 3, "client": 3, "nap": 2, "freeze": 1, "elsewhere": 1}
"""What happens on this machine, and how often: SIGKILL of the host, of a scoring process, of everything but the client;
SIGTERM of the host; SIGKILL of the client; SIGSTOP of the host for a moment; SIGSTOP until another host has replaced
it; the same where the other one is on another machine, and can therefore not end it: it wakes up in the midst of the
other one's work, and goes on with its own."""

ON_SLURM = {
    "host": 4, "scancel": 4, "instance": 3, "scoring": 2, "all": 3, "term": 2, "requeue": 2, "walltime": 2, "client": 2,
    "controller": 1, "preempt": 3, "node": 3,
}  # fmt: skip
"""The same on SLURM: SIGKILL of the host's job; scancel of an instance; SIGKILL of an instance, of a scoring process,
of all jobs; SLURM's warning to an instance; a host that is requeued; SLURM's warning to a host, which then has a
successor; SIGKILL of the client; a controller that is away for a moment; all instances preempted; a node that
crashes."""

AT_ONCE = -1.0
"""The time of a kill that does not wait for the job: its client has just begun to invoke it."""

_SLOW = ("freeze", "elsewhere", "preempt", "node")
_MOST = 5


@dataclass(frozen=True, slots=True, order=True)
class Kill:
    """One thing that happens.

    Parameters
    ----------
    at : float
        When: once the job has come so far, 0 to 1 (where it is finalized), or `AT_ONCE`.
    after_s : float
        So many seconds later.
    kind : str
        What, of `HERE` or `ON_SLURM`.
    chance : float
        Decides what is left open, such as which of the scoring processes: 0 to below 1.
    """

    at: float
    after_s: float
    kind: str
    chance: float


def draw(seed: int, odds: Mapping[str, int] = HERE) -> list[Kill]:
    """Return what happens in the round of a seed, in order; at most one thing that takes long.

    Examples
    --------
    >>> draw(7) == draw(7), 1 <= len(draw(7)) <= 5
    (True, True)
    """
    source = random.Random(seed)
    kinds = source.choices(list(odds), list(odds.values()), k=source.randint(1, _MOST))
    slow = [kind for kind in kinds if kind in _SLOW][:1]
    return sorted(_kill(kind, source) for kind in [kind for kind in kinds if kind not in _SLOW] + slow)


def _kill(kind: str, source: random.Random) -> Kill:
    begins, ends = source.random() < 0.15, source.random() < 0.15
    at = AT_ONCE if begins else 1.0 if ends else round(source.random(), 3)
    return Kill(at, round(source.uniform(0, 2.0 if begins else 0.5), 3), kind, source.random())

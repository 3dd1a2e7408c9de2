"""What a job has used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cost"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a job has used.

    Parameters
    ----------
    instance_seconds : float
        Seconds of instances held for it.
    slot_seconds : float
        Seconds of scoring processes that were busy with it.
    core_seconds : float
        Seconds of cores of those instances, which is what clusters count.
    """

    instance_seconds: float
    slot_seconds: float
    core_seconds: float = 0.0

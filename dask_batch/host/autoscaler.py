"""How many instances a compute should have, and making it so.

Dask's own `Adaptive` knows only submitted tasks, and a coordinator submits few at a time: it would ask for too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dask_batch.compute.base import Instance, Provider

__all__ = ["Autoscaler", "Demand", "to_release", "wanted_instances"]

_PENDING_S = 10.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What one job could use.

    Parameters
    ----------
    instances : int
        The job's ``instance_count``.
    chunks : int
        Chunks it still has, those in hand included.
    """

    instances: int
    chunks: int


def wanted_instances(demands: Iterable[Demand], *, slots: int, minimum: int, maximum: int) -> int:
    """Return how many instances a compute should have.

    Parameters
    ----------
    demands : iterable of Demand
        One per live job.
    slots : int
        Slots of one instance.
    minimum, maximum : int
        The compute's bounds.

    Examples
    --------
    >>> wanted_instances([Demand(4, 100), Demand(2, 1)], slots=8, minimum=0, maximum=50)
    5
    """
    needed = sum(min(demand.instances, -(-demand.chunks // slots)) for demand in demands)
    return max(minimum, min(needed, maximum))


def to_release(
    instances: Sequence[Instance], idle: Mapping[str, float], wanted: int, *, surplus_s: float, idle_limit_s: float
) -> list[str]:
    """Return the instances to let go: those beyond what is wanted that have had nothing to do for long enough.

    Pending ones go first, the youngest before the others, and sooner than those that run: they only wait. One that is
    wanted is never let go, since its place in the cluster's queue would be lost.

    Parameters
    ----------
    instances : sequence of Instance
        Those there, oldest first.
    idle : mapping of str to float
        For how many seconds each of them that runs no chunk has had nothing to do.
    wanted : int
        How many there should be.
    surplus_s, idle_limit_s : float
        For how long more have been there than wanted, and how long an instance may be idle.
    """
    surplus = len(instances) - wanted
    going: list[str] = []
    if surplus > 0 and surplus_s >= min(idle_limit_s, _PENDING_S):
        pending = [instance.id for instance in instances if instance.state == "pending"]
        going += _last(pending, surplus)
    if surplus > len(going):
        running = [one.id for one in instances if one.state == "running"]
        over = [name for name in running if name in idle and idle[name] >= idle_limit_s]
        going += _last(over, surplus - len(going))
    return going


def _last(names: list[str], count: int) -> list[str]:
    return names[max(0, len(names) - count) :]


class Autoscaler:
    """Compares what is wanted with what is there, once a tick, and tells the provider.

    Parameters
    ----------
    provider : Provider
        Gives and takes instances.
    slots : int
        Slots of one instance.
    minimum, maximum : int
        The compute's bounds.
    idle_limit_s : float
        ``idle_time_before_scale_down``.
    """

    def __init__(self, provider: Provider, *, slots: int, minimum: int, maximum: int, idle_limit_s: float) -> None:
        self.provider = provider
        self.slots = slots
        self.minimum = minimum
        self.maximum = maximum
        self.idle_limit_s = idle_limit_s
        self.instances: list[Instance] = []
        self._needed_at: float | None = None
        self._busy_at: dict[str, float] = {}

    async def tick(self, demands: Sequence[Demand], busy: frozenset[str], now: float) -> None:
        """Ask for what lacks, release what has idled out, and note what is there."""
        wanted = wanted_instances(demands, slots=self.slots, minimum=self.minimum, maximum=self.maximum)
        self.instances = await self.provider.instances()
        if wanted > len(self._staying):
            await self.provider.request(wanted - len(self._staying))
            self.instances = await self.provider.instances()
        if self._needed_at is None or wanted >= len(self._staying):
            self._needed_at = now
        surplus_s, idle = now - self._needed_at, self._idle(busy, now, self._needed_at)
        if over := to_release(self._staying, idle, wanted, surplus_s=surplus_s, idle_limit_s=self.idle_limit_s):
            await self.provider.release(over)
            self.instances = await self.provider.instances()

    def _idle(self, busy: frozenset[str], now: float, needed_at: float) -> dict[str, float]:
        """Return for how long each instance that runs no chunk has had nothing to do, and was not needed."""
        self._busy_at = {
            one.id: now if one.id in busy else self._busy_at.get(one.id, needed_at) for one in self.instances
        }
        return {name: now - max(at, needed_at) for name, at in self._busy_at.items() if name not in busy}

    @property
    def _staying(self) -> list[Instance]:
        """The instances that are there or will be; those that drain are as good as gone."""
        return [instance for instance in self.instances if instance.state != "draining"]

    @property
    def running_slots(self) -> int:
        """Slots of the instances that run."""
        return sum(instance.slots for instance in self.instances if instance.state == "running")

    @property
    def why(self) -> str:
        """Why instances are pending, or none can be asked for, in the cluster's own words."""
        whys = {instance.why for instance in self.instances if instance.why}
        return "; ".join(sorted(whys | ({self.provider.why} if self.provider.why else set())))

"""Where the jobs of a ground run, and what can happen to them there: on SLURM, as are their hosts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from chaos_processes import instances, kill, scoring_of
from chaos_script import ON_SLURM, Kill
from servers.slurm import NODES, Queued, SlurmCluster

from dask_batch import SlurmCompute

if TYPE_CHECKING:
    from chaos_ground import Ground

__all__ = ["OnSlurm"]


class OnSlurm:
    """A SLURM whose preemptible partition has the instances; hosts are in another one.

    Parameters
    ----------
    cluster : SlurmCluster
        It runs, and SLURM_CONF says where.
    """

    odds = ON_SLURM
    instances = 2

    def __init__(self, cluster: SlurmCluster) -> None:
        self._cluster = cluster
        self._kinds: dict[str, Callable[[Ground, Kill], bool]] = {
            "host": lambda _, one: self._kill(self._hosts()[-1:]),
            "scancel": lambda _, one: self._scancel(self._one_of(self._instances(), one)),
            "instance": lambda _, one: self._kill(self._one_of(self._instances(), one)),
            "scoring": self._kill_scoring,
            "all": lambda _, one: self._kill([*self._hosts(), *self._instances()]),
            "term": lambda _, one: self._scancel(self._one_of(self._instances(), one), "--signal=TERM", "--batch"),
            "walltime": lambda _, one: self._scancel(self._hosts()[-1:], "--signal=USR1", "--batch"),
            "requeue": lambda *_: self._requeue(),
            "controller": lambda _, one: self._take_controller(one),
            "preempt": lambda ground, _: self._preempt(ground),
            "node": self._crash_node,
        }

    def compute(self) -> SlurmCompute:
        """Return the compute."""
        return SlurmCompute(
            name="local",
            partition="main",
            tier="low_priority",
            low_priority_partition="low",
            memory="500MB",
            host_memory="1GB",
            walltime="00:30:00",
            max_instances=2,
            idle_time_before_scale_down=10.0,
        )

    def strike(self, ground: Ground, name: str, one: Kill) -> bool:
        """Do it to what is in the queue at this moment."""
        return self._kinds[one.kind](ground, one)

    def end(self, ground: Ground) -> None:
        """End host and instances; no job is left."""
        self._cluster.mend()
        ground.ws.compute.stop("local")
        self._cluster.check_nothing_left(60)

    # -- what happens --------------------------------------------------------------------------------------------

    def _scancel(self, jobs: list[Queued], *how: str) -> bool:
        done = False
        for job in jobs:
            with contextlib.suppress(AssertionError):  # it has just ended
                self._cluster.run("scancel", *how, job.id)
                done = True
        return done

    def _kill(self, jobs: list[Queued]) -> bool:
        return self._scancel([job for job in jobs if job.state == "RUNNING"], "--signal=KILL", "--full")

    def _kill_scoring(self, ground: Ground, one: Kill) -> bool:
        parents = instances(ground.folder, ground.epoch())
        scoring = [process for parent in parents for process in scoring_of(parent)]
        return kill(scoring[int(one.chance * len(scoring)) :][:1])

    def _requeue(self) -> bool:
        for host in self._hosts()[-1:]:
            with contextlib.suppress(AssertionError):  # it has just ended
                self._cluster.run("scontrol", "requeue", host.id)
                self._cluster.hurry(host.id)
                return True
        return False

    def _take_controller(self, one: Kill) -> bool:
        self._cluster.controller_down()
        time.sleep(2 * one.chance)  # a moment that was drawn; nothing is waited for
        self._cluster.controller_up()
        return True

    def _preempt(self, ground: Ground) -> bool:
        """Let an urgent job take so much of each node that no instance can stay, and hosts can."""
        before = {job.id for job in self._instances()}
        urgent = self._cluster.submit("sleep 3600", "-p", "high", f"-N{NODES}", "--ntasks-per-node=3", "-J", "urgent")
        ground.until(lambda: self._cluster.state(urgent) == "RUNNING")
        self._cluster.cancel(urgent)
        return bool(before - {job.id for job in self._instances()})

    def _crash_node(self, ground: Ground, one: Kill) -> bool:
        used = sorted({job.nodes for job in [*self._hosts(), *self._instances()] if job.nodes})
        if not used:
            return False
        number = int(used[int(one.chance * len(used))].removeprefix("n"))
        self._cluster.down_node(number)
        self._cluster.up_node(number)
        self._hurry_hosts()
        return True

    # -- the queue -----------------------------------------------------------------------------------------------

    def _hurry_hosts(self) -> None:
        """Let hosts that were requeued start at once."""
        for host in self._hosts():
            self._cluster.hurry(host.id)

    def _hosts(self) -> list[Queued]:
        return [job for job in self._cluster.queue() if job.name.endswith("-host")]

    def _instances(self) -> list[Queued]:
        ours = (job for job in self._cluster.queue() if job.name.startswith("dask-batch-"))
        return [job for job in ours if not job.name.endswith("-host")]

    @staticmethod
    def _one_of(jobs: list[Queued], one: Kill) -> list[Queued]:
        return jobs[int(one.chance * len(jobs)) :][:1]

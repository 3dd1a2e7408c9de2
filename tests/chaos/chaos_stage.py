"""Where the jobs of a ground run, and what can happen to them there: on this machine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import psutil
from chaos_processes import elsewhere, frozen, hosts, kill, scoring_of
from chaos_script import HERE, Kill

from dask_batch import LocalCompute, SlurmCompute

if TYPE_CHECKING:
    from chaos_ground import Ground

__all__ = ["Here", "Stage"]

_END_S = 240.0


class Stage(Protocol):
    """Where jobs run."""

    @property
    def odds(self) -> Mapping[str, int]:
        """What happens there, and how often."""

    @property
    def instances(self) -> int:
        """How many instances a job asks for."""

    def compute(self) -> LocalCompute | SlurmCompute:
        """Return the compute, called ``local``."""

    def strike(self, ground: Ground, name: str, one: Kill) -> bool:
        """Do what was drawn to the job of that name; return whether there was something to do it to."""

    def end(self, ground: Ground) -> None:
        """End the host and its instances, as users do."""


class Here:
    """This machine."""

    odds = HERE
    instances = 1

    def __init__(self) -> None:
        self._other_machine = elsewhere()

    def compute(self) -> LocalCompute:
        """Return the compute."""
        return LocalCompute(name="local")

    def strike(self, ground: Ground, name: str, one: Kill) -> bool:
        """Do it to the newest host, if it is still there."""
        for host in hosts(ground.folder)[-1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.kind == "elsewhere" and self._other_machine:
                    return self._replace_elsewhere(ground, name, one, host)
                return self._at(host, one, ground)
        return False

    def end(self, ground: Ground) -> None:
        """End the host."""
        ending = hosts(ground.folder)
        for host in ending:
            with contextlib.suppress(psutil.NoSuchProcess):
                host.terminate()
        _, stubborn = psutil.wait_procs(ending, 60)
        assert not stubborn, "hosts end when they are asked to"

    def _at(self, host: psutil.Process, one: Kill, ground: Ground) -> bool:
        scoring = scoring_of(host)
        if one.kind == "term":
            host.terminate()
        elif one.kind == "nap":
            with frozen(host):
                time.sleep(2 * one.chance)  # too short to be missed
        elif one.kind in ("freeze", "elsewhere"):
            epoch = ground.epoch()
            with frozen(host):
                ground.until(lambda: ground.epoch() > epoch)
        else:
            chosen = scoring[int(one.chance * len(scoring)) :][:1]
            return kill({"host": [host], "scoring": chosen, "all": [host, *scoring]}[one.kind])
        return True

    def _replace_elsewhere(self, ground: Ground, name: str, one: Kill, host: psutil.Process) -> bool:
        """Freeze a host until one of another machine has taken its job up and come some way."""
        epoch = ground.epoch()
        with frozen(host):
            ground.replace_client(name, self._other_machine)
            if ground.until(lambda: ground.epoch() > epoch and ground.reached(name, 0.0)):
                share = ground.ws.jobs.get(name).peek().progress + one.chance / 2
                ground.until(lambda: ground.reached(name, min(share, 1.0)))
        if ground.epoch() > epoch:
            _, stubborn = psutil.wait_procs([host], _END_S)
            assert not stubborn, "a host that was replaced ends once it wakes up"
        return True

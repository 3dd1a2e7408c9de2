"""Where the jobs of a test run: on this machine or on SLURM. It, and nothing else, differs between the two runs.

::

    pytestmark = on_every_provider      # each test of the module runs on each of them

    def test(provider, ws):
        ws.compute.create_or_update(provider.compute("two", slots=2))
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from servers.slurm import SlurmCluster

from dask_batch import LocalCompute, SlurmCompute

__all__ = ["Provider", "on_every_provider"]

on_every_provider = pytest.mark.parametrize("provider", ["local", "slurm"], indirect=True, scope="session")


@dataclass(frozen=True)
class Provider:
    """What gives the jobs of a test their instances.

    Parameters
    ----------
    cluster : SlurmCluster, optional
        A running SLURM; None: this machine.
    """

    cluster: SlurmCluster | None = None

    def compute(self, name: str = "local", *, slots: int = 2, idle_s: float = 2.0) -> LocalCompute | SlurmCompute:
        """Return a small compute, gone after so many idle seconds; its host runs where its client does.

        On SLURM, too, it is called ``local`` unless a test says otherwise: deployments that name none use that.
        """
        if self.cluster is None:
            return LocalCompute(name=name, slots=slots, idle_time_before_scale_down=idle_s)
        return SlurmCompute(
            name=name,
            partition="main",
            cores=slots,
            memory="1GB",
            walltime="00:20:00",
            host="here",
            idle_time_before_scale_down=idle_s,
        )

    def check_nothing_left(self) -> None:
        """Fail if an instance is left, after a while."""
        if self.cluster is not None:
            self.cluster.check_nothing_left()

"""One ground for all rounds of a module, and what they came to in the report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from chaos_ground import Ground
from chaos_jobs import GROUNDS
from chaos_slurm import OnSlurm
from chaos_stage import Here
from servers.providers import Provider


@pytest.fixture(autouse=True)
def as_chaos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of a round are the user whose host the ground has; tests begin without any."""
    monkeypatch.setenv("DASK_BATCH_USER", "chaos")
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "10")


@pytest.fixture(scope="module")
def make_ground(
    tmp_path_factory: pytest.TempPathFactory, provider: Provider
) -> Callable[[str], AbstractContextManager[Ground]]:
    """Return a function that opens the ground of a kind of job; afterwards nothing of it runs."""

    @contextmanager
    def make(kind: str) -> Iterator[Ground]:
        folder = tmp_path_factory.mktemp(f"chaos-{kind}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DASK_BATCH_USER", "chaos")
            patch.setenv("DASK_BATCH_HOST_IDLE", "10")
            stage = OnSlurm(provider.cluster) if provider.cluster is not None else Here()
            with GROUNDS[kind](folder / "ground", stage) as ground:
                yield ground
            print(f"\n{kind}: {ground.tally}")

    return make

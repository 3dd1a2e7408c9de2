"""Whatever SLURM does to hosts and instances, the outputs are those of an undisturbed run."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.parametrize("provider", ["slurm"], indirect=True, scope="session")

FIRST = 96


@pytest.fixture(scope="module")
def ground(make_ground):
    with make_ground("files") as ground:
        yield ground


@pytest.mark.parametrize("seed", range(FIRST, FIRST + 10))
def test_nothing_is_lost_and_nothing_doubled(ground, seed):
    print(ground.play(seed))

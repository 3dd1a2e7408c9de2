"""Whatever is killed, the outputs are those of an undisturbed run: an MLflow model on tables, to parquet."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def ground(make_ground):
    with make_ground("parquet") as ground:
        yield ground


@pytest.mark.parametrize("seed", range(2252, 2261))
def test_nothing_is_lost_and_nothing_doubled(ground, seed):
    print(ground.play(seed))

"""Whatever is killed, the outputs are those of an undisturbed run: a script over files, which leaves files as well."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def ground(make_ground):
    with make_ground("files") as ground:
        yield ground


@pytest.mark.parametrize("seed", range(1257, 1266))
def test_nothing_is_lost_and_nothing_doubled(ground, seed):
    print(ground.play(seed))

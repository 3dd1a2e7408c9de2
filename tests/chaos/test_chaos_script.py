"""What is drawn: the same from the same seed, and everything that may happen does."""

from __future__ import annotations

import pytest
from chaos_script import AT_ONCE, HERE, ON_SLURM, draw


def test_a_seed_repeats_its_round():
    assert all(draw(seed) == draw(seed) for seed in range(100))
    assert len({tuple(draw(seed)) for seed in range(100)}) == 100


def test_one_to_five_things_happen_in_order():
    for seed in range(1000):
        kills = draw(seed)
        assert 1 <= len(kills) <= 5
        assert [kill.at for kill in kills] == sorted(kill.at for kill in kills)


def test_at_most_one_thing_of_a_round_takes_long():
    for seed in range(1000):
        assert sum(kill.kind in ("freeze", "elsewhere") for kill in draw(seed)) <= 1
        assert sum(kill.kind in ("preempt", "node") for kill in draw(seed, ON_SLURM)) <= 1


@pytest.mark.parametrize("odds", [HERE, ON_SLURM])
def test_everything_happens_at_the_beginning_on_the_way_and_at_the_end(odds):
    kills = [kill for seed in range(1000) for kill in draw(seed, odds)]
    for kind in odds:
        times = {kill.at for kill in kills if kill.kind == kind}
        assert AT_ONCE in times and 1.0 in times and any(0 <= at < 1 for at in times)


@pytest.mark.parametrize(
    ("odds", "first", "rounds"), [(HERE, 1257, 9), (HERE, 2743, 9), (HERE, 2252, 9), (ON_SLURM, 96, 10)]
)
def test_the_rounds_of_the_modules_beside_this_one_have_all_kinds_of_kills(odds, first, rounds):
    kills = [kill for seed in range(first, first + rounds) for kill in draw(seed, odds)]
    assert {kill.kind for kill in kills} == set(odds)
    assert {AT_ONCE, 1.0} <= {kill.at for kill in kills}

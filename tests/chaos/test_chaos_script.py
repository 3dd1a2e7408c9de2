"""What is drawn: the same from the same seed, and everything that may happen does."""

from __future__ import annotations

from chaos_script import AT_ONCE, KINDS, draw


def test_a_seed_repeats_its_round():
    assert all(draw(seed) == draw(seed) for seed in range(100))
    assert len({tuple(draw(seed)) for seed in range(100)}) == 100


def test_one_to_five_things_happen_in_order():
    for seed in range(1000):
        kills = draw(seed)
        assert 1 <= len(kills) <= 5
        assert [kill.at for kill in kills] == sorted(kill.at for kill in kills)


def test_a_round_waits_for_one_replaced_host_at_most():
    for seed in range(1000):
        assert sum(kill.kind in ("freeze", "elsewhere") for kill in draw(seed)) <= 1


def test_everything_happens_at_the_beginning_on_the_way_and_at_the_end():
    kills = [kill for seed in range(1000) for kill in draw(seed)]
    for kind in KINDS:
        times = {kill.at for kill in kills if kill.kind == kind}
        assert AT_ONCE in times and 1.0 in times and any(0 <= at < 1 for at in times)


def test_the_rounds_of_each_kind_of_job_have_all_kinds_of_kills():
    for first in (1257, 2743, 2252):  # as in the modules beside this one
        kills = [kill for seed in range(first, first + 9) for kill in draw(seed)]
        assert {kill.kind for kill in kills} == set(KINDS)
        assert {AT_ONCE, 1.0} <= {kill.at for kill in kills}

"""Cutting a chunk whose process died: what is lost is nothing, and who is blamed is the guilty."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dask_batch.jobfolder.chunks import Chunk
from dask_batch.planning.cutting import Suspect, Work, after_death, after_loss

VERDICT = {"type": "ProcessDied"}


def cut(work: Work, suspect: Suspect | None, max_retries: int = 1, bisect: bool = True) -> list[Work]:
    return after_death(work, suspect, max_retries=max_retries, bisect=bisect, verdict=VERDICT)


def covered(work: list[Work], items: int) -> list[tuple[int, int]]:
    """Return (mini-batch, item) of everything that some work covers, mini-batches having `items` items."""
    found = []
    for one in work:
        for mini_batch in range(one.chunk.first, one.chunk.stop):
            lo, hi = one.chunk.items or (0, None)
            found += [(mini_batch, item) for item in range(lo, items if hi is None else hi)]
    return found


def test_the_suspect_goes_again_alone_and_its_neighbours_uncharged():
    work = cut(Work(Chunk(10, 20)), Suspect(14, (0, 5)))
    assert [str(one.chunk) for one in work] == [
        "mini-batches 10 to 13",
        "mini-batch 14, items 0 to 4",
        "mini-batch 14, items 5 to the end",
        "mini-batches 15 to 19",
    ]
    assert [one.deaths for one in work] == [0, 1, 0, 0]


def test_a_suspect_that_used_up_its_tries_is_halved():
    again = cut(Work(Chunk(3, 4, (0, 8)), deaths=1), Suspect(3, (0, 8)))
    assert [one.chunk.items for one in again] == [(0, 4), (4, 8)]
    assert all(one.verdict is None for one in again)


def test_a_half_that_dies_is_halved_again_at_once():
    half = cut(Work(Chunk(3, 4, (0, 8)), deaths=1), Suspect(3, (0, 8)))[0]
    assert [one.chunk.items for one in cut(half, Suspect(3, (0, 4)))] == [(0, 2), (2, 4)]


def test_a_single_item_that_used_up_its_tries_is_guilty():
    (again,) = cut(Work(Chunk(3, 4, (7, 8)), deaths=1), Suspect(3, (7, 8)))
    assert again.verdict == VERDICT


def test_without_bisection_all_items_of_the_suspect_are_guilty():
    (again,) = cut(Work(Chunk(3, 4, (0, 8)), deaths=1), Suspect(3, (0, 8)), bisect=False)
    assert again.verdict == VERDICT


def test_out_of_memory_halves_at_once():
    again = cut(Work(Chunk(3, 4)), Suspect(3, (0, 8), halve=True), max_retries=3)
    assert [one.chunk.items for one in again] == [(0, 4), (4, 8), (8, None)]


def test_an_instance_lost_thrice_leads_to_halves_and_then_to_a_verdict():
    work = [Work(Chunk(0, 2))]
    for _ in range(3):
        work = [again for one in work for again in after_loss(one, VERDICT)]
    assert [str(one.chunk) for one in work] == ["mini-batch 0", "mini-batch 1"]
    assert all(one.verdict is None for one in work)
    assert [after_loss(one, VERDICT)[0].verdict for one in work] == [VERDICT, VERDICT]


@given(
    guilty=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), max_size=5),
    max_retries=st.integers(0, 2),
    start=st.integers(0, 3),
    length=st.integers(1, 3),
)
def test_exactly_the_guilty_items_are_found_and_every_item_is_settled_once(guilty, max_retries, start, length):
    items = 7
    todo, settled, verdicts = [Work(Chunk(start, start + length))], [], []
    for _ in range(10_000):
        if not todo:
            break
        work = todo.pop()
        inside = covered([work], items)
        if work.verdict is not None:
            verdicts += inside
            settled += inside
            continue
        hit = next((one for one in inside if one in guilty), None)
        if hit is None:
            settled += inside
            continue
        # User code gets the items of one mini-batch, as far as the chunk covers them, in one call.
        lo, hi = work.chunk.items or (0, None)
        again = cut(work, Suspect(hit[0], (lo, items if hi is None else hi)), max_retries)
        assert sorted(covered(again, items)) == inside
        todo += again
    assert not todo
    assert sorted(settled) == [(m, i) for m, i in itertools.product(range(start, start + length), range(items))]
    assert set(verdicts) == {one for one in guilty if start <= one[0] < start + length}

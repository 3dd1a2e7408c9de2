"""Retry and bisection: every item settled exactly once, in order, and only guilty items blamed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dask_batch.scoring.attempts import ChunkFailed, NotIsolated, solve


def scorer_of(guilty: set[int], calls: list[tuple[int, int]]):
    def call(lo: int, hi: int) -> list[int]:
        calls.append((lo, hi))
        if guilty & set(range(lo, hi)):
            raise ValueError(f"{lo}-{hi}")
        return list(range(lo, hi))

    return call


ranges = st.tuples(st.integers(0, 50), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(bounds=ranges, guilty=st.sets(st.integers(0, 110), max_size=12), retries=st.integers(0, 4))
def test_every_item_is_settled_exactly_once_in_order_and_only_the_guilty_fail(bounds, guilty, retries):
    lo, hi = bounds
    calls: list[tuple[int, int]] = []
    solved = list(solve(lo, hi, scorer_of(guilty, calls), max_retries=retries, bisect=True))
    assert [n for part in solved for n in range(part.lo, part.hi)] == list(range(lo, hi))
    failed = {part.lo for part in solved if part.error is not None}
    assert failed == guilty & set(range(lo, hi))
    assert all(part.hi - part.lo == 1 for part in solved if part.error is not None)
    assert [n for part in solved if part.error is None for n in part.result] == sorted(set(range(lo, hi)) - guilty)
    guilty_here, items = len(failed), hi - lo
    depth = math.ceil(math.log2(items)) if items > 1 else 0
    assert len(calls) <= (1 + retries) + 2 * guilty_here * depth


@given(bounds=ranges, guilty=st.sets(st.integers(0, 110), max_size=12), retries=st.integers(0, 4))
def test_attempts_are_the_calls_that_included_the_items(bounds, guilty, retries):
    lo, hi = bounds
    calls: list[tuple[int, int]] = []
    for part in solve(lo, hi, scorer_of(guilty, calls), max_retries=retries, bisect=True):
        for n in range(part.lo, part.hi):
            assert part.attempts == sum(first <= n < stop for first, stop in calls)


@given(bounds=ranges, guilty=st.sets(st.integers(0, 110), min_size=1, max_size=12), retries=st.integers(0, 4))
def test_without_bisection_the_whole_range_succeeds_or_fails(bounds, guilty, retries):
    lo, hi = bounds
    calls: list[tuple[int, int]] = []
    solved = list(solve(lo, hi, scorer_of(guilty, calls), max_retries=retries, bisect=False))
    assert [(part.lo, part.hi) for part in solved] == ([(lo, hi)] if lo < hi else [])
    if guilty & set(range(lo, hi)):
        assert len(calls) == 1 + retries


@given(bounds=ranges, guilty=st.sets(st.integers(0, 110)), retries=st.integers(0, 3), budget=st.integers(1, 30))
def test_a_budget_bounds_the_calls_and_still_every_item_is_settled_once(bounds, guilty, retries, budget):
    lo, hi = bounds
    calls: list[tuple[int, int]] = []
    solved = list(solve(lo, hi, scorer_of(guilty, calls), max_retries=retries, bisect=True, budget=budget))
    assert [n for part in solved for n in range(part.lo, part.hi)] == list(range(lo, hi))
    assert len(calls) <= budget
    blamed = [part for part in solved if part.error is not None and not guilty & set(range(part.lo, part.hi))]
    assert all(isinstance(part.error, NotIsolated) for part in blamed)
    assert all(isinstance(part.error.__cause__, ValueError) for part in blamed)


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), RecursionError(), MemoryError()])
def test_whatever_user_code_raises_is_a_failed_attempt(raised):
    def call(lo, hi):
        raise raised

    (solved,) = solve(0, 1, call, max_retries=2, bisect=True)
    assert solved.error is raised
    assert solved.attempts == 3


def test_a_failure_of_the_chunk_passes_through():
    def call(lo, hi):
        raise ChunkFailed("disk full")

    with pytest.raises(ChunkFailed, match="disk full"):
        list(solve(0, 4, call, max_retries=2, bisect=True))


def test_a_retry_that_succeeds_leaves_no_failure():
    outcomes = iter([ValueError(), ValueError(), None])

    def call(lo, hi):
        if error := next(outcomes):
            raise error
        return "fine"

    (solved,) = solve(0, 8, call, max_retries=3, bisect=True)
    assert (solved.result, solved.error, solved.attempts) == ("fine", None, 3)


def test_each_result_is_handed_over_before_the_next_call():
    calls: list[tuple[int, int]] = []
    solving = solve(0, 4, scorer_of({0}, calls), max_retries=0, bisect=True)
    assert next(solving).lo == 0
    assert calls[-1] == (0, 1)

"""What is left of a plan, and how much of it the next chunk takes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dask_batch.jobfolder.chunks import Chunk
from dask_batch.planning.backlog import Backlog, uncovered
from dask_batch.planning.cutting import Work
from dask_batch.planning.sizing import AIM_S, Pace


@st.composite
def coverings(draw):
    """Return (number of mini-batches, disjoint chunks over some of them)."""
    bounds = sorted(draw(st.sets(st.integers(0, 30), max_size=8)) | {0})
    chunks = [Chunk(lo, hi) for lo, hi in itertools.pairwise(bounds) if draw(st.booleans())]
    pieces = []
    for chunk in chunks:
        if chunk.stop - chunk.first == 1 and draw(st.booleans()):
            cuts = [0, *sorted(draw(st.sets(st.integers(1, 9), max_size=3))), None]
            ranges = list(itertools.pairwise(cuts))
            pieces += [Chunk(chunk.first, chunk.stop, pair) for pair in ranges if draw(st.booleans())]
        else:
            pieces.append(chunk)
    return 30, pieces


@given(coverings(), st.randoms())
def test_covered_and_uncovered_are_the_whole_plan_exactly_once(covering, random):
    mini_batches, chunks = covering
    random.shuffle(chunks)
    whole = [*chunks, *uncovered(mini_batches, chunks)]
    seen = []
    for chunk in whole:
        for mini_batch in range(chunk.first, chunk.stop):
            lo, hi = chunk.items or (0, None)
            seen += [(mini_batch, item) for item in range(lo, 12 if hi is None else hi)]
    assert sorted(seen) == [(m, i) for m in range(mini_batches) for i in range(12)]


def test_what_goes_again_is_taken_first():
    backlog = Backlog([Work(Chunk(0, 10))])
    assert backlog.take(4) == Work(Chunk(0, 4))
    backlog.put_back([Work(Chunk(1, 2), deaths=1)])
    assert backlog.take(4) == Work(Chunk(1, 2), deaths=1)
    assert backlog.take(100) == Work(Chunk(4, 10))
    assert not backlog


def test_the_first_chunk_is_one_mini_batch():
    assert Pace().next_size(1_000_000, 2) == 1


def test_chunks_grow_stepwise_towards_the_aimed_time():
    pace, sizes = Pace(), []
    for _ in range(5):
        size = pace.next_size(1_000_000, 2)
        sizes.append(size)
        pace = pace.measured(size, size * 0.001)
    assert sizes[:3] == [1, 16, 256]
    assert abs(sizes[-1] * 0.001 - AIM_S) < 0.1


def test_slow_mini_batches_go_one_by_one():
    assert Pace(seconds=5.0, largest=1).next_size(1000, 2) == 1


@given(
    seconds=st.floats(1e-7, 100), largest=st.integers(1, 10**6), left=st.integers(1, 10**7), slots=st.integers(1, 999)
)
def test_a_chunk_is_never_empty_nor_larger_than_what_is_left(seconds, largest, left, slots):
    assert 1 <= Pace(seconds, largest).next_size(left, slots) <= left

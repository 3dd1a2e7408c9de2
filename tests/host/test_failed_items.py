"""Failed items as chunks: each is in one chunk, and is counted off once, however the chunks are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.planning.backlog import remaining
from dask_batch.planning.failed import FailedItems

ITEMS = 6


def record(mini_batch, split, item=None, row=None, before=0):
    return {"mini_batch": mini_batch, "split": split, "item": item, "row": row, "rows_before": before}


files = st.sets(st.tuples(st.integers(0, 5), st.integers(0, ITEMS - 1)))


@given(files)
def test_each_failed_file_is_in_one_chunk(failed):
    found = FailedItems([record(m, ITEMS * m + i, item=i) for m, i in failed], table=False)
    covered = []
    for chunk in found.chunks(lambda _: ITEMS):
        for mini_batch in range(chunk.first, chunk.stop):
            covered += [(mini_batch, item) for item in range(*(chunk.items or (0, ITEMS)))]
        size = len(range(*(chunk.items or (0, ITEMS)))) * (chunk.stop - chunk.first)
        assert found.within(chunk) == Counts(items=size, failed=size, failed_files=size)
    assert sorted(covered) == sorted(failed)


@given(st.dictionaries(st.integers(0, 3), st.tuples(st.sets(st.integers(0, 9)), st.booleans()), min_size=1))
def test_each_failed_row_is_in_the_one_chunk_of_its_split(splits):
    records = [record(0, split, row=row) for split, (rows, _) in splits.items() for row in rows]
    records += [record(0, split, before=10) for split, (_, lost) in splits.items() if lost]
    found = FailedItems(records, table=True)
    chunks = list(found.chunks(lambda _: ITEMS))
    assert len({chunk.split for chunk in chunks}) == len(chunks)
    total = Counts()
    for chunk in chunks:
        rows, lost = splits[chunk.split]
        ranges = found.rows(chunk)
        singles = [row for lo, hi in ranges for row in range(lo, 10 if hi is None else hi)]
        assert singles == sorted(rows)
        assert (ranges[-1] == (10, None)) == lost
        total += found.within(chunk)
    rests = sum(lost for _, lost in splits.values())
    assert total == Counts(items=len(records), failed=len(records), failed_files=rests, rows_in=len(records) - rests)


@given(st.sets(st.integers(0, 9), min_size=1), st.booleans(), st.integers(0, 12))
def test_a_chunk_that_is_cut_counts_each_item_off_once(rows, lost, at):
    records = [record(0, 3, row=row) for row in rows] + [record(0, 3, before=10)] * lost
    found = FailedItems(records, table=True)
    (chunk,) = found.chunks(lambda _: ITEMS)
    lo, hi = chunk.items
    if not lo < at < (99 if hi is None else hi):
        return
    pieces = [Chunk(0, 1, (lo, at), 3), Chunk(0, 1, (at, hi), 3)]
    assert found.within(pieces[0]) + found.within(pieces[1]) == found.within(chunk)
    assert remaining([chunk], pieces[:1]) == pieces[1:]
    assert remaining([chunk], pieces) == []


def test_items_that_a_script_did_not_tell_apart_cannot_go_again():
    assert len(FailedItems([record(0, None)], table=False)) == 0


@st.composite
def layers(draw):
    """Return chunks of up to three runs, which may overlap, over ten mini-batches of eight items."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        first = draw(st.integers(0, 9))
        if draw(st.booleans()):
            found.append(Chunk(first, draw(st.integers(first + 1, 10))))
        else:
            lo = draw(st.integers(0, 6))
            found.append(Chunk(first, first + 1, (lo, draw(st.none() | st.integers(lo + 1, 8)))))
    return found


def points(chunks):
    return {
        (mini_batch, item)
        for chunk in chunks
        for mini_batch in range(chunk.first, chunk.stop)
        for item in range(8)
        if chunk.begin <= (mini_batch, item) < chunk.end
    }


@given(layers())
def test_what_remains_is_what_no_layer_covers(covered):
    left = remaining([Chunk(0, 10)], covered)
    assert points(left) == points([Chunk(0, 10)]) - points(covered)
    assert sum(len(points([chunk])) for chunk in left) == len(points(left))

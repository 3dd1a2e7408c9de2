"""What counts: adoption, and the silence of replaced hosts."""

from __future__ import annotations

import pytest

from dask_batch.errors import InternalError
from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, Ledger, counting_entries, entries_of_run, latest_adoption
from dask_batch.storage import Storage


@pytest.fixture
def folder(tmp_path):
    return JobFolder(Storage(str(tmp_path)), "job-1")


def entry(first, stop, **more):
    return Entry(Chunk(first, stop), Counts(items=stop - first, succeeded=stop - first), **more)


def test_a_first_host_adopts_nothing(folder):
    assert Ledger(folder, 1).adopt() == []


def test_what_one_host_commits_the_next_adopts(folder):
    first = Ledger(folder, 1)
    first.adopt()
    first.append([entry(4, 6, part="parts/a.arrow"), entry(0, 4)])
    assert [str(e.chunk) for e in Ledger(folder, 2).adopt()] == ["mini-batches 0 to 3", "mini-batches 4 to 5"]


def test_a_host_that_was_replaced_commits_in_vain(folder):
    old, new = Ledger(folder, 1), Ledger(folder, 2)
    old.adopt()
    old.append([entry(0, 4)])
    new.adopt()
    old.append([entry(4, 8)])
    new.append([entry(4, 6)])
    assert [e.chunk for e in counting_entries(folder, 2)] == [Chunk(0, 4), Chunk(4, 6)]
    assert [e.chunk for e in Ledger(folder, 3).adopt()] == [Chunk(0, 4), Chunk(4, 6)]
    assert latest_adoption(folder) == 3


def test_who_reads_while_another_host_adopts_reads_what_that_one_has_finished(folder, monkeypatch):
    old, new = Ledger(folder, 1), Ledger(folder, 2)
    old.adopt()
    old.append([entry(0, 4)])
    read = folder.storage.read_json

    def read_while_another_host_takes_over(name):
        monkeypatch.undo()
        new.adopt()
        new.append([entry(4, 6)])
        return read(name)

    monkeypatch.setattr(folder.storage, "read_json", read_while_another_host_takes_over)
    assert [e.chunk for e in entries_of_run(folder, 1)] == [Chunk(0, 4), Chunk(4, 6)]


def test_a_host_that_adopts_twice_finds_its_own_entries_and_goes_on_after_them(folder):
    ledger = Ledger(folder, 1)
    ledger.adopt()
    ledger.append([entry(0, 2)])
    again = Ledger(folder, 1)
    assert [e.chunk for e in again.adopt()] == [Chunk(0, 2)]
    again.append([entry(2, 3)])
    assert [e.chunk for e in counting_entries(folder, 1)] == [Chunk(0, 2), Chunk(2, 3)]


def test_two_hosts_that_share_an_epoch_are_an_internal_error(folder):
    one, other = Ledger(folder, 1), Ledger(folder, 1)
    one.adopt()
    other.adopt()
    one.append([entry(0, 1)])
    with pytest.raises(InternalError, match="share epoch 1"):
        other.append([entry(1, 2)])


def test_entries_that_overlap_are_an_internal_error(folder):
    ledger = Ledger(folder, 1)
    ledger.adopt()
    ledger.append([entry(0, 3), entry(2, 4)])
    with pytest.raises(InternalError, match="overlap"):
        Ledger(folder, 2).adopt()


def test_an_entry_reads_back_as_it_was_written():
    one = Entry(
        Chunk(3, 4, (5, None)),
        Counts(items=2, succeeded=1, failed=1, rows_out=1),
        part="parts/x.arrow",
        errors="errors/x.jsonl",
        split_rows={"7": 12},
        run=2,
        attempt=3,
        instance="local-1",
        seconds=1.5,
    )
    assert Entry.from_json(one.to_json()) == one

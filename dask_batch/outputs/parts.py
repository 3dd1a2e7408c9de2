"""The parts that ledger entries name: in which order their rows stand, and how one part is opened."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, in_order
from dask_batch.jobfolder.plan import Plan

__all__ = ["HIDDEN", "clusters", "describe_part", "is_layered", "open_part", "part_schema", "split_bases"]

HIDDEN = ("__split", "__row")


def clusters(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries in input order, those of the same mini-batches together.

    Examples
    --------
    >>> from dask_batch.jobfolder.chunks import Chunk, Counts
    >>> made = [Entry(Chunk(4, 9), Counts()), Entry(Chunk(0, 4), Counts()), Entry(Chunk(2, 3, (5, 6)), Counts(), run=2)]
    >>> [[str(entry.chunk) for entry in cluster] for cluster in clusters(made)]
    [['mini-batches 0 to 3', 'mini-batch 2, items 5 to 5'], ['mini-batches 4 to 8']]
    """
    groups: list[list[Entry]] = []
    stop = 0
    for entry in in_order(entries):
        if not groups or entry.chunk.first >= stop:
            groups.append([])
        groups[-1].append(entry)
        stop = max(stop, entry.chunk.stop)
    return groups


def is_layered(cluster: Sequence[Entry]) -> bool:
    """Return whether entries of a cluster cover the same items, so that their rows interleave."""
    return any(
        one.run != other.run and one.chunk.overlaps(other.chunk) for one, other in itertools.combinations(cluster, 2)
    )


def split_bases(plan: Plan, entries: Iterable[Entry]) -> npt.NDArray[np.int64]:
    """Return, for each split of the plan, how many rows of its file stand before it.

    Parameters
    ----------
    plan : Plan
        The job's plan.
    entries : iterable of Entry
        All that count. Those of one run cover different rows of a split, so their rows add up; those of a later
        run cover rows again, so the largest sum holds.
    """
    per_run: dict[int, dict[int, int]] = {}
    for entry in entries:
        sums = per_run.setdefault(entry.run, {})
        for name, rows in entry.split_rows.items():
            sums[int(name)] = sums.get(int(name), 0) + rows
    rows_of: dict[int, int] = {}
    for sums in per_run.values():
        for split, rows in sums.items():
            rows_of[split] = max(rows_of.get(split, 0), rows)
    bases = np.zeros(len(plan), np.int64)
    if not rows_of:
        return bases
    for _, splits in plan.multi_split_files():
        before = 0
        for split in splits:
            bases[split] = before
            before += rows_of.get(split, 0)
    return bases


@contextmanager
def open_part(folder: JobFolder, entry: Entry, *, whole: bool = True) -> Iterator[pa.RecordBatchFileReader]:
    """Open the part of an entry; local ones are mapped, remote ones fetched (at once if `whole`).

    Parameters
    ----------
    folder : JobFolder
        The job.
    entry : Entry
        One that has a part.
    whole : bool
        False: only the schema or a few rows are wanted.
    """
    name = folder.path(str(entry.part))
    if folder.storage.is_local:
        with pa.memory_map(folder.storage.url(name)) as source:
            yield pa.ipc.open_file(source)
    elif whole:
        yield pa.ipc.open_file(pa.BufferReader(folder.storage.read(name)))
    else:
        with folder.storage.open_read(name) as file:
            yield pa.ipc.open_file(pa.PythonFile(file, "r"))


def part_schema(folder: JobFolder, entry: Entry) -> pa.Schema:
    """Return the schema of an entry's part."""
    with open_part(folder, entry, whole=False) as reader:
        return reader.schema


def describe_part(folder: JobFolder, entry: Entry) -> str:
    """Return words for a part that a user understands: the file that its first row came from, and its mini-batches."""
    plan = Plan.read(folder)
    with open_part(folder, entry, whole=False) as reader:
        if plan is not None and reader.num_record_batches:
            splits = reader.get_batch(0).column("__split")
            if len(splits):
                return f"{plan.paths([splits[0].as_py()])[0]!r} ({entry.chunk})"
    return str(entry.chunk)

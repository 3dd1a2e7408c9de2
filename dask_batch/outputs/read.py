"""Rows as the user gets them: those that the counting entries name, in input order, with where each came from.

For tables two columns are added at the end: ``source_file``, and ``source_row``, which counts the rows of that file
from 0. If the output has a column of that name already, ours gets the prefix ``dask_batch_``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dask_batch.errors import InternalError
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry
from dask_batch.jobfolder.plan import Plan
from dask_batch.outputs.parts import HIDDEN, clusters, is_layered, open_part, split_bases
from dask_batch.outputs.unify import cast_batch, parts_schema, unify_schemas

__all__ = ["Piece", "Rows", "Sources", "read_piece", "read_rows", "rows_of"]

_BATCH_ROWS = 65_536
_SOURCE_FILE = pa.dictionary(pa.int32(), pa.string())
Piece = tuple[Sequence[Entry], int, int]
"""Some rows of a cluster: its entries, how many rows to skip, how many to take."""


class Sources:
    """Which file and row each output row came from.

    Parameters
    ----------
    plan : Plan
        The job's plan.
    bases : numpy.ndarray, shape (splits,)
        Rows of its file before each split, from `parts.split_bases`.
    """

    def __init__(self, plan: Plan, bases: npt.NDArray[np.int64]) -> None:
        self._plan = plan
        self._bases = bases
        self._files: npt.NDArray[np.int32] = plan.table.column("file").to_numpy()

    @property
    def tabular(self) -> bool:
        """Whether rows of the output belong to rows of the input."""
        return self._plan.info.input_format == "table"

    def fields(self, taken: Sequence[str]) -> list[pa.Field]:
        """Return the columns that are added to output columns of the names in `taken`."""
        if not self.tabular:
            return []
        names = [name if name not in taken else f"dask_batch_{name}" for name in ("source_file", "source_row")]
        return [pa.field(names[0], _SOURCE_FILE), pa.field(names[1], pa.int64())]

    def columns(self, splits: npt.NDArray[np.int32], rows: npt.NDArray[np.int64]) -> list[pa.Array]:
        """Return the added columns for output rows with these splits, and rows within them."""
        if not self.tabular:
            return []
        # Rows of one split stand together, so there are few runs to look at.
        begins = np.flatnonzero(np.concatenate([[len(splits) > 0], np.diff(splits) != 0])[: len(splits)])
        runs = splits[begins]
        _, first, codes = np.unique(self._files[runs], return_index=True, return_inverse=True)
        paths = self._plan.paths([int(runs[n]) for n in first]) if len(runs) else []
        lengths = np.diff(np.concatenate([begins, [len(splits)]]))
        names = pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(codes, lengths), pa.int32()), pa.array(paths, pa.string())
        )
        return [names, pa.array(self._bases[splits] + rows)]


class Rows:
    """The rows of a job, as far as `entries` name them.

    Parameters
    ----------
    folder : JobFolder
        The job.
    entries : iterable of Entry
        Those that count.
    plan : Plan
        The job's plan.

    Attributes
    ----------
    schema : pyarrow.Schema
        Of the output, source columns included.
    count : int
        How many rows there are.

    Raises
    ------
    JobFailed
        The parts' types cannot be united.
    """

    def __init__(self, folder: JobFolder, entries: Iterable[Entry], plan: Plan) -> None:
        counting = list(entries)
        with_rows = [entry for entry in counting if entry.part]
        self._folder = folder
        self.bases = split_bases(plan, counting)
        self.sources = Sources(plan, self.bases)
        output = parts_schema(folder, with_rows)
        self.schema = pa.schema([*output, *self.sources.fields(output.names)])
        self._clusters = clusters(with_rows)
        counts = [rows_of(folder, cluster, self.sources.tabular) for cluster in self._clusters]
        self._bounds = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        self.count = int(self._bounds[-1])

    def pieces(self, lo: int, hi: int) -> list[Piece]:
        """Return where rows `lo` to `hi` - 1 stand."""
        found: list[Piece] = []
        at = max(int(np.searchsorted(self._bounds, lo, side="right")) - 1, 0)
        while at < len(self._clusters) and self._bounds[at] < hi:
            start, stop = int(self._bounds[at]), int(self._bounds[at + 1])
            skip, take = max(lo - start, 0), min(hi, stop) - max(lo, start)
            if take > 0:
                found.append((self._clusters[at], skip, take))
            at += 1
        return found

    def batches(self, lo: int = 0, hi: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield rows `lo` to `hi` - 1 in batches of at most 65,536, in input order."""
        for piece in self.pieces(lo, self.count if hi is None else hi):
            yield from read_piece(self._folder, piece, self.schema, self.sources)


def read_rows(folder: JobFolder, entries: Iterable[Entry], plan: Plan | None = None) -> pa.Table:
    """Return all rows that `entries` name as one table, for example of a job that still runs.

    Raises
    ------
    JobFailed
        The parts' types cannot be united.
    """
    plan = plan or Plan.read(folder)
    if plan is None:
        return pa.table({})
    rows = Rows(folder, entries, plan)
    return pa.Table.from_batches(rows.batches(), rows.schema)


def read_piece(folder: JobFolder, piece: Piece, schema: pa.Schema, sources: Sources) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a piece, with the columns of `schema`."""
    cluster, skip, take = piece
    if is_layered(cluster):
        raw = _skip(_merged(folder, cluster, sources.tabular), skip)
    else:
        raw = _in_turn(folder, cluster, skip)
    added = len(sources.fields(schema.names))
    output = pa.schema(list(schema)[: len(schema) - added])
    for batch in raw:
        for lo in range(0, min(batch.num_rows, take), _BATCH_ROWS):
            some = batch.slice(lo, min(_BATCH_ROWS, take - lo))
            splits, rows = (some.column(name).to_numpy() for name in HIDDEN)
            columns = [*cast_batch(some, output).columns, *sources.columns(splits, rows)]
            yield pa.record_batch(columns, schema=schema)
        take -= min(batch.num_rows, take)
        if not take:
            return


def rows_of(folder: JobFolder, cluster: Sequence[Entry], tabular: bool) -> int:
    """Return how many rows a cluster has; where runs overlap, its parts are looked into."""
    if is_layered(cluster):
        return len(_merge_order(folder, cluster, tabular)[1])
    return sum(entry.counts.rows_out for entry in cluster)


def _skip(batches: Iterable[pa.RecordBatch], skip: int) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if skip < batch.num_rows:
            yield batch.slice(skip)
        skip = max(skip - batch.num_rows, 0)


def _in_turn(folder: JobFolder, cluster: Sequence[Entry], skip: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of parts that follow one another, without the first `skip` rows."""
    for entry in cluster:
        if skip >= entry.counts.rows_out:
            skip -= entry.counts.rows_out
            continue
        rows = 0
        with open_part(folder, entry) as reader:
            for n in range(reader.num_record_batches):
                batch = reader.get_batch(n)
                rows += batch.num_rows
                if skip < batch.num_rows:
                    yield batch.slice(skip)
                skip = max(skip - batch.num_rows, 0)
        if rows != entry.counts.rows_out:
            raise InternalError(f"{folder.url(str(entry.part))} has {rows} rows, its entry {entry.counts.rows_out}")


def _merge_order(
    folder: JobFolder, cluster: Sequence[Entry], tabular: bool
) -> tuple[list[pa.Table], npt.NDArray[np.int64]]:
    """Return the parts of a cluster, and the rows of their concatenation that count, in input order.

    Rows of tables have exact positions: of several for one position, the latest run's counts. Retried files of
    scripts have no earlier rows, so nothing is dropped there.
    """
    tables = []
    for entry in cluster:
        with open_part(folder, entry) as reader:
            tables.append(reader.read_all())
    splits, rows = (np.concatenate([table.column(name).to_numpy() for table in tables]) for name in HIDDEN)
    runs = np.repeat([entry.run for entry in cluster], [table.num_rows for table in tables])
    order = np.lexsort((runs, rows, splits))
    if tabular and len(order):
        later = (np.diff(splits[order]) != 0) | (np.diff(rows[order]) != 0)
        order = order[np.concatenate([later, [True]])]
    return tables, order


def _merged(folder: JobFolder, cluster: Sequence[Entry], tabular: bool) -> Iterator[pa.RecordBatch]:
    tables, order = _merge_order(folder, cluster, tabular)
    schema = unify_schemas(table.schema for table in tables)
    cast = [cast_batch(batch, schema) for table in tables for batch in table.to_batches()]
    united = pa.Table.from_batches(cast, schema)
    for lo in range(0, len(order), _BATCH_ROWS):
        yield from united.take(pa.array(order[lo : lo + _BATCH_ROWS])).combine_chunks().to_batches()

"""What happened to items and mini-batches, as data frames: the errors, and a row per mini-batch."""

from __future__ import annotations

import bisect
import io
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dask_batch.jobfolder.chunks import Chunk
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, in_order
from dask_batch.jobfolder.plan import Plan
from dask_batch.outputs.collected import find_duplicates
from dask_batch.outputs.parts import clusters, split_bases
from dask_batch.outputs.unify import check_parts
from dask_batch.parquet import read_parquet

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ERROR_COLUMNS",
    "check_parts",
    "consolidate_reports",
    "find_duplicates",
    "read_error_records",
    "read_errors",
    "read_mini_batches",
]

T = TypeVar("T")
ERROR_COLUMNS = ("file", "row", "item", "stage", "type", "message", "traceback", "mini_batch", "attempts")
_MINI_BATCHES = "mini_batches.parquet"
_REPORT_SCHEMA = pa.schema(
    [
        ("mini_batch", pa.int64()),
        ("items", pa.int64()),
        ("rows", pa.int64()),
        ("failed", pa.int64()),
        ("attempts", pa.int64()),
        ("process_deaths", pa.int64()),
        ("instance_losses", pa.int64()),
        ("storage_errors", pa.int64()),
        ("instance", pa.string()),
        ("seconds", pa.float64()),
    ]
)


def read_errors(folder: JobFolder, entries: Iterable[Entry], plan: Plan | None = None) -> pd.DataFrame:
    """Return a row per item that is failed now, in input order.

    Parameters
    ----------
    folder : JobFolder
        The job.
    entries : iterable of Entry
        Those that count. What a later run scored again replaces what earlier runs said of the same items.
    plan : Plan, optional
        The job's plan, if it has been read already.

    Returns
    -------
    pandas.DataFrame
        Columns as in `ERROR_COLUMNS`. `row` counts the rows of the file from 0 (tables; none for a file that could
        not be read), `item` the items of the mini-batch.
    """
    import pandas as pd

    counting = list(entries)
    plan = plan or Plan.read(folder)
    records = list(read_error_records(folder, counting))
    frame = pd.DataFrame([[record.get(name) for name in ERROR_COLUMNS] for record in records], columns=ERROR_COLUMNS)
    frame = frame.astype(dict.fromkeys(("row", "item", "mini_batch", "attempts"), "Int64"))
    if plan is None or frame.empty:
        return frame
    bases = split_bases(plan, counting)
    before = [0 if record.get("split") is None else int(bases[record["split"]]) for record in records]
    frame["row"] += pd.array(before, "Int64")
    return frame


def read_error_records(folder: JobFolder, entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    """Yield the records of the items that are failed now, in input order, as the scoring processes wrote them."""
    counting = in_order(entries)
    redone = _Redone(counting)
    having = [entry for entry in counting if entry.errors]
    contents = _read_all(folder, [str(entry.errors) for entry in having], bytes)
    for cluster in clusters(having):
        # Rows that could not be read are noted before those that could not be predicted, and what failed again stands
        # in entries of its own.
        records = [
            _told_by(entry, record)
            for entry, content in zip(cluster, contents)  # noqa: B905 - the contents of later clusters follow
            for record in map(json.loads, content.splitlines())
            if not redone.covers(entry.run, record)
        ]
        yield from sorted(records, key=_place)


def _told_by(entry: Entry, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without its item where that was counted in the rows of a split."""
    return record if entry.chunk.split is None else record | {"item": None}


def _place(record: dict[str, Any]) -> tuple[int, int, int]:
    """Return where the item of an error record is: mini-batch, split and row; or, of a script's files, the item."""
    split = record.get("split")
    at = record.get("item") if split is None or record.get("row") is None else record["row"]
    return record.get("mini_batch") or 0, -1 if split is None else split, -1 if at is None else at


class _Redone:
    """Which items later runs have scored again."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._later = [entry for entry in entries if entry.run > 1]
        self._firsts = [entry.chunk.first for entry in self._later]
        self._longest = max((entry.chunk.stop - entry.chunk.first for entry in self._later), default=0)

    def covers(self, run: int, record: dict[str, Any]) -> bool:
        """Return whether a run later than `run` covers the item of an error record."""
        mini_batch = record.get("mini_batch")
        if mini_batch is None:
            return False
        lo = bisect.bisect_left(self._firsts, mini_batch - self._longest + 1)
        hi = bisect.bisect_right(self._firsts, mini_batch)
        return any(
            entry.run > run and entry.chunk.stop > mini_batch and _has_item(entry.chunk, record)
            for entry in self._later[lo:hi]
        )


def _has_item(chunk: Chunk, record: dict[str, Any]) -> bool:
    """Return whether a chunk, which has the record's mini-batch, has its item."""
    if chunk.items is None:
        return True
    lo, hi = chunk.items
    if chunk.split is None:
        # A file that cannot be read is reported by the piece that begins its mini-batch.
        at = record.get("item") or 0
    elif record.get("split") != chunk.split:
        return False
    elif record.get("row") is None:
        return hi is None  # a split that cannot be read on is reported by the piece that ends it
    else:
        at = int(record["row"])
    return lo <= at and (hi is None or at < hi)


def read_mini_batches(folder: JobFolder, entries: Iterable[Entry]) -> pd.DataFrame:
    """Return a row per mini-batch, with the columns of ``mini_batches.parquet``.

    `attempts` are the calls of user code. `process_deaths`, `instance_losses` and `storage_errors` say how often
    scoring it began anew because a scoring process died, an instance was lost, or a store did not answer; what stood
    in a chunk together shares them.

    Of a mini-batch that was scored in pieces, or again by a later run, the rows and seconds add up, `attempts` is the
    largest, as are these, `failed` what is failed now, and `instance` the last one.
    """
    counting = list(entries)
    try:
        table = read_parquet(pa.BufferReader(folder.storage.read(folder.path(_MINI_BATCHES))))
        if table.schema.metadata.get(b"entries", b"") == str(len(counting)).encode():
            return _to_pandas(table)
    except FileNotFoundError:
        pass
    return _to_pandas(_combine(folder, counting))


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame


def consolidate_reports(folder: JobFolder, run: int) -> None:
    """Write ``mini_batches.parquet`` for a decided run; the reports of its entries are not needed afterwards."""
    decision = folder.decision(run)
    if decision is None:
        return
    entries = [Entry.from_json(record) for record in decision["entries"]]
    table = _combine(folder, entries).replace_schema_metadata({"entries": str(len(entries))})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    folder.storage.put(folder.path(_MINI_BATCHES), sink.getvalue())


def _combine(folder: JobFolder, entries: Iterable[Entry]) -> pa.Table:
    """Return the reports of entries as one table with a row per mini-batch, in order."""
    having = [entry for entry in in_order(entries) if entry.report]
    reports = _read_all(folder, [str(entry.report) for entry in having], json.loads)
    tables = [_report_table(report, entry) for entry, report in zip(having, reports, strict=True)]
    table = pa.concat_tables(tables) if tables else _with_run().empty_table()
    if pc.count_distinct(table.column("mini_batch")).as_py() == table.num_rows:
        return table.drop_columns(["run"]).sort_by("mini_batch")
    return _grouped(table, folder, having)


def _with_run() -> pa.Schema:
    return _REPORT_SCHEMA.append(pa.field("run", pa.int64()))


def _report_table(report: dict[str, Any], entry: Entry) -> pa.Table:
    columns = report["mini_batches"]
    count = len(columns["mini_batch"])
    common = {
        "process_deaths": entry.deaths,
        "instance_losses": entry.losses,
        "storage_errors": entry.hiccups,
        "instance": entry.instance,
        "run": entry.run,
    }
    known = dict(columns) | {name: [value] * count for name, value in common.items()}
    return pa.table({field.name: pa.array(known[field.name], field.type) for field in _with_run()})


def _grouped(table: pa.Table, folder: JobFolder, entries: list[Entry]) -> pa.Table:
    """Return the table with one row per mini-batch. Items count in the run that covered them first."""
    import pandas as pd

    frame = table.to_pandas()
    first = frame.groupby("mini_batch")["run"].transform("min")
    redone = frame["run"] > first
    joined = frame.groupby("mini_batch").agg(
        items=("items", "sum"),
        rows=("rows", "sum"),
        failed=("failed", "sum"),
        attempts=("attempts", "max"),
        process_deaths=("process_deaths", "max"),
        instance_losses=("instance_losses", "max"),
        storage_errors=("storage_errors", "max"),
        instance=("instance", "last"),
        seconds=("seconds", "sum"),
    )
    again = frame[redone].groupby("mini_batch")["items"].sum()
    if len(again):
        joined["items"] = joined["items"].sub(again, fill_value=0).astype("int64")
        failed = pd.Series([record.get("mini_batch") for record in read_error_records(folder, entries)]).value_counts()
        joined.loc[again.index, "failed"] = failed.reindex(again.index, fill_value=0).astype("int64")
    return pa.Table.from_pandas(joined.reset_index(), schema=_REPORT_SCHEMA, preserve_index=False)


def _read_all(folder: JobFolder, names: list[str], parse: Callable[[bytes], T]) -> Iterator[T]:
    """Yield the parsed content of files of the job, in order; remote ones are fetched ahead."""

    def read(name: str) -> T:
        return parse(folder.storage.read(folder.path(name)))

    if folder.storage.is_local:
        yield from map(read, names)
        return
    with ThreadPoolExecutor(16) as pool:
        yield from pool.map(read, names)

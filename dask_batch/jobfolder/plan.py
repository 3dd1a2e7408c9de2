"""The plan: every split and mini-batch of a job, in order. Written once, before anything runs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dask_batch.jobfolder.chunks import Chunk
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.parquet import read_parquet

__all__ = ["PLAN_SCHEMA", "Plan", "PlanInfo"]

PLAN_SCHEMA = pa.schema(
    [
        pa.field("mini_batch", pa.int32(), nullable=False),  # ascending from 0, without gaps
        pa.field("file", pa.int32(), nullable=False),  # ascending from 0: splits of one file share it
        pa.field("path", pa.string(), nullable=False),  # absolute path or URL
        pa.field("size", pa.int64(), nullable=False),  # of the whole file, bytes
        pa.field("version", pa.string(), nullable=False),  # etag, or modification time in ns; "" if unknown
        pa.field("format", pa.string(), nullable=False),  # a name of `dask_batch.planning.formats`
        pa.field("cut", pa.string(), nullable=False),  # "whole", "row_groups" or "bytes"
        pa.field("start", pa.int64()),  # first row group, or first byte
        pa.field("stop", pa.int64()),  # past the last
    ]
)
_INFO_KEY = b"dask_batch"


@dataclass(frozen=True, slots=True)
class PlanInfo:
    """What holds for the whole plan.

    Parameters
    ----------
    input_format : str
        ``"files"`` (a script gets paths), ``"table"`` or ``"images"``.
    files, bytes : int
        How many files the input has, and their size.
    types : list of list of str, optional
        For tables: the columns that a model gets, each with its Arrow type's name, fixed for the whole job,
        and ``"optional"`` as a third word where some of the input lacks it;
        None: every column, as it is read.
    """

    input_format: str
    files: int
    bytes: int
    types: list[list[str]] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the record that stands in the plan's metadata."""
        return {
            "format": 1,
            "input_format": self.input_format,
            "files": self.files,
            "bytes": self.bytes,
            "types": self.types,
        }


class Plan:
    """The splits of a job as a table, with the questions that a coordinator asks of it.

    Parameters
    ----------
    table : pyarrow.Table
        Columns as in `PLAN_SCHEMA`, one row per split, in order.
    info : PlanInfo
        What holds for the whole plan.
    """

    def __init__(self, table: pa.Table, info: PlanInfo) -> None:
        self.table = table.combine_chunks()
        self.info = info
        batches = self.table.column("mini_batch").to_numpy()
        self.mini_batches = int(batches[-1]) + 1 if len(batches) else 0
        # Splits of mini-batch k are rows bounds[k] to bounds[k + 1] - 1.
        self._bounds = np.searchsorted(batches, np.arange(self.mini_batches + 1))
        self._bytes = np.concatenate([[0], np.cumsum(self._split_bytes())])

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def _split_bytes(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Bytes of each split; row groups share their file's size evenly over its splits."""
        sizes: np.ndarray[Any, np.dtype[np.int64]] = self.table.column("size").to_numpy().astype(np.int64)
        if not len(sizes):
            return sizes
        by_bytes = pc.equal(self.table.column("cut"), "bytes").to_numpy()
        start = self.table.column("start").fill_null(0).to_numpy()
        stop = self.table.column("stop").fill_null(0).to_numpy()
        files = self.table.column("file").to_numpy()
        pieces = np.bincount(files)[files]
        shares: np.ndarray[Any, np.dtype[np.int64]] = np.where(by_bytes, stop - start, sizes // pieces)
        return shares

    def splits(self, mini_batch: int) -> range:
        """Return the positions of the splits of a mini-batch."""
        return range(int(self._bounds[mini_batch]), int(self._bounds[mini_batch + 1]))

    def size(self, first: int, stop: int) -> int:
        """Return the bytes of input in mini-batches `first` to `stop` - 1."""
        return int(self._bytes[self._bounds[stop]] - self._bytes[self._bounds[first]])

    def mini_batch_of(self, split: int) -> int:
        """Return the mini-batch that holds a split."""
        return int(self.table.column("mini_batch")[split].as_py())

    def describe(self, chunk: Chunk) -> list[list[dict[str, Any]]]:
        """Return, for each mini-batch of a chunk, its splits as the scoring process reads them.

        Each split is a dict with the columns of `PLAN_SCHEMA` without ``mini_batch``, and ``split``: its position;
        ``bytes``: its share of the file.
        """
        lo, hi = int(self._bounds[chunk.first]), int(self._bounds[chunk.stop])
        if chunk.split is not None:
            lo, hi = chunk.split, chunk.split + 1
        rows = self.table.slice(lo, hi - lo).drop_columns(["mini_batch"]).to_pylist()
        for n, row in enumerate(rows):
            row["split"] = lo + n
            row["bytes"] = int(self._bytes[lo + n + 1] - self._bytes[lo + n])
        if chunk.split is not None:
            return [rows]
        return [[rows[n - lo] for n in self.splits(mini_batch)] for mini_batch in range(chunk.first, chunk.stop)]

    def paths(self, splits: list[int]) -> list[str]:
        """Return the paths of the files that the splits at these positions belong to."""
        return cast("list[str]", self.table.column("path").take(pa.array(splits, pa.int64())).to_pylist())

    def multi_split_files(self) -> Iterator[tuple[int, list[int]]]:
        """Yield (file, positions of its splits) for the files that have more than one split."""
        files = self.table.column("file").to_numpy()
        bounds = np.flatnonzero(np.diff(files)) + 1
        for piece in np.split(np.arange(len(files)), bounds):
            if len(piece) > 1:
                yield int(files[piece[0]]), [int(n) for n in piece]

    # -- on disk -------------------------------------------------------------------------------------------------

    def write(self, folder: JobFolder) -> bool:
        """Write ``plan.parquet``; return False if the job has a plan already: then that one holds."""
        metadata = {_INFO_KEY: json.dumps(self.info.to_json()).encode()}
        sink = io.BytesIO()
        pq.write_table(self.table.replace_schema_metadata(metadata), sink, compression="zstd")
        return folder.add(folder.path("plan.parquet"), sink.getvalue())

    @classmethod
    def read(cls, folder: JobFolder) -> Plan | None:
        """Return the job's plan, or None if it has none yet."""
        try:
            content = folder.storage.read(folder.path("plan.parquet"))
        except FileNotFoundError:
            return None
        table = read_parquet(pa.BufferReader(content))
        record = json.loads(table.schema.metadata[_INFO_KEY])
        info = PlanInfo(record["input_format"], record["files"], record["bytes"], record["types"])
        return cls(table.select(PLAN_SCHEMA.names), info)

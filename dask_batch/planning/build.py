"""The plan of a job: which files, in which pieces, in which mini-batches.

For scripts and images a mini-batch is `mini_batch_size` files. For tables it is a group of neighbouring splits of about
as many bytes each; large files are cut first, parquet by row groups, csv, tsv and jsonl by byte ranges between records.
The plan depends on the input alone, never on the compute, so that any host makes the same one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dask_batch.jobfolder.plan import PLAN_SCHEMA, Plan, PlanInfo
from dask_batch.planning.csv_ranges import RangeScan, cut_points, fold, scan_range
from dask_batch.planning.formats import formats_of
from dask_batch.storage import locate

__all__ = ["ScanRequest", "build_plan", "group_by_bytes", "run_scan", "target_for"]

_Ints = npt.NDArray[np.int64]
_Scan = Callable[[Sequence["ScanRequest"]], Sequence["RangeScan | None"]]
_MOST_SPLITS = 512
_FEWEST_SPLITS = 16
_LARGEST_TARGET = 16 << 20
_SMALLEST_TARGET = 512 << 10
_TEXT_SPLIT_FROM = 256 << 20
_TEXT_RANGE = 64 << 20
_PARQUET_SPLIT_FROM = 2 * _LARGEST_TARGET
_THREADS = 16


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A range of a text file that is to be scanned for records' ends; see `run_scan`.

    Parameters
    ----------
    path : str
        The file.
    start, stop : int
        The range, in bytes.
    delimiter : str
        The character between fields.
    quoting : bool
        Whether newlines can stand inside quotes.
    """

    path: str
    start: int
    stop: int
    delimiter: str
    quoting: bool


def build_plan(
    files: pa.Table,
    *,
    input_format: str,
    mini_batch_size: int = 10,
    types: list[list[str]] | None = None,
    target_bytes: int | None = None,
    text_split_from: int = _TEXT_SPLIT_FROM,
    text_range_bytes: int = _TEXT_RANGE,
    parquet_split_from: int = _PARQUET_SPLIT_FROM,
    scan: _Scan | None = None,
) -> Plan:
    """Return the plan for the files of an input.

    Parameters
    ----------
    files : pyarrow.Table
        What `listing.list_inputs` returned.
    input_format : str
        ``"files"``, ``"images"`` or ``"table"``.
    mini_batch_size : int
        Files per mini-batch; not used for tables.
    types : list of list of str, optional
        The columns that the model gets and their Arrow types, fixed for the job (tables); see `unify_sampled`.
    target_bytes : int, optional
        Bytes of input per mini-batch of a table (default: `target_for` the whole input).
    text_split_from, text_range_bytes, parquet_split_from : int
        From how many bytes on text files are cut, into ranges of how many; and from how many on parquet files are.
    scan : callable, optional
        Takes a list of `ScanRequest` and returns `run_scan` of each, in order. A host runs them as tasks; by default
        they run in threads here.

    Returns
    -------
    Plan
        Every byte of every file belongs to exactly one split, and every split to exactly one mini-batch. A file
        that cannot be cut, because it cannot be read or has no ends of records, is one split.
    """
    formats = formats_of(files.column("path"))
    sizes: _Ints = files.column("size").to_numpy()
    info = PlanInfo(input_format, files.num_rows, int(sizes.sum()), types)
    if input_format != "table":
        order = np.arange(files.num_rows, dtype=np.int32)
        return Plan(_table(files, formats, order // mini_batch_size, order, {}), info)
    target = target_bytes or target_for(info.bytes)
    cuts = _cut_text(files, formats, text_split_from, text_range_bytes, scan or _scan_here)
    cuts |= _cut_parquet(files, formats, max(parquet_split_from, 1), target)
    pieces = np.ones(files.num_rows, np.int64)
    for file, splits in cuts.items():
        pieces[file] = len(splits)
    owners = np.repeat(np.arange(files.num_rows, dtype=np.int32), pieces)
    costs = _costs(formats, sizes)[owners] // pieces[owners]
    # Small files are shared out by their number too: their bytes say little about how long their rows take.
    max_splits = min(max(len(owners) // 128, _FEWEST_SPLITS), _MOST_SPLITS)
    return Plan(_table(files, formats, group_by_bytes(costs, target, max_splits), owners, cuts), info)


def target_for(total_bytes: int) -> int:
    """Return how many bytes of input a mini-batch of a table should hold.

    A 128th of the input, so that many slots have work to share; within 512 KiB, below which each prediction costs
    more than its rows, and 16 MiB (some 50,000 rows of 20 numbers as text), above which nothing is gained.

    Examples
    --------
    >>> target_for(1 << 20), target_for(1 << 30), target_for(1 << 40)
    (524288, 8388608, 16777216)
    """
    return min(max(total_bytes // 128, _SMALLEST_TARGET), _LARGEST_TARGET)


def group_by_bytes(costs: _Ints, target: int, max_splits: int = _MOST_SPLITS) -> npt.NDArray[np.int32]:
    """Return the mini-batch of each split: a new one starts with the first split past each multiple of `target`.

    Parameters
    ----------
    costs : numpy.ndarray, shape (splits,)
        Bytes of each split.
    target : int
        Bytes that a mini-batch should have. One exceeds it by less than its last split.
    max_splits : int
        A mini-batch never has more splits than this.

    Examples
    --------
    >>> group_by_bytes(np.array([4, 4, 4, 30, 1, 1]), 10)
    array([0, 0, 0, 1, 2, 2], dtype=int32)
    """
    if not len(costs):
        return np.zeros(0, np.int32)
    # No split is cheaper than its share of the fullest mini-batch, which bounds their number.
    shares = np.maximum(costs, -(-target // max_splits))
    begins = np.cumsum(shares) - shares
    marks = begins // target
    starts_new = np.concatenate([[0], marks[1:] != marks[:-1]])
    return np.cumsum(starts_new).astype(np.int32)


def run_scan(request: ScanRequest) -> RangeScan | None:
    """Scan the range that `request` names; None if the file cannot be read, which scoring it will report."""
    try:
        return scan_range(
            request.path, request.start, request.stop, delimiter=request.delimiter, quoting=request.quoting
        )
    except Exception:  # noqa: BLE001 - whatever a store raises, the file is then one split
        return None


def _scan_here(requests: Sequence[ScanRequest]) -> list[RangeScan | None]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(run_scan, requests))


def _costs(formats: pa.ChunkedArray, sizes: _Ints) -> _Ints:
    """Return how many bytes of plain text, about, the files stand for: compressed text grows by four."""
    packed = pc.match_substring(formats, ".").to_numpy()
    return np.where(packed, sizes * 4, sizes)


def _positions(formats: pa.ChunkedArray, names: list[str], sizes: _Ints, larger_than: int) -> list[int]:
    of_format = pc.is_in(formats, pa.array(names)).to_numpy()
    return [int(n) for n in np.flatnonzero(of_format & (sizes > larger_than))]


def _cut_text(
    files: pa.Table, formats: pa.ChunkedArray, split_from: int, range_bytes: int, scan: _Scan
) -> dict[int, list[tuple[str, int, int]]]:
    sizes = files.column("size").to_numpy()
    requests: list[ScanRequest] = []
    counts: dict[int, int] = {}
    for file in _positions(formats, ["csv", "tsv", "jsonl"], sizes, split_from):
        name = formats[file].as_py()
        path = files.column("path")[file].as_py()
        ranges = cut_points(int(sizes[file]), range_bytes)
        counts[file] = len(ranges)
        delimiter = "\t" if name == "tsv" else ","
        requests += [ScanRequest(path, start, stop, delimiter, name != "jsonl") for start, stop in ranges]
    scans = iter(scan(requests) if requests else [])
    cuts = {}
    for file, count in counts.items():
        found = [next(scans) for _ in range(count)]
        done = [one for one in found if one is not None]
        offsets = [0, *(fold(done) if len(done) == count else []), int(sizes[file])]
        if len(offsets) > 2:
            cuts[file] = [("bytes", *pair) for pair in itertools.pairwise(offsets)]
    return cuts


def _cut_parquet(
    files: pa.Table, formats: pa.ChunkedArray, split_from: int, target: int
) -> dict[int, list[tuple[str, int, int]]]:
    sizes = files.column("size").to_numpy()
    large = _positions(formats, ["parquet"], sizes, split_from)
    if not large:
        return {}
    paths = [files.column("path")[file].as_py() for file in large]
    with ThreadPoolExecutor(_THREADS) as pool:
        groups = list(pool.map(_row_group_bytes, paths))
    cuts = {}
    for file, shares in zip(large, groups, strict=True):
        scaled = shares * (float(sizes[file]) / max(float(shares.sum()), 1.0))
        pieces = group_by_bytes(scaled.astype(np.int64), target, max_splits=target)
        if len(pieces) and pieces[-1] > 0:
            bounds = [int(n) for n in np.searchsorted(pieces, np.arange(pieces[-1] + 2))]
            cuts[file] = [("row_groups", *pair) for pair in itertools.pairwise(bounds)]
    return cuts


def _row_group_bytes(path: str) -> npt.NDArray[np.float64]:
    """Return the bytes of each row group; none if the footer cannot be read, which scoring the file will report."""
    try:
        fs, name = locate(path)
        with fs.open(name, "rb") as file:
            footer = pq.read_metadata(file)
        return np.array([footer.row_group(n).total_byte_size for n in range(footer.num_row_groups)], float)
    except Exception:  # noqa: BLE001 - whatever a store raises, the file is then one split
        return np.zeros(0)


def _table(
    files: pa.Table,
    formats: pa.ChunkedArray,
    mini_batches: npt.NDArray[np.int32],
    owners: npt.NDArray[np.int32],
    cuts: dict[int, list[tuple[str, int, int]]],
) -> pa.Table:
    """Return a row per split; `owners` has the file of each, `cuts` the splits of the files that were cut."""
    columns: dict[str, Any] = {name: files.column(name) for name in files.column_names} | {"format": formats}
    if cuts:
        columns = {name: column.take(pa.array(owners)) for name, column in columns.items()}
    count = len(owners)
    cut = np.full(count, "whole", object) if cuts else None
    start, stop = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for file, splits in cuts.items():
        at = int(np.searchsorted(owners, file))
        for n, (kind, lo, hi) in enumerate(splits, at):
            cut[n], start[n], stop[n] = kind, lo, hi  # type: ignore[index]
    whole = np.ones(count, bool) if cut is None else cut == "whole"
    columns |= {
        "mini_batch": pa.array(mini_batches, pa.int32()),
        "file": pa.array(owners, pa.int32()),
        "cut": pa.repeat(pa.scalar("whole"), count) if cut is None else pa.array(cut, pa.string()),
        "start": pa.array(start, mask=whole),
        "stop": pa.array(stop, mask=whole),
    }
    return pa.table([columns[name] for name in PLAN_SCHEMA.names], schema=PLAN_SCHEMA)

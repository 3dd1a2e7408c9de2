"""The data: generated once, kept in ``benchmarks/.data``, the same for every contender."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

__all__ = ["COLUMNS", "FOLDER", "csv_files", "large_csv", "parquet_files", "tiny_files"]

FOLDER = Path(__file__).resolve().parent / ".data"
COLUMNS = [f"x{n:02d}" for n in range(20)]
_TABULAR_FILES = 48
_PER_FOLDER = 1000


def parquet_files(rows: int, files: int = _TABULAR_FILES) -> Path:
    """Return a folder of parquet files with 20 doubles a row, `rows` in all."""

    def make(folder: Path) -> None:
        for n in range(files):
            pq.write_table(_table(rows // files, seed=n), folder / f"part-{n:03d}.parquet")

    return _kept(f"parquet-{rows}x{files}", make)


def csv_files(files: int, rows: int = 200) -> Path:
    """Return a folder of csv files with `rows` rows of 20 numbers each."""

    def make(folder: Path) -> None:
        table = _rounded(_table(rows * 50, seed=1))
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(lambda n: _write_csv(table.slice(n % 50 * rows, rows), folder / f"f{n:06d}.csv"), range(files))
            )

    return _kept(f"csv-{files}x{rows}", make)


def tiny_files(files: int) -> Path:
    """Return a folder of text files of a few bytes, a thousand in each of its folders."""

    def make(folder: Path) -> None:
        for start in range(0, files, _PER_FOLDER):
            below = folder / f"d{start // _PER_FOLDER:05d}"
            below.mkdir()
            for n in range(start, min(start + _PER_FOLDER, files)):
                handle = os.open(below / f"f{n:07d}.txt", os.O_WRONLY | os.O_CREAT, 0o600)
                os.write(handle, b"%d\n" % n)
                os.close(handle)

    return _kept(f"tiny-{files}", make)


def large_csv(size: int) -> tuple[Path, int]:
    """Return one csv file of about `size` bytes with 20 numbers a row, and its rows."""
    rows = 100_000
    block = FOLDER / "block.csv"
    FOLDER.mkdir(exist_ok=True)
    _write_csv(_rounded(_table(rows, seed=2)), block)
    header, _, body = block.read_bytes().partition(b"\n")
    times = max(1, size // len(body))

    def make(folder: Path) -> None:
        with (folder / "large.csv").open("wb") as file:
            file.write(header + b"\n")
            for _ in range(times):
                file.write(body)

    return _kept(f"large-{times}", make) / "large.csv", rows * times


def _table(rows: int, seed: int) -> pa.Table:
    values = np.random.default_rng(seed).standard_normal((len(COLUMNS), rows))
    return pa.table(dict(zip(COLUMNS, values, strict=True)))


def _rounded(table: pa.Table) -> pa.Table:
    return pa.table({name: np.round(table.column(name).to_numpy(), 6) for name in table.column_names})


def _write_csv(table: pa.Table, path: Path) -> None:
    pa_csv.write_csv(table, path, pa_csv.WriteOptions(quoting_style="none"))


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder of that name, made if it is not there; half-made ones never have the name."""
    folder = FOLDER / name
    if not folder.is_dir():
        half = FOLDER / f"{name}.half"
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        make(half)
        half.rename(folder)
    return folder

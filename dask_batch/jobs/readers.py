"""Output files read back: csv, parquet and JSON lines, as pandas, Arrow or Dask."""

from __future__ import annotations

import importlib
import itertools
import json
import os
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc

from dask_batch.parquet import read_parquet
from dask_batch.storage import is_local, locate

__all__ = ["read_output"]

# Types that csv text stands for without doubt; others are read as what their text looks like.
_FROM_TEXT = {"bool", "double", "float", "string", "large_string"}
_FROM_TEXT |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
# Only a field without quotes is null: an empty text is written as "".
_LINES = 65_536
_CSV: dict[str, Any] = {"null_values": [""], "strings_can_be_null": True, "quoted_strings_can_be_null": False}


def read_output(url: str, files: list[str], types: list[list[str]] | None, as_: str) -> Any:
    """Return the rows of a finished output.

    Parameters
    ----------
    url : str
        The output file, or the folder of a parquet data set.
    files : list of str
        The files of the output place, relative to it.
    types : list of [str, str], optional
        The columns and their Arrow types' names; None: told from the text (csv, jsonl).
    as_ : str
        ``"pandas"``, ``"arrow"`` or ``"dask"``.
    """
    kind = url.rpartition(".")[2]
    if as_ == "dask":
        # Text has no places where it can safely be cut, so it is read here, and parquet by whoever computes.
        frames = importlib.import_module("dask.dataframe")
        if kind == "parquet":
            return frames.read_parquet(url)
        return frames.from_pandas(read_output(url, files, types, "pandas"), npartitions=os.cpu_count() or 1)
    if kind == "parquet":
        base = url.rpartition("/")[0]
        table = _read_parquet([f"{base}/{name}" for name in files if name.startswith(url.rpartition("/")[2] + "/")])
    elif kind == "csv":
        table = _read_csv(url, types)
    else:
        table = _read_json(url)
    return table if as_ == "arrow" else table.to_pandas()


def _read_parquet(urls: list[str]) -> pa.Table:
    tables = []
    for url in sorted(urls):
        with _open_native(url) as file:
            tables.append(read_parquet(file))
    return pa.concat_tables(tables) if tables else pa.table({})


def _read_csv(url: str, types: list[list[str]] | None) -> pa.Table:
    with _open_native(url) as file:
        if not file.read(1).strip():
            return pa.table({})
        file.seek(0)
        return pc.read_csv(
            file,
            # Threads that parse may let go of what Python read after the interpreter has gone, and abort the process.
            read_options=pc.ReadOptions(use_threads=isinstance(file, pa.OSFile)),
            parse_options=pc.ParseOptions(newlines_in_values=True),
            convert_options=pc.ConvertOptions(column_types=_column_types(types), **_CSV),
        )


def _open_native(url: str) -> pa.NativeFile:
    """Open a file for Arrow: a local one without Python in between."""
    fs, path = locate(url)
    return pa.OSFile(path) if is_local(url) else pa.PythonFile(fs.open(path, "rb"), "r")


def _column_types(types: list[list[str]] | None) -> dict[str, pa.DataType] | None:
    """Return the types that csv text can be read as; other columns are told from their text."""
    return {name: pa.type_for_alias(kind) for name, kind in types or [] if kind in _FROM_TEXT} or None


def _read_json(url: str) -> pa.Table:
    # Arrow's own reader takes texts that look like dates for dates.
    fs, path = locate(url)
    with fs.open(path, "rb") as file:
        tables = []
        while lines := list(itertools.islice(file, _LINES)):
            tables.append(pa.Table.from_pylist([json.loads(line) for line in lines]))
    return pa.concat_tables(tables, promote_options="permissive") if tables else pa.table({})

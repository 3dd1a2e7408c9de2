"""Parquet files read without a trace: no thread of Arrow's is still at it once the rows are there."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["read_parquet"]


def read_parquet(source: Any) -> pa.Table:
    """Return the rows of a parquet file.

    `pyarrow.parquet.read_table` scans it as a data set, whose threads let go of `source` some time after it returned.
    If that is an object of Python's and the process ends by then, they need an interpreter that is gone, and the
    process aborts, or hangs (https://github.com/apache/arrow/issues/33975). So there is no data set here, and threads
    only where all of `source` is Arrow's.

    Parameters
    ----------
    source : pyarrow.NativeFile or binary file
        What has the file; it can be sought in.

    Returns
    -------
    pyarrow.Table
        All rows and columns.

    Raises
    ------
    pyarrow.ArrowInvalid
        It is no parquet file.

    Examples
    --------
    >>> import pyarrow as pa, pyarrow.parquet as pq
    >>> sink = pa.BufferOutputStream()
    >>> pq.write_table(pa.table({"x": [1, 2]}), sink)
    >>> read_parquet(pa.BufferReader(sink.getvalue())).num_rows
    2
    """
    return pq.ParquetFile(source).read(use_threads=isinstance(source, pa.OSFile))

"""Scoring tables: read splits as Arrow, predict in slices, say of each row where it came from.

The way of a row: `sources` opens files, `csv_text`, `json_text` and `columnar` turn them into `blocks`, `readers` does
so for the splits of a mini-batch, `slices` cuts what comes into predictions' worth, `prefetch` does all this one step
ahead in a thread, and `scorer` predicts and hands the rows to the sink.
"""

from __future__ import annotations

from dask_batch.scoring.tables.scorer import TableScorer

__all__ = ["TableScorer"]

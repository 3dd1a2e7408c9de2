"""Scoring scripts on files: Azure's contract, ``run(mini_batch)`` with a list of file paths."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa

from dask_batch.scoring.arrays import array_of
from dask_batch.scoring.attempts import Solved, solve
from dask_batch.scoring.inputs import Files, mini_batches
from dask_batch.scoring.outbox import NotCollected
from dask_batch.scoring.records import error_record
from dask_batch.scoring.results import Rows, count_of, or_text, rows_of
from dask_batch.scoring.scorer import Load, Place, Request
from dask_batch.scoring.script_module import import_script
from dask_batch.scoring.sink import Sink
from dask_batch.scoring.unify import unify_types

__all__ = ["FewerResults", "ScriptScorer"]

_FLUSH_ROWS = 16384
_FLUSH_CHARACTERS = 8 << 20


class FewerResults(Exception):
    """``run()`` returned fewer results than it was given files, so that at least one of them failed silently."""


class ScriptScorer:
    """A scoring script that gets lists of local file paths.

    Parameters
    ----------
    load : Load
        The deployment.
    place : Place
        Where it works.
    """

    def __init__(self, load: Load, place: Place) -> None:
        self._place = place
        self._script = import_script(load, place)
        self._warning = place.outbox.discard_of_init()

    def description(self) -> dict[str, Any]:
        """Return what the ``loaded`` message says of the script."""
        return self._script.description()

    def score(self, request: Request, sink: Sink) -> None:
        """Call ``run()`` for each mini-batch; leave its rows, failures and files in `sink`."""
        if self._warning:
            sink.warn(self._warning)
        rows = _RowBuffer(sink)
        with closing(mini_batches(request, self._place)) as batches:
            for files in batches:
                _MiniBatch(self, request, sink, rows, files).score()
        rows.flush()

    def shutdown(self) -> None:
        """Call the script's ``shutdown()``, if it has one."""
        if self._script.shutdown is not None:
            self._script.shutdown()

    def call(self, request: Request, files: Files, lo: int, hi: int) -> Rows:
        """Return what ``run()`` makes of the readable files lo to hi - 1 of a mini-batch.

        Raises
        ------
        FewerResults
            There are fewer results than files (unless ``bisect`` is off: then that is counted, as Azure does).
        BaseException
            Whatever ``run()`` raises.
        """
        request.check_verdict()
        summary = request.settings.output_action == "summary_only"
        try:
            with self._place.guard.running(files.mini_batch, files.items[lo], files.items[hi - 1] + 1):
                result = self._script.call(files.paths[lo:hi], dict(request.params))
                rows = Rows(count_of(result)) if summary else rows_of(result)
            if rows.count < hi - lo and request.settings.bisect:
                raise _fewer(rows.count, hi - lo)
        except BaseException:
            self._place.outbox.discard()
            raise
        return rows


def _fewer(results: int, files: int) -> FewerResults:
    if files == 1:
        return FewerResults("run() returned no result for this file, which means that it failed")
    return FewerResults(f"run() returned {results} results for {files} files, which means that some of them failed")


@dataclass
class _MiniBatch:
    """One mini-batch on its way through the script."""

    scorer: ScriptScorer
    request: Request
    sink: Sink
    rows: _RowBuffer
    files: Files
    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    rows_out: int = 0

    def score(self) -> None:
        started = time.perf_counter()
        files, settings = self.files, self.request.settings
        for item, split, error in files.unreadable:
            self._fail(error_record(error, stage="read"), item, split)
        for solved in solve(0, len(files.items), self._call, max_retries=settings.max_retries, bisect=settings.bisect):
            if solved.error is None:
                self._keep(solved)
            else:
                self._fail_range(solved, solved.error)
        self.sink.finish_mini_batch(
            files.mini_batch,
            items=len(files.items) + len(files.unreadable),
            succeeded=self.succeeded,
            rows_out=self.rows_out,
            failed=self.failed,
            attempts=self.calls,
            seconds=time.perf_counter() - started,
            bytes=files.bytes,
        )

    def _call(self, lo: int, hi: int) -> Rows:
        self.calls += 1
        return self.scorer.call(self.request, self.files, lo, hi)

    def _keep(self, solved: Solved[Rows]) -> None:
        rows, wanted = cast(Rows, solved.result), solved.hi - solved.lo
        try:
            self.sink.collect(self.files.mini_batch)
        except NotCollected as error:
            self._fail_range(solved, error)
            return
        self.succeeded += min(rows.count, wanted)
        if rows.count < wanted:  # only with bisect off
            record = error_record(_fewer(rows.count, wanted), stage="predict", attempts=solved.attempts)
            for _ in range(wanted - rows.count):
                self._fail(record, None, None)
        if rows.count and (rows.values is not None or rows.table is not None):
            self.rows_out += rows.count
            self.rows.add(rows, self.files.splits[solved.lo : solved.hi])

    def _fail_range(self, solved: Solved[Rows], error: BaseException) -> None:
        record = error_record(error, stage="predict", attempts=solved.attempts)
        for n in range(solved.lo, solved.hi):
            self._fail(record, self.files.items[n], self.files.splits[n])

    def _fail(self, record: dict[str, Any], item: int | None, split: dict[str, Any] | None) -> None:
        self.failed += 1
        own = {
            "file": split["path"] if split else None,
            "split": split["split"] if split else None,
            "mini_batch": self.files.mini_batch,
            "item": item,
        }
        self.sink.fail({**record, **own}, file=True)


class _RowBuffer:
    """Rows of many small mini-batches, turned into tables together: one for each would cost far more than its row."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._reset()

    def _reset(self) -> None:
        self._type: pa.DataType | None = None
        self._values: list[Any] = []
        self._files: list[str | None] = []
        self._splits: list[int] = []
        self._rows: list[int] = []
        self._characters = 0

    def add(self, rows: Rows, splits: list[dict[str, Any]]) -> None:
        """Add the rows that a call for some splits returned."""
        if rows.values is None:
            self._add_table(rows, splits)
            return
        if self._type is not None and rows.type != self._type:
            united = unify_types(self._type, rows.type) if rows.type else None
            if united is None or pa.types.is_decimal(united):
                self.flush()  # the part unites them
                united = rows.type
            self._type = united
        self._type = self._type or rows.type
        self._values += rows.values
        _locate(rows.count, splits, self._files, self._splits, self._rows)
        if rows.type == pa.string():
            self._characters += sum(len(value) for value in rows.values if value is not None)
        if len(self._values) >= _FLUSH_ROWS or self._characters >= _FLUSH_CHARACTERS:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the sink."""
        if not self._values:
            return
        table = or_text(pa.table([array_of(self._values, self._type)], names=["prediction"]), ["prediction"])
        self._sink.rows(_with_origin(table, self._files, self._splits, self._rows))
        self._reset()

    def _add_table(self, rows: Rows, splits: list[dict[str, Any]]) -> None:
        self.flush()
        files: list[str | None] = []
        positions: list[int] = []
        numbers: list[int] = []
        _locate(rows.count, splits, files, positions, numbers)
        self._sink.rows(_with_origin(rows.table, files, positions, numbers))


def _locate(
    count: int, splits: list[dict[str, Any]], files: list[str | None], positions: list[int], numbers: list[int]
) -> None:
    """Say of each row which file it comes from, where that is certain: one file, or a row for each."""
    if len(splits) == 1:
        split = splits[0]
        files += [split["path"]] * count
        positions += [split["split"]] * count
        numbers += range(count)
    elif count == len(splits):
        files += [split["path"] for split in splits]
        positions += [split["split"] for split in splits]
        numbers += [0] * count
    else:
        files += [None] * count
        positions += [splits[0]["split"]] * count
        numbers += range(count)


def _with_origin(table: pa.Table, files: list[str | None], positions: list[int], numbers: list[int]) -> pa.Table:
    if "source_file" not in table.column_names:
        table = table.append_column("source_file", array_of(files, pa.string()))
    table = table.append_column("__split", array_of(positions, pa.int32()))
    return table.append_column("__row", array_of(numbers, pa.int64()))

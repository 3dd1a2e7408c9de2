"""Tables through a model: predict slice by slice, and say of each row where it came from or why it failed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from dask_batch.scoring.attempts import Solved, solve
from dask_batch.scoring.outbox import NotCollected
from dask_batch.scoring.reading import ReadLane
from dask_batch.scoring.records import Verdict, error_record
from dask_batch.scoring.results import or_text
from dask_batch.scoring.scorer import Load, Place, Request, ScoreSettings
from dask_batch.scoring.sink import Sink
from dask_batch.scoring.tables.ahead import Rows, read_ahead, size_of
from dask_batch.scoring.tables.blocks import Lost, Span
from dask_batch.scoring.tables.casting import json_values
from dask_batch.scoring.tables.columns import MLFLOW_TYPES, Wanted, arrow_type
from dask_batch.scoring.tables.faults import RowFault, RowUnreadable, Unreadable, cannot_be_scored
from dask_batch.scoring.tables.prefetch import Prefetched
from dask_batch.scoring.tables.results import columns_of, joined

if TYPE_CHECKING:
    pass

__all__ = ["TableScorer", "wanted_columns"]


class TableScorer:
    """A model, or a scoring script, that gets DataFrames.

    Parameters
    ----------
    load : Load
        The deployment.
    place : Place
        Where it works.
    """

    def __init__(self, load: Load, place: Place) -> None:
        # Here, and not with the first rows: there it would count as time that reading takes.
        import pandas  # noqa: F401

        self.place = place
        self._code = _ScriptCode(load, place) if load.kind == "script" else _ModelCode(load, place)
        self._warning = place.outbox.discard_of_init()

    def description(self) -> dict[str, Any]:
        """Return what the ``loaded`` message says of the deployment."""
        return self._code.description()

    def score(self, request: Request, sink: Sink) -> None:
        """Score a chunk: leave its rows and failures in `sink`."""
        if self._warning:
            sink.warn(self._warning)
        wanted = wanted_columns(request.settings, self.description()["signature"])
        lane = ReadLane(self.place.cell, request.first)
        open_batch = _MiniBatch(self, request, sink, request.first)
        limit = request.settings.prefetch_bytes
        with Prefetched(read_ahead(request, wanted, lane), size_of, limit, lane.waiting) as works:
            for work in works:
                if isinstance(work, Rows):
                    open_batch.score(work)
                elif isinstance(work, Lost):
                    open_batch.lose(work)
                else:
                    open_batch.finish()
                    open_batch = _MiniBatch(self, request, sink, open_batch.mini_batch + 1)

    def shutdown(self) -> None:
        """Call the script's ``shutdown()``, if it has one."""
        self._code.shutdown()

    def predict(self, work: Rows, request: Request, mini_batch: int, lo: int, hi: int) -> pa.Table:
        """Return the predictions for rows lo to hi - 1 of a slice, as columns; raises whatever user code raises."""
        request.check_verdict()
        items = int(work.items[lo]), int(work.items[hi - 1]) + 1
        try:
            with self.place.guard.running(mini_batch, *items):
                return columns_of(self._code.call(_handed_out(work.frame, lo, hi), dict(request.params)), hi - lo)
        except BaseException:
            self.place.outbox.discard()
            raise


def wanted_columns(settings: ScoreSettings, signature: dict[str, Any] | None) -> Wanted:
    """Return which columns a job reads, and as what.

    Parameters
    ----------
    settings : ScoreSettings
        ``types`` fixes columns and types for the job, and says which are optional; ``include_inputs`` adds columns to
        carry along.
    signature : dict, optional
        The model's; it says the order of the columns, which of them may be missing, and types where `settings` says
        nothing.
    """
    inputs = (signature or {}).get("inputs") or []
    if any(column["name"] is None for column in inputs):
        inputs = []  # a signature that only counts columns
    names = {column["name"]: MLFLOW_TYPES.get(column["type"]) for column in inputs}
    fixed = {one[0]: one[1] for one in settings.types or ()}
    model = tuple(names) or (tuple(fixed) if settings.types is not None else None)
    types = {name: what for name, text in {**names, **fixed}.items() if text and (what := arrow_type(text)) is not None}
    optional = {column["name"] for column in inputs if not column["required"]}
    optional |= {one[0] for one in settings.types or () if "optional" in one[2:]}
    return Wanted(model, types, frozenset(optional), settings.include_inputs, sampled=not inputs)


# -- user code ---------------------------------------------------------------------------------------------------------


class _Code(Protocol):
    def description(self) -> dict[str, Any]: ...

    def call(self, frame: Any, params: dict[str, Any]) -> Any: ...

    def shutdown(self) -> None: ...


class _ModelCode:
    """An MLflow model behind the calls of `_Code`."""

    def __init__(self, load: Load, place: Place) -> None:
        from dask_batch.scoring.mlflow_model import MlflowModel

        with place.guard.loading():
            self._model = MlflowModel(load.model_path or "")
        self._description = self._model.describe(load.check_packages)

    def description(self) -> dict[str, Any]:
        return self._description

    def call(self, frame: Any, params: dict[str, Any]) -> Any:
        return self._model.predict(frame, params)

    def shutdown(self) -> None:
        """A model has nothing to tidy up."""


class _ScriptCode:
    """A scoring script behind the calls of `_Code`."""

    def __init__(self, load: Load, place: Place) -> None:
        from dask_batch.scoring.script_module import import_script

        self._script = import_script(load, place)

    def description(self) -> dict[str, Any]:
        return self._script.description()

    def call(self, frame: Any, params: dict[str, Any]) -> Any:
        return self._script.call(frame, params)

    def shutdown(self) -> None:
        if self._script.shutdown is not None:
            self._script.shutdown()


def _handed_out(frame: Any, lo: int, hi: int) -> Any:
    """Return rows lo to hi - 1 as a frame that user code may change without changing what a retry gets."""
    if lo == 0 and hi == len(frame):
        import pandas as pd

        return frame.copy(deep=not pd.__version__.startswith("3"))  # from pandas 3 on, written-to copies are real ones
    return frame.iloc[lo:hi].reset_index(drop=True)


def _most_calls(rows: int, max_retries: int) -> int:
    """Return how many calls suffice to try each row alone: a good row is never failed for the company it keeps."""
    return 2 * rows + max_retries


# -- what the main thread does with it ---------------------------------------------------------------------------------


@dataclass
class _MiniBatch:
    """One mini-batch on its way through the model."""

    scorer: TableScorer
    request: Request
    sink: Sink
    mini_batch: int
    calls: int = 0
    seen: int = 0
    lost: int = 0
    succeeded: int = 0
    failed: int = 0
    extent: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def _splits(self) -> list[dict[str, Any]]:
        return self.request.mini_batches[self.mini_batch - self.request.first]

    def score(self, work: Rows) -> None:
        """Predict a slice."""
        for text in work.warnings:
            self.sink.warn(text)
        for span in work.spans:
            self.seen += span.rows
            if span.split["cut"] != "whole":
                self.sink.split_rows(span.split["split"], self._rows_more(span))
        for fault in work.faults:
            self._note_fault(*fault)
        settings = self.request.settings
        for solved in solve(
            0,
            len(work.items),
            partial(self._call, work),
            max_retries=settings.max_retries,
            bisect=settings.bisect,
            budget=_most_calls(len(work.items), settings.max_retries),
        ):
            if solved.error is None:
                self._keep(work, solved)
            else:
                self._fail_rows(work, solved, solved.error)

    def _rows_more(self, span: Span) -> int:
        """Return how many rows more the split is known to have; where only some are scored, up to the last of them."""
        if self.request.only is None:
            return span.rows
        more = max(0, span.first + span.rows - self.extent)
        self.extent += more
        return more

    def lose(self, lost: Lost) -> None:
        """Note a file that cannot be read."""
        error = lost.error
        if not isinstance(error, (Unreadable, Verdict)):
            error = Unreadable(f"it cannot be read: {type(error).__name__}: {error}")
            error.__cause__ = lost.error
        if lost.after and isinstance(error, Unreadable):
            error = Unreadable(f"{error} The {lost.after:,} rows before that were scored.", error.advice)
        name = os.path.basename(lost.split["path"])
        told = error if isinstance(error, Verdict) else cannot_be_scored(name, error)
        record = error_record(told, stage="read", file=lost.split["path"], split=lost.split["split"])
        record["mini_batch"] = self.mini_batch
        record["rows_before"] = lost.after
        if self.request.only is not None:
            self._lose_rows(record, self.request.only)
        if self.request.only is None or self.request.only[-1][1] is None:
            self.sink.fail(record, file=True)
            self.lost += 1
            self.failed += 1

    def _lose_rows(self, record: dict[str, Any], only: list[tuple[int, int | None]]) -> None:
        """Note the rows that were to be scored again, one by one, and lie where the file cannot be read."""
        after = record["rows_before"]
        rows = [row for lo, hi in only if hi is not None for row in range(max(lo, after), hi)]
        for row in rows:
            self.sink.fail({**record, "row": row, "item": row}, file=False)
        self.seen += len(rows)
        self.failed += len(rows)

    def finish(self) -> None:
        """Report the mini-batch as done."""
        whole = self.request.items is None or self.request.items[0] == 0
        for split in self._splits:
            if split["cut"] != "whole":
                self.sink.split_rows(split["split"], 0)
        self.sink.finish_mini_batch(
            self.mini_batch,
            items=self.seen + self.lost,
            succeeded=self.succeeded,
            rows_in=self.seen,
            failed=self.failed,
            attempts=self.calls,
            seconds=time.perf_counter() - self.started,
            bytes=sum(split["bytes"] for split in self._splits) if whole else 0,
        )

    def _call(self, work: Rows, lo: int, hi: int) -> pa.Table:
        self.calls += 1
        return self.scorer.predict(work, self.request, self.mini_batch, lo, hi)

    def _keep(self, work: Rows, solved: Solved[pa.Table]) -> None:
        try:
            self.sink.collect(self.mini_batch)
        except NotCollected as error:
            self._fail_rows(work, solved, error)
            return
        lo, hi = solved.lo, solved.hi
        self.succeeded += hi - lo
        if self.request.settings.output_action == "summary_only":
            return
        table, clashes = joined(work.carried.slice(lo, hi - lo), solved.result)
        for name in clashes:
            self.sink.warn(
                f"the input has a column {name!r} and so has the output: the input's is called 'input_{name}' there"
            )
        # Files differ in what they carry along, and calls in what their unnamed results are.
        table = or_text(table, [*table.column_names[: work.carried.num_columns], "prediction"])
        table = table.append_column("__split", pa.array(work.splits[lo:hi]))
        self.sink.rows(table.append_column("__row", pa.array(work.rows[lo:hi])))

    def _note_fault(self, fault: RowFault, item: int, split: int, row: int) -> None:
        record = error_record(RowUnreadable(fault.message), stage="read", row=row, split=split, item=item)
        place = {"file": self._path_of(split), "mini_batch": self.mini_batch, "values": fault.values}
        self.sink.fail({**record, **place}, file=False)
        self.failed += 1

    def _fail_rows(self, work: Rows, solved: Solved[pa.Table], error: BaseException) -> None:
        record = error_record(error, stage="predict", mini_batch=self.mini_batch, attempts=solved.attempts)
        rows = work.frame.iloc[solved.lo : solved.hi].to_dict("records")
        for n, values in enumerate(rows, start=solved.lo):
            split = int(work.splits[n])
            place = {"file": self._path_of(split), "split": split, "row": int(work.rows[n]), "item": int(work.items[n])}
            self.sink.fail({**record, **place, "values": json_values(values)}, file=False)
            record["traceback"] = ""  # once is enough for rows that failed together
        self.failed += len(rows)

    def _path_of(self, split: int) -> str:
        first = self._splits[0]["split"]
        path: str = self._splits[split - first]["path"]
        return path

"""The sink: where a scorer leaves rows, failures and files. Nothing is visible until `Sink.commit`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from typing import IO, TYPE_CHECKING, Any

from dask_batch.scoring.cell import WRITE
from dask_batch.scoring.outbox import NotCollected
from dask_batch.scoring.publish import Publisher, writing
from dask_batch.scoring.scorer import Place, Request

if TYPE_CHECKING:
    import pyarrow as pa

    from dask_batch.scoring.parts import PartWriter

__all__ = ["DuplicateFile", "Sink"]

_MAX_WARNINGS = 100
_REPORT_COLUMNS = ("mini_batch", "items", "rows", "failed", "attempts", "seconds")


class DuplicateFile(NotCollected):
    """Two calls of one chunk left a file of the same name in ``AZUREML_BI_OUTPUT_PATH``."""


class Sink:
    """What one attempt at a chunk makes.

    Parameters
    ----------
    request : Request
        The chunk: where to publish, and under which id.
    place : Place
        Where to keep what is not published yet.
    """

    def __init__(self, request: Request, place: Place) -> None:
        self._request = request
        self._cell = place.cell
        self._outbox = place.outbox
        self._base = os.path.join(place.scratch, f"attempt-{request.attempt}")
        self._started = time.perf_counter()
        self._part: PartWriter | None = None
        self._errors: IO[str] | None = None
        self._first_error: dict[str, Any] | None = None
        self._counts = dict.fromkeys(
            ("items", "succeeded", "failed", "failed_files", "rows_in", "rows_out", "bytes", "collected"), 0
        )
        self._report: dict[str, list[Any]] = {name: [] for name in _REPORT_COLUMNS}
        self._reported_rows = 0
        self._split_rows: dict[int, int] = {}
        self._collected: dict[str, int] = {}
        self._warnings: dict[str, None] = {}

    # -- what scorers leave --------------------------------------------------------------------------------------

    def rows(self, table: pa.Table) -> None:
        """Append rows: output columns, and ``__split`` (int32) and ``__row`` (int64).

        Tables may differ in columns and types: int with float becomes float, null with T becomes T, a missing column
        is null. Raises ChunkFailed if two types cannot be united, or the disk is full.
        """
        if self._part is None:
            from dask_batch.scoring.parts import PartWriter

            self._part = PartWriter(self._base + ".arrow", self._origin)
        self._part.write(table)

    def fail(self, error: dict[str, Any], *, file: bool | None = None) -> None:
        """Record one failed item.

        Parameters
        ----------
        error : dict
            What `error_record` returns.
        file : bool, optional
            Whether the item is a file; by default when its stage is ``"read"``.
        """
        self._counts["failed"] += 1
        self._counts["failed_files"] += (error["stage"] == "read") if file is None else file
        if self._first_error is None:
            self._first_error = error
        writing(self._base + ".jsonl", lambda: self._note(error))

    def finish_mini_batch(
        self,
        mini_batch: int,
        *,
        items: int,
        succeeded: int,
        rows_in: int = 0,
        rows_out: int | None = None,
        failed: int = 0,
        attempts: int = 1,
        seconds: float = 0.0,
        bytes: int = 0,  # noqa: A002
    ) -> None:
        """Note a mini-batch as done, once each.

        Parameters
        ----------
        mini_batch : int
            Its position in the plan.
        items, succeeded, failed : int
            Items of the mini-batch in this chunk; failed ones are reported by `fail`, one by one, as well.
        rows_in, rows_out : int
            Rows read, and rows left in the sink; by default `rows_out` is what came since the last one was finished.
        attempts : int
            Calls of user code.
        seconds : float
            How long it took.
        bytes : int
            Bytes of input.
        """
        written = self._part.rows if self._part else 0
        rows_out = written - self._reported_rows if rows_out is None else rows_out
        self._reported_rows = written
        counts = self._counts
        counts["items"] += items
        counts["succeeded"] += succeeded
        counts["rows_in"] += rows_in
        counts["bytes"] += bytes
        values = (mini_batch, items, rows_out, failed, attempts, round(seconds, 6))
        for name, value in zip(_REPORT_COLUMNS, values):
            self._report[name].append(value)

    def split_rows(self, split: int, n: int) -> None:
        """Add n to the rows of a split (failed ones included) that this attempt covers."""
        self._split_rows[split] = self._split_rows.get(split, 0) + n

    def collect(self, mini_batch: int) -> None:
        """Move what the last call left in ``AZUREML_BI_OUTPUT_PATH`` aside, to be published by `commit`.

        Raises
        ------
        DuplicateFile
            An earlier call of this chunk left the same name and ``on_duplicate`` is ``"error"``: the files are
            dropped, and the items of the call have failed.
        NoFile
            The call left something that is no file: likewise.
        """
        if not self._outbox.changed():
            return
        names = self._outbox.files()
        if self._request.settings.on_duplicate != "last":
            for name in names:
                if name in self._collected:
                    self._outbox.discard()
                    raise self._duplicate(name, mini_batch)
        try:
            self._take(names)
        except NotCollected:
            self._outbox.discard()
            raise
        except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            self._outbox.discard()
            raise self._duplicate(
                os.path.relpath(str(error.filename2 or error.filename), self._aside), mini_batch
            ) from error
        self._collected.update(dict.fromkeys(names, mini_batch))
        self._outbox.settle()

    def warn(self, text: str) -> None:
        """Pass a warning on; each text once."""
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings[text] = None

    # -- the end -------------------------------------------------------------------------------------------------

    def commit(self) -> dict[str, Any]:
        """Publish everything and return the ``scored`` message.

        Raises
        ------
        ChunkFailed
            Something could not be written; nothing of it counts.
        """
        self._cell.set("main", WRITE)
        attempt = self._request.attempt
        publisher = Publisher(self._request.folder)
        part = self._part.finish() if self._part else None
        self._counts["rows_out"] = self._part.rows if self._part else 0
        self._counts["collected"] = len(self._collected)
        if part:
            publisher.file(part, f"parts/{attempt}.arrow")
        if self._collected:
            publisher.tree(self._aside, list(self._collected), f"parts/{attempt}")
        if self._errors:
            writing(self._base + ".jsonl", self._errors.close)
            publisher.file(self._base + ".jsonl", f"errors/{attempt}.jsonl")
        publisher.content(self._report_json(), f"reports/{attempt}.json")
        publisher.flush()
        message = {
            "op": "scored",
            "part": f"parts/{attempt}.arrow" if part else None,
            "report": f"reports/{attempt}.json",
            "errors": f"errors/{attempt}.jsonl" if self._errors else None,
            "split_rows": {str(split): n for split, n in self._split_rows.items()},
            "counts": {name: n for name, n in self._counts.items() if n},
            "first_error": self._first_error,
            "warnings": list(self._warnings),
            "seconds": round(time.perf_counter() - self._started, 6),
        }
        self._remove_scratch()
        return message

    def abort(self) -> None:
        """Drop everything."""
        if self._part:
            self._part.abort()
        if self._errors:
            with contextlib.suppress(OSError):
                self._errors.close()
        self._outbox.discard()
        self._remove_scratch()

    # -- inside --------------------------------------------------------------------------------------------------

    def _origin(self, table: pa.Table) -> str:
        number = table.column("__split")[0].as_py()
        splits = (split for splits in self._request.mini_batches for split in splits)
        return next((f"rows of {split['path']!r}" for split in splits if split["split"] == number), "some rows")

    @property
    def _aside(self) -> str:
        return self._base + ".files"

    def _note(self, error: dict[str, Any]) -> None:
        if self._errors is None:
            self._errors = open(self._base + ".jsonl", "w", encoding="utf-8")  # noqa: SIM115
        self._errors.write(json.dumps(error, default=str) + "\n")

    def _take(self, names: list[str]) -> None:
        for name in names:
            target = os.path.join(self._aside, name)
            try:
                self._outbox.take(name, target)
            except (NotADirectoryError, IsADirectoryError, FileExistsError):
                raise
            except OSError as error:
                writing(target, lambda error=error: _reraise(error))  # type: ignore[misc]

    def _duplicate(self, name: str, mini_batch: int) -> DuplicateFile:
        earlier = self._collected.get(name, mini_batch)
        return DuplicateFile(
            f"mini-batch {mini_batch} left the file {name!r} in AZUREML_BI_OUTPUT_PATH, and so did a call for "
            f"mini-batch {earlier} before: derive names from the input files, or set on_duplicate: last, which keeps "
            "the later one"
        )

    def _report_json(self) -> bytes:
        files = [[mini_batch, name] for name, mini_batch in self._collected.items()]
        return json.dumps({"mini_batches": self._report, "files": files}, separators=(",", ":")).encode()

    def _remove_scratch(self) -> None:
        for ending in (".arrow", ".jsonl"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._base + ending)
        shutil.rmtree(self._aside, ignore_errors=True)


def _reraise(error: OSError) -> None:
    raise error

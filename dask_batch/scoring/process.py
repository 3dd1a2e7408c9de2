"""The scoring process: it loads one deployment, scores the chunks that it is given, and ends with its parent.

Started as ``python -m dask_batch.scoring --in FD --out FD --cell FILE --scratch DIR --parent PID``, in a session of its
own. User code runs in the main thread only; all else that goes on is a thread that waits for the parent, and one that
reads ahead.
"""

from __future__ import annotations

import argparse
import atexit
import importlib
import logging
import os
import time
from collections.abc import Sequence
from typing import Any

from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.cell import IDLE, LOAD, Cell
from dask_batch.scoring.guard import Guard
from dask_batch.scoring.life import die_with_parent, dump_stacks_to, ignore_signals, start_watchdog
from dask_batch.scoring.logs import Logs
from dask_batch.scoring.outbox import Outbox
from dask_batch.scoring.protocol import Channel
from dask_batch.scoring.records import error_record
from dask_batch.scoring.scorer import Load, Place, Request, Scorer
from dask_batch.scoring.transient import is_storage_trouble

__all__ = ["main"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_SCORERS = {
    "files": "dask_batch.scoring.script:ScriptScorer",
    "table": "dask_batch.scoring.tables:TableScorer",
    "images": "dask_batch.scoring.images:ImageScorer",
}
_NEEDED = ("fsspec", "numpy", "pandas", "pyarrow")

_log = logging.getLogger("dask_batch.scoring")


class EnvironmentLacks(Exception):
    """A package that every scoring process needs is not installed in the deployment's environment."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a scoring process until its parent closes the pipe; never returns.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; by default that of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dask_batch.scoring", description="A scoring process of dask-batch."
    )
    parser.add_argument("--in", dest="receive", type=int, required=True, help="descriptor to read messages from")
    parser.add_argument("--out", dest="send", type=int, required=True, help="descriptor to write messages to")
    parser.add_argument("--cell", required=True, help="file of the progress cell")
    parser.add_argument("--scratch", required=True, help="private folder")
    parser.add_argument("--parent", type=int, required=True, help="process id of the parent")
    options = parser.parse_args(arguments)
    die_with_parent(options.parent)
    start_watchdog()  # forks, so before any thread
    ignore_signals()
    scratch = os.path.abspath(options.scratch)
    dump_stacks_to(os.path.join(scratch, "stack.txt"))
    cell = Cell(options.cell)
    channel = Channel(options.receive, options.send)
    _Process(channel, cell, scratch).serve()


class _Process:
    """What a scoring process holds."""

    def __init__(self, channel: Channel, cell: Cell, scratch: str) -> None:
        self._channel = channel
        self._cell = cell
        self._logs = Logs()
        guard = Guard(cell, self._logs, os.path.join(scratch, "work"))
        self._place = Place(scratch, cell, guard, Outbox(os.path.join(scratch, "output")))
        self._scorer: Scorer | None = None

    def serve(self) -> None:
        """Answer messages until ``close``."""
        while True:
            message = self._channel.next()
            self._logs.switch(message.get("log"))
            if message["op"] == "close":
                self._close()
            answer = self._load(message) if message["op"] == "load" else self._score(message)
            self._cell.set("main", IDLE)
            self._cell.set("read", IDLE)
            self._logs.flush()
            self._channel.send(answer)

    def _load(self, message: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        self._cell.set("main", LOAD)
        load = Load.from_message(message)
        self._logs.level(load.logging_level)
        try:
            _set_environment(load, self._place)
            self._scorer = _scorer_class(load)(load, self._place)
            description = self._scorer.description()
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            record = {**error_record(error, stage="load"), "storage": is_storage_trouble(error)}
            return {"op": "load_failed", "error": record}
        return {"op": "loaded", "seconds": round(time.perf_counter() - started, 6), "description": description}

    def _score(self, message: dict[str, Any]) -> dict[str, Any]:
        from dask_batch.scoring.sink import Sink

        if self._scorer is None:
            return _failed(ChunkFailed(f"message {message['op']!r} came before a deployment was loaded"))
        request = Request.from_message(message)
        sink = Sink(request, self._place)
        try:
            self._scorer.score(request, sink)
            return sink.commit()
        except BaseException as error:  # noqa: BLE001  (reported; the process can go on)
            sink.abort()
            return _failed(error)

    def _close(self) -> None:
        """Let user code tidy up, and end without waiting for its threads."""
        try:
            with self._place.guard.loading():
                if self._scorer is not None:
                    self._scorer.shutdown()
        except BaseException:  # noqa: BLE001  (nobody is left to be told but the log)
            _log.exception("shutdown() failed")
        atexit._run_exitfuncs()
        self._logs.flush()
        os._exit(0)


def _set_environment(load: Load, place: Place) -> None:
    """Set what user code and numerical libraries look for, before any of them is imported."""
    variables = load.environment_variables or {}
    threads = dict.fromkeys(THREAD_VARIABLES, str(load.threads))
    os.environ.update({**threads, **variables})
    os.environ["AZUREML_BI_OUTPUT_PATH"] = place.outbox.path


def _scorer_class(load: Load) -> Any:
    module, _, name = _SCORERS[load.input_format].partition(":")
    try:
        import pyarrow as pa

        found = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _NEEDED:
            raise
        raise EnvironmentLacks(
            f"the deployment's environment has no package {package!r}, which every scoring process needs; "
            f"add {', '.join(_NEEDED)} to its requirements"
        ) from error
    pa.set_cpu_count(max(1, load.threads))
    return found


def _failed(error: BaseException) -> dict[str, Any]:
    chunk = isinstance(error, ChunkFailed)
    record = error_record(error, stage=error.stage if isinstance(error, ChunkFailed) else "write")
    if not chunk:
        _log.error("the chunk could not be scored", exc_info=error)
    return {"op": "failed", "error": {**record, "transient": chunk and getattr(error, "transient", False)}}

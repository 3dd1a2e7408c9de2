"""What follows from a decision: a completed run's outputs are put together, and the job is closed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
from typing import Any

from dask_batch.errors import DaskBatchError
from dask_batch.host.executor import Executor, InstanceLost
from dask_batch.host.reporter import Reporter
from dask_batch.jobfolder.chunks import Counts
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.states import State
from dask_batch.outputs.claim import release_output
from dask_batch.outputs.finalize import Finalizing, assemble, clean, discard, finished, format_group, plan_finalizing
from dask_batch.outputs.tasks import CopyTask, FormatTask
from dask_batch.specs.job import JobDefinition
from dask_batch.storage import is_transient

__all__ = ["finish"]

log = logging.getLogger(__name__)

_TRIES = 5


async def finish(
    folder: JobFolder, definition: JobDefinition, decision: dict[str, Any], executor: Executor, reporter: Reporter
) -> None:
    """Bring a decided run to its terminal state; repeatable, from the decision alone.

    Parameters
    ----------
    folder : JobFolder
        The job.
    definition : JobDefinition
        What ``job.json`` says.
    decision : dict
        What ``final-<n>.json`` says.
    executor : Executor
        Where the outputs are formatted.
    reporter : Reporter
        The job's status.
    """
    await asyncio.to_thread(folder.check)
    number, outcome = int(decision["run"]), State(decision["outcome"])
    reason = decision.get("reason")
    reporter.update(counts=Counts.from_json(decision["counts"]), why="")
    if outcome == State.COMPLETED:
        await asyncio.to_thread(reporter.move, State.FINALIZING)
        closed = await asyncio.to_thread(folder.closed, number)
        if closed is None:
            closed = await _close(folder, definition, decision, executor)
        if closed["outcome"] == "Completed":
            # Also where another host closed it, and died before this.
            await asyncio.to_thread(clean, folder, definition.to_stored(), decision)
        outcome, reason = State(closed["outcome"]), closed.get("reason")
    if outcome == State.COMPLETED:
        reporter.update(progress=1.0)
    elif not decision["entries"] and await asyncio.to_thread(_is_last, folder, number):
        # Nothing will ever be written there, unless it is resumed: that claims the place again.
        with contextlib.suppress(OSError, DaskBatchError):
            await asyncio.to_thread(release_output, definition.output.url, folder.job)
    reporter.update(reason=reason, eta_s=None)
    await asyncio.to_thread(reporter.move, outcome)


def _is_last(folder: JobFolder, number: int) -> bool:
    return max(folder.runs(), default=number) == number


async def _close(
    folder: JobFolder, definition: JobDefinition, decision: dict[str, Any], executor: Executor
) -> dict[str, Any]:
    """Put the outputs together and note that it is done, or why it could not be."""
    result: dict[str, Any]
    try:
        summary = await _finalize(folder, decision, executor)
        result = {"outcome": "Completed", "reason": None, "at": now(), **summary}
    except Exception as error:
        log.exception("job %s could not be finalized", folder.job)
        # Another host may have finalized it meanwhile, and have moved away what this one was about to move.
        done = await _finished(folder, decision)
        if done is None:
            reason = {
                "type": type(error).__name__,
                "message": f"the outputs could not be written: {_said(error)}",
                "next": "mend the cause; job.resume() writes them without scoring again",
            }
            result = {"outcome": "Failed", "reason": reason, "outputs": {}, "at": now()}
        else:
            result = {"outcome": "Completed", "reason": None, "at": now(), **done}
    number = int(decision["run"])
    if not await asyncio.to_thread(folder.close, number, result):
        standing = await asyncio.to_thread(folder.closed, number)
        result = result if standing is None else standing
    return result


async def _finished(folder: JobFolder, decision: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return await asyncio.to_thread(finished, folder, int(decision["run"]))
    except Exception:  # noqa: BLE001 - only asked after another error, which is told
        return None


async def _finalize(folder: JobFolder, decision: dict[str, Any], executor: Executor) -> dict[str, Any]:
    done = await asyncio.to_thread(finished, folder, int(decision["run"]))
    if done is not None:
        return done
    work = await asyncio.to_thread(plan_finalizing, folder, decision)
    try:
        results = await _format(executor, work)
        return await asyncio.to_thread(assemble, folder, work, results)
    except Exception:
        # Else a disk that is full would stay so, and have one more unfinished output on it after each attempt.
        await asyncio.to_thread(discard, work)
        raise


async def _format(executor: Executor, work: Finalizing) -> list[dict[str, Any]]:
    """Run the tasks of finalizing and return what came of each.

    After one has failed no other is begun, and its error is raised when those at work have ended: none writes any more.
    """
    # As many at once as can run: where more were handed over, chunks of other jobs would wait behind all of them.
    room = asyncio.Semaphore(executor.width)
    results: list[dict[str, Any]] = []
    failures: list[Exception] = []

    async def one(task: FormatTask | CopyTask) -> None:
        async with room:
            if failures:
                return
            try:
                results.append(await _patiently(executor, format_group, task))
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)

    await asyncio.gather(*map(one, work.tasks))
    if failures:
        raise failures[0]
    return results


async def _patiently(executor: Executor, function: Any, *arguments: Any) -> Any:
    """Run a function, again after transient errors and lost instances."""
    for attempt in range(1, _TRIES + 1):
        try:
            return await executor.run(function, *arguments)
        except Exception as error:
            if attempt == _TRIES or not (isinstance(error, InstanceLost) or is_transient(error)):
                raise
            await asyncio.sleep(0.2 * 2**attempt)
    return None


def _said(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"no space is left on the device ({error.filename or error})"
    return str(error)

"""One run of one job, from adoption to decision: the only writer of its ledger and status."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import traceback
from typing import Any

from dask_batch.errors import DaskBatchError
from dask_batch.host.autoscaler import Demand
from dask_batch.host.collected import CollectedNames, without
from dask_batch.host.deciding import decide
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.executor import Executor
from dask_batch.host.finishing import finish
from dask_batch.host.preparing import prepare_plan
from dask_batch.host.reporter import Capacity, Reporter, first_status
from dask_batch.host.scoreboard import Scoreboard
from dask_batch.host.scoring_run import ScoringRun
from dask_batch.host.threshold import exceeded
from dask_batch.jobfolder.decisions import canceled_by
from dask_batch.jobfolder.folder import JobFolder, JobGone
from dask_batch.jobfolder.ledger import Entry, Ledger, latest_adoption
from dask_batch.jobfolder.plan import Plan
from dask_batch.jobfolder.runs import retries_failed, run_settings
from dask_batch.jobfolder.states import State
from dask_batch.jobfolder.status import read_status, write_event
from dask_batch.outputs.records import read_error_records
from dask_batch.planning.failed import FailedItems
from dask_batch.specs.job import JobDefinition

__all__ = ["Coordinator"]

log = logging.getLogger(__name__)

_TICK_S = 0.25
_FLUSH_EVERY_S = 0.5
_CANCEL_LOOK_EVERY_S = 0.5
_STOP_WAIT_S = 2.0

_LOADING = "the deployment is being loaded, or its first chunk scored"

Outcome = tuple[str, dict[str, Any] | None]


class Coordinator:
    """Brings one job to its end.

    Parameters
    ----------
    folder : JobFolder
        The job.
    epoch : int
        The number of this host's life.
    definition : JobDefinition
        What ``job.json`` says.
    executor : Executor
        Where functions of ours run.
    dispatcher : Dispatcher
        Gives this job its turns at the slots.
    capacity : Capacity
        What the compute has; kept up to date by the host.
    """

    def __init__(
        self,
        folder: JobFolder,
        epoch: int,
        definition: JobDefinition,
        executor: Executor,
        dispatcher: Dispatcher,
        capacity: Capacity,
    ) -> None:
        self.folder = folder
        self.number = folder.runs()[-1]
        self.definition = definition.replace(settings=run_settings(folder, self.number, definition.settings))
        self.settled = False
        self._epoch = epoch
        # Random, since a gate that was closed stays closed: a job that is taken up again needs another one.
        self._gate = f"{folder.job}/{epoch}/{self.number}/{secrets.token_hex(4)}"
        self._executor = executor
        self._dispatcher = dispatcher
        self._capacity = capacity
        self._ledger = Ledger(folder, epoch, self.number)
        self._collected = CollectedNames(folder)
        self._scoring: ScoringRun | None = None
        self._flushed_at = self._looked_at = 0.0
        table = definition.deployment.input_format == "table"
        self._reporter = Reporter(folder, first_status(folder, self.number, definition.created), table)

    async def run(self) -> None:
        """Bring the job to its end; whatever goes wrong becomes the job's failure, never the host's."""
        try:
            await self._bring_to_its_end()
        except JobGone:
            log.info("job %s was deleted: nothing more is done for it", self.folder.job)
            await self._executor.cancel(self._gate)
            self.settled = True

    async def _bring_to_its_end(self) -> None:
        try:
            decision = await asyncio.to_thread(self.folder.decision, self.number)
            if decision is None:
                decision = await self._score()
            await self._finish(decision)
        except JobGone:
            raise
        except Exception as error:
            log.exception("job %s", self.folder.job)
            await self._fail_with(error)

    def demand(self) -> Demand:
        """Return what the job could use: an instance while it is planned and finalized, then what its work asks for."""
        return self._scoring.demand() if self._scoring else Demand(1, 1)

    @property
    def unsaved(self) -> bool:
        """Whether chunks are being scored, or are scored and not in the ledger yet."""
        return self._scoring is not None and bool(self._scoring.board.in_hand or self._scoring.board.uncommitted)

    def charge(self, instance_seconds: float, core_seconds: float) -> None:
        """Add to what the job has cost."""
        known = self._reporter.status
        self._reporter.update(
            instance_seconds=known.instance_seconds + instance_seconds, core_seconds=known.core_seconds + core_seconds
        )

    # -- scoring -------------------------------------------------------------------------------------------------

    async def _finish(self, decision: dict[str, Any] | None) -> None:
        """Do what follows from a decision; nothing if another host has taken the run over and has not decided it."""
        if decision is None:
            log.warning("job %s is another host's now", self.folder.job)
            return
        await finish(self.folder, self.definition, decision, self._executor, self._reporter)
        self.settled = True

    async def _score(self) -> dict[str, Any] | None:
        """Score what no entry covers, and return how the run was decided, if it was."""
        await asyncio.to_thread(self._reporter.move, State.PROVISIONING)
        preparing = asyncio.create_task(self._prepare())
        try:
            while not preparing.done():
                await asyncio.wait({preparing}, timeout=_TICK_S)
                if not preparing.done() and (request := await self._cancel_asked()):
                    return await self._cancel(request)
            board = await preparing
        except DaskBatchError as error:
            told = {"type": type(error).__name__, "message": str(error), "next": "correct the input and invoke again"}
            return await self._decide("Failed", told)
        finally:
            # Where it was not waited for, listing goes on in its thread for a while; it writes nothing that has effect.
            preparing.cancel()
        plan = board.plan
        self._reporter.update(files=plan.info.files, bytes=plan.info.bytes, mini_batches=plan.mini_batches)
        scoring = ScoringRun(
            self.folder, self.definition, self.number, self._gate, board, self._capacity, self._dispatcher
        )
        self._scoring = scoring
        self._dispatcher.join(scoring)
        try:
            outcome, reason = await self._watch(scoring)
        finally:
            self._dispatcher.leave(scoring)
        if outcome != "Completed":
            await self._stop(scoring)
        decision = await self._decide(outcome, reason)
        self._scoring = None
        return decision

    async def _prepare(self) -> Scoreboard:
        await asyncio.to_thread(self._note_takeover)
        entries = await asyncio.to_thread(self._ledger.adopt)
        await asyncio.to_thread(self._collected.add, entries)
        plan = await prepare_plan(self.folder, self.definition)
        return await asyncio.to_thread(self._what_is_left, plan, entries)

    def _note_takeover(self) -> None:
        """Note that the host which had begun this run is gone, for who looks at the job's events."""
        before = latest_adoption(self.folder, before=self._epoch)
        if before is None:
            return
        known = read_status(self.folder)
        if known is not None and known.run == self.number:
            write_event(self.folder, "taken up by another host", epoch=self._epoch, before=before)

    def _what_is_left(self, plan: Plan, entries: list[Entry]) -> Scoreboard:
        if not retries_failed(self.folder, self.number):
            return Scoreboard(plan, entries)
        records = read_error_records(self.folder, [entry for entry in entries if entry.run < self.number])
        failed = FailedItems(records, table=plan.info.input_format == "table")
        return Scoreboard(plan, entries, self.number, failed)

    async def _cancel(self, request: dict[str, Any]) -> dict[str, Any] | None:
        await asyncio.to_thread(self._reporter.move, State.CANCEL_REQUESTED)
        return await self._decide("Canceled", canceled_by(request["by"]))

    async def _watch(self, scoring: ScoringRun) -> Outcome:
        """Commit what comes back until the run can be decided."""
        while True:
            await self._flush_if_due(scoring)
            await self._report(scoring)
            if request := await self._cancel_asked():
                await asyncio.to_thread(self._reporter.move, State.CANCEL_REQUESTED)
                return "Canceled", canceled_by(request["by"])
            if scoring.failure is not None:
                return "Failed", scoring.failure
            if self._capacity.failure is not None:
                return "Failed", self._capacity.failure
            if reason := self._too_many_failures(scoring):
                return "Failed", reason
            if scoring.board.done:
                return "Completed", None
            await _wait(scoring.wake, _TICK_S)

    async def _stop(self, scoring: ScoringRun) -> None:
        """Kill what is in hand, and keep what came back before."""
        await self._executor.cancel(self._gate)
        deadline = time.monotonic() + _STOP_WAIT_S
        while scoring.board.in_hand and time.monotonic() < deadline:
            await _wait(scoring.wake, _TICK_S)
        await self._flush(scoring)

    async def _cancel_asked(self) -> dict[str, Any] | None:
        if time.monotonic() - self._looked_at < _CANCEL_LOOK_EVERY_S:
            return None
        self._looked_at = time.monotonic()
        return await asyncio.to_thread(self._look)

    def _look(self) -> dict[str, Any] | None:
        """Return who asks to cancel this run, if the job is still there to be canceled."""
        self.folder.check()
        return self.folder.cancel_requested(self.number)

    def _too_many_failures(self, scoring: ScoringRun) -> dict[str, Any] | None:
        done = scoring.board.done
        share = 1.0 if done else self._reporter.status.progress
        threshold = self.definition.settings.error_threshold
        counts, table = scoring.board.counts, scoring.table
        why = exceeded(threshold, counts, files=scoring.plan.info.files, share=share, table=table)
        if why is None:
            return None
        following = "job.resume(error_threshold=…) goes on from what is finished"
        return {"type": "ErrorThresholdExceeded", "message": why, "next": following}

    # -- committing ----------------------------------------------------------------------------------------------

    async def _flush_if_due(self, scoring: ScoringRun) -> None:
        board = scoring.board
        idle = not (board.in_hand or board.backlog)
        if board.uncommitted and (idle or time.monotonic() - self._flushed_at >= _FLUSH_EVERY_S):
            await self._flush(scoring)

    async def _flush(self, scoring: ScoringRun) -> None:
        """Commit what is scored: from here on it counts."""
        board = scoring.board
        entries = await self._admissible(scoring)
        if entries:
            await asyncio.to_thread(self._ledger.append, entries)
            board.committed(entries)
        self._flushed_at = time.monotonic()

    async def _admissible(self, scoring: ScoringRun) -> list[Entry]:
        """Return the entries to commit, after sending those back that left files which others have left."""
        board = scoring.board
        if self.definition.settings.on_duplicate == "last" or not any(e.counts.collected for e in board.uncommitted):
            return list(board.uncommitted)
        admitted: list[Entry] = []
        for entry in list(board.uncommitted):
            conflicts = await asyncio.to_thread(self._collected.conflicts, entry)
            if conflicts:
                board.uncommitted.remove(entry)
                board.put_back(without(entry, conflicts))
            else:
                await asyncio.to_thread(self._collected.add, [entry])
                admitted.append(entry)
        self._dispatcher.pump()
        return admitted

    async def _report(self, scoring: ScoringRun) -> None:
        board, reporter = scoring.board, self._reporter
        if (board.in_hand or board.chunks) and reporter.status.state != State.CANCEL_REQUESTED:
            await asyncio.to_thread(reporter.move, State.RUNNING)
        reporter.count(board.counts, board.mini_batches_done, board.chunks)
        reporter.update(
            slot_seconds=board.slot_seconds,
            first_error=reporter.status.first_error or scoring.first_error,
            instances=self._capacity.instances,
            instances_pending=self._capacity.pending,
            why=self._capacity.why or ("" if board.chunks else _LOADING),
        )
        await asyncio.to_thread(reporter.write_if_due)

    async def _decide(self, outcome: str, reason: dict[str, Any] | None) -> dict[str, Any] | None:
        """Write the decision, unless somebody else has or the run is another host's, and return the one that stands."""
        scoring = self._scoring
        if scoring is not None:
            await self._report(scoring)
            # Whoever reads the decision reads the status with it, which therefore comes first.
            await asyncio.to_thread(self._reporter.write)
        mini_batches = None if scoring is None else scoring.plan.mini_batches
        return await asyncio.to_thread(decide, self.folder, self.number, self._epoch, outcome, reason, mini_batches)

    async def _fail_with(self, error: Exception) -> None:
        reason = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "next": "see job.logs(kind='host'); job.resume() goes on from what is finished",
        }
        try:
            await self._finish(await self._decide("Failed", reason))
        except JobGone:
            raise
        except Exception:
            # Not even that can be written: the job stays live, and the next host takes it up.
            log.exception("job %s could not be decided", self.folder.job)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event for some seconds at most, and clear it."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
    event.clear()

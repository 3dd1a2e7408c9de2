"""The scoring of one run: a job in line for slots, and what follows from each chunk's outcome. No I/O but events."""

from __future__ import annotations

import asyncio
import logging
import secrets
import traceback
from dataclasses import replace
from functools import partial
from typing import Any

from dask_batch.host.autoscaler import Demand
from dask_batch.host.dispatcher import Dispatcher
from dask_batch.host.executor import InstanceLost
from dask_batch.host.reporter import Capacity
from dask_batch.host.scoreboard import Scoreboard
from dask_batch.host.verdicts import after_process_death, death_record, entry_of, failure
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.status import write_event
from dask_batch.planning.cutting import Work, after_loss
from dask_batch.specs.job import JobDefinition

__all__ = ["ScoringRun"]

log = logging.getLogger(__name__)

_HICCUPS = 5
_SEE_TO_STORAGE = (
    "see to the disk or store that this names: it is full, must not be written, or does not answer; "
    "job.resume() then goes on from what is finished"
)
_LOST = {
    "stage": "predict",
    "type": "InstanceLost",
    "message": "three instances were lost while they scored this mini-batch alone",
    "traceback": "",
}


class ScoringRun:
    """Stands in line for slots (`dask_batch.host.dispatcher.Line`) until everything is scored or something fails.

    Parameters
    ----------
    folder : JobFolder
        The job.
    definition : JobDefinition
        What ``job.json`` says.
    number : int
        The run.
    gate : str
        Names this run's tasks towards instances, so that they can be canceled together.
    board : Scoreboard
        The job's plan, and what of it is left, in hand and finished.
    capacity : Capacity
        What the compute has; kept up to date by the host.
    dispatcher : Dispatcher
        Pumped when work that waited goes again.
    """

    def __init__(
        self,
        folder: JobFolder,
        definition: JobDefinition,
        number: int,
        gate: str,
        board: Scoreboard,
        capacity: Capacity,
        dispatcher: Dispatcher,
    ) -> None:
        self.board = board
        self.plan = board.plan
        self.settings = definition.settings
        self.failure: dict[str, Any] | None = None
        self.first_error: dict[str, Any] | None = None
        self.wake = asyncio.Event()
        self.table = definition.deployment.input_format == "table"
        self._folder = folder
        self._definition = definition
        self._number = number
        self._capacity = capacity
        self._dispatcher = dispatcher
        self._load_failures = 0
        self._warned: set[str] = set()
        self._parcel = {
            "deployment": definition.deployment.to_stored(),
            "scoring": definition.settings.to_stored(),
            "gate": gate,
        }
        self._after = {
            "scored": self._after_scored,
            "died": self._after_died,
            "failed": self._after_failed,
            "load_failed": self._after_load_failed,
            "canceled": self._after_canceled,
        }

    # -- in line -------------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether there is work that nobody has in hand, and more may be in hand."""
        return self.failure is None and bool(self.board.backlog) and len(self.board.in_hand) < self.limit

    @property
    def limit(self) -> int:
        """Chunks that may be in hand: ``instance_count`` times ``max_concurrency_per_instance``."""
        one = self.settings.max_concurrency_per_instance
        if one is None:
            one = -(-self._dispatcher.slots // max(1, self._capacity.instances))
        return self.settings.instance_count * max(1, one)

    def demand(self) -> Demand:
        """Return what the run could use."""
        return Demand(self.settings.instance_count, self.board.chunks_left())

    def begin(self, slots: int) -> tuple[Work, dict[str, Any]]:
        """Take work in hand and return it with its task."""
        work = self.board.take(max(1, min(slots, self.limit)))
        return work, self._parcel | {"message": self._message(work)}

    def end(self, work: Work, outcome: dict[str, Any] | Exception) -> None:
        """Take note of how work in hand ended."""
        self.board.drop(work)
        try:
            self._take_note(work, outcome)
        except Exception as error:  # noqa: BLE001 - it becomes the job's failure
            # Whatever goes wrong here, work must be somewhere, or its rows would be missing in silence.
            self.board.put_back([work])
            self._fail(error)
        self.wake.set()

    def _take_note(self, work: Work, outcome: dict[str, Any] | Exception) -> None:
        if isinstance(outcome, InstanceLost):
            self.board.put_back(after_loss(work, _LOST, files=self._files_of(work)))
        elif isinstance(outcome, Exception):
            self.board.put_back([work])
            self._fail(outcome)
        else:
            self._after[outcome["result"]](work, outcome)

    def _files_of(self, work: Work) -> int | None:
        """Return how many items the first mini-batch of some work has; None if that is known when it is read only."""
        return None if self.table else len(self.plan.splits(work.chunk.first))

    def _message(self, work: Work) -> dict[str, Any]:
        """Return the protocol's ``score`` message for some work."""
        mini_batches = self.plan.describe(work.chunk)
        if self.board.poisoned:
            for split in (split for mini_batch in mini_batches for split in mini_batch):
                if split["split"] in self.board.poisoned:
                    split["skip"] = self.board.poisoned[split["split"]]
        settings = self.settings
        return {
            "op": "score",
            "job": self._folder.job,
            "run": self._number,
            "chunk": work.chunk.to_json(),
            "only": self.board.failed.rows(work.chunk),
            "mini_batches": mini_batches,
            "folder": self._folder.url(),
            "attempt": secrets.token_hex(8),
            "verdict": work.verdict,
            "settings": {
                "max_retries": settings.max_retries,
                "bisect": settings.bisect,
                "batch_rows": settings.batch_rows,
                "coalesce": settings.coalesce,
                "include_inputs": settings.include_inputs
                if isinstance(settings.include_inputs, bool)
                else list(settings.include_inputs),
                "output_action": settings.output_action,
                "on_duplicate": settings.on_duplicate,
                "types": self.plan.info.types,
            },
            "params": self._definition.params,
        }

    # -- what an outcome means -----------------------------------------------------------------------------------

    def _after_scored(self, work: Work, outcome: dict[str, Any]) -> None:
        entry = entry_of(work, outcome, self._number, self.board.failed.within(work.chunk))
        self.board.scored(entry, outcome["seconds"])
        self._load_failures = 0
        self.first_error = self.first_error or outcome.get("first_error")
        for text in outcome.get("warnings") or ():
            if text not in self._warned:
                self._warned.add(text)
                self._event("warning", message=text)

    def _after_died(self, work: Work, outcome: dict[str, Any]) -> None:
        known = ("cause", "message", "stage", "mini_batch", "items")
        details = {name: outcome[name] for name in known}
        self.board.slot_seconds += outcome.get("slot_seconds", 0.0)
        self._event("scoring process died", chunk=str(work.chunk), **details)
        if work.verdict is not None:
            # Not even recording the failure works, so going on would go on for ever.
            self.failure = failure(death_record(outcome), "see job.logs(); the scoring process itself does not work")
        settings = self.settings
        again = after_process_death(
            work, outcome, max_retries=settings.max_retries, bisect=settings.bisect, table=self.table
        )
        if outcome["stage"] == "read" and work.deaths >= settings.max_retries:
            self._poison(outcome)
        self.board.put_back(again)

    def _poison(self, outcome: dict[str, Any]) -> None:
        """Let the splits be passed over whose reading killed one process after another."""
        lo, hi = outcome["items"] or (None, None)
        splits = self.plan.splits(outcome["mini_batch"]) if lo is None or hi is None else range(lo, hi)
        for split in splits:
            self.board.poisoned[split] = death_record(outcome)

    def _after_failed(self, work: Work, outcome: dict[str, Any]) -> None:
        error = outcome["error"]
        following = "mend the cause; job.resume() goes on from what is finished"
        if error.get("transient"):
            self._try_later(work, error, following)
        else:
            self.failure = failure(error, following)

    def _try_later(self, work: Work, error: dict[str, Any], following: str) -> None:
        """Let work go again after a while; where that was done often enough the job fails, and says what to do."""
        if work.hiccups >= _HICCUPS:
            self.failure = failure(error, following)
            return
        again = replace(work, hiccups=work.hiccups + 1)
        self.board.in_hand.add(again)  # in hand while it waits, so that the run is not taken for finished
        asyncio.get_running_loop().call_later(0.2 * 2**work.hiccups, self._go_again, again)

    def _go_again(self, work: Work) -> None:
        self.board.drop(work)
        self.board.put_back([work])
        self.wake.set()
        self._dispatcher.pump()

    def _after_load_failed(self, work: Work, outcome: dict[str, Any]) -> None:
        error = outcome["error"]
        if error.get("storage"):
            # Not the deployment's fault, and no reason to make another one of it.
            self._try_later(work, error, _SEE_TO_STORAGE)
            return
        self._load_failures += 1
        self.board.put_back([work])
        if self._load_failures > self.settings.max_retries or error["type"] == "EnvironmentFailed":
            self.failure = failure(error, "correct the deployment, deploy it again and invoke it")

    def _after_canceled(self, work: Work, outcome: dict[str, Any]) -> None:
        self.board.put_back([work])

    def _event(self, what: str, **details: Any) -> None:
        asyncio.get_running_loop().run_in_executor(None, partial(write_event, self._folder, what, **details))

    def _fail(self, error: Exception) -> None:
        log.error("job %s", self._folder.job, exc_info=error)
        self.failure = {
            "type": type(error).__name__,
            "message": str(error),
            "traceback": "".join(traceback.format_exception(error)),
            "next": "see job.logs(kind='host')",
        }

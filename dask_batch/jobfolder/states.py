"""The states of a job, and which may follow which. One table, no I/O."""

from __future__ import annotations

from enum import StrEnum

from dask_batch.errors import InternalError

__all__ = ["LIVE", "TERMINAL", "TRANSITIONS", "State", "check_transition"]


class State(StrEnum):
    """Where a job stands. The words are Azure's; ``Interrupted`` is ours."""

    QUEUED = "Queued"
    """Asked for; no host has begun it."""
    PROVISIONING = "Provisioning"
    """The input is being planned, or no instance is there yet."""
    RUNNING = "Running"
    """Mini-batches are being scored."""
    FINALIZING = "Finalizing"
    """The run is decided as completed and the outputs are being put together."""
    CANCEL_REQUESTED = "CancelRequested"
    """Somebody asked to cancel; the decision is not written yet."""
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"
    INTERRUPTED = "Interrupted"
    """A live job whose host is gone. Never written: a reader concludes it."""


TERMINAL = frozenset({State.COMPLETED, State.FAILED, State.CANCELED})
LIVE = frozenset({State.QUEUED, State.PROVISIONING, State.RUNNING, State.FINALIZING, State.CANCEL_REQUESTED})

# A new run (resume, retry of failed items) starts again at Queued, so terminal states lead there.
TRANSITIONS: dict[State, frozenset[State]] = {
    # Queued to Finalizing: a host takes up a run that was decided before its last host died.
    State.QUEUED: frozenset(
        {State.PROVISIONING, State.FINALIZING, State.FAILED, State.CANCEL_REQUESTED, State.CANCELED}
    ),
    State.PROVISIONING: frozenset(
        {State.RUNNING, State.FINALIZING, State.FAILED, State.CANCEL_REQUESTED, State.CANCELED}
    ),
    State.RUNNING: frozenset(
        {State.PROVISIONING, State.FINALIZING, State.FAILED, State.CANCEL_REQUESTED, State.CANCELED}
    ),
    State.FINALIZING: frozenset({State.COMPLETED, State.FAILED}),
    State.CANCEL_REQUESTED: frozenset({State.CANCELED, State.FINALIZING, State.COMPLETED, State.FAILED}),
    State.COMPLETED: frozenset({State.QUEUED}),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELED: frozenset({State.QUEUED}),
    State.INTERRUPTED: frozenset(),
}


def check_transition(job: str, start: State, finish: State) -> None:
    """Raise InternalError if a job must not go from `start` to `finish`."""
    if finish not in TRANSITIONS[start]:
        raise InternalError(f"job {job!r} must not go from {start} to {finish}")

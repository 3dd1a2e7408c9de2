"""Waiting for a job: polling its folder, showing progress, taking it up again when its host has died."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dask_batch.errors import JobCanceled, JobFailed, WaitTimeout
from dask_batch.jobfolder.states import State
from dask_batch.jobs.joblogs import LogTail
from dask_batch.jobs.progress import progress_view
from dask_batch.jobs.reading import JobStatus
from dask_batch.jobs.text import describe, failure_message

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job

__all__ = ["conclude", "poll", "stream_to_stdout", "wait_for"]

_FIRST_POLL_S = 0.05
_LAST_POLL_S = 0.5
_SAY_EVERY_S = 5.0


def poll(job: Job, timeout_s: float | None) -> Iterator[JobStatus]:
    """Yield where a job stands, ever less often, until it has ended or the time is over.

    An interrupted job of the one who waits gets a host again; HostFailed is raised when hosts keep dying.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    pause = _FIRST_POLL_S
    job.reviver.forget()
    if job.owner == job.context.user and not job.look(strict=True).terminal:
        # Whoever invoked it may have died before the marker was there.
        job.host.post(job.name)
    while True:
        status = job.look(strict=True)
        yield status
        if status.terminal:
            return
        left = float("inf") if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(pause, left))
        pause = min(pause * 1.3, _LAST_POLL_S)


def wait_for(job: Job, timeout_s: float | None, show: bool | None) -> JobStatus:
    """Return the last status of a job, after it has ended or the time is over."""
    try:
        with progress_view(job, show) as view:
            for status in poll(job, timeout_s):
                view.update(status)
    except KeyboardInterrupt:
        _say_how_to_return(job)
        raise
    return status


def stream_to_stdout(job: Job, timeout_s: float | None) -> JobStatus:
    """Write a job's user logs, and its progress now and then, to standard output; return its last status."""
    tail = LogTail(job.folder)
    said: tuple[State, float] | None = None
    try:
        for status in poll(job, timeout_s):
            _write(tail.new_lines(last=status.terminal))
            turn = (status.state, time.monotonic() // _SAY_EVERY_S)
            if turn != said:
                _write([f"[{job.name}] {describe(status)}"])
                said = turn
    except KeyboardInterrupt:
        _say_how_to_return(job)
        raise
    return status


def _write(lines: list[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say_how_to_return(job: Job) -> None:
    sys.stderr.write(
        f"\njob {job.name!r} goes on; come back with ws.jobs[{job.name!r}].wait(), or end it with .cancel()\n"
    )


def conclude(job: Job, status: JobStatus) -> Job:
    """Return a job that has completed; raise what says how else it ended, or that it has not."""
    if status.state is State.FAILED:
        raise JobFailed(failure_message(job.name, status, f"logs: job.logs(), or {job.folder.url('logs')}"))
    if status.state is State.CANCELED:
        said = (status.reason or {}).get("message", "canceled")
        raise JobCanceled(f"job {job.name!r} was {said}; results(partial=True) reads what it had finished")
    if not status.terminal:
        raise WaitTimeout(
            f"job {job.name!r} has not ended in the time given, it goes on: {describe(status)}. "
            f"Wait again, or pick it up later with ws.jobs[{job.name!r}]"
        )
    return job

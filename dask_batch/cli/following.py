"""Waiting for a job in a terminal: what it prints and where it stands, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from dask_batch.cli.records import job_record, show_job
from dask_batch.cli.session import Session
from dask_batch.errors import JobCanceled, JobFailed, WaitTimeout

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job
    from dask_batch.jobs.reading import JobStatus

__all__ = ["failure_text", "follow", "set_off", "stream"]


def follow(cli: Session, job: Job, timeout: float | None = None) -> None:
    """Show a job's progress on standard error until it has ended, then answer with where it stands.

    Raises
    ------
    JobFailed, JobCanceled
        It did not complete.
    WaitTimeout
        The time is over; the job goes on.
    """
    from dask_batch.jobs.progress import progress_view
    from dask_batch.jobs.waiting import poll

    with _leaving(cli, job), progress_view(job, True) as view:
        for status in poll(job, timeout):
            view.update(status)
    show_job(cli, job, status)
    _conclude(job, status)


def set_off(cli: Session, job: Job, wait: bool) -> None:
    """Answer with a job that was started or resumed; or, if somebody waits for it, follow it.

    Who does not wait gets the name alone (or, in the other formats, the record), at once.
    """
    if wait:
        cli.note(f"job {job.name} is on its way")
        follow(cli, job)
    else:
        cli.tell(job.name, job_record(job, job.peek()))
        cli.note(f"dask-batch job stream -n {job.name} follows it")


def stream(cli: Session, job: Job, timeout: float | None = None) -> None:
    """Write what a job's user code prints to standard output, and where it stands to standard error, to its end.

    Raises
    ------
    JobFailed, JobCanceled, WaitTimeout
        As for `follow`.
    """
    from dask_batch.jobs.joblogs import LogTail
    from dask_batch.jobs.text import describe, share
    from dask_batch.jobs.waiting import poll

    tail, said = LogTail(job.folder), ""
    out = sys.stdout if cli.for_people else sys.stderr
    with _leaving(cli, job):
        for status in poll(job, timeout):
            for line in tail.new_lines(last=status.terminal):
                out.write(f"{line}\n")
            out.flush()
            if (now := f"{status} {share(status.progress)}") != said:
                cli.note(f"[{job.name}] {describe(status)}")
                said = now
    if not cli.for_people:
        cli.show(job_record(job, status))
    _conclude(job, status)


def failure_text(job: Job, status: JobStatus) -> str:
    """Return what a person in a shell needs to know of a failed job: why, the user's own traceback, what to do next."""
    from dask_batch.jobs.text import error_line

    reason, first = status.reason or {}, status.first_error
    lines = [f"job {job.name!r} failed: {reason.get('message') or 'no reason was recorded'}"]
    if trace := reason.get("traceback") or (first or {}).get("traceback"):
        lines += ["", str(trace).rstrip(), ""]
    if first:
        lines.append(f"first failed item: {error_line(first)}")
    if reason.get("next"):
        lines.append(f"next: {reason['next']}")
    lines.append(f"see also: dask-batch job errors -n {job.name}, job logs, and job resume, which goes on with it")
    return "\n".join(lines)


def _conclude(job: Job, status: JobStatus) -> None:
    if status == "Failed":
        raise JobFailed(failure_text(job, status))
    if status == "Canceled":
        raise JobCanceled(
            f"job {job.name!r} was canceled; dask-batch job results --partial -n {job.name} reads the rest"
        )
    if not status.terminal:
        raise WaitTimeout(f"job {job.name!r} is {status} still and goes on; dask-batch job wait -n {job.name}")


@contextmanager
def _leaving(cli: Session, job: Job) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stdout.flush()
        cli.note(
            f"\njob {job.name!r} goes on; come back with dask-batch job wait -n {job.name}, "
            f"or end it with dask-batch job cancel -n {job.name}"
        )
        raise typer.Exit(130) from None

"""Words for people: numbers, durations, and one line about where a job stands. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_batch.jobs.reading import JobStatus

__all__ = [
    "amount",
    "bytes_text",
    "counted",
    "describe",
    "duration",
    "error_line",
    "failure_message",
    "rate_text",
    "share",
]


def amount(number: float) -> str:
    """Return a number with its thousands apart.

    Examples
    --------
    >>> amount(1234567), amount(0.25), amount(12.5)
    ('1,234,567', '0.25', '12.5')
    """
    if number == int(number) or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:,.3g}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return how many there are of something.

    Examples
    --------
    >>> counted(1, "job"), counted(2000, "job"), counted(2, "mini-batch", "mini-batches")
    ('1 job', '2,000 jobs', '2 mini-batches')
    """
    return f"{amount(number)} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return a duration in at most two units.

    Examples
    --------
    >>> duration(0.42), duration(42), duration(125), duration(7322), duration(200_000)
    ('0.4 s', '42 s', '2 min 5 s', '2 h 2 min', '2 d 7 h')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def bytes_text(number: float) -> str:
    """Return a size in binary units.

    Examples
    --------
    >>> bytes_text(0), bytes_text(1536), bytes_text(3 << 30)
    ('0 B', '1.5 KiB', '3.0 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError  # pragma: no cover


def share(progress: float) -> str:
    """Return a share as per cent; only what is finished is 100 %.

    Examples
    --------
    >>> share(0.0), share(0.456), share(0.9999), share(1.0)
    ('0 %', '45 %', '99 %', '100 %')
    """
    return f"{int(progress * 100)} %"


def rate_text(items_per_s: float) -> str:
    """Return a throughput.

    Examples
    --------
    >>> rate_text(1234.5), rate_text(0.05)
    ('1,234 items/s', '3 items/min')
    """
    if 0 < items_per_s < 0.5:
        return f"{amount(round(items_per_s * 60, 2))} items/min"
    return f"{amount(items_per_s)} items/s"


def describe(status: JobStatus) -> str:
    """Return one line about where a job stands."""
    return ", ".join([f"{status}: {share(status.progress)}", *details(status)])


def details(status: JobStatus) -> list[str]:
    """Return what is worth saying beside the state, as short phrases."""
    counts = status.counts
    said = []
    if counts.items:
        said.append(f"{amount(counts.items)} {'item' if counts.items == 1 else 'items'}")
    if counts.failed:
        said.append(f"{amount(counts.failed)} failed")
    if status.rate and not status.terminal:
        said.append(rate_text(status.rate))
    if status.eta_s is not None and not status.terminal:
        said.append(f"about {duration(status.eta_s)} left")
    if status.instances and not status.terminal:
        said.append(f"{status.instances} {'instance' if status.instances == 1 else 'instances'}")
    if status.instances_pending and not status.terminal:
        said.append(f"{status.instances_pending} more asked for")
    if status.why:
        said.append(status.why)
    if status.reason and status != "Completed":
        said.append(_first_line(status.reason.get("message", "")))
    return said


def error_line(error: dict[str, Any]) -> str:
    """Return one line about a failed item.

    Examples
    --------
    >>> error_line({"file": "/in/a.csv", "row": 3, "stage": "predict", "type": "ValueError", "message": "no"})
    'predict of /in/a.csv, row 3: ValueError: no'
    """
    where = str(error.get("file") or "the deployment")
    if error.get("row") is not None:
        where += f", row {error['row']}"
    said = f"{error.get('type', 'Error')}: {_first_line(error.get('message', ''))}"
    return f"{error.get('stage', 'score')} of {where}: {said}"


def _first_line(text: str) -> str:
    return next(iter(str(text).strip().splitlines()), "")


def failure_message(job: str, status: JobStatus, logs: str) -> str:
    """Return the message of a failed job: what happened, the user's traceback, where to look, what to do next."""
    reason = status.reason or {"message": "no reason was recorded"}
    first = status.first_error
    trace = reason.get("traceback") or (first or {}).get("traceback")
    lines = [f"job {job!r} failed: {reason.get('message')}"]
    if trace:
        lines += ["", trace.rstrip(), ""]
    if first:
        lines.append(f"first failed item: {error_line(first)}")
    lines.append(logs)
    follow = "job.errors() lists every failed item, job.results(partial=True) reads what succeeded"
    lines.append(f"next: {reason['next'] + '; ' if reason.get('next') else ''}{follow}")
    return "\n".join(lines)

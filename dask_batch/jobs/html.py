"""HTML for notebooks: self-contained, without scripts, readable in light and dark, everything escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from dask_batch.jobs.text import amount, bytes_text, details, duration, error_line, share

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job
    from dask_batch.jobs.reading import JobStatus

__all__ = ["card_html", "job_html", "table_html"]

# Colours that keep their contrast on white and on black; the rest comes from the notebook's own theme.
_COLOURS = {"Completed": "#1a8f4b", "Failed": "#d23f3f", "Canceled": "#8a6d1f", "Interrupted": "#c26a00"}
_BOX = "border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:.6em .9em;max-width:60em;font-size:90%"


def job_html(job: Job, status: JobStatus) -> str:
    """Return a job as a card: state, progress, counts, and what went wrong."""
    colour = _COLOURS.get(str(status), "#2f6fd0")
    head = (
        f"<div><strong>{escape(job.display_name or job.name)}</strong> "
        f"<span style='color:{colour};font-weight:600'>{escape(str(status))}</span> "
        f"<span style='opacity:.75'>{escape(job.endpoint)} / {escape(job.deployment)}</span></div>"
    )
    return f"<div style='{_BOX}'>{head}{_bar(status, colour)}{_facts(job, status)}{_trouble(status)}</div>"


def _bar(status: JobStatus, colour: str) -> str:
    percent = int(status.progress * 100)
    return (
        "<div role='progressbar' aria-label='progress' aria-valuemin='0' aria-valuemax='100' "
        f"aria-valuenow='{percent}' "
        "style='background:rgba(128,128,128,.25);border-radius:4px;height:8px;margin:.5em 0'>"
        f"<div style='background:{colour};border-radius:4px;height:8px;width:{percent}%'></div></div>"
        f"<div>{escape(' · '.join([share(status.progress), *details(status)]))}</div>"
    )


def _facts(job: Job, status: JobStatus) -> str:
    counts = status.counts
    facts = {
        "job": job.name,
        "input": f"{amount(status.files)} files, {bytes_text(status.bytes)}"
        if status.files
        else ", ".join(job.inputs[:3]),
        "rows": f"{amount(counts.rows_in)} in, {amount(counts.rows_out)} out"
        if counts.rows_in or counts.rows_out
        else "",
        "cost": f"{duration(status.slot_seconds)} of scoring, {duration(status.instance_seconds)} of instances"
        if status.instance_seconds or status.slot_seconds
        else "",
        "outputs": ", ".join(job.outputs.values()),
    }
    return card_rows({name: text for name, text in facts.items() if text})


def _trouble(status: JobStatus) -> str:
    text = ""
    if status.reason and status in ("Failed", "Canceled"):
        text = str(status.reason.get("message", ""))
        if status.reason.get("traceback"):
            text += f"\n\n{status.reason['traceback']}"
    elif status.first_error:
        text = f"first error: {error_line(status.first_error)}"
        if status.first_error.get("traceback"):
            text += f"\n\n{status.first_error['traceback']}"
    if not text:
        return ""
    summary, _, rest = text.partition("\n")
    pre = f"<pre style='white-space:pre-wrap;margin:.3em 0 0'>{escape(rest.strip())}</pre>" if rest.strip() else ""
    return f"<details><summary>{escape(summary)}</summary>{pre}</details>"


def card_html(title: str, facts: dict[str, Any]) -> str:
    """Return a card with a title and named facts."""
    return f"<div style='{_BOX}'><div><strong>{escape(title)}</strong></div>{card_rows(facts)}</div>"


def card_rows(facts: dict[str, Any]) -> str:
    """Return named facts as a table without borders."""
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left;opacity:.75;font-weight:normal'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table style='margin:.4em 0 0'>{rows}</table>"


def table_html(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as a table with a caption and a header."""
    head = "".join(f"<th scope='col' style='text-align:left'>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    empty = "" if body else f"<tr><td colspan='{len(columns)}' style='opacity:.75'>none yet</td></tr>"
    return (
        f"<table><caption style='text-align:left'>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}{empty}</tbody></table>"
    )

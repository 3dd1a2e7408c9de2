"""Live progress while somebody waits: a bar in a terminal, a card in a notebook, nothing elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from dask_batch.jobs.html import job_html
from dask_batch.jobs.text import details, share

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job
    from dask_batch.jobs.reading import JobStatus

__all__ = ["View", "in_notebook", "progress_view"]


class View(Protocol):
    """Shows where a job stands, again and again."""

    def update(self, status: JobStatus) -> None:
        """Show the newest status."""


@contextlib.contextmanager
def progress_view(job: Job, show: bool | None) -> Iterator[View]:
    """Open the view that fits where this process runs.

    Parameters
    ----------
    job : Job
        The job to show.
    show : bool, optional
        None: only in a notebook or a terminal. True: also where output is piped, a line per change. False: never.
    """
    if show is False:
        yield _Silent()
    elif in_notebook():
        yield _Notebook(job)
    elif sys.stderr.isatty():
        with _terminal(job) as view:
            yield view
    elif show:
        yield _Lines(job)
    else:
        yield _Silent()


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return current is not None and type(current).__name__ == "ZMQInteractiveShell"


class _Silent:
    def update(self, status: JobStatus) -> None:
        pass


class _Lines:
    """One line whenever the state or the share changes."""

    def __init__(self, job: Job) -> None:
        from rich.console import Console

        self._job = job
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._last: tuple[str, str] | None = None

    def update(self, status: JobStatus) -> None:
        now = (str(status), share(status.progress))
        if now != self._last:
            self._last = now
            self._console.print(f"{self._job.name} {_line(status)}")


class _Notebook:
    """One cell output that is replaced in place."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._handle: Any = None
        self._last = ""

    def update(self, status: JobStatus) -> None:
        from IPython.display import HTML, display

        text = job_html(self._job, status)
        if self._handle is None:
            self._handle = display(HTML(text), display_id=True)  # type: ignore[no-untyped-call]
        elif text != self._last:
            self._handle.update(HTML(text))  # type: ignore[no-untyped-call]
        self._last = text


@contextlib.contextmanager
def _terminal(job: Job) -> Iterator[View]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[said]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False, refresh_per_second=8) as progress:
        task = progress.add_task(job.name, total=1.0, said="")

        class Bar:
            def update(self, status: JobStatus) -> None:
                progress.update(task, completed=status.progress, said=_line(status))

        yield Bar()


def _line(status: JobStatus) -> str:
    return " · ".join([str(status), share(status.progress), *details(status)])

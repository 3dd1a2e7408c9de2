"""What `squeue` says, as records. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FORMAT", "QueuedJob", "parse_queue"]

FORMAT = "%i|%T|%r|%S|%j"
"""The format that `parse_queue` reads; the name comes last, since it may have anything in it."""

_WAITS = frozenset({"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD", "REQUEUE_FED"})
_STARTS = frozenset({"CONFIGURING"})
_RUNS = frozenset({"RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"})


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job in SLURM's queue.

    Parameters
    ----------
    id, name : str
        Its number and name.
    state : str
        In SLURM's word: ``"PENDING"``, ``"RUNNING"``, ``"COMPLETING"``…
    reason : str
        Why it is pending, in SLURM's word; empty if SLURM has none.
    start : str
        When it started, or is expected to, in the cluster's local time; empty if SLURM does not know.
    """

    id: str
    name: str
    state: str
    reason: str = ""
    start: str = ""

    @property
    def waits(self) -> bool:
        """Whether it has no nodes yet."""
        return self.state in _WAITS

    @property
    def starts(self) -> bool:
        """Whether it has nodes that are not ready yet."""
        return self.state in _STARTS

    @property
    def runs(self) -> bool:
        """Whether it has nodes, and is not ending."""
        return self.state in _RUNS


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs that `squeue --noheader --format FORMAT` printed.

    Examples
    --------
    >>> parse_queue("7|PENDING|Priority|2026-11-25T12:00:00|a job\\n")
    [QueuedJob(id='7', name='a job', state='PENDING', reason='Priority', start='2026-11-25T12:00:00')]
    """
    jobs = []
    for line in text.splitlines():
        fields = line.split("|", 4)
        if len(fields) == 5:
            number, state, reason, start, name = fields
            known = {"None": "", "N/A": "", "Unknown": ""}
            jobs.append(QueuedJob(number, name, state, known.get(reason, reason), known.get(start, start)))
    return jobs

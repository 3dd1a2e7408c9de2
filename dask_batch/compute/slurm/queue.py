"""What `squeue` says, as records, and what its words mean. Pure: `control.py` calls the command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

__all__ = ["FORMAT", "TIME_FORMAT", "Phase", "QueuedJob", "explained", "parse_queue"]

Phase = Literal["pending", "running", "ending", "gone"]

_SEPARATOR = "\x1f"
# Id, state, reason, start, nodes, CPUs, name. The name is last because it may hold anything.
FORMAT = _SEPARATOR.join(["%A", "%T", "%r", "%S", "%N", "%C", "%j"])
# For SLURM_TIME_FORMAT: seconds since the epoch, whatever the time zone.
TIME_FORMAT = "%s"

_PHASES: dict[str, Phase] = {
    **dict.fromkeys(("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"), "pending"),
    **dict.fromkeys(("SPECIAL_EXIT", "RESV_DEL_HOLD"), "pending"),
    **dict.fromkeys(("RUNNING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING"), "running"),
    **dict.fromkeys(("COMPLETING", "STAGE_OUT"), "ending"),
    **dict.fromkeys(("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"), "gone"),
    **dict.fromkeys(("BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY", "REVOKED", "LAUNCH_FAILED"), "gone"),
}
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}
_NEVER = "as things are, it will never start"

# What a reason means where its name alone does not say it; the first pattern that fits the whole name counts.
_REASONS = [
    ("Priority", "jobs of higher priority go first"),
    ("Resources", "it is next, when enough is free"),
    ("BeginTime", "it may not start yet; SLURM lets requeued jobs wait two minutes"),
    ("Dependency", "it waits for another job"),
    ("DependencyNeverSatisfied", f"it waits for another job, which has failed: {_NEVER}"),
    ("JobHeldUser", "held by its owner, until `scontrol release`"),
    ("JobHeldAdmin", "held by an administrator"),
    ("Licenses", "all licenses that it needs are in use"),
    ("Cleaning", "what is left of its last start is cleared away"),
    ("JobArrayTaskLimit", "enough tasks of its array run"),
    ("NodeDown", "a node that it needs is down"),
    ("PartitionDown", "the partition starts no jobs at the moment"),
    ("PartitionInactive", "the partition takes and starts no jobs at the moment"),
    ("PartitionNodeLimit|PartitionConfig", f"it asks for more than the partition has or allows: {_NEVER}"),
    ("PartitionTimeLimit", f"its walltime is longer than the partition allows: {_NEVER}"),
    ("ReqNodeNotAvail|Nodes required.*", "nodes that it needs are down, drained or reserved"),
    ("BadConstraints", f"no node fulfils its constraints: {_NEVER}"),
    ("Reservation", "it waits for its reservation"),
    ("ReservationDeleted", f"its reservation is gone: {_NEVER}"),
    ("launch failed requeued held", "it could not be launched, and is held until `scontrol release`"),
    ("InvalidAccount|AccountNotAllowed|Account.*", f"the account may not be used there: {_NEVER}"),
    ("InvalidQOS|QOSNotAllowed|Qos.*", f"the QOS may not be used there: {_NEVER}"),
    ("(QOS|Assoc)Max.*(PerJob|PerNode|MinLimit).*", f"it asks for more than one job may have: {_NEVER}"),
    ("QOSMax.*PerUser.*", "you have as much as the QOS allows one user"),
    ("QOSMax.*PerA(ccoun)?t.*", "your account has as much as the QOS allows one account"),
    ("QOSMax.*", "you have as much as the QOS allows"),
    ("QOSGrp.*", "the jobs of this QOS have, together, as much as they may"),
    ("AssocMax.*|MaxSubmit.*", "you have as much as your account allows one user"),
    ("Assoc(iation)?Grp.*", "the jobs of your account have, together, as much as they may"),
]


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job as `squeue` shows it.

    Parameters
    ----------
    id, name : str
        SLURM's number for it, and what it was called.
    state : str
        In SLURM's words: ``"PENDING"``, ``"RUNNING"``, …
    reason : str
        Why it is pending, in SLURM's words; ``""`` if SLURM gives none.
    expected_start : float or None
        When SLURM expects it to start, or when it did, in seconds since the epoch.
    nodes : str
        The nodes that it has, such as ``"n[1-4]"``.
    cpus : int
        The cores that it has or asks for.
    """

    id: str
    name: str
    state: str
    reason: str
    expected_start: float | None
    nodes: str
    cpus: int

    @property
    def phase(self) -> Phase:
        """Where in its life it is. A state that nobody has heard of counts as running: the job is there."""
        return _PHASES.get(self.state, "running")

    def stands_as(self, other: QueuedJob | None) -> bool:
        """Return whether nothing has happened to it since; when it is expected to start changes by itself."""
        return other is not None and replace(self, expected_start=None) == replace(other, expected_start=None)

    @property
    def hopeless(self) -> bool:
        """Whether it is pending for a reason that does not pass by itself."""
        return self.phase == "pending" and _NEVER in _meaning(self.reason)


def parse_queue(text: str) -> list[QueuedJob]:
    """Return the jobs in what ``squeue --noheader --format=FORMAT`` has printed.

    Parameters
    ----------
    text : str
        The output, with times in `TIME_FORMAT`.

    Returns
    -------
    list of QueuedJob
        In the same order.

    Examples
    --------
    >>> line = "\\x1f".join(["7", "PENDING", "Priority", "N/A", "", "2", "a job"])
    >>> job = parse_queue(line)[0]
    >>> job.id, job.name, job.phase, job.expected_start, job.cpus
    ('7', 'a job', 'pending', None, 2)
    """
    return [
        QueuedJob(
            id=id_,
            name=name,
            state=state,
            reason="" if reason == "None" else reason,
            expected_start=float(start) if start.isdecimal() else None,
            nodes=nodes,
            cpus=_count(cpus),
        )
        for id_, state, reason, start, nodes, cpus, name in _records(text)
    ]


def explained(reason: str) -> str:
    """Return a reason in SLURM's words, and what it means where they alone do not say it.

    Examples
    --------
    >>> explained("Priority")
    'Priority (jobs of higher priority go first)'
    >>> explained("Prolog")
    'Prolog'
    """
    meaning = _meaning(reason)
    return f"{reason} ({meaning})" if meaning else reason


def _records(text: str) -> Iterator[list[str]]:
    """Split into records of seven fields; lines that are none belong to a name that has line breaks."""
    fields = FORMAT.count(_SEPARATOR)
    record: list[str] = []
    for line in text.split("\n"):
        parts = line.split(_SEPARATOR, fields)
        if len(parts) == fields + 1 and parts[0].isdecimal():
            if record:
                yield record
            record = parts
        elif record:
            record[-1] += f"\n{line}"
    if record:
        record[-1] = record[-1].removesuffix("\n")
        yield record


def _count(text: str) -> int:
    """Return a number that SLURM may have written as ``2K``."""
    match = re.fullmatch(r"(\d+)([KM]?)", text)
    return int(match[1]) * _UNITS[match[2]] if match else 0


def _meaning(reason: str) -> str:
    # Details come after a comma: "ReqNodeNotAvail, UnavailableNodes:n1".
    name = reason.partition(",")[0].strip()
    return next((meaning for pattern, meaning in _REASONS if re.fullmatch(pattern, name)), "")

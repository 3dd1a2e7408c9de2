"""What another run of a job would score, and why: told before it is opened."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_batch.errors import InputError, NotFound
from dask_batch.jobfolder.plan import Plan
from dask_batch.jobfolder.states import State
from dask_batch.jobs.rows import counting
from dask_batch.jobs.text import amount, counted
from dask_batch.outputs.records import read_error_records
from dask_batch.planning.backlog import uncovered
from dask_batch.planning.listing import list_inputs

if TYPE_CHECKING:
    from dask_batch.jobs.job import Job

__all__ = ["Explanation", "explain"]

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Explanation:
    """What another run of a job would score again, and why; as text, sentences.

    Parameters
    ----------
    job : str
        The job.
    state : str
        Where it stands.
    mini_batches, mini_batches_left : int
        How many the plan has, and how many of them no run has scored, or not wholly.
    failed, again : int
        Items that are failed now, and how many of them would be scored again.
    changed : tuple of str
        Files that would be read and have changed since the job was planned, or are gone: they fail with that reason.
    deployment : str
        What became of the deployment since the job was invoked; empty if nothing did. Jobs keep what they were
        invoked with.
    """

    job: str
    state: str
    mini_batches: int
    mini_batches_left: int
    failed: int
    again: int
    changed: tuple[str, ...]
    deployment: str

    @property
    def nothing(self) -> bool:
        """Whether nothing would be scored."""
        return not (self.mini_batches_left or self.again)

    @property
    def reasons(self) -> list[str]:
        """Return the sentences."""
        found = [self._what_is_left()]
        if self.again:
            found.append(f"{counted(self.again, 'failed item')} will be scored again.")
        if kept := self.failed - self.again:
            found.append(f"{counted(kept, 'failed item')} will stay failed; retry_failed() scores failed items again.")
        if self.changed:
            names = ", ".join(map(repr, self.changed[:_SHOWN])) + (", …" if len(self.changed) > _SHOWN else "")
            found.append(
                f"{counted(len(self.changed), 'input file')} changed since the job was planned, or cannot be found, "
                f"and will fail with that reason: {names}. Invoke the endpoint again to score the new versions."
            )
        if self.deployment:
            found.append(self.deployment)
        return found

    def _what_is_left(self) -> str:
        if self.state not in (State.FAILED, State.CANCELED, State.COMPLETED, State.INTERRUPTED):
            return f"The job is {self.state} and goes on by itself: there is nothing to open another run for."
        if not self.mini_batches:
            return "Nothing was planned yet: the whole input will be listed and scored."
        if self.nothing:
            return "Nothing will be scored again: every mini-batch is finished."
        done = self.mini_batches - self.mini_batches_left
        return (
            f"{amount(done)} of {counted(self.mini_batches, 'mini-batch', 'mini-batches')} stay as they are, "
            f"{amount(self.mini_batches_left)} will be scored."
        )

    def __str__(self) -> str:
        return "\n".join(self.reasons)

    def __repr__(self) -> str:
        return f"<Explanation of job {self.job!r}: {' '.join(self.reasons)}>"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.reasons)
        return f"<ul>{items}</ul>"

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON-able record."""
        names = ("job", "state", "mini_batches", "mini_batches_left", "failed", "again", "changed", "deployment")
        return {name: getattr(self, name) for name in names} | {"reasons": self.reasons}


def explain(job: Job, *, retry: bool) -> Explanation:
    """Return what another run of a job would score.

    Parameters
    ----------
    job : Job
        The job.
    retry : bool
        Whether that run scores failed items again.
    """
    status = job.peek()
    at_rest = status.terminal or status.state is State.INTERRUPTED
    plan = Plan.read(job.folder)
    entries = counting(job.folder)
    records = list(read_error_records(job.folder, entries))
    again = [record for record in records if record.get("split") is not None] if retry and at_rest else []
    gaps = uncovered(plan.mini_batches, (entry.chunk for entry in entries)) if plan else []
    splits = {split for gap in gaps for mini_batch in range(gap.first, gap.stop) for split in _splits(plan, mini_batch)}
    splits |= {int(record["split"]) for record in again}
    return Explanation(
        job=job.name,
        state=str(status),
        mini_batches=plan.mini_batches if plan else 0,
        mini_batches_left=sum(gap.stop - gap.first for gap in gaps),
        failed=len(records),
        again=len(again),
        changed=tuple(_changed(job.inputs, plan, sorted(splits))) if plan and at_rest else (),
        deployment=_deployment(job),
    )


def _splits(plan: Plan | None, mini_batch: int) -> range:
    return range(0) if plan is None else plan.splits(mini_batch)


def _changed(inputs: tuple[str, ...], plan: Plan, splits: list[int]) -> Iterable[str]:
    """Yield the files of some splits that are not as they were planned, in the plan's order."""
    if not splits:
        return
    try:
        now = list_inputs(inputs)
        found = {path: (size, version) for path, size, version in zip(*_columns(now), strict=True)}
    except InputError:
        found = {}
    wanted = plan.table.select(["path", "size", "version"]).take(splits)
    seen: set[str] = set()
    for path, size, version in zip(*_columns(wanted), strict=True):
        if path not in seen and not _same(found.get(path), size, version):
            seen.add(path)
            yield path


def _same(now: tuple[int, str] | None, size: int, version: str) -> bool:
    """Return whether a file is as it was planned, as far as its store tells."""
    return now is not None and now[0] == size and (now[1] == version or not (now[1] and version))


def _columns(table: Any) -> list[list[Any]]:
    return [table.column(name).to_pylist() for name in ("path", "size", "version")]


def _deployment(job: Job) -> str:
    pinned = job.definition.deployment
    try:
        record = job.context.catalog.deployments.get(pinned.endpoint, pinned.name)
    except NotFound:
        return f"Deployment {pinned.name!r} was deleted since: the job keeps what it was invoked with."
    if record.document["snapshot"]["digest"] == pinned.digest:
        return ""
    return (
        f"Deployment {pinned.name!r} was changed since: the job keeps the one that it was invoked with (revision "
        f"{pinned.revision}), so that no output mixes two. Invoke the endpoint again to score with the new one."
    )

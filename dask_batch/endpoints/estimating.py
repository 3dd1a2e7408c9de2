"""How long a job would take, from what earlier jobs of the deployment took, or from scoring a sample."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_batch.endpoints.computes import Computes
from dask_batch.endpoints.inputs import resolve_inputs
from dask_batch.endpoints.trying import try_deployment
from dask_batch.errors import JobError
from dask_batch.jobfolder.status import read_status
from dask_batch.jobs.context import Context
from dask_batch.jobs.rows import busy_seconds
from dask_batch.jobs.text import amount, bytes_text, duration
from dask_batch.planning.listing import list_inputs
from dask_batch.specs.compute import Compute
from dask_batch.specs.job import DeploymentSnapshot
from dask_batch.specs.scoring_settings import ScoringSettings

if TYPE_CHECKING:
    from dask_batch.endpoints.deployment import Deployment

__all__ = ["Estimate", "Pace", "estimate"]

_JOBS = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """What one slot does in a second.

    Parameters
    ----------
    items, bytes : float
        Items and bytes of input scored per second of a busy slot.
    source : str
        Where the figures are from.
    """

    items: float
    bytes: float
    source: str


@dataclass(frozen=True, slots=True, repr=False)
class Estimate:
    """What scoring an input takes.

    Parameters
    ----------
    files, bytes : int
        Size of the input.
    items : int, optional
        Items to score: files for scripts and images, rows (estimated by size) for tables; None if unknown.
    seconds : float, optional
        Until all is scored, starting up left out; None if unknown.
    instance_hours : float, optional
        Hours of instances that takes; None if unknown.
    instances, slots : int
        How many instances and scoring processes it is reckoned with.
    source : str
        How it was measured.
    """

    files: int
    bytes: int
    items: int | None
    seconds: float | None
    instance_hours: float | None
    instances: int
    slots: int
    source: str

    def __repr__(self) -> str:
        return f"<Estimate: {', '.join(f'{name} {text}' for name, text in self.facts().items())}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import card_html

        return card_html("Estimate", self.facts())

    def facts(self) -> dict[str, str]:
        """Return the figures as texts by name."""
        return {
            "files": amount(self.files),
            "size": bytes_text(self.bytes),
            "items": "unknown" if self.items is None else amount(self.items),
            "time": "unknown" if self.seconds is None else f"about {duration(self.seconds)}",
            "instance-hours": "unknown" if self.instance_hours is None else f"{self.instance_hours:.3g}",
            "on": f"{self.instances} instance{'' if self.instances == 1 else 's'} with {self.slots} slots in all",
            "measured": self.source,
        }


def estimate(context: Context, deployment: Deployment, given: Any, sample: int) -> Estimate:
    """Return what scoring an input with a deployment takes."""
    listed = list_inputs(resolve_inputs(context, given))
    files, size = listed.num_rows, sum(listed.column("size").to_pylist())
    snapshot = deployment.snapshot
    paths = listed.column("path").to_pylist()
    pace = _past_pace(context, snapshot) or _sampled_pace(context, deployment, paths, sample)
    compute = Computes(context).get(snapshot.compute)
    instances, slots = concurrency(compute, snapshot.settings, os.cpu_count() or 1)
    return reckon(files, size, pace, instances, slots, tabular=snapshot.input_format == "table")


def reckon(files: int, size: int, pace: Pace | None, instances: int, slots: int, *, tabular: bool) -> Estimate:
    """Return the estimate for an input of some size at some pace; a pure function.

    Examples
    --------
    >>> made = reckon(100, 4_000_000, Pace(items=50.0, bytes=1e6, source="a sample"), 1, 2, tabular=True)
    >>> made.items, made.seconds, round(made.instance_hours, 6)
    (200, 2.0, 0.000556)
    """
    if pace is None or pace.items <= 0 or pace.bytes <= 0:
        source = pace.source if pace else "nothing to measure with"
        return Estimate(files, size, None if tabular else files, None, None, instances, slots, source)
    items = round(size / pace.bytes * pace.items) if tabular else files
    busy = size / pace.bytes if tabular else files / pace.items
    at_once = min(slots, files) if not tabular else slots
    seconds = busy / max(at_once, 1)
    return Estimate(files, size, items, seconds, seconds * instances / 3600, instances, slots, pace.source)


def concurrency(compute: Compute, settings: ScoringSettings, cores: int) -> tuple[int, int]:
    """Return how many instances and slots a job gets when it is alone.

    Examples
    --------
    >>> from dask_batch.specs.compute import LocalCompute
    >>> concurrency(LocalCompute(name="local", max_instances=2, slots=4), ScoringSettings(instance_count=3), 8)
    (2, 8)
    """
    instances = max(1, min(settings.instance_count, compute.max_instances))
    each = compute.known_slots or cores
    if settings.max_concurrency_per_instance is not None:
        each = min(each, settings.max_concurrency_per_instance)
    return instances, instances * each


def _past_pace(context: Context, snapshot: DeploymentSnapshot) -> Pace | None:
    """Return the pace of the last completed jobs of exactly this deployment."""
    seconds = items = size = jobs = 0.0
    for name in completed_jobs(context, snapshot, _JOBS):
        folder = context.job_folder(name)
        status = read_status(folder)
        if status is not None and status.counts.items:
            jobs += 1
            seconds += busy_seconds(folder)
            items += status.counts.items
            size += status.counts.bytes or status.bytes
    if not seconds:
        return None
    return Pace(items / seconds, size / seconds, f"{jobs:.0f} earlier job{'' if jobs == 1 else 's'} of this deployment")


def completed_jobs(context: Context, snapshot: DeploymentSnapshot, limit: int) -> list[str]:
    """Return the names of the last completed jobs of a deployment whose model, code and environment are the same."""
    from dask_batch.jobs.jobs import Jobs

    found = Jobs(context).list(endpoint=snapshot.endpoint, deployment=snapshot.name, status="Completed", limit=limit)
    return [job.name for job in found if job.definition.deployment.digest == snapshot.digest]


def _sampled_pace(context: Context, deployment: Deployment, paths: list[str], sample: int) -> Pace | None:
    try:
        result = try_deployment(
            context,
            deployment.snapshot,
            paths[:sample],
            max_items=sample,
            params=None,
            overrides={"error_threshold": -1},
            takes_params=None,
        )
    except JobError as error:
        return Pace(0.0, 0.0, f"a sample could not be scored: {str(error).splitlines()[0]}")
    if not result.seconds or not result.items:
        return None
    return Pace(result.rate, result.bytes / result.seconds, f"a sample of {amount(result.items)} items scored here")

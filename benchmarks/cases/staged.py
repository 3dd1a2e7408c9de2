"""Jobs made of thin air: a folder, a definition and a plan, for measuring one part of the machinery alone."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pyarrow as pa

from dask_batch.jobfolder.chunks import Chunk, Counts
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.ledger import Entry
from dask_batch.jobfolder.plan import PLAN_SCHEMA, Plan, PlanInfo
from dask_batch.specs.compute import LocalCompute
from dask_batch.specs.job import DeploymentSnapshot, JobDefinition, OutputTarget
from dask_batch.specs.scoring_settings import ScoringSettings
from dask_batch.storage import Storage

__all__ = ["peak_mb", "scored", "staged_job"]


def staged_job(root: Path, mini_batches: int, **settings: Any) -> tuple[JobFolder, JobDefinition]:
    """Return the folder and definition of a job of a script, with a plan of so many mini-batches of one file."""
    folder = JobFolder(Storage(str(root)), "staged")
    scoring = ScoringSettings(mini_batch_size=1, **settings)
    snapshot = DeploymentSnapshot(
        endpoint="e",
        name="d",
        revision=1,
        digest="0",
        kind="script",
        input_format="files",
        compute="local",
        settings=scoring,
    )
    definition = JobDefinition(
        name="staged",
        endpoint="e",
        deployment=snapshot,
        settings=scoring,
        compute=LocalCompute(name="local"),
        inputs=("/nowhere",),
        experiment_name="e",
        owner="bench",
        created=now(),
        output=OutputTarget(url=folder.url("outputs", "score"), file_name=scoring.output_file_name),
    )
    folder.create(definition.to_stored())
    folder.open_run(1, {"run": 1})
    Plan(_splits(mini_batches), PlanInfo("files", mini_batches, mini_batches * 10)).write(folder)
    return folder, definition


def peak_mb() -> float:
    """Return the peak memory of this process, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def scored(chunk: Chunk, rows: int, **changes: Any) -> Entry:
    """Return the ledger entry of a chunk whose items have all succeeded, with so many rows."""
    items = chunk.stop - chunk.first
    return Entry(chunk, Counts(items=items, succeeded=items, rows_out=rows, bytes=items * 10), **changes)


def _splits(count: int) -> pa.Table:
    columns: dict[str, Any] = {
        "mini_batch": range(count),
        "file": range(count),
        "path": [f"/nowhere/{n:07d}.txt" for n in range(count)],
        "size": [10] * count,
        "version": ["1"] * count,
        "format": ["unknown"] * count,
        "cut": ["whole"] * count,
        "start": [None] * count,
        "stop": [None] * count,
    }
    return pa.table({name: pa.array(values, PLAN_SCHEMA.field(name).type) for name, values in columns.items()})

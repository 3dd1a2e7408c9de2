"""Trying a deployment right here, on a sample, and estimating what a whole job takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_batch.endpoints.inputs import resolve_inputs
from dask_batch.endpoints.overrides import apply_overrides, check_params
from dask_batch.endpoints.sampling import sample_inputs
from dask_batch.errors import InvalidDefinition, JobFailed
from dask_batch.jobfolder.folder import JobFolder, now
from dask_batch.jobfolder.runs import open_run
from dask_batch.jobfolder.states import State
from dask_batch.jobs.context import Context
from dask_batch.jobs.joblogs import read_logs
from dask_batch.jobs.reading import read_job_status
from dask_batch.jobs.rows import busy_seconds, committed_rows, counting, failed_items
from dask_batch.jobs.text import amount, duration, failure_message, rate_text
from dask_batch.planning.listing import list_inputs
from dask_batch.slots.assets import local_asset
from dask_batch.specs.compute import LocalCompute
from dask_batch.specs.job import DeploymentSnapshot, JobDefinition, OutputTarget
from dask_batch.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TestResult", "try_deployment"]


@dataclass(frozen=True, slots=True, repr=False)
class TestResult:
    """What a deployment made of a sample.

    Parameters
    ----------
    outputs : pandas.DataFrame
        The predictions, in input order.
    errors : pandas.DataFrame
        A row per failed item.
    items, bytes : int
        Items tried (files for scripts, rows for tables), and their size.
    rate : float
        Items per second of one slot, loading the model left out.
    seconds : float
        How long scoring took, reading included and loading the model left out.
    log : str
        What user code printed and logged.
    """

    outputs: pd.DataFrame
    errors: pd.DataFrame
    items: int
    bytes: int
    rate: float
    seconds: float
    log: str

    # pytest would take the class for a test.
    __test__ = False

    def __repr__(self) -> str:
        return (
            f"<TestResult: {amount(self.items)} items in {duration(self.seconds)} ({rate_text(self.rate)}), "
            f"{len(self.outputs)} output rows, {len(self.errors)} failed>"
        )

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import card_html

        facts = {
            "items": amount(self.items),
            "output rows": amount(len(self.outputs)),
            "failed": amount(len(self.errors)),
            "rate": rate_text(self.rate),
        }
        first = self.outputs.head(5).to_html(index=False, escape=True)
        failed = self.errors.head(5).to_html(index=False, escape=True) if len(self.errors) else ""
        return card_html("Test", facts) + first + failed


def try_deployment(
    context: Context,
    snapshot: DeploymentSnapshot,
    given: Any,
    *,
    max_items: int,
    params: dict[str, Any] | None,
    overrides: dict[str, Any],
    takes_params: bool | None,
) -> TestResult:
    """Score the first items of an input in a scoring process on this machine, and leave nothing behind.

    Raises
    ------
    InvalidDefinition
        `max_items` is less than 1, or an override cannot be.
    JobFailed
        The sample could not be scored as a whole.
    """
    if max_items < 1:
        raise InvalidDefinition(f"max_items={max_items!r} leaves nothing to try; give 1 or more")
    # Parts hold the exact types, which a csv output would not.
    settings = apply_overrides(snapshot.settings, {**overrides, "keep_parts": True}, None)
    checked = check_params(params, snapshot.name, takes_params)
    paths = [str(path) for path in list_inputs(resolve_inputs(context, given)).column("path").to_pylist()]
    root = tempfile.mkdtemp(prefix="dask-batch-test-")
    try:
        storage = Storage(os.path.join(root, "workspace"))
        storage.check()
        _link_assets(context.storage, storage, snapshot)
        sample = sample_inputs(paths, snapshot.input_format, max_items, os.path.join(root, "input"))
        folder = JobFolder(storage, "test")
        definition = JobDefinition(
            name="test",
            endpoint=snapshot.endpoint,
            deployment=snapshot,
            settings=settings,
            compute=LocalCompute(name="local"),
            inputs=tuple(sample),
            params=checked,
            tags={},
            display_name=None,
            experiment_name=snapshot.endpoint,
            owner=context.user,
            created=now(),
            idempotency_key=None,
            output=OutputTarget(
                url=folder.url("outputs", "score"), file_name=settings.output_file_name, overwrite=True
            ),
        )
        return _run(storage, folder, definition, dict(zip(sample, paths, strict=False)))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _run(storage: Storage, folder: JobFolder, definition: JobDefinition, origins: dict[str, str]) -> TestResult:
    """Run the job here; `origins` says which file of the input each file of the sample was cut from."""
    from dask_batch.host.inline import run_inline

    folder.create(definition.to_stored())
    open_run(folder, 1, definition.owner)
    run_inline(storage, definition)
    status = read_job_status(folder, None)
    errors = failed_items(folder)
    errors["file"] = _original(errors["file"], origins)
    if status.state is not State.COMPLETED and not len(errors):
        raise JobFailed(failure_message("test", status, read_logs(folder, tail=20)))
    # What went by in processes that were killed is in no mini-batch.
    lost = status.slot_seconds - sum(entry.seconds for entry in counting(folder))
    seconds = busy_seconds(folder) + max(0.0, lost)
    items = status.counts.items
    outputs = committed_rows(folder).to_pandas()
    if "source_file" in outputs:
        outputs["source_file"] = _original(outputs["source_file"], origins)
    return TestResult(
        outputs=outputs,
        errors=errors,
        items=items,
        bytes=status.counts.bytes,
        rate=items / seconds if seconds else 0.0,
        seconds=seconds,
        log=read_logs(folder),
    )


def _original(files: pd.Series[str], origins: dict[str, str]) -> pd.Series[str]:
    return files.astype(object).map(lambda file: origins.get(file, file))


def _link_assets(source: Storage, target: Storage, snapshot: DeploymentSnapshot) -> None:
    """Make the model and code of a deployment appear in a workspace for the while, without copying them."""
    for pinned in (snapshot.model, snapshot.code):
        if pinned is not None:
            link = target.url(pinned.asset)
            os.makedirs(os.path.dirname(link), mode=0o700, exist_ok=True)
            if not os.path.lexists(link):
                os.symlink(local_asset(source, pinned.asset), link)

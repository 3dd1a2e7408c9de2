"""What a job made, for the one who asked: predictions, failed items, mini-batches, copies of the output."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from dask_batch.errors import (
    AlreadyExists,
    InternalError,
    InvalidDefinition,
    JobCanceled,
    JobFailed,
    Refused,
    StorageError,
)
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, entries_of_run
from dask_batch.jobfolder.runs import current_run
from dask_batch.jobfolder.states import State
from dask_batch.jobs.readers import read_output
from dask_batch.jobs.reading import JobStatus
from dask_batch.outputs.read import read_rows
from dask_batch.outputs.records import read_error_records, read_errors, read_mini_batches
from dask_batch.outputs.target import SUCCESS
from dask_batch.storage import Storage, join

if TYPE_CHECKING:
    import pandas as pd

    from dask_batch.jobs.job import Job

__all__ = [
    "busy_seconds",
    "committed_rows",
    "counting",
    "download",
    "errors",
    "failed_items",
    "mini_batches",
    "results",
]

_KINDS = ("pandas", "dask", "arrow", "path")


def counting(folder: JobFolder) -> list[Entry]:
    """Return the ledger entries that count at this moment: those of the decision, or what is committed so far."""
    run = current_run(folder)
    decision = folder.decision(run)
    if decision is not None:
        return [Entry.from_json(record) for record in decision["entries"]]
    return entries_of_run(folder, run)


def results(job: Job, as_: str, partial: bool) -> Any:
    """Return the predictions of a job; see `Job.results`."""
    if as_ not in _KINDS:
        raise InvalidDefinition(f"as_={as_!r} is no form of results; choose one of {', '.join(_KINDS)}")
    status = job.peek()
    if status.state is State.COMPLETED:
        return _final(job, as_)
    if not partial:
        raise _unfinished(job, status)
    if as_ == "path":
        raise Refused(
            f"job {job.name!r} is {status} and has no output file yet; as_='pandas' reads its partial results"
        )
    try:
        table = committed_rows(job.folder)
    except FileNotFoundError:
        # It completed just now, and its parts went into the output.
        if job.peek().state is not State.COMPLETED:
            raise
        return _final(job, as_)
    return _in_form(table, as_)


def _unfinished(job: Job, status: JobStatus) -> Exception:
    follow = f"results(partial=True) reads the {status.counts.rows_out:,} rows it has so far"
    reason = (status.reason or {}).get("message", "")
    if status.state is State.FAILED:
        return JobFailed(f"job {job.name!r} failed: {reason}; {follow}")
    if status.state is State.CANCELED:
        return JobCanceled(f"job {job.name!r} was {reason or 'canceled'}; {follow}")
    return Refused(f"job {job.name!r} is {status}; wait() for it, or {follow}")


def _final(job: Job, as_: str) -> Any:
    target = job.definition.output
    if as_ == "path":
        return target.url if _writes_own_files(job) else join(target.url, target.file_name)
    if _writes_own_files(job):
        raise Refused(
            f"job {job.name!r} has output_action summary_only: its script wrote its own files. "
            f"They are in {target.url!r}; download() copies them, results(as_='path') names the folder"
        )
    record = Storage(target.url).find_json(SUCCESS)
    if record is None or record.get("job") != job.name:
        raise Refused(
            f"job {job.name!r} has completed, and its output in {target.url!r} was replaced or removed since; "
            "invoke again to score the input anew"
        )
    return read_output(join(target.url, target.file_name), record.get("files", []), record.get("types"), as_)


def _writes_own_files(job: Job) -> bool:
    return job.definition.settings.output_action == "summary_only"


def _in_form(table: pa.Table, as_: str) -> Any:
    if as_ == "arrow":
        return table
    if as_ == "dask":
        return importlib.import_module("dask.dataframe").from_pandas(table.to_pandas(), npartitions=1)
    return table.to_pandas()


def committed_rows(folder: JobFolder) -> pa.Table:
    """Return the output rows that are committed so far, in input order, read from the parts."""
    return read_rows(folder, counting(folder))


def errors(job: Job, as_: str) -> pd.DataFrame:
    """Return the failed items of a job, or their values; see `Job.errors`."""
    if as_ == "pandas":
        return failed_items(job.folder)
    if as_ != "table":
        raise InvalidDefinition(f"as_={as_!r} is no form of errors; choose one of pandas, table")
    return _failed_values(job.folder)


def _failed_values(folder: JobFolder) -> pd.DataFrame:
    """Return the values of the failed rows, indexed by where they stand in the input."""
    import pandas as pd

    entries = counting(folder)
    records = list(read_error_records(folder, entries))
    where = read_errors(folder, entries)[["file", "row"]]
    having = [n for n, record in enumerate(records) if record.get("values")]
    index = pd.MultiIndex.from_frame(where.iloc[having], names=["source_file", "source_row"])
    return pd.DataFrame([records[n]["values"] for n in having], index=index)


def failed_items(folder: JobFolder) -> pd.DataFrame:
    """Return a row per item that is failed now, in input order."""
    return read_errors(folder, counting(folder))


def busy_seconds(folder: JobFolder) -> float:
    """Return how long scoring processes were busy with the finished mini-batches, without loading models."""
    return float(read_mini_batches(folder, counting(folder))["seconds"].sum())


def mini_batches(job: Job) -> pd.DataFrame:
    """Return a row per finished mini-batch."""
    return read_mini_batches(job.folder, counting(job.folder))


def download(job: Job, path: str | os.PathLike[str], name: str) -> str:
    """Copy the files of an output to a local folder; see `Job.download`."""
    if name not in job.outputs:
        raise InvalidDefinition(f"job {job.name!r} has no output {name!r}; outputs: {', '.join(job.outputs)}")
    status = job.peek()
    if status.state is not State.COMPLETED:
        raise _unfinished(job, status)
    target = os.path.abspath(os.path.expanduser(os.fspath(path)))
    try:
        return _download_to(job, target, name)
    except PermissionError as error:
        raise StorageError(
            f"{target!r} cannot be written: {error.strerror}; allow writing there, or name another folder"
        ) from error


def _download_to(job: Job, target: str, name: str) -> str:
    if os.path.isdir(target) and os.listdir(target):
        raise AlreadyExists(f"{target!r} is not empty; name a folder that does not exist or is empty")
    if os.path.lexists(target) and not os.path.isdir(target):
        raise AlreadyExists(f"{target!r} is a file; name a folder that does not exist or is empty")
    place = Storage(job.outputs[name])
    record = place.find_json(SUCCESS) or {}
    os.makedirs(target, exist_ok=True)
    for file in record.get("files", []):
        local = os.path.normpath(os.path.join(target, file))
        if not local.startswith(target + os.sep):
            raise InternalError(f"output file {file!r} of job {job.name!r} leads out of its folder")
        os.makedirs(os.path.dirname(local), exist_ok=True)
        place.download(file, local)
    return target

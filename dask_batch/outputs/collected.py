"""Files that scripts left in ``AZUREML_BI_OUTPUT_PATH``: which of them count, and from where they are copied."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from dask_batch.errors import JobFailed
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, in_order
from dask_batch.outputs.target import OWNER, SUCCESS

__all__ = ["collected_files", "find_duplicates"]


def find_duplicates(folder: JobFolder, entries: Iterable[Entry]) -> list[tuple[int, str, int]]:
    """Return the collected files whose names are taken: (mini-batch, name, the earlier mini-batch that has it).

    A file that a later run made again for the same mini-batch is none.
    """
    owners: dict[str, tuple[int, int, int]] = {}
    found = []
    for entry, mini_batch, name in _files(folder, entries):
        owner = (mini_batch, (entry.chunk.items or (0,))[0], entry.run)
        first = owners.setdefault(name, owner)
        if first[:2] != owner[:2] and (first[0] != mini_batch or first[2] == entry.run):
            found.append((mini_batch, name, first[0]))
    return found


def collected_files(folder: JobFolder, entries: Iterable[Entry], reserved: str | None) -> dict[str, str]:
    """Return the collected files of a job: name in the output place, to name in the job's storage.

    Of several files with one name the last in the plan's order counts, and of those the latest run's.

    Parameters
    ----------
    folder : JobFolder
        The job.
    entries : iterable of Entry
        Those that count.
    reserved : str, optional
        The file of rows, whose name no script may use.

    Raises
    ------
    JobFailed
        A script used a name that the job itself writes.
    """
    winners: dict[str, str] = {}
    for entry, mini_batch, name in _files(folder, entries):
        if name in {OWNER, SUCCESS} or (reserved and name.split("/")[0] == reserved):
            raise JobFailed(
                f"mini-batch {mini_batch} left a file {name!r} in AZUREML_BI_OUTPUT_PATH, a name that the job itself "
                "writes; choose another name in the script, or another output_file_name"
            )
        winners[name] = folder.path("parts", _attempt(entry), name)
    return winners


def _attempt(entry: Entry) -> str:
    return posixpath.basename(str(entry.report)).removesuffix(".json")


def _files(folder: JobFolder, entries: Iterable[Entry]) -> Iterator[tuple[Entry, int, str]]:
    """Yield (entry, mini-batch, name) of every collected file in the plan's order, later runs last."""
    having = [entry for entry in in_order(entries) if entry.counts.collected and entry.report]
    with ThreadPoolExecutor(1 if folder.storage.is_local else 16) as pool:
        reports = pool.map(lambda entry: folder.storage.read_json(folder.path(str(entry.report))), having)
        found = [
            (entry, int(mini_batch), str(name))
            for entry, report in zip(having, reports, strict=True)
            for mini_batch, name in report["files"]
        ]
    found.sort(key=lambda item: (item[1], (item[0].chunk.items or (0,))[0], item[0].run))
    for entry, mini_batch, name in found:
        clean = posixpath.normpath(name)
        if clean.startswith(("/", "../")) or clean in {".", ".."}:
            raise JobFailed(f"mini-batch {mini_batch} left a file {name!r} outside of AZUREML_BI_OUTPUT_PATH")
        yield entry, mini_batch, clean

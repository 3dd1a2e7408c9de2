"""Finalizing: the outputs of a completed run, put together from ``final-<n>.json``.

A pure function of that file, which anybody may repeat: the same names, the same bytes. `finalize` does it in one go. A
host that has slots to spare does the same in three steps, each of which may be repeated::

    work = plan_finalizing(folder, decision)
    results = [format_group(task) for task in work.tasks]      # in any order, anywhere
    summary = assemble(folder, work, results)

The output place holds ``predictions.csv`` (or ``.jsonl``, or the folder ``predictions.parquet``) as `output_file_name`
says, the files that scripts left, and last ``_SUCCESS``: JSON that lists these files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dask_batch.errors import InternalError, Refused
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry
from dask_batch.jobfolder.plan import Plan
from dask_batch.outputs.claim import check_owner
from dask_batch.outputs.collected import collected_files
from dask_batch.outputs.read import Rows
from dask_batch.outputs.records import consolidate_reports
from dask_batch.outputs.target import (
    REPLACED,
    SUCCESS,
    append_files,
    marker,
    move,
    naming,
    old_files,
    prune,
    remove_staged,
    staging_folder,
    writing,
)
from dask_batch.outputs.tasks import CopyTask, FormatTask, format_group, rows_per_file
from dask_batch.storage import Storage, join

__all__ = ["Finalizing", "assemble", "clean", "discard", "finalize", "finished", "format_group", "plan_finalizing"]

log = logging.getLogger(__name__)

_FILES_PER_COPY = 500


@dataclass(frozen=True)
class Finalizing:
    """What finalizing is going to do.

    Parameters
    ----------
    url : str
        The output place.
    run : int
        The run that is finalized.
    tasks : tuple of (FormatTask or CopyTask)
        Independent of each other.
    moves : tuple of (str, str)
        Files that the tasks write, and the names in the output place that they get.
    joined : str, optional
        The name of the one file that the formatted pieces, in order, make up.
    pieces : tuple of str
        These pieces.
    files : tuple of str
        All names that the output place will have.
    staging : str
        The folder for what is not in place yet.
    rows : int
        Rows of output.
    old : tuple of str
        Files of earlier outputs.
    types : tuple of (str, str)
        The output's columns and their Arrow types, which text does not tell those who read it back.
    """

    url: str
    run: int
    tasks: tuple[FormatTask | CopyTask, ...] = ()
    moves: tuple[tuple[str, str], ...] = ()
    joined: str | None = None
    pieces: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    staging: str = ""
    rows: int = 0
    old: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()


def finalize(folder: JobFolder, decision: dict[str, Any]) -> dict[str, Any]:
    """Put the outputs of a completed run in place, unless they are there already.

    Parameters
    ----------
    folder : JobFolder
        The job. Of its ``job.json``, ``output`` and ``settings.output_action`` are used.
    decision : dict
        What ``final-<n>.json`` says.

    Returns
    -------
    dict
        ``outputs`` (``{"score": url}``), ``rows``, ``bytes`` and ``collected`` (how many files of scripts).

    Raises
    ------
    JobFailed
        Columns or types of the parts cannot be united, or a script left a file under a name of ours.
    AlreadyExists
        Another job has taken the output place.
    StorageError
        It cannot be written: the message names the path.
    Refused
        Somebody else has closed the run as failed.
    """
    work = plan_finalizing(folder, decision, at_once=True)
    try:
        return assemble(folder, work, [format_group(task) for task in work.tasks])
    except Exception:
        discard(work)
        # Somebody else who finalizes the same run may have been quicker, and has removed our unfinished files.
        if done := finished(folder, decision["run"]):
            return done
        raise


def finished(folder: JobFolder, run: int) -> dict[str, Any] | None:
    """Return what `finalize` returns if the outputs of this run are in place already, else None.

    They may have been replaced since, by those of a later run: then the note that this run was closed says so.

    Raises
    ------
    JobGone
        The job was deleted since.
    Refused
        The run was closed as failed: the next one puts the outputs in place, and removes what this one left unfinished.
    """
    folder.check()
    closed = folder.closed(run)
    if closed is not None:
        if closed["outcome"] != "Completed":
            raise Refused(f"run {run} of job {folder.job!r} was closed as failed; job.resume() writes its outputs")
        return {name: closed[name] for name in ("outputs", "rows", "bytes", "collected")}
    definition = _definition(folder)
    url = str(definition["output"]["url"])
    record = marker(Storage(url))
    # A job that was deleted may have had the same name, and have left its outputs there.
    if [record.get(name) for name in ("job", "created", "run")] != [folder.job, definition.get("created"), run]:
        return None
    return _summary(url, record["rows"], record["bytes"], record["collected"])


def plan_finalizing(folder: JobFolder, decision: dict[str, Any], *, at_once: bool = False) -> Finalizing:
    """Return the tasks that finalizing consists of; none if the outputs are in place already.

    Parameters
    ----------
    folder, decision
        As for `finalize`.
    at_once : bool
        Format one-file outputs in one task, instead of pieces that must be joined afterwards.

    Raises
    ------
    JobFailed, AlreadyExists, StorageError, Refused
        As `finalize`.
    """
    definition, run = _definition(folder), int(decision["run"])
    if finished(folder, run):
        return Finalizing(str(definition["output"]["url"]), run)
    url = str(definition["output"]["url"])
    with_rows = definition["settings"].get("output_action", "append_row") == "append_row"
    file_name = str(definition["output"]["file_name"]) if with_rows else None
    place = Storage(url)
    check_owner(place, folder.job)
    entries = [Entry.from_json(record) for record in decision["entries"]]
    collected = collected_files(folder, entries, file_name)
    old = old_files(place, file_name)
    remove_staged(place, folder.job, run)
    staging = staging_folder(folder.job, run)
    # Moving within an object store is copying: where nothing is replaced, files are written in place at once.
    direct = not place.is_local and not old
    moves: list[tuple[str, str]] = []

    def where(name: str) -> str:
        if direct:
            return join(url, name)
        moves.append((join(url, staging, name), name))
        return join(url, staging, name)

    copies = _copies(folder, [(source, where(name)) for name, source in collected.items()])
    formats: list[FormatTask] = []
    rows, pieces, names = 0, [], list(collected)
    types: tuple[tuple[str, str], ...] = ()
    if file_name is not None:
        found = _rows(folder, entries)
        rows = found.count
        types = tuple((field.name, str(field.type)) for field in found.schema)
        ranges = _ranges(found, file_name, at_once)
        names += _names(file_name, len(ranges))
        joined = not file_name.endswith(".parquet") and len(ranges) > 1
        urls = [
            join(url, staging, f"piece-{n:05d}") if joined else where(_names(file_name, len(ranges))[n])
            for n in range(len(ranges))
        ]
        formats = _formats(folder, found, ranges, urls, file_name)
        pieces = urls if joined else []
    return Finalizing(
        url=url,
        run=run,
        tasks=(*formats, *copies),
        moves=tuple(moves),
        joined=file_name if pieces else None,
        pieces=tuple(pieces),
        files=tuple(names),
        staging=staging,
        rows=rows,
        old=tuple(sorted(old)),
        types=types,
    )


def assemble(folder: JobFolder, work: Finalizing, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Move what the tasks wrote into place, remove what it replaces, and write ``_SUCCESS``.

    Parameters
    ----------
    folder : JobFolder
        The job.
    work : Finalizing
        What `plan_finalizing` returned.
    results : sequence of dict
        What `format_group` returned for each task, in any order.

    Returns
    -------
    dict
        As `finalize`.
    """
    if done := finished(folder, work.run):
        return done
    rows = sum(result.get("rows", 0) for result in results)
    if rows != work.rows or len(results) != len(work.tasks):
        raise InternalError(f"{rows} rows were formatted where {work.rows} were expected in {folder}")
    place = Storage(work.url)
    check_owner(place, folder.job)
    size = sum(result["bytes"] for result in results)
    collected = sum(result.get("files", 0) for result in results)
    # Before anything is touched: where somebody else has finished meanwhile, the reports are gone, and this ends here.
    consolidate_reports(folder, work.run)
    # Without the folder of unfinished files, an earlier attempt has moved them all.
    if place.exists(work.staging) and (done := _publish(folder, place, work)):
        return done
    prune(place, work.old, set(work.files))
    record = {
        "format": 1,
        "job": folder.job,
        "created": _definition(folder).get("created"),
        "run": work.run,
        "rows": rows,
        "bytes": size,
        "collected": collected,
        "files": list(work.files),
        "types": [list(pair) for pair in work.types],
    }
    with naming(join(work.url, SUCCESS)):
        place.put_json(SUCCESS, record)
    return _summary(work.url, rows, size, collected)


def discard(work: Finalizing) -> None:
    """Remove what an attempt that failed has not put in place; nobody may be at work on its tasks any more.

    Where it cannot be removed, finalizing the next run does it.
    """
    if not work.staging:
        return
    try:
        Storage(work.url).remove(work.staging)
    except Exception:  # clients of stores raise errors of any type
        log.warning("%s: unfinished outputs could not be removed", join(work.url, work.staging), exc_info=True)


def _publish(folder: JobFolder, place: Storage, work: Finalizing) -> dict[str, Any] | None:
    """Move what the tasks wrote to the names it is to have. Everything new is there when this begins.

    Joining takes long, and who does it may have been frozen over it and replaced. So it is asked once more, right
    before anything is taken away, whether somebody else has finished; then what that came to is returned.
    """
    moves = list(work.moves)
    if work.joined:
        whole = join(work.url, work.staging, "joined")
        with writing(whole) as target, naming(whole):
            append_files(work.pieces, target)
        moves.append((whole, work.joined))
    if done := finished(folder, work.run):
        return done
    if work.old:
        # What an earlier job left is listed in its `_SUCCESS` only, and this may be repeated.
        place.put_json(REPLACED, list(work.old))
    place.remove(SUCCESS)
    for source, name in moves:
        move(source, join(work.url, name))
    return None


def clean(folder: JobFolder, definition: dict[str, Any], decision: dict[str, Any]) -> bool:
    """Remove the parts and reports of a run whose outputs are in place; return whether it did.

    They stay if the job's settings say `keep_parts`, and if items failed: `retry_failed` puts them together anew.
    """
    if (
        definition["settings"].get("keep_parts")
        or decision["outcome"] != "Completed"
        or decision["counts"].get("failed", 0)
    ):
        return False
    for name in ("parts", "reports"):
        folder.storage.remove(folder.path(name))
    return True


def _definition(folder: JobFolder) -> dict[str, Any]:
    definition = folder.definition()
    if definition is None:
        raise InternalError(f"{folder} is decided but has no job.json")
    return definition


def _summary(url: str, rows: int, size: int, collected: int) -> dict[str, Any]:
    return {"outputs": {"score": url}, "rows": rows, "bytes": size, "collected": collected}


def _rows(folder: JobFolder, entries: Iterable[Entry]) -> Rows:
    plan = Plan.read(folder)
    if plan is None:
        raise InternalError(f"{folder} is decided but has no plan")
    return Rows(folder, entries, plan)


def _ranges(found: Rows, file_name: str, at_once: bool) -> list[tuple[int, int]]:
    """Return the rows of each file or piece; an output without rows is one empty file."""
    if at_once and not file_name.endswith(".parquet"):
        return [(0, found.count)]
    step = rows_per_file(found.schema)
    if not file_name.endswith(".parquet"):
        # Pieces of text are joined in the end: smaller ones keep more slots busy and leave no trace.
        step = max(step // 4, 1)
    return [(lo, min(lo + step, found.count)) for lo in range(0, max(found.count, 1), step)]


def _names(file_name: str, count: int) -> list[str]:
    if file_name.endswith(".parquet"):
        return [f"{file_name}/part-{n:05d}.parquet" for n in range(count)]
    return [file_name]


def _formats(
    folder: JobFolder, found: Rows, ranges: list[tuple[int, int]], urls: list[str], file_name: str
) -> list[FormatTask]:
    bases = {int(split): int(found.bases[split]) for split in found.bases.nonzero()[0]}
    return [
        FormatTask(
            root=folder.storage.root,
            job=folder.job,
            format=file_name.rpartition(".")[2],
            pieces=tuple(found.pieces(lo, hi)),
            schema=found.schema,
            bases=bases,
            header=lo == 0,
            url=url,
        )
        for (lo, hi), url in zip(ranges, urls, strict=True)
    ]


def _copies(folder: JobFolder, pairs: list[tuple[str, str]]) -> list[CopyTask]:
    starts = range(0, len(pairs), _FILES_PER_COPY)
    return [CopyTask(folder.storage.root, tuple(pairs[n : n + _FILES_PER_COPY])) for n in starts]

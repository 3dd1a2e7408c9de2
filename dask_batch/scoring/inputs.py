"""The files of each mini-batch of a script: checked against the plan, and fetched ahead if they are remote."""

from __future__ import annotations

import os
import posixpath
import shutil
import threading
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Dict, List, Tuple
from urllib.parse import unquote

from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.cell import IDLE, READ, Cell
from dask_batch.scoring.files import is_local, local_path, locate
from dask_batch.scoring.publish import has_no_room, not_written
from dask_batch.scoring.reading import ReadLane
from dask_batch.scoring.records import Verdict, message_of
from dask_batch.scoring.scorer import Place, Request
from dask_batch.scoring.transient import is_transient
from dask_batch.scoring.versions import InputChanged, check_unchanged

__all__ = ["Files", "mini_batches"]

_CONNECTIONS = 8
_ATTEMPTS = 5

Split = Dict[str, Any]


@dataclass
class Files:
    """The files of one mini-batch, on this machine.

    Parameters
    ----------
    mini_batch : int
        Its position in the plan.
    items : list of int
        Which of its items could be read.
    paths : list of str
        Their local absolute paths, parallel to `items`.
    splits : list of dict
        Their splits, parallel to `items`.
    unreadable : list of (int, dict, Exception)
        The other items, each with its split and the reason.
    bytes : int
        Bytes of input, unreadable ones included.
    """

    mini_batch: int
    items: list[int] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    unreadable: list[tuple[int, Split, Exception]] = field(default_factory=list)
    bytes: int = 0

    def add(self, item: int, split: Split, found: str | Exception) -> None:
        """Add an item: its local path, or why it cannot be read."""
        self.bytes += split["bytes"]
        if isinstance(found, Exception):
            self.unreadable.append((item, split, found))
            return
        self.items.append(item)
        self.paths.append(found)
        self.splits.append(split)


def mini_batches(request: Request, place: Place) -> Generator[Files]:
    """Yield the files of each mini-batch of a request; fetched ones are removed when the next is asked for.

    The cell's lane ``"read"`` says READ while the scoring waits for files.

    Raises
    ------
    ChunkFailed
        A store of inputs is away, or there is no room here for what is fetched.
    """
    wanted = [(request.first + n, _chosen(request, splits)) for n, splits in enumerate(request.mini_batches)]
    if all(is_local(split["path"]) for _, chosen in wanted for _, split in chosen):
        return _in_place(wanted, place.cell)
    folder = os.path.join(place.scratch, f"inputs-{request.attempt}")
    return _fetched(wanted, folder, request.settings.prefetch_bytes, place.cell)


_Wanted = List[Tuple[int, List[Tuple[int, Split]]]]


def _chosen(request: Request, splits: list[Split]) -> list[tuple[int, Split]]:
    """Return (item, split) for those items of a mini-batch that the chunk is about."""
    lo, hi = request.items or (0, None)
    return list(enumerate(splits))[lo:hi]


def _in_place(wanted: _Wanted, cell: Cell) -> Generator[Files]:
    for mini_batch, chosen in wanted:
        files = Files(mini_batch)
        for item, split in chosen:
            cell.set("read", READ, mini_batch, split["split"], split["split"] + 1)
            files.add(item, split, _check(split))
        cell.set("read", IDLE)
        yield files


def _check(split: Split) -> str | Exception:
    if "skip" in split:
        return Verdict(split["skip"])
    try:
        check_unchanged(split)
    except (OSError, InputChanged) as error:
        return error
    path: str = split["path"]
    return local_path(path) if "://" in path else path


def _fetched(wanted: _Wanted, folder: str, ahead_bytes: int, cell: Cell) -> Generator[Files]:
    lane = ReadLane(cell, wanted[0][0] if wanted else -1)
    with closing(_Fetcher(wanted, folder, ahead_bytes, lane)) as fetcher:
        for mini_batch, _ in wanted:
            lane.waiting(True)
            files = fetcher.take()
            lane.waiting(False)
            yield files
            shutil.rmtree(os.path.join(folder, str(mini_batch)), ignore_errors=True)


class _Fetcher:
    """A thread that fetches the files of one mini-batch after the other, some bytes ahead of who takes them."""

    def __init__(self, wanted: _Wanted, folder: str, ahead_bytes: int, lane: ReadLane) -> None:
        self._lane = lane
        self._wanted = wanted
        self._folder = folder
        self._ahead_bytes = ahead_bytes
        self._ready: deque[Files | BaseException] = deque()
        self._ready_bytes = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="dask-batch-fetch", daemon=True)
        self._thread.start()

    def take(self) -> Files:
        """Wait for the next mini-batch's files and return them."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready)
            found = self._ready.popleft()
            if isinstance(found, BaseException):
                raise found
            self._ready_bytes -= found.bytes
            self._changed.notify_all()
        return found

    def close(self) -> None:
        """Stop fetching, and remove what was fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        with ThreadPoolExecutor(_CONNECTIONS, "dask-batch-fetch") as pool:
            for mini_batch, chosen in self._wanted:
                if not self._wait_for_room(sum(split["bytes"] for _, split in chosen)):
                    return
                try:
                    found: Files | BaseException = self._fetch(mini_batch, chosen, pool)
                except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
                    found = error
                with self._changed:
                    self._ready.append(found)
                    self._ready_bytes += found.bytes if isinstance(found, Files) else 0
                    self._changed.notify_all()

    def _wait_for_room(self, coming: int) -> bool:
        """Wait until `coming` bytes may be fetched; the next mini-batch always may. False: nobody wants it."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or not self._ready or self._ready_bytes + coming <= self._ahead_bytes
            )
            return not self._closed

    def _fetch(self, mini_batch: int, chosen: list[tuple[int, Split]], pool: ThreadPoolExecutor) -> Files:
        base = os.path.join(self._folder, str(mini_batch))
        targets = [os.path.join(base, str(item)) for item, _ in chosen]
        fetches = [pool.submit(self._fetch_one, split, target) for (_, split), target in zip(chosen, targets)]
        files = Files(mini_batch)
        for (item, split), one in zip(chosen, fetches):
            self._lane.at(mini_batch, split["split"], split["split"] + 1)  # those before it are here
            files.add(item, split, one.result())
        return files

    def _fetch_one(self, split: Split, folder: str) -> str | Exception:
        if is_local(split["path"]) or "skip" in split:
            return _check(split)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return _download(split, folder)
            except Exception as error:
                if has_no_room(error):
                    # That is nothing of the file's: where there is room it can be scored.
                    raise not_written(folder, error) from error
                if isinstance(error, InputChanged) or not is_transient(error):
                    return error
                if attempt == _ATTEMPTS or self._closed:
                    raise ChunkFailed(
                        f"cannot fetch {split['path']}: {message_of(error)}; resume the job when the store is back",
                        stage="read",
                        transient=True,
                    ) from error
            time.sleep(0.1 * 2 ** (attempt - 1))
        raise AssertionError("unreachable")


def _download(split: Split, folder: str) -> str:
    """Copy a remote file into `folder`, under its own name, and return the path."""
    check_unchanged(split)
    fs, path = locate(split["path"])
    os.makedirs(folder, mode=0o700, exist_ok=True)
    name = unquote(posixpath.basename(path.split("?", 1)[0])) if "://" in path else posixpath.basename(path)
    target = os.path.join(folder, name.replace("/", "_") or "file")
    fs.get_file(path, target)
    size = os.stat(target).st_size
    if size != split["size"]:
        raise InputChanged(
            f"{split['path']} changed since the plan: it had {split['size']:,} bytes and has {size:,} now"
        )
    return target

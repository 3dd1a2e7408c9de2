"""The files of a job's input, listed in an order that anybody can repeat.

An input is a file, a folder (with everything below it), or a pattern, local or behind any fsspec URL. What is listed is
a table with a row per file: ``path``, ``size`` in bytes, and ``version``, which changes when the file does.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dask_batch.errors import InputEmpty, InputError, InputMissing
from dask_batch.planning.walking import fixed_part, is_left_out, is_pattern, match_local, scan_folder, walk_local
from dask_batch.scoring.versions import version_of
from dask_batch.storage import is_local, local_path, locate, missing_extra, retry, unreachable

__all__ = ["FILES_SCHEMA", "check_inputs", "list_inputs"]

FILES_SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
    ]
)
_LARGEST_ARRAY = 1 << 30  # bytes of strings that fit into one array for certain
_FLUSH_ROWS = 16_384
_Found = tuple[str, int, str]  # path, size, version


def list_inputs(inputs: Sequence[str]) -> pa.Table:
    """Return the files that `inputs` stand for.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders and patterns, local paths or fsspec URLs. A local path that exists is taken as it is, even with
        ``*`` or ``[`` in its name. Below a folder, and where a wildcard would match them, names that begin with
        ``.`` or ``_`` are left out.

    Returns
    -------
    pyarrow.Table
        Columns as in `FILES_SCHEMA`. The inputs stand in the order given, the files of each sorted by path; a file
        that several of them lead to stands where it came first. `version` is the modification time in ns of a local
        file, and the ETag (or what comes nearest) of a remote one; ``""`` if there is none.

    Raises
    ------
    InputMissing
        An input leads to nothing.
    InputEmpty
        An input exists and holds no file to score.
    InputError
        A folder cannot be read, or a file's name is not UTF-8.
    """
    tables: list[pa.Table] = []
    singles = _Collector()
    for text in inputs:
        single = _single_file(text)
        if single is not None:
            singles.add(*single)
            continue
        tables.append(singles.take())
        tables.append(_list_many(text))
    tables.append(singles.take())
    listed = pa.concat_tables(tables)
    return _without_repeats(listed) if len(inputs) > 1 else listed


def check_inputs(inputs: Sequence[str]) -> None:
    """Make sure that every input leads to at least one file; stops at the first file of each.

    Parameters
    ----------
    inputs : sequence of str
        As for `list_inputs`.

    Raises
    ------
    InputMissing
        An input leads to nothing; the message has near names.
    InputEmpty
        There are no inputs, or one of them holds no file to score.
    InputError
        An input cannot be read.
    """
    if not inputs:
        raise InputEmpty("the job has no input; name a file, a folder or a pattern")
    for text in inputs:
        if (single := _single_file(text)) is not None:
            if is_local(text) and not os.access(single[0], os.R_OK):
                raise InputError(f"input file {single[0]!r} cannot be read: permission denied; allow reading it")
        elif next(_expand(text), None) is None:
            raise _empty(text)


# -- one input ---------------------------------------------------------------------------------------------------------


def _single_file(text: str) -> _Found | None:
    """Return the one file that `text` names, or None if it is a folder or a pattern."""
    if not is_local(text):
        return _single_remote(text)
    path = local_path(text)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if is_pattern(path):
            return None
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        raise InputError(f"input {path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"input {path!r} is neither a file nor a folder; copy its content into a file")
    return path, status.st_size, str(status.st_mtime_ns)


def _single_remote(url: str) -> _Found | None:
    fs, path = _locate(url)
    try:
        info = retry(lambda: fs.info(path))
    except FileNotFoundError:
        if is_pattern(path):
            return None
        raise _missing(url) from None
    except Exception as error:
        raise InputError(f"input {unreachable(url, error)}") from error
    if info["type"] != "file":
        return None
    return fs.unstrip_protocol(path), int(info["size"] or 0), version_of(info)


def _list_many(text: str) -> pa.Table:
    found = _Collector()
    for path, size, version in _expand(text):
        found.add(path, size, version)
    table = _by_path(found.take())
    if not table.num_rows:
        raise _empty(text)
    ordered = table.column("path")
    repeats = pc.any(pc.equal(ordered.slice(1), ordered.slice(0, len(ordered) - 1))).as_py()
    return _without_repeats(table) if repeats else table


def _expand(text: str) -> Iterator[_Found]:
    """Yield the files of a folder or pattern, in no particular order."""
    if not is_local(text):
        yield from _expand_remote(text)
        return
    path = local_path(text)
    roots: Iterable[str] = [path] if os.path.lexists(path) else match_local(path)
    for root in roots:
        if os.path.isdir(root):
            yield from ((found, status.st_size, str(status.st_mtime_ns)) for found, status in walk_local(root))
        elif (single := _single_file(root)) is not None:
            yield single


def _expand_remote(url: str) -> Iterator[_Found]:
    fs, path = _locate(url)
    try:
        if is_pattern(path) and not retry(lambda: fs.exists(path)):
            base = fixed_part(path)
            matched: dict[str, Any] = retry(lambda: fs.glob(path, detail=True))
            found = _remote_files(fs, matched)
        else:
            base = path
            found = retry(lambda: fs.find(path, detail=True))
    except FileNotFoundError:
        raise _missing(url) from None
    except Exception as error:
        raise InputError(f"input {unreachable(url, error)}") from error
    for name, info in found.items():
        parts = name[len(base.rstrip("/")) :].strip("/").split("/")
        if info["type"] == "file" and not name.endswith("/") and not any(map(is_left_out, parts)):
            yield fs.unstrip_protocol(name), int(info["size"] or 0), version_of(info)


def _remote_files(fs: Any, matched: dict[str, Any]) -> dict[str, Any]:
    """Replace the folders that a pattern matched by the files below them."""
    files = {name: info for name, info in matched.items() if info["type"] == "file"}
    for name, info in matched.items():
        if info["type"] == "directory":
            files |= retry(lambda name=name: fs.find(name, detail=True))  # type: ignore[misc]
    return files


def _locate(url: str) -> tuple[Any, str]:
    try:
        fs, path = locate(url)
    except ImportError as error:
        raise missing_extra(url, error) from error
    except ValueError as error:
        raise InputError(f"input {url!r} cannot be used: {error}") from error
    # Listings of an earlier job must not hide what changed since.
    fs.invalidate_cache()
    return fs, path


# -- errors ------------------------------------------------------------------------------------------------------------


def _missing(path: str) -> InputMissing:
    near = _near(path)
    hint = f"did you mean {', '.join(map(repr, near))}? " if near else ""
    return InputMissing(f"input {path!r} does not exist; {hint}name a file, a folder or a pattern that does")


def _near(path: str) -> list[str]:
    """Return up to three names in the parent folder that look like the one that is missing."""
    parent, name = posixpath.split(path.rstrip("/"))
    try:
        if is_local(path):
            names = [entry.name for entry, _ in zip(scan_folder(parent), range(10_000), strict=False)]
        else:
            fs, where = locate(parent)
            names = [posixpath.basename(found.rstrip("/")) for found in fs.ls(where, detail=False)[:10_000]]
    except Exception:  # noqa: BLE001 - only a hint is lost
        return []
    return [posixpath.join(parent, found) for found in difflib.get_close_matches(name, names, n=3)]


def _empty(text: str) -> InputError:
    if is_pattern(text) and not (is_local(text) and os.path.lexists(local_path(text))):
        return InputMissing(
            f"no file matches the input {text!r}; wildcards do not match names that begin with '.' or '_'"
        )
    return InputEmpty(
        f"input {text!r} holds no file to score; files and folders whose names begin with '.' or '_' are left out, "
        "so name them one by one if they are meant"
    )


# -- tables ------------------------------------------------------------------------------------------------------------


class _Collector:
    """Rows on their way into a table, kept as Python objects for a short while only."""

    def __init__(self) -> None:
        self._chunks: list[pa.RecordBatch] = []
        self._start_over()

    def _start_over(self) -> None:
        self._paths: list[str] = []
        self._sizes: list[int] = []
        self._versions: list[str] = []

    def add(self, path: str, size: int, version: str) -> None:
        self._paths.append(path)
        self._sizes.append(size)
        self._versions.append(version)
        if len(self._paths) == _FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        try:
            paths = pa.array(self._paths, pa.string())
        except UnicodeEncodeError:
            wrong = next(path for path in self._paths if not _is_utf8(path))
            raise InputError(f"the name of input file {wrong!r} is not valid UTF-8; rename the file") from None
        arrays = [paths, pa.array(self._sizes, pa.int64()), pa.array(self._versions, pa.string())]
        self._chunks.append(pa.record_batch(arrays, schema=FILES_SCHEMA))
        self._start_over()

    def take(self) -> pa.Table:
        """Return what was added since the last call."""
        self._flush()
        table = pa.Table.from_batches(self._chunks, FILES_SCHEMA)
        self._chunks = []
        return table


def _by_path(table: pa.Table) -> pa.Table:
    """Return the files sorted by path. Of many files, copies are what costs memory: few are there at a time."""
    pool = pa.default_memory_pool()  # keeps what was freed, unless it is told not to
    order = pc.sort_indices(table.column("path"))
    columns = table.columns
    del table
    ordered = []
    while columns:
        pool.release_unused()
        column = columns.pop(0)
        if column.nbytes <= _LARGEST_ARRAY:  # taken from several chunks, it would be copied once more
            column = column.combine_chunks()
            pool.release_unused()
        ordered.append(column.take(order))
        del column
    return pa.table(ordered, schema=FILES_SCHEMA)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_repeats(files: pa.Table) -> pa.Table:
    """Return `files` with each path only where it stands first."""
    paths = files.column("path")
    if pc.count_distinct(paths).as_py() == files.num_rows:
        return files
    codes = paths.combine_chunks().dictionary_encode()
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    _, first = np.unique(codes.indices.to_numpy(), return_index=True)
    return files.take(pa.array(np.sort(first)))

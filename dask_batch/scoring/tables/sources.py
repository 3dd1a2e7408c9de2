"""The bytes of a split: opened, compared with the plan, decompressed."""

from __future__ import annotations

import contextlib
import lzma
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa

from dask_batch.scoring.files import is_local, local_path, locate
from dask_batch.scoring.tables.faults import Unreadable
from dask_batch.scoring.versions import version_of

__all__ = ["LargerThan", "looks_like", "open_split", "read_small", "read_whole", "text_reader"]

_READ_BYTES = 8 << 20
_AGAIN = "Invoke the endpoint again to score the new version."

_ARROW_CODECS = {"gz": "gzip", "bz2": "bz2", "zst": "zstd"}
_MAGIC = {
    b"PAR1": "a parquet file",
    b"ARROW1": "an Arrow file",
    b"FEA1": "a Feather file",
    b"\x1f\x8b": "gzip-compressed",
    b"BZh": "bzip2-compressed",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"\xfd7zXZ\x00": "xz-compressed",
    b"PK\x03\x04": "a zip or Excel file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF file",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def looks_like(head: bytes) -> str | None:
    """Return what a file is by its first bytes, if they tell.

    Examples
    --------
    >>> looks_like(b"PAR1xyz"), looks_like(b"a,b")
    ('a parquet file', None)
    """
    return next((what for magic, what in _MAGIC.items() if head.startswith(magic)), None)


@contextlib.contextmanager
def open_split(split: dict[str, Any]) -> Iterator[BinaryIO]:
    """Open the file of a split for reading, once it is known to be the one that was planned.

    Raises
    ------
    Unreadable
        It is gone, may not be read, or has changed since the job was planned.
    """
    url = split["path"]
    try:
        file = _open_local(url, split) if is_local(url) else _open_remote(url, split)
    except FileNotFoundError:
        raise Unreadable(
            "it is not there any more: it was deleted after the job was planned.", "Put it back, or leave it out."
        ) from None
    except PermissionError as error:
        raise Unreadable(f"it may not be read ({error.strerror or error}).", "Check its permissions.") from None
    with file:
        yield file


class LargerThan(Exception):
    """A file is larger, once it is decompressed, than its reader wants to hold."""


def read_small(split: dict[str, Any], most: int | None = None) -> bytes:
    """Return the whole content of a split's file, decompressed; raises LargerThan once there are over `most` bytes."""
    with open_split(split) as file:
        return read_whole(text_reader(file, split), most)


def read_whole(read: Callable[[int], bytes], most: int | None = None) -> bytes:
    """Return all that ``read(n)`` has; raises LargerThan once there are over `most` bytes."""
    parts: list[bytes] = []
    size = 0
    while data := read(_READ_BYTES):
        parts.append(data)
        size += len(data)
        if most is not None and size > most:
            raise LargerThan
    return parts[0] if len(parts) == 1 else b"".join(parts)


def text_reader(file: BinaryIO, split: dict[str, Any]) -> Callable[[int], bytes]:
    """Return ``read(n)`` for the text of a split: decompressed, or its range of bytes. It returns b"" at the end only.

    What it raises for corrupt compressed data is Unreadable.
    """
    compression = split["format"].partition(".")[2]
    if compression:
        return _full_reads(_decompressed(file, compression))
    if split["cut"] != "bytes":
        return _full_reads(file.read)
    file.seek(split["start"])
    left = split["stop"] - split["start"]

    def read(n: int) -> bytes:
        nonlocal left
        data = file.read(min(n, left)) if left else b""
        left -= len(data)
        return data

    return _full_reads(read)


def _open_local(url: str, split: dict[str, Any]) -> BinaryIO:
    file = open(local_path(url), "rb", buffering=0)  # noqa: SIM115 - returned open
    try:
        status = os.fstat(file.fileno())
        _compare(split, status.st_size, str(status.st_mtime_ns))
    except BaseException:
        file.close()
        raise
    return cast("BinaryIO", file)


def _open_remote(url: str, split: dict[str, Any]) -> BinaryIO:
    fs, path = locate(url)
    fs.invalidate_cache(fs._parent(path))  # a cached listing would show the file as it was
    info = fs.info(path)
    _compare(split, info.get("size"), version_of(info))
    return cast("BinaryIO", fs.open(path, "rb"))


def _compare(split: dict[str, Any], size: int | None, version: str) -> None:
    if size is not None and size != split["size"]:
        raise Unreadable(
            f"it changed since the job was planned: it had {split['size']:,} bytes, now {size:,}.",
            _AGAIN,
        )
    if split.get("version") and version and version != split["version"]:
        raise Unreadable(
            "it was written again since the job was planned (same size, other modification time or etag).",
            _AGAIN,
        )


def _full_reads(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Raw files and decompressors return less than was asked for; make it all, or the end."""

    def full(n: int) -> bytes:
        data = read(n)
        if not data or len(data) == n:
            return data
        parts = [data]
        missing = n - len(data)
        while missing and (data := read(missing)):
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    return full


def _decompressed(file: BinaryIO, compression: str) -> Callable[[int], bytes]:
    if compression == "xz":
        stream: Any = lzma.LZMAFile(file)  # noqa: SIM115 - `file` is closed by its owner
    elif compression in _ARROW_CODECS:
        stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), _ARROW_CODECS[compression])
    else:
        raise Unreadable(f"its compression {compression!r} is none of gz, bz2, zst, xz.")

    def read(n: int) -> bytes:
        try:
            return cast("bytes", stream.read(n))
        except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
            raise Unreadable(f"its {compression} compression is truncated or corrupt: {error}.") from error

    return read

"""What a file holds, told by its name alone: formats and compressions.

The name of a format is ``csv``, ``tsv``, ``jsonl``, ``json``, ``parquet``, ``arrow``, ``image`` or ``unknown``; a
compressed text file has its compression after a dot, as in ``csv.gz``.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "COMPRESSIONS",
    "compression_of",
    "format_of",
    "formats_of",
    "is_splittable",
    "is_table",
    "is_text",
    "plain_format",
]

COMPRESSIONS = ("gz", "bz2", "zst", "xz")
_TEXT = {"csv": "csv", "tsv": "tsv", "tab": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "json": "json"}
_BINARY = {
    "parquet": "parquet",
    "pqt": "parquet",
    "pq": "parquet",
    "arrow": "arrow",
    "feather": "arrow",
    "ipc": "arrow",
    "png": "image",
    "jpg": "image",
    "jpeg": "image",
    "tif": "image",
    "tiff": "image",
    "bmp": "image",
    "gif": "image",
    "webp": "image",
}
_TEXTS, _PACKED, _BINARIES = "|".join(_TEXT), "|".join(COMPRESSIONS), "|".join(_BINARY)
# A compressed binary file is none of ours. Arrow's regular expressions want a name for what they extract.
_ENDING = re.compile(rf"\.(?:({_TEXTS})(?:\.({_PACKED}))?|({_BINARIES}))\Z", re.IGNORECASE)
_ENDING_RE2 = rf"(?i)(?P<ending>\.(?:(?:{_TEXTS})(?:\.(?:{_PACKED}))?|(?:{_BINARIES})))$"


def format_of(path: str) -> str:
    """Return the format that the ending of `path` stands for, whatever its case.

    Examples
    --------
    >>> format_of("s3://b/x.CSV"), format_of("a/b.ndjson.gz"), format_of("x.jpeg"), format_of("README")
    ('csv', 'jsonl.gz', 'image', 'unknown')
    """
    found = _ENDING.search(posixpath.basename(path))
    if not found:
        return "unknown"
    text, compression, binary = found.groups()
    if binary:
        return _BINARY[binary.lower()]
    return _TEXT[text.lower()] + (f".{compression.lower()}" if compression else "")


def formats_of(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the formats of many paths, as `format_of` tells them; takes a second per few million paths."""
    endings = pc.struct_field(pc.extract_regex(paths, _ENDING_RE2), "ending").dictionary_encode()
    if isinstance(endings, pa.Array):
        endings = pa.chunked_array([endings])
    return pa.chunked_array([_decode(chunk) for chunk in endings.chunks], pa.string())


def _decode(endings: Any) -> pa.Array:
    names = [format_of(ending) for ending in endings.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(endings.indices).fill_null("unknown")


def plain_format(name: str) -> str:
    """Return a format without its compression.

    Examples
    --------
    >>> plain_format("csv.gz"), plain_format("parquet")
    ('csv', 'parquet')
    """
    return name.partition(".")[0]


def compression_of(name: str) -> str | None:
    """Return the compression in a format's name, or None.

    Examples
    --------
    >>> compression_of("csv.gz"), compression_of("csv")
    ('gz', None)
    """
    return name.partition(".")[2] or None


def is_text(name: str) -> bool:
    """Return whether files of this format are text, so that their types are inferred and not carried.

    Examples
    --------
    >>> is_text("jsonl.zst"), is_text("parquet")
    (True, False)
    """
    return plain_format(name) in {"csv", "tsv", "jsonl", "json"}


def is_table(name: str) -> bool:
    """Return whether files of this format can be read as tables.

    Examples
    --------
    >>> is_table("tsv"), is_table("image"), is_table("unknown")
    (True, False, False)
    """
    return is_text(name) or name in {"parquet", "arrow"}


def is_splittable(name: str) -> bool:
    """Return whether one file of this format can be read in pieces by several processes.

    Examples
    --------
    >>> is_splittable("csv"), is_splittable("csv.gz"), is_splittable("parquet"), is_splittable("json")
    (True, False, True, False)
    """
    return name in {"csv", "tsv", "jsonl", "parquet"}

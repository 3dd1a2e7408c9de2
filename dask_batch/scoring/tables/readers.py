"""Reading the splits of a mini-batch: blocks of rows, and files that are lost, in input order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Dict, Union

import pyarrow as pa

from dask_batch.scoring.attempts import ChunkFailed
from dask_batch.scoring.files import is_local
from dask_batch.scoring.tables.blocks import Block, Lost, Span
from dask_batch.scoring.tables.casting import cast_table
from dask_batch.scoring.tables.columnar import arrow_tables, parquet_tables
from dask_batch.scoring.tables.columns import Chosen, Wanted
from dask_batch.scoring.tables.csv_text import Header, check_text, parse_rows, split_header
from dask_batch.scoring.tables.faults import RowFault, Unreadable, is_hiccup
from dask_batch.scoring.tables.json_text import parse_document, parse_lines
from dask_batch.scoring.tables.records import record_pieces
from dask_batch.scoring.tables.sources import LargerThan, open_split, read_small, read_whole, text_reader

if TYPE_CHECKING:
    _At = Callable[[int, int], None]

__all__ = ["FORMATS", "read_splits"]

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet", "arrow")
"""The formats that tables can be read from, without compressions."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_BOM = b"\xef\xbb\xbf"
_SMALL = 1 << 20
_GROUP_BYTES = 16 << 20
_WHOLE_BYTES = 64 << 20
_PIECE_BYTES = 8 << 20
_REMOTE_THREADS = 16

Piece = Union[Block, Lost]
_Split = Dict[str, Any]


def read_splits(
    splits: Iterable[_Split], wanted: Wanted, batch_rows: int, at: _At = lambda lo, hi: None
) -> Iterator[Piece]:
    """Yield the rows of splits in order.

    A file of up to 64 MiB of text gives all of its rows or none; larger ones come in pieces. Small neighbours of one
    format are parsed together: parsing is so fast that what each call costs would be most of the time.

    Parameters
    ----------
    splits : iterable of dict
        As the plan describes them.
    wanted : Wanted
        Which columns to read.
    batch_rows : int
        About how many rows a block of a large columnar file has.
    at : callable
        Called with lo and hi when splits lo to hi - 1, by their numbers in the plan, are to be read next.

    Raises
    ------
    ChunkFailed
        The storage has a hiccup: the whole chunk should be tried again.
    """
    for (together, kind), members in itertools.groupby(splits, key=_kinship):
        if together:
            for group in _groups(members):
                yield from _read_group(group, kind, wanted, batch_rows, at)
        else:
            for split in members:
                at(*_range([split]))
                yield from _guarded(split, lambda split=split: _read_alone(split, wanted, batch_rows))  # type: ignore[misc]


def _range(splits: list[_Split]) -> tuple[int, int]:
    return splits[0]["split"], splits[-1]["split"] + 1


def _kinship(split: _Split) -> tuple[bool, str]:
    plain = split["format"].partition(".")[0]
    small = split["cut"] == "whole" and split["size"] <= _SMALL
    return small and plain in ("csv", "tsv", "jsonl"), plain


def _groups(splits: Iterable[_Split]) -> Iterator[list[_Split]]:
    group: list[_Split] = []
    size = 0
    for split in splits:
        group.append(split)
        size += split["size"] * (4 if "." in split["format"] else 1)
        if size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _guarded(split: _Split, read: Callable[[], Iterator[Piece]]) -> Iterator[Piece]:
    """Turn what goes wrong with a file into `Lost`, and what goes wrong with the storage into ChunkFailed."""
    after = 0
    try:
        for piece in read():
            yield piece
            after += len(piece) if isinstance(piece, Block) else 0
    except Exception as error:  # noqa: BLE001 - a file can make any parser raise anything
        yield _lost(split, after, error)


def _lost(split: _Split, after: int, error: Exception) -> Lost:
    if is_hiccup(error):
        raise ChunkFailed(f"reading {split['path']!r} failed: {error}", stage="read", transient=True) from error
    return Lost(split, after, error)


# -- small files together ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """A small file of text.

    Parameters
    ----------
    split : dict
        The split that it is.
    header : Header
        Its header (empty for jsonl).
    body : bytes
        What follows.
    rows : int, optional
        The rows in it, if that is plain to see: no quotes, no lone carriage returns. Blank lines would count.
    """

    split: _Split
    header: Header
    body: bytes
    rows: int | None


_NO_HEADER = Header(b"", ())


def _read_group(group: list[_Split], kind: str, wanted: Wanted, batch_rows: int, at: _At) -> Iterator[Piece]:
    parts: list[_Part] = []
    held = 0
    header = _NO_HEADER
    for split, content in zip(group, _contents(group, at)):
        try:
            part = _part(split, content, kind, header)
        except LargerThan:
            yield from _read_parts(parts, kind, wanted)
            parts = []
            yield from _guarded(split, lambda split=split: _read_alone(split, wanted, batch_rows))  # type: ignore[misc]
            continue
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is this file's own
            yield from _read_parts(parts, kind, wanted)
            parts = []
            yield _lost(split, 0, error)
            continue
        if part.header is not header or part.rows is None:
            yield from _read_parts(parts, kind, wanted)
            parts = []
        header = part.header
        parts.append(part)
        held = len(part.body) + (held if len(parts) > 1 else 0)
        if part.rows is None or held >= _GROUP_BYTES:
            yield from _read_parts(parts, kind, wanted)
            parts = []
    yield from _read_parts(parts, kind, wanted)


def _contents(group: list[_Split], at: _At) -> Iterator[bytes | Exception]:
    if len(group) == 1 or is_local(group[0]["path"]):
        for split in group:
            at(*_range([split]))
            yield _content(split)
        return
    # What compressed files unpack to is not known before, so few of them are held at a time.
    step = _REMOTE_THREADS if any("." in split["format"] for split in group) else len(group)
    with ThreadPoolExecutor(_REMOTE_THREADS) as pool:  # each costs round trips, in which others can go on
        for lo in range(0, len(group), step):
            fetched = [(split, pool.submit(_content, split)) for split in group[lo : lo + step]]
            contents = []
            for split, content in fetched:
                at(*_range([split]))  # the one that is waited for: those before it are here
                contents.append(content.result())
            yield from contents


def _content(split: _Split) -> bytes | Exception:
    try:
        return read_small(split, _GROUP_BYTES)
    except Exception as error:  # noqa: BLE001 - raised again where the file's turn comes
        return error


def _part(split: _Split, content: bytes | Exception, kind: str, header: Header) -> _Part:
    if isinstance(content, Exception):
        raise content
    check_text(content)
    start = 0
    if kind == "jsonl":
        _not_empty(content)
        start = len(_BOM) if content.startswith(_BOM) else 0
    elif header.raw.endswith(b"\n") and content.startswith(header.raw):
        start = len(header.raw)
    else:
        header, start = split_header(content, _DELIMITERS[kind])
    rows: int | None = None
    if kind == "jsonl" or content.find(b'"', start) < 0:  # quotes in the header do not matter
        lone_returns = b"\r" in content and content.count(b"\r") != content.count(b"\r\n")
        rows = None if lone_returns else content.count(b"\n", start)
        if rows is not None and len(content) > start and not content.endswith(b"\n"):
            rows += 1
    return _Part(split, header, content[start:], rows)


def _not_empty(content: bytes) -> None:
    if not content[:256].strip() and not content.strip():
        raise Unreadable("it is empty.")


def _ended(body: bytes) -> bytes:
    return body if body.endswith(b"\n") or not body else body + b"\n"


def _read_parts(parts: list[_Part], kind: str, wanted: Wanted) -> Iterator[Piece]:
    """Read files of one header together; one by one where their rows do not add up, or one of them is unreadable."""
    if not parts:
        return
    if len(parts) > 1:
        body = b"".join(_ended(part.body) for part in parts)
        try:
            table, faults, chosen = _parse(body, parts[0].header, kind, wanted)
        except Exception:  # noqa: BLE001 - which file it is shows when each is read alone
            pass
        else:
            spans = [Span(part.split, 0, part.rows or 0) for part in parts]
            if table.num_rows + len(faults) == sum(span.rows for span in spans):
                yield Block(table, spans, faults, chosen.model, chosen.carried)
                return
    for part in parts:
        try:
            table, faults, chosen = _parse(part.body, part.header, kind, wanted)
        except Exception as error:  # noqa: BLE001
            yield _lost(part.split, 0, error)
        else:
            yield _block(part.split, 0, table, faults, chosen)


def _parse(body: bytes, header: Header, kind: str, wanted: Wanted) -> tuple[pa.Table, list[RowFault], Chosen]:
    if kind == "jsonl":
        return parse_lines(body, wanted)
    chosen = wanted.choose(list(header.names))
    return *parse_rows(body, header, chosen, _DELIMITERS[kind]), chosen


def _block(split: _Split, first: int, table: pa.Table, faults: list[RowFault], chosen: Chosen) -> Block:
    rows = table.num_rows + len(faults)
    return Block(table, [Span(split, first, rows)], faults, chosen.model, chosen.carried)


# -- one file ------------------------------------------------------------------------------------------------------


def _read_alone(split: _Split, wanted: Wanted, batch_rows: int) -> Iterator[Piece]:
    kind = split["format"].partition(".")[0]
    if kind not in FORMATS:
        raise Unreadable(_unsupported(split))
    with open_split(split) as file:
        if split["size"] == 0:
            raise Unreadable("it is empty.")
        if kind in ("parquet", "arrow"):
            yield from _columnar(split, file, kind, wanted, batch_rows)
            return
        read = text_reader(file, split)
        if kind == "json":
            document = _document(split, read)
            check_text(document)
            _not_empty(document)
            yield _block(split, 0, *parse_document(document, wanted))
            return
        header = _NO_HEADER
        if split["cut"] == "bytes" and split["start"] > 0 and kind != "jsonl":
            header = _header_of(split, kind)
        yield from _text(split, read, header, kind, wanted)


def _document(split: _Split, read: Callable[[int], bytes]) -> bytes:
    """Return a text that is held whole; ``most_bytes`` of its split is what a slot has for it."""
    most: int | None = split.get("most_bytes")
    try:
        return read_whole(read, most)
    except LargerThan:
        raise Unreadable(
            f"it is held whole while it is read, and unpacks to more than the {(most or 0) >> 20} MiB that a slot has.",
            "Write it as .jsonl or .parquet, or give the compute fewer slots.",
        ) from None


def _text(split: _Split, read: Callable[[int], bytes], header: Header, kind: str, wanted: Wanted) -> Iterator[Block]:
    """Yield a text as one block, or in blocks of some MiB if it is larger than what is read whole."""
    known = split["stop"] - split["start"] if split["cut"] == "bytes" else split["size"]
    head = b"" if known > _WHOLE_BYTES else read(_WHOLE_BYTES)
    delimiter = _DELIMITERS.get(kind)
    whole = 0 < len(head) < _WHOLE_BYTES
    pieces = iter([head]) if whole else _cut(head, read, delimiter)
    first = 0
    empty = True
    for piece in pieces:
        check_text(piece) if empty else _check_zeros(piece)
        start = 0
        if empty and not header.names and delimiter:
            header, start = split_header(piece, delimiter)
        elif empty and not split["start"]:
            _not_empty(piece)
        empty = False
        block = _block(split, first, *_parse(piece[start:], header, kind, wanted))
        first += len(block)
        yield block
    if empty:
        raise Unreadable("it is empty.")


def _cut(head: bytes, read: Callable[[int], bytes], delimiter: str | None) -> Iterator[bytes]:
    """Yield what was read already, then the rest, in pieces of whole records."""
    start = 0

    def again(n: int) -> bytes:
        nonlocal start
        if start < len(head):
            start += n
            return head[start - n : start]
        return read(n)

    return record_pieces(again, _PIECE_BYTES, delimiter)


def _check_zeros(piece: bytes) -> None:
    if b"\0" in piece:
        raise Unreadable("it is no text from here on: it contains bytes of value 0.")


def _header_of(split: _Split, kind: str) -> Header:
    """Return the header from the start of the file that a range of bytes belongs to."""
    with open_split(split) as file:
        head = text_reader(file, {**split, "cut": "whole"})(min(split["start"], 1 << 20))
    check_text(head)
    return split_header(head, _DELIMITERS[kind])[0]


def _columnar(split: _Split, file: Any, kind: str, wanted: Wanted, batch_rows: int) -> Iterator[Block]:
    if kind == "parquet":
        chosen, tables = parquet_tables(file, split, wanted, batch_rows)
    else:
        chosen, tables = arrow_tables(file, wanted)
    first = 0
    for table in tables:
        cast, faults = cast_table(table, chosen)
        block = _block(split, first, chosen.complete(cast), faults, chosen)
        first += len(block)
        yield block


def _unsupported(split: _Split) -> str:
    return (
        f"its format ({split['format']}) cannot be read as a table. Formats: {', '.join(FORMATS)}; "
        "text ones also as .gz, .bz2, .zst or .xz."
    )

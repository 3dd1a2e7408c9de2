"""Where records of text end: streams of text are cut there into pieces that can be parsed on their own.

Quotes count as pyarrow's csv reader counts them: a field is quoted only if its first character is a quote; inside,
``""`` is a quote; in an unquoted field, as in ``5" pipe``, a quote is nothing special. So an even run of quotes changes
nothing; an odd run ends a quoted field, and outside it starts one if a delimiter or a line end stands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from dask_batch.scoring.tables.faults import Unreadable

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ends_quoted", "last_record_end", "record_pieces"]

_LONGEST_RECORD = 256 << 20
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D


def record_pieces(read: Callable[[int], bytes], piece_bytes: int, delimiter: str | None) -> Iterator[bytes]:
    """Yield a text in pieces of about `piece_bytes`, each of whole records.

    Parameters
    ----------
    read : callable
        Returns the next n bytes; b"" at the end.
    piece_bytes : int
        How much to read at a time.
    delimiter : str, optional
        The character between fields; None: nothing is quoted, each newline ends a record (jsonl).

    Examples
    --------
    >>> import io
    >>> list(record_pieces(io.BytesIO(b'1,2\\n3,"x\\ny"\\n5,6').read, 8, ","))
    [b'1,2\\n', b'3,"x\\ny"\\n', b'5,6']
    """
    rest = b""
    while data := read(piece_bytes):
        if delimiter is None or not (b'"' in data or b'"' in rest):
            end = _last_line_end(data, delimiter)  # plain: looked for, and copied, only once
        else:
            rest, data = b"", rest + data
            end = last_record_end(data, delimiter)
        if end:
            yield b"".join((rest, memoryview(data)[:end]))
            rest = data[end:]
        else:
            rest += data
        if len(rest) > _LONGEST_RECORD:
            raise Unreadable(
                f"a record in it is longer than {_LONGEST_RECORD >> 20} MiB; is a quote opened and never closed?"
            )
    if rest:
        yield rest


def last_record_end(data: bytes, delimiter: str | None) -> int:
    """Return the offset after the last line end that ends a record; 0 if there is none. `data` begins with a record.

    Carriage returns alone end records too, but are looked at only where there are no newlines.

    Examples
    --------
    >>> last_record_end(b'1,2\\n"a\\nb', ","), last_record_end(b'5" pipe\\n1', ",")
    (4, 8)
    """
    if delimiter is None or b'"' not in data:
        return _last_line_end(data, delimiter)
    octets = np.frombuffer(data, np.uint8)
    where, states = _quoting(octets, ord(delimiter))
    for ends in (octets == _LF, octets[:-1] == _CR):
        line_ends = np.flatnonzero(ends)
        outside = line_ends[~states[np.searchsorted(where, line_ends)]]
        if len(outside):
            return int(outside[-1]) + 1
    return 0


def _last_line_end(data: bytes, delimiter: str | None) -> int:
    """Return the offset after the last line end; jsonl knows newlines only."""
    if (newline := data.rfind(b"\n")) >= 0 or delimiter is None:
        return newline + 1
    return data.rfind(b"\r", 0, len(data) - 1) + 1  # a last carriage return may be the first half of a line end


def ends_quoted(data: bytes, delimiter: str) -> bool:
    """Return whether `data`, which begins with a record, ends inside quotes.

    Examples
    --------
    >>> ends_quoted(b'1,"a', ","), ends_quoted(b'1,"a"', ","), ends_quoted(b'5"', ",")
    (True, False, False)
    """
    if b'"' not in data:
        return False
    _, states = _quoting(np.frombuffer(data, np.uint8), ord(delimiter))
    return bool(states[-1])


def _quoting(octets: npt.NDArray[np.uint8], delimiter: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return where odd runs of quotes begin, and whether the text is inside quotes before the first, the second, …

    A run that could start a quoted field turns inside into outside and outside into inside; any other ends up
    outside. So the state is the parity of the former since the last of the latter.
    """
    quotes = np.flatnonzero(octets == _QUOTE)
    new = np.concatenate([[True], np.diff(quotes) > 1])
    begins = quotes[new]
    lengths = np.diff(np.concatenate([np.flatnonzero(new), [len(quotes)]]))
    begins = begins[lengths % 2 == 1]
    previous = np.where(begins > 0, octets[begins - 1], _LF)
    toggles = (previous == delimiter) | (previous == _LF) | (previous == _CR)
    count = np.concatenate([[0], np.cumsum(toggles)])
    base = np.concatenate([[0], np.where(toggles, 0, count[1:])])
    states: npt.NDArray[np.bool_] = (count - np.maximum.accumulate(base)) % 2 == 1
    return begins, states

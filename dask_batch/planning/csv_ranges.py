"""Where a large text file can be cut between records.

A newline inside a quoted field ends no record, and whether a byte is inside quotes depends on everything before it. So
each range of the file is scanned on its own, under both assumptions (its first byte is outside quotes, or inside), and
one fold over the results settles which held. Scans can run anywhere and in any order.

Quotes count as the readers count them (pandas' C parser and pyarrow alike): a field is quoted only if its first
character is a quote; inside, ``""`` is a quote; in an unquoted field, as in ``5" pipe``, a quote is nothing special.
What follows from that for a run of quotes: an even run changes nothing; an odd run ends a quoted field, and outside
it starts one if a delimiter or a line end stands before it, and does nothing otherwise.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_batch.scoring.files import is_local, local_path, locate

__all__ = ["RangeScan", "cut_points", "fold", "open_ranges", "scan_bytes", "scan_range"]

_BLOCK = 4 << 20
_QUOTE, _LF, _CR = 0x22, 0x0A, 0x0D
_BOM = b"\xef\xbb\xbf"
_Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class RangeScan:
    """What one range of a file holds, under both assumptions; index 0: it begins outside quotes, 1: inside.

    Parameters
    ----------
    start, stop : int
        The range, in bytes.
    quoted_after : tuple of bool
        Whether the byte after the range is inside quotes.
    first_cut : tuple of (int or None)
        The first byte after the first end of a record in the range, as an offset in the file; None if no record
        ends in it.
    """

    start: int
    stop: int
    quoted_after: tuple[bool, bool]
    first_cut: tuple[int | None, int | None]


def cut_points(size: int, range_bytes: int) -> list[tuple[int, int]]:
    """Return the ranges of `range_bytes` that a file of `size` bytes is scanned in; a short rest joins the last.

    Examples
    --------
    >>> cut_points(10, 4)
    [(0, 4), (4, 10)]
    """
    count = max(1, size // range_bytes)
    starts = [n * range_bytes for n in range(count)]
    return list(zip(starts, [*starts[1:], size], strict=True))


def fold(scans: Iterable[RangeScan]) -> list[int]:
    """Return where the records of each range after the first begin, as ascending offsets.

    Parameters
    ----------
    scans : iterable of RangeScan
        The scans of a whole file, in order.

    Returns
    -------
    list of int
        At most one offset per range after the first; cutting the file at these offsets cuts it between records.

    Examples
    --------
    >>> scans = [scan_bytes(b'a,b\\n1,"x\\n', 0, 9), scan_bytes(b'y",2\\n3,4\\n', 9, 18)]
    >>> fold(scans)
    [14]
    """
    quoted = False
    cuts: list[int] = []
    size = 0
    for n, scan in enumerate(scans):
        cut = scan.first_cut[quoted]
        if n and cut is not None:
            cuts.append(cut)
        quoted = scan.quoted_after[quoted]
        size = scan.stop
    return [cut for cut in cuts if cut < size]


def scan_range(url: str, start: int, stop: int, *, delimiter: str = ",", quoting: bool = True) -> RangeScan:
    """Scan one range of a file; reads it once, in blocks of 4 MiB.

    Parameters
    ----------
    url : str
        A local path or fsspec URL of an uncompressed text file.
    start, stop : int
        The range, in bytes.
    delimiter : str
        The character between fields.
    quoting : bool
        False for formats in which every newline ends a record (jsonl): then only the first newline is looked for.
    """
    with open_ranges(url) as read:
        if not quoting:
            return _scan_lines(read, start, stop)
        parts = _scan_blocks(read, start, stop, delimiter)
        return functools.reduce(_join, parts)


def scan_bytes(data: bytes, start: int, stop: int, *, before: bytes = b"\n", delimiter: str = ",") -> RangeScan:
    """Scan `data`, the bytes of range [start, stop) and maybe the rest of a run of quotes that begins in it.

    Parameters
    ----------
    data : bytes
        What stands from `start` on.
    start, stop : int
        The range, in bytes of the file.
    before : bytes
        The byte that stands before `start`; the start of the file counts as a line end.
    delimiter : str
        The character between fields.
    """
    skipped = 0
    if before == b'"':
        # These quotes continue a run that began in the range before, which has counted them.
        skipped = len(data) - len(data.lstrip(b'"'))
    elif start == 0 and data.startswith(_BOM):
        skipped, before = len(_BOM), b"\n"
    if data.find(b'"', skipped) < 0:
        newline = data.find(b"\n", skipped, stop - start)
        return RangeScan(start, stop, (False, True), (None if newline < 0 else start + newline + 1, None))
    octets = np.frombuffer(data, np.uint8)[skipped:]
    where, toggles = _odd_runs(octets, before[0], ord(delimiter))
    states = [_states(toggles, quoted) for quoted in (False, True)]
    newlines = np.flatnonzero(octets[: stop - start - skipped] == _LF)
    runs_before = np.searchsorted(where, newlines)
    cuts = [_first(newlines[~state[runs_before]], start + skipped + 1) for state in states]
    return RangeScan(start, stop, (bool(states[0][-1]), bool(states[1][-1])), (cuts[0], cuts[1]))


def _odd_runs(
    octets: npt.NDArray[np.uint8], before: int, delimiter: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return where runs of an odd number of quotes begin, and whether each could start a quoted field."""
    quotes = np.flatnonzero(octets == _QUOTE)
    new = np.concatenate([[True], np.diff(quotes) > 1])
    begins = quotes[new]
    lengths = np.diff(np.concatenate([np.flatnonzero(new), [len(quotes)]]))
    begins = begins[lengths % 2 == 1]
    previous = np.where(begins > 0, octets[begins - 1], before)
    return begins, (previous == delimiter) | (previous == _LF) | (previous == _CR)


def _states(toggles: npt.NDArray[np.bool_], quoted: bool) -> npt.NDArray[np.bool_]:
    """Return whether the text is inside quotes before the first odd run, after it, after the second, and so on.

    A run that could start a quoted field turns inside into outside and outside into inside; any other ends up
    outside. So the state is the parity of the former since the last of the latter.
    """
    count = np.concatenate([[0], np.cumsum(toggles)]) + int(quoted)
    # The count at the last run that ends up outside; before any of them, nothing is taken away.
    base = np.concatenate([[0], np.where(toggles, 0, count[1:])])
    state: npt.NDArray[np.bool_] = (count - np.maximum.accumulate(base)) % 2 == 1
    return state


def _first(found: npt.NDArray[Any], base: int) -> int | None:
    return int(found[0]) + base if len(found) else None


def _join(one: RangeScan, other: RangeScan) -> RangeScan:
    """Return the scan of two neighbouring ranges."""
    after = [other.quoted_after[quoted] for quoted in one.quoted_after]
    cuts = [one.first_cut[n] or other.first_cut[one.quoted_after[n]] for n in (0, 1)]
    return RangeScan(one.start, other.stop, (after[0], after[1]), (cuts[0], cuts[1]))


def _scan_blocks(read: _Read, start: int, stop: int, delimiter: str) -> Iterable[RangeScan]:
    before = read(start - 1, start) if start else b"\n"
    for lo in range(start, stop, _BLOCK):
        hi = min(lo + _BLOCK, stop)
        data = read(lo, hi)
        rest = b""
        # A run of quotes belongs to the block that it begins in.
        while data.endswith(b'"') and not rest.strip(b'"') and (more := read(hi + len(rest), hi + len(rest) + 4096)):
            rest += more
        tail = rest[: len(rest) - len(rest.lstrip(b'"'))]
        yield scan_bytes(data + tail, lo, hi, before=before, delimiter=delimiter)
        before = data[-1:]


def _scan_lines(read: _Read, start: int, stop: int) -> RangeScan:
    for lo in range(start, stop, 1 << 16):
        newline = read(lo, min(lo + (1 << 16), stop)).find(b"\n")
        if newline >= 0:
            return RangeScan(start, stop, (False, False), (lo + newline + 1, lo + newline + 1))
    return RangeScan(start, stop, (False, False), (None, None))


class open_ranges:  # noqa: N801 - used as a verb, like open()
    """Open a file for reading ranges of bytes: ``with open_ranges(url) as read: read(start, stop)``."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> _Read:
        if is_local(self._url):
            self._file: Any = open(local_path(self._url), "rb", buffering=0)
        else:
            fs, path = locate(self._url)
            self._file = fs.open(path, "rb", cache_type="none")
        return self._read

    def _read(self, start: int, stop: int) -> bytes:
        self._file.seek(start)
        data = b""
        while len(data) < stop - start and (more := self._file.read(stop - start - len(data))):
            data += more
        return data

    def __exit__(self, *_: object) -> None:
        self._file.close()

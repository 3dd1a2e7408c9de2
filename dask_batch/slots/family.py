"""A process and all that it started: who they are, and what memory they use. Linux only, without scanning ``/proc``."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["family_memory", "family_of", "resident_memory"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


def family_of(pid: int) -> list[int]:
    """Return a process and its living descendants, itself first."""
    found = [pid]
    for one in found:
        found += _children(one)
    return found


def family_memory(pid: int, limit_bytes: int) -> int:
    """Return the bytes of memory that a process and its descendants use together.

    Forked processes share pages. Counting those once takes the kernel milliseconds, so it is done only where the plain
    sum is past the limit; up to there the plain sum is returned.

    Parameters
    ----------
    pid : int
        The process.
    limit_bytes : int
        What the caller compares the result with.
    """
    family = family_of(pid)
    resident = sum(map(resident_memory, family))
    if resident <= limit_bytes or len(family) == 1:
        return resident
    return sum(map(_proportional, family))


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    except (OSError, ValueError):  # it has ended, or the kernel does not say
        pass
    return found


def resident_memory(pid: int) -> int:
    """Return the bytes of memory that one process uses, shared ones included; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """Return the resident bytes of a process, shared pages divided by the number of those that share them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError):
        pass
    return resident_memory(pid)

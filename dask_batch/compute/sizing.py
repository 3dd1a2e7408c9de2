"""What an instance on this machine has: slots and memory. Without Dask, so that it is quick to import."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from dask_batch.slots.pool import Slots
from dask_batch.specs.compute import LocalCompute
from dask_batch.storage import Storage

__all__ = ["local_slots", "memory_of_this_machine", "parse_bytes", "usable_cores"]

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def local_slots(compute: LocalCompute, storage: Storage, name: str) -> Slots:
    """Return new slots for one instance of a local compute, sized as it says."""
    memory = parse_bytes(compute.memory) if compute.memory else memory_of_this_machine() // compute.max_instances
    return Slots(storage, compute.slots or usable_cores(), name=name, memory_bytes=memory)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def memory_of_this_machine() -> int:
    """Return the bytes of memory that this process may use, a container's limit included."""
    total = psutil.virtual_memory().total
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def parse_bytes(text: str) -> int:
    """Return the bytes that a size such as ``"8GB"``, ``"512MiB"`` or ``"64G"`` stands for (powers of 1024).

    Raises
    ------
    ValueError
        It is not a size.

    Examples
    --------
    >>> parse_bytes("2GB")
    2147483648
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{text!r} is not a size; write it like 8GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])

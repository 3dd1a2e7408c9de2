"""A real SLURM on this machine, for the cases that need one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SYSTEM_PATH", "asked", "queue", "slurm"]

SYSTEM_PATH = "/usr/sbin:/sbin"
_SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
_PORT = 23901


@contextmanager
def slurm(cpus: int = 4, memory_mb: int = 8000) -> Iterator[dict[str, str]]:
    """Start a SLURM of four nodes, each with so many cores and so much memory as far as it knows.

    Yields the variables that whoever talks to it needs; stops it, with all its jobs, at the end.
    """
    root = tempfile.mkdtemp(prefix="dask-batch-bench-slurm-")
    ours = {"SLURM_ROOT": root, "SLURM_PORT": str(_PORT), "SLURM_CPUS": str(cpus), "SLURM_MEM": str(memory_mb)}
    try:
        subprocess.run([_SCRIPTS / "slurm-up.sh"], env=os.environ | ours, check=True, stdout=subprocess.DEVNULL)
        yield {"SLURM_CONF": f"{root}/etc/slurm.conf"}
    finally:
        subprocess.run([_SCRIPTS / "slurm-down.sh"], env=os.environ | ours, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(root, ignore_errors=True)


def queue(*, hosts: bool = False) -> list[str]:
    """Return the numbers of the jobs in the queue, those of hosts only if asked for."""
    lines = asked("squeue", "--noheader", "--format=%A %j").splitlines()
    jobs = (line.split(" ", 1) for line in lines)
    return [number for number, name in jobs if hosts or not name.endswith("-host")]


def asked(*command: str) -> str:
    """Run a command of SLURM and return what it prints."""
    path = f"{os.environ['PATH']}:{SYSTEM_PATH}"
    return subprocess.run(command, env=os.environ | {"PATH": path}, check=True, capture_output=True, text=True).stdout

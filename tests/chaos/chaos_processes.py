"""The processes of a ground: found by what they were started with, killed, frozen, and started on another machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["elsewhere", "frozen", "hosts", "instances", "kill", "processes", "scoring_of", "strays"]

_ELSEWHERE = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$0" "$@"')


def elsewhere() -> tuple[str, ...]:
    """Return the beginning of a command that runs on another machine, as far as can be told; empty if not allowed.

    Processes are known by the name of their machine. In a name space of its own a process has another one.
    """
    try:
        done = subprocess.run([*_ELSEWHERE, "true"], capture_output=True)
    except OSError:
        return ()
    return () if done.returncode else _ELSEWHERE


def processes(folder: Path) -> list[psutil.Process]:
    """Return the processes, other than this one, whose command names a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.pid != os.getpid() and str(folder) in " ".join(process.cmdline()):
                found.append(process)
    return found


def hosts(folder: Path) -> list[psutil.Process]:
    """Return the hosts of a folder, also those that have not begun their epoch, oldest epoch first."""
    found = []
    for process in processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            words = process.cmdline()
            if "dask_batch.host" in words:
                found.append((int(words[words.index("--epoch") + 1]), process.pid, process))
    return [process for *_, process in sorted(found, key=lambda one: one[:2])]


def scoring_of(host: psutil.Process) -> list[psutil.Process]:
    """Return the scoring processes that a host, or an instance, has started."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in host.children():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if "dask_batch.scoring" in process.cmdline():
                    found.append(process)
    return found


def instances(folder: Path, epoch: int) -> list[psutil.Process]:
    """Return the instances that an epoch has asked for and that are processes of their own."""
    found = []
    for process in processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            words = process.cmdline()
            if "dask_batch.compute.instance" in words and any(word.endswith(f"/e{epoch}") for word in words):
                found.append(process)
    return found


def strays(folder: Path, epoch: int) -> list[str]:
    """Return the commands of the processes that neither are the newest host of a folder nor belong to it."""
    newest = [*hosts(folder)[-1:], *instances(folder, epoch)]
    scoring = [process.pid for parent in newest for process in scoring_of(parent)]
    own = [*scoring, *(parent.pid for parent in newest)]
    found = []
    for process in processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, ProcessLookupError):
            # The watchdog of a scoring process is in its group.
            if process.pid not in own and os.getpgid(process.pid) not in scoring:
                found.append(f"{process.pid} {process.status()}: {' '.join(process.cmdline())}")
    return found


def kill(victims: Iterable[psutil.Process]) -> bool:
    """Kill processes; return whether one of them was there."""
    killed = False
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.kill()
            killed = True
    return killed


@contextmanager
def frozen(process: psutil.Process) -> Iterator[None]:
    """Stop a process for as long as the block lasts."""
    process.suspend()
    try:
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()

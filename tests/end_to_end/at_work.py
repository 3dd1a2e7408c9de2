"""Help for tests that run whole jobs: hosts to end, processes to find, programs to run as somebody else."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from dask_batch import Workspace
from dask_batch.hostfolder import HostFolder, ProcessId

USER = "tester"
PATIENCE_S = 180


def host_process(ws: Workspace, compute: str = "local") -> psutil.Process | None:
    """Return the process of a compute's host, if one lives."""
    folder = HostFolder(ws.storage, compute, USER)
    epoch = folder.epoch()
    record = (folder.heartbeat(epoch) or folder.epoch_record(epoch)) if epoch else None
    if not record or not record.get("process"):
        return None
    process = ProcessId.from_json(record["process"])
    if not process.alive():
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(process.pid)
    return None


def end_host(ws: Workspace, compute: str = "local") -> bool:
    """Kill the host of a compute as kill -9 does, and say whether there was one."""
    process = host_process(ws, compute)
    if process is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(10)
    return True


def processes_about(*texts: str) -> list[str]:
    """Return the command lines of the processes, other than this one, that name one of the texts."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        line = " ".join(process.info["cmdline"] or ())
        if process.info["pid"] != os.getpid() and any(text in line for text in texts):
            found.append(line)
    return found


def scoring_processes(ws: Workspace, compute: str = "local") -> list[psutil.Process]:
    """Return the scoring processes of a compute: below its host, or below its instances on SLURM."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "dask_batch.scoring" in process.cmdline() and _belongs(process.parents(), ws, compute):
                found.append(process)
    return found


def _belongs(parents: list[psutil.Process], ws: Workspace, compute: str) -> bool:
    host, instances = host_process(ws, compute), f"{ws.storage.root}/hosts/{compute}/"
    return any(parent == host or any(word.startswith(instances) for word in parent.cmdline()) for parent in parents)


def bound_by_permissions(program: str, *arguments: Any) -> str:
    """Run a Python program that may not read and write whatever it likes, even if it is root's; return its output."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    if os.geteuid() == 0:
        dropped = "-dac_override,-dac_read_search"
        found = shutil.which("setpriv")
        assert found, "the test needs setpriv (util-linux) when it is run as root"
        command = [found, f"--bounding-set={dropped}", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path

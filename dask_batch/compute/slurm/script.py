"""The job scripts of instances, which dask-jobqueue writes from what is said here, and of hosts."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
import threading
from typing import Any

from dask_batch import settings
from dask_batch.compute.sizing import parse_bytes
from dask_batch.compute.slurm.header import write_script
from dask_batch.errors import InvalidDefinition
from dask_batch.specs.slurm import SlurmCompute, walltime_seconds

__all__ = ["DEATH_TIMEOUT_S", "ENDS", "host_script", "instance_script", "interpreter", "warning_s"]

DEATH_TIMEOUT_S = 60
"""How long an instance looks for its host before it ends."""

ENDS = "DASK_BATCH_INSTANCE_ENDS"
"""The variable that tells an instance when SLURM ends it, in seconds since the epoch."""

_WARNING_S = 120
_NAME = "@dask-batch-name@"
_WRITING = threading.Lock()


def warning_s(walltime: str) -> int:
    """Return how many seconds before the end of its time SLURM warns a job.

    Examples
    --------
    >>> warning_s("01:00:00"), warning_s("00:04:00")
    (120, 60)
    """
    return min(_WARNING_S, walltime_seconds(walltime) // 4)


def interpreter(compute: SlurmCompute) -> str:
    """Return the Python of host and instances, an environment's folder resolved."""
    if compute.python is None:
        return sys.executable
    path = os.path.abspath(os.path.expanduser(compute.python))
    return os.path.join(path, "bin", "python") if os.path.isdir(path) else path


def instance_script(compute: SlurmCompute, folder: str, name: str) -> str:
    """Return the script of an instance.

    Parameters
    ----------
    compute : SlurmCompute
        What the user defined.
    folder : str
        Where host and instances of this epoch meet, on the shared file system.
    name : str
        The instance.
    """
    low = compute.tier == "low_priority"
    extra = [f"--signal=B:TERM@{warning_s(compute.walltime)}", "--no-requeue", _output(folder)]
    extra += [f"--qos={qos}"] if (qos := (low and compute.low_priority_qos) or compute.qos) else []
    extra += [f"--constraint={_quoted(compute.constraint)}"] if compute.constraint else []
    extra += [f"--gres=gpu:{compute.gpus}"] if compute.gpu_count else []
    return _script(
        {
            "scheduler": shlex.quote(folder),
            "name": _NAME,
            "job_name": _NAME,
            "worker_command": "dask_batch.compute.instance",
            "worker_extra_args": ["--interface", compute.interface] if compute.interface else [],
            "cores": compute.known_slots,
            "job_cpu": compute.cores,
            "queue": (low and compute.low_priority_partition) or compute.partition,
            "walltime": compute.walltime,
            "job_extra_directives": [*extra, *compute.job_extra_directives],
            "job_script_prologue": [_end(compute), *_scratch(compute), *compute.job_script_prologue],
            # With exec, Python is the process that SLURM's warning goes to.
            "python": f"exec {shlex.quote(interpreter(compute))}",
            "account": compute.account,
            "memory": f"{parse_bytes(compute.memory)}B" if compute.memory else "0B",
            "job_mem": f"{_megabytes(compute.memory)}M" if compute.memory else "0",
            "job_directives_skip": [] if compute.memory else ["--mem="],
            "processes": 1,
            "nanny": False,
            "death_timeout": DEATH_TIMEOUT_S,
        },
        name,
    )


def host_script(compute: SlurmCompute, folder: str, name: str, arguments: list[str]) -> str:
    """Return the script of a host's own job.

    Parameters
    ----------
    compute : SlurmCompute
        What the user defined.
    folder : str
        Where its output goes.
    name : str
        The job.
    arguments : list of str
        The host's command line.
    """
    walltime = compute.host_walltime or compute.walltime
    partition = compute.host_partition or compute.partition
    directives = [f"--job-name={name}", _output(folder), "--open-mode=append", "--requeue", "--ntasks=1"]
    directives += ["--cpus-per-task=1", f"--mem={_megabytes(compute.host_memory)}M", f"--time={walltime}"]
    # Not TERM: whoever cancels the job wants no successor.
    directives += [f"--signal=B:USR1@{warning_s(walltime)}"]
    asked = {"partition": partition, "account": compute.account, "qos": compute.qos}
    directives += [f"--{option}={value}" for option, value in asked.items() if value]
    command = shlex.join([interpreter(compute), "-m", "dask_batch.host", *arguments])
    lines = ["#!/usr/bin/env bash", "", *(f"#SBATCH {line}" for line in directives), *compute.job_script_prologue]
    return "\n".join([*lines, f"exec {command}", ""])


def _megabytes(memory: str) -> int:
    return -(-parse_bytes(memory) >> 20)


def _script(arguments: dict[str, Any], name: str) -> str:
    with _WRITING:  # whoever comes second finds it written
        return _written(json.dumps(arguments)).replace(_NAME, name)


@functools.lru_cache(maxsize=16)
def _written(arguments: str) -> str:
    # The name stands in for all names: a process is started once for a definition, not once for an instance.
    return write_script(json.loads(arguments))


def _output(folder: str) -> str:
    if not folder.isprintable():
        raise InvalidDefinition(f"SLURM takes no file name with control characters: {folder!r}; use another root")
    path = folder.replace("%", "%%") + "/%x-%j.log"
    return f"--output={_quoted(path)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _end(compute: SlurmCompute) -> str:
    return f"export {ENDS}=$(($(date +%s) + {walltime_seconds(compute.walltime)}))"


def _scratch(compute: SlurmCompute) -> list[str]:
    if compute.local_directory is None:
        return []
    escaped = compute.local_directory.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
    # Environments are built where the nodes share them, and perhaps where there is a network.
    shared = shlex.quote(str(settings.environments_folder()))
    scratch = f'export DASK_BATCH_SCRATCH="{escaped}/dask-batch-$(id -u)"'
    return [f"export DASK_BATCH_ENVIRONMENTS={shared}", scratch]

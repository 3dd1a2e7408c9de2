"""A SLURM cluster as a compute."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, model_validator

from dask_batch.specs.base import FieldProblem
from dask_batch.specs.elastic import AZURE_ONLY, ElasticCompute, only
from dask_batch.specs.fields import Memory, at_least, path, whole_number
from dask_batch.specs.layout import Layout

__all__ = ["SlurmCompute", "walltime_seconds"]

_WALLTIME = re.compile(r"(?:(?P<days>\d+)-(?P<hours>\d+)(?::(?P<mins>\d+)(?::(?P<secs>\d+))?)?)|(?P<plain>[\d:]+)")
_PLAIN = re.compile(r"\d+(?::\d+){0,2}")
_GPUS = re.compile(r"(?:[A-Za-z0-9_.-]+:)?[1-9]\d*")

# What an instance's script says itself; a second one would take it away from us.
_OURS = (
    ("-J", "--job-name"), ("-o", "--output"), ("-e", "--error"), ("-n", "--ntasks"), ("-N", "--nodes"),
    ("-a", "--array"), ("", "--requeue"), ("", "--no-requeue"), ("", "--signal"), ("-W", "--wait"),
    ("-t", "--time"), ("-c", "--cpus-per-task"), ("", "--mem"),
)  # fmt: skip


def walltime_seconds(text: str) -> int:
    """Return the seconds of a time limit as SLURM writes it.

    Raises
    ------
    ValueError
        It is no such limit, or zero.

    Examples
    --------
    >>> walltime_seconds("90"), walltime_seconds("01:30:00"), walltime_seconds("1-12")
    (5400, 5400, 129600)
    """
    match = _WALLTIME.fullmatch(text)
    if match and match["plain"] and _PLAIN.fullmatch(text):
        parts = [int(part) for part in text.split(":")]
        parts = [0, *parts, 0] if len(parts) == 1 else [0] * (3 - len(parts)) + parts
        seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    elif match and not match["plain"]:
        days, hours, minutes, rest = (int(match[name] or 0) for name in ("days", "hours", "mins", "secs"))
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    else:
        raise ValueError("must be a time limit, such as '01:30:00', '2-12:00:00', or a number of minutes")
    if seconds < 1:
        raise ValueError("must be longer than nothing")
    return seconds


def _word(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value or not value.isprintable() or any(c.isspace() for c in value):
        raise ValueError("must be one word, as SLURM names it")
    return value


def _walltime(value: Any) -> Any:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise ValueError("must be a time limit, such as '01:30:00', '2-12:00:00', or a number of minutes")
    walltime_seconds(text)
    return text


def _gpus(value: Any) -> Any:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    if isinstance(value, str) and _GPUS.fullmatch(value):
        return value
    if isinstance(value, str):
        raise ValueError("must be a number, or a type and a number such as 'a100:2'")
    return whole_number(value, 0)


def _lines(value: Any) -> Any:
    lines = value.splitlines() if isinstance(value, str) else value
    if not isinstance(lines, Sequence) or not all(isinstance(line, str) for line in lines):
        raise ValueError("must be a list of lines")
    if any("\n" in line or "\0" in line for line in lines):
        raise ValueError("must be a list of lines, each without a line break")
    return tuple(lines)


def _directives(value: Any) -> Any:
    lines = _lines(value)
    for line in lines:
        if not re.match(r"-{1,2}[A-Za-z]", line):
            raise ValueError(f"{line!r} is no option of sbatch; write it like '--exclusive' or '-w n1'")
        for short, long in _OURS:
            if re.split(r"[ =]", line, maxsplit=1)[0] == long or (short and re.match(rf"{short}(?![A-Za-z-])", line)):
                raise ValueError(f"{line!r}: dask-batch sets {long} itself; leave it out")
    return lines


_Word = Annotated[str, BeforeValidator(_word)]
_Walltime = Annotated[str, BeforeValidator(_walltime)]
_Lines = Annotated[tuple[str, ...], BeforeValidator(_lines)]
_Directives = Annotated[tuple[str, ...], BeforeValidator(_directives)]
_Gpus = Annotated[int | str, BeforeValidator(_gpus)]


class SlurmCompute(ElasticCompute):
    """A SLURM cluster, as a compute: one SLURM job is one instance.

    Parameters
    ----------
    name : str
        How deployments refer to it.
    partition, account, qos, constraint : str, optional
        As `sbatch` takes them; None: what the cluster does without.
    cores : int
        Cores of an instance.
    memory : str, optional
        Memory of an instance, such as ``"64GB"``; None: what the cluster gives with its cores.
    walltime : str
        Time limit of an instance, as SLURM writes it. It ends its last chunk before that; another one takes over.
    gpus : int or str, optional
        GPUs of an instance, or type and number (``"a100:2"``).
    slots : int, optional
        Scoring processes per instance; None: one per GPU, or per core where there are none.
    min_instances, max_instances : int
        How far it shrinks and grows.
    idle_time_before_scale_down : float
        Seconds after which instances without work go.
    tier : {"dedicated", "low_priority"}
        ``"low_priority"``: instances go to `low_priority_partition` and `low_priority_qos`, where they are preempted.
    low_priority_partition, low_priority_qos : str, optional
        Where preemptible jobs go on this cluster.
    python : str, optional
        An interpreter, or the folder of a virtual or conda environment, on the shared file system, that has dask-batch
        in it; None: the one that starts the host.
    job_extra_directives : list of str
        Further options of `sbatch`, such as ``"--exclusive"``.
    job_script_prologue : list of str
        Lines that run before the instance starts, such as ``"module load cuda"``.
    local_directory : str, optional
        A folder on the nodes' local disks for scratch files; variables such as ``$TMPDIR`` are filled in there.
    interface : str, optional
        The network interface between host and instances, such as ``"ib0"``.
    host : {"job", "here"}
        Where the host runs: as a small SLURM job of its own, or detached where the client is.
    host_partition, host_walltime : str, optional
        Partition and time limit of the host's job; None: those of the instances. It submits its successor in time.
    host_memory : str
        Memory of the host's job.
    description : str
        For people.
    tags : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.

    Examples
    --------
    >>> SlurmCompute(name="hpc", partition="cpu", cores=16, memory="64GB", max_instances=50).known_slots
    16
    """

    kind: ClassVar[str] = "slurm"
    layout: ClassVar[Layout] = Layout(
        ignored=AZURE_ONLY,
        own=frozenset(
            {
                "slots", "memory", "partition", "account", "qos", "constraint", "cores", "walltime", "gpus",
                "low_priority_partition", "low_priority_qos", "python", "job_extra_directives", "job_script_prologue",
                "local_directory", "interface", "host", "host_partition", "host_walltime", "host_memory",
            }
        ),
    )  # fmt: skip

    type: Annotated[Literal["slurm"], only("slurm")] = "slurm"
    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    constraint: _Word | None = None
    cores: Annotated[int, at_least(1)] = 1
    walltime: _Walltime = "01:00:00"
    gpus: _Gpus = 0
    low_priority_partition: _Word | None = None
    low_priority_qos: _Word | None = None
    python: Annotated[str, path("an interpreter, or the folder of an environment")] | None = None
    job_extra_directives: _Directives = ()
    job_script_prologue: _Lines = ()
    local_directory: Annotated[str, path("a folder on the nodes")] | None = None
    interface: _Word | None = None
    host: Literal["job", "here"] = "job"
    host_partition: _Word | None = None
    host_walltime: _Walltime | None = None
    host_memory: Memory = "2GB"

    @property
    def gpu_count(self) -> int:
        """GPUs of an instance."""
        return self.gpus if isinstance(self.gpus, int) else int(self.gpus.rpartition(":")[2])

    @property
    def known_slots(self) -> int:
        """Scoring processes per instance: as said, or one per GPU, or one per core."""
        return self.slots or self.gpu_count or self.cores

    @model_validator(mode="after")
    def _check_tier(self) -> Self:
        if self.tier == "low_priority" and not (self.low_priority_partition or self.low_priority_qos):
            raise FieldProblem(
                "tier",
                "low_priority needs low_priority_partition or low_priority_qos: where preemptible jobs go differs from "
                "cluster to cluster",
            )
        return self

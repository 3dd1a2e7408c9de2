"""What a contender is asked to do, and what it answers: plain records, so that each runs in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Contender", "Sample", "Task", "answer", "ask", "cpu_s", "in_process", "read_task"]


@dataclass(frozen=True)
class Task:
    """Score the files below a folder.

    Parameters
    ----------
    kind : str
        ``"table"``: with the MLflow model at `model`; ``"script"``: with ``run`` of the script at `model`, one call
        per file.
    inputs : str
        Folder, or file.
    model : str
        Folder of the MLflow model, or path of the script.
    output : str
        A folder for what is written; it does not exist yet.
    ending : str
        ``".parquet"`` or ``".csv"``: what is written.
    warm_inputs : str, optional
        Set: score these first, untimed, and keep processes and models for what is timed.
    processes : int
        Processes that score at once, each with one thread for numerical libraries.
    expected : int
        Rows (or files, for a script) that have to come out.
    options : dict
        What only one contender knows.
    """

    kind: str
    inputs: str
    model: str
    output: str
    ending: str
    expected: int
    warm_inputs: str | None = None
    processes: int = 2
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Sample:
    """One measurement: seconds, and whatever else was seen (``numbers``, named with their units)."""

    seconds: float
    numbers: dict[str, float] = field(default_factory=dict)


class Contender(Protocol):
    """One way of doing a task: this project, or a peer.

    Attributes
    ----------
    name : str
        Short; stands in the report.
    settings : str
        How it was set up, in a sentence: each peer gets its best honest settings.
    """

    name: str
    settings: str

    def run(self, task: Task) -> Sample:
        """Do the task in processes that start here and have ended when this returns.

        The seconds of a cold task go from the start of the first process to the last byte written; those of a warm
        one (`Task.warm_inputs`) from when the work is handed over.
        """


def in_process(module: str, task: Task, environment: dict[str, str] | None = None) -> Sample:
    """Run ``python -m module`` on a task and return its `answer`, with cold seconds counted from its start."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(asdict(task), file)
        file.flush()
        started = time.time()
        record = ask([sys.executable, "-m", module, file.name], environment)
    if record["rows"] != task.expected:
        raise RuntimeError(f"{module} returned {record['rows']} rows of {task.expected}")
    begun = record["begun"] if task.warm_inputs else started
    numbers = dict(record.get("numbers", {}))
    for name, at in record.get("moments", {}).items():
        numbers[f"{name}_s"] = at - begun
    return Sample(record["done"] - begun, numbers)


def ask(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a command and return the JSON object in the last line that it prints."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, env=os.environ | (environment or {}), cwd=_root(), check=False, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def answer(
    rows: int,
    begun: float,
    done: float,
    numbers: dict[str, float] | None = None,
    moments: dict[str, float] | None = None,
) -> None:
    """Print what a contender's process measured, for `in_process`; all times are ``time.time()``."""
    print(json.dumps({"rows": rows, "begun": begun, "done": done, "numbers": numbers or {}, "moments": moments or {}}))


def cpu_s() -> float:
    """Return the processor seconds of this process and of those of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def read_task() -> Task:
    """Return the task that this process was started for."""
    return Task(**json.loads(Path(sys.argv[1]).read_text()))


def _root() -> str:
    return str(Path(__file__).resolve().parent.parent)

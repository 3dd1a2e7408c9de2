"""What cases have in common: contenders on a task, and ratios between them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace

from benchmarks.case import Round
from benchmarks.data import FOLDER
from benchmarks.ours import Ours
from benchmarks.peers import PEERS, peer
from benchmarks.task import Contender, Sample, Task

__all__ = ["OURS", "contenders", "faster", "thriftier"]

OURS = Ours.name


def contenders(task: Task, peers: Iterable[str] = PEERS) -> dict[str, Callable[[], Sample]]:
    """Return ours and these peers (all of them if not said), each doing `task` with an output folder of its own."""
    found: list[Contender] = [Ours(), *(peer(name) for name in peers)]
    return {contender.name: lambda contender=contender: run(contender, task) for contender in found}


def run(contender: Contender, task: Task) -> Sample:
    """Let a contender do a task once, and remove what it wrote."""
    output = FOLDER / "output" / secrets.token_hex(4)
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        return contender.run(replace(task, output=str(output)))
    finally:
        shutil.rmtree(output, ignore_errors=True)


def faster(other: str, name: str = OURS) -> Callable[[Round], float]:
    """Return the function of a round that says how many times as fast as `other` it was."""
    return lambda one: one[other].seconds / one[name].seconds


def thriftier(other: str, name: str = OURS) -> Callable[[Round], float]:
    """Return the function of a round that says how many times the processor seconds `other` took."""
    return lambda one: one[other].numbers["cpu_s"] / one[name].numbers["cpu_s"]

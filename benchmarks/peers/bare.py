"""A bare loop over files in a few processes, as a good engineer would write it in an afternoon.

A pool of spawned processes; each loads the model once, through `mlflow.pyfunc`; per file: read, predict, write. Nothing
is retried, nothing is recorded, and a file that cannot be read ends it all.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from typing import Any

from benchmarks.peers.work import ONE_THREAD, Piece, load, pieces, score
from benchmarks.task import Sample, Task, answer, cpu_s, in_process, read_task

__all__ = ["Bare"]

_barrier: Any = None


class Bare:
    """The loop below, in a process of its own."""

    name = "bare"
    settings = "multiprocessing pool (spawn), one thread per process, model loaded once per process, file by file"

    def run(self, task: Task) -> Sample:
        """Run the loop."""
        return in_process("benchmarks.peers.bare", task, ONE_THREAD)


def main() -> None:
    """Do the task of the command line."""
    task = read_task()
    os.makedirs(task.output)
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(task.processes)
    with spawn.Pool(task.processes, _begin, (task.kind, task.model, barrier)) as pool:
        if task.warm_inputs:
            pool.map(_warm, [pieces(task, task.warm_inputs)] * task.processes, chunksize=1)
        begun = time.time()
        work = pieces(task)
        # Large files are handed out one by one, so that both processes end together; small ones in bunches.
        rows = sum(pool.map(score, work, chunksize=max(1, len(work) // 1000)))
        done = time.time()
        pool.close()
        pool.join()
    answer(rows, begun, done, {"cpu_s": cpu_s()})


def _begin(kind: str, model: str, barrier: Any) -> None:
    global _barrier  # noqa: PLW0603
    _barrier = barrier
    load(kind, model)


def _warm(work: list[Piece]) -> None:
    """Score some files and wait until all processes have: so each gets its turn."""
    for piece in work:
        score(piece)
    _barrier.wait()


if __name__ == "__main__":
    main()

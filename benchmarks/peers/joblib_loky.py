"""joblib: ``Parallel`` over files with its own processes (loky), which batches short calls by measured time."""

from __future__ import annotations

import os
import time

from benchmarks.peers.work import ONE_THREAD, pieces, score
from benchmarks.task import Sample, Task, answer, cpu_s, in_process, read_task

__all__ = ["Joblib"]


class Joblib:
    """``Parallel(n_jobs)(delayed(score)(file) …)`` in a process of its own."""

    name = "joblib"
    settings = "Parallel(n_jobs=2, backend='loky', batch_size='auto'), model cached in each process, file by file"

    def run(self, task: Task) -> Sample:
        """Run it."""
        return in_process("benchmarks.peers.joblib_loky", task, ONE_THREAD)


def main() -> None:
    """Do the task of the command line."""
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    task = read_task()
    begun = time.time()
    os.makedirs(task.output)
    with Parallel(n_jobs=task.processes, backend="loky", batch_size="auto") as parallel:
        rows = sum(parallel(delayed(score)(piece) for piece in pieces(task)))
    done = time.time()
    get_reusable_executor().shutdown(wait=True)
    answer(rows, begun, done, {"cpu_s": cpu_s()})


if __name__ == "__main__":
    main()

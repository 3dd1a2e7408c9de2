"""Dask as one would use it by hand: a `LocalCluster`, and ``client.map`` over the files."""

from __future__ import annotations

import os
import tempfile
import time

from benchmarks.peers.work import ONE_THREAD, pieces, score
from benchmarks.task import Sample, Task, answer, cpu_s, in_process, read_task

__all__ = ["PlainDask"]


class PlainDask:
    """``client.map(score, files)`` in a process of its own."""

    name = "dask"
    settings = (
        "LocalCluster(n_workers=2, threads_per_worker=1), no dashboard, client.map over the files, model cached in "
        "each worker, pure=False, batch_size 1000"
    )

    def run(self, task: Task) -> Sample:
        """Run it."""
        return in_process("benchmarks.peers.plain_dask", task, ONE_THREAD)


def main() -> None:
    """Do the task of the command line."""
    from distributed import Client, LocalCluster

    task = read_task()
    begun = time.time()
    os.makedirs(task.output)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=task.processes, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        Client(cluster) as client,
    ):
        rows = sum(client.gather(client.map(score, pieces(task), pure=False, batch_size=1000)))
        done = time.time()
    answer(rows, begun, done, {"cpu_s": cpu_s()})


if __name__ == "__main__":
    main()

"""Dask on SLURM as one would use it by hand: dask-jobqueue's `SLURMCluster`, which adapts by itself."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time

from benchmarks.cluster import asked, queue

__all__ = ["SETTINGS"]

SETTINGS = (
    "SLURMCluster(cores=1, processes=1, memory='500MB').adapt(minimum=0, maximum=2), workers released at once when "
    "idle (dask-jobqueue's default), tasks of half a second"
)


def work(number: int) -> int:
    """Take half a second."""
    time.sleep(0.5)
    return number


def main() -> None:
    """Do it, and print what it took."""
    begun = time.time()
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with (
            SLURMCluster(
                cores=1, processes=1, memory="500MB", walltime="00:20:00", queue="main", local_directory=folder,
                scheduler_options={"dashboard_address": ":0", "host": "127.0.0.1"}, log_directory=folder,
            ) as cluster,
            Client(cluster) as client,
        ):  # fmt: skip
            cluster.adapt(minimum=0, maximum=2)
            asked_at = time.time()
            client.submit(work, -1, pure=False).result()
            numbers = {"first_s": time.time() - asked_at, "first_in_all_s": time.time() - begun}
            numbers |= _lose_one(client)
            numbers["zero_s"] = _until(lambda: not queue())
    print(json.dumps(numbers))


def _lose_one(client: object) -> dict[str, float]:
    """Cancel a worker's job in the midst of the work; return how long until another is in the queue, and works."""
    futures = client.map(work, range(120), pure=False)
    while sum(future.done() for future in futures) < 10:
        time.sleep(0.02)
    before, scheduler = set(queue()), client.scheduler_info
    asked("scancel", sorted(before)[0])
    begun = time.time()
    _until(lambda: set(queue()) - before)
    replaced = time.time() - begun
    workers = set(scheduler(n_workers=-1)["workers"])
    with contextlib.suppress(TimeoutError):
        _until(lambda: set(client.scheduler_info(n_workers=-1)["workers"]) - workers, 60)
    back = time.time() - begun
    client.gather(futures)
    return {"replaced_s": replaced, "back_s": back}


def _until(condition: object, within_s: float = 120.0) -> float:
    """Wait for a condition; return the seconds that it took."""
    begun = time.time()
    while not condition():
        if time.time() - begun > within_s:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(0.05)
    return time.time() - begun


if __name__ == "__main__":
    sys.exit(main())

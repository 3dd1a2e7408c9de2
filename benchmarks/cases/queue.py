"""Many jobs at once on one warm compute."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.case import Case, Figure
from benchmarks.data import csv_files
from benchmarks.model import model_folder
from benchmarks.ours import ENDPOINT, Ours, deployed, environment, usage, workspace
from benchmarks.task import Sample, Task, ask

__all__ = ["queue_case"]

_JOBS = (1, 10, 100)


def queue_case(scale: float) -> Case:
    """Jobs of one csv file of 200 rows each; the scale does not matter."""
    inputs = csv_files(100) / "f000000.csv"
    task = Task(kind="table", inputs=str(inputs), model=str(model_folder()), output="", ending=".csv", expected=200)

    def sample(jobs: int) -> Sample:
        name = deployed(task)
        command = [sys.executable, "-m", "benchmarks.cases.queue", str(jobs), task.inputs, name]
        record = ask(command, environment())
        return Sample(record.pop("seconds"), record)

    names = {jobs: f"{jobs} job{'s' * (jobs > 1)}" for jobs in _JOBS}
    return Case(
        "queue",
        f"jobs of one csv file of 200 rows, invoked one after the other and waited for; {Ours.settings}, warm",
        {name: lambda jobs=jobs: sample(jobs) for jobs, name in names.items()},
        [
            *(
                Figure(
                    f"{name}: from the first invoke to the last end, for each",
                    lambda one, jobs=jobs, name=name: one[name].seconds / jobs,
                    unit="s",
                )
                for jobs, name in names.items()
            ),
            Figure("100 jobs: peak memory of the host", lambda one: one["100 jobs"].numbers["host_peak_mb"], unit="MB"),
        ],
    )


def main() -> None:
    """Invoke so many jobs on a warm compute and wait for all; print what it took."""
    count, inputs, deployment = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    with workspace() as ws:
        endpoint = ws.endpoints[ENDPOINT]
        endpoint.invoke(inputs, deployment=deployment).wait(show=False).delete()
        begun = time.time()
        jobs = [endpoint.invoke(inputs, deployment=deployment) for _ in range(count)]
        invoked = time.time()
        for job in jobs:
            job.wait(show=False)
        seconds = time.time() - begun
        numbers = {"invoking_s": invoked - begun, "host_peak_mb": usage(ws)["host_peak_mb"]}
        for job in jobs:
            job.delete()
    print(json.dumps({"seconds": seconds, **numbers}))


if __name__ == "__main__":
    main()

"""One large csv file: bounded memory, and the pace of its parser."""

from __future__ import annotations

import os
import time

from benchmarks.case import Case, Figure
from benchmarks.cases.shared import OURS, run
from benchmarks.data import large_csv
from benchmarks.model import model_folder
from benchmarks.ours import Ours
from benchmarks.task import Sample, Task, answer, cpu_s, in_process, read_task

__all__ = ["large_csv_case"]

_BYTES = 5 * 10**9
_CHUNK_ROWS = 65_536


class PandasChunks:
    """pandas in one process: ``read_csv(chunksize=65536)``, predict, append to one csv file."""

    name = "pandas"
    settings = "pandas.read_csv(chunksize=65536), mlflow.pyfunc, to_csv; one process, one thread"

    def run(self, task: Task) -> Sample:
        """Run the loop."""
        return in_process("benchmarks.cases.large_csv", task, {"OMP_NUM_THREADS": "1"})


def large_csv_case(scale: float) -> Case:
    """One slot against one process."""
    path, rows = large_csv(int(_BYTES * scale))
    task = Task(
        kind="table",
        inputs=str(path),
        model=str(model_folder()),
        output="",
        ending=".csv",
        expected=rows,
        processes=1,
    )
    two = Task(**{**task.__dict__, "processes": 2})
    both = f"{OURS}, 2 slots"
    return Case(
        "large-csv",
        f"one csv of {path.stat().st_size / 1e9:.2f} GB, {rows:,} rows × 20, cold, end to end",
        {
            OURS: lambda: run(Ours(), task),
            both: lambda: run(Ours(), two),
            PandasChunks.name: lambda: run(PandasChunks(), task),
        },
        [
            Figure(
                "peak memory of a scoring process",
                lambda one: one[OURS].numbers["scoring_peak_mb"],
                at_most=600,
                unit="MB",
            ),
            Figure("the same with 2 slots", lambda one: one[both].numbers["scoring_peak_mb"], at_most=600, unit="MB"),
            Figure(
                "throughput of one slot against pandas reading in chunks",
                lambda one: one["pandas"].seconds / one[OURS].seconds,
                at_least=0.9,
            ),
            Figure(
                "throughput per slot of two, against the same",
                lambda one: one["pandas"].seconds / one[both].seconds / 2,
                at_least=0.9,
            ),
        ],
    )


def main() -> None:
    """Do the task of the command line."""
    task = read_task()
    import mlflow.pyfunc
    import pandas as pd

    begun = time.time()
    model = mlflow.pyfunc.load_model(task.model)
    os.makedirs(task.output)
    rows = 0
    with open(f"{task.output}/predictions.csv", "w") as file:
        for frame in pd.read_csv(task.inputs, chunksize=_CHUNK_ROWS):
            result = pd.DataFrame({"prediction": model.predict(frame)})
            result.to_csv(file, index=False, header=rows == 0)
            rows += len(result)
    answer(rows, begun, time.time(), {"cpu_s": cpu_s()})


if __name__ == "__main__":
    main()

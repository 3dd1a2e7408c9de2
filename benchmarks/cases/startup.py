"""How long until the first mini-batch is scored."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from benchmarks.case import Case, Figure, Round
from benchmarks.cases.shared import OURS, run
from benchmarks.data import csv_files
from benchmarks.model import model_folder
from benchmarks.ours import Ours
from benchmarks.task import Sample, Task, ask

__all__ = ["startup_case"]

_BARE = """
import json, sys
import mlflow
import pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(len(model.predict(pd.read_csv(sys.argv[2])))))
"""
_WARM = f"{OURS}, warm"


def startup_case(scale: float) -> Case:
    """One csv file of 200 rows; the scale does not matter."""
    inputs = csv_files(100) / "f000000.csv"
    task = Task(kind="table", inputs=str(inputs), model=str(model_folder()), output="", ending=".csv", expected=200)
    warm = replace(task, warm_inputs=str(inputs))

    def bare() -> Sample:
        begun = time.perf_counter()
        ask([sys.executable, "-c", _BARE, task.model, task.inputs], {"OMP_NUM_THREADS": "1"})
        return Sample(time.perf_counter() - begun)

    def from_invoke(one: Round, name: str) -> float:
        numbers = one[name].numbers
        return numbers["first_commit_s"] - numbers["invoking_s"]

    return Case(
        "startup",
        "invoke → first mini-batch committed (one csv file of 200 rows)",
        {OURS: lambda: run(Ours(), task), _WARM: lambda: run(Ours(), warm), "python -c": bare},
        [
            Figure(
                "nothing running: seconds against python -c 'import mlflow; load_model; predict'",
                lambda one: from_invoke(one, OURS) / one["python -c"].seconds,
                at_most=2.0,
            ),
            Figure("nothing running", lambda one: from_invoke(one, OURS), unit="s"),
            Figure(
                "nothing running, client's imports and end of the job included", lambda one: one[OURS].seconds, unit="s"
            ),
            Figure("warm", lambda one: from_invoke(one, _WARM), at_most=0.5, unit="s"),
            Figure("warm, until the job has completed", lambda one: one[_WARM].seconds, unit="s"),
        ],
    )

"""The kinds of job that rounds are played with: many small chunks, a few seconds of work, some of it bad."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from chaos_ground import Ground
from chaos_stage import Stage

from dask_batch import ModelDeployment

__all__ = ["GROUNDS"]

_SCRIPT = """
import os, time

def init(): pass

def run(mini_batch):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("".join(os.path.basename(path) + "\\n" for path in mini_batch))
    time.sleep(0.05)
    done = []
    for path in mini_batch:
        text = open(path).read()
        if "bad" in text:
            raise ValueError("a bad file")
        name = os.path.basename(path)
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], name + ".out"), "w") as left:
            left.write(text[::-1])
        done.append(f"{name}={len(text)}")
    return done
"""

_MODEL = """
import os, time
import mlflow.pyfunc
from mlflow.models import set_model

class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write("".join(f"{x}\\n" for x in model_input["x"]))
        time.sleep(0.02)
        if (model_input["x"] % 997 == 0).any():
            raise ValueError("a bad row")
        return model_input["x"] * 2 + 0.5

set_model(Slow())
"""

# A scoring process that is killed from outside is a death like any other, which its items are charged with: with fewer
# tries than a round has kills, innocent ones would be found guilty.
_RETRIES = 8


class _Files(Ground):
    """A script over files, which leaves files as well."""

    def deployment(self) -> ModelDeployment:
        code = self.folder / "code"
        code.mkdir()
        (code / "score.py").write_text(_SCRIPT)
        return ModelDeployment(
            name="d",
            code=str(code),
            scoring_script="score.py",
            mini_batch_size=2,
            max_retries=_RETRIES,
            environment_variables={"CALLS": str(self.calls)},
        )

    def fill(self) -> None:
        for n in range(120):
            (self.inputs / f"{n:04d}.txt").write_text("bad" if n % 41 == 17 else "x" * n)


class _Table(Ground):
    """An MLflow model on csv files, each of which is a mini-batch; rows and a file of them are bad."""

    def deployment(self) -> ModelDeployment:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own
            import mlflow
            from mlflow.models import ModelSignature
            from mlflow.types import ColSpec, Schema

            (self.folder / "slow.py").write_text(_MODEL)
            signature = ModelSignature(Schema([ColSpec("long", "x")]), Schema([ColSpec("double", "y")]))
            mlflow.pyfunc.save_model(
                self.folder / "model",
                python_model=str(self.folder / "slow.py"),
                signature=signature,
                pip_requirements=[],
            )
        return ModelDeployment(
            name="d",
            model=str(self.folder / "model"),
            max_retries=_RETRIES,
            batch_rows=100,
            environment_variables={"CALLS": str(self.calls)},
        )

    def fill(self) -> None:
        pad = "p" * 1000
        for n in range(24):
            lines = [f"{x},{pad}" for x in range(600 * n + 1, 600 * n + 601)]
            if n % 10 == 4:
                lines[77] = f"no number,{pad}"
            (self.inputs / f"{n:03d}.csv").write_text("\n".join(["x,pad", *lines, ""]))
        (self.inputs / "012-other.csv").write_text("y\n1\n2\n")


GROUNDS: dict[str, Callable[[Path, Stage], Ground]] = {
    "files": lambda folder, stage: _Files(folder, "predictions.csv", stage),
    "csv": lambda folder, stage: _Table(folder, "predictions.csv", stage),
    "parquet": lambda folder, stage: _Table(folder, "predictions.parquet", stage),
}

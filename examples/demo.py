"""The main job from end to end, on real data: train, deploy, score files with bad rows, look at what came of it.

Run it with ``make demo``. Everything it makes is under ``.demo``, which is removed when the next run starts.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split

import dask_batch as db

DEMO = Path(__file__).resolve().parent.parent / ".demo"
INPUT = DEMO / "incoming"
FILES, ROWS = 60, 2_000

# So that the end of the story, nothing running, comes within seconds; the defaults are minutes.
os.environ |= {
    "DASK_BATCH_SCRATCH": str(DEMO / "scratch"),
    "DASK_BATCH_HOST_IDLE": "3",
    "DASK_BATCH_PROCESS_IDLE": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
console = Console(width=min(Console().width, 110), highlight=False)


def main() -> None:
    """Tell the story, a chapter at a time."""
    shutil.rmtree(DEMO, ignore_errors=True)
    INPUT.mkdir(parents=True)
    features, answers = patients()

    chapter("Train a model and log it with MLflow")
    uri = train(features, answers)
    console.print(f"registered as [bold]{uri}[/]")

    chapter("Define the endpoint and deploy the model, once")
    ws = db.Workspace(DEMO / "workspace")
    ws.compute.create("demo", idle_time_before_scale_down=1)
    endpoint = ws.endpoints.create("tumours", description="benign (1) or malignant (0)")
    console.print(endpoint.deploy(db.ModelDeployment(name="boosting", model=uri, compute="demo")), markup=False)

    chapter(f"{FILES} files of {ROWS:,} patients come in, csv and parquet; some are broken")
    write_files(features)
    spoil_some_files()

    chapter("Invoke the endpoint with the folder")
    job = endpoint.invoke(INPUT)
    console.print(f"[bold]{job.name}[/] runs in the background; this script only watches")
    job.wait(show=True)

    chapter("Results: in input order, each with its origin")
    results = job.results()
    show_table(results.assign(source_file=results["source_file"].map(name_of)).iloc[:: len(results) // 5])
    malignant = (results["prediction"] == 0).sum()
    console.print(f"{len(results):,} predictions, {malignant:,} malignant, in {short(job.results(as_='path'))}")

    chapter("What could not be scored, and why")
    errors = job.errors()
    show_table(errors.assign(file=errors["file"].map(name_of), message=errors["message"].map(first_sentence))
               [["file", "row", "stage", "message"]])  # fmt: skip
    console.print("Everything else was scored. errors() has tracebacks too, errors(as_='table') the values.")

    chapter("What it cost")
    cost = job.cost
    console.print(
        f"{cost.instance_seconds:.1f} s of one instance with {os.cpu_count()} slots, "
        f"in which scoring processes were busy for {cost.slot_seconds:.1f} s"
    )

    chapter("Idle: everything goes by itself")
    console.print(f"now: {count(running_processes())}")
    wait_until_idle()
    console.print(f"then: {count(running_processes())}")
    console.print(f"\nEverything is in {short(DEMO)}. Look around:")
    console.print(f"  [bold].venv/bin/dask-batch job list --root {short(ws.storage.root)}[/]")


def patients() -> tuple[pd.DataFrame, pd.Series]:
    """Return the breast cancer data of scikit-learn: 569 patients, 30 measurements, 1 for benign."""
    features, answers = load_breast_cancer(return_X_y=True, as_frame=True)
    return features.rename(columns=lambda name: name.replace(" ", "_")), answers


def train(features: pd.DataFrame, answers: pd.Series) -> str:
    """Train a model, register it, call it the champion, and return its URI."""
    warnings.simplefilter("ignore")
    logging.getLogger("alembic").setLevel(logging.ERROR)
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(f"sqlite:///{DEMO / 'mlflow.db'}")
    mlflow.create_experiment("tumours", artifact_location=(DEMO / "mlflow").as_uri())
    mlflow.set_experiment("tumours")
    seen, unseen, right, expected = train_test_split(features, answers, test_size=0.25, random_state=0)
    model = HistGradientBoostingClassifier(random_state=0).fit(seen, right)
    console.print(f"right about {model.score(unseen, expected):.1%} of {len(unseen)} patients that it has not seen")
    with contextlib.redirect_stderr(io.StringIO()):  # it also talks without logging
        mlflow.sklearn.log_model(
            model,
            name="model",
            registered_model_name="tumours",
            signature=mlflow.models.infer_signature(seen, model.predict(seen)),
            serialization_format="cloudpickle",
        )
    mlflow.MlflowClient().set_registered_model_alias("tumours", "champion", "1")
    return "models:/tumours@champion"


def write_files(features: pd.DataFrame) -> None:
    """Write files of patients that resemble the real ones, every third of them parquet."""
    random = np.random.default_rng(0)
    for number in range(FILES):
        drawn = features.sample(ROWS, replace=True, random_state=number)
        measured = (drawn * random.normal(1, 0.02, drawn.shape)).round(5)
        if number % 3 == 2:
            measured.to_parquet(INPUT / f"clinic-{number:02d}.parquet", index=False)
        else:
            measured.to_csv(INPUT / f"clinic-{number:02d}.csv", index=False)


def spoil_some_files() -> None:
    """Break what breaks in practice: values, a column, an upload, a file that is something else."""
    first = INPUT / "clinic-00.csv"
    frame = pd.read_csv(first).astype(object)
    frame.loc[17, "mean_radius"] = "see letter"
    frame.loc[1_204, "worst_area"] = "1,204"
    frame.to_csv(first, index=False)
    renamed = INPUT / "clinic-04.csv"
    pd.read_csv(renamed).rename(columns={"mean_area": "area"}).to_csv(renamed, index=False)
    truncated = INPUT / "clinic-05.parquet"
    truncated.write_bytes(truncated.read_bytes()[:50_000])
    (INPUT / "clinic-06.csv").write_bytes(random_bytes(4_096))


def random_bytes(size: int) -> bytes:
    """Return bytes that are no text, the same in every run."""
    return np.random.default_rng(6).bytes(size)


def running_processes() -> list[psutil.Process]:
    """Return the processes that work for this demo, or would: hosts and scoring processes."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "-m" in command and any("dask_batch." in part for part in command) and str(DEMO) in " ".join(command):
            found.append(process)
    return found


def wait_until_idle() -> None:
    """Wait until no process works for this demo any more."""
    deadline = time.monotonic() + 60
    while running_processes() and time.monotonic() < deadline:
        time.sleep(0.1)


def count(processes: list[psutil.Process]) -> str:
    """Return how many processes there are, in words, with what they are."""
    if not processes:
        return "no process of dask-batch is running"
    lines = [f"\n  {process.pid:>7}  {' '.join(process.info['cmdline'][1:3])}" for process in processes]
    return f"{len(processes)} processes of dask-batch are running{''.join(lines)}"


def chapter(title: str) -> None:
    """Begin a chapter."""
    console.print()
    console.rule(f"[bold]{title}", align="left")


def show_table(frame: pd.DataFrame) -> None:
    """Show a small data frame."""
    table = Table(header_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in frame.columns:
        table.add_column(name, overflow="fold", justify="right" if name in ("row", "source_row") else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*("" if pd.isna(value) else str(value) for value in row))
    console.print(table)


def short(path: str | Path) -> str:
    """Return a path below the current folder without that folder."""
    return os.path.relpath(path) if str(path).startswith(os.getcwd()) else str(path)


def name_of(path: str) -> str:
    """Return the name of a file."""
    return os.path.basename(path)


def first_sentence(text: str) -> str:
    """Return the beginning of a message."""
    return text if len(text) <= 100 else f"{text[:99]}…"


if __name__ == "__main__":
    main()

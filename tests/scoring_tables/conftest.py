"""Real models, real files, a real sink; the scorer runs in the test's own process."""

from __future__ import annotations

import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from dask_batch.planning.formats import format_of
from dask_batch.scoring.cell import Cell
from dask_batch.scoring.guard import Guard
from dask_batch.scoring.logs import Logs
from dask_batch.scoring.outbox import Outbox
from dask_batch.scoring.scorer import Load, Place, Request
from dask_batch.scoring.sink import Sink
from dask_batch.scoring.tables import TableScorer

_attempts = itertools.count()


def split_of(path: Path | str, **more: Any) -> dict[str, Any]:
    """Return a whole local file as the plan describes it."""
    status = os.stat(path)
    split = {"path": str(path), "size": status.st_size, "version": str(status.st_mtime_ns), "last": True}
    return split | {"format": format_of(str(path)), "cut": "whole", "start": None, "stop": None} | more


class Scored:
    """What a chunk left behind."""

    def __init__(self, folder: Path, message: dict[str, Any]) -> None:
        self.message = message
        self.counts = message["counts"]
        self.warnings = message["warnings"]
        self.errors: list[dict[str, Any]] = []
        if message["errors"]:
            self.errors = [json.loads(line) for line in (folder / message["errors"]).read_text().splitlines()]
        self.table = pa.table({})
        if message["part"]:
            with pa.OSFile(str(folder / message["part"])) as file:
                self.table = pa.ipc.open_file(file).read_all()
        self.report = json.loads((folder / message["report"]).read_text())

    def column(self, name: str) -> list[Any]:
        return self.table.column(name).to_pylist()

    def rows(self) -> list[tuple[int, int]]:
        """Return (split, row) of each row."""
        return list(zip(self.column("__split"), self.column("__row"), strict=True)) if self.table.num_columns else []

    def failed(self) -> list[tuple[int, int | None]]:
        return [(error["split"], error["row"]) for error in self.errors]


class Driver:
    """A scorer, and how to give it chunks."""

    def __init__(self, scorer: Any, place: Place, folder: Path) -> None:
        self.scorer = scorer
        self.place = place
        self.folder = folder

    def score(
        self,
        *mini_batches: list[Any],
        first: int = 0,
        items: tuple[int, int | None] | None = None,
        params: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Scored:
        position = itertools.count()
        files: dict[str, int] = {}
        described = []
        for mini_batch in mini_batches:
            splits = [dict(one) if isinstance(one, dict) else split_of(one) for one in mini_batch]
            for split in splits:
                split["split"] = next(position)
                split["file"] = files.setdefault(split["path"], len(files))
                split.setdefault("bytes", split["size"])
            described.append(splits)
        message = {
            "job": "j",
            "run": 1,
            "chunk": [first, first + len(described), *(items or ())],
            "mini_batches": described,
            "folder": str(self.folder),
            "attempt": f"t{next(_attempts)}",
            "settings": {"max_retries": 0, **settings},
            "params": params or {},
        }
        request = Request.from_message(json.loads(json.dumps(message)))
        sink = Sink(request, self.place)
        self.scorer.score(request, sink)
        return Scored(self.folder, sink.commit())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Where a scorer works."""
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    here = os.getcwd()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    cell = Cell(str(scratch / "cell"), create=True)
    yield Place(str(scratch), cell, Guard(cell, Logs(), str(scratch / "work")), Outbox(str(scratch / "output")))
    os.chdir(here)
    cell.close()


@pytest.fixture
def drive(place: Place, tmp_path: Path) -> Callable[..., Driver]:
    """Load a model, or a script (its text), and return its driver."""

    def load(model: Path | None = None, script: str | None = None, scorer: Any = TableScorer, **more: Any) -> Driver:
        if script is None:
            message = Load(key="k", kind="mlflow", input_format="table", model_path=str(model), **more)
        else:
            code = tmp_path / "code"
            code.mkdir()
            name = f"score_{next(_attempts)}.py"
            (code / name).write_text(script)
            message = Load("k", "script", "table", None, str(code), name, **more)
        return Driver(scorer(message, place), place, tmp_path / "job")

    return load


def quiet_import() -> None:
    """Import mlflow, which warns of itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import mlflow.sklearn  # noqa: F401


@pytest.fixture(scope="session")
def adder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that returns 2 a + b, for doubles a and b."""
    quiet_import()
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    inputs = pd.DataFrame({"a": [0.0, 1.0, 0.0], "b": [0.0, 0.0, 1.0]})
    model = LinearRegression().fit(inputs, 2 * inputs.a + inputs.b)
    path = tmp_path_factory.mktemp("models") / "adder"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(inputs, model.predict(inputs))
        mlflow.sklearn.save_model(model, path, signature=signature, pip_requirements=["scikit-learn", "mlflow"])
    return path


def save_pyfunc(path: Path, code: str, signature: Any = None) -> Path:
    """Save a Python model from its source: ``def predict(frame, params): …``."""
    quiet_import()
    import mlflow.pyfunc

    source = path.parent / f"{path.name}.py"
    head = "import mlflow\nimport numpy as np\nimport pandas as pd\n"
    tail = (
        "\nclass Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return predict(model_input, params)\n"
        "mlflow.models.set_model(Model())\n"
    )
    source.write_text(head + code + tail)
    requirements = ["mlflow", "no-such-package-here==1.0"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(path, python_model=str(source), signature=signature, pip_requirements=requirements)
    return path


@pytest.fixture
def pyfunc(tmp_path: Path) -> Callable[..., Path]:
    """Save a Python model from its source."""
    names = itertools.count()

    def save(code: str, signature: Any = None) -> Path:
        return save_pyfunc(tmp_path / f"model{next(names)}", code, signature)

    return save


@pytest.fixture
def split() -> Callable[..., dict[str, Any]]:
    """Describe a file as the plan does."""
    return split_of


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write an input file and return its path."""

    def make(name: str, content: str | bytes) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make

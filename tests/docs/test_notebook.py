"""The notebooks run from top to bottom, and are stored without outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


@pytest.fixture
def execute(reader, tmp_path):
    """Return a function that runs a notebook in a folder of its own and returns what its cells show."""

    def run(name: str, compute: str) -> list[dict]:
        copy = tmp_path / name
        shutil.copy(NOTEBOOKS / name, copy)
        try:
            done = reader("-c", EXECUTE, str(copy), samples=False)
        finally:
            # The job's workspace has a host of its own, which would wait for more work.
            for workspace in tmp_path.glob("*/*/workspace"):
                stop = ("compute", "stop", "--name", compute, "--root", str(workspace))
                reader("-m", "dask_batch.cli", *stop, samples=False)
        assert done.returncode == 0, done.stderr
        return [output for cell in json.loads(copy.read_text())["cells"] for output in cell.get("outputs", [])]

    return run


def text_of(shown: list[dict], kind: str) -> str:
    return "\n".join("".join(output.get("data", {}).get(kind, "")) for output in shown)


def printed(shown: list[dict], where: str) -> str:
    return "".join("".join(output["text"]) for output in shown if output.get("name") == where)


@pytest.mark.parametrize("notebook", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.timeout(600)
def test_the_first_job_runs_and_shows_jobs_as_cards(execute):
    shown = execute("first-job.ipynb", compute="local")
    html = text_of(shown, "text/html")
    assert "Completed" in html
    assert "role='progressbar'" in html
    assert printed(shown, "stderr") == ""


@pytest.mark.timeout(600)
def test_the_job_on_slurm_runs_and_its_end_leaves_nothing(slurm, execute):
    shown = execute("slurm.ipynb", compute="hpc")
    assert "Completed" in text_of(shown, "text/html")
    assert "#SBATCH" in printed(shown, "stdout") and "-host" in printed(shown, "stdout")
    assert "clinic-07.parquet" in text_of(shown, "text/html")
    assert "True" in text_of(shown, "text/plain").splitlines(), "the same without an instance"
    assert printed(shown, "stderr") == ""

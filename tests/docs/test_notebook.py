"""The notebook runs from top to bottom, and is stored without outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "notebooks" / "first-job.ipynb"

EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_the_notebook_is_stored_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell.id for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.timeout(600)
def test_the_notebook_runs_and_shows_jobs_as_cards(reader, tmp_path):
    copy = tmp_path / NOTEBOOK.name
    shutil.copy(NOTEBOOK, copy)
    done = reader("-c", EXECUTE, str(copy), samples=False)
    for workspace in tmp_path.glob("first-job/*/workspace"):
        # It has a host of its own, which would wait for more work.
        reader("-m", "dask_batch.cli", "compute", "stop", "--name", "local", "--root", str(workspace), samples=False)
    assert done.returncode == 0, done.stderr
    shown = [output for cell in json.loads(copy.read_text())["cells"] for output in cell.get("outputs", [])]
    html = "".join("".join(output.get("data", {}).get("text/html", "")) for output in shown)
    assert "Completed" in html
    assert "role='progressbar'" in html
    assert [output for output in shown if output.get("name") == "stderr"] == []

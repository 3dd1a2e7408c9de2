"""A file that cannot be read in time costs itself, not the files that are read with it."""

from __future__ import annotations

import os

import pytest

from dask_batch import ModelDeployment

SCRIPT = "def init(): pass\ndef run(frame): return frame['a'] * 2\n"


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["small files", "large files"])
def test_only_the_file_that_hangs_fails(ws, tmp_path, odd_store, size):
    odd_store("open", "dask_batch.scoring", when="'stuck' in path")
    code, inputs = tmp_path / "code", tmp_path / "in"
    code.mkdir()
    inputs.mkdir()
    (code / "score.py").write_text(SCRIPT)
    for name in ("a", "b-stuck", "c", "d"):
        (inputs / f"{name}.csv").write_text("a\n" + "1\n" * (size // 2))
    endpoint = ws.endpoints.create("tables")
    endpoint.deploy(
        ModelDeployment(
            name="doubled",
            code=str(code),
            scoring_script="score.py",
            input_format="table",
            read_timeout=2,
            max_retries=0,
        )
    )
    job = endpoint.invoke(f"odd://{inputs}").wait(120, show=False)
    failed = job.errors()
    assert [os.path.basename(file) for file in failed["file"]] == ["b-stuck.csv"]
    assert failed["type"].tolist() == ["ReadTimeout"]
    assert len(job.results()) == 3 * (size // 2)

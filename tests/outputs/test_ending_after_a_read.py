"""A process that ends right after it read something ends well: no thread of Arrow's is left at work."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from dask_batch.outputs.finalize import finalize

# Ends many processes, each right after a read. They are forks, as a fresh interpreter takes its time for imports.
_ENDINGS = """
import os, sys
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.plan import Plan
from dask_batch.jobs.readers import read_output
from dask_batch.outputs.records import read_mini_batches
from dask_batch.storage import Storage
import pandas, pyarrow.dataset

what, where, endings = sys.argv[1], sys.argv[2], int(sys.argv[3])
reads = {
    "output": lambda: read_output(where, ["predictions.parquet/0.parquet"], None, "arrow"),
    "mini-batches": lambda: read_mini_batches(JobFolder(Storage(where), "j"), [None]),
    "plan": lambda: Plan.read(JobFolder(Storage(where), "j")),
}
running, codes = 0, []
for n in range(endings + 4):
    if n >= 4:
        codes.append(os.waitstatus_to_exitcode(os.wait()[1]))
    if n < endings and os.fork() == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        reads[what]()
        sys.exit(0)
print(sum(code != 0 for code in codes))
"""


def ended_badly(what, where, endings=80):
    """Return how many processes of `endings` did not end well."""
    command = [sys.executable, "-c", _ENDINGS, what, str(where), str(endings)]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout)


@pytest.fixture
def done(make_job, make_rows):
    job = make_job()
    job.plan([(0, "/in/a.csv")])
    job.commit((0, 1), make_rows([0], [0], p=[1]))
    finalize(job.folder, job.decide())
    return job.folder.storage.root


@pytest.mark.parametrize("what", ["plan", "mini-batches"])
def test_after_the_files_of_a_job(done, what):
    assert ended_badly(what, done) == 0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_after_an_output(tmp_path, kind):
    rows = pa.table({"item": [0, 1], "prediction": [1.5, 2.5]})
    where = tmp_path / f"predictions.{kind}"
    if kind == "csv":
        pc.write_csv(rows, where)
    else:
        where.mkdir()
        pq.write_table(rows, where / "0.parquet")
    assert ended_badly("output", where) == 0

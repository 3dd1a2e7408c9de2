"""A workspace behind S3: local input is uploaded, the job runs, results come back, clients meet the host there."""

from __future__ import annotations

import pytest
from servers.s3 import s3_server

from dask_batch import ModelDeployment, Workspace


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as url:
        yield url


def test_a_job_runs_in_a_workspace_on_s3_with_local_input(bucket, code, files, tmp_path):
    catalog = f"sqlite:///{tmp_path}/catalog.sqlite"
    with Workspace(f"{bucket}/workspace", catalog=catalog) as ws:
        endpoint = ws.endpoints.create("counter")
        endpoint.deploy(ModelDeployment(name="chars", code=str(code), scoring_script="score.py", max_retries=0))
        job = endpoint.invoke(files)
        assert job.inputs[0].startswith(f"{bucket}/workspace/data/")
        assert job.wait(120).status == "Completed"
        assert list(job.results()["prediction"]) == [f"{n:02d}.txt={n}" for n in range(12) if n != 7]
        assert len(job.errors()) == 1 and "script is ready" in job.logs()
        assert "host of compute local" in job.logs("host")
        # The same files are uploaded once.
        second = endpoint.invoke(str(files / "*.txt"), output=tmp_path / "out")
        assert second.inputs == job.inputs
        assert len(second.wait(120).results()) == 11

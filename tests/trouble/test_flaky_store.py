"""A store that refuses, drops, cuts off and keeps waiting one request in ten: jobs do not notice."""

from __future__ import annotations

import os

import fsspec
import pytest
from servers.flaky import flaky_network
from servers.s3 import s3_server

from dask_batch import ModelDeployment, Workspace
from dask_batch.jobs.hosts import stop_host

SCRIPT = """
import os

def init(): pass

def run(mini_batch):
    names = [os.path.basename(path) for path in mini_batch]
    texts = [open(path).read() for path in mini_batch]
    if "bad" in texts:
        raise ValueError("a bad file")
    with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], names[0] + ".out"), "w") as left:
        left.write("-".join(texts))
    return names
"""


@pytest.fixture
def network():
    """A bucket, and a network to it that cannot be relied on yet can."""
    with s3_server() as bucket, flaky_network(os.environ["FSSPEC_S3_ENDPOINT_URL"], seed=11, share=0.0) as network:
        fs = fsspec.filesystem("s3")
        for n in range(30):
            fs.pipe_file(f"{bucket}/in/{n:03d}.txt", b"bad" if n == 17 else str(n).encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FSSPEC_S3_ENDPOINT_URL", network.endpoint)
            patch.setitem(fsspec.config.conf, "s3", fsspec.config.conf["s3"] | {"endpoint_url": network.endpoint})
            fs.clear_instance_cache()
            yield bucket, network


def test_a_job_on_a_flaky_store_ends_as_on_a_good_one(network, tmp_path):
    bucket, lines = network
    code = tmp_path / "code"
    code.mkdir()
    (code / "score.py").write_text(SCRIPT)
    with Workspace(f"{bucket}/ws", catalog=f"sqlite:///{tmp_path}/catalog.sqlite") as ws:
        endpoint = ws.endpoints.create("e")
        endpoint.deploy(
            ModelDeployment(name="d", code=str(code), scoring_script="score.py", mini_batch_size=2, max_retries=0)
        )
        lines.share = 0.1
        try:
            job = endpoint.invoke(f"{bucket}/in").wait(240, show=False)
            assert job.results()["prediction"].tolist() == [f"{n:03d}.txt" for n in range(30) if n != 17]
            assert job.errors()["type"].tolist() == ["ValueError"]
            counts = job.status.counts
            assert (counts.items, counts.succeeded, counts.failed, counts.collected) == (30, 29, 1, 15)
            assert sum(lines.happened[kind] > 0 for kind in lines.happened if kind != "none") >= 4
        finally:
            lines.share = 0.0
            stop_host(ws.storage, "local")

"""Everything behind real servers: workspace, inputs and outputs on S3, the catalog in PostgreSQL."""

from __future__ import annotations

import fsspec
import pandas as pd
import pytest
from at_work import PATIENCE_S, end_host, host_process, write
from servers.postgres import postgres_server
from servers.s3 import s3_server

from dask_batch import ModelDeployment, Workspace
from dask_batch.errors import AlreadyExists, CatalogError, InputEmpty, InputError, InputMissing, StorageError

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, -2.5], "name": ["x", "y", "z"]})

SLOW = """
import os
import time

def init(): pass

def run(mini_batch):
    time.sleep(0.2)
    return [os.path.basename(path) for path in mini_batch]
"""

COLLECTING = """
import os

def init():
    print("ready over there")

def run(mini_batch):
    for path in mini_batch:
        if "bad" in open(path).read():
            raise ValueError(f"{os.path.basename(path)} is bad")
        with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], os.path.basename(path) + ".copy"), "w") as copy:
            copy.write(open(path).read() * 2)
    return [os.path.basename(path) for path in mini_batch]
"""


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module")
def remote(settled, bucket, tmp_path_factory, linear):
    """A workspace on S3 with a script and a model; its host lives for the module."""
    catalog = f"sqlite:///{tmp_path_factory.mktemp('catalog')}/catalog.sqlite"
    with pytest.MonkeyPatch.context() as patch, Workspace(f"{bucket}/work space", catalog=catalog) as ws:
        patch.setenv("DASK_BATCH_HOST_IDLE", "60")
        folder = write(tmp_path_factory.mktemp("code"), "score.py", COLLECTING).parent
        ws.endpoints.create("script").deploy(
            ModelDeployment(name="d", code=str(folder), scoring_script="score.py", max_retries=0)
        )
        ws.endpoints.create("model").deploy(ModelDeployment(name="m", model=str(linear)))
        yield ws
        end_host(ws)


@pytest.fixture
def stays(monkeypatch):
    monkeypatch.setenv("DASK_BATCH_HOST_IDLE", "60")


def put(url: str, content: bytes | str) -> str:
    with fsspec.open(url, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return url


def test_a_script_reads_and_writes_s3_and_its_failures_and_logs_come_back(remote, bucket, stays, tmp_path):
    names = [f"{n} ü#%.txt" for n in range(8)]
    for n, name in enumerate(names):
        put(f"{bucket}/in/{name}", "bad" if n == 5 else str(n))
    put(f"{bucket}/in/_SUCCESS", "")
    out = f"{bucket}/results/one"
    job = remote.endpoints["script"].invoke(f"{bucket}/in", output=out, mini_batch_size=3).wait(PATIENCE_S, show=False)
    good = [name for n, name in enumerate(names) if n != 5]
    assert job.results()["prediction"].tolist() == good
    assert job.results()["source_file"].tolist() == [f"{bucket}/in/{name}" for name in good]
    assert job.errors()["file"].tolist() == [f"{bucket}/in/{names[5]}"]
    assert "score.py" in job.errors()["traceback"][0]
    assert "ready over there" in job.logs() and "begins" in job.logs("host")
    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    found = sorted(path.rsplit("/", 1)[1] for path in fs.ls(out, detail=False))
    assert found == sorted(["_SUCCESS", "_owner.json", "predictions.csv", *(f"{name}.copy" for name in good)])
    copy = job.download(tmp_path / "copy")
    assert (tmp_path / "copy" / f"{names[0]}.copy").read_text() == "00" and copy == str(tmp_path / "copy")
    with pytest.raises(AlreadyExists, match="overwrite=True"):
        remote.endpoints["script"].invoke(f"{bucket}/in", output=out)
    again = remote.endpoints["script"].invoke(f"{bucket}/in/0*", output=out, overwrite=True)
    assert again.wait(PATIENCE_S, show=False).results()["prediction"].tolist() == names[:1]


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # raised inside Dask
def test_tables_of_any_format_on_s3_give_the_same_rows_as_local_ones(remote, bucket, stays, tmp_path):
    put(f"{bucket}/tables/a.csv", FRAME.to_csv(index=False))
    put(f"{bucket}/tables/b.parquet", FRAME.to_parquet())
    put(f"{bucket}/tables/deep/c.jsonl", FRAME.to_json(orient="records", lines=True))
    put(f"{bucket}/tables/d.parquet", FRAME.to_parquet()[:200])
    endpoint = remote.endpoints["model"]
    job = endpoint.invoke(f"{bucket}/tables", output_file_name="p.parquet").wait(PATIENCE_S, show=False)
    rows = job.results()
    assert rows["prediction"].tolist() == [2.5, 5.5, 3.5] * 3
    assert job.errors()["file"].tolist() == [f"{bucket}/tables/d.parquet"]
    assert job.results("dask").compute()["prediction"].tolist() == rows["prediction"].tolist()
    # A frame, and local files, reach the host through the bucket.
    assert endpoint.invoke(FRAME).wait(PATIENCE_S, show=False).results()["prediction"].tolist() == [2.5, 5.5, 3.5]
    local = write(tmp_path, "local.csv", FRAME.to_csv(index=False))
    assert len(endpoint.invoke(local).wait(PATIENCE_S, show=False).results()) == 3


def test_what_is_not_there_on_s3_is_named(remote, bucket, stays):
    put(f"{bucket}/there/data.txt", "x")
    endpoint = remote.endpoints["script"]
    before = remote.storage.list("jobs")
    with pytest.raises(InputMissing, match=r"nowhere' does not exist"):
        endpoint.invoke(f"{bucket}/nowhere")
    with pytest.raises(InputMissing, match=r"did you mean '.*/there/data\.txt'"):
        endpoint.invoke(f"{bucket}/there/dat.txt")
    with pytest.raises(InputMissing, match="no file matches"):
        endpoint.invoke(f"{bucket}/there/*.csv")
    with pytest.raises((InputMissing, InputEmpty, InputError), match="no-such-bucket-here"):
        endpoint.invoke("s3://no-such-bucket-here/x")
    with pytest.raises(StorageError, match="no-such-bucket-here"):
        endpoint.invoke(f"{bucket}/there", output="s3://no-such-bucket-here/out")
    assert remote.storage.list("jobs") == before


def test_a_remote_workspace_needs_a_catalog_and_a_bucket(bucket, tmp_path):
    with pytest.raises(CatalogError, match="catalog must be named"):
        Workspace(f"{bucket}/other")
    with pytest.raises(StorageError, match="no-such-bucket-here"):
        Workspace("s3://no-such-bucket-here/w", catalog=f"sqlite:///{tmp_path}/c.sqlite")


def test_a_killed_host_on_s3_is_replaced_and_the_rows_are_those_of_an_undisturbed_run(
    remote, bucket, stays, make_scripted, eventually
):
    endpoint = make_scripted(remote, "slow", SLOW)
    for n in range(20):
        put(f"{bucket}/twenty/{n:02d}.txt", str(n))
    job = endpoint.invoke(f"{bucket}/twenty", mini_batch_size=1)
    eventually(lambda: job.peek().counts.items >= 2, "some files are scored", PATIENCE_S)
    assert host_process(remote) is not None and end_host(remote)
    assert job.wait(PATIENCE_S, show=False).results()["prediction"].tolist() == [f"{n:02d}.txt" for n in range(20)]


def test_a_catalog_in_postgresql_runs_jobs(settled, make_scripted, tmp_path, stays):
    with postgres_server() as server:
        catalog = server.create_database("workspace")
        with Workspace(tmp_path / "ws", catalog=catalog) as ws:
            try:
                endpoint = make_scripted(ws, "e", COLLECTING)
                for n in range(3):
                    write(tmp_path, f"in/{n}.txt", "bad" if n == 1 else "good")
                job = endpoint.invoke(tmp_path / "in", mini_batch_size=1, tags={"a": "b"}).wait(PATIENCE_S, show=False)
                assert job.results()["prediction"].tolist() == ["0.txt", "2.txt"]
                with Workspace(tmp_path / "ws", catalog=catalog) as again:
                    assert [one.name for one in again.jobs.list(tag="a=b", status="Completed")] == [job.name]
                    assert not (tmp_path / "ws/catalog.sqlite").exists()
            finally:
                end_host(ws)

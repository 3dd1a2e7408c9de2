"""Jobs from the first call to the last: a real host, real scoring processes, real files."""

from __future__ import annotations

import multiprocessing
import os
import time

import pandas as pd
import pytest
from servers.providers import on_every_provider

from dask_batch import ModelDeployment, Workspace
from dask_batch.errors import AlreadyExists, JobCanceled, JobFailed, NotFound, Refused, WaitTimeout

pytestmark = on_every_provider


def test_a_script_scores_files_and_the_bad_one_stands_in_the_errors(ws, scripted, files):
    job = scripted.invoke(files, mini_batch_size=5, tags={"team": "a"})
    assert job.wait(60).status == "Completed"

    found = job.results()
    assert list(found["prediction"]) == [f"{n:02d}.txt={n}" for n in range(12) if n != 7]
    errors = job.errors()
    assert [os.path.basename(path) for path in errors["file"]] == ["07.txt"]
    assert errors["message"][0] == "cannot score 07.txt"
    assert errors["traceback"][0].splitlines()[1].strip().startswith("File") and "score.py" in errors["traceback"][0]
    assert job.progress == 1.0
    assert job.mini_batches()["items"].sum() == 12
    assert "script is ready" in job.logs()
    assert "host of compute local" in job.logs("host")
    assert job.cost.slot_seconds > 0
    assert {event["finish"] for event in job.events() if event["event"] == "state"} >= {"Running", "Completed"}
    assert "Completed" in repr(job) and "Completed" in job._repr_html_()

    # Any process finds it by name, and lists show it newest first.
    assert ws.jobs[job.name].results().equals(found)
    assert [one.name for one in ws.jobs.list(endpoint="counter", status="Completed", tag="team=a")] == [job.name]
    assert ws.jobs.list(tag="team=b") == []
    assert ws.jobs.list().to_pandas()["failed"].tolist() == [1]


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")  # raised inside Dask
def test_results_come_as_arrow_dask_and_path_and_can_be_downloaded(ws, scripted, files, tmp_path):
    target = tmp_path / "out"
    job = scripted.invoke(files, output=target, output_file_name="rows.parquet").wait(60)
    assert job.outputs == {"score": str(target)}
    assert job.results("path") == str(target / "rows.parquet")
    assert job.results("arrow").num_rows == 11
    assert len(job.results("dask").compute()) == 11
    copy = job.download(tmp_path / "copy")
    assert len(pd.read_parquet(os.path.join(copy, "rows.parquet"))) == 11
    with pytest.raises(AlreadyExists, match="not empty"):
        job.download(copy)
    with pytest.raises(AlreadyExists, match="overwrite=True"):
        scripted.invoke(files, output=target)
    assert [one.name for one in ws.jobs.list()] == [job.name]
    again = scripted.invoke(files, output=target, overwrite=True, output_file_name="rows.parquet").wait(60)
    assert len(again.results()) == 11


def test_an_mlflow_model_scores_a_frame_and_carries_its_columns_along(ws, model, files):
    from sklearn.datasets import load_iris

    endpoint = ws.endpoints.create("iris")
    endpoint.deploy(ModelDeployment(name="lr", model=str(model)))
    frame = load_iris(as_frame=True).data.assign(code="007")
    job = endpoint.invoke(frame, include_inputs=["code"], output_file_name="p.parquet").wait(120)
    found = job.results()
    assert len(found) == 150
    assert found["code"].unique().tolist() == ["007"]
    assert found["source_row"].tolist() == list(range(150))
    # The same frame is written once.
    assert len([name for name in ws.storage.list("data") if not name.endswith(".json")]) == 1
    # Csv has no types of its own, and yet a text of digits stays one.
    text = endpoint.invoke(frame, include_inputs=["code"]).wait(120).results()
    assert text["code"].unique().tolist() == ["007"] and text["prediction"].equals(found["prediction"])
    tried = endpoint.default_deployment.test(frame, max_items=20)
    assert (tried.items, len(tried.outputs), len(tried.errors)) == (20, 20, 0)
    estimate = endpoint.estimate(frame)
    assert estimate.items == 150 and "earlier job" in estimate.source


def test_canceling_takes_effect_while_run_blocks_and_leaves_a_readable_job(ws, scripted, files, eventually):
    job = scripted.invoke(files, mini_batch_size=1, params={"sleep": 0.5}, max_concurrency_per_instance=1)
    eventually(lambda: job.status.counts.items > 0, "something is scored", 60)
    began = time.monotonic()
    job.cancel()
    assert job.status == "Canceled" and time.monotonic() - began < 10
    assert 0 < len(job.results(partial=True)) < 11
    with pytest.raises(JobCanceled, match="partial=True"):
        job.results()
    with pytest.raises(JobCanceled, match="canceled by tester"):
        job.wait(10)
    with pytest.raises(Refused, match="too late"):
        job.cancel()
    assert [one.name for one in ws.jobs.list(status="Canceled")] == [job.name]


def test_a_failed_job_says_why_with_the_users_traceback_first(scripted, files):
    job = scripted.invoke(files, error_threshold=0)
    with pytest.raises(JobFailed) as caught:
        job.wait(60)
    message = str(caught.value)
    assert "cannot score 07.txt" in message and "score.py" in message
    assert message.index("Traceback") < message.index("next:")
    assert "job.errors()" in message and "logs" in message
    assert job.status == "Failed" and len(job.errors()) == 1


def test_waiting_can_time_out_while_the_job_goes_on(scripted, files):
    job = scripted.invoke(files, params={"sleep": 0.2})
    with pytest.raises(WaitTimeout, match="goes on"):
        job.wait(0.01)
    with pytest.raises(Refused, match=r"cancel\(\) it before"):
        job.delete()
    assert job.wait(60).status == "Completed"


def test_a_job_whose_host_was_killed_is_taken_up_again_by_waiting(ws, scripted, files, eventually, end_host):
    job = scripted.invoke(files, mini_batch_size=1, params={"sleep": 0.2}, max_concurrency_per_instance=1)
    eventually(lambda: job.status.counts.items > 0, "something is scored", 60)
    assert end_host()
    eventually(lambda: job.peek() == "Interrupted", "the dead host is noticed", 30)
    assert "no host runs" in job.peek().why
    assert job.wait(60).status == "Completed"
    assert len(job.results()) == 11 and len(job.errors()) == 1


def _invoke_with_key(root, files, barrier, answers):
    with Workspace(root) as ws:
        barrier.wait(30)
        answers.put(ws.endpoints["counter"].invoke(files, idempotency_key="monday").name)


def test_one_idempotency_key_makes_one_job_however_many_processes_invoke(ws, scripted, files):
    spawn = multiprocessing.get_context("spawn")
    barrier, answers = spawn.Barrier(3), spawn.Queue()
    processes = [
        spawn.Process(target=_invoke_with_key, args=(ws.storage.root, str(files), barrier, answers)) for _ in range(3)
    ]
    for process in processes:
        process.start()
    names = {answers.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(30)
    assert len(names) == 1
    assert [job.name for job in ws.jobs.list()] == list(names)
    assert len(ws.jobs[names.pop()].wait(60).results()) == 11
    # Three clients raced, and one host came of it.
    assert ws.storage.exists("hosts/local/tester/e1.json") and not ws.storage.exists("hosts/local/tester/e2.json")


def test_a_deleted_job_is_gone_and_its_outputs_elsewhere_stay(ws, scripted, files, tmp_path):
    job = scripted.invoke(files, output=tmp_path / "out").wait(60)
    job.delete()
    with pytest.raises(NotFound, match=job.name):
        ws.jobs[job.name]
    assert (tmp_path / "out" / "predictions.csv").exists() and ws.jobs.list() == []


def test_stream_prints_what_the_script_prints(scripted, files, capsys):
    scripted.invoke(files).stream(60)
    printed = capsys.readouterr().out
    assert "script is ready" in printed and "Completed" in printed


def test_errors_are_in_input_order_and_columns_that_nobody_has_are_named(ws, model, tmp_path):
    from sklearn.datasets import load_iris

    data = load_iris(as_frame=True).data.astype(object)
    data.iloc[7, 0] = "see letter"
    data.iloc[20, 1] = "see letter"
    folder = tmp_path / "in"
    folder.mkdir()
    data.to_csv(folder / "b.csv", index=False)
    (folder / "a.csv").write_text("nothing\n1\n")
    data.iloc[:10].to_csv(folder / "c.csv", index=False)
    endpoint = ws.endpoints.create("iris")
    endpoint.deploy(ModelDeployment(name="v1", model=str(model)))
    job = endpoint.invoke(folder).wait(60)
    found = job.errors()
    assert [
        (os.path.basename(file), row) for file, row in zip(found["file"], found["row"].fillna(-1), strict=True)
    ] == [
        ("a.csv", -1),
        ("b.csv", 7),
        ("b.csv", 20),
        ("c.csv", 7),
    ]
    with pytest.raises(JobFailed, match=r"names 'petal', which no file .*columns: nothing, petal length"):
        endpoint.invoke(folder, include_inputs=["petal"]).wait(60)

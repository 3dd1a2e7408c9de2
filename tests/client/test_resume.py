"""Resuming: done work stays done, and the next run may be more patient."""

from __future__ import annotations

import pytest
from servers.providers import on_every_provider

import dask_batch as db
from dask_batch.errors import InvalidDefinition, JobCanceled, JobFailed, Refused

pytestmark = on_every_provider

SCRIPT = """
import os, time

def init(): pass

def run(mini_batch):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("".join(os.path.basename(path) + "\\n" for path in mini_batch))
    numbers = [int(open(path).read()) for path in mini_batch]
    if os.environ.get("SLOW"):
        time.sleep(0.2)
    if any(number % 10 == 3 for number in numbers):
        raise ValueError("threes are bad")
    return numbers
"""


@pytest.fixture
def deployed(tmp_path, ws):
    """Return (workspace, endpoint, input folder, file that lists each file a run() got)."""
    code, inputs, calls = tmp_path / "code", tmp_path / "input", tmp_path / "calls"
    code.mkdir()
    inputs.mkdir()
    (code / "score.py").write_text(SCRIPT)
    for number in range(40):
        (inputs / f"{number:03d}.txt").write_text(str(number))
    endpoint = ws.endpoints.create("numbers")
    deployment = db.ModelDeployment(
        name="plain",
        code=str(code),
        scoring_script="score.py",
        mini_batch_size=1,
        max_retries=0,
        environment_variables={"CALLS": str(calls)},
    )
    endpoint.deploy(deployment)
    return ws, endpoint, inputs, calls


def test_a_failed_job_goes_on_from_what_is_finished(deployed):
    _, endpoint, inputs, calls = deployed
    job = endpoint.invoke(inputs, error_threshold=0)
    with pytest.raises(JobFailed, match="error_threshold"):
        job.wait(60, show=False)
    assert job.resume(error_threshold=-1).wait(60, show=False).status == "Completed"
    assert sorted(job.results()["prediction"]) == [n for n in range(40) if n % 10 != 3]
    assert len(job.errors()) == 4
    # What the ledger had was not scored again: only what was in hand when the first run ended.
    scored = calls.read_text().split()
    assert len(scored) < 40 + 20


def test_a_canceled_job_can_be_resumed(deployed):
    _, endpoint, inputs, _ = deployed
    job = endpoint.invoke(inputs, environment_variables={"SLOW": "1"})
    job.cancel()
    with pytest.raises(JobCanceled):
        job.wait(60, show=False)
    assert job.resume().wait(60, show=False).status == "Completed"
    assert len(job.results()) == 36


def test_a_completed_job_has_nothing_to_resume(deployed):
    _, endpoint, inputs, _ = deployed
    job = endpoint.invoke(inputs).wait(60, show=False)
    with pytest.raises(Refused, match="nothing to resume"):
        job.resume()


def test_what_the_plan_fixed_cannot_change(deployed):
    _, endpoint, inputs, _ = deployed
    job = endpoint.invoke(inputs, error_threshold=0)
    with pytest.raises(JobFailed):
        job.wait(60, show=False)
    with pytest.raises(InvalidDefinition, match="mini_batch_size cannot change"):
        job.resume(mini_batch_size=5)
    with pytest.raises(InvalidDefinition, match="did you mean 'timeout'"):
        job.resume(timeot=5)

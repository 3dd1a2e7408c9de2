"""What nodes share and what they do not: environments, scratch folders, a Python that only some of them have."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dask_batch import Environment, ModelDeployment
from dask_batch.errors import JobFailed

WITNESS = """
import os, sys

def init(): import roman
def run(mini_batch): return [f"{sys.prefix} {os.environ['AZUREML_BI_OUTPUT_PATH']}" for _ in mini_batch]
"""
PLAIN = """
def init(): pass
def run(mini_batch): return [1] * len(mini_batch)
"""


@pytest.fixture
def invoke(ground, tmp_path):
    """Return a function that deploys a script with an environment and then, after `meanwhile`, invokes it."""

    def deploy_and_invoke(script, environment, meanwhile=lambda: None):
        code, given = tmp_path / "code", tmp_path / "given.txt"
        code.mkdir()
        (code / "score.py").write_text(script)
        given.write_text("x")
        endpoint = ground.ws.endpoints.create("e")
        deployment = ModelDeployment(name="d", code=str(code), scoring_script="score.py", compute="hpc", max_retries=0)
        endpoint.deploy(deployment.replace(environment=environment))
        meanwhile()
        return endpoint.invoke(given).wait(150, show=False)

    return deploy_and_invoke


def test_an_environment_is_built_where_nodes_share_it_and_scratch_files_are_on_their_own_disks(
    ground, invoke, tmp_path
):
    ground.compute(host="here", local_directory=f"{tmp_path}/$SLURMD_NODENAME")
    job = invoke(WITNESS, Environment(requirements=["roman==5.1"]))
    (prefix, place) = job.results()["prediction"][0].split()
    assert Path(prefix).parent == tmp_path / "scratch/environments"
    (node,) = tmp_path.glob("n?")
    assert Path(place).is_relative_to(node)
    assert not list(node.rglob("environments"))


def test_a_python_that_the_nodes_do_not_have_is_named(ground, invoke, tmp_path):
    here = tmp_path / "only here/bin/python"
    here.parent.mkdir(parents=True)
    here.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    here.chmod(0o755)
    ground.compute(host="here")
    with pytest.raises(JobFailed, match=r"(?s)only here/bin/python"):
        invoke(PLAIN, Environment(python=str(here)), here.unlink)

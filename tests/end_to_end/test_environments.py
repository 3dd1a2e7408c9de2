"""Environments: an interpreter, requirements, a pip-only conda file, and what is said where one cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from at_work import write
from uv import find_uv_bin

from dask_batch import Environment, ModelDeployment
from dask_batch.errors import DeploymentInvalid, EnvironmentFailed, InputMissing, InvalidDefinition

# A small pure package that the project itself does not need, so only the environment can have it.
WITNESS = (
    "import sys, roman\ndef init(): pass\ndef run(files): return [f'{roman.toRoman(7)} {sys.prefix}'] * len(files)\n"
)
CONDA = """
name: small
channels:
  - conda-forge
dependencies:
  - python={version}
  - pip<26
  - pip:
    - roman==5.1
"""


VERSION = "import sys\ndef init(): pass\ndef run(files): return ['%d.%d' % sys.version_info[:2]] * len(files)\n"
DOUBLE = "def init(): pass\ndef run(frame): return frame.assign(twice=frame['a'] * 2)[['twice', 'name']]\n"


def uv(*arguments: str) -> bool:
    """Run uv without trying again, as environments are built with it, and say whether it could."""
    quick = {**os.environ, "UV_HTTP_RETRIES": "0"}
    return subprocess.run([find_uv_bin(), *arguments], capture_output=True, env=quick).returncode == 0


@pytest.fixture(scope="module")
def oldest(tmp_path_factory) -> str:
    """The oldest Python that scoring runs on and that is here or can be downloaded; at worst the current one."""
    if uv("venv", "--python", "3.8", str(tmp_path_factory.mktemp("oldest") / "venv")):
        return "3.8"
    found = (f"3.{minor}" for minor in range(9, sys.version_info.minor) if uv("python", "find", f"3.{minor}"))
    return next(found, f"3.{sys.version_info.minor}")


@pytest.fixture
def small(tmp_path) -> dict[str, object]:
    """A conda file's environment; its content is the same for all tests, and it is built once."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"conda_file": str(write(tmp_path, "conda.yaml", CONDA.format(version=version)))}


@pytest.fixture
def endpoint(home, request):
    """An endpoint of the test's own."""
    return home.endpoints.create(request.node.name.replace("_", "-")[:60].strip("-"))


def deployment(name, folder, **keywords):
    return ModelDeployment(name=name, code=folder, scoring_script="score.py", max_retries=0, **keywords)


def built() -> list[Path]:
    return list((Path(os.environ["DASK_BATCH_SCRATCH"]) / "environments").glob("*/.complete"))


def test_a_conda_file_of_pip_packages_is_built_once_and_shared(endpoint, code, small, score, tmp_path):
    endpoint.deploy(deployment("one", code(WITNESS), environment=Environment(**small)))
    count = len(built())
    assert count >= 1
    endpoint.deploy(deployment("two", code(WITNESS + "\n"), environment=Environment(name="again", **small)))
    assert len(built()) == count
    file = write(tmp_path, "in.txt", "x")
    said = {name: score(endpoint, file, deployment=name).results()["prediction"][0] for name in ("one", "two")}
    assert said["one"] == said["two"]
    word, prefix = said["one"].split()
    assert word == "VII" and prefix != sys.prefix and "environments" in prefix


def test_scripts_and_tables_run_on_the_oldest_python_that_can_be_had(endpoint, code, score, tmp_path, oldest):
    environment = Environment(conda_file={"dependencies": [f"python={oldest}", "pip", {"pip": ["pandas"]}]})
    endpoint.deploy(deployment("files", code(VERSION), environment=environment))
    job = score(endpoint, write(tmp_path, "in.txt", "x"), deployment="files")
    assert job.results()["prediction"].astype(str).tolist() == [oldest]
    endpoint.deploy(deployment("table", code(DOUBLE), environment=environment, input_format="table"))
    frame = pd.DataFrame({"a": [1, 2, 3], "name": ["x", "ü", None]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_parquet(tmp_path / "t.parquet")
    for ending in ("csv", "jsonl", "parquet"):
        rows = score(endpoint, tmp_path / f"t.{ending}", deployment="table").results()
        assert rows["twice"].tolist() == [2, 4, 6], ending
        assert rows["name"].fillna("").tolist() == ["x", "ü", ""], ending


# The model is logged with the newest MLflow, which an old Python does not get.
@pytest.mark.filterwarnings("ignore::dask_batch.endpoints.pinning.PackageMismatchWarning")
def test_an_mlflow_model_is_scored_on_the_oldest_python_that_can_be_had(endpoint, linear, score, tmp_path, oldest):
    environment = Environment(conda_file={"dependencies": [f"python={oldest}", {"pip": ["mlflow-skinny"]}]})
    endpoint.deploy(ModelDeployment(name="d", model=str(linear), environment=environment, max_retries=0))
    table = write(tmp_path, "t.csv", "a,b,name\n1,0.5,x\n2,,y\nbad,1,z\n3,1,\n")
    job = score(endpoint, table)
    assert job.results()["prediction"].fillna(-1).tolist() == [2.5, -1, 7]
    assert job.errors()["row"].tolist() == [2]


def test_an_environment_can_be_registered_and_named(home, endpoint, code, small):
    home.environments.create(Environment(name="small", **small))
    made = endpoint.deploy(deployment("one", code(WITNESS), environment="azureml:small@latest"))
    assert (made.snapshot.environment.name, made.snapshot.environment.version) == ("small", "1")


def test_an_interpreter_can_be_named_or_its_prefix(endpoint, code, small, score, tmp_path):
    prefix = built()[0].parent if built() else Path(sys.prefix)
    script = "import sys\ndef init(): pass\ndef run(files): return [sys.prefix] * len(files)\n"
    endpoint.deploy(deployment("folder", code(script), environment=Environment(python=str(prefix))))
    endpoint.deploy(deployment("file", code(script), environment=Environment(python=str(prefix / "bin/python"))))
    file = write(tmp_path, "in.txt", "x")
    for name in ("folder", "file"):
        assert score(endpoint, file, deployment=name).results()["prediction"].tolist() == [str(prefix)]


def test_requirements_can_be_a_file_or_a_list(endpoint, code, tmp_path):
    text = "# what the script needs\nroman==5.1  # small\n"
    endpoint.deploy(
        deployment("file", code(WITNESS), environment=Environment(requirements=str(write(tmp_path, "r.txt", text))))
    )
    count = len(built())
    endpoint.deploy(deployment("list", code(WITNESS), environment=Environment(requirements=["roman==5.1"])))
    assert len(built()) == count


def test_a_package_that_is_missing_is_named_when_it_is_deployed(endpoint, code):
    with pytest.raises(DeploymentInvalid, match=r"No module named 'roman'"):
        endpoint.deploy(deployment("none", code(WITNESS)))
    assert list(endpoint.deployments) == []


@pytest.mark.parametrize(
    ("environment", "kind", "says"),
    [
        ({"requirements": ["no-such-package-here-at-all==1.0"]}, EnvironmentFailed, "no-such-package-here-at-all"),
        ({"requirements": ["=="]}, EnvironmentFailed, "=="),
        ({"requirements": "nowhere.txt"}, InputMissing, r"nowhere\.txt"),
        ({"python": "/no/such/python"}, EnvironmentFailed, "no '/no/such/python'"),
        ({"python": "/bin/false"}, EnvironmentFailed, "cannot score"),
        ({"conda_file": "nowhere.yaml"}, InputMissing, r"nowhere\.yaml"),
        (
            {"conda_file": {"dependencies": ["python=3.11", "cudatoolkit=11"]}},
            InvalidDefinition,
            r"cudatoolkit.*python=",
        ),
        ({"conda_file": {"name": "x"}}, InvalidDefinition, "no list of dependencies"),
        ({"conda_file": {"dependencies": ["python=2.7", {"pip": ["roman"]}]}}, EnvironmentFailed, r"2\.7"),
        ({"python": "/usr/bin/python3", "requirements": ["roman"]}, InvalidDefinition, "keep one"),
    ],
)
def test_an_environment_that_cannot_be_had_says_why_and_what_next(home, code, environment, kind, says, request):
    names = list(home.endpoints)
    endpoint = home.endpoints["refusals"] if "refusals" in names else home.endpoints.create("refusals")
    with pytest.raises(kind, match=rf"(?s){says}"):
        endpoint.deploy(deployment("d", code(WITNESS), environment=Environment(**environment)))
    assert list(endpoint.deployments) == []


def test_variables_of_the_environment_reach_the_script_and_the_invocations_win(endpoint, code, score, tmp_path):
    script = (
        "import os\ndef init(): pass\ndef run(files): return [os.environ['A'] + os.environ['B'] + os.environ['C']]\n"
    )
    endpoint.deploy(
        deployment(
            "d",
            code(script),
            environment=Environment(environment_variables={"A": "env", "B": "env", "C": "env"}),
            environment_variables={"B": "dep", "C": "dep"},
        ),
        validate=False,
    )
    job = score(endpoint, write(tmp_path, "in.txt", "x"), environment_variables={"C": "inv"})
    assert job.results()["prediction"].tolist() == ["envdepinv"]

"""What environments ask for: requirements and conda files."""

from __future__ import annotations

import sys

import pytest

from dask_batch.errors import InputMissing, InvalidDefinition
from dask_batch.slots.building import python_for
from dask_batch.slots.requirements import pin_environment, read_conda, read_requirements
from dask_batch.specs.base import IgnoredKeyWarning
from dask_batch.specs.environment import Environment


def test_requirements_are_read_without_comments_and_with_the_files_they_include(tmp_path):
    (tmp_path / "base.txt").write_text("numpy>=1.26\n")
    (tmp_path / "requirements.txt").write_text("# ours\n-r base.txt\nscikit-learn==1.5.0  # pinned\n\n")
    assert read_requirements(str(tmp_path / "requirements.txt")) == ("numpy>=1.26", "scikit-learn==1.5.0")


def test_a_local_project_cannot_be_required(tmp_path):
    (tmp_path / "requirements.txt").write_text("-e .\n")
    with pytest.raises(InvalidDefinition, match=r"requirements.txt:1.*build a wheel"):
        read_requirements(str(tmp_path / "requirements.txt"))


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputMissing, match=r"nothing\.txt"):
        read_requirements(str(tmp_path / "nothing.txt"))


@pytest.mark.parametrize(
    ("python", "version"),
    [("python=3.11", "3.11"), ("python==3.10.4", "3.10.4"), ("python", None), ("python >=3.8, <3.10", ">=3.8,<3.10")],
)
def test_a_conda_file_of_python_and_pip_packages_needs_no_conda(python, version):
    conda = {"channels": ["conda-forge"], "dependencies": [python, "pip<24", {"pip": ["mlflow", "xgboost==2.0"]}]}
    assert read_conda(conda) == (version, ("mlflow", "xgboost==2.0"))


def test_a_conda_file_that_needs_conda_says_what_to_do():
    with pytest.raises(InvalidDefinition, match=r"cudatoolkit.*python="):
        read_conda({"dependencies": ["python=3.11", "cudatoolkit=11", {"pip": ["torch"]}]})


@pytest.mark.parametrize("package", ["python-dateutil", "pip-tools", "setuptools-scm", "python-dateutil=2.8"])
def test_packages_whose_names_begin_like_pythons_own_are_not_taken_for_them(package):
    with pytest.raises(InvalidDefinition, match=package):
        read_conda({"dependencies": ["python=3.11", package]})


def test_a_conda_file_cannot_include_another_file():
    with pytest.raises(InvalidDefinition, match=r"'-r more.txt' names another file"):
        read_conda({"dependencies": ["python=3.11", {"pip": ["numpy", "-r more.txt"]}]})


def test_bounds_on_python_take_the_hosts_own_where_it_will_do():
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert python_for(">=3.8") == python_for(None) == ours
    assert python_for(">=3.8,<3.10") == ">=3.8,<3.10"
    assert python_for("3.9.1") == "3.9.1"


def test_what_only_azures_driver_needs_is_left_out_with_a_warning():
    conda = {"dependencies": ["python=3.11", {"pip": ["azureml-core==1.6", "azureml-dataset-runtime[fuse]", "numpy"]}]}
    with pytest.warns(IgnoredKeyWarning, match="azureml-core"):
        assert read_conda(conda) == ("3.11", ("numpy",))


def test_the_same_content_has_the_same_digest_wherever_it_came_from(tmp_path):
    (tmp_path / "a.txt").write_text("numpy\n")
    from_file = pin_environment(Environment(requirements=str(tmp_path / "a.txt")))
    assert from_file.digest == pin_environment(Environment(requirements=("numpy",))).digest


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dependencies:\n  - python=3.11\n  - pip:\n", r"conda\.yaml:3: 'pip:' has no list of packages"),
        ("dependencies:\n  - pip: numpy\n", r"conda\.yaml:2: 'pip:' has no list of packages"),
        ("dependencies:\n  - [python\n", r"conda\.yaml:\d: is not valid YAML"),
        ("dependencies:\n  - pip:\n    - a: b: c\n", r"conda\.yaml:3: is not valid YAML"),
        ("- python\n", r"conda\.yaml: must hold one mapping"),
        ("name: x\n", r"conda\.yaml is not a conda file"),
    ],
)
def test_a_conda_file_that_cannot_be_understood_is_named_with_its_line(tmp_path, text, says):
    (tmp_path / "conda.yaml").write_text(text)
    with pytest.raises(InvalidDefinition, match=says):
        read_conda(str(tmp_path / "conda.yaml"))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://user:hunter2@host/simple",
        "--extra-index-url=https://:hunter2@host/simple",
        "tool @ git+https://hunter2hunter2hunter2hunter2@host/tool.git",
        "tool @ https://store/tool.whl?sv=2024&sig=hunter2%3D",
    ],
)
def test_a_password_in_requirements_is_refused_and_not_shown(tmp_path, line):
    (tmp_path / "requirements.txt").write_text(f"numpy\n{line}\n")
    (tmp_path / "conda.yaml").write_text(f"dependencies:\n  - pip:\n    - {line}\n")
    for given, where in (
        ({"requirements": str(tmp_path / "requirements.txt")}, r"requirements\.txt:2: "),
        ({"requirements": (line,)}, "requirements: "),
        ({"conda_file": str(tmp_path / "conda.yaml")}, r"conda\.yaml:3: "),
    ):
        with pytest.raises(InvalidDefinition, match=rf"{where}.*write \$\{{NAME\}}") as caught:
            pin_environment(Environment(**given))
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://user:${INDEX_PASSWORD}@host/simple",
        "--index-url https://${INDEX_TOKEN}@host/simple",
        "tool @ git+ssh://git@host/tool.git",
        "tool @ https://store/tool.whl?sig=${SIGNATURE}",
        "azure-tool @ git+https://ourselves@dev.azure.com/ourselves/tool",
    ],
)
def test_references_to_secrets_and_names_of_users_are_kept_as_they_are(line):
    assert pin_environment(Environment(requirements=(line,))).requirements == (line,)

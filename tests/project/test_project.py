"""The project itself: what importing it costs, and files that must agree with each other."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

import dask_batch

ROOT = Path(__file__).parents[2]


def test_environment_yml_names_the_packages_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == [*project["dependencies"], "-e ."]
    assert f"python{project['requires-python']}" in environment["dependencies"]


def test_importing_the_package_loads_nothing_heavy():
    heavy = "{'dask', 'distributed', 'mlflow', 'sqlalchemy', 'ipywidgets', 'pandas', 'pyarrow', 'pydantic'}"
    code = f"import sys, dask_batch; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    for name in dask_batch.__all__:
        assert getattr(dask_batch, name) is not None
    assert dask_batch.__all__ == sorted(dask_batch.__all__)


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "reference.md").read_text()
    missing = [name for name in dask_batch.__all__ if not name.startswith("_") and f"`{name}" not in reference]
    assert not missing

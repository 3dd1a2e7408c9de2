"""Environments built with uv: once per machine, by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

from packaging.specifiers import SpecifierSet

from dask_batch import settings
from dask_batch.errors import EnvironmentFailed
from dask_batch.slots.locks import file_lock
from dask_batch.slots.secrets import names_of_secrets, redacted
from dask_batch.specs.job import PinnedEnvironment

__all__ = ["OLDEST_PYTHON", "OWN_REQUIREMENTS", "AnotherPython", "build_environment", "python_for"]

OLDEST_PYTHON = (3, 8)
"""The oldest Python that dask_batch.scoring runs on."""

OWN_REQUIREMENTS = ("fsspec", "numpy", "pandas", "pyarrow")
"""What dask_batch.scoring itself imports."""


class AnotherPython(UserWarning):
    """An environment is built with another patch version of Python than it asks for."""


def build_environment(environment: PinnedEnvironment, mlflow: bool) -> str:
    """Return the interpreter of the virtual environment for some requirements, building it once per machine.

    Parameters
    ----------
    environment : PinnedEnvironment
        The requirements, and the Python version if one is asked for; by default it is that of this process.
    mlflow : bool
        Whether an MLflow model is loaded there, so that ``mlflow-skinny`` is needed.

    Raises
    ------
    EnvironmentFailed
        Its Python is too old or cannot be had, a secret is not set here, or uv cannot install the requirements.

    Warns
    -----
    AnotherPython
        The exact version of Python cannot be had, and another patch of it is used.
    """
    asked = [*(environment.requirements or ()), *OWN_REQUIREMENTS]
    if mlflow and not any(line.lower().startswith("mlflow") for line in asked):
        asked.append("mlflow-skinny")
    version = python_for(environment.python_version)
    _refuse_old(version)
    digest = hashlib.sha256(json.dumps([version, asked]).encode()).hexdigest()
    folder = settings.environments_folder() / digest[:24]
    executable = folder / "bin" / "python"
    if (folder / ".complete").exists():
        return str(executable)
    with file_lock(folder.with_suffix(".lock")):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _make(version, folder)
                _install(asked, str(executable), folder)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
            (folder / ".complete").touch()
    return str(executable)


def python_for(asked: str | None) -> str:
    """Return the Python to ask uv for: this process's minor version wherever that will do."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if asked is None:
        return ours
    if asked[0].isdigit():
        return asked
    return ours if SpecifierSet(asked).contains(f"{ours}.{sys.version_info.micro}") else asked


def _refuse_old(version: str) -> None:
    if not version[0].isdigit():
        return  # bounds: which Python that is shows when uv has found one
    major, _, rest = version.partition(".")
    # A major version alone is the newest of it that can be had.
    if (int(major), int(rest.partition(".")[0] or 99)) < OLDEST_PYTHON:
        raise EnvironmentFailed(
            f"the environment asks for Python {version}, and scoring needs Python "
            f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; ask for a newer one in its file"
        )


def _make(version: str, folder: Path) -> None:
    """Make an empty virtual environment; where a patch version cannot be had, with another patch of it."""
    minor = ".".join(version.split(".")[:2]) if version[0].isdigit() else version
    said = ""
    for candidate in dict.fromkeys([version, minor]):
        said = _uv(["venv", "--quiet", "--python", candidate, str(folder)])
        if not said:
            if candidate != version:
                warnings.warn(
                    f"Python {version} can neither be found nor downloaded on this machine: "
                    f"the environment is built with another Python {minor}",
                    AnotherPython,
                    stacklevel=2,
                )
            return
    raise EnvironmentFailed(
        f"the environment asks for Python {version}, and uv can neither find nor download a Python {minor} on this "
        "machine: install one, name an interpreter that has the packages with python=, or change the version in the "
        f"environment's file. uv says:\n{said}"
    )


def _install(asked: list[str], executable: str, folder: Path) -> None:
    for name in names_of_secrets(asked):
        if name not in os.environ:
            raise EnvironmentFailed(
                f"the environment's requirements refer to ${{{name}}}, which is not set where the environment is "
                "built; set it there. A host has what was set in the shell that started it: stop its compute with "
                "dask-batch compute stop, and invoke again from a shell that has it"
            )
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(asked) + "\n")
    said = _uv(["pip", "install", "--quiet", "--python", executable, "-r", str(listed)])
    if said:
        raise EnvironmentFailed(
            f"the environment could not be built (requirements {redacted(', '.join(asked))}). uv says:\n{said}"
        )


def _uv(arguments: list[str]) -> str:
    """Run uv; return the end of what it says of its failure, and "" if it did not fail."""
    from uv import find_uv_bin

    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(
        [find_uv_bin(), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if not done.returncode:
        return ""
    return redacted(_last_lines(done.stderr)) or f"(nothing; its exit status is {done.returncode})"


def _last_lines(text: str) -> str:
    """Return the end of what uv said, without what it warns of interpreters that it passed over."""
    text = re.sub(r"^warning: Failed to inspect Python interpreter.*?(?=^\S|\Z)", "", text, flags=re.M | re.S)
    return "\n".join(text.strip().splitlines()[-15:])

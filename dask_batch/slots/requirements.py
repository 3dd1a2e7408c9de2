"""What a deployment's environment asks for: requirements and conda files, read once and pinned as text."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any

from dask_batch.errors import InputMissing, InvalidDefinition
from dask_batch.slots.secrets import refuse_secrets
from dask_batch.specs.base import IgnoredKeyWarning
from dask_batch.specs.environment import Environment
from dask_batch.specs.job import PinnedEnvironment
from dask_batch.specs.yamlio import Document, read_yaml, written

__all__ = ["pin_environment", "read_conda", "read_requirements"]

# What Azure's own driver needs in every environment; scoring scripts run without.
_AZURE_DRIVER = re.compile(r"^azureml-(?:core|dataset-runtime|defaults)\b", re.IGNORECASE)
_PYTHON = re.compile(r"^python\s*(?:[=~]=?|==)\s*(\d+(?:\.\d+){0,2})(?:\.\*|=.*)?$")
# What uv takes as it is: bounds, as in python>=3.8,<3.11.
_PYTHON_RANGE = re.compile(r"^python\s*((?:[<>!]=?|==|~=)\s*\d[\d.*]*(?:\s*,\s*(?:[<>!]=?|==|~=)\s*\d[\d.*]*)*)$")
_TOOL = re.compile(r"^(?:python|pip|setuptools|wheel)(?![\w.-])")


def pin_environment(environment: Environment) -> PinnedEnvironment:
    """Read the files that an environment names and return what they ask for.

    Parameters
    ----------
    environment : Environment
        With at most one of ``python=``, ``requirements=`` and ``conda_file=``.

    Returns
    -------
    PinnedEnvironment
        The interpreter, or the requirements and Python version to build one from, with a digest over them.

    Raises
    ------
    InvalidDefinition
        A file cannot be understood, a conda file needs more than Python and pip packages, or a requirement has a
        password in it.
    InputMissing
        A file does not exist.
    """
    requirements: tuple[str, ...] | None = None
    version: str | None = None
    if environment.conda_file is not None:
        version, requirements = read_conda(environment.conda_file)
    elif environment.requirements is not None:
        given = environment.requirements
        requirements = read_requirements(given) if isinstance(given, str) else tuple(given)
        for line in requirements:
            refuse_secrets(line, "requirements")
    python = str(Path(environment.python).absolute()) if environment.python else None
    content = json.dumps([python, version, requirements])
    return PinnedEnvironment(
        name=environment.name,
        version=environment.version,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        python=python,
        requirements=requirements,
        python_version=version,
        environment_variables=environment.environment_variables,
    )


def read_requirements(path: str) -> tuple[str, ...]:
    """Return the requirement lines of a pip requirements file, without comments; ``-r`` files are read in.

    Raises
    ------
    InputMissing
        The file does not exist.
    InvalidDefinition
        A line is a local project, which cannot be kept, or has a password in it.
    """
    file = Path(path)
    lines: list[str] = []
    for number, raw in enumerate(_read(file).splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        if match := re.match(r"^(?:-r|--requirement)[ =]\s*(.+)$", line):
            lines += read_requirements(str(file.parent / match[1]))
        elif line.startswith(("-e", "--editable")) or re.match(r"^\.{0,2}/", line):
            raise InvalidDefinition(
                f"{path}:{number}: {line!r} is a local project, which other machines do not have; "
                "build a wheel, or name an interpreter that has it with python="
            )
        elif line:
            refuse_secrets(line, f"{path}:{number}")
            lines.append(line)
    return tuple(lines)


def read_conda(conda: str | dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """Return the Python version and pip requirements of a conda file, given as a path or its content.

    Conda itself is not needed: files whose packages are ``python`` and pip ones are built with uv.

    Raises
    ------
    InputMissing
        The file does not exist.
    InvalidDefinition
        It is not a conda file, asks for conda packages other than ``python`` and ``pip``, or has a password in it.
    """
    document = read_yaml(conda) if isinstance(conda, str) else Document(conda, "conda_file")
    where, dependencies = document.source, document.values.get("dependencies")
    if not isinstance(dependencies, list):
        raise InvalidDefinition(f"{where} is not a conda file: it has no list of dependencies")
    version: str | None = None
    requirements: list[str] = []
    more: list[str] = []
    for n, dependency in enumerate(dependencies):
        if isinstance(dependency, dict) and set(dependency) == {"pip"}:
            requirements += _pip_packages(dependency["pip"], document, n)
        elif match := _PYTHON.match(str(dependency)):
            version = match[1]
        elif match := _PYTHON_RANGE.match(str(dependency)):
            version = match[1].replace(" ", "")
        elif not _TOOL.match(str(dependency)):
            more.append(str(dependency))
    if more:
        raise InvalidDefinition(
            f"{where} asks for conda packages ({', '.join(more)}); only python and pip packages are built here. "
            "Move them under 'pip:', or build the environment with conda and name its prefix with python="
        )
    return version, _without_azure_driver(requirements, where)


def _pip_packages(packages: Any, document: Document, position: int) -> list[str]:
    key = ("dependencies", position, "pip")
    if not isinstance(packages, list) or not packages:
        raise InvalidDefinition(
            f"{document.place(key)}: 'pip:' has no list of packages below it; list them, each after a dash, or take "
            "'pip:' out"
        )
    lines = [str(written(line)) for line in packages]
    for n, line in enumerate(lines):
        if re.match(r"^(-r|--requirement)\b", line):
            raise InvalidDefinition(
                f"{document.place((*key, n))}: {line!r} names another file, which does not travel along; "
                "list its packages here, or give requirements= instead of a conda file"
            )
        refuse_secrets(line, document.place((*key, n)))
    return lines


def _without_azure_driver(requirements: list[str], where: str) -> tuple[str, ...]:
    left_out = [line for line in requirements if _AZURE_DRIVER.match(line)]
    if left_out:
        warnings.warn(
            f"{where}: {', '.join(left_out)} left out: only Azure's own driver needs them. "
            "If your script imports them, give requirements= instead",
            IgnoredKeyWarning,
            stacklevel=4,
        )
    return tuple(line for line in requirements if line not in left_out)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        raise InputMissing(f"{str(path)!r} does not exist; give the path of the environment's file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDefinition(f"{str(path)!r} cannot be read: {error}") from error

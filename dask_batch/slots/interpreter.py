"""The Python that a deployment's scoring processes run on: the host's own, a named one, or one built with uv."""

from __future__ import annotations

import functools
import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dask_batch import settings
from dask_batch.errors import EnvironmentFailed
from dask_batch.slots.building import OLDEST_PYTHON, OWN_REQUIREMENTS, build_environment
from dask_batch.slots.locks import file_lock
from dask_batch.specs.job import PinnedEnvironment

__all__ = ["Interpreter", "find_interpreter", "scoring_package"]

# Any Python can run it, however old. It says its version, and what it lacks; what is there must import.
_PROBE = f"""
import sys
print("%d.%d.%d" % sys.version_info[:3])
if sys.version_info >= {OLDEST_PYTHON}:
    import importlib.util
    lacking = [name for name in {OWN_REQUIREMENTS} if importlib.util.find_spec(name) is None]
    print(" ".join(lacking))
    if not lacking:
        import fsspec, numpy, pyarrow
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python executable, and what must be on its path for ``dask_batch.scoring`` to be importable."""

    executable: str
    pythonpath: str


def find_interpreter(environment: PinnedEnvironment | None, *, mlflow: bool) -> Interpreter:
    """Return the interpreter for an environment, building it first if it has requirements and is not built yet.

    Parameters
    ----------
    environment : PinnedEnvironment or None
        None: the Python that runs this process.
    mlflow : bool
        Whether an MLflow model is loaded there, so that ``mlflow-skinny`` is needed.

    Raises
    ------
    EnvironmentFailed
        The interpreter does not exist, cannot start, is too old, lacks a package, or could not be built; the message
        holds what it or uv said.
    """
    package = scoring_package()
    if environment is None or (environment.python is None and environment.requirements is None):
        return Interpreter(sys.executable, package)
    if environment.python is not None:
        executable = _in_prefix(environment.python)
        _probe(executable)
        return Interpreter(executable, package)
    return Interpreter(build_environment(environment, mlflow), package)


@functools.cache
def scoring_package() -> str:
    """Return a local folder that holds ``dask_batch.scoring`` and nothing else, to be put on ``PYTHONPATH``.

    The folder of an installed package would bring all other packages beside it along, into environments that have
    their own versions of them.
    """
    source = Path(__file__).parents[1]
    files = [source / "__init__.py", *sorted(source.glob("scoring/**/*.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(source)}\0".encode() + file.read_bytes())
    target = settings.scratch_folder() / "packages" / digest.hexdigest()[:16]
    if (target / ".complete").exists():
        return str(target)
    with file_lock(target.with_suffix(".lock")):
        if not (target / ".complete").exists():
            for file in files:
                copy = target / "dask_batch" / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                shutil.copyfile(file, copy)
            (target / ".complete").touch()
    return str(target)


def _in_prefix(python: str) -> str:
    """Return the interpreter for what the user named: an executable, or the prefix of an environment."""
    path = Path(python)
    executable = path / "bin" / "python" if path.is_dir() else path
    if not executable.exists():
        raise EnvironmentFailed(
            f"python={python!r}: there is no {str(executable)!r} on this machine; "
            "name an interpreter, or the folder of a virtual or conda environment"
        )
    return str(executable)


@functools.cache
def _probe(executable: str) -> None:
    """Make sure that an interpreter starts, is not too old, and has what scoring needs."""
    try:
        done = subprocess.run(
            [executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"python={executable!r} cannot be started: {error}") from error
    version, _, lacking = done.stdout.strip().partition("\n")
    if done.returncode and not lacking:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise EnvironmentFailed(f"python={executable!r} cannot score: {said[0]}. {_what_it_needs(executable)}")
    if lacking:
        names = ", ".join(lacking.split())
        raise EnvironmentFailed(f"python={executable!r} cannot score: it has no {names}. {_what_it_needs(executable)}")
    if tuple(int(part) for part in version.split(".")) < OLDEST_PYTHON:
        raise EnvironmentFailed(
            f"python={executable!r} is Python {version}, and scoring needs Python "
            f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; name an environment with a newer one"
        )


def _what_it_needs(executable: str) -> str:
    return f"It needs {', '.join(OWN_REQUIREMENTS)}: {executable} -m pip install {' '.join(OWN_REQUIREMENTS)}"

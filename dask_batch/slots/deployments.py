"""From a deployment's snapshot to a scoring process that has it loaded."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dask_batch.errors import EnvironmentFailed
from dask_batch.slots.assets import local_asset
from dask_batch.slots.interpreter import Interpreter, find_interpreter
from dask_batch.specs.job import DeploymentSnapshot
from dask_batch.specs.scoring_settings import ScoringSettings
from dask_batch.storage import Storage, join

__all__ = ["Loadable", "resolve_secret"]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class Loadable:
    """A deployment and what of a job's settings a scoring process keeps for its life.

    Parameters
    ----------
    snapshot : DeploymentSnapshot
        The deployment, pinned.
    settings : ScoringSettings
        The job's effective settings; threads, logging level and environment variables count here.
    """

    snapshot: DeploymentSnapshot
    settings: ScoringSettings

    @property
    def key(self) -> str:
        """Two jobs with the same key can use the same scoring process, one after the other."""
        kept = [
            self.snapshot.digest,
            self.settings.threads,
            self.settings.logging_level,
            sorted(self.settings.environment_variables.items()),
        ]
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:32]

    def interpreter(self) -> Interpreter:
        """Return the Python to run on; raises EnvironmentFailed."""
        return find_interpreter(self.snapshot.environment, mlflow=self.snapshot.kind == "mlflow")

    def environment(self, interpreter: Interpreter, gpu: str | None) -> dict[str, str]:
        """Return the environment variables of the process, secrets resolved.

        Parameters
        ----------
        interpreter : Interpreter
            What it runs on.
        gpu : str, optional
            The value for ``CUDA_VISIBLE_DEVICES``; None leaves it alone.
        """
        variables = dict(os.environ)
        threads = str(self.settings.threads)
        variables |= dict.fromkeys(_THREAD_VARIABLES, threads)
        variables["PYTHONUNBUFFERED"] = "1"
        if gpu is not None:
            variables["CUDA_VISIBLE_DEVICES"] = gpu
        variables |= self._user_variables()
        variables["PYTHONPATH"] = self._python_path(interpreter)
        return variables

    def load_message(self, storage: Storage) -> dict[str, Any]:
        """Return the protocol's ``load`` message, with the model and code on this machine's disk."""
        model, code = self.snapshot.model, self.snapshot.code
        return {
            "op": "load",
            "key": self.key,
            "kind": self.snapshot.kind,
            "input_format": self.snapshot.input_format,
            "model_path": join(local_asset(storage, model.asset), model.base) if model else None,
            "code_path": join(local_asset(storage, code.asset), code.base) if code else None,
            "scoring_script": code.scoring_script if code else None,
            "environment_variables": self._user_variables(),
            "logging_level": self.settings.logging_level,
            "threads": self.settings.threads,
            "check_packages": True,
        }

    def _python_path(self, interpreter: Interpreter) -> str:
        """Return ``PYTHONPATH``: our own package first, or the process could not start; then what was set."""
        host = os.environ.get("PYTHONPATH") if self._same_python() else None
        given = self._user_variables().get("PYTHONPATH", host)
        return os.pathsep.join([interpreter.pythonpath, *([given] if given else [])])

    def _same_python(self) -> bool:
        environment = self.snapshot.environment
        return environment is None or (environment.python is None and environment.requirements is None)

    def _user_variables(self) -> dict[str, str]:
        environment = self.snapshot.environment
        variables = dict(environment.environment_variables) if environment else {}
        variables |= self.settings.environment_variables
        return {name: resolve_secret(name, value, self.snapshot.compute) for name, value in variables.items()}


def resolve_secret(name: str, value: str, compute: str = "local") -> str:
    """Return what a value ``env:NAME`` or ``file:PATH`` refers to on this machine; any other value as it is.

    Parameters
    ----------
    name, value : str
        The environment variable, and what its definition says.
    compute : str
        Where the job runs, for the message.

    Raises
    ------
    EnvironmentFailed
        The variable or file it refers to does not exist here.
    """
    kind, _, where = value.partition(":")
    if kind == "env" and where.isidentifier():
        if where not in os.environ:
            raise EnvironmentFailed(
                f"environment variable {name}={value!r}: {where} is not set here. A job has what was set in the shell "
                f"that its host was started from, and this one was started without it: set {where}, "
                f"run dask-batch compute stop -n {compute}, and invoke again; or use file:PATH"
            )
        return os.environ[where]
    if kind == "file" and where.startswith(("/", "~")):
        try:
            return Path(where).expanduser().read_text().rstrip("\n")
        except OSError as error:
            raise EnvironmentFailed(f"environment variable {name}={value!r}: {error}") from error
    return value

"""From a deployment's definition to its snapshot: everything copied by content and fixed, so that it never changes."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dask_batch.endpoints.assets import Environments, Models
from dask_batch.endpoints.computes import Computes
from dask_batch.endpoints.models import ModelFolder, local_copy, pin_model
from dask_batch.errors import DeploymentInvalid, InvalidDefinition, NotFound, choose_from
from dask_batch.jobs.context import Context
from dask_batch.slots.assets import store_asset
from dask_batch.slots.describing import describe
from dask_batch.slots.requirements import pin_environment
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.environment import Environment
from dask_batch.specs.job import DeploymentSnapshot, PinnedCode, PinnedEnvironment
from dask_batch.specs.model import Model
from dask_batch.specs.names import parse_reference

__all__ = ["PackageMismatchWarning", "Pinned", "pin_deployment"]

InputFormat = Literal["files", "table", "images"]


class PackageMismatchWarning(UserWarning):
    """The environment of a deployment lacks packages of its model, or has other versions."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A deployment, ready to be recorded.

    Parameters
    ----------
    snapshot : DeploymentSnapshot
        What jobs get.
    description : dict
        What the scoring process says of it (``python``, ``flavor``, ``signature``, ``takes_params``, …); empty if it
        was not validated.
    """

    snapshot: DeploymentSnapshot
    description: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        """Packages that are missing in the environment or have other versions."""
        return list(self.description.get("package_problems", []))


def pin_deployment(context: Context, spec: ModelDeployment, endpoint: str, revision: int, *, validate: bool) -> Pinned:
    """Resolve, copy and check everything that a deployment names.

    Parameters
    ----------
    context : Context
        The workspace.
    spec : ModelDeployment
        The definition.
    endpoint : str
        The endpoint it is for.
    revision : int
        1 for a new deployment, one more each time it is replaced.
    validate : bool
        Whether to load it in a scoring process of its environment.

    Raises
    ------
    NotFound
        Its model, code, environment or compute does not exist.
    InvalidDefinition
        It has neither an MLflow model nor a scoring script.
    DeploymentInvalid
        The script does not import or has no ``init`` or ``run``, or the model does not load.
    EnvironmentFailed
        The environment cannot be built.
    """
    Computes(context).get(spec.compute)
    named = _Named.of(context, spec)
    environment = _environment(context, named.environment or spec.environment)
    asked = named.model or spec.model
    model, folder = pin_model(context, asked) if asked is not None else (None, ModelFolder(is_mlflow=False))
    code = _code(context, spec) if spec.scoring_script is not None else None
    if code is None and not folder.is_mlflow:
        raise InvalidDefinition(
            f"deployment {spec.name!r}: model {_shown(spec.model)} has no MLmodel file, so it needs a scoring script; "
            "give code= and scoring_script=, or a model that was logged with MLflow"
        )
    kind: Literal["mlflow", "script"] = "script" if code else "mlflow"
    input_format = _input_format(spec, kind, folder)
    content = {
        "kind": kind,
        "input_format": input_format,
        "model": [model.asset, model.base] if model else None,
        "code": [code.asset, code.base, code.scoring_script] if code else None,
        "environment": [environment.digest, dict(environment.environment_variables)] if environment else None,
    }
    snapshot = DeploymentSnapshot(
        endpoint=endpoint,
        name=spec.name,
        revision=revision,
        digest=hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest(),
        model=model,
        code=code,
        environment=environment,
        kind=kind,
        input_format=input_format,
        compute=spec.compute,
        settings=spec.scoring_settings(),
        description=spec.description,
        tags=spec.tags,
        properties=spec.properties,
    )
    pinned = _validated(context, snapshot) if validate else Pinned(snapshot, {})
    return replace(pinned, snapshot=named.registered(context, pinned.snapshot))


@dataclass(frozen=True, slots=True)
class _Named:
    """The inline model and environment of a deployment that have names, as they are stored: they are registered.

    A version that is there already with the same content is used; one with another is refused before anything runs.
    """

    model: Model | None
    environment: Environment | None

    @classmethod
    def of(cls, context: Context, spec: ModelDeployment) -> _Named:
        model = spec.model if isinstance(spec.model, Model) and spec.model.name else None
        environment = spec.environment if isinstance(spec.environment, Environment) and spec.environment.name else None
        models, environments = Models(context), Environments(context)
        if model is not None:
            model = models.prepare(model)
            model = models.standing(model) or model
        if environment is not None:
            environment = environments.prepare(environment)
            environment = environments.standing(environment) or environment
        return cls(model, environment)

    def registered(self, context: Context, snapshot: DeploymentSnapshot) -> DeploymentSnapshot:
        """Register them, now that the deployment is known to be sound, and return the snapshot with their versions."""
        changes: dict[str, Any] = {}
        if self.model is not None and snapshot.model is not None:
            settled, pinned = Models(context).settle(self.model), snapshot.model
            source = f"azureml:{settled.name}:{settled.version}" if pinned.source == self.model.path else pinned.source
            changes["model"] = pinned.model_copy(update={"version": settled.version, "source": source})
        if self.environment is not None and snapshot.environment is not None:
            version = Environments(context).settle(self.environment).version
            changes["environment"] = snapshot.environment.model_copy(update={"version": version})
        return snapshot.model_copy(update=changes)


def _validated(context: Context, snapshot: DeploymentSnapshot) -> Pinned:
    description = describe(context.storage, snapshot)
    if snapshot.model is not None:
        known = {"flavor": description.get("flavor"), "signature": description.get("signature")}
        snapshot = snapshot.model_copy(update={"model": snapshot.model.model_copy(update=known)})
    pinned = Pinned(snapshot, description)
    if pinned.problems:
        listed = "\n  ".join(pinned.problems)
        warnings.warn(
            f"deployment {snapshot.name!r}: its model was logged with other packages than its environment has:\n  "
            f"{listed}\nIf predictions could differ, give environment= with requirements= or conda_file=",
            PackageMismatchWarning,
            stacklevel=5,
        )
    return pinned


def _input_format(spec: ModelDeployment, kind: str, folder: ModelFolder) -> InputFormat:
    if kind == "script":
        return spec.input_format or "files"
    if spec.input_format == "files":
        raise InvalidDefinition(
            f"deployment {spec.name!r}: an MLflow model gets tables or images, not paths; "
            "leave input_format out, or give a scoring script"
        )
    # A batch of vectors is a table; with two or more dimensions beside the batch it is a batch of images.
    return "images" if folder.tensor_shape is not None and len(folder.tensor_shape) >= 3 else "table"


def _code(context: Context, spec: ModelDeployment) -> PinnedCode:
    script = str(spec.scoring_script)
    with local_copy(str(spec.code)) as folder:
        relative = _inside(spec.name, Path(folder), script)
        stored = store_asset(context.storage, folder)
        # A file stands in its asset without a folder around it.
        base = stored.base if Path(folder).is_dir() else ""
    return PinnedCode(asset=stored.asset, base=base, digest=stored.digest, scoring_script=relative)


def _inside(name: str, folder: Path, script: str) -> str:
    """Return the script's path relative to the code folder, after making sure that it is in there."""
    if folder.is_file():
        if Path(script).name != folder.name:
            raise DeploymentInvalid(f"deployment {name!r}: code={str(folder)!r} is a file and not {script!r}")
        return folder.name
    target = (folder / script).resolve()
    if target.is_file() and target.is_relative_to(folder.resolve()):
        return target.relative_to(folder.resolve()).as_posix()
    found = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.py"))[:200]]
    known = choose_from(script, found, "Python files in it")
    raise NotFound(
        f"deployment {name!r}: there is no scoring script {script!r} in code folder {str(folder)!r}; {known}"
    )


def _environment(context: Context, environment: str | Environment | None) -> PinnedEnvironment | None:
    if environment is None:
        return None
    if isinstance(environment, str):
        reference = parse_reference(environment)
        latest = reference.latest or reference.version is None
        environment = Environments(context).get(reference.name, None if latest else reference.version)
    elif environment.python is not None:
        environment = Environments(context).prepare(environment)  # a command on the PATH is found here and now
    return pin_environment(environment)


def _shown(model: object) -> str:
    return repr(getattr(model, "path", model))

"""From what a user calls a model to its bytes in the workspace, with every alias resolved to an exact version."""

from __future__ import annotations

import contextlib
import json
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dask_batch.endpoints.assets import Models
from dask_batch.errors import InputMissing, InvalidDefinition, MissingExtra, NotFound, StorageError, choose_from
from dask_batch.jobs.context import Context
from dask_batch.slots.assets import store_asset
from dask_batch.specs.job import PinnedModel
from dask_batch.specs.model import Model
from dask_batch.specs.names import parse_reference
from dask_batch.storage import is_local, local_path, locate, missing_extra, retry, unreachable

__all__ = ["ModelFolder", "pin_model"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """What a model is, told by its files.

    Parameters
    ----------
    is_mlflow : bool
        Whether it has an ``MLmodel`` file.
    tensor_shape : tuple of int, optional
        The shape of its input, if its signature is a single tensor; the first is -1, the batch.
    """

    is_mlflow: bool
    tensor_shape: tuple[int, ...] | None = None


def pin_model(context: Context, model: str | Model) -> tuple[PinnedModel, ModelFolder]:
    """Copy a model into the workspace, unless its content is there already.

    Parameters
    ----------
    context : Context
        The workspace.
    model : str or Model
        A local path, a URL, ``models:/name@alias``, ``models:/name/3``, ``runs:/id/path``, a registered
        ``name:version`` or ``name@latest`` (with or without ``azureml:``; with it, a name alone is its latest
        version), or an inline definition.

    Raises
    ------
    NotFound
        Nothing answers to that name; the message says what was looked at.
    MissingExtra
        It is an MLflow URI and mlflow is not installed.
    """
    if isinstance(model, Model):
        return _pin_path(context, model.path, model.path, model.name, model.version)
    if model.startswith(("models:/", "runs:/", "mlflow-artifacts:/")):
        return _pin_mlflow(context, model)
    if not model.startswith("azureml:") and (not is_local(model) or Path(model).expanduser().exists()):
        return _pin_path(context, model, model, None, None)
    return _pin_registered(context, model)


def _pin_registered(context: Context, text: str) -> tuple[PinnedModel, ModelFolder]:
    models = Models(context)
    try:
        reference = parse_reference(text)
    except InvalidDefinition:
        reference = None
    named = reference is not None and (reference.version or reference.latest or text.startswith("azureml:"))
    if reference is None or not named:
        known = choose_from(text, models.names(), "registered models (use name:version or name@latest)")
        raise NotFound(f"model {text!r}: there is no such file or folder, and it is no name:version; {known}")
    registered = models.get(reference.name, reference.version)
    return _pin_path(
        context, registered.path, f"azureml:{registered.name}:{registered.version}", registered.name, registered.version
    )


def _pin_path(
    context: Context, path: str, source: str, name: str | None, version: str | None
) -> tuple[PinnedModel, ModelFolder]:
    if path.startswith(("models:/", "runs:/", "mlflow-artifacts:/")):
        pinned, folder = _pin_mlflow(context, path)
        return pinned.model_copy(update={"name": name, "version": version}), folder
    with local_copy(path) as local:
        stored = store_asset(context.storage, local)
        folder = look_into(local)
    return PinnedModel(
        asset=stored.asset, base=stored.base, digest=stored.digest, name=name, version=version, source=source
    ), folder


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """Give the local path of a file or folder, downloading it for the while if it is remote.

    Raises
    ------
    InputMissing
        There is nothing at that path.
    """
    if is_local(path):
        local = local_path(str(Path(path).expanduser()) if "://" not in path else path)
        if not Path(local).exists():
            raise InputMissing(f"{local!r} does not exist; give the path of a model or code folder, or of a file")
        yield local
        return
    try:
        fs, where = locate(path)
    except ImportError as error:
        raise missing_extra(path, error) from error
    except ValueError as error:
        raise InvalidDefinition(f"model {path!r} cannot be used: {error}; give a folder, a URL or models:/…") from error
    with tempfile.TemporaryDirectory(prefix="dask-batch-") as scratch:
        target = str(Path(scratch, Path(where.rstrip("/")).name))
        try:
            folder = bool(retry(lambda: fs.isdir(where)))
            retry(lambda: fs.get(where.rstrip("/") + "/" if folder else where, target, recursive=folder))
        except FileNotFoundError:
            raise InputMissing(f"{path!r} does not exist; give the URL of a model folder or file") from None
        except Exception as error:
            raise StorageError(unreachable(path, error)) from error
        yield target


def look_into(path: str) -> ModelFolder:
    """Return what the files of a model say: whether it is MLflow's, and the shape of a tensor signature."""
    try:
        document = yaml.safe_load(Path(path, "MLmodel").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return ModelFolder(is_mlflow=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDefinition(
            f"{str(Path(path, 'MLmodel'))!r} cannot be read: {error}; log the model again"
        ) from error
    try:
        return ModelFolder(is_mlflow=True, tensor_shape=_tensor_shape(document.get("signature") or {}))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidDefinition(
            f"{str(Path(path, 'MLmodel'))!r} has a signature that cannot be understood "
            f"({type(error).__name__}: {error}); log the model again"
        ) from error


def _tensor_shape(signature: dict[str, Any]) -> tuple[int, ...] | None:
    inputs = signature.get("inputs")
    columns = json.loads(inputs) if isinstance(inputs, str) else inputs
    if not columns or columns[0].get("type") != "tensor":
        return None
    return tuple(int(size) for size in columns[0]["tensor-spec"]["shape"])


# -- MLflow ------------------------------------------------------------------------------------------------------------


def _pin_mlflow(context: Context, uri: str) -> tuple[PinnedModel, ModelFolder]:
    try:
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MissingExtra(f"model {uri!r} needs mlflow: pip install mlflow ({error})") from error
    try:
        exact, name, version = _exact(uri)
        with tempfile.TemporaryDirectory(prefix="dask-batch-") as scratch:
            target = Path(scratch, "model")
            target.mkdir()
            # The content is copied as it is: where MLflow keeps it must not be able to change it afterwards.
            path = download_artifacts(artifact_uri=exact, dst_path=str(target))
            stored = store_asset(context.storage, path)
            folder = look_into(path)
    except MlflowException as error:
        raise NotFound(f"model {uri!r}: MLflow ({_tracking()}) says: {error}") from error
    except OSError as error:
        raise NotFound(f"model {uri!r} could not be fetched from MLflow ({_tracking()}): {error}") from error
    return PinnedModel(
        asset=stored.asset, base=stored.base, digest=stored.digest, name=name, version=version, source=exact
    ), folder


def _exact(uri: str) -> tuple[str, str | None, str | None]:
    """Return a URI whose alias, stage or ``latest`` is resolved, and the model's name and version if it has them."""
    if not uri.startswith("models:/"):
        return uri, None, None
    rest = uri.removeprefix("models:/")
    name, alias = rest.rsplit("@", 1) if "@" in rest else (rest, None)
    if alias is None and "/" not in rest:
        return uri, None, None  # models:/m-<id>: exact by itself
    if alias is None:
        name, which = rest.rsplit("/", 1)
        if which.isdigit():
            return uri, name, which
        version = _version_of(name, which)
    else:
        from mlflow import MlflowClient

        version = str(MlflowClient().get_model_version_by_alias(name, alias).version)
    return f"models:/{name}/{version}", name, version


def _version_of(name: str, which: str) -> str:
    """Return the newest version of a registered model, or of those in a stage."""
    from mlflow import MlflowClient

    client = MlflowClient()
    if which == "latest":
        found = client.search_model_versions(f"name='{name}'")
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # stages are old, and models in them exist
            found = client.get_latest_versions(name, stages=[which])
    if not found:
        raise NotFound(
            f"MLflow ({_tracking()}) has no version of model {name!r} for {which!r}; name a version or an alias"
        )
    return str(max(int(version.version) for version in found))


def _tracking() -> str:
    from mlflow import get_registry_uri

    return str(get_registry_uri())

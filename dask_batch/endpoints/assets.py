"""Registered models, environments and data: named, versioned, never changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

from dask_batch.errors import AlreadyExists, InputMissing, InvalidDefinition
from dask_batch.jobs.context import Context
from dask_batch.slots.assets import store_asset
from dask_batch.slots.requirements import read_requirements
from dask_batch.specs.base import Spec
from dask_batch.specs.data import Data
from dask_batch.specs.environment import Environment
from dask_batch.specs.model import Model
from dask_batch.specs.names import check_name, parse_reference
from dask_batch.storage import is_local, join, local_path

__all__ = ["NO_DATASTORES", "Assets", "DataAssets", "Environments", "Models"]

SpecT = TypeVar("SpecT", Model, Environment, Data)

NO_DATASTORES = "datastore URIs lead nowhere here; give the path or URL behind it"
"""What is wrong with ``azureml://…``."""


class Assets(Generic[SpecT]):
    """Assets of one kind, by name and version.

    Parameters
    ----------
    context : Context
        The workspace.
    """

    kind: str
    spec: type[SpecT]
    about: frozenset[str] = frozenset({"description", "tags"})
    """What is said about an asset, and may change; all else is the asset."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getitem__(self, reference: str) -> SpecT:
        asked = parse_reference(reference, self.kind)
        return self.get(asked.name, asked.version)

    def __iter__(self) -> Iterator[str]:
        return iter(f"{asset.name}:{asset.version}" for asset in self.list())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(self) or 'none yet'}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import table_html

        rows = [[a.name, a.version, getattr(a, "path", ""), a.description] for a in self.list()]
        return table_html(type(self).__name__, ["name", "version", "path", "description"], rows)

    def names(self) -> list[str]:
        """Return the names of all assets, sorted."""
        return sorted({asset.name for asset in self._context.catalog.assets.list(self.kind)})

    def list(self, name: str | None = None) -> list[SpecT]:
        """Return all versions of all assets, or of one of them, the newest version first."""
        if name is not None:
            self.get(name)
        found = self._context.catalog.assets.list(self.kind, name)
        return [self._load(record) for record in found]

    def get(self, name: str, version: str | None = None) -> SpecT:
        """Return a version of an asset (the latest if none is given).

        Raises
        ------
        NotFound
            There is no such asset or version; the message lists those that exist.
        """
        return self._load(self._context.catalog.assets.get(self.kind, name, version))

    def create(self, asset: SpecT | str | os.PathLike[str], **keywords: Any) -> SpecT:
        """Register an asset and return it, with its version.

        Parameters
        ----------
        asset : definition, str or path
            The definition, a YAML file that ends in ``.yml`` or ``.yaml``, or a name, with the rest as keywords.
        **keywords
            Keys of the definition. Without a version it gets the next number.

        Raises
        ------
        AlreadyExists
            That version exists; assets never change.
        """
        return self.register(self._spec_of(asset, keywords))

    create_or_update = create

    def register(self, asset: SpecT) -> SpecT:
        """Register a definition and return it as it was stored."""
        return self._add(self.prepare(asset))

    def _add(self, prepared: SpecT) -> SpecT:
        if prepared.name is None:
            raise InvalidDefinition(f"a {self.kind} needs a name to be registered; give name=")
        add = self._context.catalog.assets.add
        return self._load(add(self.kind, prepared.name, prepared.version, prepared.to_stored()))

    def standing(self, prepared: SpecT) -> SpecT | None:
        """Return the registered version that a definition from `prepare` is, None if it has to be registered.

        Raises
        ------
        AlreadyExists
            Its name and version are taken by something else.
        """
        if prepared.name is None or prepared.name not in self.names():
            return None
        for version in self.list(prepared.name):
            same = self._content(version) == self._content(prepared)
            if prepared.version is None and same:
                return version
            if version.version == prepared.version:
                if same:
                    return version
                raise AlreadyExists(
                    f"{self.kind} '{prepared.name}:{prepared.version}' is registered and holds something else, and "
                    "versions never change; give another version, or leave it out"
                )
        return None

    def settle(self, prepared: SpecT) -> SpecT:
        """Return the registered version that a definition from `prepare` is, registering it unless it is there."""
        found = self.standing(prepared)
        if found is not None:
            return found
        try:
            return self._add(prepared)
        except AlreadyExists:
            # Somebody was quicker; perhaps with the same.
            if (found := self.standing(prepared)) is None:
                raise
            return found

    def _content(self, asset: SpecT) -> dict[str, Any]:
        return asset.model_dump(exclude={"name", "version", *self.about})

    def update(self, name: str, version: str | None = None, **changes: Any) -> SpecT:
        """Change what is said about a version of an asset, and return it; what it is never changes.

        Parameters
        ----------
        name : str
            Which asset.
        version : str, optional
            Which version; the newest if not given.
        **changes
            ``description``, ``tags``, and of models ``properties``.

        Raises
        ------
        NotFound
            There is no such asset or version.
        InvalidDefinition
            A key is another one, or its value cannot be.
        """
        return self._revise(name, version, lambda asset: changes)

    def change(self, name: str, version: str | None, given: Mapping[str, Any]) -> SpecT:
        """Change dotted keys, as a shell gives them, and return the asset; see `update`."""
        return self._revise(name, version, lambda asset: asset.changed_fields(given))

    def _revise(self, name: str, version: str | None, change: Callable[[SpecT], Mapping[str, Any]]) -> SpecT:
        exact = self.get(name, version)

        def revision(document: dict[str, Any]) -> dict[str, Any]:
            standing = self.spec.from_stored({**document, "name": name, "version": exact.version})
            changes = change(standing)
            if fixed := sorted(set(changes) - self.about):
                raise InvalidDefinition(
                    f"{', '.join(fixed)} of {self.kind} '{name}:{exact.version}' cannot change, versions never do; "
                    f"register a new version. What can: {', '.join(sorted(self.about))}"
                )
            return standing.replace(**changes).to_stored()

        return self._load(self._context.catalog.assets.update(self.kind, name, str(exact.version), revision))

    def delete(self, name: str, version: str | None = None) -> None:
        """Delete a version of an asset, or all of them; deployments keep what they pinned."""
        versions = [version] if version is not None else [asset.version for asset in self.list(name)]
        for one in versions:
            self._context.catalog.assets.delete(self.kind, name, str(one))

    def _load(self, record: Any) -> SpecT:
        return self.spec.from_stored({**record.document, "name": record.name, "version": record.version})

    def prepare(self, asset: SpecT) -> SpecT:
        """Return what is stored of a definition: nothing in it may change when a file of the user's does."""
        return asset

    def _spec_of(self, asset: SpecT | str | os.PathLike[str], keywords: dict[str, Any]) -> SpecT:
        if isinstance(asset, Spec):
            return asset.replace(**keywords) if keywords else asset
        text = os.fspath(asset)
        if text.endswith((".yml", ".yaml")):
            spec: SpecT = self.spec.from_yaml(text)
            return spec.replace(**keywords) if keywords else spec
        return self.spec(**{"name": check_name(text, self.kind), **keywords})


class Models(Assets[Model]):
    """Registered models. A local folder or file is copied in, by content."""

    kind = "model"
    spec = Model
    about = frozenset({"description", "tags", "properties"})

    def prepare(self, asset: Model) -> Model:
        """Copy a model in and return it as it is stored."""
        _refuse_datastores("model", asset.path)
        if not is_local(asset.path) or asset.path.startswith(("models:/", "runs:/", "mlflow-artifacts:/")):
            return asset
        path = local_path(os.path.expanduser(asset.path))
        stored = store_asset(self._context.storage, path)
        return asset.replace(path=self._context.storage.url(join(stored.asset, stored.base)))

    def _content(self, asset: Model) -> dict[str, Any]:
        return {"path": asset.path}  # which is named by its content; the type only says what to expect there


class Environments(Assets[Environment]):
    """Registered environments. Requirements and conda files are read when they are registered."""

    kind = "environment"
    spec = Environment

    def prepare(self, asset: Environment) -> Environment:
        """Read the files of an environment, find its interpreter, and return it as it is stored."""
        if asset.python is not None:
            return asset.replace(python=_interpreter(asset.python))
        if isinstance(asset.requirements, str):
            return asset.replace(requirements=read_requirements(asset.requirements))
        if isinstance(asset.conda_file, str):
            return asset.replace(conda_file=_read_yaml(asset.conda_file))
        return asset


class DataAssets(Assets[Data]):
    """Registered data: names for paths, patterns and URLs. The data stays where it is."""

    kind = "data"
    spec = Data

    def prepare(self, asset: Data) -> Data:
        """Make the path absolute and return the data as it is stored."""
        _refuse_datastores("data", asset.path)
        return asset.replace(path=local_path(os.path.expanduser(asset.path))) if is_local(asset.path) else asset


def _refuse_datastores(kind: str, path: str) -> None:
    if path.startswith("azureml://"):
        raise InvalidDefinition(f"{kind} path {path!r}: {NO_DATASTORES}")


def _interpreter(python: str) -> str:
    """Return the absolute path of an interpreter or environment; a word is looked up as a shell does it."""
    path = os.path.expanduser(python)
    if "/" in path:
        return os.path.abspath(path)
    found = shutil.which(path)
    if found is None and os.path.exists(path):
        return os.path.abspath(path)
    if found is None:
        raise InvalidDefinition(
            f"python={python!r}: there is no such command on the PATH; give the path of an interpreter or environment"
        )
    return os.path.abspath(found)


def _read_yaml(path: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(Path(path).read_text())
    except FileNotFoundError:
        raise InputMissing(f"conda_file {path!r} does not exist; give the path of a conda environment file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidDefinition(f"conda_file {path!r} cannot be read: {error}") from error
    if not isinstance(document, dict) or not document:
        raise InvalidDefinition(f"conda_file {path!r} is not a conda environment file: it is no mapping")
    return document

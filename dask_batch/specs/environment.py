"""The Python environment that scoring processes run in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dask_batch.specs.base import FieldProblem, Spec
from dask_batch.specs.fields import FrozenDict, Name, Tags, Text, Variables, Version, frozen, path
from dask_batch.specs.layout import Layout
from dask_batch.specs.yamlio import Document, plain

__all__ = ["Environment"]

_SOURCES = ("python", "requirements", "conda_file")


def _requirements(value: Any) -> str | tuple[str, ...] | None:
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, list | tuple) and all(isinstance(line, str) for line in value):
        return tuple(value)
    raise ValueError("must be a requirements file's path or a list such as ['scikit-learn==1.5.2']")


def _conda_file(value: Any) -> str | dict[str, Any] | None:
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    if isinstance(value, Mapping) and value:
        return dict(plain(value))
    raise ValueError("must be a conda file's path or what such a file holds")


class Environment(Spec):
    """The Python environment of a deployment: at most one of `python`, `requirements` and `conda_file`.

    Parameters
    ----------
    name, version : str, optional
        How it is registered.
    python : str, optional
        An interpreter, or the prefix of a virtual or conda environment.
    requirements : str or list of str, optional
        A requirements file, or its lines; built once and shared.
    conda_file : str or dict, optional
        A conda file with ``python`` and pip packages, or what it holds; built once and shared.
    image : str, optional
        A container image; kept, and unused where the compute runs no containers.
    environment_variables : dict of str to str
        Set in the scoring processes.
    description : str
        For people.
    tags : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown, a value cannot be, or more than one of the three is given.
    """

    layout: ClassVar[Layout] = Layout(
        ignored=frozenset(
            {
                "build",
                "inference_config",
                "os_type",
                "properties",
                "datastore",
                "id",
                "creation_context",
                "latest_version",
            }
        ),
        unused=frozenset({"image"}),
        paths=frozenset({"python", "requirements", "conda_file"}),
    )

    name: Name | None = None
    version: Version | None = None
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    image: str | None = None
    python: Annotated[str, path("an interpreter or the prefix of an environment, such as '/opt/env'")] | None = None
    requirements: Annotated[str | tuple[str, ...] | None, BeforeValidator(_requirements)] = None
    conda_file: Annotated[str | dict[str, Any] | None, BeforeValidator(_conda_file), AfterValidator(frozen)] = None
    environment_variables: Variables = Field(default_factory=FrozenDict)

    @classmethod
    def _resolve(cls, name: str, value: str, document: Document) -> str:
        # `python: python3.12` is looked up on the PATH, as in a shell.
        return value if name == "python" and "/" not in value else document.resolve(value)

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        given = [name for name in _SOURCES if getattr(self, name) is not None]
        if len(given) > 1:
            raise FieldProblem(given[1], f"{' and '.join(given)} both say what the environment is; keep one")
        return self

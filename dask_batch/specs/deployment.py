"""A model deployment: a model or a scoring script, and how to run it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.base import FieldProblem, text_or
from dask_batch.specs.environment import Environment
from dask_batch.specs.fields import FrozenDict, Name, Tags, Text, any_case, path
from dask_batch.specs.layout import Layout
from dask_batch.specs.model import Model
from dask_batch.specs.names import name_problem
from dask_batch.specs.scoring_settings import SETTINGS_ALIASES, SETTINGS_KEYS, ScoringSettings
from dask_batch.specs.yamlio import Document

__all__ = ["ModelDeployment"]

_LOOKS_LIKE_A_PATH = re.compile(r"\.{0,2}/|~|\.{1,2}$|[^:@]*/")


def _type(value: Any) -> Any:
    if any_case(value) == "pipeline":
        raise ValueError("pipeline deployments are not in this version yet; types: model")
    return any_case(value)


def _is_pipeline(key: str, values: Mapping[str, Any]) -> bool:
    return any_case(values[key]) == "pipeline" if key == "type" else "model" not in values


def _compute(value: Any) -> Any:
    name = value.removeprefix("azureml:") if isinstance(value, str) else value
    problem = name_problem(name)
    if problem:
        raise ValueError(f"must be a compute's name: {problem}")
    return name


def _script(value: Any) -> Any:
    path = PurePosixPath(value) if isinstance(value, str) else None
    if path is None or path.suffix != ".py" or path.is_absolute() or ".." in path.parts:
        raise ValueError("must be the path of a .py file inside the code folder, relative to it")
    return value


class ModelDeployment(ScoringSettings):
    """A model or a scoring script, and how to run it. Takes all of `ScoringSettings` too.

    Parameters
    ----------
    name : str
        How the endpoint refers to it.
    model : str or Model, optional
        A path, ``models:/name@alias``, ``runs:/id/path``, a registered ``name:version`` or ``name@latest``, or a
        definition. May be left out where there is a scoring script.
    code : str, optional
        The folder that holds the scoring script and what it imports.
    scoring_script : str, optional
        The script in it, with ``init()`` and ``run(mini_batch)``. An MLflow model needs none.
    environment : str or Environment, optional
        A registered ``name:version`` or ``name@latest``, or a definition; None: the Python of the host.
    compute : str
        The compute's name.
    input_format : {"files", "table"}, optional
        What ``run`` gets: a list of paths, or a DataFrame. None: files for scripts, what the model's signature
        says for MLflow models.
    endpoint_name : str, optional
        The endpoint it belongs to.
    description : str
        For people.
    tags, properties : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown, a value cannot be, or there is neither a model nor a script.

    Examples
    --------
    >>> ModelDeployment(name="xgb", model="models:/heart@champion").mini_batch_size
    10
    """

    layout: ClassVar[Layout] = Layout(
        keys={
            **SETTINGS_KEYS,
            "code_configuration.code": "code",
            "code_configuration.scoring_script": "scoring_script",
        },
        aliases={
            **SETTINGS_ALIASES,
            "code": "code",
            "code_path": "code",
            "code.local_path": "code",
            "code_configuration.code.local_path": "code",
            "scoring_script": "scoring_script",
            "compute.target": "compute",
            "compute.instance_count": "instance_count",
        },
        ignored=frozenset(
            {
                "resources.instance_type", "resources.properties", "resources.shm_size", "resources.docker_args",
                "resources.locations", "identity", "location", "auth_mode", "id", "provisioning_state",
                "creation_context", "app_insights_enabled", "partition_keys", "settings.partition_keys",
            }
        ),
        paths=frozenset({"code", "model"}),
        own=frozenset(
            {
                "read_timeout", "load_timeout", "batch_rows", "coalesce", "include_inputs", "bisect", "on_duplicate",
                "threads", "keep_parts", "input_format",
            }
        ),
    )  # fmt: skip
    inline: ClassVar = {"model": Model, "environment": Environment}

    type: Annotated[Literal["model"], BeforeValidator(_type)] = "model"
    name: Name
    endpoint_name: Name | None = None
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    properties: Tags = Field(default_factory=FrozenDict)
    model: Annotated[str | Model | None, text_or(Model, "a path, 'models:/name@alias', 'name:version'")] = None
    code: Annotated[str, path("the folder that holds the scoring script, such as './src'")] | None = None
    scoring_script: Annotated[str, BeforeValidator(_script)] | None = None
    environment: Annotated[str | Environment | None, text_or(Environment, "'name:version', 'name@latest'")] = None
    compute: Annotated[str, BeforeValidator(_compute)] = "local"
    input_format: Literal["files", "table"] | None = None

    def scoring_settings(self) -> ScoringSettings:
        """Return the settings alone."""
        names = self.model_fields_set & ScoringSettings.model_fields.keys()
        return ScoringSettings(**{name: getattr(self, name) for name in names})

    def _written(self) -> Iterable[str]:
        own = [name for name in type(self).model_fields if name not in ScoringSettings.model_fields]
        settings = [name for name in ScoringSettings.model_fields if name != "output_file_name"]
        if self.output_action != "summary_only":
            settings.insert(settings.index("output_action") + 1, "output_file_name")
        return [*own, *settings]

    @classmethod
    def _prepare(cls, document: Document, ignored: list[str]) -> Document:
        values = document.values
        sign = next(
            (key for key in ("type", "component", "job") if values.get(key) and _is_pipeline(key, values)), None
        )
        if sign is not None:
            raise InvalidDefinition(
                f"{document.place((sign,))}: {sign}={values[sign]!r}: pipeline deployments are not in this version "
                f"yet; types: model"
            )
        return document

    @classmethod
    def _resolve(cls, name: str, value: str, document: Document) -> str:
        if name != "model" or _LOOKS_LIKE_A_PATH.match(value):
            return document.resolve(value)
        # A plain word may be a folder beside the file, or a registered model.
        there = document.folder is not None and ":" not in value and (document.folder / value).exists()
        return document.resolve(value) if there else value

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.scoring_script is None and self.code is not None:
            raise FieldProblem("code", "there is code and no scoring_script; name the script in it")
        if self.scoring_script is not None and self.code is None:
            raise FieldProblem("scoring_script", "code is missing: give the folder that holds the script")
        if self.model is None and self.scoring_script is None:
            raise FieldProblem("model", "is missing; give a model, or code and scoring_script, or both")
        return self

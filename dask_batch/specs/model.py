"""A model: an MLflow model or any files a scoring script loads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from dask_batch.specs.base import Spec
from dask_batch.specs.fields import FrozenDict, Name, Tags, Text, Version, any_case, path
from dask_batch.specs.layout import Layout

__all__ = ["Model"]


class Model(Spec):
    """A model: where its files are.

    Parameters
    ----------
    path : str
        A local file or folder, a URL, ``models:/name/version`` or ``runs:/id/path``.
    name, version : str, optional
        How it is registered.
    type : {"mlflow_model", "custom_model"}, optional
        None: an MLflow model where there is an ``MLmodel`` file.
    description : str
        For people.
    tags, properties : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.
    """

    layout: ClassVar[Layout] = Layout(
        aliases={"local_path": "path"},
        ignored=frozenset(
            {
                "stage",
                "flavors",
                "job_name",
                "creation_context",
                "id",
                "latest_version",
                "utc_time_created",
                "model_uri",
            }
        ),
        paths=frozenset({"path"}),
    )

    name: Name | None = None
    version: Version | None = None
    path: Annotated[str, path("a path or URL, such as './model' or 'models:/heart/3'")]
    type: Annotated[Literal["mlflow_model", "custom_model"] | None, BeforeValidator(any_case)] = None
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    properties: Tags = Field(default_factory=FrozenDict)

"""A data asset: a named pointer to input."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from dask_batch.specs.base import Spec
from dask_batch.specs.fields import FrozenDict, Name, Tags, Text, Version, any_case, path
from dask_batch.specs.layout import Layout

__all__ = ["Data"]


class Data(Spec):
    """A data asset: a named pointer to files.

    Parameters
    ----------
    name : str
        How inputs refer to it: ``name:version`` or ``name@latest``.
    path : str
        A file, a folder, a pattern or a URL.
    version : str, optional
        None: the next one.
    type : {"uri_file", "uri_folder"}, optional
        None: whichever it turns out to be.
    description : str
        For people.
    tags : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.
    """

    layout: ClassVar[Layout] = Layout(
        aliases={"local_path": "path"},
        ignored=frozenset({"properties", "stage", "id", "creation_context", "latest_version", "auto_delete_setting"}),
        paths=frozenset({"path"}),
    )

    name: Name
    version: Version | None = None
    path: Annotated[str, path("a path, pattern or URL, such as './data' or 's3://bucket/in/*.csv'")]
    type: Annotated[Literal["uri_file", "uri_folder"] | None, BeforeValidator(any_case)] = None
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)

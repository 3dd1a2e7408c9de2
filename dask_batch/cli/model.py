"""``dask-batch model``: registered models."""

from __future__ import annotations

from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.assets import add_verbs
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given

__all__ = ["group"]

group = noun("model", "Models: named, versioned, copied in.")


@verb(
    group,
    "create",
    "dask-batch model create --name heart --path ./model --type mlflow_model",
    "dask-batch model create -f model.yml",
)
def create(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    version: options.NewVersion = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="A file, a folder, a URL, or models:/… .")] = None,
    type_: Annotated[str | None, typer.Option("--type", "-t", help="mlflow_model or custom_model.")] = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Register a model, or a new version of it."""
    from dask_batch.specs.model import Model

    values = given(name=name, version=version, path=path, type=type_, description=description)
    cli.show(cli.ws.models.create(Model.from_yaml(file, changes(values, set_, more, tag))).to_stored())


add_verbs(group, "model", "heart", ["name", "version", "type", "path", "description"], lambda ws: ws.models)

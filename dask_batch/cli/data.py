"""``dask-batch data``: registered data."""

from __future__ import annotations

from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.assets import add_verbs
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given

__all__ = ["group"]

group = noun("data", "Data: names for paths, patterns and URLs.")


@verb(
    group,
    "create",
    "dask-batch data create --name patients --path 's3://clinic/2026-11/*.csv'",
    "dask-batch data create -f data.yml",
)
def create(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    version: options.NewVersion = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="A file, a folder, a pattern or a URL.")] = None,
    type_: Annotated[str | None, typer.Option("--type", "-t", help="uri_file or uri_folder.")] = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Register data, or a new version of it."""
    from dask_batch.specs.data import Data

    values = given(name=name, version=version, path=path, type=type_, description=description)
    cli.show(cli.ws.data.create(Data.from_yaml(file, changes(values, set_, more, tag))).to_stored())


add_verbs(group, "data", "patients", ["name", "version", "type", "path", "description"], lambda ws: ws.data)

"""``dask-batch environment``: registered Python environments."""

from __future__ import annotations

from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.assets import add_verbs
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given

__all__ = ["group"]

group = noun("environment", "Environments: the Python that code runs in.")


@verb(
    group,
    "create",
    "dask-batch environment create --name sklearn --requirements requirements.txt",
    "dask-batch environment create -f environment.yml",
)
def create(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    version: options.NewVersion = None,
    python: Annotated[
        str | None, typer.Option("--python", help="An interpreter, or the folder of an environment.")
    ] = None,
    requirements: Annotated[str | None, typer.Option("--requirements", "-r", help="A requirements file.")] = None,
    conda_file: Annotated[
        str | None, typer.Option("--conda-file", "-c", help="A conda file with python and pip packages.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", "-i", help="A container image; kept, unused here.")] = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Register an environment, or a new version of it."""
    from dask_batch.specs.environment import Environment

    sources = given(python=python, requirements=requirements, conda_file=conda_file, image=image)
    values = sources | given(name=name, version=version, description=description)
    cli.show(cli.ws.environments.create(Environment.from_yaml(file, changes(values, set_, more, tag))).to_stored())


_COLUMNS = ["name", "version", "python", "requirements", "description"]
add_verbs(group, "environment", "sklearn", _COLUMNS, lambda ws: ws.environments)

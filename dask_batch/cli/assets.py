"""The verbs that models, environments and data have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dask_batch.cli import options
from dask_batch.cli.session import Session, verb
from dask_batch.cli.values import changes, given

if TYPE_CHECKING:
    from dask_batch.workspace import Workspace

__all__ = ["add_verbs"]

_All = Annotated[str | None, typer.Option("--name", "-n", help="Only the versions of this one.")]
_Version = Annotated[str | None, typer.Option("--version", "-v", help="Only this version; all of them if not given.")]


def add_verbs(
    group: typer.Typer, noun: str, example: str, columns: list[str], assets: Callable[[Workspace], Any]
) -> None:
    """Add ``update``, ``list``, ``show`` and ``delete``.

    Parameters
    ----------
    group : typer.Typer
        Where to.
    noun : str
        Such as ``"model"``.
    example : str
        A name for the examples.
    columns : list of str
        What a table shows.
    assets : callable
        Returns the assets of a workspace.
    """

    @verb(
        group,
        "update",
        f"dask-batch {noun} update -n {example} --description 'what it is' --tag stage=prod",
        f"dask-batch {noun} update -n {example} -v 2 --set tags.stage=prod",
    )
    def update(
        cli: Session,
        name: options.Name,
        version: options.Version = None,
        description: options.Description = None,
        tag: options.Tags = None,
        set_: options.Set = None,
        more: options.Pairs = None,
    ) -> None:
        """Change what is said about one version: its description and tags. What it is never changes."""
        asked = changes(given(description=description), set_, more, tag)
        cli.show(assets(cli.ws).change(name, version, asked).to_stored())

    @verb(group, "list", f"dask-batch {noun} list", f"dask-batch {noun} list -n {example} -o json")
    def list_(cli: Session, name: _All = None) -> None:
        """List what is registered, all versions, the newest first."""
        cli.show_all([asset.to_stored() for asset in assets(cli.ws).list(name)], columns)

    @verb(group, "show", f"dask-batch {noun} show -n {example} -v 2")
    def show(cli: Session, name: options.Name, version: options.Version = None) -> None:
        """Show one version."""
        cli.show(assets(cli.ws).get(name, version).to_stored())

    @verb(group, "delete", f"dask-batch {noun} delete -n {example} -v 1 --yes")
    def delete(cli: Session, name: options.Name, version: _Version = None, yes: options.Yes = False) -> None:
        """Delete one version, or all; deployments keep what they pinned."""
        assets(cli.ws).get(name, version)
        which = f"version {version} of {noun} {name!r}" if version else f"all versions of {noun} {name!r}"
        cli.confirm(f"Delete {which}?", yes)
        assets(cli.ws).delete(name, version)
        cli.note(f"deleted {which}")

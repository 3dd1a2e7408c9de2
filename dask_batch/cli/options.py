"""Options that several commands share. The names are those of `az ml`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dask_batch.errors import InvalidDefinition

__all__ = [
    "Catalog",
    "Debug",
    "Deployment",
    "Description",
    "EndpointName",
    "File",
    "Format",
    "Inputs",
    "InputsFile",
    "Limit",
    "Name",
    "NewVersion",
    "NoValidate",
    "Offset",
    "OptionalFile",
    "OptionalName",
    "Output",
    "Pairs",
    "Params",
    "Root",
    "Seconds",
    "Set",
    "Tags",
    "Timeout",
    "Version",
    "Wait",
    "Yes",
    "needed",
]


class Format(StrEnum):
    """How a command writes its answer."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


_MOST = 2**31 - 1  # what every catalog can count to

Root = Annotated[
    str | None,
    typer.Option("--root", metavar="URL", help="Storage root of the workspace [env: DASK_BATCH_ROOT]."),
]
Catalog = Annotated[
    str | None,
    typer.Option("--catalog", metavar="URL", help="SQLAlchemy URL of the catalog [env: DASK_BATCH_CATALOG]."),
]
Output = Annotated[
    Format | None,
    typer.Option(
        "--output", "-o", help="How to write the answer: table (for people), json, yaml or csv.", show_default=False
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]

Name = Annotated[str, typer.Option("--name", "-n", help="Its name.", show_default=False)]
OptionalName = Annotated[
    str | None, typer.Option("--name", "-n", help="Its name; wins over the file's.", show_default=False)
]
Version = Annotated[
    str | None, typer.Option("--version", "-v", help="Its version; the newest if not given.", show_default=False)
]
NewVersion = Annotated[
    str | None, typer.Option("--version", "-v", help="Its version; the next number if not given.", show_default=False)
]
EndpointName = Annotated[str, typer.Option("--endpoint-name", "-e", help="The endpoint.", show_default=False)]
Deployment = Annotated[
    str | None,
    typer.Option("--deployment-name", "-d", help="The deployment; the endpoint's default one if not given."),
]
File = Annotated[Path, typer.Option("--file", "-f", help="A YAML definition in Azure ML's grammar.")]
OptionalFile = Annotated[Path | None, typer.Option("--file", "-f", help="A YAML definition in Azure ML's grammar.")]
Description = Annotated[str | None, typer.Option("--description", help="A text for people.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A key and its value, read as YAML; variables and tags are text as it stands. Repeat for more.",
    ),
]
Pairs = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="More of --set, as az ml takes them.", show_default=False),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", "--tags", metavar="KEY=VALUE", help="A tag; repeat for more.")]
Params = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="KEY=VALUE", help="What the script's run() gets, read as YAML; repeat for more."),
]
NoValidate = Annotated[
    bool, typer.Option("--skip-script-validation", help="Do not load model and script before recording them.")
]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this long.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="INPUT", help="A path, pattern, URL or data asset (name:1); repeat for more."),
]
InputsFile = Annotated[
    Path | None, typer.Option("--file", "-f", help="A YAML file with `inputs` (and `outputs`), as az ml takes it.")
]
Limit = Annotated[int, typer.Option("--limit", "--max-results", "-r", min=1, max=_MOST, help="How many at most.")]
Offset = Annotated[int, typer.Option("--offset", min=0, max=_MOST, help="How many to pass over.")]
Seconds = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this long.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end, showing progress; exit 1 if it fails.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def needed(value: str | None, option: str) -> str:
    """Return the value of an option that may be missing only where a file is given.

    Raises
    ------
    InvalidDefinition
        It is missing.
    """
    if value is None:
        raise InvalidDefinition(f"{option} is missing; give it, or a definition that names it with --file")
    return value

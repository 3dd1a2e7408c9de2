"""Writes ``cli.md``, the reference of the ``dask-batch`` command, from the help of its commands.

Run it after a change of the command: ``python docs/build_cli.py``. A test compares.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from dask_batch.cli.app import app

__all__ = ["TARGET", "build"]

TARGET = Path(__file__).with_name("cli.md")

_COMMON = ("root", "catalog", "output", "debug")
_LEFT_OUT = ("help", "install_completion", "show_completion")
_EVERYWHERE = "Options that every command has; they may stand before the noun or after the verb:"


def build() -> str:
    """Return the reference as Markdown."""
    root = typer.main.get_command(app)
    lines = ["# The `dask-batch` command", "", *_prose(root.help), *_examples(root.epilog)]
    common = [parameter for parameter in root.params if parameter.name in _COMMON]
    lines += [_EVERYWHERE, "", *_table(common), ""]
    lines += ["`dask-batch --install-completion` sets up completion for the current shell.", ""]
    for noun, group in root.commands.items():
        lines += [f"## dask-batch {noun}", "", *_prose(group.help)]
        for verb, command in group.commands.items():
            lines += [f"### dask-batch {noun} {verb}", "", *_prose(command.help), *_examples(command.epilog)]
            own = [
                p for p in command.params if p.name not in (*_COMMON, *_LEFT_OUT) and not getattr(p, "hidden", False)
            ]
            lines += [*_table(own), ""] if own else []
    return "\n".join(lines).rstrip() + "\n"


def _prose(text: str | None) -> list[str]:
    return [(text or "").strip(), ""]


def _examples(epilog: str | None) -> list[str]:
    lines = [line.strip() for line in (epilog or "").splitlines() if line.startswith("  ")]
    return ["```shell", *lines, "```", ""] if lines else []


def _table(parameters: list[Any]) -> Iterator[str]:
    yield "| option | meaning |"
    yield "| --- | --- |"
    for parameter in parameters:
        name = ", ".join(f"`{name}`" for name in parameter.opts if name.startswith("-"))
        yield f"| {name or f'`{parameter.metavar}`'} | {_meaning(parameter)} |"


def _meaning(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    if parameter.required:
        return f"{text} Required."
    if isinstance(parameter.default, int | float | str) and not isinstance(parameter.default, bool):
        return f"{text} Default: {parameter.default}."
    return text


if __name__ == "__main__":
    TARGET.write_text(build(), encoding="utf-8")

"""The command's help, its reference in the docs, and how quickly it answers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from dask_batch.cli.app import app

ROOT = Path(__file__).parents[2]
COMMANDS = [
    (noun, verb)
    for noun, group in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]
    for verb in group.commands
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example_of_it(command):
    answer = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert answer.exit_code == 0
    _, _, examples = answer.output.partition("Example")
    assert f"dask-batch {' '.join(command)}" in examples


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_takes_the_common_options(command):
    noun, verb = command
    options = {o for p in typer.main.get_command(app).commands[noun].commands[verb].params for o in p.opts}  # type: ignore[attr-defined]
    assert {"--root", "--catalog", "--output", "-o", "--debug"} <= options


def test_all_the_nouns_and_verbs_are_there():
    crud = {"create", "list", "show", "delete"}
    expected = {
        "endpoint": crud | {"update", "invoke", "list-jobs", "estimate"},
        "deployment": crud | {"update", "list-jobs", "test"},
        "compute": crud | {"update", "start", "stop"},
        "environment": crud | {"update"},
        "model": crud | {"update"},
        "data": crud | {"update"},
        "job": {
            "stream", "show", "list", "cancel", "results", "errors", "mini-batches", "logs", "download", "delete",
            "wait", "resume", "retry-failed",
        },
    }  # fmt: skip
    assert {noun: {verb for n, verb in COMMANDS if n == noun} for noun, _ in COMMANDS} == expected


def test_the_reference_in_the_docs_is_up_to_date():
    spec = importlib.util.spec_from_file_location("build_cli", ROOT / "docs" / "build_cli.py")
    assert spec is not None and spec.loader is not None
    build_cli = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_cli)
    assert build_cli.TARGET.read_text(encoding="utf-8") == build_cli.build(), "run python docs/build_cli.py"


def test_help_loads_nothing_heavy():
    heavy = "dask distributed mlflow sqlalchemy pandas pyarrow fsspec rich.console yaml"
    code = (
        "import sys; sys.argv = ['dask-batch', 'endpoint', 'invoke', '--help']\n"
        "from dask_batch.cli import main\n"
        "try: main()\n"
        f"except SystemExit: print([name for name in {heavy.split()} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = answer.stdout.splitlines()[-1]
    assert loaded == "[]"


def test_the_installed_command_is_this_one():
    script = Path(sys.executable).with_name("dask-batch")
    answer = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith("dask-batch 0.")

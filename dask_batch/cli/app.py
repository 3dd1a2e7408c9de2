"""The command's nouns, put together, and the options that may stand before them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dask_batch.cli import compute, data, deployment, endpoint, environment, job, model, options

__all__ = ["app"]

_ABOUT = """\
Batch endpoints on your own compute: deploy a model once, invoke it with a pointer to data, on Dask.

Nouns, verbs and options are those of `az ml`. Answers go to standard output (-o json, yaml or csv for scripts);
progress and notes go to standard error. Exit codes: 0 done, 1 an error, 2 the command line is not understood,
130 interrupted.
"""

_EXAMPLES = """\
\b
Examples:
  dask-batch endpoint create --name heart
  dask-batch deployment create -f deployment.yml --endpoint-name heart
  dask-batch endpoint invoke -n heart --input data/ --wait
  dask-batch job list -o json
"""

app = typer.Typer(
    help=_ABOUT,
    epilog=_EXAMPLES,
    no_args_is_help=True,
    # Plain help: importing rich would take longer than all else that --help does.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)
for _noun in (endpoint, deployment, compute, environment, model, data, job):
    app.add_typer(_noun.group)


def _show_version(wanted: bool) -> None:
    if wanted:
        from dask_batch import __version__

        sys.stdout.write(f"dask-batch {__version__}\n")
        raise typer.Exit()


@app.callback()
def _before_the_noun(
    ctx: typer.Context,
    root: options.Root = None,
    catalog: options.Catalog = None,
    output: options.Output = None,
    debug: options.Debug = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    ctx.obj = {"root": root, "catalog": catalog, "output": output, "debug": debug}

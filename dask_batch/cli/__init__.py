"""The ``dask-batch`` command: a noun, a verb and options, as `az ml` has them, over `dask_batch.Workspace`."""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started with, and end the process.

    Exit codes: 0 done; 1 an error, said in one line on standard error; 2 the command line is not understood;
    130 interrupted.
    """
    try:
        from dask_batch.cli.app import app

        if isinstance(sys.stdout, io.TextIOWrapper):
            # A file's name may be no valid text, and a terminal may not know every letter.
            sys.stdout.reconfigure(errors="backslashreplace")
        app(prog_name="dask-batch")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)

"""Lets dask-jobqueue write a job script: ``python -m dask_batch.compute.slurm.header`` reads its arguments as JSON.

In a process of its own, because importing dask-jobqueue takes over SIGINT and writes a file into the user's
configuration, and because that configuration would get into the script.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from dask_batch.errors import InternalError

__all__ = ["write_script"]

_LIMIT_S = 120.0


def write_script(arguments: dict[str, Any]) -> str:
    """Return the job script that dask-jobqueue's ``SLURMJob`` writes for these arguments.

    Raises
    ------
    InternalError
        It cannot be written; the message holds what was said.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DASK_")}
        # Nothing but the arguments says what is in the script: no file of the user, of the site, no variable.
        environment |= {"DASK_CONFIG": folder, "DASK_ROOT_CONFIG": folder}
        done = subprocess.run(
            [sys.executable, "-m", "dask_batch.compute.slurm.header"],
            input=json.dumps(arguments),
            capture_output=True,
            text=True,
            env=environment,
            timeout=_LIMIT_S,
            check=False,
        )
    if done.returncode:
        raise InternalError(f"dask-jobqueue does not write the job script: {done.stderr.strip()[-2000:]}")
    return done.stdout


def main() -> None:
    """Write the script to standard output."""
    from dask_jobqueue.slurm import SLURMJob

    sys.stdout.write(SLURMJob(**json.load(sys.stdin)).job_script())


if __name__ == "__main__":
    main()

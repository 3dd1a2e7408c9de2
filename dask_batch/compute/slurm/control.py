"""Asks SLURM: submits, looks, cancels. Each call runs one of its commands, and may block for as long as `LIMIT_S`."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable

from dask_batch.compute.slurm.queue import FORMAT, TIME_FORMAT, QueuedJob, parse_queue
from dask_batch.compute.slurm.refusals import refusal
from dask_batch.errors import SlurmError

__all__ = ["LIMIT_S", "cancel", "queue", "submit"]

# SLURM's commands give up on a controller that is down after 9 to 10 seconds, and on one that is busy much later.
LIMIT_S = 30.0

_HERE = ("SLURM_CONF", "SLURM_CLUSTERS")
_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_")


def submit(script: str, *, arguments: Iterable[str] = (), limit_s: float = LIMIT_S) -> str:
    """Submit a job script and return the job's id.

    Parameters
    ----------
    script : str
        Its text, which begins with ``#!``.
    arguments : iterable of str
        Further arguments of ``sbatch``; they go before what the script says.
    limit_s : float
        Seconds after which the command is given up.

    Raises
    ------
    SlurmError
        SLURM refused it; `permanent` says whether to try again. After a timeout the job may exist nevertheless: look
        for its name in the queue.
    """
    said = _run(["sbatch", "--parsable", *arguments], limit_s, script)
    # The id, then the cluster if there are several; a site's plugin may have said something before.
    found = re.search(r"^(\d+)(;.*)?$", said, re.MULTILINE)
    if found is None:
        raise refusal("sbatch", f"no job's id in {said!r}")
    return found[1]


def queue(user: str, name_prefix: str, *, limit_s: float = LIMIT_S) -> list[QueuedJob]:
    """Return the jobs of a user whose names begin so, and that have not ended: one call for all of them.

    Parameters
    ----------
    user : str
        The user's name.
    name_prefix : str
        What the names begin with.
    limit_s : float
        Seconds after which the command is given up.

    Raises
    ------
    SlurmError
        SLURM could not be asked.
    """
    said = _run(["squeue", "--noheader", f"--user={user}", f"--format={FORMAT}"], limit_s, failed=r"Invalid user")
    return [job for job in parse_queue(said) if job.name.startswith(name_prefix)]


def cancel(ids: Iterable[str], *, limit_s: float = LIMIT_S) -> None:
    """Cancel jobs; those that have ended already are passed over.

    Parameters
    ----------
    ids : iterable of str
        Their ids.
    limit_s : float
        Seconds after which the command is given up.

    Raises
    ------
    SlurmError
        SLURM could not be asked, or a job belongs to somebody else.
    """
    wanted = list(ids)
    if wanted:
        _run(["scancel", *wanted], limit_s, passed_over=r"Invalid job id specified|already completing or completed")


def _run(command: list[str], limit_s: float, text: str = "", passed_over: str = "", failed: str = "") -> str:
    """Run a command and return what it prints.

    Lines of its errors that fit `passed_over` are none; one that fits `failed` is one even if it says that it went
    well: an empty queue would be a lie.
    """
    try:
        done = subprocess.run(
            command,
            env=_environment(),
            input=text.encode("utf-8", "surrogateescape"),  # paths in scripts may have any bytes
            capture_output=True,
            timeout=limit_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise SlurmError(
            f"there is no `{command[0]}` on the PATH of this machine: use a login node of the cluster, or "
            "load its module (`module load slurm`) before Python starts",
            permanent=True,
            here=True,
        ) from error
    except OSError as error:
        raise SlurmError(f"`{command[0]}` cannot be run: {error.strerror}", permanent=True, here=True) from error
    except subprocess.TimeoutExpired as error:
        raise refusal(command[0], f"{_text(error.stderr)}\ntimed out after {limit_s:g} s") from error
    said = _text(done.stderr)
    if done.returncode or (failed and re.search(failed, said)):
        errors = [line for line in said.splitlines() if not (passed_over and re.search(passed_over, line))]
        if errors or not passed_over:
            raise refusal(command[0], "\n".join(errors))
    return _text(done.stdout)


def _text(output: bytes | None) -> str:
    return (output or b"").decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    """Return our environment without what would go before a job script, or comes from the job that we are in.

    ``SBATCH_PARTITION`` and the like override what a script says; the compute's definition must not depend on them.
    """
    kept = {name: value for name, value in os.environ.items() if name in _HERE or not name.startswith(_PREFIXES)}
    return kept | {"SLURM_TIME_FORMAT": TIME_FORMAT}

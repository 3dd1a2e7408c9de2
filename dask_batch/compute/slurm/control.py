"""SLURM's commands: submit, look, cancel. While the controller is down each takes seconds: call them in threads."""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterable

from dask_batch.compute.slurm.queue import FORMAT, QueuedJob, parse_queue

__all__ = ["SlurmError", "cancel", "queue", "submit"]

_LIMIT_S = 60.0
_PERMANENT = re.compile(
    r"invalid (partition|account|qos|feature|constraint|generic resource|node name|wckey|reservation|license|time limit"
    r"|job array|trackable resource)|requested (node configuration is not available|time limit is invalid)"
    r"|group not permitted|not valid|unrecognized option|invalid option|permission denied|memory specification can not"
    r"|more processors requested than permitted",
    re.IGNORECASE,
)


class SlurmError(Exception):
    """A command of SLURM's failed.

    Parameters
    ----------
    message : str
        What SLURM said.
    permanent : bool
        Whether asking again is of no use: the partition or account does not exist.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


def submit(script: str) -> str:
    """Submit a job script and return the job's number.

    Raises
    ------
    SlurmError
        It is refused, or the controller does not answer.
    """
    return _run(["sbatch", "--parsable"], script).strip().partition(";")[0]


def queue() -> list[QueuedJob]:
    """Return this user's jobs in the queue.

    Raises
    ------
    SlurmError
        The controller does not answer.
    """
    return parse_queue(_run(["squeue", "--noheader", f"--user={getpass.getuser()}", f"--format={FORMAT}"]))


def cancel(ids: Iterable[str]) -> None:
    """Cancel jobs; those that have ended are passed over.

    Raises
    ------
    SlurmError
        The controller does not answer.
    """
    if numbers := list(ids):
        _run(["scancel", "--quiet", *numbers])


def _run(command: list[str], given: str | None = None) -> str:
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except FileNotFoundError:
        raise SlurmError(f"there is no command {command[0]} on this machine; is it a login node?") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{command[0]} has not answered within {_LIMIT_S:g} s") from None
    except OSError as error:
        raise SlurmError(f"{command[0]} could not be started: {error}") from None
    if done.returncode:
        said = _said(done.stderr) or f"{command[0]} ended with status {done.returncode}"
        raise SlurmError(said, permanent=bool(_PERMANENT.search(said)))
    return done.stdout


def _said(text: str) -> str:
    """Return SLURM's words in one line, without the name of the command before each."""
    lines = (re.sub(r"^\w+: (error: |fatal: )?", "", line).strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line)

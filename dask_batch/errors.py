"""Every error that dask_batch raises on purpose.

::

    DaskBatchError
    ├── InvalidDefinition (ValueError)     a definition, override or name that cannot be
    ├── NotFound (LookupError)             no such endpoint, deployment, asset, compute or job
    ├── AlreadyExists (FileExistsError)    the name, or the output place, is taken
    ├── Refused                            the request is understood and must not be done now
    ├── DeploymentInvalid                  the script does not import, the model does not load
    ├── EnvironmentFailed                  a Python environment could not be built or started
    ├── InputError (ValueError)            the input of a job
    │   ├── InputMissing (FileNotFoundError)
    │   └── InputEmpty
    ├── JobError                           how a job ended, raised where somebody waits for it
    │   ├── JobFailed
    │   └── JobCanceled
    ├── WaitTimeout (TimeoutError)         the wait ended, not the job
    ├── HostFailed                         the host of a compute did not start
    ├── SlurmError                         SLURM refused something, or could not be asked
    ├── CatalogError                       the catalog cannot be used
    ├── StorageError (OSError)             the storage cannot be used
    │   └── StorageUnsafe                  it has no create-if-absent
    ├── MissingExtra (ImportError)         an optional package is not installed
    └── InternalError                      a promise of ours is broken: please report it

Each message names the thing, the reason and the next step. Where a name is wrong it lists the valid ones
(`choose_from`). Most classes also inherit the builtin that fits, so ordinary ``except`` clauses work.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AlreadyExists",
    "CatalogError",
    "DaskBatchError",
    "DeploymentInvalid",
    "EnvironmentFailed",
    "HostFailed",
    "InputEmpty",
    "InputError",
    "InputMissing",
    "InternalError",
    "InvalidDefinition",
    "JobCanceled",
    "JobError",
    "JobFailed",
    "MissingExtra",
    "NotFound",
    "Refused",
    "SlurmError",
    "StorageError",
    "StorageUnsafe",
    "WaitTimeout",
]


class DaskBatchError(Exception):
    """The base of every error that dask_batch raises on purpose."""


class InvalidDefinition(DaskBatchError, ValueError):
    """A definition, an override or a name that cannot be: the message says which key and why."""


class NotFound(DaskBatchError, LookupError):
    """No such endpoint, deployment, asset, compute or job; the message lists those that exist."""


class AlreadyExists(DaskBatchError, FileExistsError):
    """The name, or the output place, is taken."""


class Refused(DaskBatchError):
    """The request is understood and must not be done in the present state; the message says what to do first."""


class DeploymentInvalid(DaskBatchError):
    """The scoring script does not import, lacks ``init`` or ``run``, or the model does not load."""


class EnvironmentFailed(DaskBatchError):
    """A Python environment could not be built, or its interpreter could not start."""


class InputError(DaskBatchError, ValueError):
    """The input of a job cannot be used."""


class InputMissing(InputError, FileNotFoundError):
    """An input path, pattern or data asset leads to nothing."""


class InputEmpty(InputError):
    """An input exists and holds no file to score."""


class JobError(DaskBatchError):
    """A job ended without completing, and somebody waited for it."""


class JobFailed(JobError):
    """The job failed; the message holds the first error, where the log is, and what to do next."""


class JobCanceled(JobError):
    """The job was canceled."""


class WaitTimeout(DaskBatchError, TimeoutError):
    """The wait ended; the job goes on."""


class HostFailed(DaskBatchError):
    """The host of a compute did not start, or ended at once; the message holds the end of its log."""


class SlurmError(DaskBatchError):
    """SLURM refused something, or could not be asked; the message has its own words and the next step.

    Parameters
    ----------
    message : str
        What it says.
    permanent : bool
        Whether asking again, with nothing changed, would end the same way.
    here : bool
        Whether it is for want of SLURM's commands on this machine: from another one it may go well.
    """

    def __init__(self, message: str = "", *, permanent: bool = False, here: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.here = here


class CatalogError(DaskBatchError):
    """The catalog cannot be reached, or was written by a newer version."""


class StorageError(DaskBatchError, OSError):
    """The storage cannot be read or written; the message names the path."""


class StorageUnsafe(StorageError):
    """The storage cannot create a file only if it is absent, which exactly-once output rests on."""


class MissingExtra(DaskBatchError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


class InternalError(DaskBatchError):
    """A promise of ours is broken; nothing that users do should lead here."""


def choose_from(wrong: str, valid: Iterable[str], what: str) -> str:
    """Return the end of an error message that names the nearest valid name and lists the others.

    Parameters
    ----------
    wrong : str
        The name that was given.
    valid : iterable of str
        The names that would have been right.
    what : str
        The plural noun for them, such as ``"deployments"``.

    Returns
    -------
    str
        For example ``"did you mean 'xgb'? deployments: rf, xgb"``.

    Examples
    --------
    >>> choose_from("xgv", ["rf", "xgb"], "deployments")
    "did you mean 'xgb'? deployments: rf, xgb"
    >>> choose_from("x", [], "deployments")
    'there are no deployments yet'
    """
    names = sorted(valid)
    if not names:
        return f"there are no {what} yet"
    near = difflib.get_close_matches(wrong, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    return f"{hint}{what}: {shown}"

"""The names of our SLURM jobs: they say whose they are, so that whoever comes later finds what was left behind.

::

    dask-batch-<8 digits>-<compute>-e<epoch>-<number>   an instance
    dask-batch-<8 digits>-<compute>-e<epoch>-host       a host

The digits stand for the workspace and its user.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["Family"]

_REST = re.compile(r"-e(\d+)-(\d+|host)")


@dataclass(frozen=True, slots=True)
class Family:
    """The SLURM jobs of one compute of one workspace for one user.

    Parameters
    ----------
    root : str
        The storage root of the workspace.
    user, compute : str
        Whose, and which.

    Examples
    --------
    >>> family = Family("/shared/ws", "ada", "hpc")
    >>> family.instance(2, 7) == family.prefix + "-e2-7", family.epoch_of(family.instance(2, 7))
    (True, 2)
    """

    root: str
    user: str
    compute: str

    @property
    def prefix(self) -> str:
        """What the names of all of them begin with."""
        digits = hashlib.sha256(f"{self.root}\0{self.user}".encode()).hexdigest()[:8]
        return f"dask-batch-{digits}-{self.compute}"

    def instance(self, epoch: int, number: int) -> str:
        """Return the name of an instance, of its SLURM job and of its Dask worker."""
        return f"{self.prefix}-e{epoch}-{number}"

    def host(self, epoch: int) -> str:
        """Return the name of a host's job."""
        return f"{self.prefix}-e{epoch}-host"

    def epoch_of(self, name: str) -> int | None:
        """Return the epoch that an instance of this family is of; None for a host's job and for anybody else's."""
        match = self._match(name)
        return int(match[1]) if match and match[2] != "host" else None

    def owns(self, name: str) -> bool:
        """Return whether a job is of this family, instance or host."""
        return self._match(name) is not None

    def _match(self, name: str) -> re.Match[str] | None:
        return _REST.fullmatch(name.removeprefix(self.prefix)) if name.startswith(self.prefix) else None

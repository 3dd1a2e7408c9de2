"""What every client object holds: where definitions are, where bytes are, and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dask_batch import settings
from dask_batch.hostfolder import HostFolder
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.storage import Storage

if TYPE_CHECKING:
    from dask_batch.catalog import Catalog

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """A workspace from inside.

    Parameters
    ----------
    storage : Storage
        The storage of the workspace.
    catalog : Catalog
        Its catalog.
    user : str
        Who owns the jobs and hosts started here.
    """

    storage: Storage
    catalog: Catalog
    user: str

    @classmethod
    def of(cls, storage: Storage, catalog: Catalog) -> Context:
        """Return the context of whoever runs this process."""
        return cls(storage, catalog, settings.user())

    def job_folder(self, job: str) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self.storage, job)

    def host_folder(self, compute: str, user: str) -> HostFolder:
        """Return the meeting place with the host of a user's compute."""
        return HostFolder(self.storage, compute, user)

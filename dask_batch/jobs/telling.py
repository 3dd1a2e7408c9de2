"""What the catalog is told of a job: how it has ended, as whoever looks at it sees, so that lists need not look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dask_batch.errors import CatalogError
from dask_batch.jobs.reading import JobStatus

if TYPE_CHECKING:
    from dask_batch.catalog import Catalog

__all__ = ["Teller"]


class Teller:
    """Tells a catalog how a job has ended, once, and that it goes on if it does.

    Parameters
    ----------
    catalog : Catalog
        The catalog.
    job : str
        The job's name.
    """

    def __init__(self, catalog: Catalog, job: str) -> None:
        self._catalog = catalog
        self._job = job
        self._told: str | None = None

    def tell(self, status: JobStatus) -> None:
        """Tell what is new in where the job stands; where that cannot be, whoever looks next does it."""
        said = str(status) if status.terminal else ""
        if self._told != said and (said or self._told):
            # The truth is in the job's folder, which can be read without the catalog.
            try:
                self._catalog.set_job_state(self._job, said or None)
            except CatalogError:
                return
        self._told = said

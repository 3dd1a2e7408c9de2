"""The workspace: one catalog (what exists) plus one storage root (where bytes are)."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dask_batch import settings
from dask_batch.catalog import open_catalog
from dask_batch.errors import CatalogError
from dask_batch.jobs.context import Context
from dask_batch.storage import Storage

if TYPE_CHECKING:
    from datetime import timedelta

    from dask_batch.endpoints.assets import DataAssets, Environments, Models
    from dask_batch.endpoints.computes import Computes
    from dask_batch.endpoints.endpoints import Endpoints
    from dask_batch.endpoints.gc import Collected
    from dask_batch.jobs.jobs import Jobs

__all__ = ["Workspace"]


class Workspace:
    """Endpoints, computes, assets and jobs that belong together.

    Parameters
    ----------
    root : str or path, optional
        Storage root: a local folder or any fsspec URL. Default: ``DASK_BATCH_ROOT``, else ``~/.dask-batch``.
    catalog : str, optional
        SQLAlchemy URL of the catalog. Default: ``DASK_BATCH_CATALOG``, else SQLite under a local root.

    Raises
    ------
    StorageError, StorageUnsafe
        The root cannot be written, or has no create-if-absent.
    CatalogError
        The catalog cannot be used, or a remote root is given without one.

    Examples
    --------
    >>> ws = Workspace("/tmp/example-workspace")  # doctest: +SKIP
    >>> ep = ws.endpoints.create("heart-classifier")  # doctest: +SKIP
    >>> ep.deploy(ModelDeployment(name="xgb", model="models:/heart@champion"))  # doctest: +SKIP
    >>> ep.invoke("s3://clinic/2026-11/*.csv").wait().results()  # doctest: +SKIP
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, catalog: str | None = None) -> None:
        given = os.path.expanduser(os.fspath(root)) if root is not None else settings.root_url()
        self.storage = Storage(given)
        url = catalog or settings.catalog_url() or self._default_catalog()
        self.storage.check()
        self.catalog = open_catalog(url)
        self._context = Context.of(self.storage, self.catalog)

    def _default_catalog(self) -> Path:
        if not self.storage.is_local:
            raise CatalogError(
                f"workspace root {self.storage.root!r} is remote, so the catalog must be named: "
                "Workspace(root, catalog='postgresql+psycopg://…') or DASK_BATCH_CATALOG"
            )
        return Path(self.storage.root) / "catalog.sqlite"

    def __repr__(self) -> str:
        return f"<Workspace {self.storage.root!r}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import card_html

        facts = {
            "root": self.storage.root,
            "user": self._context.user,
            "endpoints": ", ".join(self.endpoints) or "none yet",
        }
        return card_html("Workspace", facts) + self.jobs.list(limit=5)._repr_html_()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the catalog. Jobs and hosts go on."""
        self.catalog.close()

    # -- what it holds -------------------------------------------------------------------------------------------

    @property
    def endpoints(self) -> Endpoints:
        """The endpoints."""
        from dask_batch.endpoints.endpoints import Endpoints

        return Endpoints(self._context)

    @property
    def compute(self) -> Computes:
        """The computes; ``"local"`` is always there."""
        from dask_batch.endpoints.computes import Computes

        return Computes(self._context)

    @property
    def environments(self) -> Environments:
        """The registered environments."""
        from dask_batch.endpoints.assets import Environments

        return Environments(self._context)

    @property
    def models(self) -> Models:
        """The registered models."""
        from dask_batch.endpoints.assets import Models

        return Models(self._context)

    @property
    def data(self) -> DataAssets:
        """The registered data assets."""
        from dask_batch.endpoints.assets import DataAssets

        return DataAssets(self._context)

    @property
    def jobs(self) -> Jobs:
        """The jobs."""
        from dask_batch.jobs.jobs import Jobs

        return Jobs(self._context)

    def gc(self, older_than: float | timedelta) -> Collected:
        """Remove the folders of jobs that ended long ago, and assets that nothing refers to any more.

        What is left of jobs that were deleted goes too.

        Parameters
        ----------
        older_than : float or datetime.timedelta
            Days (or a duration) since the end of a job, and since the writing of an asset or of what a job left.

        Returns
        -------
        Collected
            The names of what was removed.
        """
        from dask_batch.endpoints.gc import collect

        return collect(self._context, older_than)

"""The catalog: what exists in a workspace, in SQLite or PostgreSQL.

It holds the definitions of endpoints, deployments, computes and assets, and the index of jobs, as JSON documents
whose content it does not look into. Hosts never open it. Importing this package imports SQLAlchemy.

>>> with open_catalog("sqlite:////home/ana/.dask-batch/catalog.sqlite") as catalog:  # doctest: +SKIP
...     catalog.endpoints.create("heart", {"description": "who is at risk"})
...     catalog.deployments.create("heart", "xgb", {"model": "models:/heart/3"})
...     catalog.endpoints.get("heart").default_deployment
'xgb'
"""

from __future__ import annotations

from dask_batch.catalog.assets import ASSET_KINDS, Assets
from dask_batch.catalog.catalog import Catalog, open_catalog
from dask_batch.catalog.computes import Computes
from dask_batch.catalog.deployments import Deployments
from dask_batch.catalog.documents import Change
from dask_batch.catalog.endpoints import Endpoints
from dask_batch.catalog.jobs import AddedJob, JobRecord
from dask_batch.catalog.records import AssetRecord, ComputeRecord, DeploymentRecord, EndpointRecord

__all__ = [
    "ASSET_KINDS",
    "AddedJob",
    "AssetRecord",
    "Assets",
    "Catalog",
    "Change",
    "ComputeRecord",
    "Computes",
    "DeploymentRecord",
    "Deployments",
    "EndpointRecord",
    "Endpoints",
    "JobRecord",
    "open_catalog",
]

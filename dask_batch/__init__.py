"""Batch endpoints on your own compute.

Deploy a model or a scoring script once, invoke it with a pointer to data, and let the job run on Dask in the
background, from a laptop to a cluster. Start with `Workspace`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask_batch.endpoints.deployment import Deployment as Deployment
    from dask_batch.endpoints.endpoint import Endpoint as Endpoint
    from dask_batch.errors import DaskBatchError as DaskBatchError
    from dask_batch.jobs.job import Job as Job
    from dask_batch.specs.compute import LocalCompute as LocalCompute
    from dask_batch.specs.data import Data as Data
    from dask_batch.specs.deployment import ModelDeployment as ModelDeployment
    from dask_batch.specs.environment import Environment as Environment
    from dask_batch.specs.model import Model as Model
    from dask_batch.specs.slurm import SlurmCompute as SlurmCompute
    from dask_batch.workspace import Workspace as Workspace

__version__ = "0.1.0"

# Where each public name lives. Nothing is imported before it is used, so that `import dask_batch` is quick and a
# scoring process, which needs dask_batch.scoring only, needs none of our dependencies.
_PUBLIC = {
    "DaskBatchError": "dask_batch.errors",
    "Data": "dask_batch.specs.data",
    "Deployment": "dask_batch.endpoints.deployment",
    "Endpoint": "dask_batch.endpoints.endpoint",
    "Environment": "dask_batch.specs.environment",
    "Job": "dask_batch.jobs.job",
    "LocalCompute": "dask_batch.specs.compute",
    "Model": "dask_batch.specs.model",
    "ModelDeployment": "dask_batch.specs.deployment",
    "SlurmCompute": "dask_batch.specs.slurm",
    "Workspace": "dask_batch.workspace",
}

__all__ = sorted([*_PUBLIC, "__version__", "errors"])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("dask_batch.errors")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'dask_batch' has no attribute {name!r}")
    value = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)

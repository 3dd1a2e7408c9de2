"""Trying whether a deployment loads, before it is used."""

from __future__ import annotations

from typing import Any

from dask_batch.errors import DeploymentInvalid, EnvironmentFailed
from dask_batch.slots.deployments import Loadable
from dask_batch.slots.pool import Slots
from dask_batch.specs.job import DeploymentSnapshot
from dask_batch.storage import Storage

__all__ = ["describe"]


def describe(storage: Storage, snapshot: DeploymentSnapshot) -> dict[str, Any]:
    """Load a deployment in a scoring process of its environment and return what it says of itself.

    Parameters
    ----------
    storage : Storage
        The workspace's storage, which holds the model and code.
    snapshot : DeploymentSnapshot
        The deployment.

    Returns
    -------
    dict
        ``python``, ``flavor``, ``signature``, ``takes_params``, ``has_shutdown``, ``package_problems``, ``seconds``.

    Raises
    ------
    DeploymentInvalid
        The script does not import or has no ``init`` or ``run``, or the model does not load; the message holds the
        user's traceback.
    EnvironmentFailed
        The environment cannot be built or started.
    """
    with Slots(storage, 1, name="deploy") as slots:
        answer = slots.describe(Loadable(snapshot, snapshot.settings))
    if answer["result"] == "loaded":
        description: dict[str, Any] = answer["description"]
        return description
    if answer["result"] == "canceled":
        raise DeploymentInvalid(f"deployment {snapshot.name!r} was not tried: it was canceled; deploy it again")
    error = answer["error"]
    if error["type"] == "EnvironmentFailed":
        raise EnvironmentFailed(error["message"])
    trace = f"\n\n{error['traceback']}" if error.get("traceback") else ""
    raise DeploymentInvalid(f"deployment {snapshot.name!r} cannot be used: {error['type']}: {error['message']}{trace}")

"""The plan of a job: made once, from the input as it is now."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dask_batch.errors import InputError
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.plan import Plan
from dask_batch.planning.build import build_plan
from dask_batch.planning.listing import list_inputs
from dask_batch.planning.types import check_columns, check_sample, infer_types, types_of_signature
from dask_batch.specs.job import JobDefinition

__all__ = ["prepare_plan"]

# Listing may take minutes: in threads of its own it keeps no other job's commits waiting.
_PLANNERS = ThreadPoolExecutor(8, "planner")


async def prepare_plan(folder: JobFolder, definition: JobDefinition) -> Plan:
    """Return the job's plan, making it if it has none.

    Raises
    ------
    InputError
        The input is gone or empty, or a sample of it lacks columns that the model needs.
    """
    return await asyncio.get_running_loop().run_in_executor(_PLANNERS, _prepare, folder, definition)


def _prepare(folder: JobFolder, definition: JobDefinition) -> Plan:
    plan = Plan.read(folder)
    if plan is not None:
        return plan
    files = list_inputs(definition.inputs)
    deployment = definition.deployment
    types: list[list[str]] | None = None
    if deployment.input_format == "table":
        signature = deployment.model.signature if deployment.model and deployment.kind == "mlflow" else None
        types = _types(files, signature)
        carried = definition.settings.include_inputs
        if not isinstance(carried, bool) and (reason := check_columns(files, carried)):
            raise InputError(reason)
    plan = build_plan(
        files,
        input_format=deployment.input_format,
        mini_batch_size=definition.settings.mini_batch_size,
        types=types,
    )
    if plan.write(folder):
        return plan
    # A host that was replaced wrote one at the same moment: that one holds.
    standing = Plan.read(folder)
    return plan if standing is None else standing


def _types(files: Any, signature: dict[str, Any] | None) -> list[list[str]] | None:
    if signature is None or not signature.get("inputs"):
        return infer_types(files)
    if reason := check_sample(files, signature):
        raise InputError(reason)
    return types_of_signature(signature)

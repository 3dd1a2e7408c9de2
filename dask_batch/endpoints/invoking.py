"""Invoking: the steps that turn a request into a job. Each can be repeated; a repeat completes what is missing."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from dask_batch.endpoints.assets import NO_DATASTORES
from dask_batch.endpoints.computes import Computes
from dask_batch.endpoints.deployment import Deployment
from dask_batch.endpoints.inputs import resolve_inputs
from dask_batch.endpoints.overrides import apply_overrides, check_params
from dask_batch.errors import AlreadyExists, DaskBatchError, InvalidDefinition, NotFound
from dask_batch.jobfolder.folder import now
from dask_batch.jobfolder.runs import open_run
from dask_batch.jobs.claiming import take_place
from dask_batch.jobs.context import Context
from dask_batch.jobs.deleting import half_deleted
from dask_batch.jobs.job import Job
from dask_batch.jobs.launch import ensure_host
from dask_batch.outputs.claim import release_output
from dask_batch.specs.compute import Compute
from dask_batch.specs.job import DeploymentSnapshot, JobDefinition, OutputTarget
from dask_batch.specs.names import check_name
from dask_batch.storage import is_local, local_path

__all__ = ["Request", "build_definition", "invoke", "new_job_name"]


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks of a deployment; see `dask_batch.endpoints.Endpoint.invoke` for each field."""

    input: Any
    output: str | None = None
    overwrite: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)
    dotted: Mapping[str, Any] | None = None
    params: Mapping[str, Any] | None = None
    tags: Mapping[str, str] | None = None
    display_name: str | None = None
    experiment_name: str | None = None
    job_name: str | None = None
    idempotency_key: str | None = None


def invoke(context: Context, deployment: Deployment, request: Request) -> Job:
    """Make a job of a request, or complete and return the one that the same idempotency key made.

    Nothing is left behind when the request cannot be: input, overrides and output place are checked first.
    """
    known = _known_job(context, request)
    if known is not None and context.job_folder(known).definition() is not None:
        return _set_off(context, known)
    if known is None and request.job_name is not None:
        _check_free(context, request.job_name)
    name = known or request.job_name or new_job_name(deployment.endpoint)
    definition = build_definition(context, deployment, request, name)
    if known is None and not _take_name(context, definition):
        return invoke(context, deployment, request)  # somebody with the same key was quicker
    _create(context, definition, taken=known is None)
    return _set_off(context, name)


def new_job_name(endpoint: str) -> str:
    """Return a name for a job that says what and when, and that nobody else gets."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    stem = re.sub(r"[._-]+$", "", endpoint[:40])
    return f"{stem}-{stamp}-{secrets.token_hex(3)}"


def build_definition(context: Context, deployment: Deployment, request: Request, name: str) -> JobDefinition:
    """Return what a request asks for, checked, with everything named exactly. Writes input data only.

    Raises
    ------
    InvalidDefinition, InputError, NotFound
        An override, a name, the input, or something the request refers to cannot be.
    """
    check_name(name, "job")
    snapshot = deployment.snapshot
    settings = apply_overrides(snapshot.settings, request.overrides, request.dotted)
    params = check_params(request.params, snapshot.name, deployment.takes_params)
    compute = _compute_of(context, snapshot)
    inputs = resolve_inputs(context, request.input)
    return JobDefinition(
        name=name,
        endpoint=snapshot.endpoint,
        deployment=snapshot,
        settings=settings,
        compute=compute,
        inputs=inputs,
        params=params,
        tags=_tags(request.tags),
        display_name=request.display_name,
        experiment_name=request.experiment_name or snapshot.endpoint,
        owner=context.user,
        created=now(),
        idempotency_key=request.idempotency_key,
        output=OutputTarget(
            url=_output_url(context, name, request.output),
            file_name=settings.output_file_name,
            overwrite=request.overwrite,
        ),
    )


def _output_url(context: Context, name: str, output: str | None) -> str:
    if output is None:
        return context.job_folder(name).url("outputs", "score")
    if output.startswith("azureml://"):
        raise InvalidDefinition(f"output={output!r}: {NO_DATASTORES}")
    if PurePosixPath(output).suffix in (".csv", ".parquet", ".jsonl"):
        name = PurePosixPath(output).name
        raise InvalidDefinition(
            f"output={output!r} is a folder for the outputs; name the file: output_file_name={name!r}"
        )
    if not output.strip():
        raise InvalidDefinition("output= is an empty text; name a folder, or leave it out")
    return local_path(os.path.expanduser(output)) if is_local(output) else output.rstrip("/")


# -- the steps ---------------------------------------------------------------------------------------------------------


def _known_job(context: Context, request: Request) -> str | None:
    """Return the job that this idempotency key has made."""
    if request.idempotency_key is None:
        return None
    record = context.catalog.find_job_by_key(request.idempotency_key)
    name = None if record is None else record.name
    if name is not None and request.job_name not in (None, name):
        raise AlreadyExists(
            f"idempotency_key={request.idempotency_key!r} belongs to job {name!r}, not {request.job_name!r}; "
            "leave job_name= out, or use another key"
        )
    return name


def _check_free(context: Context, name: str) -> None:
    if context.job_folder(check_name(name, "job")).definition() is not None:
        raise AlreadyExists(f"there is a job {name!r} already; choose another job_name=, or leave it out")


def _check_clear(context: Context, name: str) -> None:
    """Make sure that the job will not take for its own what is left of a deleted one of the same name."""
    if half_deleted(context, name):
        raise AlreadyExists(
            f"something is left of a job {name!r} that was deleted; remove it with ws.jobs.delete({name!r}), "
            "then invoke again"
        )


def _take_name(context: Context, definition: JobDefinition) -> bool:
    """Write the catalog's row; return False if another job has the same idempotency key."""
    try:
        added = context.catalog.add_job(
            definition.name,
            endpoint=definition.endpoint,
            deployment=definition.deployment.name,
            compute=definition.compute.name,
            owner=definition.owner,
            created=definition.created,
            idempotency_key=definition.idempotency_key,
            display_name=definition.display_name,
            experiment_name=definition.experiment_name,
            tags=definition.tags,
        )
    except AlreadyExists:
        if context.job_folder(definition.name).definition() is not None:
            raise
        raise AlreadyExists(
            f"there is a job {definition.name!r} already, of an invocation that broke off or is not done yet; choose "
            f"another job_name=, or remove what is left of it with ws.jobs.delete({definition.name!r})"
        ) from None
    return added.added


def _tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    if tags is not None and not isinstance(tags, Mapping):
        raise InvalidDefinition(f"tags={tags!r} must be text by name, such as tags={{'team': 'ml'}}")
    return {str(key): str(value) for key, value in (tags or {}).items()}


def _create(context: Context, definition: JobDefinition, *, taken: bool) -> None:
    """Claim the output place and write ``job.json``."""
    try:
        _check_clear(context, definition.name)
        take_place(context, definition, new=taken)
        context.job_folder(definition.name).create(definition.to_stored())
    except BaseException:
        if taken:
            _take_back(context, definition)
        raise


def _take_back(context: Context, definition: JobDefinition) -> None:
    """Undo what was done for a job that does not come to exist; where the place stays claimed, that claim lapses."""
    # Of a storage or catalog that is away nothing is known, and whoever invokes is told already.
    with contextlib.suppress(DaskBatchError, OSError):
        if context.job_folder(definition.name).definition() is None:
            with contextlib.suppress(Exception):  # of any type, where the place cannot be
                release_output(definition.output.url, definition.name)
            context.catalog.delete_job(definition.name)


def _compute_of(context: Context, snapshot: DeploymentSnapshot) -> Compute:
    try:
        return Computes(context).get(snapshot.compute)
    except NotFound as error:
        raise NotFound(
            f"deployment {snapshot.name!r} of endpoint {snapshot.endpoint!r} runs on a compute that is gone: {error}. "
            "Create it again, or give the deployment another one"
        ) from error


def _set_off(context: Context, name: str) -> Job:
    """Open run 1, tell the host, and make sure that there is one."""
    folder = context.job_folder(name)
    open_run(folder, 1, context.user)
    job = Job(context, name)
    if folder.decision(1) is None and job.owner == context.user:
        job.host.post(name)
        ensure_host(context.storage, job.definition.compute, job.owner)
    return job

"""What commands answer: a record per thing, complete and JSON-able, and what of it a table shows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from dask_batch.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from dask_batch.endpoints.deployment import Deployment
    from dask_batch.endpoints.endpoint import Endpoint
    from dask_batch.endpoints.trying import TestResult
    from dask_batch.jobs.job import Job
    from dask_batch.jobs.reading import JobStatus
    from dask_batch.specs.compute import Compute
    from dask_batch.workspace import Workspace

__all__ = [
    "COMPUTE_COLUMNS",
    "DEPLOYMENT_COLUMNS",
    "ENDPOINT_COLUMNS",
    "compute_record",
    "deployment_record",
    "endpoint_record",
    "job_record",
    "job_summary",
    "show_compute",
    "show_deployment",
    "show_endpoint",
    "show_frame",
    "show_job",
    "show_jobs",
    "show_test",
]

ENDPOINT_COLUMNS = ["name", "default_deployment", "deployments", "description", "tags"]
COMPUTE_COLUMNS = ["name", "type", "min_instances", "max_instances", "slots", "state", "instances", "description"]
DEPLOYMENT_COLUMNS = ["name", "is_default", "kind", "compute", "revision", "created", "description"]

_FIRST_ROWS = 20


def endpoint_record(endpoint: Endpoint) -> dict[str, Any]:
    """Return an endpoint as a record."""
    default = endpoint.default_deployment
    return endpoint.spec.to_stored() | {
        "default_deployment": default and default.name,
        "deployments": list(endpoint.deployments),
    }


def show_endpoint(cli: Session, endpoint: Endpoint) -> None:
    """Answer with an endpoint."""
    cli.show(endpoint_record(endpoint), ENDPOINT_COLUMNS)


def deployment_record(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment as a record: what was asked, and under ``snapshot`` what is pinned."""
    return deployment.spec.to_stored() | {
        "endpoint_name": deployment.endpoint,
        "is_default": deployment.is_default,
        "kind": deployment.snapshot.kind,
        "revision": deployment.snapshot.revision,
        "created": deployment.created,
        "problems": deployment.problems,
        "snapshot": deployment.snapshot.to_stored(),
    }


def show_deployment(cli: Session, deployment: Deployment) -> None:
    """Answer with a deployment; its problems are notes too."""
    for problem in deployment.problems:
        cli.note(f"warning: {problem}")
    if not cli.for_people:
        cli.show(deployment_record(deployment))
        return
    facts = {"name": deployment.name, "endpoint": deployment.endpoint, "default": deployment.is_default}
    told = {"created": _moment(deployment.created), "description": deployment.spec.description}
    cli.show(facts | deployment.facts() | told | {"tags": deployment.spec.tags})


def compute_record(ws: Workspace, compute: Compute) -> dict[str, Any]:
    """Return a compute as a record, with what can be seen of its host."""
    host = dataclasses.asdict(ws.compute.host(compute.name))
    stored = compute.to_stored()
    # Where a host runs is said with the rest about it.
    host |= {"runs": stored["host"]} if "host" in stored else {}
    return stored | {"state": host["state"], "instances": host["instances"], "host": host}


def show_compute(cli: Session, compute: Compute, *, script: bool = False) -> None:
    """Answer with a compute and its host, and with the job script of its instances if asked to."""
    record = compute_record(cli.ws, compute)
    text = cli.ws.compute.script(compute.name) if script and compute.type == "slurm" else ""
    if not cli.for_people:
        cli.show(record | ({"script": text} if text else {}))
        return
    host = record.pop("host")
    del record["state"], record["instances"]
    said = ("runs", "state", "owner", "epoch", "instances", "jobs", "log")
    cli.show(record | {f"host {name}": host[name] for name in said if name in host})
    if text:
        cli.tell(f"\njob script of an instance:\n\n{text}", {})


def job_record(job: Job, status: JobStatus) -> dict[str, Any]:
    """Return a job as a record: what was asked, and where it stands."""
    stands = status.to_json()
    stands.pop("state")
    return stands | {
        "name": job.name,
        "status": str(status),
        "endpoint": job.endpoint,
        "deployment": job.deployment,
        "compute": job.compute,
        "owner": job.owner,
        "created": job.created,
        "display_name": job.display_name,
        "experiment_name": job.experiment_name,
        "tags": job.tags,
        "inputs": list(job.inputs),
        "params": job.params,
        "outputs": job.outputs,
        "output_file_name": job.definition.output.file_name,
        "settings": job.definition.settings.to_stored(),
    }


def job_summary(job: Job, status: JobStatus) -> dict[str, Any]:
    """Return a job as short texts for people."""
    from dask_batch.jobs.text import amount, duration, error_line, share

    return {
        "name": job.name,
        "status": str(status),
        "progress": share(status.progress),
        "items": amount(status.counts.items),
        "failed": amount(status.counts.failed),
        "time left": duration(status.eta_s) if status.eta_s is not None and not status.terminal else "",
        "waits because": status.why,
        "reason": (status.reason or {}).get("message", ""),
        "first error": error_line(status.first_error) if status.first_error else "",
        "endpoint": job.endpoint,
        "deployment": job.deployment,
        "compute": job.compute,
        "owner": job.owner,
        "created": _moment(job.created),
        "started": _moment(status.started),
        "ended": _moment(status.ended),
        "instance time": duration(status.instance_seconds),
        "core time": duration(status.core_seconds),
        "slot time": duration(status.slot_seconds),
        "inputs": list(job.inputs),
        "params": job.params,
        "tags": job.tags,
        "output": job.outputs["score"],
    }


def show_job(cli: Session, job: Job, status: JobStatus) -> None:
    """Answer with a job."""
    cli.show(job_summary(job, status) if cli.for_people else job_record(job, status))


def show_jobs(cli: Session, jobs: Iterable[Job]) -> None:
    """Answer with jobs. None is taken up again by being listed."""
    columns = ["name", "status", "progress", "items", "failed", "endpoint", "deployment", "created", "owner"]
    read = job_summary if cli.for_people else job_record
    cli.show_all([read(job, job.peek()) for job in jobs], columns)


def show_frame(cli: Session, frame: pd.DataFrame, limit: int | None, about: str) -> None:
    """Answer with the rows of a DataFrame.

    Parameters
    ----------
    cli : Session
        Who asks.
    frame : pandas.DataFrame
        The rows.
    limit : int, optional
        How many at most, 0 for all. None: all, but only the first as a table.
    about : str
        What to say where rows are left out.
    """
    most = _FIRST_ROWS if limit is None and cli.for_people else limit or len(frame)
    cli.show_all(_rows(frame.head(most)), [str(column) for column in frame.columns])
    if most < len(frame):
        cli.note(f"the first {most:,} of {len(frame):,}; {about}")


def show_test(cli: Session, result: TestResult) -> None:
    """Answer with what a deployment made of a sample."""
    if not cli.for_people:
        outputs, errors = _rows(result.outputs), _rows(result.errors)
        names = ("items", "bytes", "rate", "seconds", "log")
        cli.show({name: getattr(result, name) for name in names} | {"outputs": outputs, "errors": errors})
        return
    show_frame(cli, result.outputs, None, "-o json shows all")
    if len(result.errors):
        cli.note(f"{len(result.errors)} failed:")
        show_frame(cli, result.errors.drop(columns="traceback", errors="ignore"), None, "-o json shows all")
    cli.note(repr(result).strip("<>"))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _moment(text: str | None) -> str:
    return (text or "")[:19].replace("T", " ")

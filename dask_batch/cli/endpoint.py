"""``dask-batch endpoint``: stable names that consumers invoke."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.following import set_off
from dask_batch.cli.invocation import read_invocation
from dask_batch.cli.options import needed
from dask_batch.cli.records import ENDPOINT_COLUMNS, endpoint_record, show_endpoint, show_jobs
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given, tags

__all__ = ["group"]

group = noun("endpoint", "Endpoints: stable names to invoke.")

_Default = Annotated[str | None, typer.Option("--default-deployment", help="The deployment to invoke by default.")]
_InputType = Annotated[str | None, typer.Option("--input-type", hidden=True, help="Read past; `az ml` has it.")]


@verb(
    group,
    "create",
    "dask-batch endpoint create --name heart --description 'who is at risk'",
    "dask-batch endpoint create -f endpoint.yml",
)
def create(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    description: options.Description = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Create an endpoint."""
    from dask_batch.specs.endpoint import EndpointSpec

    asked = changes(given(name=name, description=description), set_, more, tag)
    show_endpoint(cli, cli.ws.endpoints.create(EndpointSpec.from_yaml(file, asked)))


@verb(
    group,
    "update",
    "dask-batch endpoint update -n heart --set defaults.deployment_name=v2",
    "dask-batch endpoint update -f endpoint.yml",
)
def update(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    description: options.Description = None,
    default_deployment: _Default = None,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Change an endpoint: its description, tags or default deployment. A file gives it a new definition."""
    from dask_batch.specs.endpoint import EndpointSpec

    values = given(**{"description": description, "defaults.deployment_name": default_deployment})
    if file is None:
        endpoint = cli.ws.endpoints.get(needed(name, "--name"))
        show_endpoint(cli, endpoint.change(changes(values, set_, more, tag)))
        return
    spec = EndpointSpec.from_yaml(file, changes(given(name=name) | values, set_, more, tag))
    cli.ws.endpoints.get(spec.name)  # it must be there to be updated
    show_endpoint(cli, cli.ws.endpoints.create_or_update(spec))


@verb(group, "show", "dask-batch endpoint show -n heart -o json")
def show(cli: Session, name: options.Name) -> None:
    """Show an endpoint."""
    show_endpoint(cli, cli.ws.endpoints.get(name))


@verb(group, "list", "dask-batch endpoint list")
def list_(cli: Session) -> None:
    """List the endpoints."""
    cli.show_all([endpoint_record(endpoint) for endpoint in cli.ws.endpoints.list()], ENDPOINT_COLUMNS)


@verb(group, "delete", "dask-batch endpoint delete -n heart --yes")
def delete(
    cli: Session,
    name: options.Name,
    yes: options.Yes = False,
    cancel_jobs: Annotated[bool, typer.Option("--cancel-jobs", help="Cancel the jobs that still run.")] = False,
) -> None:
    """Delete an endpoint and its deployments; jobs and their outputs stay."""
    endpoint = cli.ws.endpoints.get(name)
    cli.confirm(f"Delete endpoint {name!r} and its {len(endpoint.deployments)} deployments?", yes)
    endpoint.delete(cancel_jobs=cancel_jobs)
    cli.note(f"endpoint {name!r} is deleted")


@verb(
    group,
    "invoke",
    "dask-batch endpoint invoke -n heart --input data/ --wait",
    "dask-batch endpoint invoke -n heart --input 's3://clinic/2026-11/*.csv' --set settings.mini_batch_size=20",
    "dask-batch endpoint invoke -n heart --input patients:3 -d v2 --output-path /data/out --overwrite -o json",
)
def invoke(
    cli: Session,
    name: options.Name,
    input_: options.Inputs = None,
    file: options.InputsFile = None,
    deployment_name: options.Deployment = None,
    output_path: Annotated[
        str | None, typer.Option("--output-path", help="A folder or URL for the outputs; else the job's folder.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the output path.")] = False,
    output_file_name: Annotated[
        str | None, typer.Option("--output-file-name", help="Name of the output; its ending is the format.")
    ] = None,
    mini_batch_size: Annotated[int | None, typer.Option("--mini-batch-size", help="Files per call of run().")] = None,
    instance_count: Annotated[int | None, typer.Option("--instance-count", "-c", help="Instances to use.")] = None,
    set_: options.Set = None,
    more: options.Pairs = None,
    param: options.Params = None,
    tag: options.Tags = None,
    display_name: Annotated[str | None, typer.Option("--display-name", help="A name for people.")] = None,
    experiment_name: Annotated[
        str | None, typer.Option("--experiment-name", help="What to file the job under.")
    ] = None,
    job_name: Annotated[str | None, typer.Option("--job-name", help="The job's name; else one is made up.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", help="Invocations with the same key make one job.")
    ] = None,
    wait: options.Wait = False,
    input_type: _InputType = None,
) -> None:
    """Start a job on some data; print its name and return at once."""
    asked = read_invocation(file, input_ or (), [*(set_ or ()), *(more or ())], param or ())
    job = cli.ws.endpoints.get(name).invoke(
        asked.inputs, deployment=deployment_name, output=output_path or asked.output, overwrite=overwrite,
        params=asked.params, tags=tags(tag), display_name=display_name, experiment_name=experiment_name,
        job_name=job_name, idempotency_key=idempotency_key, set=asked.overrides,
        **given(output_file_name=output_file_name, mini_batch_size=mini_batch_size, instance_count=instance_count),
    )  # fmt: skip
    set_off(cli, job, wait)


@verb(group, "list-jobs", "dask-batch endpoint list-jobs -n heart")
def list_jobs(cli: Session, name: options.Name, limit: options.Limit = 50, offset: options.Offset = 0) -> None:
    """List the jobs of an endpoint, newest first."""
    cli.ws.endpoints.get(name)
    show_jobs(cli, cli.ws.jobs.list(endpoint=name, limit=limit, offset=offset))


@verb(group, "estimate", "dask-batch endpoint estimate -n heart --input data/")
def estimate(
    cli: Session,
    name: options.Name,
    input_: options.Inputs = None,
    file: options.InputsFile = None,
    deployment_name: options.Deployment = None,
    sample: Annotated[int, typer.Option("--sample", help="Items to score for measuring, if no job was before.")] = 200,
) -> None:
    """Say how many items an input has, and how long scoring them takes, without starting a job."""
    asked = read_invocation(file, input_ or (), (), ())
    made = cli.ws.endpoints.get(name).estimate(asked.inputs, deployment=deployment_name, sample=sample)
    cli.show(made.facts() if cli.for_people else dataclasses.asdict(made))

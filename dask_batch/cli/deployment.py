"""``dask-batch deployment``: models and scripts, and how to run them."""

from __future__ import annotations

from typing import Annotated

import typer

from dask_batch.cli import options
from dask_batch.cli.invocation import read_invocation
from dask_batch.cli.options import needed
from dask_batch.cli.records import DEPLOYMENT_COLUMNS, deployment_record, show_deployment, show_jobs, show_test
from dask_batch.cli.session import Session, noun, verb
from dask_batch.cli.values import changes, given

__all__ = ["group"]

group = noun("deployment", "Deployments: what an endpoint runs.")

_Endpoint = Annotated[
    str | None, typer.Option("--endpoint-name", "-e", help="The endpoint; the one that the file names if not given.")
]


@verb(
    group,
    "create",
    "dask-batch deployment create -f deployment.yml --endpoint-name heart --set-default",
    "dask-batch deployment create -f deployment.yml --set endpoint_name=heart model=azureml:heart@latest",
)
def create(
    cli: Session,
    file: options.File,
    endpoint_name: _Endpoint = None,
    name: options.OptionalName = None,
    set_default: Annotated[bool, typer.Option("--set-default", help="Make it the endpoint's default.")] = False,
    skip_script_validation: options.NoValidate = False,
    tag: options.Tags = None,
    set_: options.Set = None,
    more: options.Pairs = None,
) -> None:
    """Deploy a model or a scoring script. The first deployment of an endpoint becomes its default."""
    from dask_batch.specs.deployment import ModelDeployment

    spec = ModelDeployment.from_yaml(file, changes(given(name=name, endpoint_name=endpoint_name), set_, more, tag))
    endpoint = cli.ws.endpoints.get(needed(spec.endpoint_name, "--endpoint-name"))
    made = endpoint.deploy(spec, default=set_default or None, validate=not skip_script_validation)
    show_deployment(cli, made)


@verb(
    group,
    "update",
    "dask-batch deployment update -n v2 -e heart --set settings.mini_batch_size=20",
    "dask-batch deployment update -f deployment.yml",
)
def update(
    cli: Session,
    file: options.OptionalFile = None,
    name: options.OptionalName = None,
    endpoint_name: _Endpoint = None,
    set_: options.Set = None,
    more: options.Pairs = None,
    tag: options.Tags = None,
    skip_script_validation: options.NoValidate = False,
) -> None:
    """Change a deployment, or replace it by the one of a file; jobs that run keep what they have.

    Without a file, model, code and environment stay as they were pinned unless they are set.
    """
    from dask_batch.specs.deployment import ModelDeployment

    validate = not skip_script_validation
    if file is None:
        endpoint = cli.ws.endpoints.get(needed(endpoint_name, "--endpoint-name"))
        standing = endpoint.deployments[needed(name, "--name")]
        asked = standing.spec.changed_fields(changes({}, set_, more, tag))
        show_deployment(cli, standing.update(validate=validate, **asked) if asked else standing)
        return
    spec = ModelDeployment.from_yaml(file, changes(given(name=name, endpoint_name=endpoint_name), set_, more, tag))
    endpoint = cli.ws.endpoints.get(needed(spec.endpoint_name, "--endpoint-name"))
    endpoint.deployments[spec.name]  # it must be there to be updated
    show_deployment(cli, endpoint.deploy(spec, default=False, replace=True, validate=validate))


@verb(group, "show", "dask-batch deployment show -n v2 -e heart -o json")
def show(cli: Session, name: options.Name, endpoint_name: options.EndpointName) -> None:
    """Show a deployment."""
    show_deployment(cli, cli.ws.endpoints.get(endpoint_name).deployments[name])


@verb(group, "list", "dask-batch deployment list -e heart")
def list_(cli: Session, endpoint_name: options.EndpointName) -> None:
    """List the deployments of an endpoint."""
    found = cli.ws.endpoints.get(endpoint_name).deployments.list()
    cli.show_all([deployment_record(deployment) for deployment in found], DEPLOYMENT_COLUMNS)


@verb(group, "list-jobs", "dask-batch deployment list-jobs -n v2 -e heart")
def list_jobs(
    cli: Session,
    name: options.Name,
    endpoint_name: options.EndpointName,
    limit: options.Limit = 50,
    offset: options.Offset = 0,
) -> None:
    """List the jobs of a deployment, newest first."""
    standing = cli.ws.endpoints.get(endpoint_name).deployments[name]
    show_jobs(cli, cli.ws.jobs.list(endpoint=endpoint_name, deployment=standing.name, limit=limit, offset=offset))


@verb(group, "delete", "dask-batch deployment delete -n v1 -e heart --yes")
def delete(cli: Session, name: options.Name, endpoint_name: options.EndpointName, yes: options.Yes = False) -> None:
    """Delete a deployment; its jobs and their outputs stay."""
    deployment = cli.ws.endpoints.get(endpoint_name).deployments[name]
    cli.confirm(f"Delete deployment {name!r} of endpoint {endpoint_name!r}?", yes)
    deployment.delete()
    cli.note(f"deployment {name!r} of endpoint {endpoint_name!r} is deleted")


@verb(group, "test", "dask-batch deployment test -n v2 -e heart --input data/ --max-items 20")
def test(
    cli: Session,
    name: options.Name,
    endpoint_name: options.EndpointName,
    input_: options.Inputs = None,
    file: options.InputsFile = None,
    max_items: Annotated[int, typer.Option("--max-items", help="Files (scripts) or rows (tables) to try.")] = 100,
    set_: options.Set = None,
    more: options.Pairs = None,
    param: options.Params = None,
) -> None:
    """Score a sample right here, without starting a job, and show what came out."""
    asked = read_invocation(file, input_ or (), [*(set_ or ()), *(more or ())], param or ())
    deployment = cli.ws.endpoints.get(endpoint_name).deployments[name]
    result = deployment.test(asked.inputs, max_items=max_items, **given(params=asked.params or None), **asked.overrides)
    show_test(cli, result)

"""An endpoint: a stable name that consumers invoke, and its deployments."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dask_batch.endpoints.deployment import Deployment, deploy
from dask_batch.errors import InvalidDefinition, Refused
from dask_batch.jobs.context import Context
from dask_batch.jobs.job import Job
from dask_batch.jobs.jobs import live_jobs
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.endpoint import EndpointDefaults, EndpointSpec

__all__ = ["Deployments", "Endpoint"]


if TYPE_CHECKING:
    from dask_batch.endpoints.estimating import Estimate


class Deployments(Mapping[str, Deployment]):
    """The deployments of an endpoint, by name, as they are at this moment."""

    def __init__(self, context: Context, endpoint: str) -> None:
        self._context = context
        self._endpoint = endpoint

    def __getitem__(self, name: str) -> Deployment:
        return Deployment(self._context, self._context.catalog.deployments.get(self._endpoint, name))

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [record.name for record in self._context.catalog.deployments.list(self._endpoint)]

    def list(self) -> list[Deployment]:
        """Return all of them, sorted by name."""
        return list(self.values())

    def __repr__(self) -> str:
        return f"<Deployments of {self._endpoint!r}: {', '.join(self) or 'none yet'}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import table_html

        rows = [
            [d.name, "yes" if d.is_default else "", d.snapshot.kind, d.snapshot.compute, d.snapshot.revision]
            for d in self.values()
        ]
        caption = f"Deployments of {self._endpoint}"
        return table_html(caption, ["name", "default", "kind", "compute", "revision"], rows)


class Endpoint:
    """An endpoint of a workspace, by name; get one from ``ws.endpoints.create(…)`` or ``ws.endpoints["…"]``.

    Attributes
    ----------
    name : str
        Which endpoint.

    Raises
    ------
    NotFound
        There is no such endpoint.
    """

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self.name = name
        context.catalog.endpoints.get(name)

    def __repr__(self) -> str:
        names = ", ".join(self.deployments) or "none"
        return f"<Endpoint {self.name!r}: deployments {names}; default {self._default() or 'none'}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import card_html

        spec = self.spec
        facts = {"description": spec.description, "default": self._default() or "none"}
        facts |= {"tags": ", ".join(f"{key}={value}" for key, value in spec.tags.items())}
        title = f"Endpoint {self.name}"
        return card_html(title, {key: value for key, value in facts.items() if value}) + self.deployments._repr_html_()

    @property
    def spec(self) -> EndpointSpec:
        """The endpoint's definition, with its default deployment."""
        record = self._context.catalog.endpoints.get(self.name)
        return _with_default(EndpointSpec.from_stored(record.document), record.default_deployment)

    def update(self, **changes: Any) -> Endpoint:
        """Change ``description``, ``tags``, ``properties`` or ``default_deployment``, and return the endpoint.

        All of it happens or nothing; what is not named stays, whoever changes it at the same time.

        Raises
        ------
        NotFound
            There is no such deployment.
        Refused
            `default_deployment` is None, and there is a default.
        """
        if "default_deployment" in changes:
            default = changes.pop("default_deployment")
            name = default.name if isinstance(default, Deployment) else default
            changes["defaults"] = EndpointDefaults(deployment_name=name)
        return self._revise(lambda spec: spec.replace(**changes))

    def change(self, given: Mapping[str, Any]) -> Endpoint:
        """Change dotted keys, as a shell gives them, and return the endpoint: ``{"tags.team": "ml"}`` adds a tag.

        Raises
        ------
        InvalidDefinition, NotFound, Refused
            As for `update`.
        """
        return self._revise(lambda spec: spec.replace(**spec.changed_fields(given)))

    def _revise(self, change: Callable[[EndpointSpec], EndpointSpec]) -> Endpoint:
        def revision(document: dict[str, Any], default: str | None) -> tuple[dict[str, Any], str | None]:
            changed = change(_with_default(EndpointSpec.from_stored(document), default))
            if changed.name != self.name:
                raise InvalidDefinition(
                    f"endpoint {self.name!r} cannot be renamed to {changed.name!r}: consumers know it; "
                    "create another one"
                )
            return _with_default(changed, None).to_stored(), changed.defaults.deployment_name

        self._context.catalog.endpoints.revise(self.name, revision)
        return self

    def delete(self, *, cancel_jobs: bool = False) -> None:
        """Delete the endpoint and its deployments; jobs and their outputs stay.

        Parameters
        ----------
        cancel_jobs : bool
            Cancel the jobs that still run.

        Raises
        ------
        Refused
            Jobs still run and `cancel_jobs` is not set.
        """
        delete_endpoint(self._context, self.name, cancel_jobs=cancel_jobs)

    # -- deployments ---------------------------------------------------------------------------------------------

    @property
    def deployments(self) -> Deployments:
        """The deployments, by name."""
        return Deployments(self._context, self.name)

    @property
    def default_deployment(self) -> Deployment | None:
        """The deployment that is invoked when none is named. Assign a name or a `Deployment` to switch it.

        None if there is none, or if the one that the endpoint was created to have is not there yet.
        """
        name = self._default()
        return self.deployments[name] if name is not None and name in self.deployments else None

    @default_deployment.setter
    def default_deployment(self, deployment: str | Deployment | None) -> None:
        name = deployment.name if isinstance(deployment, Deployment) else deployment
        self._context.catalog.deployments.set_default(self.name, name)

    def _default(self) -> str | None:
        return self._context.catalog.endpoints.get(self.name).default_deployment

    def deploy(
        self,
        deployment: ModelDeployment | str | os.PathLike[str],
        *,
        default: bool | None = None,
        replace: bool = False,
        validate: bool = True,
    ) -> Deployment:
        """Deploy a model or a scoring script and return the deployment.

        Model, code and environment are copied by content and every alias is resolved, so that what is deployed never
        changes. The first deployment of an endpoint becomes its default, unless the endpoint was created to have
        another one as its default: then that one does, when it is deployed.

        Parameters
        ----------
        deployment : ModelDeployment or path
            The definition, or a ``deployment.yml`` in Azure's grammar.
        default : bool, optional
            True: make it the default. False: leave the default alone, even if there is none.
        replace : bool
            Replace a deployment of the same name; jobs that run keep what they have.
        validate : bool
            Load it in a scoring process of its environment first, so that mistakes show now.

        Raises
        ------
        AlreadyExists
            There is a deployment of that name and `replace` is not set.
        DeploymentInvalid, EnvironmentFailed
            It cannot be used; the message holds the user's traceback.
        NotFound
            Its model, code, environment or compute does not exist.
        """
        spec = deployment if isinstance(deployment, ModelDeployment) else ModelDeployment.from_yaml(Path(deployment))
        if spec.endpoint_name not in (None, self.name):
            raise InvalidDefinition(
                f"deployment {spec.name!r} is for endpoint {spec.endpoint_name!r}, not {self.name!r}; "
                f"change endpoint_name, or deploy it with ws.endpoints[{spec.endpoint_name!r}].deploy(…)"
            )
        return deploy(self._context, self.name, spec, default=default, replace=replace, validate=validate)

    # -- using it ------------------------------------------------------------------------------------------------

    def invoke(
        self,
        input: Any,  # noqa: A002  (the word everybody uses)
        *,
        deployment: str | Deployment | None = None,
        output: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        display_name: str | None = None,
        experiment_name: str | None = None,
        job_name: str | None = None,
        idempotency_key: str | None = None,
        set: Mapping[str, Any] | None = None,  # noqa: A002  (as az ml's --set)
        **overrides: Any,
    ) -> Job:
        """Start a job on some data and return it at once.

        Parameters
        ----------
        input : str, path, sequence of them, or pandas.DataFrame
            A path, pattern or fsspec URL, a list of them, a data asset (``name:1``, ``name@latest``,
            ``azureml:name:1``), or a DataFrame.
        deployment : str, optional
            Which deployment; the default one if not given.
        output : str, optional
            A folder or URL for the outputs; otherwise they are in the job's folder.
        overwrite : bool
            Replace what is in `output`.
        params : mapping, optional
            What a script's ``run(mini_batch, params)`` gets.
        tags, display_name, experiment_name
            For finding the job again.
        job_name : str, optional
            A name that no job has; otherwise one is made up.
        idempotency_key : str, optional
            Calls with the same key make one job, and return it.
        set : mapping, optional
            Overrides by Azure's dotted keys, such as ``{"retry_settings.timeout": 60}``.
        **overrides
            Any setting of the deployment for this job: ``instance_count``, ``max_concurrency_per_instance``,
            ``mini_batch_size``, ``max_retries``, ``timeout``, ``read_timeout``, ``error_threshold``,
            ``output_action``, ``output_file_name``, ``logging_level``, ``environment_variables``, ``batch_rows``,
            ``coalesce``, ``include_inputs``, ``bisect``, ``on_duplicate``, ``threads``, ``keep_parts``. 0 means 0.

        Raises
        ------
        InvalidDefinition
            An override or a name cannot be.
        InputMissing, InputEmpty
            There is nothing to score.
        AlreadyExists
            The output place or the job's name is taken.
        Refused
            No deployment is named and there is no default.
        """
        from dask_batch.endpoints.invoking import Request, invoke

        request = Request(
            input=input,
            output=None if output is None else os.fspath(output),
            overwrite=overwrite,
            overrides=overrides,
            dotted=set,
            params=params,
            tags=tags,
            display_name=display_name,
            experiment_name=experiment_name,
            job_name=job_name,
            idempotency_key=idempotency_key,
        )
        return invoke(self._context, self._chosen(deployment), request)

    def estimate(self, inputs: Any, *, deployment: str | Deployment | None = None, sample: int = 200) -> Estimate:
        """Return how many items an input has and what scoring them takes, without starting a job.

        Parameters
        ----------
        inputs : str, path, sequence of them, or pandas.DataFrame
            As for `invoke`.
        deployment : str, optional
            Which deployment; the default one if not given.
        sample : int
            Items to score for measuring, if the deployment has completed no job yet.
        """
        from dask_batch.endpoints.estimating import estimate

        return estimate(self._context, self._chosen(deployment), inputs, sample)

    def _chosen(self, deployment: str | Deployment | None) -> Deployment:
        if isinstance(deployment, Deployment):
            return deployment
        default = self._default()
        name = deployment or default
        known = ", ".join(self.deployments)
        if deployment is None and default is not None and known and default not in self.deployments:
            raise Refused(
                f"endpoint {self.name!r} is to have {default!r} as its default deployment, which is not there yet; "
                f"deploy it, or name one (deployment=…); deployments: {known}"
            )
        if name is not None and known:
            return self.deployments[name]
        if not known:
            raise Refused(f"endpoint {self.name!r} has no deployment; ep.deploy(ModelDeployment(…)) makes one")
        raise Refused(
            f"endpoint {self.name!r} has no default deployment; name one (deployment=…), "
            f"or set ep.default_deployment = …; deployments: {known}"
        )


def _with_default(spec: EndpointSpec, name: str | None) -> EndpointSpec:
    # Which deployment is the default is kept beside the definition.
    return spec.model_copy(update={"defaults": EndpointDefaults(deployment_name=name)})


def delete_endpoint(context: Context, name: str, *, cancel_jobs: bool) -> None:
    """Delete an endpoint and its deployments; see `Endpoint.delete`."""
    context.catalog.endpoints.get(name)
    running = live_jobs(context, name)
    if running and not cancel_jobs:
        listed = ", ".join(job.name for job in running[:5])
        raise Refused(
            f"endpoint {name!r} has jobs that have not ended ({len(running)}: {listed}); "
            "wait for them, or delete with cancel_jobs=True"
        )
    for job in running:
        # Too late for one that has ended meanwhile, or whose outputs are being put in place: it ends by itself.
        with contextlib.suppress(Refused):
            job.cancel()
    context.catalog.endpoints.delete(name)

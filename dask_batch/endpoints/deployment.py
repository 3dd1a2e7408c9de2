"""A deployment of an endpoint: what is pinned, trying it, changing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dask_batch.endpoints.computes import Computes
from dask_batch.endpoints.overrides import named_overrides
from dask_batch.errors import AlreadyExists, InvalidDefinition
from dask_batch.jobs.context import Context
from dask_batch.specs.deployment import ModelDeployment
from dask_batch.specs.job import DeploymentSnapshot, PinnedEnvironment

if TYPE_CHECKING:
    from dask_batch.catalog import DeploymentRecord
    from dask_batch.endpoints.trying import TestResult

__all__ = ["Deployment", "deploy"]

# What a change of has to be resolved, copied and validated anew.
_PINNED = frozenset({"model", "code", "scoring_script", "environment", "input_format"})


class Deployment:
    """A deployment as it was recorded; get one from ``ep.deploy(…)`` or ``ep.deployments["…"]``.

    Attributes
    ----------
    name, endpoint : str
        Which deployment, of which endpoint.
    spec : ModelDeployment
        What the user asked for.
    snapshot : DeploymentSnapshot
        What jobs get: model, code and environment by content, settings.
    description : dict
        What the scoring process said of it when it was validated.
    problems : list of str
        Packages that its environment lacks or has in other versions than the model was logged with.
    created : str
        When this revision was recorded.
    """

    def __init__(self, context: Context, record: DeploymentRecord) -> None:
        self._context = context
        self._record = record
        self.spec = ModelDeployment.from_stored(record.document["spec"])
        self.snapshot = DeploymentSnapshot.from_stored(record.document["snapshot"])
        self.description: dict[str, Any] = dict(record.document.get("description") or {})
        self.name = self.snapshot.name
        self.endpoint = self.snapshot.endpoint
        self.problems: list[str] = list(self.description.get("package_problems", []))
        self.created = record.updated

    def __repr__(self) -> str:
        facts = ", ".join(f"{name} {value}" for name, value in self.facts().items())
        return f"<Deployment {self.endpoint}/{self.name}{' (default)' if self.is_default else ''}: {facts}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import card_html

        title = f"{self.endpoint} / {self.name}{' (default)' if self.is_default else ''}"
        return card_html(title, self.facts())

    def facts(self) -> dict[str, str]:
        """Return what is pinned, as short texts by name."""
        snapshot = self.snapshot
        facts = {"kind": snapshot.kind, "revision": str(snapshot.revision)}
        if snapshot.model is not None:
            facts["model"] = f"{snapshot.model.source} (sha256 {snapshot.model.digest[:12]})"
        if snapshot.code is not None:
            facts["script"] = f"{snapshot.code.scoring_script} (sha256 {snapshot.code.digest[:12]})"
        facts["environment"] = _environment_text(snapshot.environment)
        facts["input"] = snapshot.input_format
        facts["compute"] = snapshot.compute
        if self.problems:
            facts["problems"] = "; ".join(self.problems)
        return facts

    @property
    def is_default(self) -> bool:
        """Whether invocations that name no deployment go here."""
        return self._context.catalog.endpoints.get(self.endpoint).default_deployment == self.name

    @property
    def takes_params(self) -> bool | None:
        """Whether an invocation may give ``params``; None if the deployment was not validated."""
        answer = self.description.get("takes_params")
        return None if answer is None else bool(answer)

    def test(
        self, inputs: Any, *, max_items: int = 100, params: dict[str, Any] | None = None, **overrides: Any
    ) -> TestResult:
        """Score a sample right here, in a scoring process, and return what came out; nothing is kept.

        Parameters
        ----------
        inputs : str, path, sequence of them, or pandas.DataFrame
            As for `Endpoint.invoke`.
        max_items : int
            Files (scripts, images) or rows (tables) to try.
        params : dict, optional
            For a script's second argument.
        **overrides
            Settings, as for `Endpoint.invoke`. ``error_threshold`` is -1 unless given, so that all failures show.

        Examples
        --------
        >>> ep.deployments["xgb"].test("data/", max_items=50)  # doctest: +SKIP
        <TestResult: 50 items in 0.1 s (412 items/s), 49 output rows, 1 failed>
        """
        from dask_batch.endpoints.trying import try_deployment

        return try_deployment(
            self._context,
            self.snapshot,
            inputs,
            max_items=max_items,
            params=params,
            overrides={"error_threshold": -1, **named_overrides(overrides.items())},
            takes_params=self.takes_params,
        )

    def update(self, *, validate: bool = True, **changes: Any) -> Deployment:
        """Replace the deployment by one with some keys changed, and return it; running jobs keep what they have.

        Parameters
        ----------
        validate : bool
            Whether to load it in a scoring process first.
        **changes
            Keys of `ModelDeployment`, such as ``model=`` or ``mini_batch_size=``.
        """
        spec = self.spec.replace(**changes)
        if spec.name != self.name or spec.endpoint_name not in (None, self.endpoint):
            raise InvalidDefinition(
                f"deployment {self.name!r} of endpoint {self.endpoint!r} can be neither renamed nor moved; "
                f"deploy another one, and delete this one"
            )
        if _PINNED.intersection(changes):
            return deploy(self._context, self.endpoint, spec, replace=True, validate=validate)
        return self._keeping_pins(spec)

    def _keeping_pins(self, spec: ModelDeployment) -> Deployment:
        """Record new settings over the same model, code and environment; the paths they came from may be gone."""
        Computes(self._context).get(spec.compute)
        snapshot = self.snapshot.replace(
            revision=self._record.revision + 1,
            settings=spec.scoring_settings(),
            compute=spec.compute,
            description=spec.description,
            tags=spec.tags,
            properties=spec.properties,
        )
        document = {
            **self._record.document,
            "spec": spec.to_stored(),
            "snapshot": snapshot.to_stored(),
        }
        catalog = self._context.catalog.deployments
        record = catalog.update(self.endpoint, self.name, document, revision=self._record.revision)
        return Deployment(self._context, record)

    def delete(self) -> None:
        """Delete the deployment; its jobs and their outputs stay.

        Raises
        ------
        Refused
            It is the default and there are others.
        """
        self._context.catalog.deployments.delete(self.endpoint, self.name)


def deploy(
    context: Context,
    endpoint: str,
    spec: ModelDeployment,
    *,
    default: bool | None = None,
    replace: bool = False,
    validate: bool = True,
) -> Deployment:
    """Pin, check and record a deployment; see `Endpoint.deploy`.

    Raises
    ------
    AlreadyExists
        The endpoint has one of this name and `replace` is not set.
    Refused
        Somebody else has replaced it at the same time.
    """
    from dask_batch.endpoints.pinning import pin_deployment

    catalog = context.catalog.deployments
    standing = next((record for record in catalog.list(endpoint) if record.name == spec.name), None)
    if standing is not None and not replace:
        raise AlreadyExists(
            f"endpoint {endpoint!r} has a deployment {spec.name!r} already; "
            "replace it with deploy(…, replace=True), or choose another name"
        )
    revision = 1 if standing is None else standing.revision + 1
    pinned = pin_deployment(context, spec, endpoint, revision, validate=validate)
    document = {
        "spec": spec.to_stored(),
        "snapshot": pinned.snapshot.to_stored(),
        "description": pinned.description,
    }
    if standing is None:
        return Deployment(context, catalog.create(endpoint, spec.name, document, default=default))
    record = catalog.update(endpoint, spec.name, document, revision=standing.revision, default=bool(default))
    return Deployment(context, record)


def _environment_text(environment: PinnedEnvironment | None) -> str:
    if environment is None or (environment.python is None and environment.requirements is None):
        return "the Python of the host"
    name = f"{environment.name}:{environment.version} " if environment.name and environment.version else ""
    if environment.python is not None:
        return f"{name}{environment.python}"
    count = len(environment.requirements or ())
    return f"{name}{count} requirement{'' if count == 1 else 's'} (sha256 {environment.digest[:12]})"

"""The endpoints of a workspace."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from dask_batch.endpoints.endpoint import Endpoint, delete_endpoint
from dask_batch.errors import AlreadyExists
from dask_batch.jobs.context import Context
from dask_batch.specs.endpoint import EndpointDefaults, EndpointSpec
from dask_batch.specs.names import check_name

__all__ = ["Endpoints"]


class Endpoints:
    """The endpoints of a workspace, by name."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def __getitem__(self, name: str) -> Endpoint:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def _names(self) -> list[str]:
        return [record.name for record in self._context.catalog.endpoints.list()]

    def __repr__(self) -> str:
        return f"<Endpoints: {', '.join(self) or 'none yet'}>"

    def _repr_html_(self) -> str:
        from dask_batch.jobs.html import table_html

        rows = [
            [e.name, e.spec.defaults.deployment_name or "", ", ".join(e.deployments), e.spec.description]
            for e in self.list()
        ]
        return table_html("Endpoints", ["name", "default", "deployments", "description"], rows)

    def list(self) -> list[Endpoint]:
        """Return all endpoints, sorted by name."""
        return [Endpoint(self._context, name) for name in self]

    def get(self, name: str) -> Endpoint:
        """Return an endpoint.

        Raises
        ------
        NotFound
            There is no such endpoint; the message lists those that exist.
        """
        return Endpoint(self._context, name)

    def create(self, endpoint: EndpointSpec | str | os.PathLike[str], **keywords: Any) -> Endpoint:
        """Create an endpoint and return it.

        Parameters
        ----------
        endpoint : EndpointSpec, str or path
            The definition, a YAML file that ends in ``.yml`` or ``.yaml``, or a name, with the rest as keywords.
        **keywords
            ``description``, ``tags``, ``properties``, and ``defaults={"deployment_name": …}``: the deployment that is
            to be the default once it is there. Without it the first one becomes it.

        Raises
        ------
        AlreadyExists
            There is an endpoint of that name.
        InvalidDefinition
            The name or a key cannot be.
        """
        spec = _spec(endpoint, keywords)
        # Which deployment is the default is kept apart; the one that is named becomes it when it is deployed.
        document = spec.replace(defaults=EndpointDefaults()).to_stored()
        self._context.catalog.endpoints.create(spec.name, document, default=spec.defaults.deployment_name)
        return Endpoint(self._context, spec.name)

    def create_or_update(self, endpoint: EndpointSpec | str | os.PathLike[str], **keywords: Any) -> Endpoint:
        """Create an endpoint, or give the one of that name a new definition; its deployments stay."""
        spec = _spec(endpoint, keywords)
        try:
            return self.create(spec)
        except AlreadyExists:
            changes = {name: getattr(spec, name) for name in ("description", "tags", "properties")}
            if spec.defaults.deployment_name is not None:
                changes["defaults"] = spec.defaults
            return Endpoint(self._context, spec.name).update(**changes)

    def delete(self, name: str, *, cancel_jobs: bool = False) -> None:
        """Delete an endpoint and its deployments; see `Endpoint.delete`."""
        delete_endpoint(self._context, name, cancel_jobs=cancel_jobs)


def _spec(endpoint: Any, keywords: dict[str, Any]) -> EndpointSpec:
    if isinstance(endpoint, EndpointSpec):
        return endpoint.replace(**keywords) if keywords else endpoint
    if not isinstance(endpoint, str | os.PathLike):
        check_name(endpoint, "endpoint")
    text = os.fspath(endpoint)
    if text.endswith((".yml", ".yaml")):
        spec = EndpointSpec.from_yaml(text)
        return spec.replace(**keywords) if keywords else spec
    return EndpointSpec(**{"name": check_name(text, "endpoint"), **keywords})

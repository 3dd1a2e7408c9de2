"""An endpoint: the stable name that consumers invoke."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from dask_batch.specs.base import Spec
from dask_batch.specs.fields import FrozenDict, Name, Tags, Text
from dask_batch.specs.layout import Layout

__all__ = ["EndpointDefaults", "EndpointSpec"]


class EndpointDefaults(Spec):
    """What an endpoint uses where an invocation says nothing.

    Parameters
    ----------
    deployment_name : str, optional
        The deployment that is invoked.
    """

    deployment_name: Name | None = None


class EndpointSpec(Spec):
    """An endpoint's definition.

    Parameters
    ----------
    name : str
        What consumers invoke.
    description : str
        For people.
    tags, properties : dict of str to str
        For searching.
    defaults : EndpointDefaults
        The default deployment.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.

    Examples
    --------
    >>> EndpointSpec(name="heart", defaults={"deployment_name": "xgb"}).defaults.deployment_name
    'xgb'
    """

    layout: ClassVar[Layout] = Layout(
        ignored=frozenset(
            {
                "auth_mode", "type", "kind", "location", "identity", "id", "traffic", "mirror_traffic",
                "scoring_uri", "openapi_uri", "provisioning_state", "public_network_access",
            }
        ),
    )  # fmt: skip
    inline: ClassVar = {"defaults": EndpointDefaults}

    name: Name
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    properties: Tags = Field(default_factory=FrozenDict)
    defaults: EndpointDefaults = Field(default_factory=EndpointDefaults)

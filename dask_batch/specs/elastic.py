"""What all computes have: a name, bounds, and when idle instances go."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dask_batch.errors import InvalidDefinition, choose_from
from dask_batch.specs.base import FieldProblem, Spec
from dask_batch.specs.fields import FrozenDict, Memory, Name, Tags, Text, any_case, at_least, seconds
from dask_batch.specs.yamlio import Document

__all__ = ["AZURE_ONLY", "TYPES", "ElasticCompute", "only", "type_problem"]

TYPES = ("local", "slurm")

# Keys of Azure's clusters that mean nothing here.
AZURE_ONLY = frozenset(
    {
        "size", "location", "identity", "network_settings", "ssh_settings", "ssh_public_access_enabled",
        "enable_node_public_ip", "vnet_name", "subnet", "provisioning_state", "provisioning_errors",
        "created_on", "id", "resource_id", "properties",
    }
)  # fmt: skip

_LATER = ("kubernetes",)


def type_problem(value: Any) -> str:
    """Return what is wrong with a type of compute, and which there are."""
    if any_case(value) in _LATER:
        return f"{value} computes are not in this version yet; types: {', '.join(TYPES)}"
    return f"there is no such compute; {choose_from(str(value), TYPES, 'types')} (amlcompute files load as local)"


def only(kind: str) -> BeforeValidator:
    """Return the check for the `type` of one kind of compute."""

    def check(value: Any) -> Any:
        if any_case(value) == kind:
            return kind
        if any_case(value) in TYPES:
            raise ValueError(f"this is the definition of a {kind} compute; give type: {kind}, or leave it out")
        raise ValueError(type_problem(value))

    return BeforeValidator(check)


def _tier(value: Any) -> Any:
    # Azure's own files write low_priority, lowpriority and LowPriority.
    plain = value.lower().replace("_", "") if isinstance(value, str) else value
    return (
        {"lowpriority": "low_priority", "dedicated": "dedicated"}.get(plain, value) if isinstance(plain, str) else value
    )


class ElasticCompute(Spec):
    """The fields that computes of all types have; `LocalCompute` and `SlurmCompute` say what they mean."""

    kind: ClassVar[str]

    name: Name
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    min_instances: Annotated[int, at_least(0)] = 0
    max_instances: Annotated[int, at_least(1)] = 1
    idle_time_before_scale_down: Annotated[float, seconds(zero=True)] = 120.0
    tier: Annotated[Literal["dedicated", "low_priority"], BeforeValidator(_tier)] = "dedicated"
    slots: Annotated[int, at_least(1)] | None = None
    memory: Memory | None = None

    @property
    def known_slots(self) -> int | None:
        """Scoring processes per instance, as far as the definition says; None: the cores that it finds."""
        return self.slots

    @classmethod
    def _prepare(cls, document: Document, ignored: list[str]) -> Document:
        kind = any_case(document.values.get("type"))
        if kind == "amlcompute" and cls.kind == "local":
            ignored.append("type amlcompute (read as local)")
            return replace(document, values={**document.values, "type": "local"})
        if kind is not None and kind not in TYPES:
            raise InvalidDefinition(f"{document.place(('type',))}: type={kind!r}: {type_problem(kind)}")
        return document

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.max_instances < self.min_instances:
            raise FieldProblem(
                "max_instances",
                f"{self.max_instances} is below min_instances ({self.min_instances}); raise or lower one",
            )
        return self

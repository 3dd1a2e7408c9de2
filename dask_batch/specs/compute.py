"""A compute: where jobs run, and how far it grows and shrinks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dask_batch.errors import InvalidDefinition, choose_from
from dask_batch.specs.base import FieldProblem, Spec
from dask_batch.specs.fields import FrozenDict, Memory, Name, Tags, Text, any_case, at_least, seconds
from dask_batch.specs.layout import Layout
from dask_batch.specs.yamlio import Document, read_yaml

__all__ = ["LocalCompute", "compute_from_yaml", "parse_compute"]

_LATER = ("slurm", "kubernetes")


def _tier(value: Any) -> Any:
    # Azure's own files write low_priority, lowpriority and LowPriority.
    plain = value.lower().replace("_", "") if isinstance(value, str) else value
    return (
        {"lowpriority": "low_priority", "dedicated": "dedicated"}.get(plain, value) if isinstance(plain, str) else value
    )


def _type(value: Any) -> Any:
    if any_case(value) != "local":
        raise ValueError(_type_problem(value))
    return "local"


def _type_problem(value: Any) -> str:
    if any_case(value) in _LATER:
        return f"{value} computes are not in this version yet; types: local (amlcompute files load as local)"
    return f"there is no such compute; {choose_from(str(value), ['local'], 'types')} (amlcompute files load as local)"


class LocalCompute(Spec):
    """This machine, as a compute.

    Parameters
    ----------
    name : str
        How deployments refer to it.
    min_instances, max_instances : int
        How far it shrinks and grows; an instance is a Dask worker in the host's process.
    idle_time_before_scale_down : float
        Seconds after which instances without work go.
    slots : int, optional
        Scoring processes per instance; None: its cores.
    memory : str, optional
        What an instance may use, such as ``"8GB"``; None: an equal share of the machine's.
    tier : {"dedicated", "low_priority"}
        Kept; a local compute is never preempted.
    description : str
        For people.
    tags : dict of str to str
        For searching.

    Raises
    ------
    InvalidDefinition
        A key is unknown or a value cannot be.
    """

    layout: ClassVar[Layout] = Layout(
        ignored=frozenset(
            {
                "size", "location", "identity", "network_settings", "ssh_settings", "ssh_public_access_enabled",
                "enable_node_public_ip", "vnet_name", "subnet", "provisioning_state", "provisioning_errors",
                "created_on", "id", "resource_id", "properties",
            }
        ),
        own=frozenset({"slots", "memory"}),
    )  # fmt: skip

    type: Annotated[Literal["local"], BeforeValidator(_type)] = "local"
    name: Name
    description: Text = ""
    tags: Tags = Field(default_factory=FrozenDict)
    min_instances: Annotated[int, at_least(0)] = 0
    max_instances: Annotated[int, at_least(1)] = 1
    idle_time_before_scale_down: Annotated[float, seconds(zero=True)] = 120.0
    tier: Annotated[Literal["dedicated", "low_priority"], BeforeValidator(_tier)] = "dedicated"
    slots: Annotated[int, at_least(1)] | None = None
    memory: Memory | None = None

    @classmethod
    def _prepare(cls, document: Document, ignored: list[str]) -> Document:
        kind = any_case(document.values.get("type"))
        if kind == "amlcompute":
            ignored.append("type amlcompute (read as local)")
            return replace(document, values={**document.values, "type": "local"})
        if kind is not None and kind != "local":
            raise InvalidDefinition(f"{document.place(('type',))}: type={kind!r}: {_type_problem(kind)}")
        return document

    @model_validator(mode="after")
    def _check_range(self) -> Self:
        if self.max_instances < self.min_instances:
            raise FieldProblem(
                "max_instances",
                f"{self.max_instances} is below min_instances ({self.min_instances}); raise or lower one",
            )
        return self


def parse_compute(values: Mapping[str, Any], *, source: str = "compute") -> LocalCompute:
    """Return the compute that a mapping in YAML's grammar defines, by its `type` (local if there is none).

    Parameters
    ----------
    values : mapping
        Keys and values; ``type: amlcompute`` is read as local with one warning.
    source : str
        What messages call it.

    Returns
    -------
    LocalCompute
        The definition.

    Raises
    ------
    InvalidDefinition
        The type is not in this version, a key is unknown, or a value cannot be.

    Examples
    --------
    >>> parse_compute({"type": "local", "name": "mine", "max_instances": 2}).max_instances
    2
    """
    return LocalCompute.from_document(values, source=source)


def compute_from_yaml(path: str | os.PathLike[str]) -> LocalCompute:
    """Read a compute from a YAML file, by its `type` (local if there is none).

    Raises
    ------
    InputMissing
        There is no such file.
    InvalidDefinition
        The type is not in this version, a key is unknown, or a value cannot be.
    """
    return LocalCompute._load(read_yaml(path))

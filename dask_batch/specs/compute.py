"""Computes: where jobs run, and how far they grow and shrink."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.elastic import AZURE_ONLY, ElasticCompute, only, type_problem
from dask_batch.specs.fields import any_case
from dask_batch.specs.layout import Layout
from dask_batch.specs.slurm import SlurmCompute
from dask_batch.specs.yamlio import COMMAND_LINE, read_yaml

__all__ = [
    "IMPLICIT",
    "Compute",
    "LocalCompute",
    "StoredCompute",
    "compute_from_stored",
    "compute_from_yaml",
    "parse_compute",
]

IMPLICIT = "local"
"""The compute that every workspace has: this machine."""


class LocalCompute(ElasticCompute):
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

    kind: ClassVar[str] = "local"
    layout: ClassVar[Layout] = Layout(ignored=AZURE_ONLY, own=frozenset({"slots", "memory"}))

    type: Annotated[Literal["local"], only("local")] = "local"


Compute = LocalCompute | SlurmCompute
"""A compute of any type."""

_CLASSES: dict[str, type[LocalCompute] | type[SlurmCompute]] = {
    "local": LocalCompute,
    "amlcompute": LocalCompute,
    "slurm": SlurmCompute,
}


def _class_of(kind: Any, place: str) -> type[LocalCompute] | type[SlurmCompute]:
    known = _CLASSES.get(str(any_case("local" if kind is None else kind)))
    if known is None:
        raise InvalidDefinition(f"{place}: type={any_case(kind)!r}: {type_problem(kind)}")
    return known


def parse_compute(values: Mapping[str, Any], *, source: str = "compute") -> Compute:
    """Return the compute that a mapping in YAML's grammar defines, by its `type` (local if there is none).

    Parameters
    ----------
    values : mapping
        Keys and values; ``type: amlcompute`` is read as local with one warning.
    source : str
        What messages call it.

    Returns
    -------
    LocalCompute or SlurmCompute
        The definition.

    Raises
    ------
    InvalidDefinition
        The type is not in this version, a key is unknown, or a value cannot be.

    Examples
    --------
    >>> parse_compute({"type": "local", "name": "mine", "max_instances": 2}).max_instances
    2
    >>> parse_compute({"type": "slurm", "name": "hpc", "cores": 16}).known_slots
    16
    """
    kind = values.get("type") if isinstance(values, Mapping) else None
    return _class_of(kind, source).from_document(values, source=source)


def compute_from_yaml(path: str | os.PathLike[str] | None, given: Mapping[str, Any] | None = None) -> Compute:
    """Read a compute from a YAML file, by its `type` (local if there is none).

    Parameters
    ----------
    path : str or path, optional
        The file; None: there is none, only what is given.
    given : mapping, optional
        Values by dotted key, as a shell gives them; they win over the file's.

    Raises
    ------
    InputMissing
        There is no such file.
    InvalidDefinition
        The type is not in this version, a key is unknown, or a value cannot be.
    """
    kind, place, keys = (given or {}).get("type"), COMMAND_LINE, set(given or {})
    if kind is None and path is not None:
        document = read_yaml(path)
        kind, place, keys = document.values.get("type"), document.place(("type",)), keys | set(document.values)
    try:
        return _class_of(kind, place).from_yaml(path, given)
    except InvalidDefinition as error:
        meant = sorted(keys & (SlurmCompute.model_fields.keys() - LocalCompute.model_fields.keys()))
        if kind is not None or not meant:
            raise
        raise InvalidDefinition(
            f"{error}\n{place}: no type is given; {meant[0]!r} is a key of those with type: slurm"
        ) from error


def compute_from_stored(values: Mapping[str, Any]) -> Compute:
    """Return the compute that `to_stored` wrote, perhaps by another version.

    Raises
    ------
    InvalidDefinition
        The type is not in this version, or a value cannot be.
    """
    return _class_of(values.get("type"), "stored compute").from_stored(values)


def _stored(value: Any) -> Any:
    return compute_from_stored(value) if isinstance(value, Mapping) else value


StoredCompute = Annotated[Compute, BeforeValidator(_stored)]
"""A field that holds a compute of any type."""

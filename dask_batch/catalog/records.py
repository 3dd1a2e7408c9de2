"""What the catalog answers with: frozen records, and how documents are written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dask_batch.errors import InvalidDefinition

__all__ = ["AssetRecord", "ComputeRecord", "DeploymentRecord", "EndpointRecord", "decode", "encode", "now"]


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An endpoint as the catalog has it.

    Attributes
    ----------
    name : str
        Its name.
    document : dict
        Its definition.
    default_deployment : str or None
        The deployment that invocations get when they name none, or that will be it once it is there; None if none
        was named and there is none.
    revision : int
        1 when created, one more with every change of the document.
    created, updated : str
        ISO 8601 in UTC, by the clock of the client that wrote.
    """

    name: str
    document: dict[str, Any]
    default_deployment: str | None
    revision: int
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class DeploymentRecord:
    """A deployment as the catalog has it; fields as in `EndpointRecord`, and the `endpoint` it belongs to."""

    endpoint: str
    name: str
    document: dict[str, Any]
    revision: int
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class ComputeRecord:
    """A compute as the catalog has it; fields as in `EndpointRecord`."""

    name: str
    document: dict[str, Any]
    revision: int
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """One version of an environment, a model or a data asset; it never changes.

    Attributes
    ----------
    kind : str
        One of `ASSET_KINDS`.
    name, version : str
        Which asset, and which version of it.
    document : dict
        Its definition.
    created : str
        ISO 8601 in UTC, by the clock of the client that wrote.
    """

    kind: str
    name: str
    version: str
    document: dict[str, Any]
    created: str


def encode(document: Mapping[str, Any], what: str) -> str:
    """Return `document` as JSON text.

    Parameters
    ----------
    document : mapping of str
        The document.
    what : str
        What it is, for the error message.

    Raises
    ------
    InvalidDefinition
        It holds a value that JSON has no way to write, such as nan or a date.

    Examples
    --------
    >>> encode({"b": 1, "a": [None, "ü"]}, "compute 'x'")
    '{"b":1,"a":[null,"\\\\u00fc"]}'
    """
    try:
        text = json.dumps(dict(document), allow_nan=False, separators=(",", ":"))
        _check_keys(document)
    except (TypeError, ValueError) as error:
        raise InvalidDefinition(
            f"{what} cannot be stored, a value in it has no JSON form: {error}; "
            "use numbers that are finite, texts, booleans, None, lists and dicts with text keys"
        ) from error
    return text


def _check_keys(value: Any) -> None:
    """Raise TypeError at a key that is no text: JSON would store the text of it instead, without a word."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is a {type(key).__name__}")
            _check_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_keys(inner)


def decode(text: str) -> dict[str, Any]:
    """Return the document that `encode` wrote."""
    document: dict[str, Any] = json.loads(text)
    return document


def now() -> str:
    """Return the time as an ISO 8601 string in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")

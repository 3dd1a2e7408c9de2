"""What an invocation asks, from options and from a file with ``inputs`` and ``outputs`` as `az ml` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask_batch.cli.values import edited, literals, pairs
from dask_batch.errors import InvalidDefinition, choose_from

__all__ = ["Invocation", "merge", "read_invocation"]

_KEYS = ("inputs", "outputs")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What is asked.

    Parameters
    ----------
    inputs : list of str
        Paths, patterns, URLs and data assets.
    output : str, optional
        Where the outputs go.
    params : dict
        What the script's ``run`` gets.
    overrides : dict
        Settings by dotted key.
    """

    inputs: list[str]
    output: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)


def read_invocation(file: Path | None, inputs: Iterable[str], sets: Iterable[str], params: Iterable[str]) -> Invocation:
    """Return what the options and the file of an invocation ask together.

    Parameters
    ----------
    file : Path, optional
        A YAML file with ``inputs`` and ``outputs``.
    inputs : iterable of str
        From ``--input``.
    sets : iterable of str
        ``KEY=VALUE`` texts from ``--set``; keys under ``inputs.`` and ``outputs.`` are as if they stood in the file.
    params : iterable of str
        ``KEY=VALUE`` texts from ``--param``.

    Raises
    ------
    InvalidDefinition
        Something in the file cannot be, or there is no input.
    """
    document: dict[str, Any] = {}
    if file is not None:
        from dask_batch.specs.yamlio import read_yaml

        read = read_yaml(file)
        document = {key: _resolved(value, read.resolve) for key, value in read.values.items()}
    return merge(document, str(file or "--set"), list(inputs), pairs(sets, "--set"), literals(params, "--param"))


def merge(
    document: Mapping[str, Any], source: str, inputs: list[str], sets: Mapping[str, Any], params: Mapping[str, Any]
) -> Invocation:
    """Return what a file's content and the options ask together; a pure function.

    Examples
    --------
    >>> merge({"inputs": {"a": {"path": "x"}, "n": {"type": "number", "default": 3}}}, "f", [], {"timeout": 9}, {})
    Invocation(inputs=['x'], output=None, params={'n': 3}, overrides={'timeout': 9})
    """
    inside = {key: value for key, value in sets.items() if key.partition(".")[0] in _KEYS}
    whole = edited(document, inside)
    for key in whole:
        if key not in (*_KEYS, "$schema"):
            raise InvalidDefinition(f"{source}: unknown key {key!r}; {choose_from(key, _KEYS, 'keys')}")
    paths, literals = _inputs(whole.get("inputs") or {}, source)
    overrides = {key: value for key, value in sets.items() if key not in inside}
    found = [*inputs, *paths]
    if not found:
        raise InvalidDefinition("there is no input; give --input PATH, or --file with inputs in it")
    return Invocation(found, _output(whole.get("outputs") or {}, source), {**literals, **params}, overrides)


def _inputs(given: Any, source: str) -> tuple[list[str], dict[str, Any]]:
    """Return paths in the order given, and literal values by name."""
    if not isinstance(given, Mapping):
        raise InvalidDefinition(f"{source}: inputs must map names to inputs, such as 'data: {{path: ./data}}'")
    from dask_batch.specs.yamlio import plain

    paths: list[str] = []
    values: dict[str, Any] = {}
    for name, one in given.items():
        if isinstance(one, Mapping) and ("default" in one or "value" in one):
            values[name] = plain(one.get("value", one.get("default")))
        elif isinstance(path := _path(one), str):
            paths.append(path)
        else:
            raise InvalidDefinition(f"{source}: inputs.{name} has no path; write '{name}: {{path: ./data}}'")
    return paths, values


def _output(given: Any, source: str) -> str | None:
    if not isinstance(given, Mapping) or len(given) > 1:
        raise InvalidDefinition(f"{source}: outputs must map one name to a path, such as 'score: {{path: /data/out}}'")
    for name, one in given.items():
        path = _path(one)
        if path is not None and not isinstance(path, str):
            raise InvalidDefinition(f"{source}: outputs.{name} has no path; write '{name}: {{path: /data/out}}'")
        return path  # None: the place that outputs have when nobody says one
    return None


def _path(one: Any) -> Any:
    """Return the path of an input or output, which may be a folder called 2024."""
    from dask_batch.specs.yamlio import written

    return written(one.get("path") if isinstance(one, Mapping) else one)


def _resolved(value: Any, resolve: Any) -> Any:
    """Return part of a file with its paths seen from the file's folder."""
    if not isinstance(value, Mapping):
        return value
    found = {}
    for name, one in value.items():
        path = _path(one)
        if isinstance(path, str):
            found[name] = {**one, "path": resolve(path)} if isinstance(one, Mapping) else resolve(path)
        else:
            found[name] = one
    return found

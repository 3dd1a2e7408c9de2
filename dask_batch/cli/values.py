"""From what a shell can give (texts) to values. Pure functions."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from dask_batch.errors import InvalidDefinition
from dask_batch.specs.keys import holds_text, key_path

__all__ = ["changes", "edited", "given", "literals", "pairs", "scalar", "tags"]


def scalar(text: str) -> Any:
    """Return what a text means as YAML; what is no YAML is the text itself. Numbers remember how they were written."""
    from dask_batch.specs.yamlio import read_value

    return read_value(text)


def pairs(texts: Iterable[str] | None, option: str) -> dict[str, Any]:
    """Return ``KEY=VALUE`` texts as a dict, values read as YAML; those of variables, tags and properties are text.

    Raises
    ------
    InvalidDefinition
        A text has no ``=``, or a key comes twice.

    Examples
    --------
    >>> pairs(["a=1", "b=x=y", "tags.c=1:30"], "--set")
    {'a': 1, 'b': 'x=y', 'tags.c': '1:30'}
    """
    return {key: value if holds_text(key) else scalar(value) for key, value in tags(texts, option).items()}


def literals(texts: Iterable[str] | None, option: str) -> dict[str, Any]:
    """Return ``NAME=VALUE`` texts as a dict of ordinary values, read as YAML.

    Raises
    ------
    InvalidDefinition
        A text has no ``=``, or a name comes twice.

    Examples
    --------
    >>> literals(["a=1", "b=true", "c=1:30", "tags.d=2"], "--param")
    {'a': 1, 'b': True, 'c': '1:30', 'tags.d': 2}
    """
    from dask_batch.specs.yamlio import plain

    return {key: plain(scalar(value)) for key, value in tags(texts, option).items()}


def tags(texts: Iterable[str] | None, option: str = "--tag") -> dict[str, str]:
    """Return ``KEY=VALUE`` texts as a dict of texts.

    Raises
    ------
    InvalidDefinition
        A text has no ``=``, or a key comes twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise InvalidDefinition(f"{option} {text!r} is no KEY=VALUE; write for example {option} key=value")
        if key in found:
            raise InvalidDefinition(f"{option} gives {key!r} twice, as {found[key]!r} and {value!r}; keep one")
        found[key] = value
    return found


def changes(
    values: Mapping[str, Any],
    sets: Iterable[str] | None = None,
    more: Iterable[str] | None = None,
    tag: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return what the options of a command say of a definition, by dotted key.

    Parameters
    ----------
    values : mapping
        Options of their own, by key.
    sets, more : iterable of str, optional
        ``KEY=VALUE`` texts from ``--set`` and behind it.
    tag : iterable of str, optional
        ``KEY=VALUE`` texts from ``--tag``.

    Raises
    ------
    InvalidDefinition
        A text has no ``=``, or a key comes twice with two values.

    Examples
    --------
    >>> changes({"description": "x"}, ["settings.timeout=9"], None, ["team=ml"])
    {'description': 'x', 'settings.timeout': 9, 'tags.team': 'ml'}
    """
    given = dict(values)
    for key, value in [
        *pairs([*(sets or ()), *(more or ())], "--set").items(),
        *((f"tags.{name}", text) for name, text in tags(tag).items()),
    ]:
        if key in given and given[key] != value:
            raise InvalidDefinition(f"{key} is given twice, as {given[key]!r} and {value!r}; keep one")
        given[key] = value
    return given


def edited(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a nested document with the values of some dotted keys changed.

    Examples
    --------
    >>> edited({"name": "a", "settings": {"timeout": 5}}, {"settings.timeout": 9, "tags.team": "ml"})
    {'name': 'a', 'settings': {'timeout': 9}, 'tags': {'team': 'ml'}}
    """
    result = copy.deepcopy(dict(document))
    for dotted, value in changes.items():
        *above, last = key_path(dotted)
        level = result
        for part in above:
            inner = level.get(part)
            level[part] = dict(inner) if isinstance(inner, Mapping) else {}
            level = level[part]
        level[last] = value
    return result


def given(**values: Any) -> dict[str, Any]:
    """Return those keywords that somebody gave, that is, whose value is not None.

    Examples
    --------
    >>> given(a=0, b=None, c={})
    {'a': 0, 'c': {}}
    """
    return {name: value for name, value in values.items() if value is not None}

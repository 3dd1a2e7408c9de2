"""Where the fields of a definition stand in its YAML: nested as Azure has it, flat as Python has it."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dask_batch.errors import InvalidDefinition, choose_from
from dask_batch.specs.keys import key_path
from dask_batch.specs.yamlio import COMMAND_LINE, Document, KeyPath

__all__ = ["Changes", "Flat", "Layout", "flatten", "lay_over", "nest", "place"]


@dataclass(frozen=True)
class Layout:
    """Where fields stand in YAML. A field that is not named here stands at the top under its own name.

    Parameters
    ----------
    keys : mapping of str to str
        Dotted key to field, where it is written to: ``"settings.mini_batch_size"``.
    aliases : mapping of str to str
        Further dotted keys that are read.
    ignored : set of str
        Dotted keys of Azure's that mean nothing here; they are read with a warning and dropped.
    unused : set of str
        Fields that are kept and mean nothing in this version; giving one warns.
    paths : set of str
        Fields that hold a path, relative to the file.
    own : set of str
        Fields that Azure does not have; they are written only where they differ from the default.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    unused: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    own: frozenset[str] = frozenset()

    def written(self, fields: Iterable[str]) -> dict[str, str]:
        """Return each field's dotted key, in the order of `fields`."""
        placed = {name: key for key, name in self.keys.items()}
        return {name: placed.get(name, name) for name in fields}

    def read(self, fields: Iterable[str]) -> dict[str, str]:
        """Return the field of each dotted key that is read."""
        return {key: name for name, key in self.written(fields).items()} | dict(self.aliases)

    def branches(self, fields: Iterable[str]) -> set[str]:
        """Return the dotted keys that hold other keys."""
        known = [*self.read(fields), *self.ignored]
        return {key[:i] for key in known for i, sign in enumerate(key) if sign == "."}


@dataclass
class Flat:
    """A document's values by field.

    Parameters
    ----------
    values : dict
        Values by field.
    origins : dict
        The key that each came from.
    ignored : list of str
        Dotted keys that mean nothing here.
    problems : list of str
        What is wrong, each with its place.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, KeyPath] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def flatten(document: Document, layout: Layout, fields: Iterable[str]) -> Flat:
    """Return a document's values by field.

    Parameters
    ----------
    document : Document
        What was written.
    layout : Layout
        Where the fields stand.
    fields : iterable of str
        The definition's fields.

    Returns
    -------
    Flat
        Values, and the problems that keys have: unknown ones, and fields given twice.
    """
    reader = _Flattener(document, layout, fields)
    reader.level(document.values, ())
    return reader.flat


def nest(values: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return values by field as the nested mapping that YAML holds.

    Examples
    --------
    >>> nest({"name": "a", "timeout": 5}, Layout({"settings.retry.timeout": "timeout"}))
    {'name': 'a', 'settings': {'retry': {'timeout': 5}}}
    """
    document: dict[str, Any] = {}
    for name, key in layout.written(values).items():
        *above, last = key.split(".")
        level = document
        for part in above:
            level = level.setdefault(part, {})
        level[last] = values[name]
    return document


@dataclass
class Changes:
    """Values that are laid over a document.

    Parameters
    ----------
    values : dict
        Values by the keys that lead to them, where fields are written to.
    fields : set of str
        The fields that they change.
    """

    values: dict[KeyPath, Any] = field(default_factory=dict)
    fields: set[str] = field(default_factory=set)


def place(given: Mapping[str, Any], layout: Layout, fields: Iterable[str]) -> Changes:
    """Return values that a shell gave by dotted key, by where their fields are written to.

    Parameters
    ----------
    given : mapping
        Values by any dotted key that is read; what holds other keys adds them.
    layout : Layout
        Where the fields stand.
    fields : iterable of str
        The definition's fields.

    Raises
    ------
    InvalidDefinition
        Two keys mean the same.

    Examples
    --------
    >>> layout = Layout({"settings.retry.timeout": "timeout"}, aliases={"retry.timeout": "timeout"})
    >>> place({"retry": {"timeout": 5}, "tags.a": "b"}, layout, ["timeout", "tags"]).values
    {('settings', 'retry', 'timeout'): 5, ('tags', 'a'): 'b'}
    """
    leaves, homes, branches = layout.read(fields), layout.written(fields), layout.branches(fields)
    changes, keys = Changes(), dict[KeyPath, str]()

    def one(path: KeyPath, value: Any) -> None:
        if isinstance(value, Mapping) and ".".join(map(str, path)) in branches:
            for key, inner in value.items():
                one((*path, key), inner)
            return
        dotted = ".".join(map(str, path))
        for stop in range(len(path), 0, -1):
            if name := leaves.get(".".join(map(str, path[:stop]))):
                changes.fields.add(name)
                path = (*homes[name].split("."), *path[stop:])
                break
        if path in changes.values:
            raise InvalidDefinition(f"{COMMAND_LINE}: {dotted} says again what {keys[path]} says; keep one")
        changes.values[path], keys[path] = value, dotted

    for dotted, value in given.items():
        one(key_path(dotted), value)
    return changes


def lay_over(document: Document, changes: Changes, layout: Layout, fields: Iterable[str]) -> Document:
    """Return a document with changes; what they change is written where it belongs, whatever key was used for it."""
    values: dict[str, Any] = copy.deepcopy(dict(document.values))
    homes = layout.written(fields)
    for key, name in layout.read(fields).items():
        if name in changes.fields and key != homes[name]:
            _move(values, key.split("."), homes[name].split("."))
    for path, value in changes.values.items():
        _put(values, path, value)
    return replace(document, values=values, laid_over=document.laid_over | changes.values.keys())


def _move(values: dict[str, Any], source: list[str], target: list[str]) -> None:
    above, level = _level(values, source), _level(values, target)
    # Where both are given, reading the document says so.
    if above is None or source[-1] not in above or (level is not None and target[-1] in level):
        return
    value = above[source[-1]]
    if target[: len(source)] == source and isinstance(value, Mapping):
        return  # it holds the target
    del above[source[-1]]
    _put(values, target, value)


def _level(values: Any, path: list[str]) -> dict[str, Any] | None:
    for part in path[:-1]:
        values = values.get(part) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else None


def _put(values: dict[str, Any], path: Iterable[str | int], value: Any) -> None:
    *above, last = map(str, path)
    for part in above:
        inner = values.get(part)
        values[part] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[part]
    values[last] = value


class _Flattener:
    def __init__(self, document: Document, layout: Layout, fields: Iterable[str]) -> None:
        self.flat = Flat()
        self._document = document
        self._ignored = layout.ignored
        self._canonical = list(layout.written(fields).values())
        self._leaves = layout.read(fields)
        self._branches = layout.branches(fields)

    def level(self, values: Mapping[str, Any], path: KeyPath) -> None:
        for key, value in values.items():
            self._one((*path, key), value)

    def _one(self, path: KeyPath, value: Any) -> None:
        dotted = ".".join(map(str, path))
        branch = dotted in self._branches
        if dotted == "$schema":
            return
        if dotted in self._leaves and not (branch and isinstance(value, Mapping)):
            self._leaf(self._leaves[dotted], path, value)
        elif dotted in self._ignored:
            self.flat.ignored.append(self._document.key(path))
        elif branch and isinstance(value, Mapping):
            self.level(value, path)
        elif branch:
            if value is not None:
                self._problem(path, f"{self._document.key(path)} must hold keys: {self._keys_under(dotted)}")
        else:
            self._problem(path, self._unknown(path))

    def _leaf(self, name: str, path: KeyPath, value: Any) -> None:
        if value is None:
            return
        if name in self.flat.values:
            first = self._document.place(self.flat.origins[name])
            earlier = self._document.key(self.flat.origins[name])
            self._problem(path, f"{self._document.key(path)} says again what {earlier} says ({first}); keep one")
            return
        self.flat.values[name] = value
        self.flat.origins[name] = path

    def _problem(self, path: KeyPath, text: str) -> None:
        self.flat.problems.append(f"{self._document.place(path)}: {text}")

    def _unknown(self, path: KeyPath) -> str:
        *above, last = (str(part) for part in path)
        inside = ".".join(above)
        where = self._document.key(path[:-1])
        return f"unknown key {last!r}{f' in {where}' if where else ''}; {self._advice(inside, last)}"

    def _advice(self, inside: str, last: str) -> str:
        valid = _under(self._canonical, inside)
        advice = choose_from(last, valid, "keys")
        if difflib.get_close_matches(last, valid, n=1):
            return advice
        tails = {key.rpartition(".")[2]: key for key in reversed(self._canonical)}
        near = difflib.get_close_matches(last, tails, n=1)
        return f"did you mean {tails[near[0]]!r}? {advice}" if near else advice

    def _keys_under(self, inside: str) -> str:
        return ", ".join(sorted(_under(self._canonical, inside)) or sorted(_under(self._leaves, inside)))


def _under(keys: Iterable[str], inside: str) -> list[str]:
    start = f"{inside}." if inside else ""
    return list(dict.fromkeys(key[len(start) :].partition(".")[0] for key in keys if key.startswith(start)))


def refuse(problems: list[str], sort: Callable[[str], Any] | None = None) -> None:
    """Raise what is wrong, all of it, one problem a line.

    Raises
    ------
    InvalidDefinition
        There is a problem.
    """
    if problems:
        raise InvalidDefinition("\n".join(sorted(problems, key=sort) if sort else problems))

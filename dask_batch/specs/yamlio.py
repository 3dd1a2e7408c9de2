"""Safe YAML that remembers where each key stands and how each number was written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from dask_batch.errors import InputMissing, InvalidDefinition
from dask_batch.specs.names import parse_reference

__all__ = [
    "COMMAND_LINE",
    "Document",
    "KeyPath",
    "WrittenBool",
    "WrittenFloat",
    "WrittenInt",
    "dump_yaml",
    "plain",
    "read_value",
    "read_yaml",
    "written",
]

KeyPath = tuple[str | int, ...]

_DEEPEST = 40
_MOST = 100_000
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|azureml:")

COMMAND_LINE = "the command line"
"""What messages call what was given as options."""


class WrittenInt(int):
    """A whole number that was read and remembers how it was written, so that ``+7`` can still be text."""

    text: str


class WrittenFloat(float):
    """A number that was read and remembers how it was written, so that version ``1.10`` can still be text."""

    text: str


class WrittenBool(str):
    """``true`` or ``false`` as it was written: text where text is wanted, and what `plain` makes of it elsewhere."""

    @property
    def value(self) -> bool:
        """What it means."""
        return self.lower() == "true"


@dataclass(frozen=True)
class Document:
    """A definition as it was written, with the places of its keys.

    Parameters
    ----------
    values : mapping
        Keys and values, nested.
    source : str
        What messages call it: the file's path.
    lines : mapping
        The line of each key, by the keys that lead to it.
    folder : Path, optional
        What relative paths are relative to; None: they stay as they are.
    prefix : tuple
        The keys that lead from the file's top to `values`.
    laid_over : frozenset of tuple
        Keys, from the top, whose values the command line gave.
    """

    values: Mapping[str, Any]
    source: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)
    folder: Path | None = None
    prefix: KeyPath = ()
    laid_over: frozenset[KeyPath] = frozenset()

    def place(self, path: KeyPath = ()) -> str:
        """Return ``file:line`` of a key, or of the nearest key above it whose line is known."""
        whole = self.prefix + path
        if self._is_laid_over(path):
            return COMMAND_LINE
        for stop in range(len(whole), 0, -1):
            if line := self.lines.get(whole[:stop]):
                return f"{self.source}:{line}"
        return self.source

    def key(self, path: KeyPath) -> str:
        """Return the dotted name of a key, from the top of the file."""
        return ".".join(str(part) for part in self.prefix + path)

    def inner(self, path: KeyPath, values: Mapping[str, Any]) -> Document:
        """Return the definition that stands inline under a key."""
        return replace(self, values=values, prefix=self.prefix + path)

    def seen_from(self, path: KeyPath) -> Document:
        """Return the definition as it looks to whoever gave a key: a shell's paths are relative to where it stands."""
        return replace(self, folder=Path.cwd()) if self._is_laid_over(path) else self

    def _is_laid_over(self, path: KeyPath) -> bool:
        whole = self.prefix + path
        return any(whole[:stop] in self.laid_over for stop in range(1, len(whole) + 1))

    def resolve(self, path: str) -> str:
        """Return a path as seen from the file's folder; URLs stay as they are, and references to what is no file."""
        if self.folder is None or not path or _URL.match(path):
            return path
        there = self.folder / os.path.expanduser(path)
        if (_SCHEME.match(path) or _names_a_version(path)) and not os.path.lexists(there):
            return path
        return str(there)


def _names_a_version(text: str) -> bool:
    try:
        reference = parse_reference(text)
    except InvalidDefinition:
        return False
    return reference.latest or reference.version is not None


def read_value(text: str) -> Any:
    """Return what a text means as one YAML value, read as `read_yaml` reads the values of a file.

    What is no YAML is the text itself, and so is nothing; ``null`` is None.

    Examples
    --------
    >>> [plain(read_value(text)) for text in ("20", "2%", "true", "[a, b]", "a: b: c", "1:30", "off", "02134", "")]
    [20, '2%', True, ['a', 'b'], 'a: b: c', '1:30', 'off', '02134', '']
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            return text if node is None else _Reader(loader, COMMAND_LINE, {}).value(node, ())
        finally:
            loader.dispose()
    except (yaml.YAMLError, InvalidDefinition, RecursionError):
        return text


def read_yaml(path: str | os.PathLike[str]) -> Document:
    """Read one YAML mapping, safely.

    Numbers are decimal and remember how they were written. What only older YAML takes for something else stays text:
    dates, ``yes``/``no``/``on``/``off``, ``02134``, ``0x10``, ``1:30``, ``1_000``.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    Document
        Its keys and values, and where they stand.

    Raises
    ------
    InputMissing
        There is no such file.
    InvalidDefinition
        The file is not YAML, holds something else than one mapping, or gives a key twice.
    """
    file = Path(path)
    source = str(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputMissing(f"{source}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDefinition(f"{source}: cannot be read: {error}") from error
    try:
        values, lines = _parse(text, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}" if mark else ""
        raise InvalidDefinition(f"{source}{at}: is not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise InvalidDefinition(f"{source}: is not valid YAML: {error}") from None
    except RecursionError:
        raise InvalidDefinition(f"{source}: the definition is too deep to be one") from None
    return Document(values, source, lines, file.absolute().parent)


def _parse(text: str, source: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise InvalidDefinition(f"{source}: must hold one mapping of keys to values, such as 'name: heart'")
        lines: dict[KeyPath, int] = {}
        return _Reader(loader, source, lines).mapping(node, ()), lines
    finally:
        loader.dispose()


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return plain values as YAML, in the order given."""
    return str(
        yaml.dump(
            plain(values), Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
        )
    )


def plain(value: Any) -> Any:
    """Return a value made of ordinary dicts, lists, numbers and text."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, WrittenBool):
        return value.value
    if isinstance(value, WrittenInt):
        return int(value)
    return float(value) if isinstance(value, WrittenFloat) else value


def written(value: Any) -> Any:
    """Return a number, true or false that was read as the text it was written as, and anything else as it is."""
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.text
    return str(value) if isinstance(value, WrittenBool) else value


class _Dumper(yaml.SafeDumper):
    pass


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Only double quotes keep line breaks other than \n as they are.
    style = None if text.replace("\n", "").isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


class _Loader(yaml.SafeLoader):
    pass


_RULES = {
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    # Numbers as YAML 1.2 has them, less leading zeros: a postal code, a time and a hash are no numbers.
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    "float": (
        r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+|(?:0|[1-9][0-9]*)(?=[eE]))(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    # A date in a file is a version or a setting, never a moment; and a country may be called `no`.
    dropped = {f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "value", *_RULES)}
    table = {
        first: [(tag, pattern) for tag, pattern in rules if tag not in dropped]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind, (pattern, firsts) in _RULES.items():
        for first in firsts:
            table.setdefault(first, []).append((f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$")))
    return table


_Loader.yaml_implicit_resolvers = _resolvers()
# What is written must be text to both readers: ours, and the older ones of others.
_Dumper.yaml_implicit_resolvers = {
    first: [*yaml.SafeDumper.yaml_implicit_resolvers.get(first, []), *_Loader.yaml_implicit_resolvers.get(first, [])]
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *_Loader.yaml_implicit_resolvers}
}


class _Reader:
    """Turns YAML nodes into plain values and notes the line of each key."""

    def __init__(self, loader: _Loader, source: str, lines: dict[KeyPath, int]) -> None:
        self._loader = loader
        self._source = source
        self._lines = lines
        self._seen = 0

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise InvalidDefinition(f"{self._at(key)}: a key must be text")
            if key.tag == "tag:yaml.org,2002:merge":
                raise InvalidDefinition(f"{self._at(key)}: '<<' is not supported here; write the keys out")
            here = (*path, key.value)
            if key.value in values:
                first = self._lines[here]
                raise InvalidDefinition(
                    f"{self._at(key)}: {key.value!r} is given twice, first on line {first}; keep one"
                )
            self._lines[here] = key.start_mark.line + 1
            values[key.value] = self.value(value, here)
        return values

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count(node, path)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self._item(item, (*path, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self.mapping(node, path)
        raise InvalidDefinition(f"{self._at(node)}: the tag {node.tag!r} is not allowed; write plain values")

    def _item(self, node: yaml.Node, path: KeyPath) -> Any:
        self._lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, KeyError):
            raise InvalidDefinition(f"{self._at(node)}: the value {node.value[:60]!r} cannot be read") from None
        if isinstance(value, bool):
            return WrittenBool(node.value)
        if not isinstance(value, int | float):
            return value
        written = WrittenInt(value) if isinstance(value, int) else WrittenFloat(value)
        written.text = node.value
        return written

    def _count(self, node: yaml.Node, path: KeyPath) -> None:
        # Aliases can make a small file unfold into a huge or endless one.
        self._seen += 1
        if self._seen > _MOST or len(path) > _DEEPEST:
            raise InvalidDefinition(f"{self._at(node)}: the definition is too large or too deep to be one")

    def _at(self, node: yaml.Node) -> str:
        return f"{self._source}:{node.start_mark.line + 1}"

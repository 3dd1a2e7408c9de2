"""What all definitions share: reading, writing, and errors that say which key and why."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo, model_validator

from dask_batch.errors import InvalidDefinition, choose_from
from dask_batch.specs.fields import KeyProblem
from dask_batch.specs.layout import Layout, flatten, lay_over, nest, place, refuse
from dask_batch.specs.yamlio import COMMAND_LINE, Document, KeyPath, dump_yaml, plain, read_yaml

__all__ = ["FieldProblem", "IgnoredKeyWarning", "Spec", "text_or"]

_STORED = {"stored": True}


class IgnoredKeyWarning(UserWarning):
    """Keys of a definition that mean nothing here, and were read past."""


class FieldProblem(ValueError):
    """What is wrong with one field, found while looking at several.

    Parameters
    ----------
    name : str
        The field.
    message : str
        What is wrong, and what to do.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Spec(BaseModel):
    """A definition that never changes: read from YAML, from keywords or from what was stored.

    Subclasses say in `layout` where their fields stand in YAML, and in `inline` which fields may hold a whole
    definition. Keywords are the fields, flat.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    layout: ClassVar[Layout] = Layout()
    inline: ClassVar[Mapping[str, type[Spec]]] = {}

    def __init__(self, /, **values: Any) -> None:
        idle = [name for name in values if name in self.layout.ignored and name not in type(self).model_fields]
        used = {name: value for name, value in values.items() if name not in idle}
        try:
            super().__init__(**used)
        except ValidationError as error:
            document = Document(used, type(self).__name__)
            raise InvalidDefinition("\n".join(_explain(type(self), error, document, {}))) from None
        _warn(type(self).__name__, [*idle, *_unused(self, {})])

    # Without this, pydantic would call `__init__` for nested definitions too, and lose where their errors are.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError(f"{type(self).__name__} never changes; make a new one with replace({name}=...)")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{type(self).__name__} never changes; make a new one with replace()")

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str] | None, given: Mapping[str, Any] | None = None) -> Self:
        """Read a definition from a YAML file in Azure ML's grammar.

        Parameters
        ----------
        path : str or path
            The file. Relative paths in it are relative to its folder. None: there is none, only what is given.
        given : mapping, optional
            Values by dotted key, as a shell gives them; they win over the file's, and paths in them are relative to
            the current folder.

        Returns
        -------
        Spec
            The definition.

        Raises
        ------
        InputMissing
            There is no such file.
        InvalidDefinition
            A key is unknown or a value cannot be; the message names the file, the line and what is valid.

        Warns
        -----
        IgnoredKeyWarning
            Once, naming every key that means nothing here.
        """
        document = Document({}, COMMAND_LINE) if path is None else read_yaml(path)
        if given:
            changes = place(given, cls.layout, cls.model_fields)
            document = lay_over(document, changes, cls.layout, cls.model_fields)
        return cls._load(document)

    @classmethod
    def from_document(cls, values: Mapping[str, Any], *, source: str, folder: str | Path | None = None) -> Self:
        """Read a definition from the nested mapping that a YAML file would hold.

        Parameters
        ----------
        values : mapping
            Keys and values in Azure ML's grammar.
        source : str
            What messages call it.
        folder : str or Path, optional
            What relative paths are relative to; None: they stay as they are.

        Returns
        -------
        Spec
            The definition.

        Raises
        ------
        InvalidDefinition
            A key is unknown or a value cannot be.
        """
        if not isinstance(values, Mapping):
            raise InvalidDefinition(f"{source}: must be a mapping of keys to values, not {type(values).__name__}")
        return cls._load(Document(values, source, folder=None if folder is None else Path(folder).absolute()))

    @classmethod
    def from_stored(cls, values: Mapping[str, Any]) -> Self:
        """Return the definition that `to_stored` wrote, perhaps by another version: keys it does not know are dropped.

        Raises
        ------
        InvalidDefinition
            A value cannot be.
        """
        try:
            spec: Self = cls.__pydantic_validator__.validate_python(values, context=_STORED)
        except ValidationError as error:
            document = Document(values, f"stored {cls.__name__}")
            raise InvalidDefinition("\n".join(_explain(cls, error, document, {}))) from None
        return spec

    def to_stored(self) -> dict[str, Any]:
        """Return all fields as plain values that JSON can hold."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Return the definition as YAML in Azure ML's grammar; paths are written as they are held.

        Keys that Azure does not have are written only where they differ from the default.
        """
        return dump_yaml(self.to_document())

    def to_document(self) -> dict[str, Any]:
        """Return the definition as the nested mapping that its YAML holds."""
        return self._document(self._written())

    def _document(self, names: Iterable[str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name in names:
            value = getattr(self, name)
            if isinstance(value, Spec):
                value = value.to_document()
            if isinstance(value, float) and value.is_integer():
                value = int(value)  # Azure reads whole seconds only
            said = value is not None and (value not in ("", {}) or not self._is_default(name))
            if said and (name not in self.layout.own or not self._is_default(name)):
                values[name] = plain(value)
        return nest(values, self.layout)

    def replace(self, **changes: Any) -> Self:
        """Return the definition with some fields changed, checked like a new one.

        Raises
        ------
        InvalidDefinition
            A field is unknown or its value cannot be.
        """
        return type(self)(**self._with(changes))

    def changed_fields(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that some dotted keys change, with their new values, for `replace`.

        Parameters
        ----------
        given : mapping
            Values by any dotted key that YAML may have. One inside a mapping is added to those there are; None
            stands for the default.

        Raises
        ------
        InvalidDefinition
            A key is unknown, two mean the same, or a value cannot be.

        Examples
        --------
        >>> from dask_batch.specs.endpoint import EndpointSpec
        >>> EndpointSpec(name="heart", tags={"a": "1"}).changed_fields({"tags.b": "2"})
        {'tags': {'a': '1', 'b': '2'}}
        """
        cls = type(self)
        changes = place(given, cls.layout, cls.model_fields)
        document = Document(self._document(sorted(changes.fields & self.model_fields_set)), COMMAND_LINE)
        ignored: list[str] = []
        document = cls._prepare(lay_over(document, changes, cls.layout, cls.model_fields), ignored)
        values, origins = cls._values(document, ignored)
        kept = {
            name: value for name, value in self._with(values).items() if name in values or name not in changes.fields
        }
        new = cls._checked(kept, document, origins)
        _warn(document.source, ignored)
        return {name: getattr(new, name) for name in cls.model_fields if name in changes.fields}

    def _with(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that were given, with changes."""
        return {name: getattr(self, name) for name in self.model_fields_set} | dict(changes)

    @classmethod
    def _load(cls, document: Document) -> Self:
        ignored: list[str] = []
        spec = cls._read(document, ignored)
        _warn(document.source, ignored)
        return spec

    @classmethod
    def _read(cls, document: Document, ignored: list[str]) -> Self:
        document = cls._prepare(document, ignored)
        values, origins = cls._values(document, ignored)
        spec = cls._checked(values, document, origins)
        ignored += _unused(spec, {name: document.key(path) for name, path in origins.items()})
        return spec

    @classmethod
    def _values(cls, document: Document, ignored: list[str]) -> tuple[dict[str, Any], dict[str, KeyPath]]:
        """Return a document's values by field, and the key that each came from."""
        flat = flatten(document, cls.layout, cls.model_fields)
        refuse(flat.problems)
        ignored += flat.ignored
        values = {
            name: cls._value(name, value, document, flat.origins[name], ignored) for name, value in flat.values.items()
        }
        return values, flat.origins

    @classmethod
    def _checked(cls, values: Mapping[str, Any], document: Document, origins: Mapping[str, KeyPath]) -> Self:
        try:
            spec: Self = cls.__pydantic_validator__.validate_python(values)
        except ValidationError as error:
            raise InvalidDefinition("\n".join(_explain(cls, error, document, origins))) from None
        return spec

    @classmethod
    def _value(cls, name: str, value: Any, document: Document, path: KeyPath, ignored: list[str]) -> Any:
        inner = cls.inline.get(name)
        if inner is not None and isinstance(value, Mapping):
            return inner._read(document.inner(path, value), ignored)
        if name in cls.layout.paths and isinstance(value, str):
            return cls._resolve(name, value, document.seen_from(path))
        return value

    @classmethod
    def _resolve(cls, name: str, value: str, document: Document) -> str:
        """Return a path seen from the file; for fields that hold paths, and others that may."""
        return document.resolve(value)

    @classmethod
    def _prepare(cls, document: Document, ignored: list[str]) -> Document:
        """Return the document to read; for definitions whose `type` decides first."""
        return document

    def _written(self) -> Iterable[str]:
        """Return the fields that go into YAML."""
        return type(self).model_fields

    def _is_default(self, name: str) -> bool:
        field = type(self).model_fields[name]
        return bool(getattr(self, name) == field.get_default(call_default_factory=True))

    @classmethod
    def _known(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what this version understands of stored values."""
        return {name: value for name, value in values.items() if name in cls.model_fields}

    @model_validator(mode="before")
    @classmethod
    def _tolerate(cls, values: Any, info: ValidationInfo) -> Any:
        if info.context is _STORED and isinstance(values, Mapping):
            return cls._known(values)
        return values


def text_or(kind: type[Spec], examples: str) -> BeforeValidator:
    """Return the check for a field that holds a reference, as text, or a whole definition.

    Parameters
    ----------
    kind : type
        The class of the definition.
    examples : str
        What the text may be, for the message.
    """

    def check(value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if value is None or isinstance(value, kind) or (isinstance(value, str) and value.strip()):
            return value
        if isinstance(value, Mapping):
            return kind.from_stored(value) if info.context is _STORED else kind(**value)
        raise ValueError(f"must be {examples}, or {kind.__name__}(...)")

    return BeforeValidator(check)


def _unused(spec: Spec, keys: Mapping[str, str]) -> list[str]:
    return [keys.get(name, name) for name in sorted(spec.layout.unused & spec.model_fields_set) if getattr(spec, name)]


def _warn(source: str, keys: list[str]) -> None:
    if not keys:
        return
    text = f"{source}: these keys mean nothing here and are ignored: {', '.join(keys)}"
    warnings.warn(text, IgnoredKeyWarning, stacklevel=_caller())


def _caller() -> int:
    # The line that is shown should be the user's, however deep in here the warning arises.
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("dask_batch.", "pydantic.")):
        level, frame = level + 1, frame.f_back
    return level


def _explain(cls: type[Spec], error: ValidationError, document: Document, origins: Mapping[str, KeyPath]) -> list[str]:
    problems = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        loc = (*item["loc"], *([cause.name] if isinstance(cause, FieldProblem) else []))
        path = (*origins.get(str(loc[0]), loc[:1]), *loc[1:]) if loc else ()
        if isinstance(cause, KeyProblem):
            path = (*path, cause.key)
        problems.append(f"{document.place(path)}: {_problem(cls, item, cause, loc, document.key(path))}")
    return problems


def _problem(cls: type[Spec], item: Mapping[str, Any], cause: Any, loc: tuple[str | int, ...], key: str) -> str:
    kind = item["type"]
    if kind == "missing":
        return f"{key} is missing; give one"
    if kind == "extra_forbidden":
        valid = cls.model_fields if len(loc) == 1 else ()
        return f"unknown key {key!r}" + (f"; {choose_from(key, valid, 'keys')}" if valid else "; leave it out")
    if isinstance(cause, FieldProblem | KeyProblem | InvalidDefinition):
        return f"{key}: {cause}" if key else str(cause)
    if kind == "value_error":
        return f"{key}={_short(item['input'])}: {cause}" if key else str(cause)
    if not key:
        return "must be a mapping of keys to values"
    return f"{key}={_short(item['input'])}: {_WHY.get(kind, _literal)(item)}"


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{…}"  # it may hold a secret
    text = repr(plain(value))
    return text if len(text) <= 80 else f"{text[:77]}…"


def _literal(item: Mapping[str, Any]) -> str:
    if item["type"] == "literal_error":
        return f"must be {item['ctx']['expected']}"
    return str(item["msg"][:1].lower() + item["msg"][1:])


_WHY: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string_type": lambda _: "must be text",
    "bool_type": lambda _: "must be true or false",
    "dict_type": lambda _: "must be a mapping of names to values",
    "tuple_type": lambda _: "must be a list",
}

"""The kinds of values that definitions hold, each with a check that says what is valid."""

from __future__ import annotations

import math
import numbers
import operator
import os
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BeforeValidator, StrictBool

from dask_batch.specs.names import name_problem
from dask_batch.specs.yamlio import WrittenFloat, plain, written

__all__ = [
    "Flag",
    "FrozenDict",
    "Json",
    "KeyProblem",
    "Memory",
    "Name",
    "Tags",
    "Text",
    "Variables",
    "Version",
    "any_case",
    "at_least",
    "frozen",
    "path",
    "seconds",
    "whole_number",
]


_MOST = 2**31 - 1  # what Azure's integers hold, and every store of ours


class KeyProblem(ValueError):
    """What is wrong with one key of a mapping.

    Parameters
    ----------
    key : str
        The key.
    message : str
        What is wrong, and what to do.
    """

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


class FrozenDict(dict[str, Any]):
    """A dict that refuses to be changed, so that a definition can be shared and hashed."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a definition never changes; make a new one with replace()")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        # Of the keys alone: equal mappings have equal keys, and values may be unhashable.
        return hash(frozenset(self))

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def frozen(value: Any) -> Any:
    """Return a dict as one that refuses to be changed, and anything else as it is."""
    return FrozenDict(value) if isinstance(value, dict) else value


def whole_number(value: Any, least: int) -> int:
    """Return a whole number not below `least`; true and false, and numbers in quotes, are none.

    Raises
    ------
    ValueError
        It is something else.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        written = " without quotes" if isinstance(value, str) and value.lstrip("+-").isdigit() else ""
        raise ValueError(f"must be a whole number{written}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"must be {least} or more")
    if number > _MOST:
        raise ValueError(f"must be {_MOST} or less")
    return int(number)


def any_case(value: Any) -> Any:
    """Return a text in small letters, as the words that a field may hold are, and anything else as it is."""
    return value.lower() if isinstance(value, str) else value


def at_least(least: int) -> BeforeValidator:
    """Return the check for whole numbers not below `least`."""
    return BeforeValidator(lambda value: whole_number(value, least))


def seconds(*, zero: bool) -> BeforeValidator:
    """Return the check for a duration in seconds, above zero or from zero on."""
    rule = "must be a number of seconds, 0 or more" if zero else "must be a number of seconds above 0"

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError(rule)
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
            raise ValueError(rule)
        return number

    return BeforeValidator(check)


def path(examples: str) -> BeforeValidator:
    """Return the check for a path or URL, given as text or as a `pathlib.Path`."""

    def check(value: Any) -> Any:
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        if not isinstance(text, str) or not text.strip() or "\0" in text:
            raise ValueError(f"must be {examples}")
        return text

    return BeforeValidator(check)


def _text(value: Any) -> Any:
    value = written(value)
    if isinstance(value, bool):
        raise ValueError("must be text: write it in quotes")
    return str(value) if isinstance(value, int | float) else value


def _version(value: Any) -> Any:
    if isinstance(value, float) and not isinstance(value, WrittenFloat):
        raise ValueError("must be text: write it in quotes (1.10 and 1.1 are the same number)")
    text = _text(value)
    _refuse_name(text)
    return text


def _name(value: Any) -> Any:
    _refuse_name(text := _text(value))
    return text


def _refuse_name(value: Any) -> None:
    problem = name_problem(value)
    if problem:
        raise ValueError(problem)


def _texts(what: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ValueError(f"must be a mapping of names to {what}")
        return {_text(key): _text_of(key, item) for key, item in value.items()}

    return check


def _text_of(key: Any, value: Any) -> str:
    try:
        text = _text(value)
    except ValueError as error:
        raise KeyProblem(str(key), str(error)) from None
    if not isinstance(text, str):
        raise KeyProblem(str(key), f"must be text, not {type(value).__name__}")
    return text


def _variables(value: Any) -> Any:
    texts = _texts("text, 'env:NAME' or 'file:PATH'")(value)
    for name, text in texts.items():
        if not name or "=" in name or "\0" in name or "\0" in text:
            raise KeyProblem(name, "cannot be an environment variable: a name has no '=', and neither part a NUL")
    return texts


_BYTES = re.compile(r"(?=.*[1-9])\d+(?:\.\d+)?\s*(?:[kmgt]i?)?b", re.IGNORECASE | re.ASCII)


def _memory(value: Any) -> Any:
    if not isinstance(value, str) or not _BYTES.fullmatch(value.strip()):
        raise ValueError("must be an amount with its unit, such as '8GB' or '512MiB'")
    return value.strip()


Flag = Annotated[StrictBool, BeforeValidator(plain)]
Name = Annotated[str, BeforeValidator(_name)]
Version = Annotated[str, BeforeValidator(_version)]
Text = Annotated[str, BeforeValidator(_text)]
Memory = Annotated[str, BeforeValidator(_memory)]
Tags = Annotated[dict[str, str], BeforeValidator(_texts("text")), AfterValidator(FrozenDict)]
Variables = Annotated[dict[str, str], BeforeValidator(_variables), AfterValidator(FrozenDict)]
Json = Annotated[dict[str, Any], BeforeValidator(plain), AfterValidator(FrozenDict)]

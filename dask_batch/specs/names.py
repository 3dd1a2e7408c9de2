"""Names that are safe in a path, a URL and a shell, and references to versioned assets."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dask_batch.errors import InvalidDefinition

__all__ = ["Reference", "check_name", "name_problem", "parse_reference"]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_LONGEST = 64
_RULE = f"use 1 to {_LONGEST} of the characters A-Z a-z 0-9 . _ - and begin and end with a letter or digit"


def name_problem(name: object) -> str | None:
    """Return what is wrong with a name and the rule that it breaks, or None.

    Examples
    --------
    >>> name_problem("heart-classifier") is None
    True
    >>> name_problem("a/b")
    "'/' is not allowed; use 1 to 64 of the characters A-Z a-z 0-9 . _ - and begin and end with a letter or digit"
    """
    if not isinstance(name, str):
        return f"a name must be text, not {type(name).__name__}; {_RULE}"
    if not name:
        return f"it is empty; {_RULE}"
    if len(name) > _LONGEST:
        return f"it has {len(name)} characters; {_RULE}"
    if _NAME.fullmatch(name):
        return None
    strange = re.search(r"[^A-Za-z0-9._-]", name)
    if strange:
        return f"{strange[0]!r} is not allowed; {_RULE}"
    return f"it begins or ends with a sign; {_RULE}"


def check_name(name: object, what: str) -> str:
    """Return a name that is safe in a path of the workspace, or say why it is not.

    Parameters
    ----------
    name : object
        What the user gave.
    what : str
        What it names, for the message: ``"endpoint"``.

    Returns
    -------
    str
        The name.

    Raises
    ------
    InvalidDefinition
        The name breaks the rule, which the message holds.

    Examples
    --------
    >>> check_name("xgb.v2", "deployment")
    'xgb.v2'
    """
    problem = name_problem(name)
    if problem:
        shown = repr(name)
        shown = shown if len(shown) <= 80 else f"{shown[:76]}…'"
        raise InvalidDefinition(f"{what} name {shown}: {problem}")
    return str(name)


@dataclass(frozen=True, slots=True)
class Reference:
    """A named asset, perhaps at a version.

    Parameters
    ----------
    name : str
        The asset.
    version : str, optional
        The exact version; None: none was given.
    latest : bool
        Whether ``@latest`` was asked for.
    """

    name: str
    version: str | None = None
    latest: bool = False

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@latest" if self.latest else self.name


def parse_reference(text: str, what: str = "asset") -> Reference:
    """Return the asset that a text names, with or without Azure's ``azureml:`` prefix.

    Parameters
    ----------
    text : str
        ``"name"``, ``"name:version"`` or ``"name@latest"``.
    what : str
        What it names, for messages: ``"model"``.

    Returns
    -------
    Reference
        The name and version; a bare name has neither a version nor `latest`.

    Raises
    ------
    InvalidDefinition
        The text is no such reference.

    Examples
    --------
    >>> parse_reference("azureml:heart:3")
    Reference(name='heart', version='3', latest=False)
    >>> parse_reference("heart@latest")
    Reference(name='heart', version=None, latest=True)
    """
    if not isinstance(text, str):
        raise InvalidDefinition(f"{what} reference {text!r} is not text; give 'name:version' or 'name@latest'")
    plain = text.removeprefix("azureml:")
    if plain.startswith("/"):
        raise InvalidDefinition(
            f"{what} reference {text!r} leads to Azure (a registry or resource id), which is not reachable from here; "
            f"give 'name:version' or 'name@latest'"
        )
    if "@" in plain:
        name, _, label = plain.partition("@")
        if label != "latest":
            raise InvalidDefinition(f"{what} reference {text!r}: @{label} is not known; only @latest is")
        return Reference(check_name(name, what), latest=True)
    name, colon, version = plain.partition(":")
    return Reference(check_name(name, what), check_name(version, f"{what} version") if colon else None)

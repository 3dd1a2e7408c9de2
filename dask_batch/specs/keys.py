"""Dotted keys, as a shell gives them: where they are cut, and which hold text. Imports nothing heavy."""

from __future__ import annotations

import re

__all__ = ["holds_text", "key_path"]

# What people call an environment variable or a tag may have dots in it, and its value is text whatever it looks like.
_TEXTS = re.compile(r"((?:[^.]+\.)*?(?:environment_variables|tags|properties))\.(.+)", re.DOTALL)


def key_path(dotted: str) -> tuple[str, ...]:
    """Return the keys that a dotted key leads through.

    Examples
    --------
    >>> key_path("settings.timeout")
    ('settings', 'timeout')
    >>> key_path("settings.environment_variables.a.b")
    ('settings', 'environment_variables', 'a.b')
    """
    match = _TEXTS.fullmatch(dotted)
    return (*match[1].split("."), match[2]) if match else tuple(dotted.split("."))


def holds_text(dotted: str) -> bool:
    """Return whether what a dotted key holds is text, however it looks.

    Examples
    --------
    >>> holds_text("tags.team"), holds_text("tags"), holds_text("settings.timeout")
    (True, False, False)
    """
    return _TEXTS.fullmatch(dotted) is not None

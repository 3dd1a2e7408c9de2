"""What can be wrong with input: a whole file, or single rows of it."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

__all__ = ["RowFault", "RowUnreadable", "Unreadable", "cannot_be_scored", "is_hiccup"]

_HICCUPS = {errno.EIO, errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ETIMEDOUT}
_REMOTE_PACKAGES = {"botocore", "aiobotocore", "aiohttp", "urllib3", "requests", "gcsfs", "azure", "google"}


class Unreadable(Exception):
    """A file cannot be read: one failed item.

    Parameters
    ----------
    reason : str
        Why, as a sentence whose subject is the file.
    advice : str
        What to do next, as a sentence.
    """

    def __init__(
        self, reason: str, advice: str = "Mend it and invoke the endpoint with it, or leave it out of the input."
    ) -> None:
        super().__init__(reason)
        self.advice = advice


def cannot_be_scored(name: str, error: Unreadable) -> Unreadable:
    """Return the error with the file's name before its reason, and what to do next behind it."""
    reason = str(error) if str(error).endswith((".", "?", "!")) else f"{error}."  # Arrow's own end without
    named = Unreadable(f"{name} cannot be scored: {reason} {error.advice}", error.advice)
    named.__cause__ = error
    return named


class RowUnreadable(Exception):
    """A row cannot be read: one failed item, whose message this is."""


@dataclass(frozen=True)
class RowFault:
    """A row that cannot be read.

    Parameters
    ----------
    position : int
        Which row of its block it is, counted from 0.
    message : str
        What is wrong with it, as a sentence that names column and value.
    values : dict
        The row as it stands in the file, JSON-able.
    """

    position: int
    message: str
    values: dict[str, Any]


def is_hiccup(exc: BaseException) -> bool:
    """Return whether an exception speaks of the storage, not of the file: another attempt may succeed.

    Examples
    --------
    >>> is_hiccup(ConnectionResetError()), is_hiccup(FileNotFoundError()), is_hiccup(ValueError())
    (True, False, False)
    """
    if isinstance(exc, (FileNotFoundError, PermissionError)):
        return False
    if isinstance(exc, (ConnectionError, TimeoutError)) or getattr(exc, "errno", None) in _HICCUPS:
        return True
    return type(exc).__module__.partition(".")[0] in _REMOTE_PACKAGES

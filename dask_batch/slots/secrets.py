"""Secrets that requirements need: referred to, never written down, and never shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dask_batch.errors import InvalidDefinition

__all__ = ["names_of_secrets", "redacted", "refuse_secrets"]

_USER = re.compile(r"://([^/@\s]+)@")
_QUERY = re.compile(r"([?&](?:sig|signature|token|access_token|api_key|password)=)([^&#\s]+)", re.IGNORECASE)
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOKEN_LENGTH = 20  # access tokens also stand alone before the @, where short names of users do


def refuse_secrets(line: str, where: str) -> None:
    """Raise InvalidDefinition if a requirement line has a password or token in it, rather than a reference to one.

    Parameters
    ----------
    line : str
        A requirement or an option, such as ``--index-url https://user:${INDEX_PASSWORD}@host/simple``.
    where : str
        The file and line it comes from, for the message.

    Examples
    --------
    >>> refuse_secrets("--index-url https://user:${INDEX_PASSWORD}@host/simple", "requirements.txt:1")
    >>> refuse_secrets("tool @ git+ssh://git@host/tool.git", "requirements.txt:2")
    """
    if any(not _REFERENCE.fullmatch(secret) for secret in _secrets_in(line)):
        raise InvalidDefinition(
            f"{where}: {redacted(line)!r} has a password or token in it, which would be stored and shown; "
            "write ${NAME} in its place and set the environment variable NAME where the environment is built"
        )


def names_of_secrets(lines: Iterable[str]) -> list[str]:
    """Return the environment variables that requirement lines refer to as ``${NAME}``, each once."""
    return list(dict.fromkeys(name for line in lines for name in _REFERENCE.findall(line)))


def redacted(text: str) -> str:
    """Return a text with ``****`` for the user and password of every URL in it, and for tokens in their queries.

    Examples
    --------
    >>> redacted("cannot fetch https://me:secret@host/simple and https://host/a.whl?sv=1&sig=abc%3D")
    'cannot fetch https://****@host/simple and https://host/a.whl?sv=1&sig=****'
    """
    return _QUERY.sub(r"\1****", _USER.sub("://****@", text))


def _secrets_in(line: str) -> list[str]:
    found = [match[2] for match in _QUERY.finditer(line)]
    for match in _USER.finditer(line):
        user, colon, password = match[1].partition(":")
        if colon or len(user) >= _TOKEN_LENGTH:
            found.append(password if colon else user)
    return [secret for secret in found if secret]

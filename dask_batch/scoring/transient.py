"""Which errors of file systems and object stores another attempt may cure."""

from __future__ import annotations

import errno

__all__ = ["is_transient"]

_FINAL_ERRNOS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.EMLINK,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.ENOTSUP,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
}
_FINAL_TYPES = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)
# Errors of clients of object stores, which are no OSError.
_TRANSIENT_NAMES = {
    "ClientConnectorError",
    "ClientError",
    "ConnectTimeoutError",
    "ConnectionClosedError",
    "EndpointConnectionError",
    "HTTPClientError",
    "HttpError",
    "IncompleteReadError",
    "ReadTimeoutError",
    "ResponseStreamingError",
    "ServerDisconnectedError",
    "ServerTimeoutError",
    "ServiceResponseError",
}


def is_transient(error: BaseException) -> bool:
    """Return whether another attempt may succeed where `error` was raised.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(OSError(28, "No space left on device"))
    (True, False)
    """
    if isinstance(error, _FINAL_TYPES):
        return False
    if isinstance(error, OSError):
        # An object store's refusals and hiccups come without an errno.
        return error.errno not in _FINAL_ERRNOS
    return type(error).__name__ in _TRANSIENT_NAMES

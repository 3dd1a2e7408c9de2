"""Which errors are those of file systems and object stores, and which of them another attempt may cure."""

from __future__ import annotations

import errno

__all__ = ["is_storage_trouble", "is_transient"]

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
# A disk or store is full, must not be written, is broken, busy or gone.
_STORAGE_ERRNOS = {
    errno.EBUSY,
    errno.EDQUOT,
    errno.EIO,
    errno.ENODEV,
    errno.ENOSPC,
    errno.ENXIO,
    errno.EROFS,
    errno.ESTALE,
}
_NETWORK_ERRNOS = {errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH}
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


def is_storage_trouble(error: BaseException, *, network: bool = False) -> bool:
    """Return whether a disk or store is to blame for `error`, or for what it was raised from.

    Parameters
    ----------
    error : BaseException
        What was raised.
    network : bool
        Blame stores for broken connections: where nobody else than a store is spoken to.

    Examples
    --------
    >>> is_storage_trouble(OSError(28, "No space left on device")), is_storage_trouble(OSError("no licence"))
    (True, False)
    >>> is_storage_trouble(ConnectionResetError()), is_storage_trouble(ConnectionResetError(), network=True)
    (False, True)
    """
    link: BaseException | None = error
    while link is not None:
        if getattr(link, "errno", None) in _STORAGE_ERRNOS or (network and _is_of_network(link)):
            return True
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return False


def _is_of_network(error: BaseException) -> bool:
    if isinstance(error, (ConnectionError, TimeoutError)) or type(error).__name__ in _TRANSIENT_NAMES:
        return True
    return getattr(error, "errno", None) in _NETWORK_ERRNOS

"""Paths and URLs: which file system, which path. A path without ``://`` is a local path, taken as it is."""

from __future__ import annotations

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

__all__ = ["is_local", "local_path", "locate"]


def is_local(url: str) -> bool:
    """Return whether `url` is on the local file system (a plain path, ``file://`` or ``local://``)."""
    return "://" not in url or url.startswith(("file://", "local://"))


def local_path(url: str) -> str:
    """Return the absolute path that a local `url` stands for."""
    if "://" in url:
        url = url.split("://", 1)[1]
    return os.path.abspath(url)


def locate(url: str, options: dict[str, Any] | None = None) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the file system of `url` and the path on it.

    Local paths bypass fsspec's URL parsing, so that ``#``, ``%``, ``?``, ``::`` and newlines in names are
    ordinary characters.

    Parameters
    ----------
    url : str
        A local path or any fsspec URL.
    options : dict, optional
        Keyword arguments for the file system, such as ``{"endpoint_url": …}``.

    Raises
    ------
    ValueError
        The protocol is unknown to fsspec.
    ImportError
        The package that the protocol needs is not installed.
    """
    if is_local(url):
        return LocalFileSystem(), local_path(url)
    fs, path = fsspec.core.url_to_fs(url, **(options or {}))
    return fs, path

"""From what a user gives as input to absolute paths and URLs that a host can read."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dask_batch.endpoints.assets import NO_DATASTORES, DataAssets
from dask_batch.errors import InputEmpty, InputError, InputMissing, InvalidDefinition, choose_from
from dask_batch.jobs.context import Context
from dask_batch.planning.listing import check_inputs, list_inputs
from dask_batch.specs.names import Reference, parse_reference
from dask_batch.storage import is_local, join, local_path

__all__ = ["resolve_inputs"]


def resolve_inputs(context: Context, given: Any) -> tuple[str, ...]:
    """Return absolute paths, URLs and patterns for an input, and make sure that each leads to a file.

    Parameters
    ----------
    context : Context
        The workspace. If its root is remote, local files are uploaded to ``data/<hash>/`` there.
    given : str, path, sequence of them, or pandas.DataFrame
        A path, pattern, URL or data asset (``azureml:name:1``, ``name:1``, ``name@latest``); a DataFrame is written
        to ``data/<hash>/`` in the workspace.

    Raises
    ------
    InputMissing, InputEmpty, InputError
        Nothing is there, or nothing in it can be scored.
    NotFound
        The data asset or its version does not exist.
    """
    if not isinstance(given, (str, bytes, os.PathLike, Sequence)):
        return (_store_frame(context, given),)
    several = [given] if isinstance(given, (str, bytes, os.PathLike)) else list(given)
    if not several:
        raise InputEmpty("the input is an empty list; name a file, a folder or a pattern")
    found = tuple(_resolve_one(context, one) for one in several)
    check_inputs(found)
    if context.storage.is_local:
        return found
    return tuple(_upload(context, one) if is_local(one) else one for one in found)


def _resolve_one(context: Context, given: Any) -> str:
    if not isinstance(given, (str, os.PathLike)):
        raise InputError(f"input {given!r} is no path; give a path, a URL, a data asset, a list of them or a DataFrame")
    text = os.fspath(given)
    if not text.strip():
        raise InputMissing("the input is an empty text; name a file, a folder or a pattern")
    if text.startswith("azureml://"):
        raise InputError(f"input {text!r}: {NO_DATASTORES}")
    if isinstance(given, str) and (reference := _as_reference(text)) is not None:
        return _asset(context, text, reference)
    return local_path(os.path.expanduser(text)) if is_local(text) else text


def _as_reference(text: str) -> Reference | None:
    """Return the data asset that a text names; a path that exists is a path, whatever it looks like."""
    named = text.startswith("azureml:")
    if not named and (not is_local(text) or "://" in text or os.path.lexists(os.path.expanduser(text))):
        return None
    try:
        reference = parse_reference(text)
    except InvalidDefinition:
        if named:
            raise
        return None
    return reference if named or reference.latest or reference.version is not None else None


def _asset(context: Context, text: str, reference: Reference) -> str:
    assets = DataAssets(context)
    if reference.name not in assets.names():
        known = choose_from(reference.name, assets.names(), "data assets")
        raise InputMissing(f"input {text!r}: there is no such path, and no data asset {reference.name!r}; {known}")
    latest = reference.latest or reference.version is None
    path = assets.get(reference.name, None if latest else reference.version).path
    return local_path(path) if is_local(path) else path


# -- data that is written into the workspace ---------------------------------------------------------------------------


def _store_frame(context: Context, frame: Any) -> str:
    """Write a DataFrame as parquet into the workspace, unless the same one is there; return its path or URL."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"input of type {type(frame).__name__} cannot be scored; "
            "give a path, a URL, a data asset, a list of them or a pandas DataFrame"
        )
    if frame.empty:
        raise InputEmpty("the input DataFrame has no rows or no columns")
    frame = frame.rename(columns=str)
    if not frame.columns.is_unique:
        twice = sorted(set(frame.columns[frame.columns.duplicated()]))
        raise InputError(f"the input DataFrame has columns with the same name: {', '.join(twice)}; rename them")
    sink = io.BytesIO()
    try:
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"the input DataFrame cannot be written as parquet: {error}; convert that column") from error
    content = sink.getvalue()
    folder = join("data", hashlib.sha256(content).hexdigest())
    context.storage.create(join(folder, "data.parquet"), content)
    _mark(context, folder, source="a DataFrame", files=1)
    return context.storage.url(join(folder, "data.parquet"))


def _upload(context: Context, given: str) -> str:
    """Copy local files to a remote workspace by content, unless they are there; return the URL of the copy."""
    files = [str(path) for path in list_inputs([given]).column("path").to_pylist()]
    base = files[0] if files == [given] else _common_folder(files)
    named = [(file, os.path.relpath(file, os.path.dirname(base))) for file in files]
    total = hashlib.sha256()
    for file, name in named:
        with open(file, "rb") as content:
            total.update(f"{name}\0{hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    folder = join("data", total.hexdigest())
    if not context.storage.exists(f"{folder}.json"):
        for file, name in named:
            context.storage.upload(file, join(folder, name))
    _mark(context, folder, source=given, files=len(files))
    return context.storage.url(join(folder, Path(base).name))


def _mark(context: Context, folder: str, source: str, files: int) -> None:
    """Note that a copy is whole and in use now: a garbage collection goes by the age of this note."""
    context.storage.put_json(f"{folder}.json", {"source": source, "files": files})


def _common_folder(files: list[str]) -> str:
    return os.path.commonpath([os.path.dirname(file) for file in files])

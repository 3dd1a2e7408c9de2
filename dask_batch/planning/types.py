"""The types of a table's columns, fixed once for the whole job.

A model with a signature says them. For one without, they are concluded from a sample of the input: a few files spread
over it, rows from start, middle and end of each. Text becomes int64, double, bool or string, as pandas would read it;
parquet and arrow files bring their own types.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from dask_batch.errors import InputError, choose_from
from dask_batch.planning.formats import format_of, is_table, is_text
from dask_batch.planning.sampling import SOME_ROWS, schemas_of
from dask_batch.scoring.tables.columns import MLFLOW_TYPES
from dask_batch.scoring.unify import unify_types

__all__ = ["check_columns", "check_sample", "infer_types", "sample_files", "types_of_signature", "unify_sampled"]

_SAMPLE_FILES = 8


def types_of_signature(signature: dict[str, Any]) -> list[list[str]] | None:
    """Return the columns that a signature names, each with its Arrow type; None if it names none.

    Parameters
    ----------
    signature : dict
        With ``inputs``: a list of ``{"name", "type", "required"}``, types as MLflow calls them. A type that is no
        scalar keeps MLflow's name.

    Examples
    --------
    >>> types_of_signature({"inputs": [{"name": "age", "type": "long", "required": True}]})
    [['age', 'int64']]
    """
    inputs = signature.get("inputs")
    if not inputs:
        return None
    return [[str(one["name"]), MLFLOW_TYPES.get(str(one["type"]), str(one["type"]))] for one in inputs]


def infer_types(files: pa.Table) -> list[list[str]] | None:
    """Return the columns of a sample of `files`, as `unify_sampled` does; None if no file of it is a readable table.

    Parameters
    ----------
    files : pyarrow.Table
        What `listing.list_inputs` returned.

    Raises
    ------
    InputError
        Two sampled files that carry their own types disagree.
    """
    schemas = schemas_of(_sampled_paths(files))
    return unify_sampled(schemas) if schemas else None


def check_sample(files: pa.Table, signature: dict[str, Any]) -> str | None:
    """Return why no sampled file can be scored by a model with this signature, or None if one can.

    Parameters
    ----------
    files : pyarrow.Table
        What `listing.list_inputs` returned.
    signature : dict
        As for `types_of_signature`.
    """
    paths = _sampled_paths(files)
    if not any(is_table(format_of(path)) for path in paths):
        return (
            f"the input has no tables: {paths[0]!r} is neither csv, tsv, jsonl, json, parquet nor arrow by "
            "its name; name other files as input"
        )
    required = [str(one["name"]) for one in signature.get("inputs") or [] if one.get("required", True)]
    schemas = schemas_of(paths)
    if not schemas or any(set(required) <= set(schema.names) for _, schema in schemas):
        return None
    path, schema = schemas[0]
    missing = [name for name in required if name not in schema.names]
    return (
        f"the input lacks columns that the model needs: {', '.join(map(repr, missing[:20]))} "
        f"{'is' if len(missing) == 1 else 'are'} not in {path!r}, which has {', '.join(map(repr, schema.names[:20]))}; "
        f"rename the columns ({len(schemas)} files were looked at), or deploy a model with another signature"
    )


def check_columns(files: pa.Table, names: Sequence[str]) -> str | None:
    """Return which of the columns to carry along no sampled file has, or None if each is in some.

    Parameters
    ----------
    files : pyarrow.Table
        What `listing.list_inputs` returned.
    names : sequence of str
        What ``include_inputs`` names.
    """
    schemas = schemas_of(_sampled_paths(files))
    there = list(dict.fromkeys(name for _, schema in schemas for name in schema.names))
    missing = [name for name in names if name not in there]
    if not schemas or not missing:
        return None
    return (
        f"include_inputs names {', '.join(map(repr, missing))}, which no file of the input has "
        f"({len(schemas)} files were looked at); {choose_from(missing[0], there, 'columns')}"
    )


def sample_files(files: pa.Table, count: int = _SAMPLE_FILES) -> list[int]:
    """Return the positions of up to `count` files spread evenly over `files`, the first and the last included.

    Examples
    --------
    >>> sample_files(pa.table({"path": [str(n) for n in range(100)]}), 4)
    [0, 33, 66, 99]
    """
    picked = np.linspace(0, files.num_rows - 1, min(count, files.num_rows)).astype(int)
    return [int(n) for n in dict.fromkeys(picked)]


def _sampled_paths(files: pa.Table) -> list[str]:
    paths: list[str] = files.column("path").take(pa.array(sample_files(files), pa.int64())).to_pylist()
    return paths


def unify_sampled(schemas: Iterable[tuple[str, pa.Schema]]) -> list[list[str]] | None:
    """Return the columns of sampled files, each with the one type that fits all of them.

    Parameters
    ----------
    schemas : iterable of (str, pyarrow.Schema)
        Path and schema of each file. Those of text files hold int64, double, bool, string and null only.

    Returns
    -------
    list of list of str, optional
        Columns in the order of first appearance: the name, the type, and ``"optional"`` for those that some of the
        files, or of their rows, lack. Types without a common one are text if they come from text, and a column
        without any value is text, which can hold whatever comes later. A nested type only says that the column is
        there: its values stay as each file has them.

    Raises
    ------
    InputError
        Types without a common one come from files that carry their own.

    Examples
    --------
    >>> a = pa.schema([("n", pa.int64()), ("x", pa.null())])
    >>> b = pa.schema([("n", pa.float64()), ("x", pa.string())])
    >>> unify_sampled([("a.csv", a), ("b.csv", b), ("c.csv", pa.schema([("n", pa.int64())]))])
    [['n', 'double'], ['x', 'string', 'optional']]
    """
    counts: Counter[str] = Counter()
    known: dict[str, tuple[pa.DataType, str]] = {}
    total = 0
    for path, schema in schemas:
        total += 1
        for field in schema:
            name, kind = field.name, field.type
            counts[name] += field.metadata != SOME_ROWS
            before, where = known.get(name, (pa.null(), path))
            known[name] = (_unify(name, before, where, kind, path), path if before != kind else where)
    types = {name: str(pa.string() if pt.is_null(kind) else kind) for name, (kind, _) in known.items()}
    return [[name, kind] if counts[name] == total else [name, kind, "optional"] for name, kind in types.items()] or None


def _unify(name: str, one: pa.DataType, where: str, other: pa.DataType, path: str) -> pa.DataType:
    other = _plain(other)
    if one == other or pt.is_null(other):
        return one
    if pt.is_null(one):
        return other
    if _is_number(one) and _is_number(other):
        return unify_types(one, other) or one
    try:
        pair = [pa.schema([(name, kind)]) for kind in (one, other)]
        united = pa.unify_schemas(pair, promote_options="permissive").field(name).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        united = None
    if united is not None and (pt.is_string(united) or pt.is_binary(united)) and united not in (one, other):
        united = None
    if united is not None:
        return united
    if pt.is_nested(one) and pt.is_nested(other):
        return one
    if is_text(format_of(where)) or is_text(format_of(path)):
        return pa.string()
    raise InputError(
        f"column {name!r} has type {one} in {where!r} and type {other} in {path!r}, and the model has no signature "
        "that says which is right; convert the files to one type, or give the model a signature"
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pt.is_integer(kind) or pt.is_floating(kind))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pt.is_dictionary(kind):
        return _plain(kind.value_type)
    if pt.is_large_string(kind) or pt.is_string_view(kind):
        return pa.string()
    return pa.binary() if pt.is_large_binary(kind) or pt.is_binary_view(kind) else kind

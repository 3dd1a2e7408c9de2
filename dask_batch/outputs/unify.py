"""One schema for all parts of a job, whatever each chunk happened to return.

Types are unified as they were while each part was written (`dask_batch.scoring.unify`): integers with floats become
float64, integers widen, null with T becomes T, temporal units widen, dictionaries of T are T. A column that a part
lacks is null there. Anything else is an error that names both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from dask_batch.errors import JobFailed
from dask_batch.jobfolder.folder import JobFolder
from dask_batch.jobfolder.ledger import Entry, in_order
from dask_batch.outputs.parts import HIDDEN, describe_part, part_schema
from dask_batch.scoring.unify import DoesNotFit, fit_column, plain_type, unify_fields, unify_types

__all__ = ["cast_batch", "check_parts", "parts_schema", "plain_type", "unify_schemas", "unify_types"]


def unify_schemas(schemas: Iterable[pa.Schema], label: Callable[[int], str] = str) -> pa.Schema:
    """Return the schema that holds the columns of all `schemas`, in the order in which they first appear.

    Parameters
    ----------
    schemas : iterable of pyarrow.Schema
        Those of the parts, in input order.
    label : callable
        Returns what to call the part at a position, for the error message.

    Raises
    ------
    JobFailed
        Two parts have types for one column that no type holds both of.

    Examples
    --------
    >>> a, b = pa.schema([("x", pa.int64())]), pa.schema([("x", pa.float64()), ("y", pa.string())])
    >>> unify_schemas([a, b]).names, unify_schemas([a, b]).field("x").type
    (['x', 'y'], DataType(double))
    """
    columns: dict[str, pa.Field] = {}
    settled_by: dict[str, int] = {}
    seen: set[pa.Schema] = set()
    for n, schema in enumerate(schemas):
        bare = schema.remove_metadata()
        if bare in seen:
            continue
        seen.add(bare)
        for field in bare:
            before = columns.get(field.name, pa.field(field.name, pa.null()))
            after = unify_fields(before, field)
            if after is None:
                earlier = label(settled_by[field.name])
                raise JobFailed(
                    f"column {field.name!r} of the output has type {before.type} in {earlier} and type "
                    f"{plain_type(field.type)} in {label(n)}; return the same type for every mini-batch, then start "
                    "the job again"
                )
            if after.type != before.type or field.name not in columns:
                settled_by[field.name] = n
            columns[field.name] = after
    return pa.schema([(name, field.type) for name, field in columns.items()])


def parts_schema(folder: JobFolder, entries: Sequence[Entry]) -> pa.Schema:
    """Return the one schema of the parts that `entries` name, without our hidden columns.

    Raises
    ------
    JobFailed
        Their types cannot be united.
    """
    ordered = [entry for entry in in_order(entries) if entry.part]
    with ThreadPoolExecutor(1 if folder.storage.is_local else 16) as pool:
        schemas = list(pool.map(lambda entry: part_schema(folder, entry), ordered))
    united = unify_schemas(schemas, lambda n: describe_part(folder, ordered[n]))
    return pa.schema([field for field in united if field.name not in HIDDEN])


def check_parts(folder: JobFolder, entries: Iterable[Entry]) -> None:
    """Make sure that the parts that `entries` name can be put together. Raises JobFailed if they cannot."""
    parts_schema(folder, list(entries))


def cast_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return `batch` with exactly the columns of `schema`; those it lacks are null.

    Raises
    ------
    JobFailed
        A value is out of the range of its column's type.
    """
    columns = []
    for field in schema:
        at = batch.schema.get_field_index(field.name)
        if at < 0:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        try:
            columns.append(fit_column(batch.column(at), field.type))
        except DoesNotFit as error:
            raise JobFailed(
                f"column {field.name!r} of the output: {error}; return the same type for every mini-batch, then start "
                "the job again"
            ) from error
    return pa.record_batch(columns, schema=schema)

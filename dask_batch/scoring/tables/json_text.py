"""JSON lines and JSON: parsed by pyarrow where all types are fixed, value by value otherwise.

Columns that are only carried along are text, as in csv: a column may hold numbers in one file and text in the next.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.json as pa_json

from dask_batch.scoring.tables.casting import cast_sampled, cast_values, drop_rows, json_values, kind_of, quoted
from dask_batch.scoring.tables.columns import Chosen, Wanted
from dask_batch.scoring.tables.csv_text import text_fault
from dask_batch.scoring.tables.faults import RowFault, Unreadable

__all__ = ["parse_document", "parse_lines"]

_BOM = b"\xef\xbb\xbf"
_QUICK = {"bool", "int", "float", "text"}
_NESTING = "it is nested too deeply"


def parse_lines(data: bytes, wanted: Wanted) -> tuple[pa.Table, list[RowFault], Chosen]:
    """Parse JSON lines: an object a line; blank lines are passed over.

    Returns
    -------
    table : pyarrow.Table
        The readable rows.
    faults : list of RowFault
        Lines that are no JSON object, and rows with values that are not of their column's type.
    chosen : Chosen
        The columns.
    """
    data = _without_bom(data)
    if (quick := _parse_quickly(data, wanted)) is not None:
        return quick
    try:
        lines = [line for line in data.decode("utf-8").split("\n") if line.strip()]
    except UnicodeDecodeError as error:
        raise text_fault(error) from None
    return _parse_records([_loads(line) for line in lines], wanted, lambda: [_verbatim(line) for line in lines])


def parse_document(data: bytes, wanted: Wanted) -> tuple[pa.Table, list[RowFault], Chosen]:
    """Parse a JSON document: an array of objects, one object, or JSON lines under the wrong name."""
    try:
        document = json.loads(_without_bom(data))
    except UnicodeDecodeError as error:
        raise text_fault(error) from None
    except json.JSONDecodeError as error:
        if _without_bom(data).lstrip()[:1] == b"{" and b"\n" in data.strip():
            return parse_lines(data, wanted)
        raise Unreadable(f"it is not valid JSON: {error}.") from None
    except RecursionError:
        raise Unreadable(f"{_NESTING}.") from None
    return _parse_records(_listed(document), wanted, lambda: _listed(_verbatim(data)))


def _parse_quickly(data: bytes, wanted: Wanted) -> tuple[pa.Table, list[RowFault], Chosen] | None:
    """Return what pyarrow makes of it, or None where it cannot be had or could differ from the careful way."""
    model = wanted.model
    if model is None or wanted.carried is True or set(model) - set(wanted.types):
        return None
    names = tuple(dict.fromkeys(model + tuple(wanted.carried or ())))
    types = {name: wanted.types[name] if name in model else pa.string() for name in names}
    if any(kind_of(kind) not in _QUICK for kind in types.values()):
        return None
    try:
        table = pa_json.read_json(
            pa.BufferReader(data),
            read_options=pa_json.ReadOptions(use_threads=False, block_size=max(1 << 20, len(data) + 1)),
            parse_options=pa_json.ParseOptions(
                explicit_schema=pa.schema(list(types.items())),
                unexpected_field_behavior="ignore",
                newlines_in_values=False,
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if any(table[name].null_count == table.num_rows for name in names):
        return None  # perhaps a column that is missing altogether: the careful way looks for its key
    if table.num_rows != data.count(b"\n") + (not data.endswith(b"\n")):
        return None  # blank lines, or several objects in one
    return table.select(list(names)), [], wanted.choose(list(names))


def _without_bom(data: bytes) -> bytes:
    return data[len(_BOM) :] if data.startswith(_BOM) else data


def _loads(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return error if isinstance(error, json.JSONDecodeError) else ValueError(str(error))
    except RecursionError:
        return ValueError(_NESTING)


def _verbatim(text: str | bytes) -> Any:
    """Return JSON with numbers as the text that they are written as; None if it is none."""
    try:
        return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _listed(document: Any) -> list[Any]:
    return document if isinstance(document, list) else [document]


def _texts(name: str, values: list[Any], verbatim: Callable[[], list[Any]]) -> list[Any]:
    """Return the values of a column of text: numbers and booleans as they are written, what is nested as JSON."""
    numbers = any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    written = verbatim() if numbers else []
    texts = list(values)
    for n, value in enumerate(values):
        if isinstance(value, (bool, dict, list)):
            texts[n] = json.dumps(value, ensure_ascii=False)
        elif isinstance(value, (int, float)):
            texts[n] = written[n][name]
    return texts


def _parse_records(
    records: list[Any], wanted: Wanted, verbatim: Callable[[], list[Any]]
) -> tuple[pa.Table, list[RowFault], Chosen]:
    found: dict[str, None] = {}
    guilty: dict[int, str] = {}
    for n, record in enumerate(records):
        if isinstance(record, dict):
            found.update(dict.fromkeys(record))
        elif isinstance(record, ValueError):
            guilty[n] = f"the line is not valid JSON: {record}"
        else:
            guilty[n] = f"it is not a JSON object with columns, but {quoted(record)}"
    if records and len(guilty) == len(records):
        raise Unreadable(f"it is not what its name says: {guilty[0]}; and so for every record in it.")
    chosen = wanted.choose(list(found) or list(wanted.model or ()))
    rows = [record if isinstance(record, dict) else {} for record in records]
    columns: dict[str, Any] = {}
    for name in chosen.read:
        values = [row.get(name) for row in rows]
        want = chosen.types.get(name) if name in chosen.model else pa.string()
        if want is not None and kind_of(want) == "text":
            values = _texts(name, values, verbatim)
        cast = partial(cast_values, name, values)
        columns[name], bad = cast_sampled(cast, want) if chosen.sampled and want is not None else cast(want)
        for position in bad.tolist():
            kind = columns[name].type
            guilty.setdefault(position, f"column {name!r}: {quoted(values[position])} is not of type {kind}")
    table = pa.table(columns)
    positions = sorted(guilty)
    if not positions:
        return chosen.complete(table), [], chosen
    kept, _ = drop_rows(table, table, guilty)
    faults = [RowFault(n, guilty[n], _shown(records[n])) for n in positions]
    return chosen.complete(kept), faults, chosen


def _shown(record: Any) -> dict[str, Any]:
    return json_values(record if isinstance(record, dict) else {"line": getattr(record, "doc", str(record))})

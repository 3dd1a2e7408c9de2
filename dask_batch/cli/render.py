"""How answers are written: tables for people; JSON, YAML and csv, complete, for scripts."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dask_batch.cli.options import Format

__all__ = ["plain", "render_one", "render_rows"]

_WIDEST = 60


def render_rows(rows: Sequence[Mapping[str, Any]], format: Format, columns: Sequence[str] | None = None) -> str:  # noqa: A002
    """Return records as text.

    Parameters
    ----------
    rows : sequence of mapping
        The records, complete.
    format : Format
        How to write them.
    columns : sequence of str, optional
        What a table shows of them; None: everything.
    """
    records = [plain(row) for row in rows]
    if format is Format.TABLE:
        return table(records, columns or _keys(records))
    if format is Format.CSV:
        return _csv(records)
    return _dump(records, format)


def render_one(record: Mapping[str, Any], format: Format, columns: Sequence[str] | None = None) -> str:  # noqa: A002
    """Return one record as text: as a table, a line per key; otherwise as `render_rows`, without the list around it."""
    value = plain(record)
    if format is Format.CSV:
        return _csv([value])
    if format is not Format.TABLE:
        return _dump(value, format)
    shown = {key: value.get(key) for key in columns or value if value.get(key) not in (None, "", [], {})}
    width = max(map(len, shown), default=0)
    return "".join(f"{key.ljust(width)}  {_cell(item, None)}\n" for key, item in shown.items())


def table(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Return records as aligned columns; long cells are cut, and what a terminal would obey is made harmless.

    Examples
    --------
    >>> print(table([{"name": "a", "rows": 5}, {"name": "bcd", "rows": None}], ["name", "rows"]), end="")
    name  rows
    ----  ----
    a     5
    bcd
    """
    cells = [[_cell(record.get(column), _WIDEST) for column in columns] for record in records]
    widths = [max(len(row[n]) for row in [list(columns), *cells]) for n in range(len(columns))]
    lines = [list(columns), ["-" * width for width in widths], *cells]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: missing and infinite numbers are null, times are ISO 8601 text.

    Examples
    --------
    >>> plain({"a": float("nan"), "b": (1, b"x")})
    {'a': None, 'b': [1, 'x']}
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if hasattr(value, "isoformat"):
        text = str(value.isoformat())
        return None if text == "NaT" else text
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return plain(value.tolist())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    text = str(value)
    return None if text == "<NA>" else text


def _keys(records: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def _dump(value: Any, format: Format) -> str:  # noqa: A002
    if format is Format.JSON:
        return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    import yaml

    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100))


def _csv(records: Sequence[Mapping[str, Any]]) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    keys = _keys(records)
    if keys:
        writer.writerow(keys)
    writer.writerows([_csv_cell(record.get(key)) for key in keys] for record in records)
    return sink.getvalue()


def _csv_cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _cell(value: Any, widest: int | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        text = ", ".join(f"{key}={_cell(item, None)}" for key, item in value.items())
    elif isinstance(value, list):
        text = ", ".join(_cell(item, None) for item in value)
    else:
        text = str(value)
    # Values come from files and models: a control character in one must not reach the terminal.
    harmless = "".join(c if c.isprintable() else " " for c in text)
    return harmless if widest is None or len(harmless) <= widest else harmless[: widest - 1] + "…"

"""Which columns of a file are read, and as what types."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field

import pyarrow as pa

from dask_batch.scoring.tables.faults import Unreadable

__all__ = ["MLFLOW_TYPES", "Chosen", "Wanted", "arrow_type", "distinct"]

MLFLOW_TYPES = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float",
    "double": "double",
    "string": "string",
    "binary": "binary",
    "datetime": "timestamp[ns]",
}
"""Arrow's names for the scalar types of MLflow signatures."""

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_TIME = re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]")


@dataclass(frozen=True)
class Chosen:
    """The columns of one file that are read.

    Parameters
    ----------
    model, carried : tuple of str
        Those that the model gets, those that are carried along; a column can be both.
    absent : tuple of str
        Columns of either that the file lacks, filled with missing values.
    types : dict of str to pyarrow.DataType
        The types that are fixed; other columns stay as they are read.
    sampled : bool
        Whether the types were told from a sample: then text may have other numbers than the whole ones seen there.
    """

    model: tuple[str, ...]
    carried: tuple[str, ...]
    absent: tuple[str, ...]
    types: dict[str, pa.DataType]
    sampled: bool = False

    @property
    def read(self) -> tuple[str, ...]:
        """All columns to read, each once, in output order."""
        return tuple(name for name in dict.fromkeys(self.model + self.carried) if name not in self.absent)

    def complete(self, table: pa.Table) -> pa.Table:
        """Return `table` with the columns that the file lacks, as missing values, in order."""
        for name in self.absent:
            table = table.append_column(name, pa.nulls(table.num_rows, self.types.get(name, pa.null())))
        return table.select(list(dict.fromkeys(self.model + self.carried))) if self.absent else table


@dataclass(frozen=True)
class Wanted:
    """The columns that a job reads.

    Parameters
    ----------
    model : tuple of str, optional
        What the model gets, in order; None: every column.
    types : dict of str to pyarrow.DataType
        The types that are fixed.
    optional : frozenset of str
        Columns of `model` that a file may lack.
    carried : bool or tuple of str
        Input columns that go into the output: all, none or these. A file that lacks one of these has nulls there.
    sampled : bool
        Whether the types were told from a sample.
    """

    model: tuple[str, ...] | None = None
    types: dict[str, pa.DataType] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    carried: bool | tuple[str, ...] = False
    sampled: bool = False

    def choose(self, found: list[str]) -> Chosen:
        """Return what to read of a file that has the columns `found`; raises Unreadable if required ones are missing.

        Examples
        --------
        >>> Wanted(model=("a", "b"), optional=frozenset("b"), carried=("id",)).choose(["id", "x", "a"]).read
        ('a', 'id')
        """
        there = set(found)
        everything = tuple(name for name in found if not _PANDAS_INDEX.fullmatch(name))
        model = everything if self.model is None else self.model
        missing = [name for name in model if name not in there and name not in self.optional]
        if missing:
            raise Unreadable(_says_missing(missing, found, [name for name in found if name not in model]))
        carried = everything if self.carried is True else tuple(self.carried or ())
        absent = tuple(name for name in dict.fromkeys(model + carried) if name not in there)
        types = {name: self.types[name] for name in model if name in self.types}
        return Chosen(model, carried, absent, types, self.sampled)


def arrow_type(name: str) -> pa.DataType | None:
    """Return the Arrow type of this name, or None if it is no scalar type that columns can be cast to.

    Examples
    --------
    >>> arrow_type("double"), arrow_type("timestamp[us, tz=UTC]"), arrow_type("list<item: double>")
    (DataType(double), TimestampType(timestamp[us, tz=UTC]), None)
    """
    if time := _TIME.fullmatch(name):
        return pa.timestamp(time[1], time[2])
    try:
        return pa.type_for_alias(name)
    except ValueError:
        return None


def distinct(names: list[str]) -> list[str]:
    """Return column names as pandas makes them distinct.

    Examples
    --------
    >>> distinct(["a", "b", "a", "", "a"])
    ['a', 'b', 'a.1', 'Unnamed: 3', 'a.2']
    """
    if len(set(names)) == len(names) and "" not in names:
        return names
    given = [name or f"Unnamed: {n}" for n, name in enumerate(names)]
    taken = set(given)
    seen: dict[str, int] = {}
    out = []
    for name in given:
        count = seen.get(name, 0)
        new = name
        while count and (new := f"{name}.{count}") in taken:
            count += 1
        seen[name] = count + 1
        taken.add(new)
        out.append(new)
    return out


def _says_missing(missing: list[str], found: list[str], unwanted: list[str]) -> str:
    """Say which columns a file lacks; of those it has, only ones that nobody wants can be meant for a missing one."""
    some = ", ".join(repr(name) for name in missing[:20]) + (" …" if len(missing) > 20 else "")
    has = ", ".join(repr(name) for name in found[:20]) + (" …" if len(found) > 20 else "")
    near = difflib.get_close_matches(missing[0], unwanted, n=1)
    hint = f" Is {near[0]!r} meant to be {missing[0]!r}?" if near else ""
    word = "column" if len(missing) == 1 else "columns"
    return f"it lacks the {word} {some} that the model needs; it has {has or 'none'}.{hint}"

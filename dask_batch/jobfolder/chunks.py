"""A chunk: what one Dask task scores and commits together. Values only, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Chunk", "Counts", "Point"]

Point = tuple[int, int]
"""A place in the plan's order: a mini-batch, and an item of it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive mini-batches of the plan, some items of one mini-batch, or some rows of one split.

    Parameters
    ----------
    first, stop : int
        Mini-batches `first` to `stop` - 1, as positions in the plan.
    items : tuple of (int, int or None), optional
        Only items lo to hi - 1 of the one mini-batch (files of a script's, rows of a table's, counted from 0;
        hi None: to its end). Chunks of this kind come from cutting around an item that killed its process.
    split : int, optional
        Only the failed ones among rows lo to hi - 1 of this split of the one mini-batch: `items` count the rows of the
        split then. Chunks of this kind come from scoring the failed rows of a table again.
    """

    first: int
    stop: int
    items: tuple[int, int | None] | None = None
    split: int | None = None

    def to_json(self) -> list[Any]:
        """Return the chunk as ``[first, stop]``, ``[first, stop, lo, hi]`` or ``[first, stop, lo, hi, split]``."""
        if self.items is None:
            return [self.first, self.stop]
        return [self.first, self.stop, *self.items, *([] if self.split is None else [self.split])]

    @classmethod
    def from_json(cls, record: list[Any]) -> Chunk:
        """Return the chunk that `to_json` described."""
        items = (record[2], record[3]) if len(record) > 2 else None
        return cls(record[0], record[1], items, record[4] if len(record) > 4 else None)

    @property
    def begin(self) -> Point:
        """Where it begins; of a chunk of one split, counted in rows of that."""
        return self.first, self.items[0] if self.items else 0

    @property
    def end(self) -> Point:
        """The first place past it."""
        return (self.stop, 0) if self.items is None or self.items[1] is None else (self.first, self.items[1])

    @classmethod
    def between(cls, begin: Point, end: Point, split: int | None = None) -> Iterator[Chunk]:
        """Yield what lies from `begin` up to `end`, in order, as few chunks as possible.

        Examples
        --------
        >>> [str(chunk) for chunk in Chunk.between((3, 5), (7, 2))]
        ['mini-batch 3, items 5 to the end', 'mini-batches 4 to 6', 'mini-batch 7, items 0 to 1']
        """
        (first, lo), (stop, hi) = begin, end
        if first == stop or (split is not None and hi == 0):
            yield cls(first, first + 1, (lo, hi or None), split)
            return
        if lo:
            yield cls(first, first + 1, (lo, None))
            first += 1
        if first < stop:
            yield cls(first, stop)
        if hi:
            yield cls(stop, stop + 1, (0, hi))

    def overlaps(self, other: Chunk) -> bool:
        """Return whether some item is in both chunks, as far as they can tell.

        Rows of one split and items of the whole mini-batch are counted apart: such chunks of one mini-batch overlap.
        """
        if (self.split is None) == (other.split is None):
            return self.split == other.split and self.begin < other.end and other.begin < self.end
        return self.first < other.stop and other.first < self.stop

    def __str__(self) -> str:
        if self.items is not None:
            lo, hi = self.items
            what = "items" if self.split is None else f"failed rows of split {self.split},"
            return f"mini-batch {self.first}, {what} {lo} to {'the end' if hi is None else hi - 1}"
        if self.stop - self.first == 1:
            return f"mini-batch {self.first}"
        return f"mini-batches {self.first} to {self.stop - 1}"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much was scored. Counts of several entries add up: one that scores failed items again takes off what they
    were counted as before.

    Parameters
    ----------
    items, succeeded, failed : int
        Items seen, and how many of them succeeded and failed. A file that cannot be read is one item.
    failed_files : int
        Files that could not be read, or (scripts) failed. Part of `failed`.
    rows_in, rows_out : int
        Rows read (tables), rows written to parts.
    bytes : int
        Bytes of input covered.
    collected : int
        Files that a script left in ``AZUREML_BI_OUTPUT_PATH``.
    """

    items: int = 0
    succeeded: int = 0
    failed: int = 0
    failed_files: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bytes: int = 0
    collected: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    def to_json(self) -> dict[str, int]:
        """Return the counts that are not 0, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Counts:
        """Return the counts that `to_json` described; unknown names are passed over."""
        return cls(**{name: int(record.get(name, 0)) for name in cls.__slots__})

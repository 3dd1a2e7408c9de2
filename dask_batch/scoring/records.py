"""Error records: what a person needs to know of one failed item, as JSON."""

from __future__ import annotations

import os
import traceback
from typing import Any

__all__ = ["MAX_MESSAGE", "MAX_TRACEBACK", "Verdict", "error_record", "message_of"]

MAX_TRACEBACK = 8000  # characters; the whole record stays near 8 kB
MAX_MESSAGE = 2000

_OUR_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
_MACHINERY = ("<frozen importlib", "<frozen runpy")


class Verdict(Exception):
    """Items fail as the host has judged, without running user code on them: they kill the process that does.

    Parameters
    ----------
    record : dict
        ``stage``, ``type``, ``message`` and ``traceback`` of their error record.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__(record["message"])
        self.record = record


def error_record(
    exc: BaseException,
    *,
    stage: str,
    file: str | None = None,
    row: int | None = None,
    split: int | None = None,
    mini_batch: int | None = None,
    item: int | None = None,
    attempts: int = 1,
    values: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a failure; it never raises, however odd the exception is.

    Parameters
    ----------
    exc : BaseException
        What was raised.
    stage : str
        ``"load"``, ``"read"``, ``"preprocess"``, ``"predict"`` or ``"write"``.
    file : str, optional
        The path or URL of the input file.
    row : int, optional
        The row within the split, counted from 0.
    split, mini_batch : int, optional
        Positions in the plan.
    item : int, optional
        The item within the mini-batch, counted from 0.
    attempts : int
        How many calls included the item.
    values : dict, optional
        The item's input values, JSON-able.

    Returns
    -------
    dict
        The parameters, and ``type``, ``message`` and ``traceback``: at most 8 kB, without frames of ours, so that
        the user's come first.

    Examples
    --------
    >>> record = error_record(ValueError("no such unit"), stage="predict", file="a.csv", item=3)
    >>> record["type"], record["message"], record["item"]
    ('ValueError', 'no such unit', 3)
    """
    judged = exc.record if isinstance(exc, Verdict) else {}
    return {
        "stage": judged.get("stage", stage),
        "type": judged.get("type", type(exc).__name__),
        "message": message_of(exc),
        "traceback": judged["traceback"] if judged else _traceback_of(exc),
        "file": file,
        "row": row,
        "split": split,
        "mini_batch": mini_batch,
        "item": item,
        "attempts": attempts,
        "values": values,
    }


def message_of(exc: BaseException) -> str:
    """Return ``str(exc)``, shortened; a note that it cannot be had if that itself raises."""
    try:
        text = str(exc)
    except BaseException as second:  # noqa: BLE001  (a __str__ of user code)
        return f"(str() of this {type(exc).__name__} raised {type(second).__name__})"
    if isinstance(exc, KeyError) and len(exc.args) == 1:
        text = f"key {text} is missing"
    if isinstance(exc, SystemExit):
        text = f"user code called sys.exit({text})"
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}… ({len(text):,} characters in all)"
    return _printable(text)


def _traceback_of(exc: BaseException) -> str:
    try:
        text = _format(exc)
    except BaseException as second:  # noqa: BLE001  (out of memory, or an exception class that resists)
        return f"(the traceback cannot be shown: {type(second).__name__})"
    if len(text) > MAX_TRACEBACK:
        head, tail = MAX_TRACEBACK * 2 // 3, MAX_TRACEBACK // 3 - 80
        text = f"{text[:head]}\n  [… {len(text) - head - tail:,} characters left out …]\n{text[-tail:]}"
    return _printable(text)


def _format(exc: BaseException) -> str:
    """Return the traceback without our frames, causes included."""
    shown = traceback.TracebackException.from_exception(exc)
    chain: list[traceback.TracebackException | None] = [shown]
    while chain:
        link = chain.pop()
        if link is None:
            continue
        theirs = [frame for frame in link.stack if not _is_ours(frame.filename)]
        link.stack = traceback.StackSummary.from_list(theirs)
        chain += [link.__cause__, link.__context__]
    return "".join(shown.format()).strip()


def _is_ours(filename: str) -> bool:
    return filename.startswith((_OUR_FOLDER, *_MACHINERY))


def _printable(text: str) -> str:
    """Lone surrogates cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

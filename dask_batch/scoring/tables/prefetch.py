"""Read one step ahead: an iterator that runs in a thread, as far ahead as some bytes allow."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["Prefetched"]

T = TypeVar("T")


class Prefetched(Generic[T]):
    """Iterate over `items` while a thread makes the next ones.

    Use it in a ``with`` statement: leaving it stops the thread at its next item.

    Parameters
    ----------
    items : iterable
        Iterated in the thread. What it raises is raised here, in its turn.
    size_of : callable
        The bytes of an item.
    limit : int
        While items of this many bytes are waiting, no more are made. One is always allowed.
    waiting : callable
        Called with True when the consumer begins to wait for an item, and with False after.
    """

    def __init__(
        self, items: Iterable[T], size_of: Callable[[T], int], limit: int, waiting: Callable[[bool], None]
    ) -> None:
        self._items = items
        self._size_of = size_of
        self._limit = limit
        self._waiting = waiting
        self._ready: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._ended = self._stopped = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> Prefetched[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._stopped = True
            self._ready.clear()
            self._change.notify_all()
        # Whoever watches must see that this waits for a read, which may hang.
        self._waiting(True)
        self._thread.join()
        self._waiting(False)

    def __iter__(self) -> Iterator[T]:
        while (item := self._next()) is not None:
            yield item[0]

    def _next(self) -> tuple[T, int] | None:
        with self._change:
            if not self._ready and not self._ended:
                self._waiting(True)
                self._change.wait_for(lambda: self._ready or self._ended)
                self._waiting(False)
            if self._ready:
                item = self._ready.popleft()
                self._bytes -= item[1]
                self._change.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def _run(self) -> None:
        try:
            for item in self._items:
                size = self._size_of(item)
                with self._change:
                    self._change.wait_for(self._has_room)
                    if self._stopped:
                        return
                    self._ready.append((item, size))
                    self._bytes += size
                    self._change.notify_all()
                del item
        except BaseException as error:  # noqa: BLE001 - raised where the items are consumed
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def _has_room(self) -> bool:
        return self._stopped or not self._ready or self._bytes < self._limit

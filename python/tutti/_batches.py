"""Mapping a function over many short items: how many go together, and getting each its own result.

A `Plan` decides how many items the next batch has. It starts with single items, measures how long they take, and
aims at batches of a few milliseconds: long enough that what is spent on a batch does not matter, short enough that no
engine is left alone at the end. It is plain arithmetic, with no clock.

A `Mapping` feeds batches to the engines as earlier ones end, and gives the results in order. An item that
raises costs only itself; when an engine dies, what its batch held is tried again item by item.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import deque
from concurrent.futures import BrokenExecutor
from itertools import islice
from typing import Any, Callable, Deque, Dict, Iterator, List, Mapping as MappingType, Optional, Sequence, Tuple

from . import _gateway, _pack
from .errors import EngineError, original_exception
from .view import place, send, value_payload

__all__: List[str] = []

_head = struct.Struct("<IIQ")


def packed(code: bytes) -> bytes:
    """The pickle of a function as the code of a work."""
    return _head.pack(_pack.MAGIC, 0, len(code)) + code


AIM = 0.005  # s of work in a batch
GROWTH = 8  # a batch is at most so many times longer than any that was measured
LONG = 0.005  # s: items of this length go alone
BYTES = 48 << 10  # of a batch's arguments, so that it travels within a message


class Plan:
    """How many items go together."""

    def __init__(self, workers: int, fixed: int = 0, most: int = 1 << 20) -> None:
        self.workers, self.fixed, self.most = max(1, workers), fixed, max(1, most)
        self.each = 0.0  # s an item takes, as far as is known; 0: not at all
        self._seen: Deque[float] = deque(maxlen=9)
        self.size = 0.0  # bytes of an item's arguments
        self._largest = 1

    def next(self, left: Optional[int]) -> int:
        """The size of the next batch, when so many items are left (None: nobody knows)."""
        if self.fixed:
            return self.fixed
        if self.each <= 0.0:
            n = 1
        elif self.each >= LONG:
            n = 1
        else:
            n = int(min(AIM / self.each, GROWTH * self._largest))
        if self.size:
            n = min(n, int(BYTES / self.size))
        if left is not None:  # towards the end batches shrink, so that all engines end together
            n = min(n, -(-left // (2 * self.workers)))
        return max(1, min(n, self.most))

    def window(self) -> int:
        """How many batches are under way at a time. Items that go alone are left to the cluster."""
        if self.fixed or self.each >= LONG:
            return 1 << 30
        return 3 * self.workers

    def learn(self, n: int, seconds: float) -> None:
        """A batch of n items has taken so long."""
        self._seen.append(max(seconds, 1e-7) / n)
        # Rather too short than too long: what else the machine does makes some batches longer, and none shorter.
        self.each = sorted(self._seen)[len(self._seen) // 3]
        self._largest = max(self._largest, n)

    def weigh(self, n: int, size: int) -> None:
        """The arguments of n items have so many bytes."""
        self.size = max(1.0, size / n)


class Batch:
    """Some items that go together. What a link needs of whom it answers to: _left, _more, _state, _finished."""

    __slots__ = ("_left", "_more", "_state", "mapping", "items", "cell", "parts")

    def __init__(self, mapping: "Mapping", items: List[Tuple[Any, ...]]) -> None:
        self._left = 1
        self._state = "PENDING"
        self._more: Any = _gateway.More()
        self._more.callbacks = ()  # that it is told when it has ended
        self.mapping, self.items = mapping, items
        self.cell = _gateway.Cell(self, None, None)
        self.parts: Optional[List["Batch"]] = None  # what it was split into, when its engine had died

    def _finished(self) -> None:
        self.mapping.ended(self)


class Mapping:
    """One call of `map`; `results` gives what it gives, in order.

    Without `most` all items are taken at once and sent as engines become free, whether or not anybody reads
    results; with it at most so many are under way or unread. `close` cancels the rest.
    """

    def __init__(
        self,
        link: Any,
        text: MappingType[str, Any],
        code: bytes,
        items: Iterator[Tuple[Any, ...]],
        workers: Callable[[], int],
        chunksize: int = 1,
        timeout: Optional[float] = None,
        most: Optional[int] = None,
        on_end: Optional[Callable[["Mapping"], None]] = None,
        targets: Optional[Sequence[int]] = None,
        failure: Callable[..., BaseException] = original_exception,
    ) -> None:
        self._link, self._failure, self._on_end = link, failure, on_end
        self._end = None if timeout is None else time.monotonic() + timeout
        self._text, self._code = text, code
        self._loads = dict.fromkeys(targets, 0) if targets else None  # batches under way on each of the engines that are meant
        self._workers = workers
        self._most = most
        self._plan = Plan(workers(), chunksize if chunksize > 1 else 0, 1 << 20 if most is None else -(-most // (2 * workers())))
        self._lock = threading.Lock()
        self._order: Deque[Batch] = deque()  # batches whose results were not given yet
        self._unread = 0  # items of them
        self._under_way: Dict[int, Batch] = {}
        self._left: Optional[int] = None
        if most is None:
            taken = list(items)
            self._left, items = len(taken), iter(taken)
        self._items: Optional[Iterator[Tuple[Any, ...]]] = items
        self._feed()

    @property
    def over(self) -> bool:
        """Whether all items have been dealt with."""
        return self._items is None and not self._under_way

    def _work(self, target: Optional[int], again: bool) -> int:
        """The work of batches, which are not tried again, or of items that are, once."""
        lost = 1 if again else -1
        key = ("py.batch", lost, target, self._code, tuple(sorted((k, repr(v)) for k, v in self._text.items())))
        about = dict(self._text, func="py.batch", retries_lost=lost, target=target)
        return self._link.work(key, lambda: (about, packed(self._code)))

    # Feeding.

    def _feed(self) -> None:
        """Send what there is room for."""
        with self._lock:
            plan = self._plan
            plan.workers = max(1, self._workers())
            window = plan.window() if self._loads is None else min(plan.window(), 3 * plan.workers)
            while self._items is not None and len(self._under_way) < window:
                n = plan.next(self._left)
                if self._most is not None:
                    n = min(n, self._most - self._unread)
                    if n <= 0:
                        return
                items = list(islice(self._items, n))
                if not items:
                    self._exhausted()
                    return
                if self._left is not None:
                    self._left -= len(items)
                batch = Batch(self, items)
                self._send(batch, len(items) == 1)
                self._order.append(batch)
                self._unread += len(items)
                if self._left == 0:
                    self._exhausted()

    def _exhausted(self) -> None:
        self._items = None
        if not self._under_way and self._on_end is not None:
            self._on_end(self)

    def _send(self, batch: Batch, again: bool) -> None:
        items = [(args, None) for args in batch.items]
        payload = value_payload(items)
        self._plan.weigh(len(items), len(payload) if type(payload) is bytes else payload.size)
        self._under_way[id(batch)] = batch
        target = None
        if self._loads is not None:
            target = batch.cell.target = min(self._loads, key=self._loads.__getitem__)
            self._loads[target] += 1
        try:
            work = self._work(target, again)
            send(self._link, work, place(self._link, payload), batch.cell)
        except BaseException:
            del self._under_way[id(batch)]
            raise

    def ended(self, batch: Batch) -> None:
        """A batch has ended: learn from it, and send more. Called by whoever reads."""
        with self._lock:
            if self._under_way.pop(id(batch), None) is None:
                return
            if self._loads is not None:
                self._loads[batch.cell.target] -= 1
            end = batch.cell.end
            assert end is not None
            if end[1] == _gateway.DONE:
                self._plan.learn(len(batch.items), (end[7] - end[6]) / 1e9)
            else:
                self._split(batch)
        try:
            self._feed()
        except EngineError:
            pass  # the reader of results will hear of it
        if self._items is None and not self._under_way and self._on_end is not None:
            self._on_end(self)

    def _split(self, batch: Batch) -> None:
        """Try the items of a batch that failed as a whole one by one. The lock is held.

        Their engine died, or one of their results could not be pickled. What was cancelled or interrupted stays so.
        """
        if batch.parts is not None or batch.cell.end[1] == _gateway.DONE or len(batch.items) < 2 or self._link.lost:
            return
        failure, _ = _gateway.failure_of(batch.cell)
        if failure.get("kind") in ("canceled", "timed out") or failure.get("text", "").startswith("KeyboardInterrupt"):
            return
        parts = [Batch(self, [item]) for item in batch.items]
        for part in parts:
            self._send(part, True)
        batch.parts = parts

    # Giving.

    def results(self) -> Iterator[Any]:
        """The results, in order; to be called once. Whoever leaves early cancels the rest."""
        try:
            while True:
                if not self._order:
                    self._feed()
                    if not self._order:
                        return
                batch = self._order.popleft()
                for ok, value in self._of(batch):
                    if not ok:
                        raise value
                    yield value
                    del value
                self._unread -= len(batch.items)
                del batch
                if self._most is not None:
                    self._feed()
        finally:
            self.close()

    def _of(self, batch: Batch) -> Iterator[Tuple[bool, Any]]:
        """The results of a batch, waiting for them: (True, value) or (False, exception)."""
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        if batch._left and not self._link.wait(batch, left):
            raise TimeoutError("map has not ended in time")
        self.ended(batch)  # the thread that has read of it may not have come to that yet
        cell = batch.cell
        if cell.end[1] != _gateway.DONE:
            if batch.parts is not None:
                for part in batch.parts:
                    yield from self._of(part)
                return
            if self._link.lost:
                yield False, BrokenExecutor(self._link.lost)
                return
            failure, data = _gateway.failure_of(cell)
            yield False, self._failure(failure, _pack.loads(data) if data else None)
            return
        results = _gateway.value_of(cell)
        cell.data = b""
        results.reverse()
        while results:  # none is kept once it was given
            ok, value = results.pop()
            yield (True, value) if ok else (False, self._failure(_FAILED, value))
            value = None

    def wait(self) -> None:
        """Until all items have been dealt with, whether or not anybody reads the results."""
        while True:
            with self._lock:
                batch = next(iter(self._under_way.values()), None)
                over = self._items is None or self._most is not None
            if batch is not None:
                self._link.wait(batch)
                self.ended(batch)
            elif over or self._link.lost:
                return
            else:
                self._feed()

    def close(self) -> None:
        """Send no more, and cancel what is under way."""
        with self._lock:
            was_open = self._items is not None or self._under_way
            self._items = None
            numbers = [b.cell.n for b in self._under_way.values()]
            self._under_way.clear()
        if numbers and self._link.lost is None:
            try:
                self._link.numbers(_gateway.CANCEL, numbers)
            except EngineError:
                pass
        if was_open and self._on_end is not None:
            self._on_end(self)


_FAILED = {"kind": "failed"}

"""Results that are to come.

`AsyncResult` is what every call gives that does not wait. It is a `concurrent.futures.Future`, so that
`concurrent.futures.wait`, `as_completed` and `asyncio.wrap_future` take it, and it knows of several tasks: a
call on four engines has one result, which is a list of four.
"""

from __future__ import annotations

import pickle
import struct
import threading
import time
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, Future, InvalidStateError
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from . import _gateway, _pack
from ._gateway import DONE, UNREAD, Cell, Link, More
from ._pack import PICKLE
from .errors import CompositeError, RemoteError, TaskAborted, elements_of, failure_to_error, join, original_exception

__all__ = ["AsyncHubResult", "AsyncMapResult", "AsyncResult", "ExecuteReply", "Metadata"]

# What to say while there is no gateway to ask.
_UNKNOWN = "nobody can be asked about it"


_loads = pickle.loads
_PLAIN = struct.pack("<II", _pack.MAGIC, 0)  # the beginning of a pack without buffers


class About:
    """What tasks of one call have in common, for people."""

    __slots__ = ("label", "method", "text", "follow", "after", "items", "original")

    def __init__(self, label: str, method: str = "apply", text: str = "", original: bool = False) -> None:
        self.label, self.method, self.text = label, method, text
        self.follow: List[str] = []
        self.after: List[str] = []
        self.items = 0  # how many calls a task of a map makes; 0 where it is the function's own
        self.original = original  # raise what the engine raised, not a RemoteError


class Metadata(Dict[str, Any]):
    """What is known of a task, as a dict with these keys, which are attributes too.

    msg_id, submitted, started, completed, received (datetimes), engine_id, engine_uuid, follow, after,
    status ("ok", "error", "aborted", or None), execute_input, execute_result, error, stdout, stderr, outputs, data, label.
    """

    KEYS = (
        "msg_id", "submitted", "started", "completed", "received", "engine_uuid", "engine_id", "follow", "after",
        "status", "execute_input", "execute_result", "error", "stdout", "stderr", "outputs", "data", "label",
    )  # fmt: skip

    def __init__(self, **values: Any) -> None:
        super().__init__({key: None for key in self.KEYS})
        super().update(follow=[], after=[], stdout="", stderr="", outputs=[], data={})
        super().update(values)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError("a task has no %r: %s" % (name, ", ".join(self.KEYS)))

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.KEYS:
            raise KeyError(name)
        super().__setitem__(name, value)


class ExecuteReply:
    """What a cell that was executed on an engine gave: `data` by MIME type, `execution_count`, and its input, `source`.

    It is shown as the engine would have shown it.
    """

    def __init__(self, reply: Optional[Dict[str, Any]], metadata: Metadata) -> None:
        self.metadata = metadata
        self.source: str = metadata["execute_input"] or ""
        self.data: Dict[str, Any] = dict(reply["data"]) if reply else {}
        self.execution_count: Optional[int] = reply["n"] if reply else None

    @property
    def execute_result(self) -> Optional[Dict[str, Any]]:
        """{"data", "execution_count"}, or None if the last line was no expression."""
        return {"data": self.data, "execution_count": self.execution_count} if self.data else None

    def __getitem__(self, key: str) -> Any:
        return self.metadata[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_repr_") or name.startswith("__"):
            raise AttributeError(name)
        if name in self.metadata:
            return self.metadata[name]
        raise AttributeError(name)

    def __repr__(self) -> str:
        text = self.data.get("text/plain", "")
        return "<ExecuteReply[%s]: %s>" % (self.execution_count, text if len(text) < 64 else text[:61] + "...")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Dict[str, Any]:
        return self.data or {"text/plain": repr(self)}

    def _repr_html_(self) -> Optional[str]:
        return self.data.get("text/html")

    def _repr_png_(self) -> Any:
        return self.data.get("image/png")


def _when(seconds: Optional[float]) -> Optional[datetime]:
    return datetime.fromtimestamp(seconds, timezone.utc) if seconds else None


# ---------------------------------------------------------------------------------------------
# What a cell holds


def _read(cell: Cell) -> None:
    """Decode what has come, once."""
    if cell.value is not UNREAD or cell.error is not None:
        return
    end, data = cell.end, cell.data
    assert end is not None
    try:
        if end[1] == DONE and end[2] == PICKLE and not end[3] and data[:8] == _PLAIN and cell.about.method == "apply":
            cell.value = _loads(memoryview(data)[16:])  # by far the most
        elif end[1] != DONE:
            cell.error = _error(cell)
        else:
            cell.value = _value(cell)
            if end[3] & _gateway.HAS_REF and type(cell) is Cell:
                cell.hold = _gateway.Lasting(cell)
    except Exception as e:
        error = RemoteError(type(e).__name__, "the result of %s cannot be read here: %s" % (cell.id, e), None, _info(cell))
        error.__cause__ = e
        cell.error = error
    cell.data = b""


def _value(cell: Cell) -> Any:
    value = _gateway.value_of(cell)
    method = cell.about.method
    if method == "execute":
        about = _metadata(cell)
        if value:
            about["execute_result"] = {"data": value["data"], "execution_count": value["n"]}
        return ExecuteReply(value, about)
    if method == "world" or (type(cell) is HubCell and cell.end[2] == _pack.CBOR):  # type: ignore[index]
        return [_pack.decode(v[0], v[1]) for v in value]
    return value


def _info(cell: Cell) -> Dict[str, Any]:
    engine = cell.end[4] if cell.end else -1
    return {"engine_id": engine if engine >= 0 else None, "engine_uuid": _uuid(cell, engine), "method": cell.about.method}


def _uuid(cell: Cell, engine: int) -> Optional[str]:
    return "%s.%d" % (cell.link.welcome.get("cluster") or "cluster", engine) if engine >= 0 else None


def _error(cell: Cell) -> BaseException:
    failure, rest = _gateway.failure_of(cell)
    found = None
    if rest or (cell.end and cell.end[3] & _gateway.HAS_REF):
        found = _gateway.value_of(cell, rest)
    if isinstance(found, list):  # of the ranks of a world
        return _of_ranks(failure, found, cell)
    if cell.about.original:
        return original_exception(failure, found)
    error = failure_to_error(failure, found)
    if found is None and getattr(error, "engine_info", None) is not None and cell.about.method == "execute":
        error.engine_info["method"] = "execute"  # type: ignore[attr-defined]
    return error


def _of_ranks(failure: Dict[str, Any], ranks: List[Any], cell: Cell) -> BaseException:
    """One error of all ranks that failed; those that only heard of another's failure come last."""
    first: List[BaseException] = []
    heard: List[BaseException] = []
    for rank, (codec, data, failed, how) in enumerate(ranks):
        if not failed:
            continue
        how = dict(how or failure, rank=rank)
        told = _pack.decode(codec, data) if codec and data else None
        (heard if how.get("kind") == "revoked" else first).append(failure_to_error(how, told if isinstance(told, dict) else None))
    if not first and not heard:
        return failure_to_error(failure)
    elist = [e for error in first + heard for e in elements_of(error)]
    return CompositeError("%d of %d ranks of %s failed" % (len(first) or len(heard), len(ranks), cell.about.label), elist)


def _metadata(cell: Cell) -> Metadata:
    end, about = cell.end, cell.about
    m = Metadata(msg_id=cell.id, submitted=_when(getattr(cell, "sent", None)), label=about.label)
    m.follow, m.after = list(about.follow), list(about.after)
    m.execute_input = about.text or None
    m.data = {}
    if cell.shown:
        m.stdout = b"".join(w[1] for w in cell.shown if w[0] == 1).decode("utf-8", "replace")
        m.stderr = b"".join(w[1] for w in cell.shown if w[0] == 2).decode("utf-8", "replace")
        m.outputs = [_output(w) for w in cell.shown if w[0] == "display" and w[1] != DATA]
        for w in cell.shown:
            if w[0] == "display" and w[1] == DATA:
                m.data.update(_pack.loads(w[2]))
    if end is None:
        target = cell.target
        m.engine_id = target if isinstance(target, int) else None
        return m
    m.received = _when(cell.received)
    m.engine_id = end[4] if end[4] >= 0 else None
    m.engine_uuid = _uuid(cell, end[4])
    m.started, m.completed = _when(end[6] / 1e9), _when(end[7] / 1e9)
    m.status = {_gateway.DONE: "ok", _gateway.STOPPED: "aborted"}.get(end[1], "error")
    return m


DATA = "application/x-tutti-data"  # what publish_data sends


def _output(what: Tuple[Any, ...]) -> Dict[str, Any]:
    _, mime, data, _ = what
    if mime == "application/x-mimebundle+pickle":
        return {"data": _pack.loads(data), "metadata": {}}
    binary = mime.startswith(("image/", "audio/", "video/", "application/octet")) and mime != "image/svg+xml"
    return {"data": {mime: data if binary else data.decode("utf-8", "replace")}, "metadata": {}}


class AsyncResult(Future):  # type: ignore[type-arg]
    """The result of a call that was made without waiting.

    `get()` waits and gives the value: a list with one for each engine where the call went to a list of engines. Errors
    of the engines are raised here, as RemoteError, or as CompositeError where there are several.

        ar = view.apply_async(f, 3)
        ar.ready(), ar.progress, ar.stdout, ar.engine_id
        ar.get(timeout=10)
    """

    __slots__ = ("_client", "_cells", "_left", "_state", "_more", "_fname", "_single", "_return_exceptions", "_link", "_cancelled", "_kept")

    def __init__(
        self,
        client: Any,
        cells: Sequence[Cell],
        fname: str = "unknown",
        single: bool = False,
        return_exceptions: bool = False,
        link: Optional[Link] = None,
    ) -> None:
        self._client = client
        self._cells = cells
        self._left = len(cells)
        self._state = "PENDING"
        self._more: Optional[More] = None
        self._fname = fname
        self._single = single
        self._return_exceptions = return_exceptions
        self._link = link
        self._cancelled = False

    # -- who owns what

    def _adopt(self) -> None:
        """Count the cells that have no end yet, and become their owner."""
        with _gateway._state:
            left = 0
            for cell in self._cells:
                owner = cell.owner
                if cell.end is not None or owner is self or type(owner) is _Several and self in owner.owners:
                    continue
                left += 1
                cell.owner = self if owner is None else _Several.of(owner, self)
            self._left = left
            self._state = "PENDING" if left else "FINISHED"

    def _finished(self) -> None:
        """Tell the standard library's waiters, and call callbacks. Called once or more often."""
        more = self._more
        if more is None or self._left:
            return
        with _gateway._state:
            callbacks, more.callbacks = more.callbacks, None
            condition = more.condition
        if condition is not None:
            with condition:
                for waiter in more.waiters or ():
                    waiter.add_result(self)
                condition.notify_all()
        for f in callbacks or ():
            self._call(f)

    def _call(self, f: Callable[[Any], Any]) -> None:
        try:
            f(self)
        except Exception:
            import logging

            logging.getLogger("concurrent.futures").exception("exception calling callback for %r", self)

    # -- what concurrent.futures looks at

    @property
    def _condition(self) -> threading.Condition:  # type: ignore[override]
        with _gateway._state:
            if self._more is None:
                self._more = More()
            if self._more.condition is None:
                self._more.condition = threading.Condition()
                if self._more.waiters is None:
                    self._more.waiters = []
            condition = self._more.condition
        if self._link is not None:
            self._link.flush()
        return condition

    @property
    def _waiters(self) -> List[Any]:  # type: ignore[override]
        with _gateway._state:
            if self._more is None:
                self._more = More()
            if self._more.waiters is None:
                self._more.waiters = []
            return self._more.waiters

    @property
    def _exception(self) -> Optional[BaseException]:  # type: ignore[override]
        return self.exception() if self.done() and not self._cancelled else None

    @property
    def _result(self) -> Any:  # type: ignore[override]
        return self.result() if self.done() and not self._cancelled and self.exception() is None else None

    # -- the standard library's methods

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        if self._left:
            link = self._link
            if link is not None and link._size:
                link.flush()
            return False
        return True

    def running(self) -> bool:
        """Whether it was given to the cluster and has not ended."""
        return not self.done()

    def cancelled(self) -> bool:
        """Whether `cancel()` ended it."""
        return self._cancelled and not self._left

    def cancel(self) -> bool:
        """Stop what has not ended, also what runs, and do not wait for it: `result()` raises CancelledError from now on.

        False if it had ended before.
        """
        if self.done():
            return self._cancelled
        self._cancelled = True
        self._stop()
        text = b'{"kind": "canceled", "text": "cancelled by its owner"}'
        data = len(text).to_bytes(4, "little") + text
        for cell in self._cells:
            if cell.end is None:
                cell.link._open.pop(cell.n, None)
                cell.link.settle(cell, (cell.n, _gateway.STOPPED, 0, _gateway.HAS_FAIL, -1, 0, 0, 0, len(data)), data)
        self._state = "CANCELLED_AND_NOTIFIED"
        for link in self._links():
            link._run_due()
        return True

    def result(self, timeout: Optional[float] = None) -> Any:
        """Wait, and give the value; as `get`, but raise CancelledError after `cancel()`."""
        if self._cancelled:
            raise CancelledError()
        return self.get(timeout)

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Wait, and give the error; None if there is none. TimeoutError after so many seconds."""
        if self._cancelled:
            raise CancelledError()
        self._await(timeout)
        if self._return_exceptions:
            return None
        return self._failure()

    def add_done_callback(self, fn: Callable[[Any], Any]) -> None:
        """Call fn(self) when it has ended, in a thread of the client's; at once if it has."""
        with _gateway._state:
            if self._left:
                if self._more is None:
                    self._more = More()
                if self._more.callbacks is None:
                    self._more.callbacks = []
                self._more.callbacks.append(fn)
                return
        self._call(fn)

    def set_running_or_notify_cancel(self) -> bool:
        """False if it was cancelled. It is the cluster that decides when it runs."""
        return not self._cancelled

    def set_result(self, result: Any) -> None:
        """InvalidStateError: the cluster sets the result."""
        raise InvalidStateError("the result of a task is set by the cluster")

    def set_exception(self, exception: Optional[BaseException]) -> None:
        """InvalidStateError: the cluster sets the error."""
        raise InvalidStateError("the error of a task is set by the cluster")

    # -- waiting

    def _links(self) -> Set[Link]:
        return {cell.link for cell in self._cells}

    def _wait(self, timeout: Optional[float], left: int = 0) -> bool:
        """Wait until no more than so many tasks are left."""
        if self._left <= left:
            return True
        link = self._link
        if link is not None:
            return link.wait(self, timeout, left)
        links = self._links()
        for link in links:
            link.flush()
        return next(iter(links)).wait(self, timeout, left, lead=False)

    def _await(self, timeout: Optional[float]) -> None:
        if self._left and not self._wait(timeout):
            raise TimeoutError(self._late(timeout))

    def _late(self, timeout: Optional[float]) -> str:
        text = "not ready after %g s" % max(0.0, timeout or 0.0)
        n = len(self._cells)
        if n > 1:
            text += ": %d of %d tasks have not ended" % (self._left, n)
        why = self.explain(timeout=2.0)
        return text + (": " + why if why else "")

    def explain(self, timeout: float = 5.0) -> str:
        """Why it is not ready: where its first unfinished tasks are, and what they wait for. Empty if it is ready."""
        lines = []
        for cell in self._cells:
            if cell.end is not None:
                continue
            if len(lines) == 3:
                lines.append("and %d more" % (self._left - 3))
                break
            try:
                text = cell.link.ask("explain", timeout, id=cell.id)[0].get("text") or "nothing is known of it"
                lines.append(text if cell.id in text else "task %s: %s" % (cell.id, text))
            except Exception as e:
                lines.append("task %s: %s (%s)" % (cell.id, _UNKNOWN, e))
        return "\n".join(lines)

    def wait(self, timeout: Optional[float] = -1, return_when: Optional[str] = None) -> Any:
        """Wait, at most `timeout` seconds (None and negative: for ever); whether it has ended.

        With `return_when` (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED) give two sets of AsyncResults, one for each
        task: those that have ended, and the others.
        """
        if return_when is None:
            return self._wait(timeout)
        if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
            raise ValueError("return_when=%r: one of ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION" % (return_when,))
        self._wait_until(timeout, return_when)
        parts = self.split()
        return {p for p in parts if p.done()}, {p for p in parts if not p.done()}

    def _wait_until(self, timeout: Optional[float], return_when: str) -> None:
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        while self._left:
            left = self._left
            if return_when == FIRST_COMPLETED and left < len(self._cells):
                return
            if return_when == FIRST_EXCEPTION and any(c.end is not None and c.end[1] != DONE for c in self._cells):
                return
            if not self._wait(None if end is None else end - time.monotonic(), 0 if return_when == ALL_COMPLETED else left - 1):
                return

    def wait_for_output(self, timeout: Optional[float] = -1) -> bool:
        """Wait until all that the tasks have printed is here. It comes before their ends."""
        return self._wait(timeout)

    def wait_for_send(self, timeout: Optional[float] = -1) -> None:
        """Wait until the arguments are out of this process's hands, and may be changed. TimeoutError.

        They are as soon as the call returns: what is sent is a copy.
        """
        for link in self._links():
            link.flush()

    @property
    def sent(self) -> bool:
        """Whether the arguments may be changed: always."""
        return True

    def wait_interactive(
        self, interval: float = 0.1, timeout: Optional[float] = -1, widget: Optional[bool] = None, return_when: str = ALL_COMPLETED
    ) -> None:
        """Wait, and show a bar meanwhile, drawn every `interval` seconds. `widget` is taken as it comes: a notebook has one."""
        from .progress import bar

        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        with bar(total=len(self._cells), desc=self._fname) as b:
            while not self._enough(return_when):
                if end is not None and time.monotonic() >= end:
                    break
                self._wait(interval if end is None else min(interval, max(0.0, end - time.monotonic())))
                b.set(self.progress)

    def _enough(self, return_when: str) -> bool:
        if return_when == FIRST_COMPLETED and self._left < len(self._cells):
            return True
        if return_when == FIRST_EXCEPTION and any(c.end is not None and c.end[1] != DONE for c in self._cells):
            return True
        return not self._left

    # -- the value

    def get(
        self, timeout: Optional[float] = None, return_exceptions: Optional[bool] = None, return_when: Optional[str] = None
    ) -> Any:
        """Wait, and give the value.

        TimeoutError, which says what is waited for, after `timeout` seconds (None and negative: never). With
        `return_exceptions` errors stand in the list of values, else they are raised. With `return_when` (FIRST_COMPLETED,
        FIRST_EXCEPTION) give what there is by then: the values of those tasks that have ended.
        """
        if return_when is not None and return_when != ALL_COMPLETED:
            self._wait_until(timeout, return_when)
            cells = [c for c in self._cells if c.end is not None]
            if not cells:
                raise TimeoutError(self._late(timeout))
        else:
            if self._left and not self._wait(timeout):
                raise TimeoutError(self._late(timeout))
            cells = self._cells  # type: ignore[assignment]
        keep = self._return_exceptions if return_exceptions is None else return_exceptions
        if self._single:
            value = _content(cells[0])
            if type(value) is not _Failed:
                return value
            if keep:
                return value.error
            raise self._raised(value.error)
        return self._gathered(cells, keep)

    def _gathered(self, cells: Sequence[Cell], keep: bool) -> Any:
        values = self._values(cells)
        if not keep:
            errors = [v.error for v in values if type(v) is _Failed]
            if errors:
                raise self._raised(join(errors, "%d of %d calls of %s failed" % (len(errors), len(values), self._fname)))
        return self._joined([v.error if type(v) is _Failed else v for v in values], cells)

    @staticmethod
    def _raised(error: BaseException) -> BaseException:
        # The same error may be raised more than once: its own traceback must not grow.
        error.__traceback__ = None
        return error

    def _values(self, cells: Sequence[Cell]) -> List[Any]:
        """The values of cells that have ended; _Failed for those that failed."""
        return [_content(cell) for cell in cells]

    def _joined(self, values: List[Any], cells: Sequence[Cell]) -> Any:
        """What the values of all cells make together."""
        return values

    def _failure(self) -> Optional[BaseException]:
        if self._single:
            value = _content(self._cells[0])
            return value.error if type(value) is _Failed else None
        errors = [v.error for v in self._values(self._cells) if type(v) is _Failed]
        if not errors:
            return None
        return join(errors, "%d of %d calls of %s failed" % (len(errors), len(self._cells), self._fname))

    def ready(self) -> bool:
        """Whether it has ended, well or not."""
        return self.done()

    def successful(self) -> bool:
        """Whether it ended without an error. RuntimeError if it has not ended."""
        if not self.done():
            raise RuntimeError("it is not ready: wait for it, or ask ready()")
        return self._cancelled is False and all(cell.end[1] == DONE for cell in self._cells if cell.end) and self._failure() is None

    @property
    def r(self) -> Any:
        """The value: waits."""
        return self.get()

    def get_dict(self, timeout: Optional[float] = -1) -> Dict[Any, Any]:
        """The values by engine. ValueError if an engine has two."""
        values = self.get(timeout)
        if self._single:
            values = [values]
        ids = [cell.end[4] if cell.end else None for cell in self._cells]
        if len(set(ids)) != len(ids):
            raise ValueError("an engine had several of these tasks: their values have no place in a dict by engine")
        if len(values) != len(ids):
            raise ValueError("the values are joined, and not one for each engine")
        return dict(zip(ids, values))

    @property
    def result_dict(self) -> Dict[Any, Any]:
        """The values by engine: waits."""
        return self.get_dict()

    # -- parts

    def __len__(self) -> int:
        return len(self._cells)

    def __bool__(self) -> bool:
        return True

    @property
    def msg_ids(self) -> List[str]:
        """The ids of its tasks, by which any client may ask for them: `client.get_result(id)`."""
        return [cell.id for cell in self._cells]

    @property
    def owner(self) -> bool:
        """Whether the tasks are this client's."""
        return self._client is not None and all(cell.link is getattr(self._client, "_link", None) for cell in self._cells)

    def __getitem__(self, key: Union[int, slice, str]) -> Any:
        if isinstance(key, str):
            values = [m[key] for m in self._all_metadata()]
            return values[0] if self._single else values
        if isinstance(key, int):
            self._need([self._cells[key]])
            return self._items([self._cells[key]])[0]
        if isinstance(key, slice):
            self._need(self._cells[key])
            return self._items(self._cells[key])
        raise TypeError("results are indexed by int, slice, or the name of a piece of metadata, not by %r" % (key,))

    def _need(self, cells: Iterable[Cell]) -> None:
        for cell in cells:
            while cell.end is None:
                self._wait(None, max(0, self._left - 1))

    def _items(self, cells: Sequence[Cell]) -> List[Any]:
        values = self._values(cells)
        if not self._return_exceptions:
            errors = [v.error for v in values if type(v) is _Failed]
            if errors:
                raise self._raised(join(errors, "%d of %d calls of %s failed" % (len(errors), len(values), self._fname)))
        return [v.error if type(v) is _Failed else v for v in values]

    def __iter__(self) -> Iterator[Any]:
        if self._single:
            value = self.get()
            try:
                it = iter(value)
            except TypeError:
                raise TypeError("the result of one call is not iterable: %s" % type(value).__name__) from None
            yield from it
            return
        for cell in self._cells:
            self._need((cell,))
            yield self._items((cell,))[0]

    def split(self) -> Tuple["AsyncResult", ...]:
        """One AsyncResult for each task."""
        return tuple(AsyncResult._of(self._client, [cell], self._fname, True) for cell in self._cells)

    @classmethod
    def _of(cls, client: Any, cells: Sequence[Cell], fname: str, single: bool) -> "AsyncResult":
        links = {cell.link for cell in cells}
        made = cls(client, list(cells), fname, single, link=links.pop() if len(links) == 1 else None)
        made._adopt()
        return made

    @classmethod
    def join(cls, *async_results: "AsyncResult") -> "AsyncResult":
        """One AsyncResult for the tasks of several."""
        if not async_results:
            raise TypeError("join takes at least one AsyncResult")
        cells = [cell for ar in async_results for cell in ar._cells]
        return AsyncResult._of(async_results[0]._client, cells, async_results[0]._fname, False)

    # -- stopping

    def _stop(self) -> None:
        mine: Dict[Link, List[int]] = {}
        for cell in self._cells:
            if cell.end is None:
                if type(cell) is Cell:
                    mine.setdefault(cell.link, []).append(cell.n)
                else:
                    cell.link.ask_later("cancel", ids=[cell.id])
        for link, numbers in mine.items():
            link.numbers(_gateway.CANCEL, numbers)

    def abort(self) -> None:
        """Stop the tasks that have not ended, also those that run: getting their values raises TaskAborted.

        RuntimeError if all have ended.
        """
        if self.done():
            raise RuntimeError("it has ended already: there is nothing to stop")
        self._stop()

    # -- what is known

    def _all_metadata(self) -> List[Metadata]:
        out = []
        for cell in self._cells:
            m = _metadata(cell)
            if cell.end is not None and (cell.end[1] != DONE or cell.about.method == "execute"):
                _read(cell)
                if cell.error is not None:
                    m["error"] = cell.error
                elif isinstance(cell.value, ExecuteReply):
                    m["execute_result"] = cell.value.execute_result
            out.append(m)
        return out

    @property
    def metadata(self) -> Any:
        """What is known of the task: a Metadata, or a list of them where there are several tasks."""
        all_ = self._all_metadata()
        return all_[0] if self._single else all_

    def __getattr__(self, name: str) -> Any:
        if name in Metadata.KEYS:
            return self[name]
        raise AttributeError("%r object has no attribute %r" % (type(self).__name__, name))

    def __dir__(self) -> List[str]:
        return sorted(set(super().__dir__()) | set(Metadata.KEYS))

    def __repr__(self) -> str:
        if self._left:
            n = len(self._cells)
            state = "pending" if n == 1 else "%d of %d pending" % (self._left, n)
        elif self._cancelled:
            state = "cancelled"
        else:
            state = "finished" if all(c.end is not None and c.end[1] == DONE for c in self._cells) else "failed"
        return "<%s(%s): %s>" % (type(self).__name__, self._fname, state)

    @property
    def progress(self) -> int:
        """How many of the tasks have ended."""
        if self._left:
            self.done()
        return len(self._cells) - self._left

    @property
    def elapsed(self) -> float:
        """Seconds since the first task was submitted, until the last one's result came."""
        began = min((cell.sent for cell in self._cells), default=0.0)
        if self._left:
            return time.time() - began
        return self.wall_time

    def _done_or_late(self) -> None:
        if not self.done():
            raise TimeoutError("it is not ready: this time is known when it is")

    @property
    def serial_time(self) -> float:
        """Seconds that the tasks have run in sum. TimeoutError if they have not all ended."""
        self._done_or_late()
        return sum((c.end[7] - c.end[6]) / 1e9 for c in self._cells if c.end)

    @property
    def wall_time(self) -> float:
        """Seconds from the first submission to the last result that came. TimeoutError if not all have ended."""
        self._done_or_late()
        if not self._cells:
            return 0.0
        return max(c.received for c in self._cells) - min(c.sent for c in self._cells)

    def timedelta(
        self, start: Any, end: Any, start_key: Callable[[Any], Any] = min, end_key: Callable[[Any], Any] = max
    ) -> float:
        """Seconds between two times of the metadata, or two lists of them, of which `start_key` and `end_key` choose one.

        ar.timedelta(ar.submitted, ar.received)
        """
        if not isinstance(start, datetime):
            start = start_key(start)
        if not isinstance(end, datetime):
            end = end_key(end)
        return (end - start).total_seconds()

    # -- what was printed and shown

    @contextmanager
    def stream_output(self) -> Iterator[None]:
        """Show what the tasks print and display as it comes, while the block runs."""
        from . import _outputs

        mine = {id(cell): cell for cell in self._cells}
        shown: Dict[int, int] = {}
        lock, screen = threading.Lock(), _outputs.Screen(not self._single)

        def catch_up(cell: Cell, what: Optional[Tuple[Any, ...]] = None) -> None:
            if id(cell) not in mine:
                return
            with lock:
                items = cell.shown or []
                for item in items[shown.get(id(cell), 0) :]:
                    screen.show(cell, item)
                shown[id(cell)] = len(items)

        links = self._links()
        for link in links:
            link._listeners.add(catch_up)
        try:
            for cell in self._cells:
                catch_up(cell)
            yield
        finally:
            for link in links:
                link._listeners.discard(catch_up)
            for cell in self._cells:
                catch_up(cell)
            with lock:
                screen.end()

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        """Show what the tasks have printed and displayed, and what their last expressions were: waits for it.

        groupby: "type" (all that was printed, then errors, then figures), "engine", or "order". `result_only` leaves out
        all but the values of the last expressions.
        """
        from . import _outputs

        self.wait_for_output()
        _outputs.display(self, groupby, result_only)

    def _ipython_display_(self) -> None:
        print(repr(self))


class _Failed:
    """Stands for the value of a task that failed."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Several:
    """The owner of a cell that several results count."""

    __slots__ = ("owners", "_left_", "_more", "_state")

    def __init__(self, owners: List[Any]) -> None:
        self.owners = owners
        self._left_ = 1
        self._state = "PENDING"
        self._more: Any = _Always(self)

    @staticmethod
    def of(first: Any, second: Any) -> "_Several":
        if type(first) is _Several:
            first.owners.append(second)
            return first
        return _Several([first, second])

    @property
    def _left(self) -> int:
        return self._left_

    @_left.setter
    def _left(self, left: int) -> None:
        # Called by the link where the cell ends, with its lock held.
        self._left_ = left
        for owner in self.owners:
            owner._left -= 1
            if not owner._left:
                owner._state = "FINISHED"

    def _finished(self) -> None:
        for owner in self.owners:
            owner._finished()


class _Always:
    """The More of a `_Several`: whoever waits for one of its owners is woken."""

    __slots__ = ("several",)
    each, callbacks, waiters = 1, (), ()
    condition = None

    def __init__(self, several: _Several) -> None:
        self.several = several

    @property
    def locks(self) -> List[Any]:
        out: List[Any] = []
        for owner in self.several.owners:
            more = owner._more
            if more is not None and (not owner._left or more.each):
                out += more.locks
                more.locks = []
        return out

    @locks.setter
    def locks(self, value: List[Any]) -> None:
        pass


class AsyncMapResult(AsyncResult):
    """The result of a map: iterating gives the values one by one, in order or as they come, and does not wait for the last.

    `get()` gives all of them, joined as `gather` joins: arrays into one array, else into one list.
    """

    __slots__ = ("_ordered", "_map")

    def __init__(
        self, client: Any, cells: Sequence[Cell], fname: str, ordered: bool = True, return_exceptions: bool = False,
        link: Optional[Link] = None, mapping: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(client, cells, fname, False, return_exceptions, link)
        self._ordered = ordered
        self._map = mapping  # how the parts are joined, None for a list of what they are

    def _values(self, cells: Sequence[Cell]) -> List[Any]:
        out: List[Any] = []
        for cell in cells:
            if cell.value is UNREAD:
                _read(cell)
            if cell.error is not None:
                out += [_Failed(cell.error)] * max(1, cell.about.items and cell.target or 1)
            elif cell.about.items:
                out += _unbatched(cell.value, cell)
            else:
                out.append(cell.value)
        return out

    def _joined(self, values: List[Any], cells: Sequence[Cell]) -> Any:
        return values if self._map is None or self._return_exceptions else self._map(values)

    def __getitem__(self, key: Union[int, slice, str]) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        if isinstance(key, slice):
            return self.get()[key]
        if isinstance(key, int):
            if self._map is None and not any(c.about.items for c in self._cells):
                return super().__getitem__(key)
            return self.get()[key]
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        if self._ordered:
            for cell in self._cells:
                self._need((cell,))
                yield from self._pieces(cell)
            return
        for cell in self._as_come():
            yield from self._pieces(cell)

    def _pieces(self, cell: Cell) -> Iterator[Any]:
        for value in self._values((cell,)):
            if type(value) is _Failed:
                if not self._return_exceptions:
                    raise self._raised(value.error)
                yield value.error
            elif self._map is not None and not cell.about.items:
                yield from _spread(value)
            else:
                yield value

    def _as_come(self) -> Iterator[Cell]:
        waiting = list(self._cells)
        while waiting:
            left = self._left
            come = [c for c in waiting if c.end is not None]
            if come:
                yield from sorted(come, key=lambda c: c.received)
                waiting = [c for c in waiting if c.end is None or c not in come] if len(come) < len(waiting) else []
                continue
            self._wait(None, max(0, left - 1))

    def __len__(self) -> int:
        return len(self._cells)


def _spread(value: Any) -> Iterator[Any]:
    try:
        return iter(value)
    except TypeError:
        return iter((value,))


def _content(cell: Cell) -> Any:
    """The value of a cell that has ended, or a _Failed. Of a batch the list of its values, or one error for all of its errors."""
    if cell.value is UNREAD:
        _read(cell)
    if cell.error is not None:
        return _Failed(cell.error)
    if not cell.about.items:
        return cell.value
    values = _unbatched(cell.value, cell)
    errors = [v.error for v in values if type(v) is _Failed]
    return _Failed(join(errors, "%d of %d calls of %s failed" % (len(errors), len(values), cell.about.label))) if errors else values


def _unbatched(batch: Any, cell: Cell) -> List[Any]:
    """The values of a batch."""
    out: List[Any] = []
    for ok, value in batch:
        if ok:
            out.append(value)
            continue
        failure = {"kind": "failed", "text": value.get("evalue", ""), "engine": cell.end[4] if cell.end else None}
        make = original_exception if cell.about.original else failure_to_error
        out.append(_Failed(make(failure, value)))
    return out


class AsyncHubResult(AsyncResult):
    """Results of tasks that another client submitted, or an earlier one: the cluster is asked for them.

    It is used as an AsyncResult. What the tasks printed is read from the cluster when it is looked at.
    """

    __slots__ = ()

    def _all_metadata(self) -> List[Metadata]:
        out = super()._all_metadata()
        for cell, m in zip(self._cells, out):
            if cell.end is None:
                continue
            for stream, key in ((1, "stdout"), (2, "stderr")):
                if not m[key]:
                    m[key] = _printed(cell, stream)
        return out


def _printed(cell: Cell, stream: int) -> str:
    """What the cluster has kept of what a task has printed."""
    pieces, at = [], 0
    try:
        while True:
            said, data = cell.link.ask("output", 10.0, id=cell.id, stream=stream, offset=at)
            pieces.append(data)
            at = said.get("from", at) + len(data)
            if not data or at >= said.get("end", 0):
                break
    except Exception:  # nothing is kept of it
        pass
    return b"".join(pieces).decode("utf-8", "replace")


class HubCell(Cell):
    """The cell of a task that this connection has not submitted."""

    __slots__ = ("name",)

    @property
    def id(self) -> str:
        """Its name for everybody."""
        return self.name

    def ask(self, link: Link, name: str) -> None:
        """Ask for its end."""
        self.link, self.name = link, name
        self.sent = time.time()
        self.received = 0.0
        link.ask_later("outcome", self._answered, id=name)

    def _answered(self, a: Any) -> None:
        if a.ok:
            end, data = _gateway.read_end(a.data)
        else:
            import json

            text = json.dumps(a.text).encode()
            data = len(text).to_bytes(4, "little") + text
            end = (0, _gateway.ERRORED, 0, _gateway.HAS_FAIL, -1, 0, 0, 0, len(data))
        self.link.settle(self, end, data)


def explain(ar: AsyncResult, timeout: float = 5.0) -> str:
    """What a result waits for: a sentence for each of its tasks that has not ended."""
    return ar.explain(timeout)

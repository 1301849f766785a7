"""Status, Message and Request."""

from __future__ import annotations

import time

from ._error import Error
from ._load import ext
from ._types import ANY_SOURCE, ANY_TAG, BOTTOM, DATATYPES, IN_PLACE, PROC_NULL, UNDEFINED, Datatype

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Sequence

BYTE = DATATYPES["BYTE"]


class Status(ext.Status):
    """What was received, or found by a probe: source, tag, error."""

    def __init__(self, status: Status | None = None) -> None:
        self.source, self.tag = ANY_SOURCE, ANY_TAG
        if status is not None:
            _copy(status, self)

    def Get_source(self) -> int:
        """The rank that sent it."""
        return self.source

    def Get_tag(self) -> int:
        """The tag it was sent with."""
        return self.tag

    def Get_error(self) -> int:
        """The error class, 0 if there was no error."""
        return self.error

    def Set_source(self, source: int) -> None:
        """Changes the source."""
        self.source = source

    def Set_tag(self, tag: int) -> None:
        """Changes the tag."""
        self.tag = tag

    def Set_error(self, error: int) -> None:
        """Changes the error class."""
        self.error = error

    def Get_count(self, datatype: Datatype = BYTE) -> int:
        """How many elements of a type came; UNDEFINED if the length is not a multiple."""
        size = datatype.Get_size()
        if datatype._value:
            size = 16  # pairs travel as a value and an index of 8 bytes each
        return self._bytes // size if size and self._bytes % size == 0 else UNDEFINED

    Get_elements = Get_count

    def Is_cancelled(self) -> bool:
        """Whether the receive was taken back."""
        return bool(self._cancelled)

    @property
    def count(self) -> int:
        """The length in bytes."""
        return self._bytes

    @property
    def cancelled(self) -> bool:
        """Whether the receive was taken back."""
        return bool(self._cancelled)


def _copy(a: Any, b: Any) -> None:
    b.source, b.tag, b.error, b._cancelled, b._bytes = a.source, a.tag, a.error, a._cancelled, a._bytes


class Message(ext.Message):
    """A message that a probe has set aside: only its recv or Recv gets it."""

    _comm: Any = None
    _object: Any = None  # (object,) where it was received by the probe of an object

    def recv(self, status: Status | None = None) -> Any:
        """The object that was sent."""
        if self._object is None:
            self._take()
        obj, = self._object
        if status is not None:
            status.source, status.tag, status._bytes = self._source, self._tag, self._bytes
        return obj

    def _take(self) -> None:
        """Receives the object now, so that its parts do not lie about."""
        data = bytearray(self._bytes)
        source = self._source
        self.Recv(data)
        self._object = (None if source < 0 else self._comm._decode(data),)

    def Irecv(self, buf: Any) -> Request:
        """Receives into a buffer; the request is done."""
        self.Recv(buf)
        return Request()

    irecv = recv


class Request(ext.Request):
    """An operation on buffers under way. The buffers must not be touched until it is done."""

    def Wait(self, status: Status | None = None) -> bool:
        """Waits until it is done. Gives True."""
        return self._wait(status)

    def Test(self, status: Status | None = None) -> bool:
        """Says whether it is done."""
        return self._test(status)

    def wait(self, status: Status | None = None) -> Any:
        """Waits, and gives the object received; None of other operations."""
        self._wait(status)
        return None

    def test(self, status: Status | None = None) -> tuple[bool, Any]:
        """(done, the object received)."""
        return self._test(status), None

    def Cancel(self) -> None:
        """Takes a receive back that no message has matched yet. Wait must be called all the same."""
        self._cancel()

    cancel = Cancel

    def Free(self) -> None:
        """Forgets the request: the operation goes on to its end."""

    def Get_status(self, status: Status | None = None) -> bool:
        """Test that may be followed by another Test or Wait."""
        return self._test(status)

    @staticmethod
    def Waitall(requests: Sequence[Any], statuses: list[Status] | None = None) -> bool:
        """Waits for all; then raises the first error there was."""
        Request.waitall(requests, statuses)
        return True

    @staticmethod
    def waitall(requests: Sequence[Any], statuses: list[Status] | None = None) -> list[Any]:
        """Waits for all, and gives what each received."""
        first: Error | None = None
        out: list[Any] = []
        for i, r in enumerate(requests):
            st = Status()
            try:
                out.append(r.wait(st))
            except Error as e:
                first, st.error = first or e, e.code
                out.append(None)
            _note(statuses, i, st)
        if first is not None:
            raise first
        return out

    @staticmethod
    def Testall(requests: Sequence[Any], statuses: list[Status] | None = None) -> bool:
        """Says whether all are done; only then are statuses given."""
        return Request.testall(requests, statuses)[0]

    @staticmethod
    def testall(requests: Sequence[Any], statuses: list[Status] | None = None) -> tuple[bool, list[Any] | None]:
        """(all are done, what each received)."""
        if not all([r._done() for r in requests]):
            return False, None
        return True, Request.waitall(requests, statuses)

    @staticmethod
    def Waitany(requests: Sequence[Any], status: Status | None = None) -> int:
        """Waits until one is done that nobody has heard of; its index, UNDEFINED if there is none."""
        return Request.waitany(requests, status)[0]

    @staticmethod
    def waitany(requests: Sequence[Any], status: Status | None = None) -> tuple[int, Any]:
        """(index, what it received)."""
        return _one(requests, status, True)

    @staticmethod
    def Testany(requests: Sequence[Any], status: Status | None = None) -> tuple[int, bool]:
        """(index, whether one is done)."""
        i, flag, _ = Request.testany(requests, status)
        return i, flag

    @staticmethod
    def testany(requests: Sequence[Any], status: Status | None = None) -> tuple[int, bool, Any]:
        """(index, whether one is done, what it received)."""
        i, got = _one(requests, status, False)
        return (UNDEFINED, False, None) if i == -1 else (i, True, got)

    @staticmethod
    def Waitsome(requests: Sequence[Any], statuses: list[Status] | None = None) -> list[int] | None:
        """Waits until at least one is done: the indices of all that are; None if there are none."""
        return Request.waitsome(requests, statuses)[0]

    @staticmethod
    def waitsome(requests: Sequence[Any], statuses: list[Status] | None = None) -> tuple[list[int] | None, list[Any] | None]:
        """(indices, what they received)."""
        return _some(requests, statuses, True)

    @staticmethod
    def Testsome(requests: Sequence[Any], statuses: list[Status] | None = None) -> list[int] | None:
        """The indices of those that are done; None if there are none that go on."""
        return Request.testsome(requests, statuses)[0]

    @staticmethod
    def testsome(requests: Sequence[Any], statuses: list[Status] | None = None) -> tuple[list[int] | None, list[Any] | None]:
        """(indices, what they received)."""
        return _some(requests, statuses, False)

    _heard = False  # somebody was told that it is done

    def _done(self) -> bool:
        if not self._over:
            ext.Request._any([self], False)
        return self._over


def _note(statuses: list[Status] | None, i: int, st: Status) -> None:
    if statuses is None:
        return
    if i < len(statuses):
        _copy(st, statuses[i])
    else:
        statuses.append(st)


def _fresh(requests: Sequence[Any]) -> list[int]:
    """The indices of requests that nobody was told to be done."""
    return [i for i, r in enumerate(requests) if r is not None and not r._heard]


def _one(requests: Sequence[Any], status: Status | None, block: bool) -> tuple[int, Any]:
    fresh = _fresh(requests)
    if not fresh:
        return UNDEFINED, None
    plain = all(type(requests[i]) is Request for i in fresh)
    pause = Pause()
    while True:
        for i in fresh:
            if requests[i]._done():
                requests[i]._heard = True
                return i, requests[i].wait(status)
        if not block:
            return -1, None
        if plain:
            ext.Request._any([requests[i] for i in fresh], True)
        else:
            pause()


def _some(requests: Sequence[Any], statuses: list[Status] | None, block: bool) -> tuple[list[int] | None, list[Any] | None]:
    if not _fresh(requests):
        return None, None
    out: list[int] = []
    got: list[Any] = []
    st = Status()
    i, obj = _one(requests, st, block)
    while i >= 0:
        _note(statuses, len(out), st)
        out.append(i)
        got.append(obj)
        st = Status()
        i, obj = _one(requests, st, False)
    return out, got


class Pause:
    """Lets others run between two looks at requests of several kinds, longer and longer."""

    turn = 0

    def __call__(self) -> None:
        self.turn += 1
        time.sleep(0 if self.turn < 500 else 0.0005)


class ObjectSend(Request):
    """The sending of an object: its head, and its parts if they go apart."""

    def __init__(self, comm: Any, requests: list[Any], keep: Any) -> None:
        self._comm = comm
        self._all = requests
        self._keep = keep

    @property
    def _over(self) -> bool:
        return all([r._over for r in self._all])

    def _done(self) -> bool:
        return all([r._done() for r in self._all])

    def _wait(self, status: Status | None = None) -> bool:
        pause = Pause()
        while self._comm._pending and not self._done():
            progress(self._comm)  # two ranks may both have begun to receive, and now send
            pause()
        for r in self._all:
            r._wait(status)
        self._keep = None
        return True

    def _test(self, status: Status | None = None) -> bool:
        return self._done() and self._wait(status)

    def _cancel(self) -> None:
        """A send cannot be taken back."""


class ObjectRecv(Request):
    """The receive of an object. Of several on one communicator that fit a message, the one begun first gets it.

    Messages are matched when one of them is waited for or tested, and in recv."""

    def __init__(self, comm: Any, source: int, tag: int) -> None:
        self._comm, self._source, self._tag = comm, source, tag
        self._result: tuple[Any] | None = None
        self._error: BaseException | None = None
        self._st = Status()
        comm._pending.append(self)
        comm._pending_count += 1

    @property
    def _over(self) -> bool:
        return self._result is not None or self._error is not None

    def _done(self) -> bool:
        if not self._over:
            progress(self._comm)
        return self._over

    def _fits(self, message: Message) -> bool:
        if message._source == PROC_NULL:
            return self._source == PROC_NULL
        return self._source in (ANY_SOURCE, message._source) and self._tag in (ANY_TAG, message._tag)

    def _take(self, message: Message) -> None:
        """Receives a message that fits."""
        try:
            self._st.source, self._st.tag, self._st._bytes = message._source, message._tag, message._bytes
            message._comm = self._comm
            self._result = (message.recv(),)
        except BaseException as e:
            self._error = e
            if not isinstance(e, Exception):
                raise

    def _wait(self, status: Status | None = None) -> bool:
        pending: list[ObjectRecv] = self._comm._pending
        pause = Pause()
        while not self._done():
            if pending and pending[0] is self and len(pending) == 1:
                self._take(self._comm._mprobe(self._source, self._tag))
                drop(self)
            else:
                pause()
        if status is not None:
            _copy(self._st, status)
        if self._error is not None:
            raise self._error
        return True

    def wait(self, status: Status | None = None) -> Any:
        self._wait(status)
        return self._result[0] if self._result else None

    def _test(self, status: Status | None = None) -> bool:
        return self._done() and self._wait(status)

    def test(self, status: Status | None = None) -> tuple[bool, Any]:
        if not self._done():
            return False, None
        return True, self.wait(status)

    def _cancel(self) -> None:
        if not self._over and self in self._comm._pending:
            drop(self)
            self._result = (None,)
            self._st._cancelled = 1


def progress(comm: Any) -> None:
    """Gives messages that are here to the receives of objects that were begun, the earliest first."""
    for r in list(comm._pending):
        if r._over:
            continue
        m = comm._improbe(r._source, r._tag)
        if m is None:
            continue
        # It may have come after an earlier receive was looked at that fits it too.
        first = next(p for p in comm._pending if p._fits(m))
        drop(first)
        first._take(m)


def drop(r: ObjectRecv) -> None:
    """Takes a receive out of those that wait for a message."""
    if r in r._comm._pending:
        r._comm._pending.remove(r)
        r._comm._pending_count -= 1


REQUEST_NULL = Request()
REQUEST_NULL._heard = True
MESSAGE_NO_PROC = Message()
MESSAGE_NULL = Message()
ext.use(Error, Request, Message, IN_PLACE, BOTTOM)

"""The connection to the gateway, the local process that is the cluster's client for us.

A `Link` is one connection. Tasks are submitted by it with a number of their own, and each end that comes back
is put into the `Cell` that waits for it. Frames are those of internal/gateway.

Who writes: the thread that submits writes at once when nothing is outstanding; else what it submits gathers, and
goes when there is enough of it, when anybody waits, or after half a millisecond. Who reads: the thread that
waits, where it can, so that a round trip has no switch of threads; else a thread of the link's own.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import _signal  # without the enumerations that signal makes of its results
import socket
import struct
import threading
import time
import weakref
from _thread import allocate_lock, get_ident, start_new_thread
from collections import OrderedDict, deque
from contextlib import contextmanager
from typing import Any, Callable, Deque, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from . import _control, _pack
from ._starting import _children, _connect, _line, find_binary, join_cluster, runtime_folder, start_gateway  # noqa: F401
from .errors import EngineError, failure_to_error

__all__: List[str] = []

WORK, DROPWORK, TASKS, TASK, CANCEL, FORGET, ASK, BYE = 2, 3, 4, 5, 6, 7, 8, 9
OUTCOMES, WELCOME, FAIL, OUTPUT, ANSWER, DISPLAY, EVENT, NOTICE = range(32, 40)
DONE, ERRORED, STOPPED = 4, 5, 6
HAS_REF, HAS_FAIL = 1, 2

_frame = struct.Struct("<IHH")
_end = struct.Struct("<QBBHiIqqI")
_tasks = struct.Struct("<IHHIIQ")
_answer = struct.Struct("<QBI")

FLUSH_BYTES = 64 << 10
FLUSH_TIME = 0.0005  # s
MAX_WORKS = 4096
KEEP_BYTES = 8 << 20  # of what was submitted last, so that it can be submitted again
ROOM = 1 << 18

_state = allocate_lock()  # guards who waits for what, in all links
_main = threading.main_thread().ident
_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0x40)


class More:
    """What a thing that is waited for has in addition while somebody waits."""

    __slots__ = ("locks", "each", "callbacks", "waiters", "condition")

    def __init__(self) -> None:
        self.locks: List[Any] = []  # of threads that wait, locked
        self.each = 0  # how many of these want to hear of each part
        self.callbacks: Optional[List[Any]] = None
        self.waiters: Optional[List[Any]] = None  # those of concurrent.futures
        self.condition: Optional[threading.Condition] = None


class Cell:
    """One task: where its end will be put.

    end is the struct of the outcome (number, state, codec, flags, engine, attempt, started, finished, length), None until
    it comes; data its payload; owner who counts it, until then.
    """

    __slots__ = ("n", "link", "owner", "sent", "received", "end", "data", "hold", "shown", "target", "value", "error", "about", "__weakref__")

    def __init__(self, owner: Any, target: Any, about: Any) -> None:
        self.owner = owner
        self.target = target
        self.about = about
        self.end: Optional[Tuple[int, ...]] = None
        self.shown: Optional[List[Tuple[Any, ...]]] = None
        self.hold: Any = None
        self.n = 0
        self.value: Any = UNREAD
        self.error: Optional[BaseException] = None

    @property
    def id(self) -> str:
        """Its name for everybody."""
        return "%d.%d" % (self.link.number, self.n)


UNREAD = object()  # the value of a cell that nobody has looked at


class Lasting:
    """A large result that was read: the cluster gives it up when this goes, with the cell that holds it."""

    __slots__ = ("link", "n")

    def __init__(self, cell: Cell) -> None:
        self.link, self.n = cell.link, cell.n
        self.link.ready_to_flush()

    def __del__(self) -> None:
        self.link.give_up(self.n)


class Answer:
    """A question that waits for its answer."""

    __slots__ = ("_left", "_more", "ok", "text", "data", "then")

    def __init__(self) -> None:
        self._left = 1
        self._more: Optional[More] = None
        self.ok = False
        self.text: Dict[str, Any] = {}
        self.data = b""
        self.then: Optional[Callable[["Answer"], None]] = None


# ---------------------------------------------------------------------------------------------
# Signals: an exception of a handler must not come between the bytes that were read and what
# is known of them.

_guarded = tuple(getattr(_signal, name) for name in ("SIGINT", "SIGALRM", "SIGTERM") if hasattr(_signal, name))
_getsignal, _setsignal = _signal.getsignal, _signal.signal
_Shield = Optional[Tuple[List[Tuple[int, Any]], List[Tuple[int, Any]]]]


def shield() -> _Shield:
    """Put handlers of signals off, in the main thread."""
    if get_ident() != _main:
        return None
    caught: List[Tuple[int, Any]] = []
    held: List[Tuple[int, Any]] = []
    for number in _guarded:
        handler = _getsignal(number)
        if callable(handler):
            held.append((number, handler))
            _setsignal(number, lambda s, f: caught.append((s, f)))
    return held, caught


def unshield(saved: _Shield) -> None:
    """Put them back; those that were put off are called."""
    if saved is None:
        return
    held, caught = saved
    for number, handler in held:
        _setsignal(number, handler)
    if caught:
        handlers = dict(held)
        for number, frame in caught:
            handlers[number](number, frame)


# ---------------------------------------------------------------------------------------------
# The connection


class Link:
    """One connection to a gateway, which is one client of the cluster, with a number."""

    def __init__(self, path: str, name: str = "", timeout: Optional[float] = 10.0) -> None:
        self.path = path
        self._sock = _connect(path, timeout)
        try:
            self._have = b""
            self.welcome = self._greet(name, timeout)
        except BaseException:
            self._sock.close()
            raise
        self.number: int = self.welcome["client"]
        self.own: bool = bool(self.welcome.get("own"))
        self.engines: List[int] = sorted(self.welcome.get("engines") or ())
        self.on_change: Callable[["Link"], None] = lambda link: None
        self.on_lost: Callable[["Link", str], None] = lambda link, why: None
        self.lost: Optional[str] = None  # why it has ended
        self._sending = threading.RLock()  # guards what follows
        self._closed = False
        self._first = 1  # the number of the first task of the run that gathers
        self._run: List[bytes] = []
        self._run_work = 0
        self._frames: List[bytes] = []
        self._out = b""  # what the socket did not take
        self._size = 0
        self._flushed = 0.0
        self._together = False  # more comes before it is to be sent
        self._works: "OrderedDict[Any, int]" = OrderedDict()
        self._work_no = 0
        self._asked = 0
        self._drops = 0  # works that the gateway was told to forget
        self._flusher: Any = None
        self._recent: Deque[Tuple[int, int, List[bytes], int]] = deque()  # what was submitted last: first, work, payloads, bytes
        self._recent_size = 0
        self._gone: Deque[int] = deque()  # tasks whose results nobody will ask for again
        # What waits for an end.
        self._open: Dict[int, Cell] = {}
        self._asks: Dict[int, Answer] = {}
        # Reading.
        self._reading = allocate_lock()
        self._poll = select.poll()
        self._poll.register(self._sock, select.POLLIN)
        self._due: Deque[Any] = deque()  # things that are done and have more
        self._followers = 0  # threads that wait and do not read; guarded by _state
        self._want = False  # one of them would rather read by itself
        self._led = 0
        self._nap = allocate_lock()
        self._nap.acquire()
        self._listeners: Set[Callable[[Cell, Tuple[Any, ...]], None]] = set()
        self._blobs: Any = None
        self._blobs_lock = threading.Lock()
        self._pid = os.getpid()
        _links.add(self)
        threading.Thread(target=_background, args=(self,), name="tutti-reader", daemon=True).start()

    # -- meeting

    def _greet(self, name: str, timeout: Optional[float]) -> Dict[str, Any]:
        self._sock.settimeout(timeout)
        body = json.dumps(_control.hello(name)).encode()
        try:
            self._sock.sendall(_frame.pack(len(body), _control.HELLO, 0) + body)
            length, kind, _ = _frame.unpack(self._exactly(_frame.size))
            said = json.loads(self._exactly(length))
        except socket.timeout:
            raise TimeoutError("the gateway at %s did not answer within %g s" % (self.path, timeout or 0)) from None
        except (ValueError, struct.error) as e:
            raise EngineError("what answers at %s is no gateway: %s" % (self.path, e)) from None
        except OSError as e:
            raise EngineError("the gateway at %s has gone: %s" % (self.path, e)) from None
        if kind != WELCOME:
            raise failure_to_error(said)
        self._sock.settimeout(None)
        return said

    def _exactly(self, n: int) -> bytes:
        out = b""
        while len(out) < n:
            data = self._sock.recv(n - len(out))
            if not data:
                raise EngineError("the gateway at %s has gone" % self.path)
            out += data
        return out

    # -- submitting

    def work(self, key: Any, make: Callable[[], Tuple[Dict[str, Any], bytes]]) -> int:
        """The number of a work. make gives its JSON and code, and is called where the gateway does not know it."""
        with self._sending:
            no = self._works.get(key)
            if no is not None:
                return no
            text, code = make()
            self._work_no = no = self._work_no + 1
            data = json.dumps(text).encode()
            self._add(WORK, struct.pack("<II", no, len(data)), data, code)
            self._works[key] = no
            if len(self._works) > MAX_WORKS:
                _, old = self._works.popitem(last=False)
                self._drops += 1
                self._add(DROPWORK, struct.pack("<I", old))
            return no

    def submit(self, no: int, payload: bytes, cell: Cell) -> None:
        """Submit a task with one argument."""
        cell.link = self
        now = time.time()
        cell.sent = now
        with self._sending:
            if self.lost is not None:
                self.refuse()
            run = self._run
            if no != self._run_work or len(run) > 0xFFFF:
                self._seal()
                self._run_work, run = no, self._run
            n = cell.n = self._first + len(run)
            self._open[n] = cell
            run.append(payload)  # only now it counts: an interrupt before leaves nothing behind
            size = self._size = self._size + len(payload) + 4
            if size > FLUSH_BYTES or now - self._flushed > FLUSH_TIME or len(self._open) == 1:
                self._flush(now)
            elif self._flusher is None or self._flusher._asleep:
                self._flush_soon()

    def submit_many(self, no: int, payloads: Iterable[bytes], cells: Iterable[Cell]) -> None:
        """Submit tasks of one work, with one argument each; payloads may be a generator, and long."""
        for payload, cell in zip(payloads, cells):
            self.submit(no, payload, cell)

    def submit_task(self, no: int, text: Dict[str, Any], payload: List[bytes], cell: Cell) -> None:
        """Submit a task with dependencies, or several arguments: the JSON of a TASK without `work` and `n`."""
        cell.link = self
        cell.sent = time.time()
        with self._sending:
            if self.lost is not None:
                self.refuse()
            self._seal()
            n = cell.n = self._first
            data = json.dumps(dict(text, work=no, n=n)).encode()
            self._first = n + 1
            self._open[n] = cell
            self._add(TASK, struct.pack("<I", len(data)), data, *payload)
            if self._size > FLUSH_BYTES or len(self._open) == 1:
                self._flush(cell.sent)
            else:
                self._flush_soon()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is submitted by this thread meanwhile is sent together, as far as it is short: no engine's task waits behind
        the work that the first one makes."""
        with self._sending:
            was, self._together = self._together, True
            before = len(self._open)
            try:
                yield
            finally:
                self._together = was
                if not was and self._size:
                    if before:
                        self._flush_soon()
                    else:
                        self._flush(time.time())

    def refuse(self) -> None:
        """Raise what says that there is no connection any more."""
        raise EngineError(self.lost or "the client is closed")

    def numbers(self, kind: int, numbers: Iterable[int]) -> None:
        """Send a CANCEL or FORGET."""
        body = b"".join(n.to_bytes(8, "little") for n in numbers)
        if body:
            with self._sending:
                self._add(kind, body)
                self.flush()

    def ask(self, verb: str, timeout: Optional[float] = None, **question: Any) -> Tuple[Dict[str, Any], bytes]:
        """Ask, and wait for the answer: its JSON, and its bytes."""
        a = self.ask_later(verb, **question)
        if not self.wait(a, timeout):
            raise TimeoutError("the gateway has not answered %r within %g s" % (verb, timeout or 0))
        return self.answer(a)

    def ask_later(self, verb: str, then: Optional[Callable[[Answer], None]] = None, **question: Any) -> Answer:
        """Ask; `then` is called with the answer, by whoever reads it."""
        a = Answer()
        a.then = then
        body = json.dumps(dict(question, verb=verb)).encode()
        with self._sending:
            if self.lost is not None:
                self.refuse()
            self._asked = seq = self._asked + 1
            self._asks[seq] = a
            self._add(ASK, struct.pack("<Q", seq), body)
            self.flush()
        return a

    @staticmethod
    def answer(a: Answer) -> Tuple[Dict[str, Any], bytes]:
        """What was answered; an error is raised."""
        if not a.ok:
            raise failure_to_error(a.text)
        return a.text, a.data

    # -- writing

    def _add(self, kind: int, *parts: bytes) -> None:
        saved = shield()
        try:
            self._seal(True)
            frame = _frame.pack(sum(map(len, parts)), kind, 0) + b"".join(parts)
            self._frames.append(frame)
            self._size += len(frame)
        finally:
            unshield(saved)

    def _seal(self, shielded: bool = False) -> None:
        """Make a frame of the run that gathers, and one of what is given up."""
        run = self._run
        if run:
            self._seal_run(run, shielded)
        if self._gone:
            gone = [self._gone.popleft() for _ in range(len(self._gone))]
            frame = _frame.pack(8 * len(gone), FORGET, 0) + struct.pack("<%dQ" % len(gone), *gone)
            self._frames.append(frame)
            self._size += len(frame)

    def _seal_run(self, run: List[bytes], shielded: bool) -> None:
        n = len(run)
        lengths = list(map(len, run))
        head = _tasks.pack(16 + 4 * n + sum(lengths), TASKS, 0, self._run_work, n, self._first)
        frame = head + struct.pack("<%dI" % n, *lengths) + b"".join(run)
        saved = None if shielded else shield()
        try:
            self._frames.append(frame)
            self._recent.append((self._first, self._run_work, run, len(frame)))
            self._first += n
            self._run = []
        finally:
            unshield(saved)
        self._recent_size += len(frame)
        while self._recent_size > KEEP_BYTES and len(self._recent) > 1:
            self._recent_size -= self._recent.popleft()[3]

    def submitted(self, n: int) -> Tuple[int, bytes]:
        """The work and argument of one of the last tasks; LookupError for others."""
        with self._sending:
            self._seal()
            for first, no, run, _ in self._recent:
                if first <= n < first + len(run) and no in self._works.values():
                    return no, run[n - first]
        raise LookupError(n)

    @property
    def last(self) -> int:
        """The number of the task that was submitted last, 0 before the first."""
        return self._first + len(self._run) - 1

    def flush(self) -> None:
        """Send what has gathered."""
        if self._run or self._frames or self._out or self._gone:
            with self._sending:
                self._flush(time.time())

    def _flush(self, now: float) -> None:
        if self._together and self._size < FLUSH_BYTES:
            return
        while True:
            saved = shield()
            try:
                self._seal(True)
                if self._frames:
                    frames, self._frames = self._frames, []
                    self._out = b"".join([self._out] + frames) if self._out or len(frames) > 1 else frames[0]
                self._size = 0
                self._flushed = now
                if not self._out or self.lost is not None:
                    self._out = b""
                    return
                try:
                    sent = self._sock.send(self._out, _DONTWAIT)
                except (BlockingIOError, InterruptedError):
                    sent = 0
                except OSError as e:
                    self._out = b""
                    self._end("the gateway has gone: %s" % e)
                    return
                self._out = self._out[sent:] if sent < len(self._out) else b""
            finally:
                unshield(saved)
            if not self._out:
                return
            self._make_room()

    def _make_room(self) -> None:
        """Wait until the socket takes more. What comes meanwhile is read, if nobody else reads."""
        if self._reading.acquire(False):
            try:
                for fd, event in _both(self._sock).poll(1000):
                    if event & (select.POLLIN | select.POLLHUP):
                        self._feed_shielded()
            finally:
                self._reading.release()
        else:
            p = select.poll()
            p.register(self._sock, select.POLLOUT)
            p.poll(1000)

    def _flush_soon(self) -> None:
        self.ready_to_flush()
        if self._flusher is not None:
            self._flusher.wake()

    def ready_to_flush(self) -> None:
        """Have the thread that flushes."""
        with self._sending:
            if self._flusher is None and not self._closed:
                self._flusher = _Flusher(self)

    def give_up(self, n: int) -> None:
        """Let the cluster give up the result of a task. The garbage collector calls it, wherever it happens to run, so that
        nothing is sent here."""
        if self.lost is None and self._flusher is not None:
            self._gone.append(n)
            self._flusher.wake()

    # -- waiting

    def wait(self, thing: Any, timeout: Optional[float] = None, left: int = 0, lead: bool = True) -> bool:
        """Wait until thing._left is no more than left; False after timeout seconds (None and negative: never).

        thing has the attributes _left and _more. lead=False if parts of it come by other links.
        """
        if thing._left <= left:
            return True
        self.flush()
        end = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        while thing._left > left:
            if lead and self.lost is None and self._reading.acquire(False):
                self._lead(thing, end, left)
            else:
                self._follow(thing, end, left)
            if end is not None and time.monotonic() >= end:
                break
        return thing._left <= left

    def _lead(self, thing: Any, end: Optional[float], left: int) -> None:
        """Read until what we wait for is there. The right to read is held."""
        began = time.monotonic()
        self._led += 1
        try:
            while thing._left > left and not self._due and self.lost is None:
                if end is None:
                    self._poll.poll()
                else:
                    over = end - time.monotonic()
                    if over <= 0 or not self._poll.poll(over * 1000 + 0.5):
                        return
                self._feed_shielded()
        finally:
            self._reading.release()
            if self._followers > 0 or time.monotonic() - began > 0.002:
                self._rouse()
        self._run_due()

    def _feed_shielded(self) -> None:
        saved = shield()
        try:
            self._feed()
        finally:
            unshield(saved)

    def _rouse(self) -> None:
        try:
            self._nap.release()
        except RuntimeError:
            pass  # awake already

    def _follow(self, thing: Any, end: Optional[float], left: int) -> None:
        """Wait until the thread that reads says so."""
        lock = allocate_lock()
        lock.acquire()
        with _state:
            more = thing._more
            if more is None:
                more = thing._more = More()
            if thing._left <= left:
                return
            more.locks.append(lock)
            more.each += 1 if left else 0
            self._followers += 1
            self._want = True
        self._rouse()
        try:
            if end is None:
                lock.acquire()
            else:
                lock.acquire(True, max(0.0, end - time.monotonic()))
        finally:
            with _state:
                more.each -= 1 if left else 0
                if lock in more.locks:
                    more.locks.remove(lock)
                    self._followers -= 1

    # -- reading

    def _feed(self) -> None:
        """Read what is there, at least something, and deal with it. The right to read is held."""
        try:
            data = self._sock.recv(ROOM)
        except (OSError, ValueError) as e:
            self._end("the gateway has gone: %s" % e)
            return
        if not data:
            self._end("the gateway has gone")
            return
        if self._have:
            data = self._have + data
        at, size = 0, len(data)
        try:
            while size - at >= 8:
                length, kind, flags = _frame.unpack_from(data, at)
                if flags or length > 1 << 29:
                    raise ValueError("a frame of %d bytes with flags %d" % (length, flags))
                stop = at + 8 + length
                if stop > size:
                    if length > ROOM:
                        data, at = self._gather(data[at:], 8 + length), 0
                        size = len(data)
                        continue
                    break
                if kind == OUTCOMES:
                    self._outcomes(data, at + 8, stop)
                else:
                    self._other(kind, data[at + 8 : stop])
                at = stop
        except (ValueError, KeyError, struct.error) as e:
            self._end("the gateway sent what cannot be read: %s" % e)
        except (OSError, EOFError) as e:
            self._end("the gateway has gone: %s" % e)
        self._have = data[at:] if at < size else b""

    def _gather(self, first: bytes, want: int) -> bytes:
        """A large frame, without copying what is there for each piece that comes."""
        room = bytearray(want)
        room[: len(first)] = first
        at, view = len(first), memoryview(room)
        while at < want:
            n = self._sock.recv_into(view[at:])
            if not n:
                raise EOFError("in the middle of a frame")
            at += n
        return bytes(room)

    def _outcomes(self, data: bytes, at: int, stop: int) -> None:
        n = int.from_bytes(data[at : at + 4], "little")
        pos = at + 4 + _end.size * n
        if pos > stop:
            raise ValueError("%d ends in %d bytes" % (n, stop - at))
        take = self._open.pop
        now = time.time()
        with _state:
            for end in _end.iter_unpack(memoryview(data)[at + 4 : pos]):
                after = pos + end[8]
                if after > stop:
                    raise ValueError("an end of %d bytes in a frame that is shorter" % end[8])
                cell = take(end[0], None)
                if cell is not None:
                    cell.data = data[pos:after]
                    cell.end = end
                    cell.received = now
                    cell.hold = None
                    owner = cell.owner
                    cell.owner = None
                    left = owner._left - 1
                    owner._left = left
                    if left:
                        if owner._more is not None and owner._more.each:
                            self._due_locked(owner)
                    else:
                        owner._state = "FINISHED"
                        if owner._more is not None:
                            self._due_locked(owner)
                pos = after
        if pos != stop:
            raise ValueError("ends of %d bytes in a frame of %d" % (pos - at, stop - at))

    def settle(self, cell: Cell, end: Tuple[int, ...], data: bytes) -> None:
        """Put an end into a cell, unless it has one."""
        with _state:
            if cell.end is not None:
                return
            owner = cell.owner
            cell.data, cell.end, cell.received, cell.hold, cell.owner = data, end, time.time(), None, None
            if owner is None:  # nobody counts it yet
                return
            owner._left -= 1
            if not owner._left:
                owner._state = "FINISHED"
            if owner._more is not None and (not owner._left or owner._more.each):
                self._due_locked(owner)

    def _due_locked(self, thing: Any) -> None:
        """Wake who waits for it; _state is held. What takes longer is done later."""
        more = thing._more
        locks, more.locks = more.locks, []
        for lock in locks:
            lock.release()
        self._followers -= len(locks)
        if more.callbacks is not None or more.waiters is not None or more.condition is not None:
            self._due.append(thing)

    def _run_due(self) -> None:
        """Do what is to be done when things have ended, without holding anything."""
        while True:
            try:
                thing = self._due.popleft()
            except IndexError:
                return
            thing._finished()

    def _other(self, kind: int, body: bytes) -> None:
        if kind == ANSWER:
            seq, ok, length = _answer.unpack_from(body)
            a = self._asks.pop(seq, None)
            if a is None:
                return
            a.ok, a.text = bool(ok), json.loads(body[13 : 13 + length])
            a.data = body[13 + length :]
            if a.then is not None:
                a.then(a)
            with _state:
                a._left = 0
                if a._more is not None:
                    self._due_locked(a)
        elif kind == OUTPUT:
            n, stream = struct.unpack_from("<QB", body)
            self._show(n, (stream, body[9:]))
        elif kind == DISPLAY:
            n, length = struct.unpack_from("<QI", body)
            about = json.loads(body[12 : 12 + length])
            self._show(n, ("display", about.get("mime", ""), body[12 + length :], about))
        elif kind == EVENT:
            self._event(json.loads(body))
        elif kind == NOTICE:
            notice = json.loads(body)
            self._show(notice.get("n", 0), ("notice", notice.get("text", "")))
        elif kind == FAIL:
            f = json.loads(body)
            self._end("the gateway has refused what was sent: %s" % (f.get("text") or f.get("kind")))
        else:
            raise ValueError("a frame of kind %d" % kind)

    def _event(self, event: Dict[str, Any]) -> None:
        if event.get("kind") == "engines":
            self.engines = sorted(event.get("ids") or ())
            self.on_change(self)
        elif event.get("kind") == "ended":
            self._end("the cluster has ended: %s" % event.get("text", ""))

    def _show(self, n: int, what: Tuple[Any, ...]) -> None:
        cell = self._open.get(n)
        if cell is None:
            return
        if cell.shown is None:
            cell.shown = []
        cell.shown.append(what)
        for hear in tuple(self._listeners):
            hear(cell, what)

    # -- large values

    def blobs(self) -> Any:
        """The node's store, or None if there is none here."""
        path = self.welcome.get("blobs")
        if not path:
            return None
        with self._blobs_lock:
            if self._blobs is None:
                from . import _blobs

                sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    sock.connect(path)
                except OSError:
                    sock.close()
                    return None
                self._blobs, self._blob_sock = _blobs.Space(sock), sock
            return self._blobs

    def fetch(self, ref: Dict[str, Any]) -> Any:
        """The bytes of a blob, mapped where it lies on this node, else brought here."""
        space = self.blobs()
        if space is not None:
            from . import _blobs

            b = ref["blob"]
            try:
                return space.open(_blobs.Ref(b["node"], b["life"], b["n"], ref["size"], ref.get("crc32c", 0)))
            except _blobs.BlobError as e:
                if e.kind == "lost" and self.lost is not None:
                    raise EngineError("%s; a large result that nobody had read went with it" % self.lost) from None
        return self.ask("blob", ref=ref)[1]

    # -- the end

    def _end(self, why: str) -> None:
        """Note that the connection has ended, and tell all who wait."""
        with _state:
            if self.lost is not None:
                return
            self.lost = why
        # The socket is only shut down: who reads from it has its number.
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        asks, self._asks = self._asks, {}
        for a in asks.values():
            a.ok, a.text = False, {"kind": "lost", "text": why}
            if a.then is not None:
                a.then(a)
            with _state:
                a._left = 0
                if a._more is not None:
                    self._due_locked(a)
        self.on_lost(self, why)
        self._rouse()

    def fail_open(self, text: str, kind: str = "lost") -> None:
        """Let all tasks that have not ended fail."""
        cells, self._open = self._open, {}
        failure = json.dumps({"kind": kind, "text": text, "op": "run task"}).encode()
        data = len(failure).to_bytes(4, "little") + failure
        for n, cell in cells.items():
            self.settle(cell, (n, ERRORED, 0, HAS_FAIL, -1, 0, 0, 0, len(data)), data)

    def close(self) -> None:
        """Say goodbye. What was submitted goes on without us."""
        if self._pid != os.getpid() or self._closed:
            return
        self._closed = True
        if self.lost is None:
            try:
                with self._sending:
                    self._add(BYE)
                    self._flush(time.time())
            except (OSError, EngineError):
                pass
        self.on_lost = lambda link, why: None
        self._end("the client is closed")
        self.fail_open("the client is closed; its tasks go on: get_result(id) of another client fetches their results", "closed")
        self._run_due()
        if self._flusher is not None:
            self._flusher.stop()
        with self._blobs_lock:
            space, self._blobs = self._blobs, None
        if space is not None:  # views of its memory may live on: they keep it
            weakref.finalize(space, self._blob_sock.close)

    def _forked(self) -> None:
        """In a child made by fork the connection is the parent's."""
        self.lost = "a process made by fork cannot use its parent's connection; make a Client in the child"
        self._closed = True
        self._sending = threading.RLock()
        self._reading = allocate_lock()
        self._sock.close()


def close_later(link: Link) -> None:
    """Close a link of which nobody has a client any more. The garbage collector calls it, wherever it happens to run,
    so that no lock may be waited for."""
    start_new_thread(link.close, ())


def _both(sock: socket.socket) -> Any:
    p = select.poll()
    p.register(sock, select.POLLIN | select.POLLOUT)
    return p


def _background(link: Link) -> None:
    """Read when nobody else does."""
    while link.lost is None:
        if link._want:
            _stay_back(link)
        with link._reading:
            if link.lost is None:
                link._feed()
        try:
            link._run_due()
        except BaseException as e:  # a callback's: its own fault, and none of the others'
            threading.excepthook(threading.ExceptHookArgs((type(e), e, e.__traceback__, threading.current_thread())))
    with link._reading:
        link._sock.close()
    link._run_due()


def _stay_back(link: Link) -> None:
    """As long as threads in the foreground read what they wait for, let them: each switch costs."""
    link._want = False
    link._nap.acquire(False)  # what roused us before has been heard
    led, pause = link._led - 1, 0.003
    while link.lost is None and link._followers <= 0:
        if led != link._led:
            pause = 0.003
        elif link._reading.locked():
            pause = min(2 * pause, 0.25)  # who reads now will rouse us
        else:
            return
        led = link._led
        link._nap.acquire(True, pause)


class _Flusher:
    """A thread that sends what was submitted and would otherwise wait for the next submit."""

    def __init__(self, link: Link) -> None:
        self._link = weakref.ref(link)
        self._bell = allocate_lock()
        self._bell.acquire()
        self._asleep = False
        self._over = False
        threading.Thread(target=self._work, name="tutti-writer", daemon=True).start()

    def wake(self) -> None:
        if self._asleep:
            self._asleep = False
            try:
                self._bell.release()
            except RuntimeError:
                pass

    def stop(self) -> None:
        self._over = True
        self._asleep = True
        self.wake()

    def _work(self) -> None:
        idle = 0
        while not self._over:
            time.sleep(FLUSH_TIME)
            link = self._link()
            if link is None:
                return
            if link._size or link._gone:
                idle = 0
                try:
                    link.flush()
                except EngineError:
                    return
            else:
                idle += 1
            if idle > 20:
                self._asleep = True
                if not link._size and not link._gone:
                    del link
                    self._bell.acquire()
                self._asleep = False
                idle = 0


_links: "weakref.WeakSet[Link]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for link in list(_links):
        link.close()
    for process in _children:  # they go by themselves when their last client has gone
        if process.poll() is None:
            process.returncode = 0


def _after_fork() -> None:
    global _state
    _state = allocate_lock()
    for link in list(_links):
        link._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def read_end(data: bytes) -> Tuple[Tuple[int, ...], bytes]:
    """The first end of the body of an OUTCOMES."""
    n = int.from_bytes(data[:4], "little")
    if n < 1:
        raise ValueError("no end in an answer")
    at = 4 + _end.size * n
    end = _end.unpack_from(data, 4)
    return end, data[at : at + end[8]]


def failure_of(cell: Cell) -> Tuple[Dict[str, Any], bytes]:
    """The failure of a cell that did not end well, and what the engine sent with it."""
    if not cell.end or not cell.end[3] & HAS_FAIL:
        return {"kind": "error", "text": "it failed, and nothing says why"}, b""
    n = int.from_bytes(cell.data[:4], "little")
    return json.loads(cell.data[4 : 4 + n]), cell.data[4 + n :]


def value_of(cell: Cell, rest: Any = None) -> Any:
    """Decode the value that came with an end."""
    assert cell.end is not None
    _, _, codec, flags, _, _, _, _, _ = cell.end
    data: Any = cell.data if rest is None else rest
    if flags & HAS_REF:
        data = cell.link.fetch(json.loads(data))
    return _pack.decode(codec, data)

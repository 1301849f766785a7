"""The loop of an engine.

One thread, the main one, waits for runs on a socket, runs them, and puts their ends into a ring of
memory that it shares with the agent, which it tells when it has nothing more to do at the moment. All
that must go on beside user code is the agent's: see internal/engine/pyproto.go, the other side of
this protocol, for the frames and records.
"""

from __future__ import annotations

import faulthandler
import fcntl
import gc
import json
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .. import _blobs, _pack
from . import calls, failure, shown

# The descriptors that an engine is born with; see main_linux.go.
FD_MESSAGES, FD_BLOBS, FD_STDOUT, FD_STDERR, FD_CRASH, FD_BOARD = range(3, 9)

RUNS, DEFINE, FORGET, STOP, START = 1, 2, 3, 4, 5
READY, RESULTS, LARGE, DISPLAY, SETUP = 16, 17, 18, 19, 20
PLAIN, PACK, MIXED = 0, 1, 2
INLINE, REF, SKIP = 0, 1, 2
SUCCEEDED, FAILED, MACHINE_FAILED, REJECTED, DROPPED = 0, 1, 2, 3, 255

_frame = struct.Struct("<IHHQ")
_run = struct.Struct("<QIII")
_record = struct.Struct("<QqqIBBBB")
_failure = struct.Struct("<III")

RING_AT, RING_SIZE = 4096, 512 << 10
BEGUN, ENDED, GENERATION, HEAD, TAIL, CANCEL = range(6)
STACK_SIGNAL = 60

LARGEST = 240 << 20  # what a frame may hold

TELL_EVERY = 32  # results
TELL_AFTER = 1_000_000  # ns


class Rejected(Exception):
    """The run can never work here."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text


class TooLarge(ValueError):
    """A result that does not fit into a message, where there is no blob store."""


class Engine:
    """All that an engine is; there is one in a process."""

    def __init__(self, space: Dict[str, Any]) -> None:
        self.space = space
        self.sock = socket.socket(fileno=FD_MESSAGES)
        self.shared = mmap.mmap(FD_BOARD, RING_AT + RING_SIZE)
        os.close(FD_BOARD)
        self.board = memoryview(self.shared)[:RING_AT].cast("Q")
        self.ring = memoryview(self.shared)[RING_AT:]
        self.functions: Dict[int, calls.Function] = {}
        self.serial = 0
        self.running = False  # user code is being run: an interrupt goes to it
        self.count = 0  # cells
        self.fired = (0, 0.0)  # the run to which one did, and when
        self.forked = False
        self.untold = 0  # results that the agent was not told of
        self.told_at = 0
        self.applied: Any = None  # the function whose shipped globals were filled in last
        self.blobs: Optional[_blobs.Space] = None
        self.have = b""
        self.lock = threading.Lock()  # held while something is written to the socket
        pipes = select.epoll()
        pipes.register(FD_STDOUT, select.EPOLLIN)
        pipes.register(FD_STDERR, select.EPOLLIN)
        self.printed = pipes.poll
        self._pipes = pipes
        os.register_at_fork(after_in_child=self._child)

    def _child(self) -> None:
        # A child made by fork is no engine: what it shares with its parent is not its own.
        self.forked = True
        self.running = False
        self.sock.close()
        self._pipes.close()
        self.board = memoryview(bytearray(RING_AT)).cast("Q")
        shown.forget()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # -- start

    def start(self) -> None:
        """Read the first frame and get ready for what it says."""
        head = self._read(_frame.size)
        length, kind, _, _ = _frame.unpack(head)
        if kind != START:
            raise SystemExit("tutti: engine cannot start: the first frame is of kind %d" % kind)
        me = json.loads(self._read(length))
        version = "python:%d.%d" % sys.version_info[:2]
        if me["program"].startswith("python:") and me["program"][7:8].isdigit() and me["program"] != version:
            raise SystemExit("%s is %s, not %s as the client's" % (sys.executable, version[7:], me["program"][7:]))
        self.me = me
        if me["blobs"]:
            self.blobs = _blobs.Space(socket.socket(fileno=FD_BLOBS))
        else:
            os.close(FD_BLOBS)
        calls.install(self)
        failure.place(me["engine"], me["host"])
        shown.install(self)
        for code in me["setup"] or ():
            try:
                calls.start_up(self, code)
            except BaseException as e:
                text = "".join(failure.render(e))
                raise SystemExit("its start-up code failed: %s: %s\n%s" % (type(e).__name__, e, text)) from None
        flush()
        self.send(READY, 0, b"")

    def _read(self, n: int) -> bytes:
        while len(self.have) < n:
            data = self.sock.recv(1 << 16)
            if not data:
                self.end()
            self.have += data
        data, self.have = self.have[:n], self.have[n:]
        return data

    def send(self, kind: int, number: int, body: bytes) -> None:
        """Send a frame."""
        if self.forked:
            raise RuntimeError("a process that was forked from an engine cannot speak for it")
        self.quietly(self._write, _frame.pack(len(body), kind, 0, number) + body)

    def _write(self, data: bytes) -> None:
        try:
            with self.lock:
                self.sock.sendall(data)
        except OSError:
            self.end()

    def quietly(self, f: Callable[..., Any], *args: Any) -> Any:
        """Call f without letting an interrupt into it: it would leave half a message behind."""
        was, self.running = self.running, False
        try:
            return f(*args)
        finally:
            self.running = was
            if was and self.board[CANCEL] == self.serial and threading.get_ident() == _main_thread:
                self.interrupted()

    # -- the loop

    def serve(self) -> None:
        """Run what comes until the agent says stop, or is gone."""
        sock, have = self.sock, self.have
        room = 1 << 18
        while True:
            at = 0
            size = len(have)
            while size - at >= 16:
                length, kind, count, number = _frame.unpack_from(have, at)
                end = at + 16 + length
                if end > size:
                    room = max(1 << 18, end - size)
                    break
                if kind == RUNS:
                    if number == self.board[GENERATION]:
                        self.runs(have, at + 16, count, number)
                elif kind == DEFINE:
                    self.define(number, bytes(have[at + 16 : end]))
                elif kind == FORGET:
                    self.functions.pop(number, None)
                elif kind == STOP:
                    return
                at = end
            if self.untold:
                self.tell()
            try:
                data = sock.recv(room)
            except OSError:
                data = b""
            if not data:
                self.end()
            if at == size:
                have = data
            elif size - at < 1 << 16:
                have = have[at:] + data
            else:
                have = self.gather(have[at:], data)

    def gather(self, first: bytes, more: bytes) -> bytes:
        """The rest of a large frame, without copying what is there for each piece that comes."""
        want = 16 + _frame.unpack_from(first)[0]
        buffer = bytearray(max(want, len(first) + len(more)))
        buffer[: len(first)] = first
        buffer[len(first) : len(first) + len(more)] = more
        at = len(first) + len(more)
        view = memoryview(buffer)
        while at < want:
            n = self.sock.recv_into(view[at:])
            if n == 0:
                self.end()
            at += n
        return bytes(buffer)

    def define(self, number: int, body: bytes) -> None:
        """Learn a function; it is unpickled when it is called first."""
        n = int.from_bytes(body[:2], "little")
        self.functions[number] = calls.Function(body[2 : 2 + n].decode(), body[2 + n :])

    def runs(self, have: bytes, at: int, count: int, generation: int) -> None:
        """Run a frame of runs, as long as they are not called back."""
        board, functions, now_ns, printed = self.board, self.functions, time.time_ns, self.printed
        loads, simple, nothing = pickle.loads, _SIMPLE, _pack.NOTHING
        pos = at + 20 * count
        view = memoryview(have)
        started = now_ns()
        for serial, number, form, length in _run.iter_unpack(view[at:pos]):
            end = pos + length
            before = board[BEGUN]
            board[BEGUN] = serial
            if board[GENERATION] != generation:
                # The agent may or may not have seen that it had begun.
                board[BEGUN] = before
                self.record(serial, started, 0, DROPPED, 0, INLINE, b"")
                return
            self.serial = serial
            f = functions[number]
            data: Optional[bytes] = None
            try:
                self.running = True
                if board[CANCEL] == serial:
                    self.interrupted()
                call = f.call
                if form == PLAIN and call is not None:
                    if f.shipped is not None and self.applied is not f:
                        self.apply(f)
                    first = loads(view[pos:end])
                    if len(first) == 2:
                        value = call(*first[0], **first[1]) if first[1] else call(*first[0])
                    else:
                        value = f.handler(self, f, first, {})
                    first = None
                else:
                    value = self.slow(f, form, view[pos:end])
                if value is None:
                    data = nothing
                elif type(value) in simple and (type(value) not in _LONG or len(value) < 4096):
                    pickled = pickle.dumps(value, 5)
                    data = _HEAD(_pack.MAGIC, 0, len(pickled)) + pickled
                self.running = False
            except BaseException as e:
                self.running = False  # before anything else: interrupts are raised where something is called
                first = value = None
                self.after(e, f, serial, started)
                started = now_ns()
                pos = end
                continue
            if self.forked:
                os._exit(0)
            pos = end
            if data is None:
                self.finish(value, f, serial, started)
                value = None
                started = now_ns()
                continue
            _stdout_flush()
            _c_flush(None)
            if printed(0):
                self.drain()
            ended = now_ns()
            self.record(serial, started, ended - started, SUCCEEDED, 3, INLINE, data)
            started = ended

    # -- the end of a run

    def settle(self) -> int:
        """What the run has printed is out of our hands; the time."""
        flush()
        if self.printed(0):
            self.drain()
        return time.time_ns()

    def drain(self) -> None:
        """Wait until the agent has read what was printed: only then the next run may begin."""
        pause = 0.0
        printed = self.printed
        while printed(0):
            if pause == 0.0 and self.untold:
                self.tell()
            time.sleep(pause)
            pause = min(0.001, pause + 0.00002)

    def finish(self, value: Any, f: "calls.Function", serial: int, started: int) -> None:
        """Encode a value that is not a simple one, and record it."""
        try:
            self.running = True
            form, data = INLINE, b""
            try:
                parts = _pack.parts(value)
            except Exception:
                mended = calls.mend(value) if f.name == "py.batch" else None
                if mended is None:
                    raise
                parts = _pack.parts(mended)
            if parts.size > _pack.INLINE and self.blobs is not None:
                form, data = REF, self.quietly(self.blobs.put, parts).pack()
            elif parts.size > LARGEST:
                raise TooLarge("a result of %d bytes, and this engine has no blob store" % parts.size)
            else:
                data = parts.join()
            self.running = False
        except _blobs.BlobError as e:
            self.running = False
            self.fail(serial, started, MACHINE_FAILED, e.kind, "the result: %s" % e, "", b"")
            return
        except BaseException as e:
            self.running = False
            if not isinstance(e, (KeyboardInterrupt, TooLarge)):
                e = failure.unpicklable(value, e)
            self.after(e, f, serial, started)
            return
        del value, parts
        ended = self.settle()
        self.record(serial, started, ended - started, SUCCEEDED, _pack.PICKLE, form, data)

    def after(self, e: BaseException, f: "calls.Function", serial: int, started: int) -> None:
        """Record what a run raised. An interrupt that comes while we do cannot stop us."""
        for _ in range(3):
            try:
                self.running = False
                if self.forked:
                    os._exit(1)
                if isinstance(e, Rejected):
                    self.fail(serial, started, REJECTED, e.kind, e.text, "", b"")
                elif isinstance(e, _blobs.BlobError) and not failure.from_user(e):
                    self.fail(serial, started, MACHINE_FAILED, e.kind, "the arguments: %s" % e, "", b"")
                else:
                    told = failure.describe(e, f.method)
                    self.fail(serial, started, FAILED, told.kind, told.text, told.stack, told.pack)
                return
            except KeyboardInterrupt:
                continue
            except Exception as other:
                text = "%s (it could not be described: %r)" % (type(e).__name__, other)
                self.fail(serial, started, FAILED, "failed", text, "", b"")
                return
            finally:
                e.__traceback__ = None

    def fail(self, serial: int, started: int, ending: int, kind: str, text: str, stack: str, pack: bytes) -> None:
        """Record an error."""
        ended = self.settle()
        words = [w.encode("utf-8", "backslashreplace") for w in (kind, text[:65536], stack[:65536])]
        body = _failure.pack(*map(len, words)) + b"".join(words) + pack
        self.record(serial, started, ended - started, ending, _pack.PICKLE if pack else 0, INLINE, body)

    def record(self, serial: int, started: int, took: int, ending: int, codec: int, form: int, body: bytes) -> None:
        """Put the end of a run into the ring."""
        board = self.board
        length = len(body)
        n = 32 + (length + 7 & -8)
        head = board[HEAD]
        if n > RING_SIZE // 4:
            self.send(LARGE, 0, _record.pack(serial, started, took, length, ending, codec, form, 0) + body)
        else:
            at = head % RING_SIZE
            skip = RING_SIZE - at if at + n > RING_SIZE else 0
            while head + skip + n - board[TAIL] > RING_SIZE:
                self.tell()
                time.sleep(0.0001)
            if skip:
                if skip >= 32:
                    _record.pack_into(self.ring, at, 0, 0, 0, 0, 0, 0, SKIP, 0)
                head, at = head + skip, 0
            _record.pack_into(self.ring, at, serial, started, took, length, ending, codec, form, 0)
            if length:
                self.ring[at + 32 : at + 32 + length] = body
            board[HEAD] = head + n
        self.untold += 1
        if ending == DROPPED:
            return
        board[ENDED] = serial
        if self.untold >= TELL_EVERY or started + took - self.told_at > TELL_AFTER:
            self.told_at = started + took
            if self.untold > 1:
                self.tell()

    def tell(self) -> None:
        """Tell the agent that there is something in the ring."""
        self.untold = 0
        self._write(_NEWS)

    # -- less common calls

    def slow(self, f: "calls.Function", form: int, data: memoryview) -> Any:
        """Run what is not a plain call of a function that is known."""
        options: Dict[str, Any] = {}
        if form == PLAIN:
            first: Any = pickle.loads(data)
        elif form == PACK:
            first = _pack.loads(bytes(data))
        else:
            first, options = self.mixed(bytes(data))
        if f.handler is None:
            f.load()  # may raise
        if f.shipped is not None and self.applied is not f:
            self.apply(f)
        if not (options.get("gpus") or options.get("threads")):
            return f.handler(self, f, first, options)
        before = {name: os.environ.get(name) for name in _SHARE}
        self.allot(options)
        try:
            return f.handler(self, f, first, options)
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def apply(self, f: "calls.Function") -> None:
        """Give the globals that came with a function to the namespace, where it has none of its own."""
        calls.fill(self.space, f)
        self.applied = f

    def mixed(self, data: bytes) -> Tuple[Any, Dict[str, Any]]:
        """Arguments that are more than one pack, or come with something else."""
        n = int.from_bytes(data[:4], "little")
        options = json.loads(data[4 : 4 + n])
        if "error" in options:
            raise Rejected(options["kind"], options["error"])
        at = [4 + n]
        view = memoryview(data)
        values = [self.argument(a, view, at) for a in options["args"]]
        if not values:
            return ((), {}), options
        a = options["args"][0]
        raw = values[0]
        rest = [None] + [self.read(v, o) for v, o in zip(values[1:], options["args"][1:])]
        return self.read(raw, a, rest[1:]), options

    def argument(self, a: Dict[str, Any], view: memoryview, at: List[int]) -> Any:
        """The bytes of an argument, or of those in a list."""
        if a.get("list"):
            return [self.argument(x, view, at) for x in a["items"]]
        if a.get("ref"):
            if self.blobs is None:
                raise Rejected("unsupported", "this engine has no blob store")
            return self.quietly(self.blobs.open, _blobs.Ref(*a["ref"]))
        start = at[0]
        at[0] += a["len"]
        return view[start : at[0]]

    def read(self, raw: Any, a: Dict[str, Any], rest: Any = None) -> Any:
        """The object of an argument."""
        if a.get("list"):
            return [self.read(r, x) for r, x in zip(raw, a["items"])]
        return _pack.decode(a["codec"], raw, rest)

    def allot(self, options: Dict[str, Any]) -> None:
        """Let the environment say what of the node is the run's."""
        gpus, threads = options.get("gpus"), options.get("threads")
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        if threads:
            os.environ["OMP_NUM_THREADS"] = str(threads)

    # -- interrupts

    def on_interrupt(self, signum: int, frame: Any) -> None:
        """SIGINT: it is for the run that the agent has named, or for any, if it has named none."""
        wanted = self.board[CANCEL]
        if wanted and wanted != self.serial:
            if wanted < self.serial:
                self.board[CANCEL] = 0
            return
        if self.running:
            self.interrupted()

    def interrupted(self) -> None:
        """Interrupt the run, but not what we do when it has raised."""
        now = time.monotonic()
        serial, last = self.fired
        if serial == self.serial and now - last < 0.2:
            return
        self.fired = (self.serial, now)
        if self.board[CANCEL] == self.serial:
            self.board[CANCEL] = 0
        raise KeyboardInterrupt

    # -- the end

    def end(self) -> None:
        """The agent is gone: nobody would hear us, and children of the user's code go too."""
        if os.getpgrp() == os.getpid() and not self.forked:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    def leave(self) -> None:
        """End in order: what the user's modules have registered is done."""
        import atexit
        import threading

        flush()
        if any(t is not threading.main_thread() and not t.daemon for t in threading.enumerate()):
            atexit._run_exitfuncs()
            flush()
            os._exit(0)
        sys.exit(0)


_SIMPLE = frozenset((bool, int, float, complex, str, bytes))
_SHARE = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
_main_thread = threading.get_ident()
_LONG = frozenset((str, bytes))
_HEAD = struct.Struct("<IIQ").pack
_NEWS = _frame.pack(0, RESULTS, 0, 0)
_stdout_flush: Callable[[], None] = lambda: None
_c_flush: Callable[[Any], Any] = lambda _: None


def flush() -> None:
    """What was printed leaves the buffers of Python and of C."""
    for s in (sys.stdout, sys.__stdout__, sys.stderr):
        try:
            if s is not None:
                s.flush()
        except Exception:
            pass
    _c_flush(None)


def _streams() -> None:
    """Lines leave when they are complete, whoever prints them."""
    global _stdout_flush, _c_flush
    for s in (sys.stdout, sys.stderr):
        s.reconfigure(line_buffering=True, encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]
    _stdout_flush = sys.stdout.flush
    try:
        import ctypes

        libc = ctypes.PyDLL(None)
        libc.setvbuf.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, "stdout"), None, 1, 0)
        libc.fflush.argtypes = [ctypes.c_void_p]
        _c_flush = libc.fflush
    except (ImportError, OSError, ValueError, AttributeError):
        pass  # a C library of another kind: what C code prints comes when its buffer is full


def main(space: Dict[str, Any]) -> None:
    """Be an engine until the agent does not need one any more."""
    for fd in range(FD_MESSAGES, FD_BOARD + 1):
        os.set_inheritable(fd, False)
    faulthandler.enable(file=FD_CRASH, all_threads=True)
    faulthandler.register(STACK_SIGNAL, file=FD_CRASH, all_threads=True, chain=False)
    fcntl.fcntl(FD_CRASH, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    _streams()
    sys.argv = [""]
    engine = Engine(space)
    signal.signal(signal.SIGINT, engine.on_interrupt)
    engine.start()
    gc.freeze()  # what we are made of is never looked at again
    gc.enable()
    engine.serve()
    engine.leave()

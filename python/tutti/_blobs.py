"""The blob store of this node, as a process that is not the store's sees it.

A `Space` is one end of a Unix socket. Large values are written once, into shared memory that the
store gives, and read where they lie: `put` or `create`, `open`, `drop`. Memory that was used before
is warm: it stays mapped, and writing into it costs no more than a copy.

The messages are those of internal/blob/message.go: 72 bytes, then text where there is some.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct
import threading
import weakref
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, Union

__all__: List[str] = []

_message = struct.Struct("<BBHIQQQQQiIQQ")
_size = 72
assert _message.size == _size
_version = 1

OPEN, CREATE, SEAL, HOLD, ABORT, RELEASE, DROP, RESULT, FAILURE, FORGET = range(1, 11)

_POPULATE = getattr(mmap, "MAP_POPULATE", 0x8000)


class BlobError(Exception):
    """The store could not do what it was asked. `kind` is one of Go's kinds: "no space", "not found"."""

    def __init__(self, op: str, kind: str, text: str, hint: str = "") -> None:
        self.op, self.kind, self.text, self.hint = op, kind, text, hint
        super().__init__("%s: %s%s%s" % (op, kind, ": " + text if text else "", " (%s)" % hint if hint else ""))


class Ref(NamedTuple):
    """The name of a blob, with its size and checksum (0: not known)."""

    node: int
    life: int
    n: int
    size: int
    sum: int = 0

    def pack(self) -> bytes:
        """The form in which an engine tells its agent."""
        return _ref.pack(self.node, self.life, self.n, self.size, self.sum, 0)


_ref = struct.Struct("<iIQQII")


class _Libc:
    """mmap without Python's object around it: a mapping that cannot be written has no address there."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.mmap = libc.mmap
        self.mmap.restype = ctypes.c_void_p
        self.mmap.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
        ]  # fmt: skip
        self.munmap = libc.munmap
        self.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


_libc: Optional[_Libc] = None


class _Mapping:
    """All of a segment, mapped; it goes when nobody has a view of it any more."""

    def __init__(self, fd: int, size: int, write: bool) -> None:
        global _libc
        if _libc is None:
            _libc = _Libc()
        self.size = size
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
        address = _libc.mmap(None, size, prot, mmap.MAP_SHARED | _POPULATE, fd, 0)
        if address is None or address == ctypes.c_void_p(-1).value:
            e = ctypes.get_errno()
            raise BlobError("map blob", "no space", "%d bytes: %s" % (size, os.strerror(e)))
        self.address: int = address
        self.unmap = weakref.finalize(self, _libc.munmap, address, size)
        self.unmap.atexit = False

    def at(self, offset: int, size: int) -> Any:
        """An object whose memory is a piece of the mapping, and which keeps it."""
        piece = (ctypes.c_ubyte * size).from_address(self.address + offset)
        piece._mapping = self
        return piece


class _Segment:
    """What is known of a segment: its descriptor until both mappings are made."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.shut = weakref.finalize(self, os.close, fd)
        self.shut.atexit = False
        self.maps: List[Optional[_Mapping]] = [None, None]

    def map(self, write: bool) -> _Mapping:
        m = self.maps[write]
        if m is None:
            m = self.maps[write] = _Mapping(self.fd, self.size, write)
        return m


class _Answer(NamedTuple):
    handle: int
    segment: Optional[_Segment]
    offset: int
    ref: Ref


class Builder:
    """A blob being written: `buffer` is its memory, until `seal` or `abort`."""

    def __init__(self, space: "Space", answer: _Answer, size: int, private: bool) -> None:
        self._space, self._handle = space, answer.handle
        self._over = False
        self.buffer = memoryview(bytearray(0))
        if answer.segment is not None and size:
            m = answer.segment.map(True)
            self.buffer = memoryview(m.at(answer.offset, size)).cast("B")

    def seal(self) -> Ref:
        """Name the blob. Nobody may write into it from now on."""
        if self._over:
            raise BlobError("seal blob", "invalid", "sealed or aborted before")
        self._over = True
        self.buffer.release()
        return self._space._ask(SEAL, "seal blob", handle=self._handle).ref

    def abort(self) -> None:
        """Give the memory back. After `seal` it does nothing."""
        if not self._over:
            self._over = True
            self.buffer.release()
            self._space._tell(ABORT, handle=self._handle)


class Space:
    """The store as its other end of `sock` sees it; the socket belongs to it from now on.

    All methods may be called from any thread. In a child made by fork it is closed.
    Errors are BlobError; kind "lost" when the store is gone.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Optional[socket.socket] = sock
        self._lock = threading.Lock()
        self._told: Deque[bytes] = deque()  # what is to be told and needs no answer
        self._segments: Dict[int, _Segment] = {}
        self._have = b""
        self._fds: List[int] = []
        self._call = 0
        self._left: Set[int] = set()  # questions whose asker was interrupted
        self._came = -1
        _spaces.add(self)

    def close(self) -> None:
        """End the connection, and with it all leases: what was opened must not be read any more."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    # -- the store's verbs

    def create(self, size: int) -> Builder:
        """Memory for a blob of so many bytes."""
        a = self._ask(CREATE, "make blob", size=size)
        return Builder(self, a, size, False)

    def put(self, parts: Union[bytes, bytearray, memoryview, Iterable[Any]]) -> Ref:
        """Make a blob of bytes, of several pieces of bytes one after the other, or of a `_pack.Parts`."""
        write = getattr(parts, "write", None)
        if write is not None:
            b = self.create(parts.size)  # type: ignore[union-attr]
            try:
                write(b.buffer)
                return b.seal()
            finally:
                b.abort()
        pieces = [parts] if isinstance(parts, (bytes, bytearray, memoryview)) else list(parts)
        views = [memoryview(p).cast("B") for p in pieces]
        b = self.create(sum(v.nbytes for v in views))
        try:
            at = 0
            for v in views:
                for i in range(0, v.nbytes, _chunk):
                    piece = v[i : i + _chunk]
                    b.buffer[at : at + piece.nbytes] = piece
                    at += piece.nbytes
            return b.seal()
        finally:
            b.abort()

    def open(self, ref: Ref) -> memoryview:
        """The bytes of a blob, where they lie. They cannot be written, and stay while anything looks at
        them: this view, parts of it, arrays made of it."""
        a = self._ask(OPEN, "open blob", ref=ref, size=ref.size)
        if not ref.size or a.segment is None:
            self._tell(RELEASE, handle=a.handle)
            return memoryview(b"")
        try:
            piece = a.segment.map(False).at(a.offset, ref.size)
        except BaseException:
            self._tell(RELEASE, handle=a.handle)
            raise
        end = weakref.finalize(piece, self._tell, RELEASE, handle=a.handle)
        end.atexit = False
        return memoryview(piece).cast("B").toreadonly()

    def hold(self, ref: Ref) -> None:
        """Add a reference of this holder."""
        self._ask(HOLD, "hold blob", ref=ref, size=ref.size)

    def drop(self, ref: Ref) -> None:
        """Give a reference back; the maker of a blob has one. The blob goes with its last reference and its
        last reader."""
        self._tell(DROP, ref=ref, size=ref.size)

    # -- messages

    def _tell(self, kind: int, handle: int = 0, ref: Optional[Ref] = None, size: int = 0) -> None:
        # It may be called by the garbage collector, in the middle of a question of this same thread: then
        # who asks sends it.
        self._told.append(_encode(kind, 0, handle, ref, size))
        self._flush()

    def _send(self, message: bytes) -> None:
        out = []
        while True:
            try:
                out.append(self._told.popleft())
            except IndexError:
                break
        out.append(message)
        data = b"".join(out)
        if self._sock is None or not data:
            return
        try:
            self._sock.sendall(data)
        except OSError:
            self._close()

    def _ask(self, kind: int, op: str, handle: int = 0, ref: Optional[Ref] = None, size: int = 0) -> _Answer:
        try:
            with self._lock:
                self._call += 1
                self._send(_encode(kind, self._call, handle, ref, size))
                return self._answer(op, self._call)
        finally:
            if self._told:
                self._flush()

    def _flush(self) -> None:
        while self._told and self._lock.acquire(False):
            try:
                self._send(b"")
            finally:
                self._lock.release()

    def _answer(self, op: str, call: int) -> _Answer:
        try:
            return self._receive(op, call)
        except (OSError, EOFError) as e:
            self._close()
            raise BlobError(op, "lost", "the connection to the node's blob store ended: %s" % e) from None
        except KeyboardInterrupt:
            # The answer would be taken for that of the next question.
            self._left.add(call)
            raise

    def _receive(self, op: str, call: int) -> _Answer:
        while True:
            kind, n, handle, seg, offset, ref, text = self._next()
            if kind == FORGET:
                self._segments.pop(seg, None)
                continue
            if kind == FAILURE:
                if n in self._left and n != call:
                    self._left.discard(n)
                    continue
                part = text.split("\0") + ["", "", "", ""]
                if n == 0:
                    self._close()
                raise BlobError(part[0], part[1], part[2], part[3])
            segment = self._enter(seg)
            if n == call:
                return _Answer(handle, segment, offset, ref)
            self._left.discard(n)  # nobody waits for it any more
            if handle:  # of a lease or a builder: one of the two is right, the other names nothing
                self._told.append(_encode(RELEASE, 0, handle, None, 0))
                self._told.append(_encode(ABORT, 0, handle, None, 0))

    def _enter(self, seg: int) -> Optional[_Segment]:
        fd, self._came = self._came, -1
        if fd < 0:
            return self._segments[seg] if seg else None
        s = _Segment(fd)
        if seg:
            self._segments[seg] = s
        return s

    def _next(self) -> Tuple[int, int, int, int, int, Ref, str]:
        while True:
            if len(self._have) >= _size:
                (kind, flags, version, text, call, handle, seg, off, size, node, life, n, last) = _message.unpack_from(self._have)
                if len(self._have) >= _size + text:
                    break
            self._fill()
        if version != _version:
            self._close()
            raise BlobError("use blobs", "version mismatch", "the store speaks version %d, we %d" % (version, _version))
        words = bytes(self._have[_size : _size + text]).decode("utf-8", "replace")
        self._have = self._have[_size + text :]
        self._came = self._fds.pop(0) if flags & 1 else -1
        return kind, call, handle, seg, off, Ref(node, life, n, size, last & 0xFFFFFFFF), words

    def _fill(self) -> None:
        if self._sock is None:
            raise EOFError("it is closed")
        data, fds = _receive(self._sock)
        self._fds.extend(fds)
        if not data:
            raise EOFError("the store is gone")
        self._have += data


_chunk = 16 << 20
_spaces: "weakref.WeakSet[Space]" = weakref.WeakSet()


def _encode(kind: int, call: int, handle: int, ref: Optional[Ref], size: int) -> bytes:
    node, life, n, crc = (ref.node, ref.life, ref.n, ref.sum) if ref is not None else (0, 0, 0, 0)
    return _message.pack(kind, 0, _version, 0, call, handle, 0, 0, size, node, life, n, crc)


def _receive(sock: socket.socket) -> Tuple[bytes, List[int]]:
    """Like socket.recv_fds, with descriptors that children do not inherit."""
    data, notes, _, _ = sock.recvmsg(16 << 10, socket.CMSG_SPACE(16 * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0x40000000))
    fds: List[int] = []
    for level, kind, value in notes:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            n = len(value) // 4
            fds.extend(struct.unpack("%di" % n, value[: 4 * n]))
    return data, fds


def _after_fork() -> None:
    """In a child: the socket is the parent's, who alone may speak on it."""
    for s in list(_spaces):
        s._lock = threading.Lock()
        s._told.clear()
        s._close()


os.register_at_fork(after_in_child=_after_fork)

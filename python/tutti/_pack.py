"""Values as bytes: how arguments and results travel.

A pack is one byte string:

    u32 magic "TTPK" | u32 n, the number of buffers | u64 length of the pickle | n times u64 length of a buffer
    the pickle (protocol 5) | each buffer at the next multiple of 64

Buffers of at least `BIG` bytes (the memory of arrays) stand outside of the pickle, so that they are
written once, straight to where the pack lies, and read where they lie, without a copy. A pickle may
refer to further arguments of its task by the persistent id ("arg", i).
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any, Callable, List, Optional, Sequence, Tuple

__all__: List[str] = []

MAGIC = 0x4B505454
BIG = 4096
INLINE = 64 << 10  # a pack of more bytes is a blob

# The codecs of values, as in Go.
NONE, CBOR, MARSHALED, PICKLE = 0, 1, 2, 3

_head = struct.Struct("<IIQ")
_align = 64

_simple = frozenset((type(None), bool, int, float, complex, str, bytes))


def _plain(data: bytes) -> bytes:
    return _head.pack(MAGIC, 0, len(data))


NOTHING = _plain(pickle.dumps(None, 5)) + pickle.dumps(None, 5)


class Parts:
    """A pack that is not yet written: its head, the pickle, and the buffers that follow."""

    __slots__ = ("head", "body", "buffers", "size")

    def __init__(self, head: bytes, body: bytes, buffers: Sequence[memoryview]) -> None:
        self.head = head
        self.body = body
        self.buffers = buffers
        size = len(head) + len(body)
        for b in buffers:
            size = -(-size // _align) * _align + b.nbytes
        self.size = size

    def write(self, into: memoryview) -> None:
        """Write the pack to the beginning of a buffer of at least `size` bytes."""
        start, at = len(self.head), len(self.head) + len(self.body)
        into[:start] = self.head
        copy(into[start:at], memoryview(self.body))
        for b in self.buffers:
            start = -(-at // _align) * _align
            into[at:start] = bytes(start - at)
            at = start + b.nbytes
            copy(into[start:at], b)

    def join(self) -> bytes:
        """The pack as a byte string."""
        if not self.buffers:
            return self.head + self.body
        out = bytearray(self.size)
        self.write(memoryview(out))
        return bytes(out)


# Large enough that the C library writes past the caches, which saves reading what is overwritten.
CHUNK = 128 << 20


def copy(into: memoryview, data: memoryview) -> None:
    """Copy bytes, in pieces, so that other threads have their turn: 15 ms or so for each."""
    n = into.nbytes
    if n <= CHUNK:
        into[:] = data
        return
    for at in range(0, n, CHUNK):
        into[at : at + CHUNK] = data[at : at + CHUNK]


def parts(obj: Any, dump: Optional[Callable[[Any, Callable[[Any], Any]], bytes]] = None) -> Parts:
    """Pickle an object, without copying the memory of arrays in it.

    dump(obj, buffer_callback) makes the pickle; by default `tutti._pickle`'s, which knows functions
    and classes by value. The object must not change before the parts are written.
    """
    if type(obj) in _simple:
        data = pickle.dumps(obj, 5)
        return Parts(_plain(data), data, ())
    found: List[memoryview] = []

    def take(buffer: pickle.PickleBuffer) -> bool:
        try:
            raw = buffer.raw()
        except BufferError:  # not contiguous: inside the pickle
            return True
        if raw.nbytes < BIG:
            return True
        found.append(raw)
        return False

    data = (dump or default_dump())(obj, take)
    if not found:
        return Parts(_plain(data), data, ())
    sizes = struct.pack("<%dQ" % len(found), *(b.nbytes for b in found))
    return Parts(_head.pack(MAGIC, len(found), len(data)) + sizes, data, found)


def dumps(obj: Any) -> bytes:
    """The pack of an object, as a byte string."""
    if type(obj) in _simple:
        data = pickle.dumps(obj, 5)
        return _plain(data) + data
    return parts(obj).join()


_dump: Optional[Callable[[Any, Callable[[Any], Any]], bytes]] = None


def default_dump() -> Callable[[Any, Callable[[Any], Any]], bytes]:
    """How objects are pickled where nothing else is asked for."""
    global _dump
    if _dump is None:
        try:
            from ._pickle import dumps as by_value
        except ImportError:
            _dump = _dump_plain
        else:
            _dump = lambda obj, take: by_value(obj, buffer_callback=take)  # noqa: E731
    return _dump


def _dump_plain(obj: Any, take: Callable[[Any], Any]) -> bytes:
    return pickle.dumps(obj, 5, buffer_callback=take)


class _Unpickler(pickle.Unpickler):
    args: Sequence[Any] = ()

    def persistent_load(self, pid: Any) -> Any:
        if type(pid) is tuple and len(pid) == 2 and pid[0] == "arg":
            return self.args[pid[1]]
        raise pickle.UnpicklingError("an unknown persistent id: %r" % (pid,))


def split(data: Any) -> Tuple[memoryview, List[memoryview]]:
    """The pickle and the buffers of a pack, as views of it."""
    view = memoryview(data)
    if view.nbytes < _head.size:
        raise ValueError("not a pack: %d bytes" % view.nbytes)
    magic, n, length = _head.unpack_from(view)
    if magic != MAGIC:
        raise ValueError("not a pack: it begins with %r" % bytes(view[:8]))
    at = _head.size + 8 * n
    if at + length > view.nbytes:
        raise ValueError("a pack of %d bytes has a pickle of %d" % (view.nbytes, length))
    body = view[at : at + length]
    if not n:
        return body, []
    at += length
    buffers = []
    for size in struct.unpack_from("<%dQ" % n, view, _head.size):
        at = -(-at // _align) * _align
        if at + size > view.nbytes:
            raise ValueError("a pack of %d bytes has a buffer that ends at %d" % (view.nbytes, at + size))
        buffers.append(view[at : at + size])
        at += size
    return body, buffers


def loads(data: Any, args: Optional[Sequence[Any]] = None) -> Any:
    """The object of a pack. Arrays in it are views of `data`, which must stay as it is.

    args stand for the pickle's persistent ids: args[i] for ("arg", i).
    """
    body, buffers = split(data)
    if args is None:
        return pickle.loads(body, buffers=buffers)
    u = _Unpickler(io.BytesIO(body), buffers=buffers)
    u.args = args
    return u.load()


# ---------------------------------------------------------------------------------------------
# Other codecs: what comes from Go.

_raw = {
    16: ("b", "i1"), 17: ("h", "i2"), 18: ("i", "i4"), 19: ("q", "i8"),
    20: ("B", "u1"), 21: ("H", "u2"), 22: ("I", "u4"), 23: ("Q", "u8"),
    24: ("f", "f4"), 25: ("d", "f8"), 26: (None, "c8"), 27: (None, "c16"),
}  # fmt: skip


def decode(codec: int, data: Any, args: Optional[Sequence[Any]] = None) -> Any:
    """The object that a value of any codec stands for.

    Slices of numbers become numpy arrays, or memoryviews where there is no numpy; they are views of data.
    """
    if codec == PICKLE:
        return loads(data, args)
    if codec == NONE:
        return None
    if codec == CBOR:
        return cbor(data)
    if codec in _raw:
        letter, name = _raw[codec]
        try:
            import numpy
        except ImportError:
            if letter is None:
                raise TypeError("complex numbers from Go need numpy here") from None
            return memoryview(data).cast(letter)
        return numpy.frombuffer(data, dtype="<" + name)
    raise TypeError("values of codec %d cannot be read by Python" % codec)


def cbor(data: Any) -> Any:
    """The object that CBOR (RFC 8949) stands for. Unknown tags are left out."""
    obj, at = _cbor(memoryview(data), 0, 0)
    if at != len(data):
        raise ValueError("CBOR: %d bytes too many" % (len(data) - at))
    return obj


_BREAK = object()


def _cbor(b: memoryview, at: int, depth: int) -> Tuple[Any, int]:
    if depth > 500 or at >= len(b):
        raise ValueError("CBOR: too deep" if depth > 500 else "CBOR: too short")
    major, info = b[at] >> 5, b[at] & 31
    at += 1
    n: Optional[int] = info
    if 24 <= info <= 27:
        size = 1 << (info - 24)
        if at + size > len(b):
            raise ValueError("CBOR: too short")
        n = int.from_bytes(b[at : at + size], "big")
        at += size
    elif info == 31:
        n = None
    elif info > 27:
        raise ValueError("CBOR: a reserved length")
    if major == 0 and n is not None:
        return n, at
    if major == 1 and n is not None:
        return -1 - n, at
    if major in (2, 3):
        return _cbor_text(b, at, n, major, depth)
    if major == 4:
        items = []
        while n is None or len(items) < n:
            item, at = _cbor(b, at, depth + 1)
            if item is _BREAK:
                break
            items.append(item)
        return items, at
    if major == 5:
        pairs = {}
        count = 0
        while n is None or count < n:
            key, at = _cbor(b, at, depth + 1)
            if key is _BREAK:
                break
            pairs[key], at = _cbor(b, at, depth + 1)
            count += 1
        return pairs, at
    if major == 6:
        return _cbor(b, at, depth + 1)
    return _cbor_special(info, n, at)


def _cbor_text(b: memoryview, at: int, n: Optional[int], major: int, depth: int) -> Tuple[Any, int]:
    if n is None:
        pieces = []
        while True:
            piece, at = _cbor(b, at, depth + 1)
            if piece is _BREAK:
                return (b"" if major == 2 else "").join(pieces), at
            pieces.append(piece)
    if at + n > len(b):
        raise ValueError("CBOR: too short")
    raw = bytes(b[at : at + n])
    return (raw if major == 2 else raw.decode()), at + n


def _cbor_special(info: int, n: Optional[int], at: int) -> Tuple[Any, int]:
    if info == 31:
        return _BREAK, at
    formats = {25: ("e", 2), 26: ("f", 4), 27: ("d", 8)}
    if info in formats:
        letter, size = formats[info]
        return struct.unpack(">" + letter, (n or 0).to_bytes(size, "big"))[0], at
    values = {20: False, 21: True, 22: None, 23: None}
    if info in values:
        return values[info], at
    raise ValueError("CBOR: simple value %s" % n)

"""Collective operations on objects.

Every rank first contributes a frame of fixed length, which holds its object if that is short. Otherwise all know
from the frames what is still to come, and that some rank could not pickle its object, so that all
raise and none waits for ever.
"""

from __future__ import annotations

import struct

from ._error import Error, invalid
from ._types import DATATYPES, SUM

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

BYTE = DATATYPES["BYTE"]
FRAME, ROOM = 256, 240
_FRONT = struct.Struct("qq")  # length of what follows, the longest that this rank sends; -1: it could not pickle


def _combine(op: Callable[[Any, Any], Any], objs: Sequence[Any]) -> Any:
    """Combines objects from the left."""
    acc = objs[0]
    for x in objs[1:]:
        acc = op(acc, x)
    return acc


class Objects:
    """The lower-case collective operations of a communicator."""

    def _blob(self, obj: Any) -> bytes:
        """An object as one piece of memory."""
        head, parts, _ = self._encode(obj)
        return head if parts is None else b"".join([head, *[memoryview(p).cast("B") if memoryview(p).c_contiguous else p.raw() for p in parts]])

    def _unblob(self, blob: Any) -> Any:
        """The object of what _blob gave."""
        kind, sizes = self._sizes(blob)
        if sizes is None:
            return self._decode(blob)
        at = 8 + 8 * (len(sizes) + 1)
        view = memoryview(blob)
        parts: list[Any] = []
        for i, n in enumerate(sizes):
            part = view[at:at + n]
            parts.append((bytearray(part) if kind == 8 else bytes(part)) if i == 0 else part)
            at += n
        return self._build(kind, parts)

    def _frames(self, blobs: Sequence[bytes]) -> bytearray:
        out = bytearray(FRAME * len(blobs))
        most = max(map(len, blobs))
        for i, b in enumerate(blobs):
            _FRONT.pack_into(out, FRAME * i, len(b), most)
            if len(b) <= ROOM:
                out[FRAME * i + 16:FRAME * i + 16 + len(b)] = b
        return out

    def _blobs(self, objs: Sequence[Any]) -> tuple[list[bytes], bytearray, BaseException | None]:
        """Encodes objects; where that fails, frames that say so."""
        try:
            blobs = [self._blob(o) for o in objs]
            return blobs, self._frames(blobs), None
        except Exception as e:
            return [], bytearray(_FRONT.pack(-1, -1).ljust(FRAME, b"\0") * len(objs)), e

    def _fronts(self, frames: bytearray, op: str, bad: BaseException | None) -> list[tuple[int, int]]:
        """The fronts of frames; raises if a rank could not pickle."""
        fronts = [_FRONT.unpack_from(frames, i) for i in range(0, len(frames), FRAME)]
        if bad is not None:
            raise bad
        for r, (n, _) in enumerate(fronts):
            if n < 0:
                raise Error(16, "invalid", op, self.rank, r if len(fronts) > 1 else -1, -1,
                            f"mpi: {op} on rank {self.rank}: {f'rank {r}' if len(fronts) > 1 else 'the root'} could not pickle its object")
        return fronts

    def _short(self, frames: bytearray, sizes: Sequence[int]) -> list[Any]:
        return [self._decode(bytes(frames[FRAME * i + 16:FRAME * i + 16 + n])) for i, n in enumerate(sizes)]

    def _cut(self, data: bytearray, sizes: Sequence[int]) -> list[Any]:
        view, at, out = memoryview(data), 0, []
        for n in sizes:
            out.append(self._unblob(bytearray(view[at:at + n])))
            at += n
        return out

    def bcast(self, obj: Any, root: int = 0) -> Any:
        """Gives all ranks the root's object."""
        if self.rank != root:
            frame = bytearray(FRAME)
            self.Bcast([frame, BYTE], root)
            (n, apart), = self._fronts(frame, "bcast", None)
            head: Any = bytes(frame[16:16 + n])
            if n > ROOM:
                head = bytearray(n)
                self.Bcast([head, BYTE], root)
            if not apart:
                return self._decode(head)
            kind, sizes = self._sizes(head)
            parts: list[Any] = []
            for i, n in enumerate(sizes):
                part = bytearray(n)
                self.Bcast([part, BYTE], root)
                parts.append(bytes(part) if i == 0 and kind != 8 else part)
            return self._build(kind, parts)
        bad = None
        try:
            head, later, _ = self._encode(obj)
        except Exception as e:
            bad, head, later = e, b"", None
        frame = bytearray(_FRONT.pack(-1 if bad else len(head), later is not None) + (head if len(head) <= ROOM else b"")).ljust(FRAME, b"\0")
        self.Bcast([frame, BYTE], root)
        if bad is not None:
            raise bad
        if len(head) > ROOM:
            self.Bcast([head, BYTE], root)
        for part in later or ():
            self.Bcast([part, BYTE], root)
        return obj

    def allgather(self, sendobj: Any) -> list[Any]:
        """The objects of all ranks, on all."""
        blobs, mine, bad = self._blobs([sendobj])
        frames = bytearray(FRAME * self.size)
        self.Allgather([mine, BYTE], [frames, BYTE])
        sizes = [n for n, _ in self._fronts(frames, "allgather", bad)]
        if max(sizes) <= ROOM:
            return self._short(frames, sizes)
        data = bytearray(sum(sizes))
        self.Allgatherv([blobs[0], BYTE], [data, sizes, BYTE])
        return self._cut(data, sizes)

    def gather(self, sendobj: Any, root: int = 0) -> list[Any] | None:
        """The objects of all ranks, on the root; None elsewhere."""
        self._check_root("gather", root)
        blobs, mine, bad = self._blobs([sendobj])
        frames = bytearray(FRAME * self.size)
        self.Allgather([mine, BYTE], [frames, BYTE])
        sizes = [n for n, _ in self._fronts(frames, "gather", bad)]
        here = self.rank == root
        if max(sizes) <= ROOM:
            return self._short(frames, sizes) if here else None
        data = bytearray(sum(sizes) if here else 0)
        self.Gatherv([blobs[0], BYTE], [data, sizes, BYTE] if here else None, root)
        return self._cut(data, sizes) if here else None

    def scatter(self, sendobj: Sequence[Any] | None, root: int = 0) -> Any:
        """The r-th of the root's objects, on rank r."""
        self._check_root("scatter", root)
        frame = bytearray(FRAME)
        blobs: list[bytes] = []
        frames, bad = None, None
        if self.rank == root:
            try:
                objs = list(sendobj)  # type: ignore[arg-type]
                if len(objs) != self.size:
                    raise ValueError(f"{len(objs)} objects are to be scattered over {self.size} ranks")
                blobs, frames, bad = self._blobs(objs)
            except (TypeError, ValueError) as e:
                bad = e
                frames = bytearray(_FRONT.pack(-1, -1).ljust(FRAME, b"\0") * self.size)
        self.Scatter([frames, BYTE] if frames is not None else None, [frame, BYTE], root)
        (n, most), = self._fronts(frame, "scatter", bad)
        if most <= ROOM:
            return self._short(frame, [n])[0]
        mine = bytearray(n)
        sizes = [len(b) for b in blobs]
        self.Scatterv([b"".join(blobs), sizes, BYTE] if self.rank == root else None, [mine, BYTE], root)
        return self._unblob(mine)

    def alltoall(self, sendobj: Sequence[Any]) -> list[Any]:
        """Sends the r-th object to rank r: the objects of all ranks for this one."""
        objs = list(sendobj)
        if len(objs) != self.size:
            raise invalid("alltoall", f"{len(objs)} objects for {self.size} ranks", 2)
        blobs, out, bad = self._blobs(objs)
        frames = bytearray(FRAME * self.size)
        self.Alltoall([out, BYTE], [frames, BYTE])
        fronts = self._fronts(frames, "alltoall", bad)
        sizes = [n for n, _ in fronts]
        if max(most for _, most in fronts) <= ROOM:
            return self._short(frames, sizes)
        data = bytearray(sum(sizes))
        self.Alltoallv([b"".join(blobs), [len(b) for b in blobs], BYTE], [data, sizes, BYTE])
        return self._cut(data, sizes)

    def reduce(self, sendobj: Any, op: Callable[[Any, Any], Any] = SUM, root: int = 0) -> Any:
        """Combines the objects of all ranks, in their order, on the root; None elsewhere."""
        objs = self.gather(sendobj, root)
        return None if objs is None else _combine(op, objs)

    def allreduce(self, sendobj: Any, op: Callable[[Any, Any], Any] = SUM) -> Any:
        """Combines the objects of all ranks, in their order, on all."""
        return _combine(op, self.allgather(sendobj))

    def scan(self, sendobj: Any, op: Callable[[Any, Any], Any] = SUM) -> Any:
        """Combines the objects of the ranks up to this one."""
        return _combine(op, self.allgather(sendobj)[:self.rank + 1])

    def exscan(self, sendobj: Any, op: Callable[[Any, Any], Any] = SUM) -> Any:
        """Combines the objects of the ranks before this one; None on rank 0."""
        objs = self.allgather(sendobj)[:self.rank]
        return _combine(op, objs) if objs else None

    def barrier(self) -> None:
        """Returns when all ranks have called it."""
        self.Barrier()

    def _check_root(self, op: str, root: int) -> None:
        if not 0 <= root < self.size:
            raise invalid(op, f"there is no root {root}: the communicator has {self.size} ranks", 8)


class Pickle:
    """How objects become bytes. `pickle.__init__(dumps, loads)` chooses other functions, as mpi4py's does."""

    def __init__(self, dumps: Callable[..., bytes] | None = None, loads: Callable[..., Any] | None = None,
                 protocol: int | None = None) -> None:
        import _pickle as pickle  # module pickle, without what only its slow half needs

        from ._load import ext

        own = dumps is None and loads is None and protocol in (None, 5)
        if dumps is None and protocol is not None and not own:
            self._dumps: Callable[..., bytes] = lambda obj: pickle.dumps(obj, protocol)
        else:
            self._dumps = dumps or pickle.dumps
        self._loads = loads or pickle.loads
        self.PROTOCOL = 5 if protocol is None else protocol
        ext.set_pickle(self._dumps, self._loads, own)

    def dumps(self, obj: Any) -> bytes:
        """An object as bytes."""
        return self._dumps(obj)

    def loads(self, data: Any) -> Any:
        """The object of bytes."""
        return self._loads(data)


pickle = Pickle()

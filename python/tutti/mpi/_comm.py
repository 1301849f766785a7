"""Communicators."""

from __future__ import annotations


from . import _types as t
from ._error import invalid
from ._group import Group
from ._load import ext
from ._object import Objects
from ._request import Message, ObjectRecv, ObjectSend, Request, Status
from ._types import ANY_SOURCE, ANY_TAG, UNDEFINED

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

# What objects one behind the other are told by numbers: the words of MPI for attributes of a program.
_keyvals: dict[int, Any] = {}


class Comm(Objects, ext.Comm):
    """An ordered set of ranks with a message space of its own.

    Methods in capitals take buffers: any object with memory, or [data, type], [data, count, type],
    [data, (counts, displs), type]; memory that is not contiguous is packed. Methods in lower case take any object that
    can be pickled. Any thread may call; collective calls must come in the same order on all ranks.
    """

    def __init__(self, comm: Comm | None = None) -> None:
        self._pending: list[ObjectRecv] = []
        self._world: Comm = self
        self._attrs: dict[int, Any] = {}
        self._errhandler: Any = t.ERRORS_RETURN
        if comm is not None:
            self._handle, self._world = comm._handle, comm._world
            if comm._world is comm:
                self._world = comm

    def _made(self, handle: int, kind: type[Comm] | None = None) -> Comm:
        """The communicator that came out of a call on this one."""
        if handle == 0:
            return COMM_NULL
        made = (kind or Intracomm)()
        made._handle, made._world, made._errhandler = handle, self._world, self._errhandler
        return made

    # --- Objects ---------------------------------------------------------------------------------

    def isend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Begins to send an object."""
        return self._begin(obj, dest, tag, self.Isend)

    def issend(self, obj: Any, dest: int, tag: int = 0) -> Request:
        """Begins to send an object; done when the receive has begun."""
        return self._begin(obj, dest, tag, self.Issend)

    bsend = ext.Comm.send
    Bsend = Rsend = ext.Comm.Send
    Ibsend = Irsend = ext.Comm.Isend
    ibsend = isend

    def _begin(self, obj: Any, dest: int, tag: int, begin: Callable[..., Request]) -> Request:
        head, parts, apart = self._encode(obj)
        first = begin(head, dest, tag)
        return ObjectSend(self, [first] + [self.Isend(p, dest, apart) for p in parts or ()], (head, parts))

    def _send_meanwhile(self, obj: Any, dest: int, tag: int, sync: int) -> None:
        (self.issend if sync else self.isend)(obj, dest, tag)._wait()

    def irecv(self, buf: Any = None, source: int = ANY_SOURCE, tag: int = ANY_TAG) -> Request:
        """Begins to receive an object, of any length; buf is not used."""
        self.Iprobe(source, tag)  # says at once if there is no such rank
        return ObjectRecv(self, source, tag)

    def _recv_after(self, source: int, tag: int, status: Status | None) -> Any:
        return ObjectRecv(self, source, tag).wait(status)

    def sendrecv(self, sendobj: Any, dest: int, sendtag: int = 0, recvbuf: Any = None, source: int = ANY_SOURCE,
                 recvtag: int = ANY_TAG, status: Status | None = None) -> Any:
        """Sends an object and receives one, at once."""
        r = self.isend(sendobj, dest, sendtag)
        obj = self.recv(recvbuf, source, recvtag, status)
        r.wait()
        return obj

    probe = ext.Comm.Probe
    iprobe = ext.Comm.Iprobe

    def Mprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message:
        """Waits for a message and sets it aside, so that only the Message's Recv or recv gets it."""
        m = self._mprobe(source, tag, status)
        m._comm = self
        return m

    def Improbe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message | None:
        """Mprobe that does not wait: None if there is no message."""
        m = self._improbe(source, tag, status)
        if m is not None:
            m._comm = self
        return m

    def mprobe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message:
        """Mprobe of an object."""
        m = self.Mprobe(source, tag, status)
        m._take()
        return m

    def improbe(self, source: int = ANY_SOURCE, tag: int = ANY_TAG, status: Status | None = None) -> Message | None:
        """Improbe of an object."""
        m = self.Improbe(source, tag, status)
        if m is not None:
            m._take()
        return m

    # --- Communicators ---------------------------------------------------------------------------

    def Dup(self, info: Any = None) -> Comm:
        """A communicator of the same ranks with a message space of its own. Collective."""
        return self._made(self._dup(), type(self))

    Clone = Dup

    def Split(self, color: int = 0, key: int = 0) -> Comm:
        """One communicator for each color, ranks in the order of keys; COMM_NULL for color UNDEFINED. Collective."""
        if color < 0 and color != UNDEFINED:
            raise invalid("Split", f"color {color}: it must not be negative")
        return self._made(self._split(color, key))

    def Split_type(self, split_type: int, key: int = 0, info: Any = None) -> Comm:
        """Communicators of ranks that share memory (COMM_TYPE_SHARED). Collective."""
        if split_type not in (t.COMM_TYPE_SHARED, UNDEFINED):
            raise invalid("Split_type", f"{split_type} is no type: COMM_TYPE_SHARED or UNDEFINED can be")
        if split_type == UNDEFINED:
            return self.Split(UNDEFINED, key)
        return self._made(self._split_shared(key))

    def Create(self, group: Group) -> Comm:
        """The communicator of a group's ranks, in its order; COMM_NULL on others. All ranks call it. Collective."""
        mine = self.Get_group()
        if any(m not in mine._members for m in group._members):
            raise invalid("Create", "the group has ranks that are not in the communicator", 9)
        rank = group.Get_rank()
        return self.Split(UNDEFINED if rank == UNDEFINED else 0, max(rank, 0))

    def Free(self) -> None:
        """Gives the communicator up. What is under way on it fails."""
        self._free()

    Disconnect = Free

    def Get_group(self) -> Group:
        """The group of its ranks."""
        if self is COMM_SELF:
            me = COMM_WORLD.Get_rank()
            return Group([me], me)
        members = self._members(self._world)
        return Group(members, members[self.rank])

    group = property(Get_group)

    @classmethod
    def Compare(cls, comm1: Comm, comm2: Comm) -> int:
        """IDENT, CONGRUENT (same ranks in the same order), SIMILAR (same ranks) or UNEQUAL."""
        if comm1._handle == comm2._handle:
            return t.IDENT
        if comm1._world is not comm2._world and COMM_SELF not in (comm1, comm2):
            return t.UNEQUAL
        return {t.IDENT: t.CONGRUENT}.get(c := Group.Compare(comm1.Get_group(), comm2.Get_group()), c)

    def Is_inter(self) -> bool:
        """False: there are no intercommunicators."""
        return False

    def Is_intra(self) -> bool:
        """True."""
        return True

    is_inter, is_intra = property(Is_inter), property(Is_intra)

    def Get_topology(self) -> int:
        """CART of a grid, UNDEFINED otherwise."""
        return UNDEFINED

    topology = property(Get_topology)

    def Get_name(self) -> str:
        """What messages for people call it."""
        return self._get_name()

    def Set_name(self, name: str) -> None:
        """Changes the name, on this rank."""
        self._set_name(name)

    name = property(Get_name, Set_name)

    def Get_attr(self, keyval: int) -> Any:
        """The value of an attribute, None if there is none: TAG_UB, WTIME_IS_GLOBAL, UNIVERSE_SIZE, or a program's own."""
        if keyval == t.TAG_UB:
            return self._tag_ub() // 2  # parts of objects travel above
        if keyval == t.WTIME_IS_GLOBAL:
            return True
        if keyval == t.UNIVERSE_SIZE:
            return COMM_WORLD.Get_size()
        return self._attrs.get(keyval)

    def Set_attr(self, keyval: int, attrval: Any) -> None:
        """Keeps a value with the communicator, on this rank."""
        self._attrs[keyval] = attrval

    def Delete_attr(self, keyval: int) -> None:
        """Forgets it."""
        self._attrs.pop(keyval, None)

    @classmethod
    def Create_keyval(cls, copy_fn: Any = None, delete_fn: Any = None, nopython: bool = False) -> int:
        """A number for an attribute."""
        _keyvals[n := 1000 + len(_keyvals)] = True
        return n

    @classmethod
    def Free_keyval(cls, keyval: int) -> int:
        """Gives the number up."""
        return UNDEFINED

    def Set_errhandler(self, errhandler: Any) -> None:
        """ERRORS_RETURN: errors are raised, the default. ERRORS_ARE_FATAL: they end the job at once."""
        if errhandler not in (t.ERRORS_RETURN, t.ERRORS_ARE_FATAL):
            raise TypeError("ERRORS_RETURN or ERRORS_ARE_FATAL is wanted")
        self._fatal(errhandler is t.ERRORS_ARE_FATAL)
        self._errhandler = errhandler

    def Get_errhandler(self) -> Any:
        """What was set."""
        return self._errhandler

    def Abort(self, errorcode: int = 0) -> None:
        """Ends the job: this process with the code, and all others."""
        import sys

        sys.stdout.flush()
        sys.stderr.flush()
        self._abort(errorcode)

    def Revoke(self) -> None:
        """Makes the pending and all later calls of all ranks on it raise an Error of kind "revoked". One rank is enough."""
        self._revoke()

    def Is_revoked(self) -> bool:
        """Whether it was revoked."""
        from ._error import Error

        try:
            self.Iprobe(self.rank, 0)
        except Error as e:
            return e.kind == "revoked"
        return False

    def waiting(self) -> str:
        """For every rank of the world a line that says what it waits for: the way to read a deadlock."""
        return self._waiting()

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Comm) and self._handle == other._handle

    def __hash__(self) -> int:
        return hash(self._handle)

    def __bool__(self) -> bool:
        return self._handle != 0

    def __reduce__(self) -> Any:
        for name, comm in (("COMM_WORLD", COMM_WORLD), ("COMM_SELF", COMM_SELF), ("COMM_NULL", COMM_NULL)):
            if self is comm:
                return _comm, (name,)
        raise TypeError("a communicator cannot be pickled")

    def __repr__(self) -> str:
        return f"<tutti.mpi.{type(self).__name__} {self._handle}>"

    # --- Not here --------------------------------------------------------------------------------

    def Spawn(self, *args: Any, **kwargs: Any) -> Any:
        """Dynamic processes are not here."""
        raise NotImplementedError("tutti.mpi has no dynamic processes (Spawn); start all ranks at once: tutti run -n 1 a : -n 3 b")

    Spawn_multiple = Spawn

    def Accept(self, *args: Any, **kwargs: Any) -> Any:
        """Ports are not here."""
        raise NotImplementedError("tutti.mpi has no ports between worlds (Accept, Connect)")

    Connect = Accept

    def Create_intercomm(self, *args: Any, **kwargs: Any) -> Any:
        """Intercommunicators are not here."""
        raise NotImplementedError("tutti.mpi has no intercommunicators")

    def Create_graph(self, *args: Any, **kwargs: Any) -> Any:
        """Graph topologies are not here."""
        raise NotImplementedError("tutti.mpi has no graph topologies; Create_cart makes grids")

    Create_dist_graph = Create_dist_graph_adjacent = Create_graph

    def Alltoallw(self, *args: Any, **kwargs: Any) -> Any:
        """Blocks of differing types are not here."""
        raise NotImplementedError("tutti.mpi has no Alltoallw; Alltoallv of bytes does the same")

    Ialltoallw = Alltoallw


class Intracomm(Comm):
    """A communicator of one set of ranks: all are."""

    def Create_cart(self, dims: Sequence[int], periods: Sequence[bool] | bool | None = None, reorder: bool = False) -> Comm:
        """A communicator whose ranks lie on a grid; the last coordinate varies fastest. periods: where it is closed to a
        ring. Ranks beyond the grid get COMM_NULL. Collective."""
        dims = [int(dims)] if isinstance(dims, int) else [int(d) for d in dims]
        if periods is None or isinstance(periods, (bool, int)):
            periods = [bool(periods)] * len(dims)
        n = 1
        for d in dims:
            n *= d
        if n > self.size or any(d < 1 for d in dims) or len(periods) != len(dims):
            raise invalid("Create_cart", f"a grid {dims} (periods {list(periods)}) for {self.size} ranks", 12)
        handle = self._split(0 if self.rank < n else UNDEFINED, self.rank)
        return Cartcomm._on(self._made(handle, Cartcomm), dims, periods)

    def Create_group(self, group: Group, tag: int = 0) -> Comm:
        """Calls by the group's ranks alone are not here."""
        raise NotImplementedError("tutti.mpi has no Create_group, which only the group's ranks call; Create is called by all")


class Cartcomm(Intracomm):
    """A communicator whose ranks lie on a grid."""

    _dims: list[int]
    _periods: list[bool]

    @staticmethod
    def _on(made: Comm, dims: Sequence[int], periods: Sequence[bool]) -> Comm:
        if isinstance(made, Cartcomm) and made:
            made._dims, made._periods = list(dims), [bool(p) for p in periods]
        return made

    def Dup(self, info: Any = None) -> Comm:
        return Cartcomm._on(super().Dup(info), self._dims, self._periods)

    Clone = Dup

    def Get_topology(self) -> int:
        return t.CART

    topology = property(Get_topology)

    def Get_dim(self) -> int:
        """The number of dimensions."""
        return len(self._dims)

    dim = ndim = property(Get_dim)

    def Get_topo(self) -> tuple[list[int], list[int], list[int]]:
        """(dims, periods, coordinates of this rank)."""
        return list(self._dims), [int(p) for p in self._periods], self.Get_coords(self.rank)

    topo = property(Get_topo)
    dims = property(lambda self: list(self._dims))
    periods = property(lambda self: [int(p) for p in self._periods])
    coords = property(lambda self: self.Get_coords(self.rank))

    def Get_coords(self, rank: int) -> list[int]:
        """The coordinates of a rank."""
        if not 0 <= rank < self.size:
            raise invalid("Get_coords", f"there is no rank {rank}: the grid has {self.size}", 6)
        out = []
        for d in reversed(self._dims):
            out.append(rank % d)
            rank //= d
        return out[::-1]

    def Get_cart_rank(self, coords: Sequence[int]) -> int:
        """The rank at coordinates, which wrap round where the grid is closed."""
        rank = self._find(coords) if len(coords) == len(self._dims) else None
        if rank is None:
            raise invalid("Get_cart_rank", f"{list(coords)} is not on the grid {self._dims}")
        return rank

    def _find(self, coords: Sequence[int]) -> int | None:
        rank = 0
        for x, d, p in zip(coords, self._dims, self._periods):
            if p:
                x %= d
            if not 0 <= x < d:
                return None
            rank = rank * d + x
        return rank

    def Shift(self, direction: int, disp: int) -> tuple[int, int]:
        """(source, dest): from where and to where data move by disp along a direction; PROC_NULL beyond an edge."""
        if not 0 <= direction < len(self._dims):
            raise invalid("Shift", f"there is no direction {direction}", 12)

        def at(by: int) -> int:
            coords = self.Get_coords(self.rank)
            coords[direction] += by
            rank = self._find(coords)
            return t.PROC_NULL if rank is None else rank

        return at(-disp), at(disp)

    def Sub(self, remain_dims: Sequence[bool]) -> Comm:
        """Cuts the grid: the directions stay that remain_dims says. Collective."""
        if len(remain_dims) != len(self._dims):
            raise invalid("Sub", f"{len(remain_dims)} choices for {len(self._dims)} directions", 12)
        color = key = 0
        for x, d, keep in zip(self.Get_coords(self.rank), self._dims, remain_dims):
            if keep:
                key = key * d + x
            else:
                color = color * d + x
        made = self._made(self._split(color, key), Cartcomm)
        return Cartcomm._on(made, [d for d, k in zip(self._dims, remain_dims) if k], [p for p, k in zip(self._periods, remain_dims) if k])


def Compute_dims(nnodes: int, dims: int | Sequence[int]) -> list[int]:
    """Divides ranks over dimensions as evenly as possible, the larger first; entries that are not 0 are kept."""
    out = [0] * dims if isinstance(dims, int) else [int(d) for d in dims]
    for d in out:
        if d < 0 or (d and nnodes % d):
            raise invalid("Compute_dims", f"{nnodes} ranks cannot be divided by {out}", 12)
        nnodes //= d or 1
    free = [i for i, d in enumerate(out) if d == 0]
    if not free and nnodes != 1:
        raise invalid("Compute_dims", f"{out} is not all ranks", 12)
    for k, i in enumerate(free):
        left = len(free) - k
        out[i] = next(d for d in range(1, nnodes + 1) if nnodes % d == 0 and d ** left >= nnodes)
        nnodes //= out[i]
    return out


def _comm(name: str) -> Comm:
    return {"COMM_WORLD": COMM_WORLD, "COMM_SELF": COMM_SELF, "COMM_NULL": COMM_NULL}[name]


COMM_NULL = Intracomm()
COMM_WORLD = Intracomm()
COMM_WORLD._handle = 1
COMM_SELF = Intracomm()
COMM_SELF._handle = 2

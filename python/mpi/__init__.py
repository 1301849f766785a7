"""mpi: message passing with the names, argument order and results of MYMPI, for the standard interpreter.

    import sys, mpi
    sys.argv = mpi.mpi_init(len(sys.argv), sys.argv)
    me = mpi.mpi_comm_rank(mpi.MPI_COMM_WORLD)
    total = mpi.mpi_reduce([me], 1, mpi.MPI_INT, mpi.MPI_SUM, 0, mpi.MPI_COMM_WORLD)
    mpi.mpi_finalize()

Every array result has one dimension and the type of the call's datatype: a numpy array where there is numpy, else one of
module array. A send buffer may be an array, list, tuple, text or scalar. Communicators, groups and requests are numbers.
Errors are raised as `Error` unless mpi_comm_set_errhandler says otherwise.
"""

from __future__ import annotations

import sys

from tutti.mpi._comm import COMM_SELF, COMM_WORLD, Comm
from tutti.mpi._error import Error, invalid
from tutti.mpi._group import Group
from tutti.mpi._load import ext
from tutti.mpi._request import Request, Status
from tutti.mpi._types import COMM_TYPE_SHARED, DATATYPES, OPS, PROC_NULL, ROOT, TAG_UB, UNDEFINED, UNIVERSE_SIZE, WTIME_IS_GLOBAL
from tutti.mpi._types import ANY_SOURCE, ANY_TAG, Datatype, Op
from tutti.mpi import _world

from . import _array

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence

MPI_COMM_NULL, MPI_COMM_WORLD, MPI_COMM_SELF = 0, 1, 2
MPI_INFO_NULL = MPI_GROUP_NULL = MPI_REQUEST_NULL = 0
MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_PROC_NULL, MPI_ROOT, MPI_UNDEFINED = ANY_SOURCE, ANY_TAG, PROC_NULL, ROOT, UNDEFINED
MPI_TAG_UB, MPI_WTIME_IS_GLOBAL, MPI_UNIVERSE_SIZE, MPI_COMM_TYPE_SHARED = TAG_UB, WTIME_IS_GLOBAL, UNIVERSE_SIZE, COMM_TYPE_SHARED
MPI_ERRORS_ARE_FATAL, MPI_ERRORS_RETURN = 0, 1
MPI_SUCCESS = 0
MPI_CHAR, MPI_BYTE, MPI_UNSIGNED_CHAR = DATATYPES["CHAR"], DATATYPES["BYTE"], DATATYPES["UNSIGNED_CHAR"]
MPI_SHORT, MPI_UNSIGNED_SHORT, MPI_INT, MPI_UNSIGNED = DATATYPES["SHORT"], DATATYPES["UNSIGNED_SHORT"], DATATYPES["INT"], DATATYPES["UNSIGNED"]
MPI_LONG, MPI_UNSIGNED_LONG, MPI_FLOAT, MPI_DOUBLE = DATATYPES["LONG"], DATATYPES["UNSIGNED_LONG"], DATATYPES["FLOAT"], DATATYPES["DOUBLE"]
MPI_COMPLEX, MPI_DOUBLE_COMPLEX = DATATYPES["COMPLEX"], DATATYPES["DOUBLE_COMPLEX"]
MPI_MAX, MPI_MIN, MPI_SUM, MPI_PROD = OPS["MAX"], OPS["MIN"], OPS["SUM"], OPS["PROD"]
MPI_LAND, MPI_BAND, MPI_LOR, MPI_BOR = OPS["LAND"], OPS["BAND"], OPS["LOR"], OPS["BOR"]
MPI_LXOR, MPI_BXOR, MPI_MINLOC, MPI_MAXLOC = OPS["LXOR"], OPS["BXOR"], OPS["MINLOC"], OPS["MAXLOC"]

_comms: dict[int, Comm] = {MPI_COMM_WORLD: COMM_WORLD, MPI_COMM_SELF: COMM_SELF}
_groups: dict[int, Group] = {}
_requests: dict[int, tuple[Request, Any, Callable[[], Any] | None]] = {}
_windows: dict[int, tuple[int, int]] = {}  # window: its number in the library, its disp_unit
_handlers: dict[int, int] = {}  # communicator: what mpi_comm_set_errhandler said
_next = 1000
_status = Status()
_code = 0



def _number() -> int:
    global _next
    _next += 1
    return _next


def _comm(comm: int) -> Comm:
    try:
        return _comms[comm]
    except (KeyError, TypeError):
        raise invalid("mpi", f"{comm!r} is no communicator", 5) from None


def _keep(made: Comm) -> int:
    if made._handle:
        _comms[made._handle] = made
    return made._handle


def _guarded(place: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A routine whose errors are treated as the handler of its communicator, the argument at `place`, says."""

    def wrap(f: Callable[..., Any]) -> Callable[..., Any]:
        def routine(*args: Any, **kwargs: Any) -> Any:
            global _code
            _code = 0
            try:
                return f(*args, **kwargs)
            except Error as e:
                _code = e.code
                comm = args[place] if -len(args) <= place < len(args) else MPI_COMM_WORLD
                flag = _handlers.get(comm, 0) if isinstance(comm, int) else 0
                if flag == 0:
                    raise
                if flag == 2:
                    print(e, file=sys.stderr, flush=True)
                return None

        routine.__name__ = routine.__qualname__ = f.__name__
        routine.__doc__, routine.__wrapped__ = f.__doc__, f  # type: ignore[attr-defined]
        return routine

    return wrap


def _sent(buf: Any, count: int, datatype: Datatype) -> list[Any]:
    """A send buffer of `count` elements."""
    memory = _array.to_buffer(buf, datatype)
    have = memoryview(memory).nbytes // datatype.Get_size()
    if have < count:
        raise invalid("mpi", f"the buffer has {have} elements, {count} are to be sent", 2)
    return [memory, count, datatype]


# --- Beginning and end --------------------------------------------------------------------------


def mpi_init(argc: int, argv: Sequence[str]) -> list[str]:
    """Joins the world, and gives the arguments of the program."""
    _world.Init()
    return list(argv)


def mpi_start(argc: int, command_line: str) -> Any:
    """mpi_init in an older form: an array [rank, size]."""
    _world.Init()
    return _array.integers([COMM_WORLD.Get_rank(), COMM_WORLD.Get_size()])


def mpi_finalize() -> None:
    """Leaves the world."""
    _world.Finalize()


def mpi_comm_rank(comm: int) -> int:
    """The calling rank."""
    return _comm(comm).Get_rank()


def mpi_comm_size(comm: int) -> int:
    """The number of ranks."""
    return _comm(comm).Get_size()


def mpi_get_processor_name() -> str:
    """The name of this machine."""
    return ext.processor_name()


def mpi_wtime() -> float:
    """Seconds of a clock that all processes of a machine share."""
    return ext.Wtime()


def mpi_wtick() -> float:
    """The resolution of mpi_wtime in seconds."""
    return ext.Wtick()


def mpi_error() -> int:
    """The error code of the previous call, 0 if it went well."""
    return _code


# --- From rank to rank --------------------------------------------------------------------------


@_guarded(5)
def mpi_send(buf: Any, count: int, datatype: Datatype, dest: int, tag: int, comm: int) -> None:
    """Sends count elements of buf."""
    _comm(comm).Send(_sent(buf, count, datatype), dest, tag)


@_guarded(4)
def mpi_recv(count: int, datatype: Datatype, source: int, tag: int, comm: int) -> Any:
    """Receives: an array of count elements, those behind a shorter message being zero."""
    memory, finish = _array.empty(count, datatype)
    _comm(comm).Recv([memory, datatype], source, tag, _status)
    return finish()


@_guarded(5)
def mpi_isend(buf: Any, count: int, datatype: Datatype, dest: int, tag: int, comm: int) -> int:
    """Begins to send; gives a request."""
    out = _sent(buf, count, datatype)
    _requests[n := _number()] = (_comm(comm).Isend(out, dest, tag), out, None)
    return n


@_guarded(4)
def mpi_irecv(count: int, datatype: Datatype, source: int, tag: int, comm: int) -> int:
    """Begins to receive; gives a request, for which mpi_wait gives the array."""
    memory, finish = _array.empty(count, datatype)
    _requests[n := _number()] = (_comm(comm).Irecv([memory, datatype], source, tag), memory, finish)
    return n


@_guarded(1)
def mpi_test(request: int) -> int:
    """1 if the request is done, else 0. mpi_wait is to be called all the same."""
    if request not in _requests:
        return 1
    return int(_requests[request][0]._done())


@_guarded(1)
def mpi_wait(request: int) -> Any:
    """Waits until the request is done: of a receive the array, None of a send. Sets the status."""
    if request not in _requests:
        raise invalid("mpi_wait", f"{request!r} is no request, or one that is done", 7)
    r, _, finish = _requests.pop(request)
    r.Wait(_status)
    return finish() if finish is not None else None


@_guarded(2)
def mpi_probe(source: int, tag: int, comm: int) -> None:
    """Waits until there is a message. Sets the status."""
    _comm(comm).Probe(source, tag, _status)


@_guarded(2)
def mpi_iprobe(source: int, tag: int, comm: int) -> int:
    """1 if there is a message, else 0. Sets the status."""
    return int(_comm(comm).Iprobe(source, tag, _status))


def mpi_status() -> Any:
    """An array [source, tag, error] of the last receive or probe."""
    return _array.integers([_status.source, _status.tag, _code or _status.error])


def mpi_get_count(datatype: Datatype) -> int:
    """How many elements the last receive or probe was about; MPI_UNDEFINED if its length is not a multiple."""
    _array.kind(datatype)
    return _status.Get_count(datatype)


# --- All ranks ----------------------------------------------------------------------------------


@_guarded(0)
def mpi_barrier(comm: int) -> None:
    """Returns when all ranks have called it."""
    _comm(comm).Barrier()


@_guarded(4)
def mpi_bcast(buf: Any, count: int, datatype: Datatype, root: int, comm: int) -> Any:
    """The root's buffer, on every rank."""
    c = _comm(comm)
    memory, finish = _array.empty(count, datatype)
    if c.Get_rank() == root:
        out = memoryview(_sent(buf, count, datatype)[0]).cast("B")
        size = count * datatype.Get_size()
        memoryview(memory).cast("B")[:size] = out[:size]
    c.Bcast([memory, count, datatype], root)
    return finish()


@_guarded(5)
def mpi_reduce(buf: Any, count: int, datatype: Datatype, op: Op, root: int, comm: int) -> Any:
    """All ranks' buffers combined, on the root; an array of length 0 elsewhere."""
    c = _comm(comm)
    here = c.Get_rank() == root
    memory, finish = _array.empty(count if here else 0, datatype)
    c.Reduce(_sent(buf, count, datatype), [memory, datatype] if here else None, op, root)
    return finish()


@_guarded(6)
def mpi_scatter(sendbuf: Any, sendcount: int, sendtype: Datatype, recvcount: int, recvtype: Datatype, root: int, comm: int) -> Any:
    """This rank's part, of sendcount elements, of the root's buffer."""
    c = _comm(comm)
    memory, finish = _array.empty(recvcount, recvtype)
    out = None
    if c.Get_rank() == root:
        out = [_sent(sendbuf, sendcount * c.Get_size(), sendtype)[0], sendcount, sendtype]
    c.Scatter(out, [memory, recvcount, recvtype], root)
    return finish()


@_guarded(7)
def mpi_scatterv(sendbuf: Any, sendcounts: Any, displs: Any, sendtype: Datatype, recvcount: int, recvtype: Datatype,
                 root: int, comm: int) -> Any:
    """This rank's part of the root's buffer: sendcounts[r] elements from displs[r] on go to rank r."""
    c = _comm(comm)
    memory, finish = _array.empty(recvcount, recvtype)
    out = None
    if c.Get_rank() == root:
        out = [_array.to_buffer(sendbuf, sendtype), _counts(sendcounts), _counts(displs), sendtype]
    c.Scatterv(out, [memory, recvcount, recvtype], root)
    return finish()


@_guarded(6)
def mpi_gather(sendbuf: Any, sendcount: int, sendtype: Datatype, recvcount: int, recvtype: Datatype, root: int, comm: int) -> Any:
    """The buffers of all ranks one behind the other, on the root; an array of length 0 elsewhere."""
    c = _comm(comm)
    here = c.Get_rank() == root
    memory, finish = _array.empty(recvcount * c.Get_size() if here else 0, recvtype)
    c.Gather(_sent(sendbuf, sendcount, sendtype), [memory, recvcount, recvtype] if here else None, root)
    return finish()


@_guarded(7)
def mpi_gatherv(sendbuf: Any, sendcount: int, sendtype: Datatype, recvcounts: Any, displs: Any, recvtype: Datatype,
                root: int, comm: int) -> Any:
    """The buffers of all ranks, on the root: recvcounts[r] elements of rank r at displs[r]; length 0 elsewhere."""
    c = _comm(comm)
    here = c.Get_rank() == root
    counts, places = (_counts(recvcounts), _counts(displs)) if here else ([], [])
    memory, finish = _array.empty(max((n + d for n, d in zip(counts, places)), default=0), recvtype)
    c.Gatherv(_sent(sendbuf, sendcount, sendtype), [memory, counts, places, recvtype] if here else None, root)
    return finish()


@_guarded(5)
def mpi_alltoall(sendbuf: Any, sendcount: int, sendtype: Datatype, recvcount: int, recvtype: Datatype, comm: int) -> Any:
    """Sends the r-th sendcount elements to rank r: what came from all ranks, in their order."""
    c = _comm(comm)
    n = c.Get_size()
    memory, finish = _array.empty(recvcount * n, recvtype)
    c.Alltoall([_sent(sendbuf, sendcount * n, sendtype)[0], sendcount, sendtype], [memory, recvcount, recvtype])
    return finish()


@_guarded(8)
def mpi_alltoallv(sendbuf: Any, sendcounts: Any, sdispls: Any, sendtype: Datatype, recvcounts: Any, rdispls: Any,
                  recvtype: Datatype, comm: int) -> Any:
    """mpi_alltoall of unequal parts, which lie at the displacements."""
    counts, places = _counts(recvcounts), _counts(rdispls)
    memory, finish = _array.empty(max((n + d for n, d in zip(counts, places)), default=0), recvtype)
    _comm(comm).Alltoallv([_array.to_buffer(sendbuf, sendtype), _counts(sendcounts), _counts(sdispls), sendtype],
                          [memory, counts, places, recvtype])
    return finish()


def _counts(x: Any) -> list[int]:
    return [int(v) for v in (x if hasattr(x, "__iter__") else [x])]


# --- Communicators and groups -------------------------------------------------------------------


@_guarded(0)
def mpi_comm_create(comm: int, group: int) -> int:
    """The communicator of a group's ranks; MPI_COMM_NULL on others."""
    return _keep(_comm(comm).Create(_group(group)))


@_guarded(0)
def mpi_comm_dup(comm: int) -> int:
    """A communicator of the same ranks with a message space of its own."""
    return _keep(_comm(comm).Dup())


@_guarded(0)
def mpi_comm_split(comm: int, color: int, key: int) -> int:
    """One communicator for each color; MPI_COMM_NULL for color MPI_UNDEFINED."""
    return _keep(_comm(comm).Split(color, key))


@_guarded(0)
def mpi_comm_split_type(comm: int, split_type: int, key: int, info: Any = MPI_INFO_NULL) -> int:
    """Communicators of ranks that share memory (MPI_COMM_TYPE_SHARED)."""
    return _keep(_comm(comm).Split_type(split_type, key))


@_guarded(0)
def mpi_comm_free(comm: int) -> None:
    """Gives a communicator up."""
    c = _comm(comm)
    c.Free()
    _comms.pop(comm, None)
    _handlers.pop(comm, None)


@_guarded(0)
def mpi_comm_group(comm: int) -> int:
    """The group of a communicator's ranks."""
    _groups[n := _number()] = _comm(comm).Get_group()
    return n


def _group(group: int) -> Group:
    try:
        return _groups[group]
    except (KeyError, TypeError):
        raise invalid("mpi", f"{group!r} is no group", 9) from None


@_guarded(3)
def mpi_group_incl(group: int, n: int, ranks: Any) -> int:
    """The group of the first n of the given ranks of a group."""
    _groups[made := _number()] = _group(group).Incl(_counts(ranks)[:n])
    return made


@_guarded(1)
def mpi_group_rank(group: int) -> int:
    """The calling rank's place, MPI_UNDEFINED if it is not in the group."""
    return _group(group).Get_rank()


def mpi_comm_set_errhandler(comm: int, flag: int) -> None:
    """0: an error is raised, which ends the job unless it is caught; 1: the call returns None and mpi_error() tells; 2: as 1, and
    the error is printed."""
    if flag not in (0, 1, 2):
        raise invalid("mpi_comm_set_errhandler", f"{flag!r}: 0, 1 or 2 can be")
    _comm(comm)
    _handlers[comm] = flag


@_guarded(0)
def mpi_attr_get(comm: int, keyval: int) -> Any:
    """The value of an attribute: MPI_TAG_UB, MPI_UNIVERSE_SIZE, MPI_WTIME_IS_GLOBAL."""
    value = _comm(comm).Get_attr(keyval)
    return int(value) if isinstance(value, bool) else value


# --- Memory in common ---------------------------------------------------------------------------


@_guarded(3)
def mpi_win_allocate_shared(size: int, disp_unit: int, info: Any, comm: int) -> tuple[int, int]:
    """Offers size bytes to all ranks: (window, address of this rank's part)."""
    handle, address = ext.win_allocate(_comm(comm), size)
    _windows[n := _number()] = (handle, disp_unit)
    return n, address


def _window(win: int) -> tuple[int, int]:
    if win not in _windows:
        raise invalid("mpi_win", f"{win!r} is no window", 45)
    return _windows[win]


@_guarded(2)
def mpi_win_shared_query(win: int, rank: int) -> tuple[int, int, int]:
    """(bytes, disp_unit, address) of a rank's part."""
    handle, unit = _window(win)
    size, address = ext.win_query(handle, rank)
    return size, unit, address


@_guarded(1)
def mpi_win_free(win: int) -> None:
    """Gives a window up, after a barrier."""
    ext.win_free(_window(win)[0])
    del _windows[win]


# --- What is not here ---------------------------------------------------------------------------


def _missing(name: str, what: str) -> Callable[..., Any]:
    def routine(*args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{name}: {what}")

    routine.__name__ = routine.__qualname__ = name
    routine.__doc__ = f"Not here: {what}."
    return routine


_DYNAMIC = "tutti has no dynamic processes; start all programs at once: tutti run -n 1 ./a : -n 3 ./b"
_PORTS = "tutti has no ports between worlds"
mpi_comm_spawn = _missing("mpi_comm_spawn", _DYNAMIC)
mpi_array_of_errcodes = _missing("mpi_array_of_errcodes", _DYNAMIC)
mpi_comm_get_parent = _missing("mpi_comm_get_parent", _DYNAMIC)
mpi_intercomm_merge = _missing("mpi_intercomm_merge", _DYNAMIC)
mpi_comm_disconnect = _missing("mpi_comm_disconnect", _DYNAMIC)
mpi_open_port = _missing("mpi_open_port", _PORTS)
mpi_close_port = _missing("mpi_close_port", _PORTS)
mpi_comm_accept = _missing("mpi_comm_accept", _PORTS)
mpi_comm_connect = _missing("mpi_comm_connect", _PORTS)
par_slu = _missing("par_slu", "the distributed sparse LU solver is not here yet")

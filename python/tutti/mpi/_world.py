"""The world: joining it, leaving it, and what happens when a rank fails."""

from __future__ import annotations

import atexit
import os
import sys

from . import rc
from ._comm import COMM_SELF, COMM_WORLD, Comm, Intracomm
from ._error import Error
from ._load import ext
from ._types import THREAD_MULTIPLE

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

_failed = False  # an uncaught exception ends this process
_pid = 0  # of the process that joined


def Init() -> None:
    """Joins the world in which this process was started, or makes a world of one. A second call does nothing."""
    global _pid
    if _pid:
        return
    ext.init()
    _pid = os.getpid()
    _hook()
    # What was registered before runs later: files are closed by those who opened them, then the world is left.
    atexit.register(_leave)


def Init_thread(required: int = THREAD_MULTIPLE) -> int:
    """Init; any thread may call."""
    Init()
    return THREAD_MULTIPLE


def Query_thread() -> int:
    """THREAD_MULTIPLE."""
    return THREAD_MULTIPLE


def Is_thread_main() -> bool:
    """Whether this is Python's main thread."""
    import threading

    return threading.current_thread() is threading.main_thread()


def Finalize() -> None:
    """Leaves the world. Every later call raises an Error of kind "closed"."""
    if Is_initialized() and not Is_finalized():
        ext.finalize()
        COMM_WORLD._known_size = COMM_SELF._known_size = -1


def Is_initialized() -> bool:
    """Whether the world has been joined, by us or by another library of this process."""
    return ext.initialized()


def Is_finalized() -> bool:
    """Whether it has been left."""
    return ext.finalized()


def _leave() -> None:
    # A rank that fails must not leave in order: by that its launcher knows that it failed.
    if rc.finalize and not _failed and os.getpid() == _pid and not Is_finalized():
        try:
            ext.finalize()
        except Error as e:
            print(f"tutti.mpi: {e}", file=sys.stderr)
            os._exit(1)


def _under_mpiexec() -> bool:
    return "TUTTI_MPI_SEGMENT" not in os.environ and COMM_WORLD.Get_size() > 1


def _hook() -> None:
    before = sys.excepthook

    def uncaught(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> Any:
        """Shows the traceback, and then ends the job: our launcher does that when this process ends, an mpiexec
        has to be told."""
        global _failed
        _failed = os.getpid() == _pid
        before(kind, value, trace)
        if _failed and not Is_finalized() and _under_mpiexec():
            sys.stderr.flush()
            sys.stdout.flush()
            ext.Comm._abort(COMM_WORLD, 1, f"{kind.__name__} on rank {COMM_WORLD.Get_rank()}")

    sys.excepthook = uncaught


class World:
    """This process's place in a world that was joined by `join`: comm, and leave()."""

    def __init__(self, comm: Comm) -> None:
        self.comm = comm
        self._members: list[Comm] = []

    def leave(self) -> None:
        """Leaves the world; its communicators cannot be used any more. A second call does nothing."""
        if self.comm._handle:
            self.comm._leave()

    def revoke(self) -> None:
        """Makes the pending and next calls of all ranks raise an Error of kind "revoked"."""
        self.comm._revoke()

    def lost(self, rank: int) -> None:
        """Tells all ranks that one has died; whoever started it knows first."""
        self.comm._lost(rank)

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and self.comm._handle:
            self.revoke()
        self.leave()


def join(where: int | str | os.PathLike[str], rank: int, size: int) -> World:
    """Makes this process rank `rank` of `size` of a world that somebody has arranged by giving all its processes the
    same memory: `where` is a descriptor, which stays the caller's, or a path. It does not wait for the others. A rank that
    dies revokes the world: the calls of the others raise an Error of kind "revoked", and a new world has to be made.
    A process may have several worlds, at a time and one after the other.
    """
    comm = Intracomm()
    if isinstance(where, int):
        comm._handle = ext.join(None, where, rank, size)
    else:
        comm._handle = ext.join(os.fspath(where), -1, rank, size)
    return World(comm)


def new_segment() -> int:
    """Makes the memory of a new world: a descriptor, to be given to each of its ranks. It has no name and goes away
    with its last descriptor."""
    return ext.new_segment()


def Get_version() -> tuple[int, int]:
    """The MPI standard that the names follow."""
    return 3, 1


def Get_library_version() -> str:
    """The version of tutti."""
    return "tutti " + ext.version()


def Get_processor_name() -> str:
    """The name of this machine."""
    return ext.processor_name()


__all__ = ["Init", "Init_thread", "Query_thread", "Is_thread_main", "Finalize", "Is_initialized", "Is_finalized", "World", "join",
           "new_segment", "Get_version", "Get_library_version", "Get_processor_name", "COMM_SELF"]

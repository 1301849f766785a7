"""On an engine of the parallel prompt: its place in the world of all of them.

The world stays from one input to the next, so that what is made of its communicator stays too. `tutti.mpi.COMM_WORLD`
and MYMPI's MPI_COMM_WORLD are this world: a script that was written for `tutti run` finds its ranks here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["enter", "revoke"]

_world: Any = None


def enter(path: str, rank: int, size: int) -> None:
    """Become a rank of the world whose memory the path leads to, and give the namespace `comm`, `MPI` and `mpi`."""
    global _world
    import mpi

    from . import mpi as MPI
    from .mpi import _comm
    from .mpi import _world as worlds

    if _world is not None:
        old, _world = _world, None
        try:
            old.leave()
        except worlds.Error:  # it was revoked: nobody is left in it
            pass
    _world = worlds.join(path, rank, size)
    everybody = _comm.COMM_WORLD
    everybody.__init__()  # type: ignore[misc]  # its rank and size are not those that were known
    everybody._handle = _world.comm._handle
    worlds._pid = os.getpid()  # it is joined: Init has nothing to do
    vars(sys.modules["__main__"]).update(comm=everybody, MPI=MPI, mpi=mpi)


def revoke() -> None:
    """Let the calls of all ranks that wait in the world end with an error."""
    if _world is not None:
        _world.revoke()

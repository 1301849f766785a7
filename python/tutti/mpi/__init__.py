"""tutti.mpi: message passing between Python processes, in the manner of mpi4py.

The nouns: a rank is one process of a program that was started several times (`tutti run -n 4
python3 script.py`); a communicator is an ordered set of ranks with a message space of its own,
COMM_WORLD being that of all; a Request is an operation under way, a Status says what came.

    from tutti import mpi as MPI

    comm = MPI.COMM_WORLD
    total = comm.allreduce(comm.rank)                  # any object: lower case
    comm.Allreduce([x, MPI.DOUBLE], [y, MPI.DOUBLE])   # memory as it is: capitals

The world is joined when a name is first taken from this module, or by Init() where
`tutti.mpi.rc.initialize` was set to False before. It is left at a normal exit; an uncaught exception ends the
job. A program started alone is a world of one. `join` makes this process a rank of a world that somebody
else has arranged.

Every error is an `Error` (also called Exception) with kind, op, rank, peer, tag and hint.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any


class rc:
    """What can be chosen before the first use of this module: as attributes, mpi4py's names."""

    initialize: bool = True  # join the world at first use
    finalize: bool = True  # leave it at a normal exit


def __getattr__(name: str) -> Any:
    # Everything else is loaded at the first use, so that rc can be set before.
    if name.startswith("_") and name != "_typedict":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    _face = import_module("._face", __name__)

    names = globals()
    for word in _face.__all__:
        names.setdefault(word, getattr(_face, word))
    if rc.initialize and name not in _face.WITHOUT_WORLD:
        _face.begin()
    try:
        return names[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    from importlib import import_module

    _face = import_module("._face", __name__)
    return sorted({"rc", *_face.__all__})

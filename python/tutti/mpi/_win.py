"""Memory in common: windows that all ranks of a machine read and write directly."""

from __future__ import annotations


from ._comm import Comm
from ._load import ext
from ._types import INFO_NULL

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any


class Win:
    """Memory that all ranks of a communicator have mapped. Views of it must not be used after Free."""

    def __init__(self, handle: int = 0, comm: Comm | None = None, disp_unit: int = 1) -> None:
        self._handle = handle
        self._comm = comm
        self._unit = disp_unit

    @classmethod
    def Allocate_shared(cls, size: int, disp_unit: int = 1, info: Any = INFO_NULL, comm: Comm | None = None) -> Win:
        """Offers `size` bytes, zero at first, and sees those of all ranks. All ranks of comm must share memory (see
        Comm.Split_type). Collective. disp_unit must be the same on all ranks."""
        from ._comm import COMM_SELF

        comm = comm if comm is not None else COMM_SELF
        handle, _ = ext.win_allocate(comm, size)
        return cls(handle, comm, disp_unit)

    def Shared_query(self, rank: int) -> tuple[memoryview, int]:
        """(the memory of a rank as a memoryview of bytes, disp_unit). PROC_NULL: the first rank that offers any."""
        if rank < 0:
            assert self._comm is not None
            rank = next((r for r in range(self._comm.size) if ext.win_query(self._handle, r)[0]), 0)
        size, address = ext.win_query(self._handle, rank)
        return ext.view(address, size), self._unit

    def tomemory(self) -> memoryview:
        """This rank's own part."""
        assert self._comm is not None
        return self.Shared_query(self._comm.rank)[0]

    @property
    def memory(self) -> memoryview:
        """This rank's own part."""
        return self.tomemory()

    def Sync(self) -> None:
        """A barrier: what was written before it on any rank is seen after it on all. Collective."""
        ext.win_sync(self._handle)

    def Fence(self, assertion: int = 0) -> None:
        """Sync."""
        self.Sync()

    def Lock_all(self, assertion: int = 0) -> None:
        """Nothing is to be done for memory in common."""

    def Unlock_all(self) -> None:
        """Nothing is to be done for memory in common."""

    def Free(self) -> None:
        """Gives the window up, after a barrier. Collective."""
        if self._handle:
            ext.win_free(self._handle)
            self._handle = 0

    @classmethod
    def Create(cls, *args: Any, **kwargs: Any) -> Win:
        """One-sided communication is not here."""
        raise NotImplementedError("tutti.mpi has no one-sided windows (Win.Create, Win.Allocate, Put, Get); Win.Allocate_shared is memory in common")

    Allocate = Create_dynamic = Create

    def Put(self, *args: Any, **kwargs: Any) -> None:
        """One-sided communication is not here."""
        raise NotImplementedError("tutti.mpi has no Put, Get or Accumulate: write to the memory of Shared_query")

    Get = Accumulate = Put

    def __bool__(self) -> bool:
        return self._handle != 0


WIN_NULL = Win()

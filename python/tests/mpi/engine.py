"""A plain process that joins three worlds one after the other, as engines do; in the second one a rank raises."""

import sys

from tutti import mpi

rank, size, *fds = map(int, sys.argv[1:])

with mpi.join(fds[0], rank, size) as world:
    first = world.comm.allreduce(1)
    assert world.comm.size == size and world.comm.rank == rank

kind = ""
try:
    with mpi.join(f"/proc/self/fd/{fds[1]}", rank, size) as world:
        world.comm.Barrier()
        if rank == 1:
            raise ValueError("this rank fails")
        world.comm.recv(source=1)
except ValueError:
    kind = "revoked"
except mpi.Error as e:
    kind = e.kind

world = mpi.join(fds[2], rank, size)
other = world.comm.Dup()
third = other.allreduce(1)
world.comm.Barrier()
world.leave()
world.leave()
try:
    other.Barrier()
except mpi.Error:
    print(first, kind, third, "left")

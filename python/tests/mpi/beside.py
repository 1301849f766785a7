"""mpi4py and tutti.mpi in one process, on one MPI library: whoever comes second finds the world there. Which is first is said
by the environment variable BESIDE."""

import os

from check import equal

if os.environ.get("BESIDE") == "tutti first":
    from tutti import mpi as ours

    ours.COMM_WORLD
    from mpi4py import MPI as theirs
else:
    from mpi4py import MPI as theirs

    from tutti import mpi as ours

a, b = ours.COMM_WORLD, theirs.COMM_WORLD
equal((a.rank, a.size), (b.rank, b.size))
for _ in range(3):
    equal(a.allreduce(1), b.allreduce(1))
    equal(b.allgather(b.rank), a.allgather(a.rank))
assert a.size == 2
print("passed", flush=True)

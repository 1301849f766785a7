#!/usr/bin/env python3
"""What a Python program sees of message passing: tutti.mpi, or mpi4py, whichever is named first. numpy arrays, 2 ranks.

    python.py tutti|mpi4py [REPS [all|short]]

Each line is: op, ranks, bytes, median, minimum, maximum, unit.
"""

import statistics
import sys

if sys.argv[1] == "tutti":
    from tutti import mpi as MPI
else:
    from mpi4py import MPI
import numpy as np

comm = MPI.COMM_WORLD
rank, size = comm.Get_rank(), comm.Get_size()
reps = int(sys.argv[2]) if len(sys.argv) > 2 else 5


short = "short" in sys.argv[3:]  # a tenth of the calls, for a machine that is not idle


def measure(op, nbytes, n, div, unit, f):
    n = n // 10 if short else n
    times = []
    for rep in range(-1, reps):
        comm.Barrier()
        began = MPI.Wtime()
        f(n)
        if rep >= 0:
            times.append((MPI.Wtime() - began) / n / div * 1e6)
    if rank == 0:
        print(op, size, nbytes, *("%.3f" % t for t in (statistics.median(times), min(times), max(times))), unit, sep="\t", flush=True)


def buffers(nbytes):
    s, r = [np.ones(nbytes // 8), MPI.DOUBLE], [np.zeros(nbytes // 8), MPI.DOUBLE]

    def f(n):
        if rank == 0:
            for _ in range(n):
                comm.Send(s, 1, 7)
                comm.Recv(r, 1, 7)
        elif rank == 1:
            for _ in range(n):
                comm.Recv(r, 0, 7)
                comm.Send(s, 0, 7)

    return f


def objects(obj):
    def f(n):
        if rank == 0:
            for _ in range(n):
                comm.send(obj, 1, 7)
                comm.recv(source=1, tag=7)
        elif rank == 1:
            for _ in range(n):
                comm.recv(source=0, tag=7)
                comm.send(obj, 0, 7)

    return f


def repeat(call, *args):
    def f(n):
        for _ in range(n):
            call(*args)

    return f


for nbytes, n in ((8, 10000), (1024, 10000), (65536, 1000), (1 << 20, 200)):
    measure("py_buffer_pingpong", nbytes, n, 2, "us_oneway", buffers(nbytes))
measure("py_object_small_dict", 0, 5000, 2, "us_oneway", objects({"a": 7, "b": 3.14, "c": "text", "d": [1, 2, 3]}))
measure("py_object_1MiB_bytes", 1 << 20, 200, 2, "us_oneway", objects(bytes(1 << 20)))
measure("py_object_1MiB_ndarray", 1 << 20, 200, 2, "us_oneway", objects(np.ones(1 << 17)))
for nbytes, n in ((8, 5000), (1 << 20, 200)):
    measure("py_buffer_allreduce", nbytes, n, 1, "us", repeat(comm.Allreduce, np.ones(nbytes // 8), np.zeros(nbytes // 8)))
measure("py_object_allreduce_float", 8, 2000, 1, "us", repeat(comm.allreduce, 1.0))
measure("py_barrier", 0, 5000, 1, "us", repeat(comm.Barrier))

#!/usr/bin/python3
"""The same through mpi4py, for the Python face: arrays and objects.

    mpirun.openmpi -n 2 /usr/bin/python3 bench_mpi4py.py [repetitions]
"""
import sys, statistics as st
from mpi4py import MPI
import numpy as np

c = MPI.COMM_WORLD
rank, size = c.rank, c.size
reps = int(sys.argv[1]) if len(sys.argv) > 1 else 5


def run(op, nbytes, n, div, unit, f):
    t = []
    for r in range(-1, reps):
        c.Barrier()
        t0 = MPI.Wtime()
        f(n)
        if r >= 0:
            t.append((MPI.Wtime() - t0) / n / div * 1e6)
    if rank == 0:
        print("%s\t%d\t%d\t%.3f\t%.3f\t%.3f\t%s" % (op, size, nbytes, st.median(t), min(t), max(t), unit), flush=True)


if rank == 0:  # per-call overhead of cheap calls, no communication
    n = 300000
    for name, f in (("call_Get_rank", c.Get_rank), ("call_Wtime", MPI.Wtime)):
        ts = []
        for r in range(reps):
            t0 = MPI.Wtime()
            for i in range(n):
                f()
            ts.append((MPI.Wtime() - t0) / n * 1e6)
        print("%s\t%d\t0\t%.4f\t%.4f\t%.4f\tus" % (name, size, st.median(ts), min(ts), max(ts)))
    b = np.zeros(1)
    ts = []
    for r in range(reps):
        t0 = MPI.Wtime()
        for i in range(n // 3):
            c.Send([b, MPI.DOUBLE], MPI.PROC_NULL)
        ts.append((MPI.Wtime() - t0) / (n // 3) * 1e6)
    print("call_Send_to_PROC_NULL\t%d\t8\t%.4f\t%.4f\t%.4f\tus" % (size, st.median(ts), min(ts), max(ts)))

for b in (8, 1024, 65536, 1 << 20, 16 << 20):
    s, r_ = np.ones(b // 8), np.zeros(b // 8)
    n = 10000 if b <= 1024 else 2000 if b <= 65536 else 200 if b <= 1 << 20 else 20
    S, R = [s, MPI.DOUBLE], [r_, MPI.DOUBLE]

    def pp(n):
        if rank == 0:
            for i in range(n):
                c.Send(S, 1, 7); c.Recv(R, 1, 7)
        elif rank == 1:
            for i in range(n):
                c.Recv(R, 0, 7); c.Send(S, 0, 7)
    run("py_buffer_pingpong", b, n, 2, "us_oneway", pp)

small = {"a": 7, "b": 3.14, "c": "text", "d": [1, 2, 3]}
big = bytes(1 << 20)
arr = np.ones(131072)
for name, obj, nb, n in (("py_object_small_dict", small, 0, 5000), ("py_object_1MiB_bytes", big, 1 << 20, 200),
                         ("py_object_1MiB_ndarray", arr, 1 << 20, 200)):
    def po(n):
        if rank == 0:
            for i in range(n):
                c.send(obj, 1, 7); c.recv(source=1, tag=7)
        elif rank == 1:
            for i in range(n):
                c.recv(source=0, tag=7); c.send(obj, 0, 7)
    run(name, nb, n, 2, "us_oneway", po)

for b in (8, 1 << 20):
    s, r_ = np.ones(b // 8), np.zeros(b // 8)

    def ar(n):
        for i in range(n):
            c.Allreduce(s, r_)
    run("py_buffer_allreduce", b, 5000 if b == 8 else 200, 1, "us", ar)


def aro(n):
    for i in range(n):
        c.allreduce(1.0)
run("py_object_allreduce_float", 8, 2000, 1, "us", aro)


def bar(n):
    for i in range(n):
        c.Barrier()
run("py_barrier", 0, 5000, 1, "us", bar)

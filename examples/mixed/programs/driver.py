"""A cable of excitable cells, its parts computed by ranks written in different languages.

Rank 0 is this program. It keeps the whole cable; in each step it hands every other rank a share of
the cells, which lets them react (FitzHugh-Nagumo) and hands them back, and then lets neighbours
diffuse into each other. The other ranks may be worker.c, worker.f90, worker.go in any mixture:

    tutti run -n 1 python3 driver.py : -n 1 ./worker_c : -n 1 ./worker_fortran : -n 1 ./worker_go

It computes the cable by itself too, and ends with status 1 if the two differ.
"""

import sys

import mpi
import numpy

CELLS, STEPS, SUBSTEPS = 60, 300, 10
DT = 0.05  # of a substep
SPREAD = 0.25  # diffusion in a step
NAMES = {1: "C", 2: "Fortran", 3: "Go", 4: "Python"}


def react(v, w):
    """The reaction of one step, as the workers do it."""
    for _ in range(SUBSTEPS):
        dv = v - v * v * v / 3.0 - w
        dw = 0.08 * (v + 0.7 - 0.8 * w)
        v = v + DT * dv
        w = w + DT * dw
    return v, w


def diffuse(v):
    """Neighbours exchange; nothing flows through the ends."""
    left = numpy.concatenate((v[:1], v[:-1]))
    right = numpy.concatenate((v[1:], v[-1:]))
    return v + SPREAD * (left - 2.0 * v + right)


def cable():
    """At rest, but for the first cells."""
    v, w = numpy.full(CELLS, -1.2), numpy.full(CELLS, -0.625)
    v[:5] = 1.5
    return v, w


def main() -> int:
    sys.argv = mpi.mpi_init(len(sys.argv), sys.argv)
    world = mpi.MPI_COMM_WORLD
    workers = mpi.mpi_comm_size(world) - 1
    if workers < 1:
        print("at least one rank must be a worker", file=sys.stderr)
        return 2
    bounds = [0] + [CELLS * k // workers for k in range(workers + 1)]
    displs = bounds[:-1]
    counts = [b - a for a, b in zip(displs, bounds[1:])]
    spoken = mpi.mpi_gather([4], 1, mpi.MPI_INT, 1, mpi.MPI_INT, 0, world)

    v, w = cable()
    sv, sw = cable()
    arrived = 0
    for step in range(1, STEPS + 1):
        mpi.mpi_bcast([1, CELLS, SUBSTEPS], 3, mpi.MPI_INT, 0, world)
        mpi.mpi_bcast([DT], 1, mpi.MPI_DOUBLE, 0, world)
        state = []
        for x in (v, w):
            mpi.mpi_scatterv(x, counts, displs, mpi.MPI_DOUBLE, 0, mpi.MPI_DOUBLE, 0, world)
        for _ in range(2):
            state.append(mpi.mpi_gatherv([], 0, mpi.MPI_DOUBLE, counts, displs, mpi.MPI_DOUBLE, 0, world))
        v, w = diffuse(state[0]), state[1]
        sv, sw = react(sv, sw)
        sv = diffuse(sv)
        if not arrived and v[-1] > 1.0:
            arrived = step
    mpi.mpi_bcast([0, 0, 0], 3, mpi.MPI_INT, 0, world)
    mpi.mpi_finalize()

    off = max(abs(v - sv).max(), abs(w - sw).max())
    print("languages:", " ".join(NAMES[int(k)] for k in spoken))
    print("the wave reaches the last of %d cells in step %d, off by %.1e" % (CELLS, arrived, off))
    return 0 if off < 1e-12 and arrived else 1


if __name__ == "__main__":
    sys.exit(main())

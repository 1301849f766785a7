#!/usr/bin/env python3
"""Worlds of warm engines: heat in a rod, computed by ranks that exchange halos, in engines that stay.

A rod with its ends held at 1 and 0 is cut into blocks, one on each engine, as variables there. Calls with a
communicator make the engines ranks: a Jacobi sweep sends the borders of the blocks to the neighbours and sums up the
change. First two engines compute half of the steps, while the other two compute a rod of their own at the same time;
then a rank fails in the middle of a call, and the variables of all are still there; then all four compute together,
on the same temperatures cut in four. The answer is checked against the same steps in this process.

    python3 examples/worlds/worlds.py
    python3 examples/worlds/worlds.py --cells 4000 --steps 200
"""
import argparse

import tutti


def sweep(comm, steps):
    """Jacobi steps on this engine's block of the rod, the variable rod; the last step's change over all ranks."""
    import __main__ as engine

    from tutti import mpi as MPI

    rank, last = comm.Get_rank(), comm.Get_size() - 1
    before = rank - 1 if rank > 0 else MPI.PROC_NULL  # beyond the ends there is nobody: None comes from there
    after = rank + 1 if rank < last else MPI.PROC_NULL
    u, change = engine.rod, 0.0
    for _ in range(steps):
        left = comm.sendrecv(u[-1], dest=after, source=before)
        right = comm.sendrecv(u[0], dest=before, source=after)
        padded = [1.0 if left is None else left] + u + [0.0 if right is None else right]
        new = [(padded[i] + padded[i + 2]) / 2 for i in range(len(u))]
        change = comm.allreduce(sum(abs(a - b) for a, b in zip(u, new)))
        u = new
    engine.rod = u
    return change


def stumble(comm):
    """A call of which the last rank fails, while the others wait for it."""
    if comm.Get_rank() == comm.Get_size() - 1:
        raise ArithmeticError("rank %d stumbles" % comm.Get_rank())
    comm.barrier()


def serial(u, steps):
    """The same steps without ranks."""
    for _ in range(steps):
        padded = [1.0] + u + [0.0]
        u = [(padded[i] + padded[i + 2]) / 2 for i in range(len(u))]
    return u


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--cells", type=int, default=400)
    args.add_argument("--steps", type=int, default=40)
    a = args.parse_args()
    cold = [0.0] * a.cells

    with tutti.Cluster(n=4) as client:
        everyone, pair, others = client[:], client[[0, 1]], client[[3, 2]]

        # Two worlds at once, of two engines each. The second one's rank 0 is engine 3.
        for view in pair, others:
            view.scatter("rod", cold, block=True)
        both = [view.apply_world(sweep, a.steps // 2) for view in (pair, others)]
        changes = [ar.get() for ar in both]
        assert changes[0] == changes[1], changes
        half = pair.gather("rod", block=True)
        assert list(half) == list(others.gather("rod", block=True)) == serial(cold, a.steps // 2)

        # A rank fails; the others do not wait for ever, and the engines keep their variables.
        try:
            everyone.world().apply_sync(stumble)
            raise AssertionError("a rank has failed and nothing was raised")
        except tutti.CompositeError as e:
            cause = e.elist[0]
            print("%s: %s; ranks that only met it: %d" % (cause[0], cause[1], [x[0] for x in e.elist].count("Revoked")))
            assert cause[:2] == ("ArithmeticError", "rank 3 stumbles"), e
        assert list(pair.gather("rod", block=True)) == list(half)

        # All four, on the same temperatures.
        everyone.scatter("rod", list(half), block=True)
        change = everyone.world().apply_sync(sweep, a.steps - a.steps // 2)
        rod = list(everyone.gather("rod", block=True))

    assert rod == serial(cold, a.steps), "ranks and the serial steps differ"
    print("%d steps on %d cells by 2 and then 4 ranks: the same as in one process; the last step changed %.4f" % (a.steps, a.cells, change[0]))


if __name__ == "__main__":
    main()

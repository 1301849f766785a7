"""Collective operations on buffers, in all forms."""

from array import array

from check import equal, np, raises, run
from tutti import mpi as MPI

comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size
ranks = range(n)
D = MPI.DOUBLE


def vec(*x):
    return array("d", x)


def zeros(k):
    return array("d", [0] * k)


def both(name, *args, **kwargs):
    """Calls the form that waits, then the one that begins, with arguments made anew, and gives what they are after."""
    for call in (lambda *a, **k: getattr(comm, name)(*a, **k), lambda *a, **k: getattr(comm, "I" + name.lower())(*a, **k).Wait()):
        yield call


def test_barrier():
    for call in both("Barrier"):
        call()
    comm.barrier()


def test_bcast():
    for root in ranks:
        for call in both("Bcast"):
            x = vec(root, 2) if me == root else zeros(2)
            call(x, root=root)
            equal(x, [root, 2])
    big = bytearray(b"x" * 300_000) if me == 0 else bytearray(300_000)
    comm.Bcast([big, MPI.BYTE])
    assert big == b"x" * 300_000
    comm.Bcast(b"fixed" if me == 0 else bytearray(5))  # what the root gives need not be writable
    raises("invalid", comm.Bcast, big, n)


def test_reductions():
    total, prod = sum(ranks) + n, 1
    for r in ranks:
        prod *= r + 1
    for op, want in ((MPI.SUM, total), (MPI.PROD, prod), (MPI.MAX, n), (MPI.MIN, 1)):
        for root in ranks:
            for call in both("Reduce"):
                y = zeros(2)
                call(vec(me + 1, me + 1), y if me == root else None, op, root)
                equal(y, [want, want] if me == root else [0, 0])
        for call in both("Allreduce"):
            y = zeros(1)
            call(vec(me + 1), y, op=op)
            equal(y, [want])
            y = vec(me + 1)
            call(MPI.IN_PLACE, y, op)
            equal(y, [want])
    for op, f in ((MPI.LAND, all), (MPI.LOR, any), (MPI.LXOR, lambda v: sum(map(bool, v)) % 2)):
        y = array("i", [0])
        comm.Allreduce(array("i", [me % 2]), y, op)
        equal(y[0], int(f([r % 2 for r in ranks])))
    for op, f in ((MPI.BAND, lambda a, b: a & b), (MPI.BOR, lambda a, b: a | b), (MPI.BXOR, lambda a, b: a ^ b)):
        want = 5
        for r in list(ranks)[1:]:
            want = f(want, r + 5)
        y = array("i", [0])
        comm.Allreduce(array("i", [me + 5]), y, op)
        equal(y[0], want)
    y = vec(me + 1.0)
    comm.Reduce(MPI.IN_PLACE if me == 0 else y, y, root=0)
    equal(y[0], total if me == 0 else me + 1)
    raises("invalid", comm.Allreduce, vec(1), vec(1), MPI.BAND)
    raises(TypeError, comm.Allreduce, vec(1), vec(1), "sum")
    raises(ValueError, comm.Allreduce, vec(1, 2), vec(1))


def test_scans():
    for call in both("Scan"):
        y = zeros(1)
        call(vec(me + 1), y)
        equal(y, [sum(range(1, me + 2))])
    for call in both("Exscan"):
        y = vec(-1)
        call(vec(me + 1), y, op=MPI.SUM)
        if me > 0:
            equal(y, [sum(range(1, me + 1))])


def test_reduce_scatter():
    for call in both("Reduce_scatter_block"):
        y = zeros(2)
        call(array("d", [v for r in ranks for v in (r, me)]), y)
        equal(y, [n * me, sum(ranks)])
    counts = [r + 1 for r in ranks]
    for given in (counts, None):
        for call in both("Reduce_scatter"):
            y = zeros(me + 1)
            call(array("d", [r for r in ranks for _ in range(r + 1)]), y, given, MPI.SUM)
            equal(y, [n * me] * (me + 1))
    raises(ValueError, comm.Reduce_scatter, zeros(1), zeros(1), [1] * (n + 1))


def test_own_operation():
    def f(a, b, datatype):
        assert datatype.Get_size() == 8
        x, y = a.cast("d"), b.cast("d")
        for i in range(0, len(x), 2):  # numbers written one behind the other, each with ten to the power of its length
            y[i], y[i + 1] = x[i] * y[i + 1] + y[i], x[i + 1] * y[i + 1]

    op = MPI.Op.Create(f, commute=False)
    want = [float("".join(str(r) for r in ranks)), 10.0 ** n]
    y = zeros(2)
    comm.Allreduce(vec(me, 10), y, op)
    equal(y, want)
    y = zeros(2)
    comm.Iallreduce(vec(me, 10), y, op).Wait()
    equal(y, want)
    assert not op.Is_commutative() and not op.Is_predefined() and MPI.SUM.Is_predefined()
    if n > 1:
        bad = MPI.Op.Create(lambda a, b, t: 1 / 0)
        part = comm.Dup()
        try:
            part.Allreduce(vec(1), zeros(1), bad)
        except ZeroDivisionError:
            pass  # on the ranks that combine
        part.Free()
    op.Free()


def test_pairs():
    import struct

    for t, form in ((MPI.DOUBLE_INT, "di4x"), (MPI.FLOAT_INT, "fi"), (MPI.INT_INT, "ii"), (MPI.LONG_INT, "qi4x")):
        assert t.Get_size() == struct.calcsize(form)
        out = bytearray(struct.pack(form, -abs(me - 1), me))
        got = bytearray(len(out))
        comm.Allreduce([out, t], [got, t], MPI.MAXLOC)
        equal(struct.unpack(form, got), (-abs(min(1, n - 1) - 1), min(1, n - 1)))
        comm.Allreduce([out, 1, t], [got, 1, t], MPI.MINLOC)
        low = min((-abs(r - 1), r) for r in ranks)
        equal(struct.unpack(form, got), low)


def test_gather():
    for root in ranks:
        for call in both("Gather"):
            y = zeros(2 * n)
            call(vec(me, root), [y, D] if me == root else None, root)
            equal(y, [v for r in ranks for v in (r, root)] if me == root else [0] * 2 * n)
        for call in both("Gatherv"):
            counts, displs = [r + 1 for r in ranks], [r * (n + 1) for r in ranks]
            y = zeros(n * (n + 1))
            call(array("d", [me] * (me + 1)), [y, (counts, displs), D] if me == root else None, root)
            want = [0] * len(y)
            for r in ranks:
                want[displs[r]:displs[r] + counts[r]] = [r] * counts[r]
            equal(y, want if me == root else [0] * len(y))
    y = array("d", [me if r == me else 0 for r in ranks])
    comm.Gather(MPI.IN_PLACE if me == 0 else vec(me), y if me == 0 else None)
    equal(y, list(ranks) if me == 0 else [me if r == me else 0 for r in ranks])
    if n == 1:
        raises(ValueError, comm.Gather, vec(1, 2), zeros(1))


def test_scatter():
    for root in ranks:
        for call in both("Scatter"):
            y = zeros(2)
            call(array("d", range(2 * n)) if me == root else None, y, root)
            equal(y, [2 * me, 2 * me + 1])
        for call in both("Scatterv"):
            y = zeros(me + 1)
            counts = [r + 1 for r in ranks]
            x = array("d", [r for r in ranks for _ in range(r + 1)])
            call([x, counts, None, D] if me == root else None, y, root)
            equal(y, [me] * (me + 1))


def test_allgather():
    for call in both("Allgather"):
        y = zeros(n)
        call(vec(me), y)
        equal(y, list(ranks))
        y = array("d", [me if r == me else -1 for r in ranks])
        call(MPI.IN_PLACE, y)
        equal(y, list(ranks))
    for call in both("Allgatherv"):
        counts = [2 * (r % 2) + 1 for r in ranks]
        y = zeros(sum(counts))
        call(array("d", [me] * counts[me]), [y, counts])
        equal(y, [r for r in ranks for _ in range(counts[r])])
    y = bytearray(8 * n)
    comm.Allgather(vec(me), [y, MPI.BYTE])  # the same bytes under another type
    equal(memoryview(y).cast("d"), list(ranks))


def test_alltoall():
    for call in both("Alltoall"):
        y = zeros(n)
        call(array("d", [10 * me + r for r in ranks]), y)
        equal(y, [10 * r + me for r in ranks])
    for call in both("Alltoallv"):
        y = zeros(n * (me + 1))
        out = array("d", [me for r in ranks for _ in range(r + 1)])
        call([out, [r + 1 for r in ranks], D], [y, ([me + 1] * n, [r * (me + 1) for r in ranks]), D])
        equal(y, [r for r in ranks for _ in range(me + 1)])
    raises(NotImplementedError, comm.Alltoallw)
    raises(ValueError, comm.Alltoallv, [zeros(n), [n + 1] * n, D], [zeros(n), [1] * n, D])


def test_numpy_forms():
    if np is None:
        return
    y = np.empty((n, 3))
    comm.Allgather(np.full(3, me, dtype=float), y)
    equal(y, [[r] * 3 for r in ranks])
    x = np.arange(6.0).reshape(2, 3).T  # Fortran order
    z = np.empty_like(x)
    comm.Allreduce(x, z)
    equal(z, (n * x))
    c = np.array([1 + 2j])
    comm.Allreduce(MPI.IN_PLACE, c)
    equal(c, [n * (1 + 2j)])


run(globals(), comm.Barrier)

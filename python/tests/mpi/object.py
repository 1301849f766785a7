"""Messages and collective operations of objects."""

import operator
import pickle
import threading

from check import equal, np, raises, run
from tutti import mpi as MPI

comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size
right, left = (me + 1) % n, (me - 1) % n

VALUES = [None, True, False, 0, -1, 2 ** 62, 2 ** 80, -(2 ** 63), 1.5, float("inf"), "", "text", "ü\udce9", "x" * 40_000, b"", b"bytes", b"b" * 20_000,
          bytearray(b"array"), bytearray(30_000), (1, "a"), [1, [2]], {"a": {"b": 3}}, {1, 2}, 1 + 2j, range(5), operator.add, b"m" * 3_000_000,
          ["y" * 50_000, b"z" * 50_000]]


class Never:
    def __reduce__(self):
        raise ValueError("not to be pickled")


class Broken:
    def __reduce__(self):
        return int, ("no number",)


def test_every_kind():
    for x in VALUES:
        got = comm.sendrecv(x, right, 3, None, left, 3)
        assert type(got) is type(x) and got == x, (x, got)
        st = MPI.Status()
        r = comm.isend(x, right, 4)
        assert comm.recv(source=left, tag=4, status=st) == x
        equal((st.source, st.tag), (left, 4))
        r.wait()
        q = comm.irecv(source=left, tag=5)
        comm.send(x, dest=right, tag=5) if n > 1 else comm.isend(x, right, 5).wait()
        assert q.wait(st) == x and st.source == left


def test_arrays():
    if np is None:
        return
    for a in (np.arange(10), np.ones((300, 400)), np.arange(12.0).reshape(3, 4).T, np.zeros(0), np.array(["a", "bc"]), np.arange(20)[::3]):
        got = comm.sendrecv({"a": a, "b": [a, 1]}, right, 0, None, left, 0)
        assert (got["a"] == a).all() and got["a"].dtype == a.dtype and got["a"].shape == a.shape
        if a.size:
            got["a"].flat[0] = got["a"].flat[0]  # it can be written


def test_synchronous():
    q = comm.irecv(source=left, tag=1)
    r = comm.issend("s", right, 1)
    equal(q.wait(), "s")
    r.wait()
    if n > 1:
        if me % 2 == 0 and me + 1 < n:
            comm.ssend((1, 2), right, 8)
        if me % 2 == 1:
            equal(comm.recv(source=left, tag=8), (1, 2))


def test_order_of_begun_receives():
    a, b, c = comm.irecv(source=left, tag=2), comm.irecv(source=left, tag=2), comm.irecv(source=left, tag=3)
    assert a.test() == (False, None) or n > 1
    sends = [comm.isend([i, b"q" * 40_000], right, 2) for i in range(3)] + [comm.isend("c", right, 3)]
    equal(c.wait(), "c")
    equal(comm.recv(source=left, tag=2)[0], 2)  # the two begun before come first
    equal(b.wait()[0], 1)
    equal(a.wait()[0], 0)
    MPI.Request.waitall(sends)
    rs = [comm.irecv(source=left, tag=i) for i in range(3)]
    for i in (2, 1, 0):
        comm.send(i, right, i)
    equal(MPI.Request.waitall(rs), [0, 1, 2])
    rs = [comm.irecv(source=left, tag=i) for i in range(2)]
    assert MPI.Request.testall(rs)[0] in (False,)
    comm.send("one", right, 1)
    equal(MPI.Request.waitany(rs), (1, "one"))
    rs[0].cancel()
    st = MPI.Status()
    rs[0].wait(st)
    assert st.Is_cancelled()


def test_probes():
    comm.send({"k": 1}, right, 6)
    assert comm.probe(left, 6) and comm.iprobe(left, 6) and not comm.iprobe(left, 7)
    equal(comm.mprobe(left, 6).recv(), {"k": 1})
    r = comm.isend(b"v" * 100_000, right, 6)
    while (m := comm.improbe(left, 6)) is None:
        pass
    st = MPI.Status()
    equal(len(m.recv(st)), 100_000)
    r.wait()
    assert comm.irecv(source=MPI.PROC_NULL, tag=5).wait() is None
    assert comm.recv(source=MPI.PROC_NULL) is None and comm.send(1, MPI.PROC_NULL) is None


def test_large_objects_in_threads():
    if n < 2:
        return
    world = comm.Dup()
    got = []

    def take():
        for _ in range(20):
            got.append(len(world.recv()))  # any source, any tag

    if me == 0:
        ts = [threading.Thread(target=take) for _ in range(n - 1)]
        [t.start() for t in ts]
        [t.join() for t in ts]
        equal(sorted(got), sorted([20_000 + r for r in range(1, n)] * 20))
    else:
        for i in range(20):
            world.send(bytes(20_000 + me), 0, i)
    world.Barrier()
    world.Free()


def test_collective():
    for root in range(n):
        for x in VALUES:
            assert comm.bcast(x if me == root else None, root) == x
        for unit in (b"s", b"l" * 1000):
            got = comm.gather((me, unit), root)
            equal(got, [(r, unit) for r in range(n)] if me == root else None)
            equal(comm.scatter([(r, unit) for r in range(n)] if me == root else None, root), (me, unit))
            equal(comm.allgather((me, unit * (me + 1))), [(r, unit * (r + 1)) for r in range(n)])
            equal(comm.alltoall([(me, r, unit * r) for r in range(n)]), [(r, me, unit * me) for r in range(n)])
        equal(comm.reduce(me + 1, MPI.SUM, root), sum(range(1, n + 1)) if me == root else None)
    equal(comm.allreduce(me + 1), sum(range(1, n + 1)))
    equal(comm.allreduce([me], op=MPI.SUM), list(range(n)))
    equal(comm.allreduce((me % 2, me), op=MPI.MAXLOC), max([(r % 2, -r) for r in range(n)])[0:1] + ((min(1, n - 1)),))
    equal(comm.allreduce((me % 2, me), op=MPI.MINLOC), (0, 0))
    for op, f in ((MPI.PROD, operator.mul), (MPI.MAX, max), (MPI.MIN, min), (MPI.BAND, operator.and_), (MPI.BOR, operator.or_), (MPI.BXOR, operator.xor)):
        want = 3
        for r in range(1, n):
            want = f(want, r + 3)
        equal(comm.allreduce(me + 3, op), want)
    equal(comm.allreduce(me == 0, MPI.LAND), n == 1)
    assert comm.allreduce(me == 0, MPI.LOR) and comm.allreduce(me == 0, op=MPI.LXOR)
    equal(comm.allreduce(str(me), op=lambda a, b: a + b), "".join(map(str, range(n))))
    equal(comm.scan(me), sum(range(me + 1)))
    equal(comm.exscan(me), sum(range(me)) if me else None)
    if np is not None:
        equal(comm.allreduce(np.full(1000, me)), [sum(range(n))] * 1000)
        x = comm.bcast({"x": np.arange(100_000.0)} if me == 0 else None)
        assert x["x"][-1] == 99_999 and x["x"].flags.writeable


def test_what_cannot_be_pickled():
    raises(ValueError, comm.send, Never(), right)
    raises(ValueError, comm.isend, Never(), right)
    for call in (lambda x: comm.bcast(x if me == 0 else None), lambda x: comm.scatter([x] * n if me == 0 else None)):
        e = raises((ValueError, MPI.Error), call, Never())
        assert isinstance(e, ValueError) == (me == 0)
    for call in (comm.allgather, comm.gather, lambda x: comm.alltoall([x] * n)):
        e = raises((ValueError, MPI.Error), call, Never() if me == n - 1 else 1)
        assert isinstance(e, ValueError) == (me == n - 1)
    raises((ValueError, MPI.Error), comm.scatter, [1] * (n + 1))
    raises("invalid", comm.alltoall, [1] * (n + 1))
    raises("invalid", comm.gather, 1, n)
    raises("invalid", comm.irecv, None, n)
    comm.send(Broken(), right)
    raises(ValueError, comm.recv, None, left)
    comm.Send(b"no object", right)
    raises("corrupt", comm.recv, None, left)
    equal(comm.allgather(me), list(range(n)))  # all is well again


def test_other_pickles():
    for args in ((lambda o: pickle.dumps(o, 2), pickle.loads), (None, None, 4)):
        MPI.pickle.__init__(*args)
        equal(comm.sendrecv([1, b"x" * 30_000], right, 0, None, left, 0), [1, b"x" * 30_000])
        equal(MPI.pickle.loads(MPI.pickle.dumps({1: 2})), {1: 2})
        comm.Barrier()
    MPI.pickle.__init__()
    comm.Barrier()


def test_words_can_be_sent():
    for x in (MPI.COMM_WORLD, MPI.DOUBLE, MPI.SUM, MPI.IN_PLACE):
        assert comm.sendrecv(x, right, 0, None, left, 0) is x
    raises(TypeError, comm.send, comm.Dup(), right)


run(globals(), comm.Barrier)

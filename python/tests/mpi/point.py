"""Messages of buffers from rank to rank."""

from array import array

from check import FOREIGN, equal, np, raises, run
from tutti import mpi as MPI

comm = MPI.COMM_WORLD
me, n = comm.Get_rank(), comm.Get_size()
right, left = (me + 1) % n, (me - 1) % n
assert (comm.rank, comm.size) == (me, n) and 0 <= me < n


def test_ring_of_all_types():
    for name in ("CHAR BYTE SIGNED_CHAR UNSIGNED_CHAR SHORT UNSIGNED_SHORT INT UNSIGNED LONG UNSIGNED_LONG LONG_LONG FLOAT DOUBLE "
                 "INT8_T INT16_T INT32_T INT64_T UINT8_T UINT16_T UINT32_T UINT64_T BOOL COMPLEX DOUBLE_COMPLEX").split():
        t = getattr(MPI, name)
        out = bytearray([me + 1]) * (3 * t.Get_size())
        got = bytearray(len(out))
        st = MPI.Status()
        comm.Sendrecv([out, t], right, 5, [got, 3, t], left, 5, st)
        equal(got, bytearray([left + 1]) * len(out))
        equal((st.Get_source(), st.Get_tag(), st.Get_count(t), st.count, st.source, st.tag, st.error), (left, 5, 3, len(out), left, 5, 0))
        assert st.Get_elements(t) == 3 and not st.Is_cancelled()


def test_lengths():
    for size in (0, 1, 31, 32, 33, 8191, 8192, 8193, 16384, 16385, 100_000, 4_000_000):
        out, got = bytes([me + 1]) * size, bytearray(size + 3)
        q = comm.Irecv(got, left, size)
        comm.Send(out, right, size)
        st = MPI.Status()
        assert q.Wait(st) is True
        equal(st.count, size)
        assert got[:size] == bytes([left + 1]) * size and got[size:] == b"\0\0\0"


def test_forms_of_buffers():
    a = array("d", range(6))
    for out in (a, memoryview(a), [a, MPI.DOUBLE], [a, 6], [a, 6, MPI.DOUBLE], [a, (6, 0), MPI.DOUBLE], [a, 6, 0, MPI.DOUBLE], [a, "d"], (a, 6, "d"),
                [a, None, MPI.DOUBLE]):
        got = array("d", [0] * 6)
        comm.Sendrecv(out, right, recvbuf=got, source=left)
        equal(got, a)
    got = array("d", [0] * 6)
    comm.Sendrecv([a, (2, 3), MPI.DOUBLE], right, recvbuf=[got, (2, 4), MPI.DOUBLE], source=left)
    equal(got, [0, 0, 0, 0, 3, 4])
    two = MPI.DOUBLE.Create_contiguous(2).Commit()
    assert two.Get_size() == 16 and two.extent == 16
    comm.Sendrecv([a, 2, two], right, recvbuf=[got, two], source=left)
    equal(got[:4], a[:4])
    for bad, kind in (([a, 7], ValueError), ([a, -1, MPI.DOUBLE], ValueError), ([a, "x"], ValueError), ([a, 1, 2, 3, 4], ValueError),
                      ("text", TypeError), (3, TypeError), ([bytearray(9), MPI.DOUBLE], ValueError), ([], ValueError), ([a, (1, 9), "d"], ValueError)):
        raises(kind, comm.Send, bad, right)
    raises((TypeError, BufferError), comm.Recv, b"not to be written", left)


def test_strided():
    m = memoryview(array("i", range(12)))[::-2]
    got = array("i", [0] * 12)
    comm.Sendrecv(m, right, recvbuf=memoryview(got)[1::2], source=left)
    equal(got, [x for v in m.tolist() for x in (0, v)])
    if np is not None:
        a, b = np.arange(12.0).reshape(3, 4), np.zeros((3, 4))
        q = comm.Irecv(b[:, 1], left)
        comm.Send(a[:, 2], right)
        q.Wait()
        equal(b[:, 1], a[:, 2])
        equal(b[:, 0], [0, 0, 0])
        raises(TypeError, comm.Send, np.zeros(2, dtype=">f8"), right)
        raises(TypeError, comm.Send, np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]), right)


def test_proc_null():
    st = MPI.Status()
    buf = bytearray(b"abc")
    comm.Send(buf, MPI.PROC_NULL)
    comm.Recv(buf, MPI.PROC_NULL, status=st)
    equal((st.source, st.tag, st.count, buf), (MPI.PROC_NULL, MPI.ANY_TAG, 0, b"abc"))
    comm.Sendrecv_replace(buf, MPI.PROC_NULL, source=MPI.PROC_NULL)
    comm.Isend(buf, MPI.PROC_NULL).Wait()
    assert comm.Probe(MPI.PROC_NULL) and comm.Iprobe(MPI.PROC_NULL)


def test_modes_and_keywords():
    got = bytearray(1)
    q = comm.Irecv(buf=got, source=left, tag=1)
    comm.Ssend(buf=b"s", dest=right, tag=1)
    q.Wait()
    for begin in (comm.Issend, comm.Isend, comm.Ibsend):
        r = begin(buf=b"i", dest=right, tag=2)
        comm.Recv(buf=got, source=left, tag=2)
        r.Wait()
        equal(got, b"i")
    comm.Bsend(b"b", right)
    comm.Recv(got)
    x = array("i", [me] * 3)
    st = MPI.Status()
    comm.Sendrecv_replace(x, right, sendtag=4, source=left, recvtag=4, status=st)
    equal((x, st.source), ([left] * 3, left))
    raises(TypeError, comm.Send, b"x")
    raises(TypeError, comm.Send, b"x", right, 0, 0)
    raises(TypeError, comm.Send, b"x", right, dest=right)
    raises(TypeError, comm.Send, b"x", right, colour=1)
    raises(TypeError, comm.Send, b"x", "right")
    raises(OverflowError, comm.Send, b"x", right, 1 << 40)
    raises(TypeError, comm.Recv, got, left, 0, "no status")


def test_probes():
    comm.Send(b"12345", right, 9)
    st = MPI.Status()
    assert comm.Probe(left, 9, st)
    equal((st.source, st.tag, st.count), (left, 9, 5))
    assert comm.Iprobe(MPI.ANY_SOURCE, MPI.ANY_TAG, st) and not comm.Iprobe(left, 10)
    m = comm.Mprobe(left, 9, st)
    assert not comm.Iprobe(left, 9) and comm.Improbe(left, 9) is None
    got = bytearray(5)
    m.Recv(got, st)
    equal((got, st.count), (b"12345", 5))
    raises("invalid", m.Recv, got)
    comm.Barrier()
    comm.Send(b"x", right, 9)
    while (m := comm.Improbe(left, 9)) is None:
        pass
    m.Irecv(bytearray(1)).Wait()


def test_requests():
    got = [bytearray(1) for _ in range(4)]
    rs = [comm.Irecv(b, left, i) for i, b in enumerate(got)]
    assert not rs[0].Test()
    flag, _ = MPI.Request.Testany(rs)[1], MPI.Request.Testall(rs)
    assert flag is False and _ is False and MPI.Request.Testsome(rs) == []
    comm.Barrier()
    ss = [comm.Isend(bytes([i]), right, i) for i in (2, 0, 1, 3)]
    st = MPI.Status()
    i = MPI.Request.Waitany(rs, st)
    equal((got[i], st.source, st.tag), (bytes([i]), left, i))
    some = MPI.Request.Waitsome(rs)
    assert some and i not in some
    sts: list = []
    MPI.Request.Waitall(rs, sts)
    assert len(sts) == 4 and all(r.Test() for r in rs)
    equal([b[0] for b in got], [0, 1, 2, 3])
    MPI.Request.Waitall(ss)
    done = set(some) | {i}
    while (k := MPI.Request.Waitany(rs)) != MPI.UNDEFINED:
        assert k not in done
        done.add(k)
    assert done == {0, 1, 2, 3} and MPI.Request.Waitsome(rs) is None
    r = comm.Irecv(bytearray(1), left, 77)
    r.Cancel()
    r.Wait(st)
    assert st.Is_cancelled()
    MPI.REQUEST_NULL.Wait()
    del r


def test_errors():
    e = raises("invalid", comm.Send, b"x", n, 3)
    assert isinstance(e, MPI.Exception) and isinstance(e, RuntimeError)
    equal((e.op, e.rank, e.peer, e.tag, e.Get_error_class(), e.error_class, int(e)), ("Send", me, n, 3, MPI.ERR_RANK, MPI.ERR_RANK, MPI.ERR_RANK))
    assert str(n) in str(e) and e.Get_error_string() and MPI.Get_error_string(e.Get_error_code())
    equal(raises("invalid", comm.Send, b"x", right, -5).Get_error_class(), MPI.ERR_TAG)
    raises("invalid", comm.Recv, bytearray(1), n)
    raises("invalid", comm.Irecv, bytearray(1), n)
    raises("invalid", comm.Iprobe, n)
    raises("invalid", MPI.COMM_NULL.Send, b"x", 0)
    got = bytearray(3)
    comm.Send(b"too long", right)
    st = MPI.Status()
    e = raises("truncated", comm.Recv, got, left, 0, st)
    assert e.Get_error_class() == MPI.ERR_TRUNCATE
    assert FOREIGN or (got == b"too" and e.hint)


def test_threads():
    import threading

    def work(k: int) -> None:
        got = array("i", [0])
        for i in range(200):
            comm.Sendrecv(array("i", [i]), right, 100 + k, got, left, 100 + k)
            assert got[0] == i
            assert comm.sendrecv((k, i), right, 200 + k, None, left, 200 + k) == (k, i)

    ts = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for th in ts:
        th.start()
    for th in ts:
        th.join()


run(globals(), comm.Barrier)

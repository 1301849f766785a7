"""Every routine and constant of module mpi."""

import ctypes
import sys

from check import equal, np, raises, run
import mpi
from mpi import *  # noqa: F403

assert "numpy" not in sys.modules or np is not None
argv = mpi.mpi_init(len(sys.argv), sys.argv)
assert argv == sys.argv and argv is not sys.argv
W = mpi.MPI_COMM_WORLD
me, n = mpi.mpi_comm_rank(W), mpi.mpi_comm_size(W)
right, left = (me + 1) % n, (me - 1) % n
ranks = range(n)


def test_start_and_clock():
    equal(mpi.mpi_start(1, "x"), [me, n])
    assert mpi.mpi_wtime() > 0 and 0 < mpi.mpi_wtick() < 1 and isinstance(mpi.mpi_get_processor_name(), str)
    equal(mpi.mpi_comm_size(mpi.MPI_COMM_SELF), 1)
    mpi.mpi_barrier(W)
    equal(mpi.mpi_error(), 0)


def test_types():
    if np is not None:
        for t, dtype in {mpi.MPI_CHAR: "S1", mpi.MPI_BYTE: "u1", mpi.MPI_SHORT: "i2", mpi.MPI_INT: "i4", mpi.MPI_LONG: "i8", mpi.MPI_FLOAT: "f4",
                         mpi.MPI_DOUBLE: "f8", mpi.MPI_UNSIGNED: "u4", mpi.MPI_UNSIGNED_CHAR: "u1", mpi.MPI_UNSIGNED_SHORT: "u2",
                         mpi.MPI_UNSIGNED_LONG: "u8", mpi.MPI_COMPLEX: "c8", mpi.MPI_DOUBLE_COMPLEX: "c16"}.items():
            a = mpi.mpi_bcast([1, 2] if t is not mpi.MPI_CHAR else "12", 2, t, 0, W)
            assert a.dtype == np.dtype(dtype) and a.ndim == 1 and len(a) == 2
        equal(mpi.mpi_bcast(np.arange(6).reshape(2, 3)[:, ::2], 4, mpi.MPI_INT, 0, W), [0, 2, 3, 5])
        raises(TypeError, mpi.mpi_send, np.ones(1) * 1j, 1, mpi.MPI_DOUBLE, right, 0, W)
    equal(mpi.mpi_bcast("text", 4, mpi.MPI_CHAR, 0, W), [b"t", b"e", b"x", b"t"])
    equal(mpi.mpi_bcast(["a", b"b"], 2, mpi.MPI_CHAR, 0, W), [b"a", b"b"])
    equal(mpi.mpi_bcast((1.9, 2.9), 2, mpi.MPI_INT, 0, W), [1, 2])
    equal(mpi.mpi_bcast([1 + 2j], 1, mpi.MPI_DOUBLE_COMPLEX, 0, W), [1 + 2j])
    equal(mpi.mpi_bcast(7, 1, mpi.MPI_LONG, 0, W), [7])
    raises(TypeError, mpi.mpi_recv, 1, "int", 0, 0, W)
    raises(TypeError, mpi.mpi_get_count, 3)


def test_point():
    mpi.mpi_isend([me, me], 2, mpi.MPI_INT, right, 3, W)
    mpi.mpi_probe(left, 3, W)
    equal((mpi.mpi_status(), mpi.mpi_get_count(mpi.MPI_INT), mpi.mpi_get_count(mpi.MPI_DOUBLE)), ([left, 3, 0], 2, 1))
    equal(mpi.mpi_iprobe(left, 3, W), 1)
    equal(mpi.mpi_recv(4, mpi.MPI_INT, mpi.MPI_ANY_SOURCE, mpi.MPI_ANY_TAG, W), [left, left, 0, 0])
    equal((mpi.mpi_status(), mpi.mpi_get_count(mpi.MPI_INT), mpi.mpi_iprobe(left, 3, W)), ([left, 3, 0], 2, 0))
    mpi.mpi_send(5, 1, mpi.MPI_DOUBLE, mpi.MPI_PROC_NULL, 0, W)
    r = mpi.mpi_irecv(3, mpi.MPI_DOUBLE, left, 4, W)
    equal(mpi.mpi_test(r), 0)
    mpi.mpi_barrier(W)
    s = mpi.mpi_isend([0.5, me, 2], 3, mpi.MPI_DOUBLE, right, 4, W)
    while not mpi.mpi_test(r):
        pass
    equal(mpi.mpi_wait(r), [0.5, left, 2])
    equal(mpi.mpi_status(), [left, 4, 0])
    assert mpi.mpi_wait(s) is None and mpi.mpi_test(s) == 1
    raises("invalid", mpi.mpi_wait, s)
    raises("invalid", mpi.mpi_send, [1], 2, mpi.MPI_INT, right, 0, W)
    raises("invalid", mpi.mpi_send, [1], 1, mpi.MPI_INT, right, 0, 12345)


def test_collective():
    D, I = mpi.MPI_DOUBLE, mpi.MPI_INT
    for root in ranks:
        equal(mpi.mpi_bcast([root, 1] if me == root else 0, 2, D, root, W), [root, 1])
        equal(mpi.mpi_reduce([me, 1], 2, I, mpi.MPI_SUM, root, W), [sum(ranks), n] if me == root else [])
        equal(mpi.mpi_scatter(list(range(2 * n)) if me == root else 0, 2, I, 2, I, root, W), [2 * me, 2 * me + 1])
        equal(mpi.mpi_gather([me, root], 2, I, 2, I, root, W), [v for r in ranks for v in (r, root)] if me == root else [])
        counts, displs = [r + 1 for r in ranks], [sum(range(1, r + 1)) for r in ranks]
        flat = [r for r in ranks for _ in range(r + 1)]
        equal(mpi.mpi_scatterv(flat if me == root else 0, counts, displs, I, me + 1, I, root, W), [me] * (me + 1))
        equal(mpi.mpi_gatherv([me] * (me + 1), me + 1, I, counts, displs, I, root, W), flat if me == root else [])
    equal(mpi.mpi_alltoall([10 * me + r for r in ranks], 1, I, 1, I, W), [10 * r + me for r in ranks])
    equal(mpi.mpi_alltoallv([me] * sum(counts), counts, displs, I, [me + 1] * n, [r * (me + 1) for r in ranks], I, W),
          [r for r in ranks for _ in range(me + 1)])
    for op, want in ((mpi.MPI_MAX, n), (mpi.MPI_MIN, 1), (mpi.MPI_LAND, 1), (mpi.MPI_LOR, 1), (mpi.MPI_LXOR, n % 2)):
        equal(mpi.mpi_reduce(me + 1, 1, I, op, 0, W), [want] if me == 0 else [])
    for op in (mpi.MPI_PROD, mpi.MPI_BAND, mpi.MPI_BOR):
        equal(mpi.mpi_reduce(1, 1, I, op, 0, W), [1] if me == 0 else [])
    equal(mpi.mpi_reduce(1, 1, I, mpi.MPI_BXOR, 0, W), [n % 2] if me == 0 else [])
    raises("invalid", mpi.mpi_reduce, 1, 1, I, mpi.MPI_MAXLOC, 0, W)


def test_communicators():
    d = mpi.mpi_comm_dup(W)
    assert isinstance(d, int) and d not in (W, mpi.MPI_COMM_NULL)
    s = mpi.mpi_comm_split(W, me % 2, -me)
    equal(mpi.mpi_comm_size(s), (n + 1 - me % 2) // 2)
    equal(mpi.mpi_comm_split(W, 0 if me == 0 else mpi.MPI_UNDEFINED, 0) == mpi.MPI_COMM_NULL, me != 0)
    equal(mpi.mpi_comm_size(mpi.mpi_comm_split_type(W, mpi.MPI_COMM_TYPE_SHARED, 0, mpi.MPI_INFO_NULL)), n)
    g = mpi.mpi_group_incl(mpi.mpi_comm_group(W), 1, [n - 1, 0])
    equal(mpi.mpi_group_rank(g), 0 if me == n - 1 else mpi.MPI_UNDEFINED)
    c = mpi.mpi_comm_create(W, g)
    equal(c != mpi.MPI_COMM_NULL, me == n - 1)
    mpi.mpi_comm_free(d)
    raises("invalid", mpi.mpi_barrier, d)
    raises("invalid", mpi.mpi_group_rank, mpi.MPI_GROUP_NULL)
    assert mpi.mpi_attr_get(W, mpi.MPI_TAG_UB) >= 32767 and mpi.mpi_attr_get(W, mpi.MPI_UNIVERSE_SIZE) == n
    equal(mpi.mpi_attr_get(W, mpi.MPI_WTIME_IS_GLOBAL), 1)


def test_errors():
    raises("invalid", mpi.mpi_send, 1, 1, mpi.MPI_INT, n, 0, W)
    equal(mpi.mpi_error(), 6)
    mpi.mpi_barrier(W)
    equal(mpi.mpi_error(), 0)
    for flag in (mpi.MPI_ERRORS_RETURN, 2):
        mpi.mpi_comm_set_errhandler(W, flag)
        assert mpi.mpi_send(1, 1, mpi.MPI_INT, n, 0, W) is None
        equal((mpi.mpi_error(), mpi.mpi_status()[2]), (6, 6))
    raises("invalid", mpi.mpi_comm_set_errhandler, W, 3)
    mpi.mpi_comm_set_errhandler(W, mpi.MPI_ERRORS_ARE_FATAL)
    raises("invalid", mpi.mpi_send, 1, 1, mpi.MPI_INT, n, 0, W)


def test_windows():
    win, address = mpi.mpi_win_allocate_shared(8, 8, mpi.MPI_INFO_NULL, W)
    ctypes.c_int64.from_address(address).value = me + 1
    mpi.mpi_barrier(W)
    for r in ranks:
        size, unit, there = mpi.mpi_win_shared_query(win, r)
        equal((size, unit, ctypes.c_int64.from_address(there).value), (8, 8, r + 1))
    mpi.mpi_win_free(win)
    raises("invalid", mpi.mpi_win_free, win)


def test_what_is_not_here():
    for name in ("mpi_comm_spawn mpi_array_of_errcodes mpi_comm_get_parent mpi_intercomm_merge mpi_comm_disconnect mpi_open_port mpi_close_port "
                 "mpi_comm_accept mpi_comm_connect par_slu").split():
        assert name in str(raises(NotImplementedError, getattr(mpi, name), 1, 2))
    equal((mpi.MPI_COMM_NULL, mpi.MPI_INFO_NULL, mpi.MPI_GROUP_NULL, mpi.MPI_REQUEST_NULL), (0, 0, 0, 0))
    assert mpi.MPI_ROOT < 0 and mpi.MPI_MINLOC is not mpi.MPI_MAXLOC


run(globals(), lambda: mpi.mpi_barrier(W))
mpi.mpi_finalize()
raises("closed", mpi.mpi_barrier, W)
raises("closed", mpi.mpi_comm_rank, W)

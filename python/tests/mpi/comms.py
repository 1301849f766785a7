"""Communicators, groups, grids, windows, attributes, joined worlds, and the module itself."""

import os
import struct
import sys

from check import FOREIGN, equal, raises, run
import tutti.mpi as MPI

assert "tutti.mpi._face" not in sys.modules, "importing the module has loaded it all"
comm = MPI.COMM_WORLD
me, n = comm.rank, comm.size


def test_derived():
    d = comm.Dup()
    assert d != comm and MPI.Comm.Compare(d, comm) == MPI.CONGRUENT and MPI.Comm.Compare(comm, comm) == MPI.IDENT
    d.Set_name("second")
    equal((d.Get_name(), d.name), ("second", "second"))
    s = comm.Split(me % 2, -me)
    equal(s.size, (n + 1 - me % 2) // 2)
    equal(s.allgather(me), sorted([r for r in range(n) if r % 2 == me % 2], reverse=True))
    equal(comm.Split(0 if me == 0 else MPI.UNDEFINED) == MPI.COMM_NULL, me != 0)
    equal(comm.Split_type(MPI.COMM_TYPE_SHARED).size, n)
    g = comm.Get_group().Incl([n - 1, 0] if n > 1 else [0])
    made = comm.Create(g)
    equal(bool(made), me in (0, n - 1))
    if made:
        equal(made.allgather(me), [n - 1, 0] if n > 1 else [0])
        equal(MPI.Group.Compare(made.Get_group(), g), MPI.IDENT)
    raises("invalid", comm.Split, -3)
    raises("invalid", comm.Split_type, 99)
    d.Free()
    assert d == MPI.COMM_NULL and not d
    raises("invalid", d.Barrier)
    assert repr(comm) and hash(comm) == hash(MPI.Comm(comm)) and comm.Is_intra() and not comm.Is_inter()


def test_groups():
    g = comm.Get_group()
    equal((g.Get_size(), g.Get_rank(), g.size, g.rank), (n, me, n, me))
    evens, rest = g.Range_incl([(0, n - 1, 2)]), g.Range_excl([(0, n - 1, 2)])
    equal(MPI.Group.Union(evens, rest).size, n)
    equal(MPI.Group.Intersection(evens, rest), MPI.GROUP_EMPTY)
    equal(MPI.Group.Difference(g, evens), rest)
    equal(g.Excl([0]).Translate_ranks(None, g), list(range(1, n)))
    equal(MPI.Group.Translate_ranks(g, [0, MPI.PROC_NULL], g.Excl([0])), [MPI.UNDEFINED, MPI.PROC_NULL])
    assert MPI.Group.Compare(g, g.Incl(range(n)[::-1])) == (MPI.SIMILAR if n > 1 else MPI.IDENT)
    equal(MPI.Group.Compare(g, MPI.GROUP_EMPTY), MPI.UNEQUAL)
    equal(rest.rank if me % 2 == 0 else evens.rank, MPI.UNDEFINED)
    raises("invalid", g.Incl, [n])
    raises("invalid", g.Incl, [0, 0])
    equal(MPI.COMM_SELF.Get_group().Translate_ranks([0], g), [me])


def test_grids():
    equal(MPI.Compute_dims(12, 2), [4, 3])
    equal(MPI.Compute_dims(12, [0, 2]), [6, 2])
    raises("invalid", MPI.Compute_dims, 5, [2, 0])
    ring = comm.Create_cart([n], periods=[True])
    equal(ring.Shift(0, 1), ((me - 1) % n, (me + 1) % n))
    line = comm.Create_cart([n])
    equal(line.Shift(0, 1), (me - 1 if me else MPI.PROC_NULL, me + 1 if me < n - 1 else MPI.PROC_NULL))
    dims = MPI.Compute_dims(n, 2)
    grid = comm.Create_cart(dims, [True, False])
    x, y = grid.Get_coords(me)
    equal((x * dims[1] + y, grid.Get_cart_rank([x + dims[0], y]), grid.coords), (me, me, [x, y]))
    equal((grid.Get_dim(), grid.dims, grid.periods, grid.Get_topo()), (2, dims, [1, 0], (dims, [1, 0], [x, y])))
    row = grid.Sub([False, True])
    equal((row.size, row.rank, row.dims), (dims[1], y, [dims[1]]))
    equal((grid.Dup().dims, grid.Get_topology(), comm.Get_topology()), (dims, MPI.CART, MPI.UNDEFINED))
    raises("invalid", comm.Create_cart, [n + 1])
    raises("invalid", grid.Get_cart_rank, [0, dims[1]])
    raises("invalid", grid.Shift, 2, 1)
    raises("invalid", grid.Sub, [True])


def test_windows():
    win = MPI.Win.Allocate_shared(8 * (me + 1), 8, comm=comm)
    mine, unit = win.Shared_query(me)
    equal((len(mine), unit, bytes(mine)), (8 * (me + 1), 8, bytes(8 * (me + 1))))
    struct.pack_into("q", mine, 8 * me, me + 1)
    win.Sync()
    for r in range(n):
        equal(struct.unpack_from("q", win.Shared_query(r)[0], 8 * r)[0], r + 1)
    equal(len(win.Shared_query(MPI.PROC_NULL)[0]), 8)
    win.Fence()
    win.tomemory()[0:1] = b"x"
    mine = None
    win.Free()
    win.Free()
    for f in (MPI.Win.Create, MPI.Win.Allocate, MPI.WIN_NULL.Put):
        raises(NotImplementedError, f)


def test_attributes_and_environment():
    ub = comm.Get_attr(MPI.TAG_UB)
    assert ub >= 32767 and comm.Get_attr(MPI.WTIME_IS_GLOBAL) and comm.Get_attr(MPI.UNIVERSE_SIZE) == n
    key = MPI.Comm.Create_keyval()
    assert comm.Get_attr(key) is None
    comm.Set_attr(key, [1])
    equal(comm.Get_attr(key), [1])
    comm.Delete_attr(key)
    assert comm.Get_attr(key) is None
    assert 0 < MPI.Wtick() < 0.1 and MPI.Wtime() > 0 and MPI.Get_processor_name()
    assert MPI.Get_version()[0] == 3 and "tutti" in MPI.Get_library_version()
    assert MPI.Is_initialized() and not MPI.Is_finalized() and MPI.Query_thread() == MPI.THREAD_MULTIPLE and MPI.Is_thread_main()
    equal(comm.Get_errhandler(), MPI.ERRORS_RETURN)
    comm.Set_errhandler(MPI.ERRORS_RETURN)
    raises(TypeError, comm.Set_errhandler, 1)
    assert FOREIGN or comm.waiting().count("rank") >= n
    for f in (comm.Spawn, comm.Accept, comm.Connect, comm.Create_intercomm, comm.Create_graph, comm.Create_group):
        assert "tutti" in str(raises(NotImplementedError, f) if f != comm.Create_group else raises(NotImplementedError, f, None))
    raises(AttributeError, lambda: MPI.Nothing)
    assert "COMM_WORLD" in dir(MPI) and MPI.rc.initialize
    equal(MPI.COMM_SELF.size, 1)
    equal(MPI.COMM_SELF.allreduce(5), 5)


def test_revoke():
    d = comm.Dup()
    if FOREIGN:
        raises("unsupported", d.Revoke)
        return
    assert not d.Is_revoked()
    comm.Barrier()
    if me == 0:
        d.Revoke()
    raises("revoked", d.Recv, bytearray(1), (me + 1) % n, 5)
    assert d.Is_revoked()
    equal(comm.allreduce(1), n)  # the others do not suffer


def test_fork():
    if me == 0 and not FOREIGN:
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            text = "nothing was raised"
            try:
                comm.Barrier()
            except MPI.Error as e:
                text = f"{e.Get_error_class()} {e}"
            os.write(w, text.encode())
            os._exit(0)
        os.close(w)
        with os.fdopen(r) as f:
            text = f.read()
        os.waitpid(pid, 0)
        assert text.startswith(str(MPI.ERR_FORKED)) and "spawn" in text, text


def test_joined_worlds():
    import subprocess

    if me != 0 or FOREIGN:
        return
    here = os.path.dirname(os.path.abspath(__file__))
    env = {k: v for k, v in os.environ.items() if not k.startswith("TUTTI_MPI_")}
    fds = [MPI.new_segment() for _ in range(3)]
    ps = [subprocess.Popen([sys.executable, os.path.join(here, "engine.py"), str(r), "3", *map(str, fds)], pass_fds=fds, env=env, stdout=subprocess.PIPE,
                           text=True) for r in range(3)]
    out = [p.communicate(timeout=60)[0] for p in ps]
    equal([p.returncode for p in ps], [0, 0, 0])
    equal(out, ["3 revoked 3 left\n"] * 3)


run(globals(), comm.Barrier)

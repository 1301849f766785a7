"""Worlds of warm engines: which engines are the ranks of a call, what they keep, and how worlds end when ranks fail."""

import contextlib
import os
import random
import select
import signal
import sys
import tempfile
import time
import unittest

import tutti

SIZE = 4
KILLS = int(os.environ.get("WORLD_KILLS", "8"))
_shared = []


def setUpModule():
    made = tutti.Cluster(n=SIZE)
    made.start_cluster_sync()
    _shared.append(made)


def tearDownModule():
    _shared.pop().stop_cluster_sync()


def where(comm):
    """(rank, ranks, their pids by rank as message passing has them, this process's)."""
    import os

    return comm.Get_rank(), comm.Get_size(), comm.allgather(os.getpid()), os.getpid()


class Signal:
    """A pipe with a name, through which engines say that they have come to a place."""

    def __init__(self, test):
        self.folder = tempfile.TemporaryDirectory()
        test.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "pipe")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        test.addCleanup(os.close, self.fd)

    def wait(self, n=1):
        for _ in range(n):
            if not select.select([self.fd], [], [], 60)[0]:
                raise TimeoutError("no engine has come to its place within a minute")
            os.read(self.fd, 1)


class WorldTest(unittest.TestCase):
    def setUp(self):
        self.rc = _shared[0].connect_client_sync()
        self.addCleanup(self.rc.close)
        self.rc.wait_for_engines(SIZE, timeout=60)
        self.dv = self.rc[:]
        self.pids = self.dv.apply_sync(os.getpid)

    def failure(self, ar):
        with self.assertRaises(tutti.CompositeError) as caught:
            ar.get(60)
        return caught.exception


class Ranks(WorldTest):
    def check(self, got, engines):
        pids = [self.pids[e] for e in engines]
        self.assertEqual(got, [(r, len(engines), pids, pids[r]) for r in range(len(engines))])

    def test_direct(self):
        # Exactly the view's engines, in its order; another world at each call, of another size too.
        for engines in [0, 1, 2, 3], [3, 2, 1, 0], [2, 0], [1, 3], [3], [0, 2, 3], [1, 0, 2, 3]:
            view = self.rc[engines]
            self.check(view.apply_world(where).get(60), engines)
            self.check(view.world().apply_sync(where), engines)
            self.check(view.world(ranks=1).apply_async(where).get(60), engines[:1])

    def test_balanced(self):
        lbv = self.rc.load_balanced_view()
        for n in 1, 2, 3, 4, 2, 1:
            got = lbv.world(ranks=n).apply_sync(where)
            pids = [g[3] for g in got]
            self.assertEqual(got, [(r, n, pids, pids[r]) for r in range(n)])
            self.assertEqual(len(set(pids)), n)
            self.assertLessEqual(set(pids), set(self.pids))
        self.assertEqual(len(lbv.apply_world(where).get(60)), SIZE)

    def test_at_once(self):
        # Two worlds beside each other: each is seen to be at work while the other one is.
        here, go = Signal(self), Signal(self)

        def meet(comm, here, go):
            if comm.Get_rank() == 0:
                with open(here, "wb", 0) as f:
                    f.write(b"1")
                with open(go, "rb", 0) as f:
                    f.read(1)
            return comm.allreduce(comm.Get_rank() + 1)

        for a, b in ([0, 1], [2, 3]), ([0, 2], [3, 1]), ([0], [1, 2, 3]):
            both = [self.rc[v].apply_world(meet, here.path, go.path) for v in (a, b)]
            here.wait(2)
            self.assertFalse(any(ar.ready() for ar in both))
            os.write(go.fd, b"22")
            for ar, v in zip(both, (a, b)):
                self.assertEqual(ar.get(60), [sum(range(1, len(v) + 1))] * len(v))

    def test_many_that_overlap(self):
        # Worlds that want the same engines come one after the other, whatever the order, and none waits for ever.
        rng, lbv = random.Random(7), self.rc.load_balanced_view()
        wanted = [rng.sample(range(SIZE), rng.randint(1, SIZE)) for _ in range(60)]
        direct = [self.rc[engines].apply_world(where) for engines in wanted]
        balanced = [lbv.apply_world(where, ranks=1 + i % SIZE) for i in range(20)]
        single = lbv.map_async(lambda x: x * x, range(50))
        for ar, engines in zip(direct, wanted):
            self.check(ar.get(60), engines)
        self.assertEqual([len(ar.get(60)) for ar in balanced], [1 + i % SIZE for i in range(20)])
        self.assertEqual(single.get(60), [x * x for x in range(50)])

    def test_variables(self):
        # What was pushed is there in each world, and what a world left is there afterwards.
        self.dv.push({"a": 10}, block=True)
        self.dv.scatter("mine", [3, 1, 4, 1], block=True)

        def total(comm):
            import __main__ as me

            me.sums.append(comm.allreduce(me.a + sum(me.mine)))
            return len(me.sums)

        self.dv.execute("sums = []", block=True)
        self.assertEqual(self.dv.world().apply_sync(total), [1] * 4)
        self.assertEqual(self.rc[[2, 0]].world().apply_sync(total), [2, 2])
        self.assertEqual(self.dv.pull("sums", block=True), [[49, 27], [49], [49, 27], [49]])
        self.assertEqual(self.dv.gather("mine", block=True), [3, 1, 4, 1])

    def test_large_values(self):
        def block(comm, data):
            return comm.bcast(data, root=0) * (comm.Get_rank() + 1)

        data = os.urandom(200_000)
        self.assertEqual(self.rc[[1, 2]].world().apply_sync(block, data), [data, data * 2])


class Failures(WorldTest):
    def test_raises(self):
        self.dv.execute("kept = ['here']", block=True)

        def f(comm, bad):
            import __main__ as me

            me.kept.append(comm.allreduce(1))
            if comm.Get_rank() == bad:
                raise ValueError("rank %d of %d" % (bad, comm.Get_size()))
            while True:
                comm.barrier()

        for bad in 2, 0, 3:
            e = self.failure(self.dv.apply_world(f, bad))
            self.assertEqual(len(e.elist), SIZE)
            name, text, trace, info = e.elist[0]
            self.assertEqual((name, text), ("ValueError", "rank %d of 4" % bad))
            self.assertEqual((info["engine_id"], info["rank"]), (bad, bad))
            self.assertIn('raise ValueError("rank %d', str(trace))
            for name, text, trace, info in e.elist[1:]:
                self.assertEqual(name, "Revoked")
                self.assertIn("comm.barrier()", str(trace))
            self.assertEqual([el[3]["rank"] for el in e.elist[1:]], [r for r in range(SIZE) if r != bad])
        self.assertEqual(self.dv.pull("kept", block=True), [["here", 4, 4, 4]] * SIZE)
        self.assertEqual(len(self.dv.world().apply_sync(where)), SIZE)

    def test_several_raise(self):
        def f(comm):
            comm.barrier()
            if comm.Get_rank() % 2:
                raise KeyError(comm.Get_rank())
            comm.recv(source=comm.Get_rank() + 1)

        e = self.failure(self.dv.apply_world(f))
        names = [el[0] for el in e.elist]
        self.assertEqual(names, ["KeyError", "KeyError", "Revoked", "Revoked"])

    def test_ends_before_it_joins(self):
        # A rank whose arguments cannot be made there never joins: the others, who wait for it, hear of it.
        class OnlyOn:
            def __init__(self, pid):
                self.pid = pid

            def __reduce__(self):
                return refuse, (self.pid,)

        def refuse(pid):
            import os

            if os.getpid() == pid:
                raise LookupError("not in this process")

        def f(comm, x):
            comm.barrier()

        e = self.failure(self.dv.apply_world(f, OnlyOn(self.pids[1])))
        self.assertEqual([el[0] for el in e.elist], ["LookupError"] + ["Revoked"] * 3)

    def test_dies_before_it_joins(self):
        # One engine is busy, and dies of it, while the others of its world wait for it.
        gate = Signal(self)

        def busy(path):
            import os
            import signal

            with open(path, "rb", 0) as f:
                f.read(1)
            os.kill(os.getpid(), signal.SIGKILL)

        def f(comm):
            comm.allreduce(1)

        lone = self.rc[1:2].apply_async(busy, gate.path)
        ar = self.dv.apply_world(f)
        os.write(gate.fd, b"1")
        with self.assertRaises(tutti.KernelError) as caught:
            ar.get(60)
        elist = getattr(caught.exception, "elist", [])
        self.assertEqual([el[0] for el in elist], ["EngineError"] + ["Revoked"] * 3)
        self.assertRaises(tutti.EngineError, lone.get, 60)
        back(self.rc, 1, self.pids[1])
        self.assertEqual(len(self.dv.world().apply_sync(where)), SIZE)


def back(rc, engine, before):
    """Wait for an engine whose process was ended: the pid of the new one."""
    rc.wait_for_engines(SIZE, timeout=60)
    pid = rc[engine].apply_async(os.getpid).get(60)
    assert pid != before
    return pid


def open_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


class Killed(WorldTest):
    """kill -9 of a rank in the middle of an allreduce, again and again (WORLD_KILLS times)."""

    def test_killed(self):
        rng = random.Random(KILLS)
        here = Signal(self)
        pids = list(self.pids)
        node = self.parents()
        files, slowest, late = {}, 0.0, []
        shm = sorted(os.listdir("/dev/shm"))
        self.dv.push({"kept": 0}, block=True)
        for n in range(KILLS):
            engines = rng.sample(range(SIZE), rng.choice([2, 3, 3, 4]))
            rank = rng.randrange(len(engines))
            victim = engines[rank]
            ar = self.rc[engines].apply_world(endless, here.path, rank, rng.choice([1, 100, 200_000]))
            here.wait()
            began = time.monotonic()
            os.kill(pids[victim], signal.SIGKILL)
            e = self.failure(ar)
            self.assertEqual([el[0] for el in e.elist], ["EngineError"] + ["Revoked"] * (len(engines) - 1), e)
            self.assertEqual(e.elist[0][3]["rank"], rank)
            survivors = [x for x in range(SIZE) if x != victim]
            others = [x for x in survivors if x in engines]
            felt = max(self.rc[others].pull("felt", block=True)) - began
            slowest = max(slowest, felt)
            late += [felt] * (felt > 1)
            self.assertEqual(self.rc[survivors].pull("kept", block=True), [n] * (SIZE - 1))
            self.assertEqual(self.rc[survivors].apply_sync(os.getpid), [pids[x] for x in survivors])
            pids[victim] = back(self.rc, victim, pids[victim])
            self.dv.push({"kept": n + 1}, block=True)
            self.assertEqual([(g[0], g[3]) for g in self.dv.world().apply_sync(where)], list(enumerate(pids)))
            for pid in [*node, *pids]:
                if pid in files:
                    self.assertLessEqual(open_files(pid), files[pid] + 4)
                elif n > 1 or pid not in node:
                    files[pid] = open_files(pid)
        if "WORLD_KILLS" in os.environ:  # long runs have the machine for themselves
            self.assertEqual(sorted(os.listdir("/dev/shm")), shm)
            print("%d ranks killed; the slowest survivor heard of it after %.0f ms" % (KILLS, slowest * 1e3), file=sys.stderr)
            self.assertEqual(late, [], "seconds")

    def parents(self):
        """The processes above the engines, that hold the memory of worlds."""
        out = set()
        for pid in self.pids:
            with contextlib.suppress(OSError), open("/proc/%d/stat" % pid) as f:
                out.add(int(f.read().rpartition(")")[2].split()[1]))
        return out


def endless(comm, path, teller, size):
    """Sum without end; in the middle of it, one rank says so. Every rank notes when it had to stop."""
    import array
    import time

    import __main__ as me

    data, total = array.array("d", [1.0]) * size, array.array("d", [0.0]) * size
    try:
        n = 0
        while True:
            comm.Allreduce(data, total)
            n += 1
            if n == 3 and comm.Get_rank() == teller:
                with open(path, "wb", 0) as f:
                    f.write(b"1")
    finally:
        me.felt = time.monotonic()


if __name__ == "__main__":
    unittest.main()

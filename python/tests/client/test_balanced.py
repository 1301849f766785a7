"""The balanced view: each call where an engine is free."""

import concurrent.futures as cf
import itertools
import os
import unittest
import warnings

import tutti
from support import ClientTest, Gate


def add(x, y=1):
    return x + y


class Calls(ClientTest):
    def test_apply(self):
        self.assertEqual(self.lbv.apply_sync(add, 1), 2)
        self.assertEqual(self.lbv.apply_async(add, 1, y=3).get(), 4)
        self.lbv.block = True
        self.assertEqual(self.lbv.apply(add, 1), 2)
        self.assertRaises(TypeError, self.lbv.apply, 5)

    def test_many(self):
        n = 20000
        results = [self.lbv.apply_async(add, i) for i in range(n)]
        self.assertTrue(self.lbv.wait(timeout=60))
        self.assertEqual([ar.get() for ar in results], list(range(1, n + 1)))
        self.assertEqual(len(self.lbv.history), n)
        self.assertEqual(self.lbv.outstanding, set())

    def test_from_threads(self):
        def some(k):
            return [self.lbv.apply_async(add, k, i).get(60) for i in range(200)]

        with cf.ThreadPoolExecutor(8) as pool:
            for k, got in enumerate(pool.map(some, range(8))):
                self.assertEqual(got, [k + i for i in range(200)])

    def test_changed_globals_travel(self):
        f = tutti.interactive(reads_limit)
        import __main__

        __main__.limit = 3
        self.addCleanup(lambda: delattr(__main__, "limit"))
        self.assertEqual(self.lbv.apply_sync(f), 3)
        __main__.limit = 4
        self.assertEqual(self.lbv.apply_sync(f), 4)

    def test_result_as_argument(self):
        gate = Gate(self)
        first = self.lbv.apply_async(gate.wait_code(), 20)
        second = self.lbv.apply_async(add, first, y=first)
        third = self.lbv.apply_async(sum, [first, second, 1])
        self.assertFalse(third.ready())
        gate.open()
        self.assertEqual((second.get(30), third.get(30)), (40, 61))
        bad = self.lbv.apply_async(add, self.lbv.apply_async(add, "a"))
        self.assertRaises(tutti.ImpossibleDependency, bad.get, 30)
        self.assertRaises(TypeError, self.lbv.apply_async, add, self.dv.apply_async(add, 1))

    def test_flags(self):
        lbv = self.lbv.set_flags(label="name", retries=1, timeout=5, limit=30.0, priority=2, need={"cores": 1}, track=False)
        self.assertIs(lbv, self.lbv)
        self.assertEqual((lbv.retries, lbv.timeout, lbv.limit, lbv.priority, lbv.need), (1, 5.0, 30.0, 2, {"cores": 1}))
        ar = lbv.apply_async(add, 1)
        self.assertEqual((ar.get(30), ar.label), (2, "name"))
        for flags, error in (
            ({"retries": "1"}, TypeError),
            ({"retries": -1}, ValueError),
            ({"timeout": "x"}, TypeError),
            ({"timeout": -1}, ValueError),
            ({"limit": -1}, ValueError),
            ({"priority": 0.5}, TypeError),
            ({"need": 5}, TypeError),
            ({"after": 5}, ValueError),
            ({"follow": "nonsense"}, ValueError),
            ({"after": [object()]}, ValueError),
            ({"nothing": 1}, KeyError),
        ):
            self.assertRaises(error, lbv.set_flags, **flags)
        with lbv.temp_flags(retries=3):
            self.assertEqual(lbv.retries, 3)
        self.assertEqual(lbv.retries, 1)
        self.assertRaises(NotImplementedError, lbv.set_flags, after=tutti.Dependency(["1.1", "1.2"], all=False))
        ar = self.rc.load_balanced_view().set_flags(need={"cores": 10_000}).apply_async(add, 1)
        with self.assertRaises(TimeoutError) as caught:
            ar.get(0.01)
        self.assertIn("cores", str(caught.exception))
        ar.cancel()

    def test_limit(self):
        gate = Gate(self)
        self.lbv.limit = 0.05
        self.assertRaises(tutti.TaskTimeout, self.lbv.apply_async(gate.wait_code()).get, 30)

    def test_retries(self):
        gate = Gate(self)
        path = gate.path

        def once():
            import os

            if not os.path.exists(path):
                open(path, "w").close()
                raise ValueError("the first time")
            return "well"

        with self.lbv.temp_flags(retries=1):
            self.assertEqual(self.lbv.apply_async(once).get(30), "well")

    def test_targets(self):
        view = self.rc.load_balanced_view(targets=[1])
        self.assertEqual({ar.engine_id for ar in self.ended(view)}, {1})
        both = self.rc.load_balanced_view(targets=[0, 1])
        self.assertEqual({ar.engine_id for ar in self.ended(both)}, {0, 1})
        self.assertEqual(view.map_sync(add, range(5)), [1, 2, 3, 4, 5])
        self.assertEqual(len(both), 2)
        self.assertIsNone(self.rc.load_balanced_view("all").targets)

    def ended(self, view):
        many = [view.apply_async(add, i) for i in range(6)]
        for ar in many:
            ar.get(30)
        return many


def reads_limit():
    return limit  # noqa: F821


class Dependencies(ClientTest):
    def test_engines_that_die(self):
        import os
        import signal
        import tempfile

        def dies(path, number):
            import os

            with open(path, "a") as f:
                f.write("x")
            if os.path.getsize(path) == 1:
                if not number:
                    os._exit(3)
                os.kill(os.getpid(), number)
            return "again"

        for number, flags, text in (
            (0, {}, "status 3"),
            (signal.SIGSEGV, {}, "SEGV"),
            (0, {"retries": 1}, ""),
            (signal.SIGKILL, {}, ""),
            (signal.SIGKILL, {"retries_lost": 0}, "KILL"),
        ):
            with tempfile.TemporaryDirectory() as folder, self.lbv.temp_flags(**flags):
                ar = self.lbv.apply_async(dies, os.path.join(folder, "runs"), number)
                if text:
                    with self.assertRaisesRegex(tutti.EngineError, text):
                        ar.get(timeout=60)
                else:
                    self.assertEqual(ar.get(timeout=60), "again")
        self.rc.wait_for_engines(2, timeout=60)

    def test_follow_is_the_same_engine(self):
        for _ in range(4):
            made = self.lbv.apply_async(lambda: __import__("os").getpid())
            with self.lbv.temp_flags(follow=made):
                beside = [self.lbv.apply_async(lambda: __import__("os").getpid()) for _ in range(3)]
            self.assertEqual([ar.get(timeout=30) for ar in beside], [made.get()] * 3)
            self.assertEqual([ar.engine_id for ar in beside], [made.engine_id] * 3)

    def test_follow_what_fails_or_has_parted(self):
        bad = self.lbv.apply_async(lambda: 1 / 0)
        with self.lbv.temp_flags(follow=bad):
            ar = self.lbv.apply_async(int)
        with self.assertRaises(tutti.KernelError):
            ar.get(timeout=30)
        apart = [self.rc[i].apply_async(int) for i in self.rc.ids[:2]]
        with self.lbv.temp_flags(follow=apart):
            ar = self.lbv.apply_async(int)
        with self.assertRaises(tutti.ImpossibleDependency):
            ar.get(timeout=30)

    def test_after(self):
        gate = Gate(self)
        first = self.lbv.apply_async(gate.wait_code())
        with self.lbv.temp_flags(after=first):
            second = self.lbv.apply_async(add, 1)
        with self.lbv.temp_flags(after=[first.msg_ids[0], second], follow=second):
            third = self.lbv.apply_async(add, 2)
        self.assertFalse(second.wait(0.05) or third.ready())
        gate.open()
        self.assertEqual((second.get(30), third.get(30)), (2, 3))
        with self.lbv.temp_flags(after=second):
            self.assertEqual(self.lbv.map_sync(add, range(5), chunksize=2), [1, 2, 3, 4, 5])
        self.assertGreaterEqual(second.started, first.completed)
        self.assertEqual(second.after, first.msg_ids)
        self.assertEqual(third.follow, second.msg_ids)

    def test_failed(self):
        bad = self.lbv.apply_async(add, "a")
        with self.lbv.temp_flags(after=bad):
            self.assertRaises(tutti.ImpossibleDependency, self.lbv.apply_async(add, 1).get, 30)
        with self.lbv.temp_flags(after=tutti.Dependency(bad, success=True, failure=True)):
            self.assertEqual(self.lbv.apply_async(add, 1).get(30), 2)

    def test_timeout(self):
        gate = Gate(self)
        first = self.lbv.apply_async(gate.wait_code())
        with self.lbv.temp_flags(after=first, timeout=0.05):
            second = self.lbv.apply_async(add, 1)
        self.assertRaises(tutti.TaskTimeout, second.get, 30)

    def test_depend(self):
        @tutti.depend(is_engine, 1)
        def f():
            return "here"

        ars = [self.lbv.apply_async(f) for _ in range(6)]
        self.dv.scatter("number", [0, 1], flatten=True, block=True)
        ars += [self.lbv.apply_async(f) for _ in range(6)]
        for ar in ars[6:]:
            self.assertEqual((ar.get(30), ar.engine_id), ("here", 1))

        @tutti.depend(is_engine, 7)
        def g():
            return "nowhere"

        with self.assertRaises(tutti.UnmetDependency):
            self.lbv.apply_async(g).get(30)
        self.assertEqual(self.lbv.map_sync(f, [], []), [])

    def test_require(self):
        self.assertEqual(self.lbv.apply_sync(tutti.require("string", add, k=5)(uses_names)), ("0123456789", 6))

        @tutti.require("no_such_module_anywhere")
        def g():
            pass

        with self.assertRaises(tutti.UnmetDependency):
            self.lbv.apply_async(g).get(30)


@tutti.interactive
def uses_names():
    return string.digits, add(k)  # noqa: F821


def is_engine(n):
    import __main__

    return vars(__main__).get("number") == n


class Maps(ClientTest):
    def test_map(self):
        self.assertEqual(self.lbv.map_sync(add, range(50)), list(range(1, 51)))
        self.assertEqual(self.lbv.map(add, range(10), range(10), block=True, chunksize=3), [2 * i for i in range(10)])
        ar = self.lbv.map(add, range(10), chunksize=3, ordered=True, return_exceptions=False, label="m")
        self.assertEqual((ar.get(), len(ar), ar.label), (list(range(1, 11)), 4, ["m"] * 4))
        self.assertEqual(sorted(self.lbv.map_async(add, range(9), ordered=False, chunksize=2)), list(range(1, 10)))
        self.assertRaises(TypeError, self.lbv.map, add)
        self.assertRaises(ValueError, self.lbv.map, add, [1], chunksize=0)
        self.assertRaises(TypeError, self.lbv.map_sync, add, [1], block=False)
        big = [bytes([i]) * 100_000 for i in range(4)]
        self.assertEqual(self.lbv.map_sync(len, big), [100_000] * 4)
        self.assertEqual(self.lbv.map_sync(len, big, chunksize=2), [100_000] * 4)

    def test_imap_of_endless_input(self):
        taken = []

        def numbers():
            for i in itertools.count():
                taken.append(i)
                yield i

        it = self.lbv.imap(add, numbers(), max_outstanding=5)
        self.assertEqual(list(itertools.islice(it, 20)), list(range(1, 21)))
        self.assertLessEqual(len(taken), 26)
        it.cancel()
        self.assertRaises(StopIteration, next, it)
        self.assertEqual(list(self.lbv.imap(add, range(30))), list(range(1, 31)))
        self.assertEqual(list(self.lbv.imap(add, range(5), max_outstanding=0)), [1, 2, 3, 4, 5])
        self.assertEqual(sorted(self.lbv.imap(add, range(30), ordered=False, max_outstanding="auto")), list(range(1, 31)))
        kept = list(self.lbv.imap(add, [1, "a"], return_exceptions=True))
        self.assertEqual((kept[0], kept[1].ename), (2, "TypeError"))
        it = self.lbv.imap(add, ["a", 1])
        self.assertRaises(tutti.RemoteError, next, it)
        self.assertRaises(ValueError, self.lbv.imap, add, [1], max_outstanding="x")
        self.assertRaises(TypeError, self.lbv.imap, add)

    def test_decorators(self):
        @self.lbv.remote(block=True)
        def f(x):
            return x + 1

        self.assertEqual(f(1), 2)

        @self.lbv.parallel(block=True, chunksize=3)
        def total(xs):
            return [sum(xs)]

        self.assertEqual(total(range(7)), [3, 12, 6])

        @self.lbv.parallel(block=True)
        def same(xs):
            return list(xs)

        self.assertEqual(same(range(7)), list(range(7)))

        @self.lbv.parallel(block=False, ordered=False, return_exceptions=True)
        def one(x):
            return 1 / x

        self.assertEqual(sorted(one.map([1, 2])), [0.5, 1.0])


class Executors(ClientTest):
    def test_executor(self):
        with self.rc.executor() as ex:
            self.assertIsInstance(ex, tutti.ViewExecutor)
            self.assertIsInstance(ex, cf.Executor)
            self.assertEqual(ex.submit(add, 1, y=2).result(30), 3)
            self.assertEqual(list(ex.map(add, range(5), range(5))), [0, 2, 4, 6, 8])
            self.assertEqual(list(ex.map(add, range(5), chunksize=2)), [1, 2, 3, 4, 5])
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self.assertEqual(list(ex.map(add, [1], timeout=5)), [2])
            self.assertEqual(len(caught), 1)
            last = ex.submit(add, 1)
        self.assertTrue(last.done())
        self.assertRaises(RuntimeError, ex.submit, add, 1)
        self.assertRaises(RuntimeError, ex.map, add, [1])
        self.assertEqual(len(self.rc), 2)
        here = self.rc.executor([1]).submit(add, 1)
        self.assertEqual((here.result(30), here.engine_id), (2, 1))
        direct = self.dv.executor
        self.assertEqual(direct.submit(add, 1).result(30), [2, 2])
        self.assertEqual(list(direct.map(add, [1, 2], chunksize=1)), [2, 3])
        gate = Gate(self)
        ex = self.lbv.executor
        ar = ex.submit(gate.wait_code())
        ex.shutdown(wait=False)
        ex = self.lbv.executor
        other = ex.submit(gate.wait_code())
        ex.shutdown(cancel_futures=True)
        self.assertTrue(other.cancelled())
        gate.open()
        ar.result(30)


@unittest.skipUnless("TUTTI_DIST" in os.environ, "needs message passing: TUTTI_DIST names what `make lib` made")
class Worlds(ClientTest):
    def test_ranks(self):
        def f(comm, x, y=0):
            return comm.Get_rank(), comm.Get_size(), comm.allreduce(comm.Get_rank() + 1), x + y

        self.assertEqual(self.dv.apply_world(f, 1, y=2).get(60), [(0, 2, 3, 3), (1, 2, 3, 3)])
        self.assertEqual(self.lbv.world(ranks=2).apply_sync(f, 1), [(0, 2, 3, 1), (1, 2, 3, 1)])
        self.assertEqual(self.rc[[1, 0]].world().apply_async(f, 1).get(60)[0], (0, 2, 3, 1))

    def test_failing_ranks(self):
        def f(comm):
            if comm.Get_rank() == 1:
                raise ValueError("rank one")
            comm.barrier()

        ar = self.dv.apply_world(f)
        with self.assertRaises(tutti.KernelError) as caught:
            ar.get(60)
        self.assertIsInstance(caught.exception, tutti.CompositeError)
        self.assertEqual(caught.exception.elist[0][:2], ("ValueError", "rank one"))
        self.assertEqual(self.dv.apply_sync(add, 1), [2, 2])

    def test_bad_worlds(self):
        self.assertRaises(ValueError, self.dv.apply_world, add, ranks=3)
        self.assertRaises(ValueError, self.lbv.apply_world, add, ranks=0)
        w = self.lbv.world(2)
        self.assertEqual(len(w), 2)
        self.assertIn("2 ranks", repr(w))


if __name__ == "__main__":
    unittest.main()

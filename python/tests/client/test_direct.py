"""The direct view: engines by number, their variables, code, parts of sequences."""

import contextlib
import io
import os
import tempfile
import unittest

import tutti
from support import ClientTest, Gate

try:
    import numpy
except ImportError:
    numpy = None


def add(x, y=1, *more, z=0):
    return x + y + sum(more) + z


class Calls(ClientTest):
    def test_apply(self):
        self.assertEqual(self.dv.apply_sync(add, 1), [2, 2])
        self.assertEqual(self.dv.apply_async(add, 1, 2, 3, z=4).get(), [10, 10])
        self.assertIsInstance(self.dv.apply(add, 1), tutti.AsyncResult)
        self.dv.block = True
        self.assertEqual(self.dv.apply(add, 1, y=5), [6, 6])
        self.assertEqual(self.dv.apply_async(lambda **kw: sorted(kw), f=1, block=2).get(), [["block", "f"]] * 2)
        self.assertRaises(TypeError, self.dv.apply_sync, "no function")

    def test_result_as_argument(self):
        self.assertEqual(self.dv.apply_sync(add, self.rc[0].apply_async(add, 1)), [3, 3])
        self.assertEqual(self.dv.apply_sync(sum, [self.rc[0].apply_async(add, 1), 5]), [7, 7])

    def test_closures_and_lambdas(self):
        n = 5
        self.assertEqual(self.dv.apply_sync(lambda x: x + n, 1), [6, 6])

        class Local:
            def __init__(self, v):
                self.v = v

            def __eq__(self, other):
                return self.v == other.v

        self.assertEqual(self.rc[0].apply_sync(lambda o: Local(o.v + n), Local(1)), Local(6))

    def test_large(self):
        data = os.urandom(300_000)
        self.assertEqual(self.dv.apply_sync(len, data), [300_000] * 2)
        self.assertEqual(bytes(self.rc[0].apply_sync(bytes, data)), data)
        self.assertEqual(self.lbv.apply_sync(lambda *a: [len(x) for x in a], data, data[:10], data), [300_000, 10, 300_000])

    @unittest.skipUnless(numpy, "needs numpy")
    def test_arrays(self):
        a = numpy.arange(200_000.0).reshape(400, 500)
        self.dv.push({"a": a}, block=True)
        back = self.rc[1]["a"]
        self.assertTrue((back == a).all())
        self.assertEqual(self.dv.apply_sync(numpy.sum, tutti.Reference("a")), [a.sum()] * 2)
        self.dv.scatter("part", a, block=True)
        self.assertEqual(self.dv.apply_sync(lambda p: p.shape, tutti.Reference("part")), [(200, 500)] * 2)
        self.assertTrue((self.dv.gather("part", block=True) == a).all())
        self.dv.scatter("part", a, dist="r", block=True)
        self.assertTrue((self.dv.gather("part", dist="r", block=True) == a).all())

    def test_flags(self):
        self.assertIs(self.dv.set_flags(block=True, track=True, label="x", targets=[0]), self.dv)
        self.assertEqual((self.dv.block, self.dv.track, self.dv.label, self.dv.targets, len(self.dv)), (True, True, "x", [0], 1))
        self.assertEqual(self.dv.apply(add, 1), [2])
        with self.dv.temp_flags(block=False, targets=1, label="y"):
            ar = self.dv.apply(add, 1)
            self.assertEqual((ar.get(), ar.engine_id, ar.label), (2, 1, "y"))
        self.assertEqual((self.dv.block, self.dv.targets), (True, [0]))
        self.assertRaises(KeyError, self.dv.set_flags, retries=2)
        self.assertIn("DirectView", repr(self.dv))
        self.assertEqual(self.rc.direct_view([0], label="of view").apply_async(add, 1).label, ["of view"])

    def test_labels(self):
        for ar, label in (
            (self.dv.execute("1", label="e"), "e"),
            (self.dv.map(add, [1], label="m"), "m"),
            (self.dv.execute("x = 1\ny = 2"), "execute(x = 1)"),
            (self.dv.push({"q": 1}), "push(q)"),
        ):
            ar.get()
            self.assertEqual(ar.label[0], label)

    def test_history(self):
        a, b = self.dv.apply_async(add, 1), self.rc[0].apply_async(add, 1)
        self.assertEqual(self.dv.history, a.msg_ids)
        self.assertLessEqual(self.dv.outstanding, set(a.msg_ids))
        self.assertTrue(self.dv.wait(timeout=30))
        b.get()
        self.assertEqual(self.dv.outstanding, set())
        self.assertEqual(self.dv.get_result(0).get(30), 2)
        self.assertEqual(self.dv.get_result(block=True).get(), 2)
        self.assertEqual(self.dv.get_result([0, 1], owner=True).get(30), [2, 2])
        self.assertEqual(self.dv.get_result(slice(0, 2)).get(30), [2, 2])
        self.assertEqual(self.dv.results[a.msg_ids[0]], 2)
        self.assertIsNone(self.dv.spin())

    def test_abort(self):
        gate = Gate(self)
        ar = self.dv.apply_async(gate.wait_code())
        self.dv.abort(block=True)
        with self.assertRaises(tutti.CompositeError) as caught:
            ar.get(30)
        self.assertEqual([e[0] for e in caught.exception.elist], ["TaskAborted"] * 2)
        self.assertIsNone(self.dv.abort())
        ar = self.dv.apply_async(gate.wait_code())
        self.dv.abort(ar)
        self.assertRaises(tutti.CompositeError, ar.get, 30)
        ar = self.rc[1].apply_async(gate.wait_code())
        self.dv.abort(targets=[1], block=True)
        self.assertRaises(tutti.TaskAborted, ar.get, 30)

    def test_queue_and_purge(self):
        gate = Gate(self)
        self.dv.wait(self.dv.apply_async(add, 1))
        ar = self.rc[0].apply_async(gate.wait_code())
        status = self.dv.queue_status()
        self.assertEqual(sorted(map(str, status)), ["0", "1", "unassigned"])
        self.assertEqual(set(status[0]), {"queue", "completed", "tasks"})
        verbose = self.dv.queue_status([0], verbose=True)
        self.assertIn(ar.msg_ids[0], verbose[0]["tasks"] + verbose[0]["queue"] + verbose["unassigned"])
        self.assertRaises(RuntimeError, self.dv.purge_results, ar)
        gate.open()
        ar.get(30)
        self.dv.purge_results(ar)
        self.assertRaises(ValueError, self.dv.purge_results)


class Maps(ClientTest):
    def test_map(self):
        self.assertEqual(self.dv.map_sync(add, range(10)), list(range(1, 11)))
        self.assertEqual(self.dv.map_sync(add, range(10), range(0, 100, 10)), [11 * i for i in range(10)])
        ar = self.dv.map_async(add, range(5))
        self.assertIsInstance(ar, tutti.AsyncMapResult)
        self.assertEqual((list(ar), len(ar), ar.get()), ([1, 2, 3, 4, 5], 2, [1, 2, 3, 4, 5]))
        self.assertEqual((ar[0], ar[1:3]), (1, [2, 3]))
        self.assertEqual(list(self.dv.imap(add, [1, 2])), [2, 3])
        self.assertEqual(self.dv.map(add, [1], block=True, track=True), [2])
        self.assertEqual(len(self.dv.map(add, [1])), 1)  # no more parts than items
        self.assertRaises(TypeError, self.dv.map_sync, add, [1], block=True)
        self.assertRaises(TypeError, self.dv.map_async, add, [1], block=True)
        self.assertRaises(TypeError, self.dv.map, add)

    def test_lengths_as_in_zip(self):
        self.assertEqual(self.dv.map_sync(add, range(3), range(10)), [0, 2, 4])
        self.assertEqual(self.dv.map_sync(add, range(10), range(3)), [0, 2, 4])
        self.assertEqual(self.lbv.map_sync(add, range(10), range(3)), [0, 2, 4])
        self.assertEqual(self.dv.map_sync(add, iter([1, 2, 3])), [2, 3, 4])

    def test_errors(self):
        with self.assertRaises(tutti.CompositeError) as caught:
            self.dv.map_sync(lambda x: 1 / x, [0, 1, 0, 1])
        self.assertEqual([e[0] for e in caught.exception.elist], ["ZeroDivisionError"] * 2)
        self.assertEqual(caught.exception.elist[0][3]["engine_id"], 0)
        kept = self.dv.map_sync(lambda x: 1 / x, [0, 1], return_exceptions=True)
        self.assertEqual((kept[0].ename, kept[1]), ("ZeroDivisionError", 1.0))


class Variables(ClientTest):
    def test_push_pull(self):
        self.dv["x"] = [1, 2]
        self.assertEqual(self.dv["x"], [[1, 2], [1, 2]])
        self.assertEqual(self.rc[0]["x"], [1, 2])
        self.rc[1].push({"x": 5, "f": add}, block=True)
        self.assertEqual(self.dv.pull("x", block=True), [[1, 2], 5])
        self.assertEqual(self.rc[1].pull(["x", "x"], block=True), [5, 5])
        self.assertEqual(self.rc[1].get(("x",)), [5])
        self.assertEqual(self.dv.pull("x", targets=1).get(), 5)
        self.assertEqual(self.rc[1].apply_sync(tutti.Reference("f"), 1), 2)
        self.assertEqual(self.dv.update({"y": 1}), [None, None])
        ar = self.dv.push({"y": 2}, targets=[0], block=False, track=True)
        self.assertEqual(ar.get(), [None])
        self.assertEqual(self.dv["y"], [2, 1])
        self.assertRaises(TypeError, self.dv.push, [1])
        self.assertRaises(TypeError, self.dv.pull, 5)
        self.assertRaises(TypeError, self.dv.pull, ["x", 5])
        with self.assertRaises(tutti.RemoteError) as caught:
            self.rc[0]["nothing"]
        self.assertEqual(caught.exception.ename, "NameError")

    def test_reference(self):
        self.dv["x"] = 5
        self.assertEqual(self.dv.apply_sync(add, tutti.Reference("x"), y=tutti.Reference("x * 2")), [15, 15])
        with self.assertRaises(tutti.RemoteError) as caught:
            self.rc[0].apply_sync(add, tutti.Reference("nothing"))
        self.assertEqual(caught.exception.ename, "NameError")

    def test_scatter_gather(self):
        self.assertIsNone(self.dv.scatter("a", range(5), block=True))
        self.assertEqual([list(p) for p in self.dv["a"]], [[0, 1, 2], [3, 4]])
        self.assertEqual(self.dv.gather("a", block=True), [0, 1, 2, 3, 4])
        ar = self.dv.gather("a")
        self.assertIsInstance(ar, tutti.AsyncMapResult)
        self.assertEqual((ar.get(), list(ar), ar[2]), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 2))
        self.dv.scatter("a", [1, 2], flatten=True, block=True)
        self.assertEqual(self.dv["a"], [1, 2])
        self.assertEqual(self.dv.gather("a", block=True), [1, 2])
        self.dv.scatter("a", "abcde", dist="r", block=True)
        self.assertEqual(self.dv["a"], ["ace", "bd"])
        self.dv.scatter("a", [1, 2, 3, 4, 5], dist="r", targets=[1, 0], track=True).get()
        self.assertEqual(self.dv["a"], [[2, 4], [1, 3, 5]])
        self.assertEqual(self.dv.gather("a", dist="r", targets=[1, 0], block=True), [1, 2, 3, 4, 5])
        self.dv.scatter("a", {1: 2, 3: 4}, block=True)  # what cannot be sliced
        self.assertEqual(self.dv.gather("a", block=True), [1, 3])
        self.assertRaises(ValueError, self.dv.scatter, "a", [1], "z")
        self.assertRaises(TypeError, self.dv.scatter, "a", iter([1]))

    def test_clear(self):
        self.dv["x"] = 1
        self.rc[0].clear(block=True)
        self.assertRaises(tutti.RemoteError, lambda: self.rc[0]["x"])
        self.assertEqual(self.rc[1]["x"], 1)
        self.assertEqual(self.dv.clear(targets=[1], block=False).get(), [None])
        self.assertRaises(tutti.RemoteError, lambda: self.rc[1]["x"])


class Code(ClientTest):
    def test_execute(self):
        ar = self.dv.execute("x = 5", block=True)
        self.assertIsInstance(ar, tutti.AsyncResult)
        self.assertEqual(self.dv["x"], [5, 5])
        self.rc[0].execute("import os\nprint(os.getpid())\nx = 6", block=True)
        self.assertEqual(self.dv["x"], [6, 5])
        self.assertEqual(self.dv.execute("y = x", silent=True, targets=1, block=True).engine_id, 1)
        ar = self.dv.execute("1 / 0")
        with self.assertRaises(tutti.CompositeError) as caught:
            ar.get()
        self.assertEqual(caught.exception.elist[0][3]["method"], "execute")
        self.assertEqual(ar.execute_input, ["1 / 0"] * 2)
        self.dv.block = True
        self.assertRaises(tutti.CompositeError, self.dv.execute, "1 / 0")
        self.assertRaises(tutti.RemoteError, self.rc[0].execute, "syntax error", block=True)

    def test_run(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("z = 7\ndef g(): return z\n")
            file.flush()
            self.dv.run(file.name, block=True, label="file")
            self.rc.ids
        self.assertEqual(self.dv["z"], [7, 7])
        self.assertEqual(self.dv.apply_sync(tutti.Reference("g")), [7, 7])
        self.assertRaises(FileNotFoundError, self.dv.run, "/nowhere/at/all.py")

    def test_imports(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            with self.dv.sync_imports():
                import colorsys  # noqa: F401
                from string import digits, punctuation  # noqa: F401
            with self.dv.sync_imports(quiet=True):
                import calendar  # noqa: F401
        self.assertIn("importing colorsys on engine(s)", out.getvalue())
        self.assertNotIn("calendar", out.getvalue())

    def test_no_local_imports(self):
        with self.assertRaises(NotImplementedError):
            with self.dv.sync_imports(local=False):
                pass

    def test_picklers(self):
        self.assertEqual(self.dv.use_pickle().get(30), [None, None])
        try:
            import cloudpickle  # noqa: F401
        except ImportError:
            self.assertRaises(ImportError, self.dv.use_cloudpickle)
        else:
            self.dv.use_cloudpickle().get(30)
            n = 3
            self.assertEqual(self.dv.apply_sync(lambda x: x + n, 1), [4, 4])
            self.dv.use_pickle()
        try:
            import dill  # noqa: F401
        except ImportError:
            self.assertRaises(ImportError, self.dv.use_dill)

    def test_decorators(self):
        @self.dv.remote(block=True)
        def f(x):
            """Doc."""
            return x + 1

        self.assertIsInstance(f, tutti.RemoteFunction)
        self.assertEqual((f(1), f.__name__, f.__doc__), ([2, 2], "f", "Doc."))
        self.assertIn("f", repr(f))

        @tutti.remote(self.dv, block=False, targets=0)
        def g(x):
            return x

        self.assertEqual(g(3).get(), 3)

        @self.dv.parallel(block=True)
        def total(xs, ys=None):
            return [sum(xs)]

        self.assertIsInstance(total, tutti.ParallelFunction)
        self.assertEqual(total(range(4)), [1, 5])
        self.assertEqual(total(range(4), range(4)), [1, 5])
        self.assertEqual(total([]), [])
        self.assertRaises(ValueError, total, [1], [1, 2])

        @tutti.parallel(self.dv, dist="r", block=False, ordered=True)
        def same(xs):
            return xs

        self.assertEqual(same([1, 2, 3]).get(), [1, 2, 3])
        self.assertEqual(list(same([1, 2, 3])), [1, 3, 2])

        @self.dv.parallel(block=True)
        def one(x):
            return x + 1

        self.assertEqual(one.map([1, 2, 3]), [2, 3, 4])


class Broadcast(ClientTest):
    def test_is_a_direct_view(self):
        for coalescing in (False, True):
            bv = self.rc.broadcast_view(is_coalescing=coalescing, block=True)
            self.assertIsInstance(bv, tutti.BroadcastView)
            self.assertEqual(bv.is_coalescing, coalescing)
            self.assertEqual(bv.apply(add, 1), [2, 2])
            bv["x"] = 1
            self.assertEqual(bv["x"], [1, 1])
            bv.scatter("x", [1, 2])
            self.assertEqual(bv.gather("x"), [1, 2])
            self.assertEqual(bv.map(add, [1, 2]), [2, 3])
            bv.execute("x = 3")
            self.assertEqual(self.rc.broadcast_view([0]).pull("x").get(), [3])


if __name__ == "__main__":
    unittest.main()

"""The executor, on a cluster; and how batches are sized."""

from __future__ import annotations

import concurrent.futures as futures
import os
import random
import signal
import threading
import time
import typing
import unittest

from live import Live
from tutti import _batches
from tutti.executor import Executor


class Plans(unittest.TestCase):
    def test_it_begins_with_single_items_and_grows(self) -> None:
        p = _batches.Plan(4)
        self.assertEqual(p.next(None), 1)
        sizes = []
        for _ in range(6):
            n = p.next(1 << 30)
            sizes.append(n)
            p.learn(n, n * 1e-6)
        self.assertEqual(sizes[:4], [1, 8, 64, 512])
        self.assertLessEqual(max(sizes), int(_batches.AIM / 1e-6))

    def test_long_items_go_alone_and_are_all_handed_over(self) -> None:
        p = _batches.Plan(4)
        p.learn(1, 0.5)
        self.assertEqual(p.next(1000), 1)
        self.assertGreater(p.window(), 1 << 20)

    def test_batches_shrink_towards_the_end(self) -> None:
        p = _batches.Plan(4)
        for n in (1, 8, 64):
            p.learn(n, n * 1e-5)
        left, sizes = 2000, []
        while left:
            n = p.next(left)
            sizes.append(n)
            left -= n
        self.assertEqual(sorted(sizes, reverse=True), sizes)
        self.assertEqual(sizes[-1], 1)

    def test_large_arguments_make_small_batches(self) -> None:
        p = _batches.Plan(2)
        p.learn(100, 1e-6)
        p.weigh(1, 30_000)
        self.assertEqual(p.next(10_000), 1)

    def test_a_fixed_size_is_kept_to(self) -> None:
        p = _batches.Plan(2, fixed=7)
        p.learn(7, 10.0)
        self.assertEqual(p.next(3), 7)

    def test_every_plan_comes_to_its_end(self) -> None:
        for seed in range(50):
            rng = random.Random(seed)
            p = _batches.Plan(rng.randint(1, 64), most=rng.choice((1, 10, 1 << 20)))
            left = rng.randint(1, 100_000)
            while left > 0:
                n = p.next(left)
                self.assertTrue(1 <= n <= left, seed)
                p.weigh(n, n * rng.randint(1, 10_000))
                p.learn(n, n * 10 ** rng.uniform(-8, 0))
                left -= n


def square(x: int) -> int:
    return x * x


def broken(x: int) -> int:
    if x == 7:
        raise LookupError("seven")
    return x


def deadly(x: int) -> int:
    if x == 150:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def unreadable(x: int) -> typing.Any:
    return threading.Lock() if x == 40 else x


class Executors(Live):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.ex = Executor(2)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.ex.shutdown()
        super().tearDownClass()

    def test_submit(self) -> None:
        k = 5
        f = self.ex.submit(lambda a, b=1: a + b + k, 3, b=2)
        self.assertIsInstance(f, futures.Future)
        self.assertEqual(f.result(30), 10)
        self.assertTrue(f.done())
        called: typing.List[typing.Any] = []
        f.add_done_callback(called.append)
        self.assertEqual(called, [f])
        with self.assertRaises(futures.InvalidStateError):
            f.set_result(3)

    def test_errors_are_the_functions_own(self) -> None:
        f = self.ex.submit(broken, 7)
        with self.assertRaises(LookupError) as caught:
            f.result(30)
        self.assertEqual(caught.exception.args, ("seven",))
        self.assertIn('raise LookupError("seven")', str(caught.exception.__cause__))
        self.assertIs(f.exception(), caught.exception)

    def test_the_standard_librarys_waits(self) -> None:
        fs = [self.ex.submit(square, i) for i in range(20)]
        self.assertEqual(futures.wait(fs, 30).not_done, set())
        self.assertEqual(sorted(f.result() for f in futures.as_completed(fs, 30)), [i * i for i in range(20)])

    def test_map(self) -> None:
        self.assertEqual(list(self.ex.map(square, range(3000))), [i * i for i in range(3000)])
        self.assertEqual(list(self.ex.map(pow, [2, 3, 4], iter([1, 2]))), [2, 9])
        self.assertEqual(list(self.ex.map(square, [])), [])
        self.assertEqual(list(self.ex.map(square, range(100), chunksize=7)), [i * i for i in range(100)])

    def test_an_error_in_a_map_stands_where_it_is(self) -> None:
        got = []
        with self.assertRaises(LookupError):
            for x in self.ex.map(broken, range(1000)):
                got.append(x)
        self.assertEqual(got, list(range(7)))

    def test_a_deadly_item_costs_only_itself(self) -> None:
        got, results = [], self.ex.map(deadly, range(151))
        with self.assertRaises(Exception) as caught:
            for x in results:
                got.append(x)
        self.assertEqual(got, list(range(150)))
        self.assertIn("signal", str(caught.exception).lower())
        self.assertEqual(sum(self.ex.map(square, range(10))), 285)

    def test_a_result_that_cannot_travel_costs_only_itself(self) -> None:
        got = []
        with self.assertRaisesRegex(Exception, "lock"):
            for x in self.ex.map(unreadable, range(100)):
                got.append(x)
        self.assertEqual(got, list(range(40)))

    def test_large_arguments_and_results(self) -> None:
        big = [bytes([i]) * 300_000 for i in range(8)]
        self.assertEqual(self.ex.submit(lambda a, b: b + a, *big[:2]).result(60), big[1] + big[0])
        self.assertEqual(list(self.ex.map(bytes.upper, big)), [b.upper() for b in big])

    def test_endless_input(self) -> None:
        taken = []

        def numbers() -> typing.Iterator[int]:
            i = 0
            while True:
                taken.append(i)
                yield i
                i += 1

        results = self.ex.map(square, numbers(), buffersize=50)
        self.assertEqual([next(results) for _ in range(200)], [i * i for i in range(200)])
        results.close()
        self.assertLessEqual(len(taken), 251)
        with self.assertRaises(ValueError):
            self.ex.map(square, [1], buffersize=0)

    def test_timeout(self) -> None:
        results = self.ex.map(time.sleep, [60], timeout=0.05)
        with self.assertRaises(TimeoutError):
            next(results)
        with self.assertRaises(TimeoutError):
            self.ex.submit(time.sleep, 0.2).result(0.01)

    def test_leaving_a_map_cancels_the_rest(self) -> None:
        for x in self.ex.map(time.sleep, [0, 3600, 3600, 3600]):
            break
        self.assertEqual(self.ex.submit(square, 3).result(60), 9)

    def test_cancel(self) -> None:
        f = self.ex.submit(time.sleep, 3600)
        self.assertTrue(f.cancel())
        self.assertTrue(f.cancelled())
        with self.assertRaises(futures.CancelledError):
            f.result()
        self.assertEqual(self.ex.submit(square, 3).result(60), 9)

    def test_several_threads(self) -> None:
        sums: typing.List[int] = []

        def work(k: int) -> None:
            sums.append(sum(self.ex.map(square, range(k))) + self.ex.submit(square, 1).result())

        threads = [threading.Thread(target=work, args=(500,)) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(sums, [sum(i * i for i in range(500)) + 1] * 4)


class Ends(Live):
    def test_shutdown(self) -> None:
        with Executor(1) as ex:
            fs = [ex.submit(square, i) for i in range(10)]
            unread = ex.map(square, range(1000))
        self.assertEqual([f.result() for f in fs], [i * i for i in range(10)])
        self.assertEqual(sum(1 for _ in unread), 1000)
        with self.assertRaises(RuntimeError):
            ex.submit(square, 1)
        with self.assertRaises(RuntimeError):
            ex.map(square, [1])
        ex.shutdown()

    def test_shutdown_cancels_what_has_not_begun(self) -> None:
        path = os.path.join(self.folder, "begun")

        def first() -> int:
            with open(path, "w"):
                pass
            while os.path.exists(path):
                time.sleep(0.001)
            return 1

        ex = Executor(1)
        f = ex.submit(first)
        while not os.path.exists(path):
            time.sleep(0.001)
        others = [ex.submit(square, i) for i in range(5)]
        ending = threading.Thread(target=ex.shutdown, kwargs={"cancel_futures": True})
        ending.start()
        futures.wait(others, 60)
        self.assertTrue(all(o.cancelled() for o in others))
        os.unlink(path)
        ending.join(60)
        self.assertEqual(f.result(), 1)

    def test_a_cluster_that_goes_breaks_the_executor(self) -> None:
        ex = Executor(1)
        f = ex.submit(time.sleep, 3600)
        results = ex.map(time.sleep, [3600])
        os.kill(ex._cluster.controller.pid, signal.SIGKILL)
        with self.assertRaises(futures.BrokenExecutor):
            f.result(60)
        with self.assertRaises(futures.BrokenExecutor):
            next(results)
        with self.assertRaises(futures.BrokenExecutor):
            ex.submit(square, 1)
        ex.shutdown()
        for name in os.listdir(os.path.join(self.folder, "tutti")):  # what it could not take away itself
            if name.endswith((".sock", ".blobs")):
                os.unlink(os.path.join(self.folder, "tutti", name))

    def test_initializer(self) -> None:
        def begin(value: int) -> None:
            import builtins

            builtins.begun = value  # type: ignore

        with Executor(2, initializer=begin, initargs=(3,)) as ex:
            self.assertEqual(set(ex.map(lambda _: begun, range(20))), {3})  # noqa: F821

    def test_on_clusters_that_run(self) -> None:
        import tutti

        with tutti.Cluster(n=2) as rc:
            for ex in (Executor(client=rc), Executor(view=rc.load_balanced_view()), Executor(1, cluster=rc.cluster)):
                with ex:
                    self.assertEqual(list(ex.map(square, range(50))), [i * i for i in range(50)])
                    self.assertEqual(ex.submit(square, 4).result(60), 16)
            with Executor(1, view=rc[:]) as ex:
                self.assertEqual(len(set(ex.map(lambda _: os.getpid(), range(20)))), 1)
            self.assertEqual(rc[:].apply_sync(square, 3), [9, 9])  # it is still there

    def test_an_initializer_that_fails(self) -> None:
        with self.assertRaisesRegex(Exception, "seven"):
            Executor(1, initializer=broken, initargs=(7,))

    def test_arguments(self) -> None:
        for n in (0, -1):
            with self.assertRaises(ValueError):
                Executor(n)
        with self.assertRaises(TypeError):
            Executor(1, initializer=3)  # type: ignore


if __name__ == "__main__":
    unittest.main()

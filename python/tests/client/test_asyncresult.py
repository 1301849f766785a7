"""AsyncResult: one future for calls on one engine, on several, and for maps."""

import asyncio
import concurrent.futures as cf
import contextlib
import datetime
import io
import os
import signal
import sys
import threading
import time
import unittest

import tutti
from support import ClientTest, Gate, in_thread


def double(x):
    return 2 * x


def fail(x):
    raise ValueError("no %s" % x)


def say(text):
    import sys

    print(text)
    print(text.upper(), file=sys.stderr)
    return text


class Single(ClientTest):
    def test_get(self):
        ar = self.lbv.apply_async(double, 21)
        self.assertEqual(ar.get(), 42)
        self.assertEqual(ar.get(timeout=0), 42)
        self.assertEqual(ar.get(-1), 42)
        self.assertEqual(ar.r, 42)
        self.assertEqual(ar.result(), 42)
        self.assertIsNone(ar.exception())
        self.assertTrue(ar.done() and ar.ready() and ar.successful())
        self.assertFalse(ar.running() or ar.cancelled())
        self.assertEqual(len(ar), 1)
        self.assertEqual(ar.progress, 1)
        self.assertEqual(ar.get_dict(), {ar.engine_id: 42})
        self.assertEqual(ar.result_dict, {ar.engine_id: 42})
        self.assertIn("finished", repr(ar))
        self.assertTrue(ar.sent)
        self.assertIsNone(ar.wait_for_send(1))

    def test_of_standard_library(self):
        ar = self.lbv.apply_async(double, 1)
        self.assertIsInstance(ar, cf.Future)
        done, rest = cf.wait([ar], timeout=30)
        self.assertEqual((done, rest), ({ar}, set()))
        many = [self.lbv.apply_async(double, i) for i in range(20)]
        self.assertEqual(sorted(f.result() for f in cf.as_completed(many, timeout=30)), [2 * i for i in range(20)])
        gate = Gate(self)
        slow = self.lbv.apply_async(gate.wait_code(), 1)
        quick = self.lbv.apply_async(double, 1)
        done, rest = cf.wait([slow, quick], return_when=cf.FIRST_COMPLETED, timeout=30)
        self.assertEqual((done, rest), ({quick}, {slow}))
        done, rest = cf.wait([slow], timeout=0)
        self.assertEqual((done, rest), (set(), {slow}))
        gate.open()
        self.assertEqual(slow.result(30), 1)
        self.assertEqual(next(cf.as_completed([slow])), slow)
        self.assertRaises(cf.InvalidStateError, ar.set_result, 1)
        self.assertRaises(cf.InvalidStateError, ar.set_exception, ValueError())
        self.assertTrue(ar.set_running_or_notify_cancel())

    def test_asyncio(self):
        async def main():
            return await asyncio.gather(*[asyncio.wrap_future(self.lbv.apply_async(double, i)) for i in range(10)])

        self.assertEqual(asyncio.run(main()), [2 * i for i in range(10)])

        async def failing():
            await asyncio.wrap_future(self.lbv.apply_async(fail, 1))

        with self.assertRaises(tutti.RemoteError):
            asyncio.run(failing())

    def test_callbacks(self):
        gate, called = Gate(self), threading.Event()
        ar = self.lbv.apply_async(gate.wait_code(), 5)
        seen = []
        ar.add_done_callback(lambda f: (seen.append(f.result()), called.set()))
        with self.assertLogs("concurrent.futures"):  # one that raises harms nobody else
            ar.add_done_callback(lambda f: 1 / 0)
            gate.open()
            ar.get(30)
            self.assertTrue(called.wait(30))
            now = []
            ar.add_done_callback(now.append)
            while len(seen) < 1:
                time.sleep(0)
            # The one that raises may come after the event; its log line ends the block.
            deadline = time.monotonic() + 30
            while ar._more.callbacks and time.monotonic() < deadline:
                time.sleep(0)
        self.assertEqual((seen, now), ([5], [ar]))

    def test_callback_may_wait(self):
        out, over = [], threading.Event()

        def again(f):
            out.append(self.lbv.apply_sync(double, f.result()))
            over.set()

        self.lbv.apply_async(double, 1).add_done_callback(again)
        self.assertTrue(over.wait(30))
        self.assertEqual(out, [4])

    def test_error(self):
        ar = self.lbv.apply_async(fail, 7)
        with self.assertRaises(tutti.RemoteError) as caught:
            ar.get()
        e = caught.exception
        self.assertEqual((e.ename, e.evalue), ("ValueError", "no 7"))
        self.assertIn("raise ValueError", "\n".join(e.render_traceback()))
        self.assertEqual(e.engine_info["engine_id"], ar.engine_id)
        self.assertFalse(ar.successful())
        self.assertEqual(ar.exception().ename, "ValueError")
        self.assertEqual(ar.get(return_exceptions=True).ename, "ValueError")
        self.assertEqual(ar.status, "error")
        self.assertEqual(ar.error.ename, "ValueError")
        with self.assertRaises(tutti.RemoteError):
            ar.result()

    def test_times_out(self):
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code())
        with self.assertRaises(TimeoutError) as caught:
            ar.get(0.01)
        self.assertIn("not ready after 0.01 s", str(caught.exception))
        self.assertIn(ar.msg_ids[0], str(caught.exception))
        for late in (lambda: ar.result(0), lambda: ar.exception(0)):
            self.assertRaises(TimeoutError, late)
        self.assertFalse(ar.wait(0))
        self.assertFalse(ar.wait_for_output(0))
        self.assertRaises(RuntimeError, ar.successful)
        self.assertRaises(TimeoutError, lambda: ar.serial_time)
        self.assertRaises(TimeoutError, lambda: ar.wall_time)
        self.assertGreater(ar.elapsed, 0)
        self.assertEqual(ar.progress, 0)
        self.assertIn(ar.msg_ids[0], ar.explain())
        self.assertIn("pending", repr(ar))
        gate.open()
        self.assertTrue(ar.wait(30))
        self.assertEqual(ar.explain(), "")

    def test_metadata(self):
        ar = self.lbv.apply_async(double, 1)
        ar.get()
        m = ar.metadata
        self.assertIsInstance(m, dict)
        self.assertEqual(set(m), set(tutti.Metadata.KEYS))
        self.assertEqual(m.msg_id, ar.msg_ids[0])
        self.assertEqual((m.status, m["status"], ar["status"], ar.status), ("ok",) * 4)
        self.assertEqual(m.label, "double")
        self.assertIn(m.engine_id, self.rc.ids)
        self.assertIsInstance(m.engine_uuid, str)
        for name in ("submitted", "started", "completed", "received"):
            self.assertIsInstance(m[name], datetime.datetime, name)
        self.assertLessEqual(m.started, m.completed)
        self.assertGreaterEqual(ar.timedelta(ar.submitted, ar.received), 0)
        self.assertGreaterEqual(ar.serial_time, 0)
        self.assertGreater(ar.wall_time, 0)
        self.assertEqual(ar.elapsed, ar.wall_time)
        self.assertRaises(AttributeError, lambda: ar.nothing_of_that_name)
        self.assertRaises(AttributeError, lambda: m.nothing)
        self.assertRaises(KeyError, m.__setitem__, "nothing", 1)
        self.assertIn("stdout", dir(ar))
        self.assertEqual((m.follow, m.after, m.outputs, m.data), ([], [], [], {}))

    def test_printed(self):
        ar = self.lbv.apply_async(say, "hello")
        ar.get()
        self.assertTrue(ar.wait_for_output(30))
        self.assertEqual((ar.stdout, ar.stderr), ("hello\n", "HELLO\n"))

    def test_published(self):
        def f():
            import tutti

            tutti.publish_data({"step": 1})
            tutti.publish_data({"step": 2, "x": [1]})

        ar = self.lbv.apply_async(f)
        ar.get()
        self.assertEqual(ar.data, {"step": 2, "x": [1]})
        self.assertIsNone(tutti.publish_data({}))
        self.assertRaises(TypeError, tutti.publish_data, 1)

    def test_abort(self):
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code())
        ar.abort()
        with self.assertRaises(tutti.TaskAborted):
            ar.get(30)
        self.assertEqual(ar.status, "aborted")
        self.assertRaises(RuntimeError, ar.abort)

    def test_cancel(self):
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code())
        heard = []
        ar.add_done_callback(heard.append)
        self.assertTrue(ar.cancel())
        self.assertTrue(ar.cancelled() and ar.done())
        self.assertTrue(ar.cancel())
        self.assertRaises(cf.CancelledError, ar.result)
        self.assertRaises(cf.CancelledError, ar.exception)
        self.assertRaises(tutti.TaskAborted, ar.get)
        self.assertEqual(heard, [ar])
        self.assertFalse(ar.set_running_or_notify_cancel())
        self.assertIn("cancelled", repr(ar))
        done = self.lbv.apply_async(double, 1)
        done.get()
        self.assertFalse(done.cancel())
        self.assertEqual(self.lbv.apply_sync(double, 2), 4)  # the engine is free again

    def test_iterating_one(self):
        self.assertEqual(list(self.lbv.apply_async(list, (1, 2))), [1, 2])
        self.assertRaises(TypeError, lambda: list(self.lbv.apply_async(double, 1)))
        self.assertEqual(self.lbv.apply_async(double, 4)[0], 8)
        self.assertRaises(TypeError, lambda: self.lbv.apply_async(double, 4)[1.5])

    def test_waiting_in_threads(self):
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code(), 3)
        threads = [in_thread(lambda: ar.get(30)) for _ in range(8)]
        gate.open()
        self.assertEqual(ar.get(30), 3)
        for t, out in threads:
            t.join(30)
            self.assertEqual(out, [3])

    def test_interrupt_gives_result_back(self):
        gate = Gate(self)
        t, _ = in_thread(interrupt_main_when_it_waits)
        ar = self.lbv.apply_sync(gate.wait_code(), 3)
        t.join(30)
        self.assertIsInstance(ar, tutti.AsyncResult)
        gate.open()
        self.assertEqual(ar.get(30), 3)
        self.lbv.apply_sync(double, 1)  # so that the next one reads by itself
        t, _ = in_thread(interrupt_main_when_it_waits)
        gate = Gate(self)
        with self.assertRaises(KeyboardInterrupt):
            self.lbv.apply_async(gate.wait_code()).get()
        t.join(30)


def interrupt_main_when_it_waits():
    """Ctrl-C, as soon as the main thread waits for a result."""
    main = threading.main_thread().ident
    while True:
        frame = sys._current_frames()[main]
        while frame is not None:
            if frame.f_code.co_name in ("_lead", "_follow"):
                signal.pthread_kill(main, signal.SIGINT)
                return
            frame = frame.f_back
        time.sleep(0.001)


class Several(ClientTest):
    def test_lines_in_pieces(self):
        import contextlib
        import io
        import types

        from tutti._outputs import Screen

        def pieces(tagged, *what):
            cells = [types.SimpleNamespace(end=None, target=n, id="1.%d" % n) for n in range(2)]
            with contextlib.redirect_stdout(io.StringIO()) as out:
                screen = Screen(tagged)
                for n, text in what:
                    screen.show(cells[n], (1, text))
                screen.end()
            return out.getvalue()

        self.assertEqual(pieces(True, (0, b"7"), (0, b"\n"), (1, b"a\nb"), (0, b"c")), "[stdout:0] 7\n[stdout:1] a\n[stdout:1] b\n[stdout:0] c\n")
        self.assertEqual(pieces(False, (0, b"7"), (0, b"8")), "78")

    def test_list(self):
        ar = self.dv.apply_async(os.getpid)
        pids = ar.get()
        self.assertEqual(len(set(pids)), 2)
        self.assertEqual(list(ar), pids)
        self.assertEqual((ar[0], ar[-1], ar[0:2]), (pids[0], pids[1], pids))
        self.assertEqual(ar.get_dict(), dict(zip(self.rc.ids, pids)))
        self.assertEqual(ar.engine_id, self.rc.ids)
        self.assertEqual([m.engine_id for m in ar.metadata], self.rc.ids)
        self.assertEqual(ar["status"], ["ok", "ok"])
        self.assertEqual(len(ar.msg_ids), 2)
        self.assertGreaterEqual(ar.timedelta(ar.started, ar.completed), 0)
        self.assertRaises(IndexError, lambda: ar[2])

    def test_one_in_a_list_is_a_list(self):
        self.assertEqual(self.rc[[0]].apply_sync(double, 1), [2])
        self.assertEqual(self.rc[0].apply_sync(double, 1), 2)

    def test_errors(self):
        ar = self.dv.apply_async(fail, 1)
        with self.assertRaises(tutti.CompositeError) as caught:
            ar.get()
        self.assertEqual(len(caught.exception.elist), 2)
        self.assertEqual([type(e) for e in ar.get(return_exceptions=True)], [tutti.RemoteError] * 2)
        self.assertIsInstance(ar.exception(), tutti.CompositeError)

        def one(mine):
            if mine == 0:
                raise KeyError("x")
            return mine

        self.dv.scatter("mine", [0, 1], flatten=True, block=True)
        ar = self.dv.apply_async(one, tutti.Reference("mine"))
        with self.assertRaises(tutti.RemoteError) as caught:
            ar.get()
        self.assertEqual(caught.exception.ename, "KeyError")
        self.assertEqual(ar.get(return_exceptions=True)[1], 1)
        self.assertEqual(ar[1], 1)
        self.assertRaises(tutti.RemoteError, lambda: ar[0])

    def test_split_and_join(self):
        ar = self.dv.apply_async(double, 3)
        parts = ar.split()
        self.assertEqual([p.get(30) for p in parts], [6, 6])
        whole = tutti.AsyncResult.join(*parts)
        self.assertEqual(whole.get(30), [6, 6])
        self.assertEqual(whole.msg_ids, ar.msg_ids)
        self.assertRaises(TypeError, tutti.AsyncResult.join)
        gate = Gate(self)
        ar = self.dv.apply_async(gate.wait_code(), 4)
        parts = ar.split()
        heard = []
        whole = tutti.AsyncResult.join(*parts)
        whole.add_done_callback(heard.append)
        self.assertFalse(whole.wait(0))
        gate.open()
        self.assertEqual([p.get(30) for p in parts], [4, 4])
        self.assertEqual((whole.get(30), ar.get(30)), ([4, 4], [4, 4]))

    def test_return_when(self):
        gate = Gate(self)
        wait = gate.wait_code()
        ar = tutti.AsyncResult.join(self.rc[0].apply_async(wait, 1), self.rc[1].apply_async(double, 1))
        done, pending = ar.wait(30, return_when=tutti.FIRST_COMPLETED)
        self.assertEqual(({p.get() for p in done}, len(pending)), ({2}, 1))
        self.assertEqual(ar.get(return_when=tutti.FIRST_COMPLETED), [2])
        ar2 = tutti.AsyncResult.join(self.rc[0].apply_async(wait, 1), self.rc[1].apply_async(fail, 1))
        done, pending = ar2.wait(30, return_when=tutti.FIRST_EXCEPTION)
        self.assertEqual((len(done), len(pending)), (1, 1))
        self.assertRaises(tutti.RemoteError, ar2.get, return_when=tutti.FIRST_EXCEPTION)
        self.assertEqual(ar.progress, 1)
        gate.open()
        done, pending = ar.wait(return_when=tutti.ALL_COMPLETED)
        self.assertEqual((len(done), len(pending)), (2, 0))
        self.assertRaises(ValueError, ar.wait, 1, "SOMETIMES")

    def test_dict_needs_one_for_each_engine(self):
        a, b = self.rc[0].apply_async(double, 1), self.rc[0].apply_async(double, 2)
        self.assertRaises(ValueError, tutti.AsyncResult.join(a, b).get_dict)

    def test_shown(self):
        ar = self.dv.apply_async(say, "hi")
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ar.display_outputs()
        self.assertEqual(out.getvalue(), "[stdout:0] hi\n[stdout:1] hi\n")
        self.assertEqual(err.getvalue(), "[stderr:0] HI\n[stderr:1] HI\n")
        for how in ("engine", "order"):
            with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
                ar.display_outputs(groupby=how)
            self.assertIn("[stdout:1] hi", out.getvalue())
        self.assertRaises(ValueError, ar.display_outputs, "colour")

    def test_results_shown(self):
        ar = self.dv.execute("40 + 2", silent=False)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            ar.display_outputs(result_only=True)
        self.assertRegex(out.getvalue(), r"Out\[0:\d+\]: 42\nOut\[1:\d+\]: 42\n")
        self.assertEqual([r.data["text/plain"] for r in ar.get()], ["42", "42"])
        self.assertEqual(ar.execute_result[0]["data"]["text/plain"], "42")
        reply = ar.get()[0]
        self.assertIn("42", repr(reply))
        self.assertEqual(reply.source, "40 + 2")
        self.assertEqual(reply.status, "ok")
        self.assertEqual(reply["engine_id"], 0)
        self.assertEqual(reply._repr_mimebundle_()["text/plain"], "42")
        self.assertIsNone(self.rc[0].execute("a = 1").get().execute_result)

    def test_streamed(self):
        gate = Gate(self)
        wait = gate.wait_code()

        def f():
            print("before", flush=True)
            wait()
            print("after")

        ar = self.rc[0].apply_async(f)
        out = io.StringIO()
        with contextlib.redirect_stdout(out), ar.stream_output():
            while "before" not in out.getvalue():
                ar.wait(0.01)
            self.assertFalse(ar.ready())
            gate.open()
            ar.get(30)
        self.assertEqual(out.getvalue(), "before\nafter\n")

    def test_interactive(self):
        with contextlib.redirect_stderr(io.StringIO()):
            ar = self.dv.apply_async(double, 1)
            ar.wait_interactive(interval=0.01, timeout=30, widget=False, return_when=tutti.ALL_COMPLETED)
            self.assertTrue(ar.ready())
            gate = Gate(self)
            ar = self.dv.apply_async(gate.wait_code())
            ar.wait_interactive(0.01, 0.05)
            self.assertFalse(ar.ready())


class Maps(ClientTest):
    def test_in_order_and_as_they_come(self):
        gate = Gate(self)
        wait = gate.wait_code()

        def f(x):
            return wait(x) if x == 0 else x

        ar = self.lbv.map_async(f, range(4), ordered=False)
        self.assertIsInstance(ar, tutti.AsyncMapResult)
        it = iter(ar)
        self.assertEqual({next(it), next(it), next(it)}, {1, 2, 3})
        gate.open()
        self.assertEqual(list(it), [0])
        self.assertEqual(ar.get(), [0, 1, 2, 3])
        ar = self.lbv.map_async(f, range(4))
        self.assertEqual(list(ar), [0, 1, 2, 3])
        self.assertEqual((ar[1], ar[1:3], len(ar), ar["status"]), (1, [1, 2], 4, ["ok"] * 4))

    def test_errors(self):
        def f(x):
            if x % 2:
                raise ValueError(str(x))
            return x

        for chunk in (1, 3):
            ar = self.lbv.map_async(f, range(4), chunksize=chunk)
            with self.assertRaises(tutti.CompositeError) as caught:
                ar.get()
            self.assertEqual([e[1] for e in caught.exception.elist], ["1", "3"])
            it = iter(ar)
            self.assertEqual(next(it), 0)
            self.assertRaises(tutti.RemoteError, next, it)
            kept = self.lbv.map_sync(f, range(4), chunksize=chunk, return_exceptions=True)
            self.assertEqual([getattr(v, "evalue", v) for v in kept], [0, "1", 2, "3"])
            values = list(self.lbv.map_async(f, range(4), chunksize=chunk, return_exceptions=True))
            self.assertEqual([getattr(v, "evalue", v) for v in values], [0, "1", 2, "3"])

    def test_empty(self):
        for ar in (self.lbv.map_async(double, []), self.dv.map_async(double, [])):
            self.assertEqual((ar.get(), list(ar), ar.ready(), len(ar)), ([], [], True, 0))


if __name__ == "__main__":
    unittest.main()

"""The connection: what goes over it, and what happens when the other side does not keep to the protocol."""

import json
import os
import pickle
import struct
import subprocess
import sys
import threading
import unittest
from unittest import mock

import tutti
from fake import END, HEAD, Fake, pack
from support import ClientTest, cluster
from tutti import _gateway

TASKS, TASK, CANCEL, ASK, BYE = 4, 5, 6, 8, 9


def f(x):
    return x


def echo(fake, kind, body):
    """A gateway on which every task gives its number."""
    if kind == TASKS:
        fake.outcomes([(n, pickle.dumps(n)) for n in fake.tasks(body)])


def cbor(v):
    """CBOR of plain data."""

    def head(major, n):
        return bytes([major << 5 | 26]) + n.to_bytes(4, "big")

    if v is None or isinstance(v, bool):
        return bytes([{False: 0xF4, True: 0xF5, None: 0xF6}[v]])
    if isinstance(v, int):
        return head(0, v)
    if isinstance(v, (bytes, str)):
        data = v if isinstance(v, bytes) else v.encode()
        return head(2 if isinstance(v, bytes) else 3, len(data)) + data
    if isinstance(v, list):
        return head(4, len(v)) + b"".join(map(cbor, v))
    return head(5, len(v)) + b"".join(cbor(k) + cbor(x) for k, x in v.items())


class Frames(unittest.TestCase):
    def client(self, serve, **more):
        self.fake = Fake(self, serve, **more)
        rc = tutti.Client({"socket": self.fake.path}, timeout=10)
        self.addCleanup(rc.close)
        return rc

    def test_round_trips(self):
        rc = self.client(echo)
        lbv = rc.load_balanced_view()
        self.assertEqual([lbv.apply_sync(f, 0) for _ in range(50)], list(range(1, 51)))
        self.assertEqual([k for k, _ in self.fake.got].count(2), 1)  # the function went once

    def test_batches(self):
        waiting = []

        def when_all_are_there(fake, kind, body):
            if kind == TASKS:
                waiting.extend(fake.tasks(body))
                if len(waiting) == 5000:
                    fake.outcomes([(n, pickle.dumps(n)) for n in waiting])

        lbv = self.client(when_all_are_there).load_balanced_view()
        ars = [lbv.apply_async(f, 0) for _ in range(5000)]
        self.assertEqual([ar.get(30) for ar in ars], list(range(1, 5001)))
        self.assertLess([k for k, _ in self.fake.got].count(TASKS), 2500)

    def test_any_order_and_in_pieces(self):
        waiting = []

        def backwards(fake, kind, body):
            if kind == TASKS:
                waiting.extend(fake.tasks(body))
                if len(waiting) == 100:
                    ends = [(n, pickle.dumps(n)) for n in reversed(waiting)]
                    payloads = [struct.pack("<IIQ", 0x4B505454, 0, len(d)) + d for _, d in ends]
                    heads = [END.pack(n, 4, 3, 0, 0, 1, 0, 0, len(p)) for (n, _), p in zip(ends, payloads)]
                    body = struct.pack("<I", 100) + b"".join(heads) + b"".join(payloads)
                    data = HEAD.pack(len(body), 32, 0) + body
                    for i in range(0, len(data), 61):
                        fake.sock.sendall(data[i : i + 61])

        ars = [self.client(backwards).load_balanced_view().apply_async(f, 0)]
        lbv = ars[0]._client.load_balanced_view()
        ars += [lbv.apply_async(f, 0) for _ in range(99)]
        self.assertEqual([ar.get(30) for ar in ars], list(range(1, 101)))

    def test_large_frames(self):
        data = os.urandom(3 << 20)

        def large(fake, kind, body):
            if kind == TASKS:
                fake.outcomes([(n, pickle.dumps(data)) for n in fake.tasks(body)])

        self.assertEqual(self.client(large).load_balanced_view().apply_sync(f, 0), data)

    def test_nonsense(self):
        cut = struct.pack("<I", 1) + END.pack(1, 4, 3, 0, 0, 1, 0, 0, 50) + b"abc"
        for bad in (
            HEAD.pack(4, 99, 0) + b"abcd",  # an unknown kind
            HEAD.pack(0, 32, 5),  # flags
            HEAD.pack(0xFFFFFFFF, 32, 0),  # no length
            HEAD.pack(4, 32, 0) + struct.pack("<I", 7),  # ends that are not there
            HEAD.pack(len(cut), 32, 0) + cut,  # the value is longer than the frame
            HEAD.pack(3, 36, 0) + b"abc",  # half an answer
            HEAD.pack(3, 38, 0) + b"abc",  # no JSON
        ):

            def nonsense(fake, kind, body, bad=bad):
                if kind == TASKS:
                    fake.sock.sendall(bad)

            ar = self.client(nonsense).load_balanced_view().apply_async(f, 0)
            with self.assertRaises(tutti.EngineError) as caught:
                ar.get(30)
            self.assertIn("the gateway sent what cannot be read", str(caught.exception), bad)

    def test_result_that_cannot_be_read(self):
        def bad(fake, kind, body):
            if kind == TASKS:
                fake.outcomes([(n, b"no pickle") for n in fake.tasks(body)])

        with self.assertRaises(tutti.RemoteError) as caught:
            self.client(bad).load_balanced_view().apply_sync(f, 0)
        self.assertIn("cannot be read here", str(caught.exception))

    def test_unknown_ends_are_nobodys(self):
        def twice(fake, kind, body):
            if kind == TASKS:
                for n in fake.tasks(body):
                    fake.outcomes([(n + 1000, pickle.dumps("wrong"))])
                    fake.outcomes([(n, pickle.dumps("right"))])
                    fake.outcomes([(n, pickle.dumps("again"))])

        lbv = self.client(twice).load_balanced_view()
        self.assertEqual([lbv.apply_sync(f, 0) for _ in range(3)], ["right"] * 3)

    def test_ends_in_the_middle(self):
        def leave(fake, kind, body):
            if kind == TASKS:
                fake.sock.sendall(HEAD.pack(400_000, 32, 0) + b"abc")
                raise EOFError

        rc = self.client(leave)
        ar = rc.load_balanced_view().apply_async(f, 0)
        with self.assertRaises(tutti.EngineError) as caught:
            ar.get(30)
        self.assertIn("ended with its gateway", str(caught.exception))
        self.assertRaises(tutti.EngineError, rc.load_balanced_view().apply_async, f, 0)
        self.assertRaises(tutti.EngineError, rc.hub_history)

    def test_refused(self):
        def refuse(fake, kind, body):
            if kind == TASKS:
                fake.send(34, json.dumps({"kind": "corrupt", "text": "I do not like it"}).encode())

        with self.assertRaises(tutti.EngineError) as caught:
            self.client(refuse).load_balanced_view().apply_sync(f, 0)
        self.assertIn("I do not like it", str(caught.exception))

    def test_does_not_greet(self):
        fake = Fake(self, echo, welcome=True)
        with self.assertRaises(TimeoutError):
            tutti.Client({"socket": fake.path}, timeout=0.05)

    def test_question_without_answer(self):
        rc = self.client(lambda fake, kind, body: None)
        with self.assertRaises(TimeoutError):
            rc._link.ask("engines", 0.01)

    def test_engines_change(self):
        def change(fake, kind, body):
            if kind == TASKS:
                fake.send(38, b'{"kind": "engines", "ids": [0, 1, 5]}')
                fake.send(39, b'{"n": 1, "text": "a warning"}')
                fake.send(38, b'{"kind": "of a later version"}')
                echo(fake, kind, body)

        rc = self.client(change)
        self.assertEqual(rc.ids, [0, 1])
        rc.load_balanced_view().apply_sync(f, 0)
        self.assertEqual(rc.ids, [0, 1, 5])
        rc.wait_for_engines(3, timeout=5)

    def test_cluster_ends(self):
        def end(fake, kind, body):
            if kind == TASKS:
                fake.send(38, b'{"kind": "ended", "text": "somebody stopped it"}')

        with self.assertRaises(tutti.EngineError) as caught:
            self.client(end).load_balanced_view().apply_sync(f, 0)
        self.assertIn("somebody stopped it", str(caught.exception))

    def test_gateway_that_does_not_read(self):
        # What it does not take waits here, and is not lost.
        stop, go = threading.Event(), threading.Event()

        def slow(fake, kind, body):
            if kind == TASKS and not go.is_set():
                stop.set()
                go.wait(30)
            echo(fake, kind, body)

        rc = self.client(slow)
        lbv = rc.load_balanced_view()
        first = lbv.apply_async(f, 0)
        self.assertTrue(stop.wait(30))
        threading.Timer(0.05, go.set).start()
        ars = [lbv.apply_async(f, b"x" * 1000) for _ in range(3000)]
        self.assertEqual([ar.get(30) for ar in [first] + ars], list(range(1, 3002)))

    def world(self, state, value):
        """What a world gives whose outcome has this value."""

        def answer(fake, kind, body):
            if kind == TASKS:
                fail = json.dumps({"kind": "failed", "text": "rank 1", "rank": 1}).encode()
                payload = (struct.pack("<I", len(fail)) + fail if state == 5 else b"") + cbor(value)
                head = END.pack(1, state, 1, 2 if state == 5 else 0, 0, 1, 0, 0, len(payload))
                fake.send(32, struct.pack("<I", 1) + head + payload)

        return self.client(answer)[:].apply_world(f, 1)

    def test_world(self):
        self.assertEqual(self.world(4, [[3, pack(pickle.dumps("a"))], [3, pack(pickle.dumps("b"))]]).get(30), ["a", "b"])
        text = self.fake.got[1][1]
        self.assertIn(b'"engines": [0, 1]', text)
        self.assertIn(b'"need": {"ranks": 2}', text)

    def test_world_fails(self):
        told = {"ename": "ValueError", "evalue": "bad", "traceback": ["line"], "exception": None, "engine": 1, "host": "h", "pid": 5, "method": "apply"}
        how = {"kind": "revoked", "text": "another rank failed", "op": "run", "hint": "", "host": "h", "engine": 0, "rank": 0, "stack": ""}
        ranks = [[0, b"", True, how], [3, pack(pickle.dumps(told)), True, dict(how, kind="failed", rank=1, engine=1)], [3, b"", False, None]]
        with self.assertRaises(tutti.CompositeError) as caught:
            self.world(5, ranks).get(30)
        e = caught.exception
        self.assertEqual([x[0] for x in e.elist], ["ValueError", "Revoked"])
        self.assertEqual([x[3]["rank"] for x in e.elist], [1, 0])
        self.assertIn("1 of 3 ranks of f failed", str(e))
        self.assertRaises(tutti.RemoteError, e.raise_exception)

    def test_works_are_dropped(self):
        rc = self.client(echo)
        lbv = rc.load_balanced_view()
        with mock.patch.object(_gateway, "MAX_WORKS", 10):
            ars = [lbv.apply_async(lambda x, i=i: x + i, 0) for i in range(30)]
            for ar in ars:
                ar.get(30)
            lbv.apply_sync(f, 1)
            other = rc.load_balanced_view()
            for i in range(20):
                other.apply_sync(lambda x, i=i: x - i, 0)
            lbv.apply_sync(f, 1)  # its work was dropped meanwhile
        kinds = [k for k, _ in self.fake.got]
        self.assertEqual(kinds.count(2) - kinds.count(3), 10)

    def test_client_that_is_dropped(self):
        # It may be collected anywhere: also where results are taken in, with all locks held.
        import gc

        rc = self.client(echo)
        link = rc._link
        cycle = [rc]
        cycle.append(cycle)
        self._cleanups.pop()  # it holds rc
        with _gateway._state, link._sending:
            del rc, cycle
            gc.collect()
        while link.lost is None or not link._closed:
            gc.collect()

    def test_fork(self):
        rc = self.client(echo)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                rc.load_balanced_view().apply_async(f, 0)
            except tutti.EngineError as e:
                os.write(write, str(e).encode())
            finally:
                os._exit(0)
        os.close(write)
        with open(read) as end:
            self.assertIn("fork", end.read())
        os.waitpid(pid, 0)
        self.assertEqual(rc.load_balanced_view().apply_sync(f, 0), 1)


class Real(ClientTest):
    def test_memory_of_large_results_outlives_the_client(self):
        rc = cluster().connect_client_sync()
        value = rc[0].apply_sync(lambda: bytearray(b"ab" * 100_000))
        view = rc[0].apply_async(_make_array).get()
        rc.close()
        self.assertEqual(bytes(value[:4]), b"abab")
        self.assertEqual(len(view), 1_000_000)
        self.assertEqual(view[999_999], 15)

    def test_small_memory(self):
        # A result is no more than one and a half futures of the standard library.
        import concurrent.futures
        import tracemalloc

        self.lbv.apply_sync(f, 1)
        tracemalloc.start()
        try:
            start = tracemalloc.get_traced_memory()[0]
            plain = [concurrent.futures.Future() for _ in range(500)]
            bare = tracemalloc.get_traced_memory()[0] - start
            start = tracemalloc.get_traced_memory()[0]
            ours = [self.lbv.apply_async(f, i) for i in range(500)]
            self.rc.wait()
            mine = tracemalloc.get_traced_memory()[0] - start
        finally:
            tracemalloc.stop()
        self.assertEqual(len(plain) + len(ours), 1000)
        self.assertLess(mine, 1.5 * bare)

    def test_interpreter_ends(self):
        code = "import tutti, sys; rc = tutti.Client(sys.argv[1]); ar = rc.load_balanced_view().apply_async(len, 'ab'); print(ar.get())"
        for tail in ("", "; rc.load_balanced_view().apply_async(len, 'ab')", "; rc.close()"):
            done = subprocess.run([sys.executable, "-c", code + tail, cluster().controller.socket], capture_output=True, text=True, timeout=60)
            self.assertEqual((done.stdout, done.stderr, done.returncode), ("2\n", "", 0))


def _make_array():
    import array

    try:
        import numpy
    except ImportError:
        return bytes(bytearray(range(16)) * 62_500)
    del array
    return numpy.tile(numpy.arange(16, dtype="u1"), 62_500)


class Finding(unittest.TestCase):
    def test_binary(self):
        with mock.patch.dict(os.environ, {"TUTTI_BINARY": "/some/tutti"}):
            self.assertEqual(_gateway.find_binary(), "/some/tutti")
        with mock.patch.dict(os.environ, {"PATH": "/nowhere"}), mock.patch("os.access", lambda *a: False):
            os.environ.pop("TUTTI_BINARY", None)
            self.assertRaises(FileNotFoundError, _gateway.find_binary)

    def test_gateway_that_cannot_start(self):
        with mock.patch.dict(os.environ, {"TUTTI_BINARY": "/bin/false"}):
            with self.assertRaises(OSError) as caught:
                _gateway.start_gateway([])
            self.assertIn("ended without a word", str(caught.exception))
        with mock.patch.dict(os.environ, {"TUTTI_BINARY": "/no/such/program"}):
            self.assertRaises(OSError, _gateway.start_gateway, [])


if __name__ == "__main__":
    unittest.main()

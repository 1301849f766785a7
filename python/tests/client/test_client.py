"""Client: which cluster, engines, what the cluster knows of tasks, stopping and signals."""

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import warnings
from concurrent.futures import Future

import tutti
from support import ClientTest, Gate, cluster


def add(x, y=1):
    return x + y


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Connecting(ClientTest):
    def test_ways(self):
        made = cluster()
        with tutti.Client(cluster=made) as rc:
            self.assertIs(rc.cluster, made)
            self.assertEqual(rc[0].apply_sync(add, 1), 2)
        with tutti.Client({"socket": made.controller.socket}) as rc:
            self.assertEqual(rc.ids, [0, 1])
        with tutti.Client(made.controller.socket, timeout=5, debug=True) as rc:
            self.assertTrue(rc.debug)
        made.write_cluster_file()
        for how in (dict(url_file=made.cluster_file), dict(cluster_id=made.cluster_id), {}):
            with tutti.Client(**how) as rc:
                self.assertEqual(rc.ids, [0, 1], how)
        with environment(TUTTI_GATEWAY=made.controller.socket):
            tutti.Client().close()
        with environment(IPP_CONNECTION_INFO=json.dumps({"socket": made.controller.socket})):
            tutti.Client().close()
        with environment(IPP_CLUSTER_ID=made.cluster_id):
            tutti.Client().close()
        with tutti.Client(cluster_id=made.cluster_id, profile_dir=os.path.dirname(made.cluster_file)) as rc:
            self.assertEqual(len(rc), 2)

    def test_none_there(self):
        with tempfile.TemporaryDirectory() as folder, environment(XDG_STATE_HOME=folder, XDG_CONFIG_HOME=folder, XDG_RUNTIME_DIR=folder):
            for how in ({}, {"profile": "nobody"}, {"cluster_id": "nobody"}):
                with self.assertRaises(OSError) as caught:
                    tutti.Client(timeout=5, **how)
                self.assertIn("tutti start", str(caught.exception))
            self.assertRaises(OSError, tutti.Client, folder + "/nothing")
            self.assertRaises(OSError, tutti.Client, {"socket": folder + "/nothing"})
            self.assertRaises(OSError, tutti.Client, cluster=tutti.Cluster(n=1))
            for content in ("{", "[]", '{"socket": 5}'):
                path = os.path.join(folder, "file")
                with open(path, "w") as file:
                    file.write(content)
                self.assertRaises(ValueError, tutti.Client, url_file=path)
            self.assertRaises(ValueError, tutti.Client, 5)

    def test_what_has_no_meaning(self):
        for name in ("sshserver", "password", "paramiko", "sshkey"):
            self.assertRaises(NotImplementedError, tutti.Client, **{name: "x"})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tutti.Client(cluster=cluster(), context=object(), ipython_dir="x", something=1).close()
        self.assertEqual(len(caught), 2)
        self.assertRaises(NotImplementedError, self.rc.become_dask)
        self.assertRaises(NotImplementedError, self.rc.stop_dask)
        for f in (self.rc.spin, self.rc.spin_thread, self.rc.stop_spin_thread):
            self.assertIsNone(f())

    def test_closed(self):
        gate = Gate(self)
        rc = cluster().connect_client_sync()
        ar = rc.load_balanced_view().apply_async(gate.wait_code(), 5)
        name = ar.msg_ids[0]
        rc.close(linger=1)
        with self.assertRaises(tutti.KernelError):
            ar.get(30)
        with self.assertRaises(tutti.EngineError):
            rc.load_balanced_view().apply_async(add, 1)
        self.assertIn("closed", repr(rc))
        rc.close()
        gate.open()
        self.assertEqual(self.rc.get_result(name).get(30), 5)

    def test_killed_client(self):
        # Another client fetches what a killed one has submitted.
        gate = Gate(self)
        code = """if True:
            import sys, tutti
            rc = tutti.Client(sys.argv[1])
            path = sys.argv[2]
            def wait(x):
                import os, time
                print("heard")
                while not os.path.exists(path):
                    time.sleep(0.002)
                return x + 1
            ar = rc.load_balanced_view().apply_async(wait, 41)
            print(ar.msg_ids[0], flush=True)
            ar.get()
        """
        child = subprocess.Popen([sys.executable, "-c", code, cluster().controller.socket, gate.path], stdout=subprocess.PIPE, text=True)
        with child:
            name = child.stdout.readline().strip()
            self.rc.wait_for_engines(2)
            ar = self.rc.get_result(name, block=False)
            child.kill()
        self.assertIsInstance(ar, tutti.AsyncHubResult)
        self.assertFalse(ar.ready())
        gate.open()
        self.assertEqual(ar.get(30), 42)
        self.assertEqual(ar.stdout, "heard\n")
        self.assertEqual((ar.status, ar.msg_ids), ("ok", [name]))


@contextlib.contextmanager
def environment(**more):
    before = {k: os.environ.get(k) for k in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for k, v in before.items():
            if v is None:
                os.environ.pop(k, None)
            else:
                os.environ[k] = v


class Engines(ClientTest):
    def test_views(self):
        rc = self.rc
        self.assertEqual((rc.ids, len(rc), bool(rc)), ([0, 1], 2, True))
        self.assertEqual([v.targets for v in rc], [0, 1])
        self.assertEqual(rc[0].targets, 0)
        self.assertEqual(rc[-1].targets, 1)
        self.assertEqual(rc[:].targets, [0, 1])
        self.assertEqual(rc[::-1].targets, [1, 0])
        self.assertEqual(rc[[1, -2]].targets, [1, 0])
        self.assertEqual(rc[(1,)].targets, [1])
        self.assertEqual(rc.direct_view().targets, "all")
        self.assertEqual(rc.direct_view("all", block=True).apply(add, 1), [2, 2])
        self.assertEqual(rc.direct_view(slice(0, 1)).targets, [0])
        for bad in ("a", 1.5, None, True):
            self.assertRaises(TypeError, lambda: rc[bad])
        self.assertRaises(IndexError, lambda: rc[5])
        self.assertRaises(IndexError, lambda: rc[-3])
        self.assertRaises(IndexError, lambda: rc[[0, 7]])
        self.assertRaises(TypeError, rc.direct_view, "some")
        self.assertRaises(TypeError, rc.direct_view, ["0"])
        self.assertIn("2 engines", repr(rc))
        rc.block = True
        self.assertTrue(rc[0].block)

    def test_wait_for_engines(self):
        rc = self.rc
        self.assertIsNone(rc.wait_for_engines(2, timeout=5, interactive=False, widget=None))
        self.assertIsNone(rc.wait_for_engines())
        future = rc.wait_for_engines(1, block=False)
        self.assertIsInstance(future, Future)
        self.assertIsNone(future.result(30))
        with self.assertRaises(TimeoutError) as caught:
            rc.wait_for_engines(50, timeout=0.01)
        self.assertIn("2 of 50 engines", str(caught.exception))
        with contextlib.redirect_stderr(io.StringIO()):
            self.assertRaises(TimeoutError, rc.wait_for_engines, 50, timeout=0.01, interactive=True)
        with tutti.Client({"socket": cluster().controller.socket}) as other:
            self.assertRaises(TypeError, other.wait_for_engines)

    def test_no_engines(self):
        rc = self.rc
        held, rc._link.engines = rc._link.engines, []
        try:
            self.assertRaises(tutti.NoEnginesRegistered, rc.direct_view().apply_async, add, 1)
            self.assertRaises(tutti.NoEnginesRegistered, lambda: rc[0])
        finally:
            rc._link.engines = held


class Asking(ClientTest):
    def test_history_and_results(self):
        rc = self.rc
        a, b = self.lbv.apply_async(add, 1), self.lbv.apply_async(add, 2)
        self.assertEqual(rc.history, a.msg_ids + b.msg_ids)
        self.assertTrue(rc.wait(timeout=30))
        self.assertEqual(rc.outstanding, set())
        self.assertEqual(rc.results[a.msg_ids[0]], 2)
        self.assertEqual(rc.metadata[b.msg_ids[0]].status, "ok")
        self.assertEqual((len(rc.results), list(rc.results), a.msg_ids[0] in rc.results), (2, rc.history, True))
        self.assertEqual(rc.get_result().get(30), 3)
        self.assertEqual(rc.get_result(0, block=True).get(), 2)
        self.assertEqual(rc.get_result([0, -1], owner=False).get(30), [2, 3])
        self.assertEqual(rc.get_result(a).get(30), 2)
        self.assertEqual(rc.get_result([a.msg_ids[0], a.msg_ids[0]]).get(30), [2, 2])
        self.assertRaises(IndexError, rc.get_result, 7)
        self.assertRaises(TypeError, rc.get_result, 1.5)
        self.assertRaises(KeyError, rc.get_result, "abc")
        self.assertTrue(a.owner)
        with cluster().connect_client_sync() as other:
            got = other.get_result(rc.history)
            self.assertIsInstance(got, tutti.AsyncHubResult)
            self.assertEqual(got.get(30), [2, 3])
            self.assertRaises(tutti.KernelError, other.get_result("%d.99" % rc._link.number).get, 30)
        for view, more in ((self.dv, {}), (self.lbv, {"chunksize": 2})):
            parts = view.map_async(add, range(4), **more)
            self.assertEqual(sum(rc.get_result(parts.msg_ids).get(30), []), [1, 2, 3, 4])
            parts.wait()
            self.assertEqual(sum(rc.get_result(parts.msg_ids).get(30), []), [1, 2, 3, 4])
            self.assertEqual(sum((p.get(30) for p in parts.split()), []), [1, 2, 3, 4])
            bad = view.map_async(add, ["a", "b"], **more)
            bad.wait()
            with self.assertRaises(tutti.RemoteError):
                rc.get_result(bad.msg_ids).get(30)
        cell = self.rc[0].execute("6 * 7", silent=False)
        cell.get()
        self.assertEqual(rc.get_result(cell.msg_ids[0]).get(30).data["text/plain"], "42")
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code(), 1)
        again = rc.get_result(ar.msg_ids[0])
        self.assertIs(type(again), tutti.AsyncResult)
        self.assertFalse(rc.wait(ar, timeout=0))
        self.assertFalse(rc.wait([ar, a], 0.01))
        self.assertTrue(rc.wait(a))
        with contextlib.redirect_stderr(io.StringIO()):
            rc.wait_interactive(timeout=0.01, interval=0.005)
            rc.wait_interactive(ar, 0.005, 0.01)
        gate.open()
        self.assertEqual((again.get(30), ar.get(30)), (1, 1))
        self.assertIn("ended", rc.explain(ar))

    def test_status(self):
        gate = Gate(self)
        a = self.lbv.apply_async(add, 1)
        a.get(30)
        bad = self.lbv.apply_async(add, "x")
        bad.wait(30)
        ar = self.lbv.apply_async(gate.wait_code())
        status = self.rc.result_status([a, bad, ar])
        self.assertEqual(status, {"completed": a.msg_ids + bad.msg_ids, "pending": ar.msg_ids})
        status = self.rc.result_status([a, bad], status_only=False)
        self.assertEqual(status[a.msg_ids[0]], 2)
        self.assertEqual(status[bad.msg_ids[0]].ename, "TypeError")
        self.assertRaises(KeyError, self.rc.result_status, ["nothing"])

    def test_queue(self):
        gate = Gate(self)
        wait = gate.wait_code()
        self.dv.apply_sync(add, 1)
        ars = [self.rc[0].apply_async(wait) for _ in range(3)]
        while self.rc.queue_status()[0]["tasks"] < 1:
            ars[0].wait(0.01)
        status = self.rc.queue_status()
        self.assertEqual(set(status), {0, 1, "unassigned"})
        self.assertGreaterEqual(status[1]["completed"], 1)
        verbose = self.rc.queue_status(0, verbose=True)
        self.assertEqual(verbose[0]["tasks"], ars[0].msg_ids)
        self.assertEqual(len(verbose[0]["queue"]) + len(verbose["unassigned"]), 2)
        gate.open()
        for ar in ars:
            ar.get(30)

    def test_query(self):
        a = self.lbv.apply_async(add, 1)
        with self.lbv.temp_flags(label="special"):
            b = self.lbv.apply_async(add, "x")
        self.rc.wait([a, b])
        mine = {"client": self.rc._link.number}
        ids = lambda rows: [r["msg_id"] for r in rows]  # noqa: E731
        query = self.rc.db_query
        self.assertEqual(set(ids(query(mine))), set(a.msg_ids + b.msg_ids))
        self.assertEqual(ids(query(dict(mine, status="error"))), b.msg_ids)
        self.assertEqual(ids(query({"msg_id": a.msg_ids[0]})), a.msg_ids)
        self.assertEqual(query(dict(mine, label="special"), keys=["label"]), [{"msg_id": b.msg_ids[0], "label": "special"}])
        self.assertEqual(query(dict(mine, label="special"), keys="state")[0]["state"], "failed")
        for q, found in (
            ({"engine_id": {"$in": [0, 1]}}, 2),
            ({"engine_id": {"$nin": [0, 1]}}, 0),
            ({"completed": {"$ne": None}}, 2),
            ({"msg_id": a.msg_ids[0], "completed": {"$gte": a.started}}, 1),
            ({"msg_id": a.msg_ids[0], "started": {"$lt": a.started}}, 0),
            ({"attempt": {"$gte": 1, "$lte": 1}}, 2),
            ({"attempt": {"$mod": [2, 1]}}, 2),
            ({"error": {"$exists": True}, "status": {"$eq": "error"}}, 1),
            ({"label": {"$all": ["special"]}}, 1),
            ({"$or": [{"label": "special"}, {"label": "add"}]}, 2),
            ({"$and": [{"label": "special"}, {"label": "add"}]}, 0),
            ({"attempt": {"$or": [{"$lt": 1}, {"$gt": 0}]}}, 2),
            ({"attempt": {"$and": [{"$lt": 1}, {"$gt": 0}]}}, 0),
        ):
            self.assertEqual(len(query(dict(mine, **q))), found, q)
        self.assertRaises(ValueError, query, dict(mine, attempt={"$near": 1}))
        self.assertRaises(KeyError, query, {"colour": 1})
        self.assertRaises(TypeError, query, "all")
        history = self.rc.hub_history()
        self.assertEqual([n for n in history if n in a.msg_ids + b.msg_ids], a.msg_ids + b.msg_ids)

    def test_purge(self):
        a, b = self.lbv.apply_async(add, 1), self.lbv.apply_async(add, 2)
        self.rc.wait()
        self.rc.purge_hub_results(a)
        self.assertRaises(tutti.KernelError, self.rc.get_result(a.msg_ids[0]).get, 30)
        self.assertEqual(a.get(), 2)
        self.assertEqual(self.rc.get_result(b.msg_ids[0]).get(30), 3)
        self.rc.purge_local_results([a])
        self.rc.purge_results(jobs=[b], targets=[])
        self.rc.purge_hub_results(targets=[0, 1])
        for purge in (self.rc.purge_local_results, self.rc.purge_hub_results, self.rc.purge_results):
            self.assertRaises(ValueError, purge)
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code())
        self.assertRaises(RuntimeError, self.rc.purge_results, ar)
        self.assertRaises(RuntimeError, self.rc.purge_everything)
        gate.open()
        ar.get(30)
        self.rc.purge_everything()
        self.assertRaises(KeyError, self.rc.resubmit, ar.msg_ids[0])

    def test_large_results_go_with_their_readers(self):
        make = b"x" * 100_000
        read, unread, small = self.lbv.apply_async(bytes, make), self.lbv.apply_async(bytes, make), self.lbv.apply_async(add, 1)
        other = cluster().connect_client_sync()
        self.addCleanup(other.close)
        self.rc.wait()
        ids = [ar.msg_ids[0] for ar in (read, unread, small)]
        self.assertEqual(len(read.get()), 100_000)
        self.assertEqual(len(other.get_result(ids[0]).get(30)), 100_000)  # as long as there is somebody here
        self.assertEqual(len(self.rc.get_result(ids[0]).get(30)), 100_000)
        self.assertEqual(small.get(), 2)
        del read, unread, small
        gc.collect()
        self.assertRaises(tutti.KernelError, self.rc.get_result(ids[0]).get, 30)
        for _ in range(2):  # who asks for results of others gives up nothing
            self.assertEqual(len(other.get_result(ids[1]).get(30)), 100_000)
            gc.collect()
        self.assertEqual(self.rc.get_result(ids[2]).get(30), 2)

    def test_resubmit(self):
        a = self.lbv.apply_async(add, 1)
        bad = self.lbv.apply_async(add, "x")
        self.rc.wait()
        again = self.rc.resubmit(a.msg_ids[0])
        self.assertEqual(again.get(30), 2)
        self.assertNotEqual(again.msg_ids, a.msg_ids)
        self.assertEqual(self.rc.resubmit([a.msg_ids[0], 0], block=True), [2, 2])
        self.assertEqual(self.rc.resubmit().get(30), 2)
        with self.assertRaises(tutti.RemoteError):
            self.rc.resubmit(bad.msg_ids[0]).get(30)
        gate = Gate(self)
        ar = self.lbv.apply_async(gate.wait_code())
        self.assertRaises(RuntimeError, self.rc.resubmit, ar.msg_ids[0])
        self.assertRaises(KeyError, self.rc.resubmit, "9999.1")


class Stopping(ClientTest):
    def test_abort(self):
        gate = Gate(self)
        wait = gate.wait_code()
        for how in (lambda ar: (ar,), lambda ar: (ar.msg_ids,), lambda ar: (ar.msg_ids[0],), lambda ar: (), lambda ar: (None, [0, 1])):
            ar = self.rc[0].apply_async(wait)
            self.rc.abort(*how(ar), block=True)
            self.assertTrue(ar.ready())
            self.assertRaises(tutti.TaskAborted, ar.get)
        ar = self.rc[0].apply_async(wait)
        ar.explain()  # the cluster knows it now
        with cluster().connect_client_sync() as other:
            other.abort(ar.msg_ids)
        self.assertRaises(tutti.TaskAborted, ar.get, 30)
        self.assertRaises(TypeError, self.rc.abort, 1.5)
        self.assertRaises(TypeError, self.rc.abort, [object()])

    def test_clear(self):
        self.dv["x"] = 1
        self.assertIsNone(self.rc.clear(block=True))
        self.assertRaises(tutti.CompositeError, lambda: self.dv["x"])
        self.assertEqual(self.rc.clear(targets=0, block=False).get(30), None)

    def test_signal(self):
        def sleep():
            import time

            print("begun", flush=True)
            time.sleep(60)

        for sig in (signal.SIGINT, "SIGINT", "INT"):
            ar = self.rc[0].apply_async(sleep)
            while not ar.stdout:
                ar.wait(0.005)
            self.assertIsInstance(self.rc.send_signal(sig, targets=0, block=True), Future)
            with self.assertRaises(tutti.KernelError):
                ar.get(30)
        self.assertIsNone(self.rc.signal_engine(signal.SIGINT, 1).result(30))
        self.assertRaises(ValueError, self.rc.send_signal, "SIGNOTHING")
        self.assertEqual(self.dv.apply_sync(add, 1), [2, 2])


class OwnCluster(unittest.TestCase):
    """What changes the engines: on a cluster of its own."""

    def test_engines_come_and_go(self):
        with tutti.Cluster(n=1) as rc:
            dv = rc.direct_view()
            dv["x"] = 1
            pid = rc[0].apply_sync(os.getpid)
            rc.restart_engine(0)
            rc.wait_for_engines(1, timeout=30)
            self.assertNotEqual(rc[0].apply_sync(os.getpid), pid)
            self.assertRaises(tutti.RemoteError, lambda: rc[0]["x"])
            rc.shutdown(restart=True, block=True)
            self.assertEqual(dv.apply_sync(add, 1), [2])
            # An engine that dies takes its task with it, on a direct view; on a balanced one it is tried again.
            with self.assertRaises(tutti.EngineError):
                rc[0].apply_async(die).get(30)
            cluster_ = rc.cluster
            cluster_.start_engines_sync(1)
            rc.wait_for_engines(2, timeout=30)
            self.assertEqual(len(dv.apply_sync(add, 1)), 2)
            rc.stop_engine(rc.ids[-1])
            self.wait_for(lambda: len(rc.ids) == 1)
            self.assertEqual(dv.apply_sync(add, 1), [2])
            dv.shutdown(block=True)
            self.wait_for(lambda: len(rc.ids) == 0)
            self.assertRaises(tutti.NoEnginesRegistered, dv.apply_async, add, 1)

    def wait_for(self, true):
        over = time.monotonic() + 30
        while not true():
            self.assertLess(time.monotonic(), over)
            time.sleep(0.005)

    def test_whole_cluster_ends(self):
        made = tutti.Cluster(n=1)
        rc = made.start_and_connect_sync()
        try:
            ar = rc[0].apply_async(time.sleep, 60)
            rc.shutdown(hub=True)
            with self.assertRaises(tutti.KernelError):
                ar.get(30)
            with self.assertRaises(tutti.EngineError):
                rc.load_balanced_view().apply_async(add, 1)
        finally:
            rc.close()
            made.stop_cluster_sync()

    def test_gateway_killed(self):
        made = tutti.Cluster(n=1)
        rc = made.start_and_connect_sync()
        try:
            ar = rc[0].apply_async(time.sleep, 60)
            seen = []
            ar.add_done_callback(seen.append)
            os.kill(made.controller.pid, signal.SIGKILL)
            with self.assertRaises(tutti.EngineError) as caught:
                ar.get(30)
            self.assertIn("the cluster ended with its gateway", str(caught.exception))
            with self.assertRaises(tutti.EngineError):
                rc.load_balanced_view().apply_sync(add, 1)
            with self.assertRaises(tutti.EngineError):
                rc.queue_status()
            self.wait_for(lambda: seen)
        finally:
            rc.close()
            made.stop_cluster_sync()


class Detached(unittest.TestCase):
    """A cluster that `tutti start` started."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.environment = environment(
            XDG_STATE_HOME=cls.folder.name, XDG_CONFIG_HOME=cls.folder.name, XDG_RUNTIME_DIR=cls.folder.name, TMPDIR=cls.folder.name
        )
        cls.environment.__enter__()
        from tutti import _gateway

        cls.binary = _gateway.find_binary()
        started = subprocess.run([cls.binary, "start"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if started.returncode:
            cls.tearDownClass()
            raise RuntimeError(started.stdout + started.stderr)

    @classmethod
    def tearDownClass(cls):
        subprocess.run([cls.binary, "stop"], capture_output=True, stdin=subprocess.DEVNULL)
        cls.environment.__exit__(None, None, None)
        cls.folder.cleanup()

    def test_gateway_comes_back(self):
        with tutti.Client(timeout=30) as rc:
            self.assertFalse(rc._link.own)
            rc.wait_for_engines(1, timeout=30)
            gate = Gate(self)
            lbv = rc.load_balanced_view()
            self.assertEqual(lbv.apply_sync(add, 1), 2)
            ar = lbv.apply_async(gate.wait_code(), 7)
            ar.explain()  # it is under way now
            gateway = rc._link.welcome["pid"]
            os.kill(gateway, signal.SIGKILL)
            gate.open()
            self.assertEqual(ar.get(30), 7)
            self.assertEqual(lbv.apply_sync(add, 1), 2)
            self.assertNotEqual(rc._link.welcome["pid"], gateway)
            with tutti.Client(profile="default", timeout=30) as other:
                self.assertEqual(other._link.welcome["pid"], rc._link.welcome["pid"])


if __name__ == "__main__":
    unittest.main()

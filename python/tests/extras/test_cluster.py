"""Clusters started from Python."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import unittest

from live import Live
from tutti import cluster
from tutti.cluster import Cluster, ClusterManager, LauncherError, NotRunning


class Arguments(unittest.TestCase):
    def test_what_is_not_there_says_so(self) -> None:
        for name in ("mpi", "slurm", "pbs", "sge", "lsf", "ssh", "htcondor"):
            with self.assertRaisesRegex(NotImplementedError, name):
                Cluster(n=1, engines=name)
        with self.assertRaises(ValueError):
            Cluster(engines="no such launcher")
        with self.assertRaises(ValueError):
            Cluster(n=-1)
        Cluster(engines="local", controller="local")

    def test_twins(self) -> None:
        c = Cluster(n=1)
        names = dir(c)
        for name in (
            "start_controller start_engines start_cluster start_and_connect connect_client stop_engines stop_engine restart_engines"
            " restart_engine signal_engines signal_engine stop_controller stop_cluster"
        ).split():
            self.assertTrue(asyncio.iscoroutinefunction(getattr(c, name)), name)
            self.assertTrue(callable(getattr(c, name + "_sync")), name)
            self.assertIn(name + "_sync", names)
        for name in ("to_dict_sync", "nothing_sync", "nothing"):
            with self.assertRaises(AttributeError):
                getattr(c, name)

    def test_a_binary_that_is_not_there(self) -> None:
        before = os.environ.get("TUTTI_BINARY")
        os.environ["TUTTI_BINARY"] = "/nowhere/tutti"
        try:
            with self.assertRaisesRegex(LauncherError, "/nowhere/tutti"):
                cluster.ControllerLauncher().start(1)
        finally:
            del os.environ["TUTTI_BINARY"]
            if before is not None:
                os.environ["TUTTI_BINARY"] = before


class Clusters(Live):
    def test_life(self) -> None:
        c = Cluster(n=2)
        with self.assertRaises(NotRunning):
            c._ask("engines")
        self.assertIs(c.start_cluster_sync(), c)
        try:
            ended = []
            assert c.controller is not None
            c.controller.on_stop(ended.append)
            self.assertEqual(c.controller.state, "running")
            self.assertEqual(os.stat(c.cluster_file).st_mode & 0o777, 0o600)
            c._ask("wait_engines", n=2)
            self.assertEqual(len(c.engines), 1)
            self.assertIs(c.engine_set, next(iter(c.engines.values())))
            more = c.start_engines_sync(1)
            self.assertEqual(c.engines[more].ids, [2])
            with self.assertRaises(ValueError):
                c.start_engines_sync(1, more)
            self.assertEqual(sorted(c._engine_ids()), [0, 1, 2])
            lives = {row["id"]: row["life"] for row in c._ask("engines")["engines"]}
            c.restart_engine_sync(1)
            c.signal_engine_sync(signal.SIGINT, 0)  # idle: nothing happens
            c._ask("wait_engines", n=3)
            self.assertGreater({row["id"]: row["life"] for row in c._ask("engines")["engines"]}[1], lives[1])
            c.stop_engines_sync(more)
            self.assertNotIn(more, c.engines)
            with self.assertRaises(KeyError):
                c.stop_engines_sync(more)
            with self.assertRaises(RuntimeError):
                c.start_controller_sync()
        finally:
            c.stop_cluster_sync()
        self.assertEqual(len(ended), 1)
        self.assertFalse(os.path.exists(c.cluster_file))
        c.stop_cluster_sync()

    def test_coroutines(self) -> None:
        async def life() -> list:
            c = Cluster(n=1)
            await c.start_cluster()
            ids = await asyncio.get_running_loop().run_in_executor(None, c._engine_ids)
            await c.stop_cluster()
            return ids

        self.assertLessEqual(len(asyncio.run(life())), 1)

    def test_another_process_finds_and_stops_it(self) -> None:
        c = Cluster(n=1, shutdown_atexit=False).start_cluster_sync()
        assert c.controller is not None
        code = (
            "from tutti.cluster import Cluster, ClusterManager\n"
            "c = Cluster.from_file(cluster_id=%r)\n"
            "assert c.controller.pid == %d and list(c.engines) == %r, c\n"
            "assert c._ask('wait_engines', n=1)['ids'] == [0]\n"
            "assert list(ClusterManager().load_clusters()) == [c.cluster_id]\n"
            "c.stop_cluster_sync()\n"
        ) % (c.cluster_id, c.controller.pid, list(c.engines))
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)
        c.controller.join(60)
        self.assertEqual(c.controller.state, "after")
        with self.assertRaises(NotRunning):
            c.signal_engines_sync(signal.SIGINT)
        c.stop_cluster_sync()
        with self.assertRaises(FileNotFoundError):
            Cluster.from_file(cluster_id=c.cluster_id)

    def test_it_ends_with_its_process(self) -> None:
        code = "from tutti.cluster import Cluster\nc = Cluster(n=1).start_cluster_sync()\nprint(c.controller.pid, flush=True)"
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        run = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env, stdout=subprocess.PIPE)
        with self.assertRaises(ProcessLookupError):
            os.kill(int(run.stdout), 0)

    def test_what_crashes_leave_is_cleaned(self) -> None:
        c = Cluster(n=1).start_cluster_sync()
        assert c.controller is not None
        os.kill(c.controller.pid, signal.SIGKILL)
        c.controller.join(60)
        with self.assertRaises(NotRunning):
            Cluster.from_file(c.cluster_file)
        manager = ClusterManager()
        self.assertEqual(manager.load_clusters(), {})
        cluster.clean_cluster_files()
        self.assertFalse(os.path.exists(c.cluster_file))
        c.stop_cluster_sync()
        for name in os.listdir(os.path.join(self.folder, "tutti")):  # a killed process leaves its socket
            if not os.path.isdir(os.path.join(self.folder, "tutti", name)):
                os.unlink(os.path.join(self.folder, "tutti", name))

    def test_manager(self) -> None:
        manager = ClusterManager()
        key, made = manager.new_cluster(n=1, cluster_id="mine")
        self.assertEqual((key, manager.get_cluster("mine")), ("mine", made))
        with self.assertRaises(KeyError):
            manager.new_cluster(cluster_id="mine")
        manager.remove_cluster("mine")
        for call in (manager.get_cluster, manager.remove_cluster):
            with self.assertRaises(KeyError):
                call("mine")

    def test_plain_data(self) -> None:
        c = Cluster(n=3, cluster_id="data")
        d = json.loads(json.dumps(c.to_dict()))
        again = Cluster.from_dict(d)
        self.assertEqual((again.n, again.cluster_id, again.controller), (3, "data", None))


if __name__ == "__main__":
    unittest.main()

"""What the tests of the client share: one cluster of two engines for all of them, and a place for helpers."""

import atexit
import os
import threading
import unittest

import tutti

_shared = []


def cluster():
    """The cluster that all tests use; it is started by the first."""
    if not _shared:
        made = tutti.Cluster(n=2)
        made.start_cluster_sync()
        client = made.connect_client_sync()
        client.wait_for_engines(2, timeout=30)
        client.close()
        _shared.append(made)
        atexit.register(made.stop_cluster_sync)
    return _shared[0]


class ClientTest(unittest.TestCase):
    """A test with a client of its own, `rc`, a direct view of all engines, `dv`, and a balanced view, `lbv`."""

    def setUp(self):
        self.rc = cluster().connect_client_sync()
        self.addCleanup(self.rc.close)
        self.rc.wait_for_engines(2, timeout=30)
        self.dv = self.rc[:]
        self.lbv = self.rc.load_balanced_view()
        self.addCleanup(self.dv.clear, block=True)


class Gate:
    """Something outside of the engines that tasks wait for: a file that exists."""

    def __init__(self, test):
        import tempfile

        self.folder = tempfile.mkdtemp()
        test.addCleanup(self._clean)
        self.path = os.path.join(self.folder, "open")

    def _clean(self):
        import shutil

        self.open()
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self):
        with open(self.path, "w"):
            pass

    def wait_code(self):
        """A function for engines: it returns its argument when the gate is open."""
        path, tester = self.path, os.getpid()

        def wait(x=None):
            import os
            import time

            while not os.path.exists(path) and os.path.isdir(os.path.dirname(path)):
                os.kill(tester, 0)  # fails if the test was killed
                time.sleep(0.002)
            return x

        return wait


def in_thread(f):
    """Run f in a thread: (thread, list that gets its result or error)."""
    out = []

    def run():
        try:
            out.append(f())
        except BaseException as e:
            out.append(e)

    t = threading.Thread(target=run)
    t.start()
    return t, out

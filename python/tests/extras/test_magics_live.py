"""The magics, in IPython's shell, on a real cluster."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import threading
import typing
import unittest

try:
    from IPython.core.interactiveshell import InteractiveShell
except ImportError:
    raise unittest.SkipTest("IPython is not installed") from None

import tutti
from live import Live
from tutti import errors


class Magics(Live):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        InteractiveShell.clear_instance()
        cls.shell = InteractiveShell.instance()
        cls.shell.history_manager.enabled = False
        cls.cluster = tutti.Cluster(n=2)
        cls.rc = cls.cluster.start_and_connect_sync(activate=True)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.rc.close()
        cls.cluster.stop_cluster_sync()
        atexit.unregister(cls.shell.atexit_operations)
        InteractiveShell.clear_instance()
        super().tearDownClass()

    def cell(self, text: str) -> str:
        """What the shell prints for a cell."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            self.done = self.shell.run_cell(text)
        return out.getvalue()

    def test_output_and_values(self) -> None:
        self.cell("%px import os")
        self.assertIsNone(self.done.error_in_exec)
        text = self.cell("%%px -t 0\nprint('printed')\n1 + 1")
        self.assertIn("printed", text)
        self.assertIn("2", text)
        self.assertEqual(text.count("printed"), 1)
        text = self.cell("%%px --no-stream --group-outputs=engine\nprint('quietly')")
        self.assertEqual(text.count("quietly"), 2)
        self.assertEqual(self.cell("%pxresult").count("quietly"), 2)

    def test_errors_are_shown_once(self) -> None:
        for option in ("--stream", "--no-stream"):
            text = self.cell("%%%%px %s\ndef f():\n    return 1 / 0\nf()" % option)
            self.assertEqual(text.count("return 1 / 0"), 2, text)
            self.assertIsInstance(self.done.error_in_exec, errors.RemoteError)

    def test_results_to_keep(self) -> None:
        self.cell("%%px -a -o kept\nx = 5")
        kept = self.shell.user_ns["kept"]
        kept.get(60)
        self.assertEqual(self.rc[:]["x"], [5, 5])

    def test_an_interrupt_goes_to_the_engines(self) -> None:
        ready = os.path.join(self.folder, "ready")
        code = "import os, time\nopen(%r + str(os.getpid()), 'w').close()\ntime.sleep(3600)" % ready

        def interrupt() -> None:
            while len([n for n in os.listdir(self.folder) if n.startswith("ready")]) < 2:
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        try:
            text = self.cell("%%px\n" + code)
        finally:
            thread.join()
            for name in os.listdir(self.folder):
                if name.startswith("ready"):
                    os.unlink(os.path.join(self.folder, name))
        self.assertIn("sending signal SIGINT", text)
        self.assertIn("KeyboardInterrupt", text)
        self.cell("%px y = 3")
        self.assertEqual(self.rc[:]["y"], [3, 3])

    def test_autopx(self) -> None:
        self.cell("%autopx")
        try:
            self.cell("z = 8")
        finally:
            self.cell("%autopx")
        self.assertEqual(self.rc[:]["z"], [8, 8])
        self.assertNotIn("z", self.shell.user_ns)


if __name__ == "__main__":
    unittest.main()

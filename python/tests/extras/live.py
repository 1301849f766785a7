"""What the tests with a real cluster need: the program `tutti`, named by TUTTI_BINARY."""

from __future__ import annotations

import os
import shutil
import tempfile
import unittest


class Live(unittest.TestCase):
    """Tests that start clusters. Their files are in a folder of their own, and nothing may be left running."""

    @classmethod
    def setUpClass(cls) -> None:
        if not os.environ.get("TUTTI_BINARY"):
            raise unittest.SkipTest("TUTTI_BINARY does not name the program tutti")
        cls.folder = tempfile.mkdtemp(prefix="tutti-test-")
        cls.before = {k: os.environ.get(k) for k in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR", "TUTTI_CLUSTER", "TUTTI_GATEWAY")}
        os.environ["XDG_STATE_HOME"] = os.environ["XDG_RUNTIME_DIR"] = cls.folder
        os.environ.pop("TUTTI_CLUSTER", None)
        os.environ.pop("TUTTI_GATEWAY", None)

    @classmethod
    def tearDownClass(cls) -> None:
        for k, v in cls.before.items():
            if v is None:
                os.environ.pop(k, None)
            else:
                os.environ[k] = v
        left = [os.path.join(at, f) for at, _, files in os.walk(cls.folder) for f in files]
        shutil.rmtree(cls.folder)
        assert not left, "left behind: %s" % left

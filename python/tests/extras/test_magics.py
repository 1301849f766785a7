"""The magics, in IPython's own shell, on a view that runs code in this process."""

from __future__ import annotations

import atexit
import contextlib
import io
import signal
import traceback
import unittest
from typing import Any, Dict, Iterator, List, Optional

try:
    from IPython.core.error import UsageError
    from IPython.core.interactiveshell import InteractiveShell
except ImportError:  # the magics are for IPython only
    raise unittest.SkipTest("IPython is not installed") from None

from tutti import errors, magics


class Result:
    """An AsyncResult whose task ran at once. `slow` waits are interrupted until a signal has come."""

    def __init__(self, view: "View", code: str, targets: List[int]) -> None:
        self.view, self.targets, self.shown = view, targets, []  # type: Any
        self.stdout: List[str] = []
        self.failures: List[Any] = []
        self.streamed = False
        for engine in targets:
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                try:
                    exec(code, view.spaces[engine])
                except Exception as e:
                    info = {"engine_id": engine, "engine_uuid": "", "method": "execute"}
                    self.failures.append((type(e).__name__, str(e), traceback.format_exc(), info))
            self.stdout.append(out.getvalue())

    def _wait(self) -> None:
        if self.view.hangs and not self.view.signals:
            raise KeyboardInterrupt

    def wait(self, timeout: Optional[float] = None) -> bool:
        self._wait()
        return not self.view.slow

    def wait_interactive(self) -> None:
        self.view.bars += 1
        self._wait()

    @contextlib.contextmanager
    def stream_output(self) -> Iterator[None]:
        self.streamed = True
        for engine, text in zip(self.targets, self.stdout):
            if text:
                print("[stdout:%d] %s" % (engine, text), end="")
        yield

    def get(self) -> None:
        if self.failures:
            raise errors.CompositeError("one or more exceptions", self.failures)

    def display_outputs(self, groupby: str = "type", result_only: bool = False) -> None:
        self.shown.append((groupby, result_only))
        if not result_only:
            for engine, text in zip(self.targets, self.stdout):
                print("[%d] %s" % (engine, text), end="")


class View:
    def __init__(self) -> None:
        self.client = self
        self.ids = [0, 1, 2, 3]
        self.targets: Any = "all"
        self.block = True
        self.spaces: Dict[int, Dict[str, Any]] = {i: {"id": i} for i in self.ids}
        self.hangs = self.slow = False
        self.signals: List[Any] = []
        self.bars = 0
        self.results: List[Result] = []

    def execute(self, code: str, silent: bool, targets: Any, block: bool) -> Result:
        assert not silent and not block
        there = self.ids if targets == "all" else [targets] if isinstance(targets, int) else list(targets)
        self.results.append(Result(self, code, there))
        return self.results[-1]

    def send_signal(self, sig: int, targets: Any, block: bool) -> None:
        self.signals.append((sig, targets))


class Magics(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        InteractiveShell.clear_instance()
        cls.shell = InteractiveShell.instance()
        cls.shell.history_manager.enabled = False

    @classmethod
    def tearDownClass(cls) -> None:
        atexit.unregister(cls.shell.atexit_operations)
        InteractiveShell.clear_instance()

    def setUp(self) -> None:
        self.view = View()
        self.magics = magics.activate(self.view)

    def cell(self, text: str) -> str:
        """What the shell prints for a cell."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            self.done = self.shell.run_cell(text)
        return out.getvalue()

    def test_px(self) -> None:
        self.assertEqual(self.cell("%px a = id * 2"), "")
        self.assertEqual([s["a"] for s in self.view.spaces.values()], [0, 2, 4, 6])
        self.assertEqual(self.cell("%px print('$HOME {a}')").splitlines()[0], "[stdout:0] $HOME {a}")

    def test_targets(self) -> None:
        for spec, ids in (("::2", [0, 2]), ("1:3", [1, 2]), ("-1:", [3]), ("2", [2]), ("[0,3]", [0, 3]), ("some", [1, 3]), ("all", [0, 1, 2, 3])):
            self.shell.user_ns["some"] = [1, 3]
            self.cell("%%%%px --targets=%s\nb = 1" % spec)
            self.assertEqual(self.view.results[-1].targets, ids, spec)
        self.assertEqual(self.view.targets, "all")
        text = self.cell("%%px --targets nobody_knows\nb = 1")
        self.assertIn("nobody_knows", text)
        self.assertEqual(len(self.view.results), 7)

    def test_output_and_names(self) -> None:
        self.assertEqual(self.cell("%%px -o held -e\nprint(id)"), "".join("[stdout:%d] %d\n" % (i, i) for i in range(4)))
        self.assertIs(self.shell.user_ns["held"], self.view.results[-1])
        self.assertEqual(self.view.results[-1].shown, [("engine", True)])
        self.assertEqual(self.cell("%%px --no-stream -t 1\nprint(id)"), "[1] 1\n")
        self.assertEqual(self.view.results[-1].shown, [("type", False)])
        self.assertEqual(self.cell("%pxresult -r"), "[1] 1\n")
        self.assertEqual(self.view.results[-1].shown[-1], ("order", False))
        self.assertEqual(self.cell("%result"), "[1] 1\n")

    def test_without_waiting(self) -> None:
        self.cell("%%px -a -o held\nc = 1")
        self.assertEqual(self.view.results[-1].shown, [])
        self.assertIs(self.shell.user_ns["held"], self.view.results[-1])
        self.cell("%%px --noblock\nc = 1")
        self.assertIs(self.done.result, self.view.results[-1])

    def test_local_too(self) -> None:
        self.cell("%%px --local\nd = 5")
        self.assertEqual(self.shell.user_ns["d"], 5)
        self.assertEqual(self.view.spaces[3]["d"], 5)
        before = len(self.view.results)
        self.cell("%%px --local\nd = 1 / 0")
        self.assertEqual(len(self.view.results), before)

    def test_errors_are_shown_once(self) -> None:
        text = self.cell("%px 1 / 0")
        self.assertEqual(text.count("Traceback"), 4)
        self.assertIn("4 errors", text)
        self.assertIsInstance(self.done.error_in_exec, errors.AlreadyDisplayedError)
        text = self.cell("%%px --no-stream\n1 / 0")
        self.assertEqual(text.count("Traceback"), 4)
        self.assertIsInstance(self.done.error_in_exec, errors.CompositeError)

    def test_config(self) -> None:
        self.cell("%pxconfig --noblock --targets ::2 --verbose --progress-after -1 --signal-on-interrupt SIGTERM --no-stream")
        self.assertEqual((self.view.block, self.view.targets), (False, [0, 2]))
        self.assertEqual((self.magics.stream, self.magics.verbose, self.magics.progress_after), (False, True, -1.0))
        self.assertEqual(self.magics.interrupt, signal.SIGTERM)
        self.assertIn("Async parallel execution on engine(s): [0, 2]", self.cell("%px e = 1"))
        self.cell("%pxconfig --signal-on-interrupt 0")
        self.assertIsNone(self.magics.interrupt)

    def test_signals_by_name_and_number(self) -> None:
        for text, number in (("SIGINT", 2), ("int", 2), ("15", 15), ("0", None), ("", None), ("-1", None)):
            self.assertEqual(magics.parse_signal(text), number)
        with self.assertRaises(UsageError):
            magics.parse_signal("SIGNOTHING")

    def test_interrupt(self) -> None:
        self.view.hangs = True
        text = self.cell("%px f = 1")
        self.assertEqual(self.view.signals, [(signal.SIGINT, "all")])
        self.assertIn("sending signal SIGINT", text)
        self.assertTrue(self.done.success)
        self.view.signals.clear()
        self.cell("%%px --signal-on-interrupt 0\nf = 1")
        self.assertEqual(self.view.signals, [])
        self.assertIsInstance(self.done.error_in_exec, KeyboardInterrupt)

    def test_progress(self) -> None:
        self.cell("%px g = 1")
        self.assertEqual(self.view.bars, 0)
        self.view.slow = True
        self.cell("%px g = 1")
        self.assertEqual(self.view.bars, 1)
        self.cell("%%px --progress-after 0\ng = 1")
        self.assertEqual(self.view.bars, 2)
        self.cell("%%px --progress-after -1\ng = 1")
        self.assertEqual(self.view.bars, 2)

    def test_autopx(self) -> None:
        self.assertIn("enabled", self.cell("%autopx"))
        self.cell("h = id + 1\nk = h")
        self.assertEqual([s["k"] for s in self.view.spaces.values()], [1, 2, 3, 4])
        self.assertNotIn("k", self.shell.user_ns)
        self.assertIn("ZeroDivisionError", self.cell("1 / 0"))
        self.assertIsNotNone(self.done.error_in_exec)
        self.assertIn("disabled", self.cell("%autopx"))
        self.cell("k = 'here'")
        self.assertEqual(self.shell.user_ns["k"], "here")

    def test_no_result_yet(self) -> None:
        self.assertIn("none yet", self.cell("%pxresult"))

    def test_suffix(self) -> None:
        other = View()
        magics.activate(other, "_gpu")
        self.cell("%px_gpu a = 7")
        self.assertEqual(other.spaces[0]["a"], 7)
        self.assertNotIn("a", self.view.spaces[0])
        self.cell("%%px_gpu -t 1\na = 8")
        self.assertEqual((other.spaces[0]["a"], other.spaces[1]["a"]), (7, 8))
        self.cell("%pxconfig_gpu --noblock")
        self.assertEqual((other.block, self.view.block), (False, True))


if __name__ == "__main__":
    unittest.main()

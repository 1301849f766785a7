"""The errors of section 5, and what failures become."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import pickle
import traceback
import unittest

from tutti import dependency, errors

ZERO = {
    "ename": "ZeroDivisionError",
    "evalue": "division by zero",
    "traceback": ["Traceback (most recent call last):", '  File "s.py", line 2, in f', "    1 / 0", "ZeroDivisionError: division by zero"],
    "exception": pickle.dumps(ZeroDivisionError("division by zero")),
    "engine": 3,
    "host": "h",
    "pid": 7,
    "method": "apply",
}
FAILED = {"kind": "failed", "text": "ZeroDivisionError: division by zero", "op": "f", "hint": "", "host": "h", "engine": 3, "rank": -1, "stack": ""}


class Errors(unittest.TestCase):
    def test_hierarchy(self) -> None:
        for name, base in (
            ("KernelError", errors.IPythonError),
            ("EngineError", errors.KernelError),
            ("NoEnginesRegistered", errors.KernelError),
            ("TaskAborted", errors.KernelError),
            ("TaskTimeout", errors.KernelError),
            ("TaskRejectError", errors.KernelError),
            ("UnmetDependency", errors.KernelError),
            ("ImpossibleDependency", errors.UnmetDependency),
            ("DependencyTimeout", errors.ImpossibleDependency),
            ("InvalidDependency", errors.ImpossibleDependency),
            ("RemoteError", errors.KernelError),
            ("CompositeError", errors.RemoteError),
            ("AlreadyDisplayedError", errors.RemoteError),
        ):
            self.assertIs(getattr(errors, name).__bases__[0], base, name)
        self.assertIs(errors.TimeoutError, TimeoutError)

    def test_remote_error(self) -> None:
        e = errors.failure_to_error(FAILED, ZERO)
        self.assertIsInstance(e, errors.RemoteError)
        self.assertEqual(e.args, ("ZeroDivisionError", "division by zero"))
        self.assertEqual(str(e), "[3:apply] ZeroDivisionError: division by zero")
        self.assertEqual((e.engine_info["engine_id"], e.engine_info["method"]), (3, "apply"))
        self.assertIn("    1 / 0", e.render_traceback())
        self.assertEqual(e._render_traceback_(), e.render_traceback())
        shown = "".join(traceback.format_exception(type(e), e, None))
        self.assertIn("1 / 0", shown)  # at a plain prompt too
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            e.print_traceback()
        self.assertIn("1 / 0", out.getvalue())
        again = pickle.loads(pickle.dumps(e))
        self.assertEqual((again.args, again.traceback, again.engine_info), (e.args, e.traceback, e.engine_info))

    def test_composite_error(self) -> None:
        elist = [("E%d" % i, "text %d" % i, "line of %d" % i, {"engine_id": i, "engine_uuid": "", "method": "execute"}) for i in range(6)]
        e = errors.CompositeError("one or more exceptions", elist)
        self.assertEqual(str(e).splitlines(), ["one or more exceptions"] + ["[%d:execute] E%d: text %d" % (i, i, i) for i in range(4)] + ["... 2 more exceptions"])
        text = "\n".join(e.render_traceback())
        self.assertIn("line of 3", text)
        self.assertNotIn("line of 4", text)
        e.tb_limit = 6
        self.assertIn("line of 5", "\n".join(e.render_traceback()))
        self.assertEqual([line for line in e.render_traceback(5) if line], ["[5:execute] ", "line of 5"])
        with self.assertRaises(errors.RemoteError) as caught:
            e.raise_exception(2)
        self.assertEqual(caught.exception.ename, "E2")
        for call in (e.raise_exception, e.print_traceback, e.render_traceback):
            with self.assertRaises(IndexError):
                call(6)
        self.assertEqual(pickle.loads(pickle.dumps(e)).elist, elist)
        shown = errors.AlreadyDisplayedError(e)
        self.assertEqual(shown.render_traceback(), ["6 errors"])
        self.assertIs(shown.original_error, e)

    def test_collect(self) -> None:
        self.assertEqual(errors.collect_exceptions([1, 2]), [1, 2])
        e = errors.failure_to_error(FAILED, ZERO)
        with self.assertRaises(errors.CompositeError) as caught:
            errors.collect_exceptions({0: 1, 1: e, 2: errors.CompositeError("", e_list(e))}, "apply")
        self.assertEqual([x[0] for x in caught.exception.elist], ["ZeroDivisionError"] * 2)

    def test_machinery(self) -> None:
        for kind, cls in (
            ("canceled", errors.TaskAborted),
            ("timed out", errors.TaskTimeout),
            ("lost", errors.EngineError),
            ("dependency failed", errors.ImpossibleDependency),
            ("denied", errors.KernelError),
        ):
            e = errors.failure_to_error(dict(FAILED, kind=kind, text="why", hint="do this"))
            self.assertIs(type(e), cls)
            self.assertEqual((str(e), e.hint), ("why\ndo this", "do this"))
        e = errors.failure_to_error(dict(FAILED, kind="panicked", text="oh", stack="goroutine 1"))
        self.assertEqual((e.ename, e.evalue, e.traceback), ("panic", "oh", "goroutine 1"))

    def test_original(self) -> None:
        e = errors.original_exception(FAILED, ZERO)
        self.assertIs(type(e), ZeroDivisionError)
        self.assertIn("1 / 0", "".join(traceback.format_exception(type(e), e, None)))
        self.assertIs(type(errors.original_exception(FAILED, dict(ZERO, exception=None))), errors.RemoteError)
        self.assertIs(type(errors.original_exception(FAILED, dict(ZERO, exception=b"no pickle"))), errors.RemoteError)
        canceled = errors.original_exception(dict(FAILED, kind="canceled"))
        self.assertIsInstance(canceled, concurrent.futures.CancelledError)

    def test_pickled(self) -> None:
        class Odd(Exception):
            def __init__(self, a: int, b: int) -> None:
                super().__init__("odd")

        self.assertIsNone(errors.pickled(Odd(1, 2)))  # would not come back
        self.assertEqual(pickle.loads(errors.pickled(ValueError(3)) or b"").args, (3,))


def e_list(e: errors.RemoteError) -> list:
    return [(e.ename, e.evalue, e.traceback, e.engine_info)]


class Dependencies(unittest.TestCase):
    def test_dependency(self) -> None:
        d = dependency.Dependency(["a", "b"])
        self.assertEqual((d.check(["a"]), d.check(["a", "b", "c"])), (False, True))
        self.assertTrue(d.unreachable(["a"], ["b"]))
        anyone = dependency.Dependency(["a", "b"], all=False, failure=True)
        self.assertTrue(anyone.check([], ["b"]))
        self.assertFalse(anyone.unreachable([], ["a", "b"]))
        self.assertTrue(dependency.Dependency().check([]))
        with self.assertRaises(ValueError):
            dependency.Dependency("a", success=False)
        with self.assertRaises(TypeError):
            dependency.Dependency([3])
        again = pickle.loads(pickle.dumps(anyone))
        self.assertEqual(again.as_dict(), anyone.as_dict())

    def test_reference(self) -> None:
        from tutti import _pickle

        data = _pickle.dumps(((dependency.Reference("a[1]"), {"k": dependency.Reference("f")}), {}))
        self.assertEqual(_pickle.loads(data, (), {"a": [1, 2], "f": len}, {}), ((2, {"k": len}), {}))
        with self.assertRaises(NameError):
            _pickle.loads(data, (), {}, {})
        self.assertEqual(_pickle.loads(data)[0][0], dependency.Reference("a[1]"))
        with self.assertRaises(TypeError):
            dependency.Reference(3)  # type: ignore

    def test_require_and_depend(self) -> None:
        import __main__

        helper = lambda: 5  # noqa: E731
        helper.__name__ = "helper_of_the_test"

        @dependency.require("os.path", "json as js_of_the_test", helper, limit_of_the_test=3)
        def f() -> object:
            return [vars(__main__)[n] for n in ("js_of_the_test", "limit_of_the_test")], vars(__main__)["helper_of_the_test"]()

        self.assertEqual(f()[1], 5)
        self.assertEqual(f()[0][1], 3)
        for name in ("js_of_the_test", "limit_of_the_test", "helper_of_the_test"):
            delattr(__main__, name)

        @dependency.require("there_is_no_such_module")
        def g() -> None:
            pass

        with self.assertRaises(errors.UnmetDependency):
            g()

        @dependency.depend(lambda n: n > 3, 2)
        def h() -> int:
            return 1

        with self.assertRaises(errors.UnmetDependency):
            h()
        self.assertEqual(h.__name__, "h")
        from tutti import _pickle

        there = _pickle.loads(_pickle.dumps(h))
        with self.assertRaises(errors.UnmetDependency):
            there()

    def test_interactive(self) -> None:
        import __main__

        made = dependency.interactive(e_list)
        self.assertEqual(made.__module__, "__main__")
        self.assertIs(made.__globals__, vars(__main__))


if __name__ == "__main__":
    unittest.main()

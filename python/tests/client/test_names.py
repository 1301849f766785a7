"""The public names: all there, typed, documented, and cheap to import."""

import inspect
import subprocess
import sys
import unittest

import tutti

# Of IPython Parallel.
NAMES = """Cluster ClusterManager Client DirectView LoadBalancedView BroadcastView ViewExecutor AsyncResult AsyncMapResult AsyncHubResult
Reference Dependency depend dependent require interactive remote parallel RemoteFunction ParallelFunction register_joblib_backend
bind_kernel ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION can uncan serialize_object deserialize_object pack_apply_message
unpack_apply_message PrePickled IPythonError KernelError EngineError NoEnginesRegistered TaskAborted TaskTimeout TaskRejectError
UnmetDependency ImpossibleDependency DependencyTimeout InvalidDependency RemoteError CompositeError AlreadyDisplayedError""".split()


def members(cls):
    for name, value in vars(cls).items():
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, (property, classmethod, staticmethod))):
            yield name, getattr(value, "fget", None) or getattr(value, "__func__", value)


class Names(unittest.TestCase):
    def test_all_there(self):
        for name in NAMES:
            self.assertTrue(hasattr(tutti, name), name)
            self.assertIn(name, tutti.__all__)
            self.assertIn(name, dir(tutti))
        self.assertRaises(AttributeError, lambda: tutti.nothing)
        self.assertEqual((tutti.ALL_COMPLETED, tutti.FIRST_COMPLETED), ("ALL_COMPLETED", "FIRST_COMPLETED"))

    def test_documented_and_typed(self):
        for name in tutti.__all__:
            value = getattr(tutti, name)
            if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith("tutti"):
                continue
            self.assertTrue(inspect.getdoc(value), name)
            for member, f in members(value) if inspect.isclass(value) else [(name, value)]:
                where = "%s.%s" % (name, member)
                self.assertTrue(inspect.getdoc(f), where)
                sig = inspect.signature(f)
                self.assertIsNot(sig.return_annotation, sig.empty, where)
                for p in list(sig.parameters.values())[1 if inspect.isclass(value) else 0 :]:
                    if p.name not in ("self", "cls"):
                        self.assertIsNot(p.annotation, p.empty, "%s(%s)" % (where, p.name))

    def test_import_is_lazy(self):
        code = "import sys, tutti; print([m for m in ('numpy', 'IPython', 'asyncio', 'concurrent.futures', 'socket') if m in sys.modules])"
        done = subprocess.run([sys.executable, "-S", "-c", "import sys; sys.path[:0] = %r; %s" % (sys.path, code)], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))

    def test_older_name(self):
        from tutti import ipyparallel as ipp
        from tutti.ipyparallel import Client, error  # noqa: F401
        from tutti.ipyparallel.client.asyncresult import AsyncResult
        from tutti.ipyparallel.client.view import DirectView
        from tutti.ipyparallel.controller.dependency import Dependency
        from tutti.ipyparallel.error import CompositeError
        from tutti.ipyparallel.serialize import PrePickled  # noqa: F401

        self.assertIs(ipp.Client, tutti.Client)
        self.assertIs(AsyncResult, tutti.AsyncResult)
        self.assertIs(DirectView, tutti.DirectView)
        self.assertIs(Dependency, tutti.Dependency)
        self.assertIs(ipp.error.CompositeError, CompositeError)
        self.assertIs(CompositeError, tutti.CompositeError)
        self.assertTrue(callable(ipp.remote) and callable(ipp.parallel))
        for name in NAMES:
            self.assertTrue(hasattr(ipp, name), name)
        self.assertRaises(AttributeError, lambda: ipp.nothing)
        self.assertIn("Client", dir(ipp))

    def test_serialization_helpers(self):
        n = 3
        f = tutti.uncan(tutti.can(lambda x: x + n))
        self.assertEqual(f(1), 4)
        self.assertEqual(tutti.deserialize_object(tutti.serialize_object([1, "a"]) + [b"rest"]), ([1, "a"], [b"rest"]))
        g, args, kwargs = tutti.unpack_apply_message(tutti.pack_apply_message(lambda x, y: x * y, (2,), {"y": 5}))
        self.assertEqual(g(*args, **kwargs), 10)
        self.assertEqual(tutti.uncan(5), 5)
        import pickle

        self.assertEqual(pickle.loads(pickle.dumps(tutti.PrePickled({"a": 1}))), {"a": 1})
        self.assertRaises(NotImplementedError, tutti.bind_kernel)

    def test_help(self):
        import pydoc

        for value in (tutti, tutti.Client, tutti.AsyncResult, tutti.LoadBalancedView):
            self.assertIn("\n", pydoc.render_doc(value))

    def test_parts(self):
        from tutti import _parts

        b, r = _parts.distribution("b"), _parts.distribution("r")
        for seq in (list(range(11)), tuple(range(11)), range(11)):
            for q in (1, 2, 3, 11, 13):
                for d in (b, r):
                    parts = [d.part(seq, p, q) for p in range(q)]
                    self.assertEqual(d.join(parts), list(range(11)))
        self.assertEqual([len(b.part(range(11), p, 3)) for p in range(3)], [4, 4, 3])
        self.assertEqual((b.join([]), r.join([]), b.join([1, 2]), r.join([1, 2]), b.join(["a", "b"])), ([], [], [1, 2], [1, 2], ["a", "b"]))
        self.assertEqual(b.join([[1], 2]), [1, 2])
        self.assertRaises(ValueError, b.part, [1], 2, 2)
        self.assertRaises(TypeError, b.part, 5, 0, 1)


if __name__ == "__main__":
    unittest.main()

import pickle
import struct
import sys
import unittest

from tutti import _pack


class Buffer:
    """Memory that travels outside of the pickle, as numpy's does."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        return Buffer, (pickle.PickleBuffer(self.data),)


class PackTest(unittest.TestCase):
    def test_round_trips(self):
        for obj in (None, True, 7, -1 << 70, 1.5, 2j, "text", b"bytes" * 20000, [1, {"a": (2, 3)}], ((1,), {"k": 2})):
            data = _pack.dumps(obj)
            self.assertEqual(_pack.loads(data), obj)
            self.assertEqual(_pack.parts(obj).join(), data)
            self.assertEqual(_pack.parts(obj).size, len(data))

    def test_layout(self):
        data = _pack.dumps([Buffer(bytearray(b"x" * 5000)), Buffer(bytearray(b"y" * 9000)), Buffer(bytearray(b"z" * 10))])
        magic, n, length = struct.unpack_from("<IIQ", data)
        self.assertEqual((magic, n), (_pack.MAGIC, 2))  # the small one is inside the pickle
        self.assertEqual(struct.unpack_from("<2Q", data, 16), (5000, 9000))
        first = -(-(32 + length) // 64) * 64
        self.assertEqual(data[first : first + 5000], b"x" * 5000)
        self.assertEqual(data[-9000:], b"y" * 9000)
        self.assertEqual((len(data) - 9000) % 64, 0)

    def test_buffers_are_views(self):
        data = bytearray(_pack.dumps(Buffer(bytearray(b"x" * 5000))))
        got = _pack.loads(memoryview(data).toreadonly()).data
        self.assertTrue(memoryview(got).readonly)
        data[-1] = ord("y")
        self.assertEqual(bytes(memoryview(got)[-2:]), b"xy")

    def test_arguments_of_other_tasks(self):
        class P(pickle.Pickler):
            def persistent_id(self, obj):
                return ("arg", 1) if obj == "second" else None

        import io

        f = io.BytesIO()
        P(f, 5).dump((("first", "second"), {}))
        body = f.getvalue()
        data = struct.pack("<IIQ", _pack.MAGIC, 0, len(body)) + body
        self.assertEqual(_pack.loads(data, ["a", "b"]), (("first", "b"), {}))
        with self.assertRaises(pickle.UnpicklingError):
            _pack.loads(data)

    def test_nonsense(self):
        good = _pack.dumps([Buffer(bytearray(5000))])
        for bad in (b"", b"TTPK", b"x" * 100, good[:20], good[:-1], struct.pack("<IIQ", _pack.MAGIC, 0, 1 << 60)):
            with self.assertRaises((ValueError, struct.error)):
                _pack.loads(bad)

    def test_cbor(self):
        for hexed, obj in (
            ("00", 0), ("1818", 24), ("1903e8", 1000), ("3903e7", -1000), ("f4", False), ("f5", True), ("f6", None),
            ("fb3ff8000000000000", 1.5), ("f93c00", 1.0), ("fa47c35000", 100000.0), ("6449455446", "IETF"), ("4401020304", b"\1\2\3\4"),
            ("83010203", [1, 2, 3]), ("9f0102ff", [1, 2]), ("a201020304", {1: 2, 3: 4}), ("bf6161f6ff", {"a": None}),
            ("5f42010243030405ff", b"\1\2\3\4\5"), ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ):  # fmt: skip
            self.assertEqual(_pack.cbor(bytes.fromhex(hexed)), obj)
        for bad in ("", "18", "62ff", "8301", "1c", "0000", "81" * 600):
            with self.assertRaises((ValueError, UnicodeDecodeError)):
                _pack.cbor(bytes.fromhex(bad))

    def test_numbers_of_go(self):
        data = struct.pack("<3d", 1, 2, 3)
        self.assertEqual(list(_pack.decode(25, data)), [1, 2, 3])
        self.assertEqual(list(_pack.decode(19, struct.pack("<2q", 4, -5))), [4, -5])
        self.assertIsNone(_pack.decode(0, b""))
        with self.assertRaises(TypeError):
            _pack.decode(2, b"")


class SyntaxTest(unittest.TestCase):
    def test_oldest_python(self):
        import ast
        import pathlib

        import tutti._engine

        for file in pathlib.Path(tutti._engine.__file__).parent.parent.glob("**/*.py"):
            if "mpi" not in file.parts[-2:-1]:  # for 3.11 and later
                ast.parse(file.read_text(), str(file), feature_version=(3, 9))

    def test_engines_import_little(self):
        import subprocess

        code = "import sys, tutti._engine.driver; print([m for m in ('numpy', 'asyncio', 'IPython', 'traceback') if m in sys.modules and m != 'traceback'])"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        self.assertEqual(out.strip(), "[]")


if __name__ == "__main__":
    unittest.main()

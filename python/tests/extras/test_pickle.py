"""What travels by value, and what does not."""

from __future__ import annotations

import abc
import array
import collections
import dataclasses
import enum
import functools
import linecache
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import traceback
import types
import typing
import unittest

from tutti import _pickle, _rebuild

# A program that another interpreter runs as __main__: it sends what `sent` gives, and checks what comes back.
SENDER = """
import sys, os
from tutti import _pickle

{program}

if __name__ == "__main__":
    import subprocess
    engine = '''
import sys, os
from tutti import _pickle
namespace = {{"__name__": "__main__"}}
namespace.update({pushed})
shipped = {{}}
out = os.fdopen(os.dup(1), "wb")
f = _pickle.loads(sys.stdin.buffer.read(), (), namespace, shipped)
out.write(_pickle.dumps(f()))
'''
    run = subprocess.run([sys.executable, "-c", engine], input=_pickle.dumps(sent), stdout=subprocess.PIPE)
    assert run.returncode == 0, run.returncode
    check(_pickle.loads(run.stdout))
    print("ok")
"""


class Between(unittest.TestCase):
    """Two processes: a program's `sent` is called in another, and `check` is given its result."""

    def between(self, program: str, pushed: str = "{}") -> None:
        text = SENDER.format(program=textwrap.dedent(program), pushed=pushed)
        folder = self.enterContext(_temporary()) if hasattr(self, "enterContext") else _kept(self)
        path = os.path.join(folder, "program.py")
        with open(path, "w") as file:
            file.write(text)
        env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
        run = subprocess.run([sys.executable, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, timeout=60)
        self.assertEqual((run.returncode, run.stdout), (0, b"ok\n"), run.stderr.decode())

    def test_function_with_globals_of_globals(self) -> None:
        self.between(
            """
            import math
            scale, unused = 10, open(os.devnull)
            def inner(a): return math.sqrt(a) * scale
            def sent(b=4, *, c=1) -> float:
                "doc"
                return inner(b) + c, sent.__doc__, sent.__annotations__, sent.__kwdefaults__, sent.__qualname__
            def check(r): assert r == (21.0, "doc", {"return": float}, {"c": 1}, "sent"), r
            """
        )

    def test_names_that_are_there_win(self) -> None:
        self.between(
            """
            a, b = 1, 1
            def sent(): return a, b
            def check(r): assert r == (1, 5), r
            """,
            pushed="{'b': 5}",
        )

    def test_closures_share_cells(self) -> None:
        self.between(
            """
            def counter():
                n = 0
                def add():
                    nonlocal n
                    n += 1
                    return n
                def get(): return n
                return add, get
            def recursive():
                def fact(n): return n * fact(n - 1) if n else 1
                return fact
            add, get = counter()
            fact = recursive()
            def sent():
                add(); add()
                return get(), fact(5)
            def check(r): assert r == (2, 120) and get() == 0, r
            """
        )

    def test_classes_come_back_as_the_clients_own(self) -> None:
        self.between(
            """
            import dataclasses, enum, typing, collections, abc, functools
            class Base:
                def hello(self): return "base"
            class Kid(Base):
                __slots__ = ("v", "__hidden")
                def __init__(self, v): self.v, self.__hidden = v, 2
                def hello(self): return super().hello() + " kid" + str(self.__hidden)
                @property
                def twice(self): return 2 * self.v
                @staticmethod
                def s(): return 5
                @classmethod
                def c(cls): return cls.__name__
            @dataclasses.dataclass(frozen=True)
            class Data:
                a: int
                b: list = dataclasses.field(default_factory=list)
            class Colour(enum.Enum):
                RED = 1
                BLUE = 2
                def next(self): return Colour.BLUE if self is Colour.RED else Colour.RED
            class Planet(enum.Enum):
                EARTH = (1.0, 2.0)
                def __init__(self, mass, radius): self.mass, self.radius = mass, radius
            class Flag(enum.IntFlag):
                R = 1
                W = 2
            T = typing.TypeVar("T")
            class Box(typing.Generic[T]):
                def __init__(self, t): self.t = t
            class Point(typing.NamedTuple):
                x: int
                y: int = 3
            Pair = collections.namedtuple("Pair", "a b")
            class Form(typing.TypedDict):
                a: int
            class Meta(type):
                def __new__(m, n, b, d): return super().__new__(m, n, b, d)
                @property
                def what(cls): return "meta " + cls.__name__
            class Made(metaclass=Meta): pass
            class Shape(abc.ABC):
                @abc.abstractmethod
                def area(self): ...
            class Square(Shape):
                def area(self): return 4
            Shape.register(int)
            @functools.lru_cache(None)
            def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
            class Lazy:
                @functools.cached_property
                def v(self): return [42]
            def sent():
                k = Kid(3)
                lazy = Lazy()
                try: Shape()
                except TypeError: abstract = True
                return dict(k=k, hello=k.hello(), twice=k.twice, s=Kid.s(), c=Kid.c(), d=Data(1),
                    replaced=dataclasses.replace(Data(1), a=2), missing=dataclasses.fields(Data)[0].default is dataclasses.MISSING,
                    colour=Colour(1).next(), planet=Planet.EARTH.radius, flag=Flag.R | Flag.W, box=Box[int](3),
                    point=Point(1), pair=Pair(1, 2), form=Form(a=1), what=Made.what, made=Made(), area=Square().area(),
                    abstract=abstract, registered=isinstance(3, Shape), fib=fib(30), lazy=lazy.v is lazy.v, kinds=[Kid, Colour])
            def check(r):
                k = r.pop("k"); box = r.pop("box"); made = r.pop("made")
                assert type(k) is Kid and k.twice == 6 and type(box) is Box and box.t == 3 and type(made) is Made
                assert type(r["point"]) is Point and type(r["pair"]) is Pair and r["colour"] is Colour.BLUE, r
                assert type(r["flag"]) is Flag and type(r["d"]) is Data
                assert r == dict(hello="base kid2", twice=6, s=5, c="Kid", d=Data(1), replaced=Data(2), missing=True,
                    colour=Colour.BLUE, planet=2.0, flag=Flag(3), point=Point(1, 3), pair=Pair(1, 2), form={"a": 1},
                    what="meta Made", area=4, abstract=True, registered=True, fib=832040, lazy=True, kinds=[Kid, Colour]), r
            """
        )


def _temporary() -> typing.ContextManager[str]:
    import tempfile

    return tempfile.TemporaryDirectory()


def _kept(case: unittest.TestCase) -> str:
    folder = _temporary()
    case.addCleanup(folder.__exit__, None, None, None)
    return folder.__enter__()


class Here(unittest.TestCase):
    """Within one process: lambdas and functions made in functions are never importable."""

    def test_plain_values_as_pickle_writes_them(self) -> None:
        for value in (((1, 2.5), {}), "text", [None, {"a": b"b"}], {1, 2}, "a __main__ text"):
            self.assertEqual(_pickle.loads(_pickle.dumps(value)), value)
        self.assertEqual(_pickle.dumps(((1, 2.5), {})), pickle.dumps(((1, 2.5), {}), 5))

    def test_large_buffers_stay_out(self) -> None:
        class Held:
            def __init__(self, data: typing.Any) -> None:
                self.data = data

            def __reduce_ex__(self, protocol: int) -> typing.Any:
                return bytes, (pickle.PickleBuffer(self.data),)

        for by_value in (False, True):
            kept: typing.List[pickle.PickleBuffer] = []
            small, large = bytearray(b"s" * 100), bytearray(b"l" * 5000)
            value: typing.Any = [pickle.PickleBuffer(small), pickle.PickleBuffer(large)]
            if by_value:
                value.append(lambda: 3)
            data = _pickle.dumps(value, kept.append)
            self.assertEqual([b.raw().nbytes for b in kept], [5000])
            self.assertLess(len(data), 3000)
            back = _pickle.loads(data, [large])
            self.assertEqual(bytes(back[0]), bytes(small))
            self.assertEqual(bytes(back[1]), bytes(large))

    def test_views_and_other_small_things(self) -> None:
        view = memoryview(array.array("d", [1.5, 2.5]))
        back = _pickle.loads(_pickle.dumps(view))
        self.assertEqual((back.format, back.tolist()), ("d", [1.5, 2.5]))
        proxy = types.MappingProxyType({"a": 1})
        self.assertEqual(dict(_pickle.loads(_pickle.dumps(proxy))), {"a": 1})
        d = {"a": 1, "b": 2}
        for part in (d.keys(), d.values(), d.items()):
            back = _pickle.loads(_pickle.dumps(part))
            self.assertIs(type(back), type(part))
            self.assertEqual(list(back), list(part))
        self.assertIs(_pickle.loads(_pickle.dumps(os.path)), os.path)
        for kind in (types.FunctionType, types.MappingProxyType, type(None), type(...)):
            self.assertIs(_pickle.loads(_pickle.dumps(kind)), kind)

    def test_what_cannot_travel_is_named(self) -> None:
        def outer() -> typing.Any:
            lock = threading.Lock()

            def f() -> typing.Any:
                return lock

            return f

        class Thing:
            def __init__(self, value: typing.Any) -> None:
                self.value = value

        def with_default(a: typing.Any = (i for i in ())) -> None:
            pass

        name = type(self).__qualname__ + "." + self._testMethodName + ".<locals>."
        lock = threading.Lock()
        for value, text in (
            (outer(), "in the closure of %souter.<locals>.f: variable lock: _thread.lock cannot travel" % name),
            ([1, {"a": Thing(lock)}], "item 1: key 'a': attribute value of %sThing: _thread.lock cannot travel" % name),
            (with_default, "in the defaults of %swith_default: argument a: generator cannot travel" % name),
            (functools.partial(print, file=sys.__stdout__), "keywords of partial: key 'file': _io.TextIOWrapper cannot travel"),
            (((1, lock), {}), "item 0: item 1: _thread.lock cannot travel"),
        ):
            with self.assertRaises(pickle.PicklingError) as caught:
                _pickle.dumps(value)
            self.assertEqual(str(caught.exception), text)

    def test_a_lasting_cycle_that_fails_ends(self) -> None:
        cycle: typing.List[typing.Any] = [threading.Lock()]
        cycle.insert(0, cycle)
        with self.assertRaises(pickle.PicklingError):
            _pickle.dumps(cycle)

    def test_functions_are_recognised_by_their_bytes(self) -> None:
        limit = 3
        held = [1]
        steady = lambda a: a < limit  # noqa: E731
        first = _pickle.dumps_function(steady)
        self.assertIs(_pickle.dumps_function(steady), first)
        limit = 4
        second = _pickle.dumps_function(steady)
        self.assertIsNot(second, first)
        self.assertTrue(_pickle.loads(second)(3))
        changing = lambda: held  # noqa: E731
        self.assertEqual(_pickle.loads(_pickle.dumps_function(changing))(), [1])
        held.append(2)  # within: the function must be written again
        self.assertEqual(_pickle.loads(_pickle.dumps_function(changing))(), [1, 2])
        steady.__defaults__ = (5,)
        self.assertIsNot(_pickle.dumps_function(steady), second)
        self.assertEqual(_pickle.loads(_pickle.dumps_function(functools.partial(pow, 2)))(3), 8)

    def test_functions_that_are_held_do_not_grow_without_end(self) -> None:
        for i in range(3 * _pickle._SENT_KEPT):
            _pickle.dumps_function(lambda i=i: i)
        self.assertLessEqual(len(_pickle._sent), _pickle._SENT_KEPT)

    def test_globals_are_shipped_as_a_fallback(self) -> None:
        namespace: typing.Dict[str, typing.Any] = {"theirs": 1}
        shipped: typing.Dict[str, typing.Any] = {}
        _rebuild.fill(namespace, shipped, {"theirs": 2, "ours": 2})
        self.assertEqual(namespace, {"theirs": 1, "ours": 2})
        _rebuild.fill(namespace, shipped, {"ours": 3})
        self.assertEqual(namespace["ours"], 3)
        namespace["ours"] = 4  # the user's from now on
        _rebuild.fill(namespace, shipped, {"ours": 5})
        self.assertEqual(namespace["ours"], 4)

    def test_the_globals_of_the_function_at_hand_are_put_back(self) -> None:
        # Two clients' functions, each with its own `k`, take turns on one engine.
        space = {"__name__": "__main__", "k": 1}
        exec("def f(): return k", space)
        one = _pickle.dumps(space["f"])
        space["k"] = 2
        two = _pickle.dumps(space["f"])
        namespace: typing.Dict[str, typing.Any] = {}
        shipped: typing.Dict[str, typing.Any] = {}
        f1 = _pickle.loads(one, (), namespace, shipped)
        f2 = _pickle.loads(two, (), namespace, shipped)
        self.assertEqual(f2(), 2)
        _pickle.reship(_pickle.wanted_by(f1), namespace, shipped)
        self.assertEqual(f1(), 1)
        namespace["k"] = 9
        _pickle.reship(_pickle.wanted_by(f2), namespace, shipped)
        self.assertEqual(f2(), 9)

    def test_functions_of_modules_made_by_hand(self) -> None:
        module = types.ModuleType("made_by_hand")
        sys.modules["made_by_hand"] = module
        self.addCleanup(sys.modules.pop, "made_by_hand")
        exec("n = 3\ndef f(): return n + g()\ndef g(): return 4\nclass C:\n    def m(self): return n", vars(module))
        data = _pickle.dumps([module.f, module.C()])
        self.assertNotIn(b"made_by_hand\x94\x8c\x01f", data)
        f, c = _pickle.loads(data)
        self.assertIsNot(f, module.f)
        self.assertEqual(f(), 7)
        self.assertIs(type(c), module.C)  # born here

    def test_tracebacks_show_source_that_is_not_there(self) -> None:
        name = "/nowhere/prompt-1"
        text = "import os\n\n\ndef broken(a):\n    return 1 / a  # the line\n"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        space: typing.Dict[str, typing.Any] = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), space)
        data = _pickle.dumps(space["broken"])
        del linecache.cache[name]
        f = _pickle.loads(data)
        try:
            f(0)
        except ZeroDivisionError:
            shown = traceback.format_exc()
        self.assertIn("line 5, in broken\n    return 1 / a  # the line", shown)
        linecache.checkcache()
        self.assertEqual(linecache.getline(name, 4), "def broken(a):\n")
        del linecache.cache[name]

    def test_importable_only(self) -> None:
        self.assertTrue(_pickle.importable_only((os.getcwd, [1, collections.OrderedDict(a=1)])))
        self.assertFalse(_pickle.importable_only([lambda: 1]))

    def test_code_of_another_version_says_so(self) -> None:
        with self.assertRaisesRegex(ImportError, "f was compiled by Python 2.7"):
            _rebuild.code((2, 7), "f", b"")

    def test_persistent_ids(self) -> None:
        class Result:
            pass

        r = Result()
        data = _pickle.dumps(([r, 1], {}), None, lambda o: ("arg", 0) if isinstance(o, Result) else None)
        self.assertEqual(_pickle.loads(data, persistent_load=lambda pid: "value of %s %d" % pid), (["value of arg 0", 1], {}))

    def test_a_class_that_changed_is_sent_anew(self) -> None:
        class Local:
            def m(self) -> int:
                return 1

        first = _rebuild.token_of(Local), _pickle._version(Local)
        self.assertEqual((_rebuild.token_of(Local), _pickle._version(Local)), first)
        Local.m = lambda self: 2  # type: ignore
        self.assertEqual((_rebuild.token_of(Local), _pickle._version(Local)), (first[0], first[1] + 1))

    def test_enumerations_of_functions(self) -> None:
        class Level(enum.IntEnum):
            LOW = 1
            HIGH = 2

        self.assertIs(_pickle.loads(_pickle.dumps(Level.HIGH)), Level.HIGH)

    def test_abstract_and_data_classes_of_functions(self) -> None:
        class Shape(abc.ABC):
            pass

        @dataclasses.dataclass
        class Data:
            a: int

        self.assertEqual(_pickle.loads(_pickle.dumps([Shape, Data(1)])), [Shape, Data(1)])


if __name__ == "__main__":
    unittest.main()

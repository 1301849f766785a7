"""The functions that a run can name.

    py.apply     code: a function; (args, kwargs) -> its result
    py.batch     code: a function; a list of (args, kwargs), or of args with kwargs None -> a list of (True, value) or (False, failure)
    py.execute   {"code", "silent", "filename"} -> {"data": {type: text}, "n": count} or None
    py.push      a dict of variables        py.pull      a list of names, or one
    py.clear     forgets the variables      py.setup     {"code", "all"}: runs now and at each later start
    py.info      about this interpreter     py.complete  {"code", "pos"} -> {"matches", "start"}
"""

from __future__ import annotations

import builtins
import json
import os
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from .. import _pack
from . import failure, shown, worlds

if TYPE_CHECKING:
    from .driver import Engine

Handler = Callable[["Engine", "Function", Any, Dict[str, Any]], Any]


class Function:
    """A function as the agent has numbered it."""

    __slots__ = ("name", "code", "handler", "call", "shipped", "method")

    def __init__(self, name: str, code: bytes) -> None:
        self.name, self.code = name, code
        self.handler: Optional[Handler] = None
        self.call: Optional[Callable[..., Any]] = None  # of py.apply, when it is loaded
        self.shipped: Optional[Dict[str, Any]] = None  # globals that came with it
        self.method = "execute" if name == "py.execute" else "apply"

    def load(self) -> None:
        """Find what is to be called; unpickle it."""
        handler = _table.get(self.name)
        if handler is None:
            raise failure.rejected("not found", "engines in Python have no function %r" % self.name)
        if self.name in ("py.apply", "py.batch"):
            f = load_function(self)
            if self.name == "py.apply":
                self.call = f
            else:
                self.handler = lambda engine, me, first, options: batch(engine, f, first, options)
                return
        self.handler = handler


_engine: Optional["Engine"] = None


def install(engine: "Engine") -> None:
    """Note whose calls these are."""
    global _engine
    _engine = engine


def load_function(f: Function) -> Callable[..., Any]:
    """The function of a pack, by name or by value."""
    assert _engine is not None
    try:
        from .. import _pickle
    except ImportError:
        return _pack.loads(f.code)
    wanted: Dict[str, Any] = {}
    body, buffers = _pack.split(f.code)
    got = _pickle.loads(body, buffers=buffers, namespace=_engine.space, shipped=shipped, wanted=wanted)
    if wanted:
        f.shipped = wanted
        _engine.applied = f
    return got


shipped: Dict[str, Any] = {}  # the globals in the namespace that came with functions


def fill(space: Dict[str, Any], f: Function) -> None:
    """Put a function's globals into the namespace where it has none, or another function's."""
    for name, value in (f.shipped or {}).items():
        if name not in space or (name in shipped and space[name] is shipped[name]):
            space[name] = shipped[name] = value


def apply(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> Any:
    args, kwargs, more = _call(first)
    assert f.call is not None
    if more.get("comm"):
        return worlds.call(f.call, args, kwargs, more, options.get("world"))
    return f.call(*args, **kwargs)


def _call(first: Any) -> Any:
    if len(first) == 3:
        return first[0], first[1] or {}, first[2] or {}
    return first[0], first[1] or {}, {}


def batch(engine: "Engine", f: Callable[..., Any], first: Any, options: Dict[str, Any]) -> Any:
    """Call the function for each item; what one raises is its result alone."""
    out: List[Any] = []
    add = out.append
    for args, kwargs in first:
        try:
            add((True, f(*args, **kwargs) if kwargs else f(*args)))
        except KeyboardInterrupt:
            raise
        except BaseException as e:
            add((False, failure.facts(e, "apply")))
            e.__traceback__ = None
    return out


def mend(results: Any) -> Any:
    """The results of a batch, with a failure in the place of each that cannot travel; None if all can."""
    out, bad = [], 0
    for ok, value in results:
        try:
            _pack.parts(value)
        except Exception as e:
            ok, value, bad = False, failure.facts(failure.unpicklable(value, e), "apply"), bad + 1
        out.append((ok, value))
    return out if bad else None


# ---------------------------------------------------------------------------------------------
# The namespace


def execute(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> Any:
    """Run a cell: the value of its last expression is its result."""
    engine.count = n = engine.count + 1
    silent = bool(first.get("silent"))
    name = first.get("filename") or "<tutti-%d>" % n
    value, has = run_cell(engine.space, first["code"], name)
    try:
        if silent or not has or value is None:
            return None
        engine.space["_"] = value
        return {"data": shown.texts(value), "n": n}
    finally:
        shown.end_of_cell()


def run_cell(space: Dict[str, Any], code: str, name: str) -> Any:
    """Run statements; (value, True) if the last is an expression."""
    import ast  # here and elsewhere: what starting does not need is imported later

    remember(name, code)
    tree = ast.parse(code, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    if tree.body:
        exec(compile(tree, name, "exec", dont_inherit=True), space)
    if last is None:
        return None, False
    return eval(compile(last, name, "eval", dont_inherit=True), space), True


def run_code(space: Dict[str, Any], code: str, name: str) -> None:
    """Run statements."""
    run_cell(space, code, name)


def remember(name: str, code: str) -> None:
    """Let tracebacks show the lines."""
    import linecache

    linecache.cache[name] = (len(code), None, code.splitlines(True), name)


def push(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> None:
    engine.space.update(first)


def pull(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> Any:
    if isinstance(first, str):
        return _variable(engine, first)
    return [_variable(engine, name) for name in first]


def _variable(engine: "Engine", name: str) -> Any:
    if name in engine.space:
        return engine.space[name]
    root, _, rest = name.partition(".")
    if rest and root in engine.space:  # an attribute
        value = engine.space[root]
        for part in rest.split("."):
            value = getattr(value, part)
        return value
    raise NameError("name %r is not defined on engine %d" % (name, engine.me["engine"]))


_OWN = ("__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__")


def clear(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> None:
    keep = {k: engine.space[k] for k in _OWN + tuple(_setup_names) if k in engine.space}
    engine.space.clear()
    engine.space.update(keep)
    shipped.clear()
    engine.applied = None


_setup_names: List[str] = []


def setup(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> None:
    start_up(engine, first["code"])
    engine.send(SETUP, 0, json.dumps({"code": first["code"], "all": bool(first.get("all"))}).encode())


SETUP = 20


def start_up(engine: "Engine", code: str) -> None:
    """Run start-up code; what it defines stays when the namespace is cleared."""
    before = {k: id(v) for k, v in engine.space.items()}
    run_code(engine.space, code, "<start-up code>")
    for k, v in engine.space.items():
        if before.get(k) != id(v) and k not in _setup_names:
            _setup_names.append(k)


def info(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> Any:
    return {
        "version": "%d.%d.%d" % sys.version_info[:3],
        "executable": sys.executable,
        "pid": os.getpid(),
        "cwd": os.getcwd(),
        "modules": {name: _version(name) for name in ("numpy", "cloudpickle", "IPython")},
    }


def _version(name: str) -> Optional[str]:
    from importlib import metadata

    try:
        return metadata.version(name.lower())
    except Exception:
        return None


def complete(engine: "Engine", f: Function, first: Any, options: Dict[str, Any]) -> Any:
    """Names that could stand at a place in some code."""
    import re
    import rlcompleter

    before = first["code"][: first["pos"]]
    found = re.search(r"[\w.]*$", before)
    text = found.group() if found else ""
    completer = rlcompleter.Completer(engine.space)
    matches: List[str] = []
    while text and len(matches) < 1000:
        m = completer.complete(text, len(matches))
        if m is None:
            break
        matches.append(m)
    return {"matches": [m.rstrip("( ") for m in matches], "start": len(before) - len(text)}


_table: Dict[str, Handler] = {
    "py.apply": apply,
    "py.batch": lambda engine, f, first, options: None,  # replaced when the function is loaded
    "py.execute": execute,
    "py.push": push,
    "py.pull": pull,
    "py.clear": clear,
    "py.setup": setup,
    "py.info": info,
    "py.complete": complete,
}

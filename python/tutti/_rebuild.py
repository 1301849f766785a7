"""How functions and classes that came by value are made again.

The pickles that `tutti._pickle` writes call the functions of this module. A function is first made
empty and then filled, so that functions, classes and cells may refer to each other in circles.

Where a function finds its globals depends on where it came from:

* of `__main__`: the namespace that `loads` was given (on an engine, what `execute` and `push` write
  to), with the globals it refers to as a fallback for names that are missing there (`fill`);
* of a module that can be imported: that module;
* of a namespace made by hand: a namespace of its own, shared by what came in the same pickle.
"""

from __future__ import annotations

import builtins
import functools
import importlib
import marshal
import os
import pickle
import sys
import threading
import types
import weakref
from typing import Any, Dict, List, Mapping, Optional, Tuple

__all__: List[str] = []

Names = Dict[str, Any]


class _Here(threading.local):
    """What the `loads` that runs in this thread was given."""

    namespace: Optional[Names] = None
    shipped: Optional[Names] = None
    wanted: Optional[Names] = None


here = _Here()
shipped_to_main: Names = {}  # what was put into the real __main__ on behalf of functions
_dynamic: Dict[str, types.ModuleType] = {}


def main_namespace() -> Names:
    """The namespace that functions of `__main__` get: the one given to `loads`, else `__main__`'s own."""
    if here.namespace is not None:
        return here.namespace
    return vars(sys.modules["__main__"])


def fill(namespace: Names, shipped: Names, wanted: Mapping[str, Any]) -> None:
    """Put the globals of a shipped function into `namespace`, as a fallback.

    A name is set when it is missing or when what it holds was itself put there by `fill` (which
    `shipped` remembers). Names that the engine's user has pushed or assigned win.
    """
    for name, value in wanted.items():
        if name not in namespace or (name in shipped and namespace[name] is shipped[name]):
            namespace[name] = shipped[name] = value


# ---------------------------------------------------------------------------------------------
# Code and functions


def code(version: Tuple[int, int], name: str, data: bytes) -> types.CodeType:
    """The code object that `marshal` wrote under the same minor version of Python."""
    if version != sys.version_info[:2]:
        raise ImportError(
            "the code of %s was compiled by Python %d.%d and cannot run under %d.%d; "
            "put it into a module that both can import, or use engines of the same version"
            % ((name,) + version + sys.version_info[:2])
        )
    return marshal.loads(data)


def cell() -> types.CellType:
    """An empty cell of a closure."""
    return types.CellType()


def fill_cell(c: types.CellType, state: Tuple[Any]) -> None:
    """Put the value into the cell."""
    c.cell_contents = state[0]


def _space(where: Any) -> Names:
    if isinstance(where, str):
        return vars(importlib.import_module(where))
    space = main_namespace() if where is None else where if isinstance(where, dict) else vars(dynamic_module(where[0]))
    space.setdefault("__builtins__", builtins)
    return space


def function(c: types.CodeType, where: Any, cells: Optional[Tuple[types.CellType, ...]]) -> types.FunctionType:
    """A function without defaults or attributes; `where` says what its globals are (see `_space`)."""
    return types.FunctionType(c, _space(where), c.co_name, None, cells)


def fill_function(f: types.FunctionType, state: Tuple[Any, ...]) -> None:
    """Give the function all that belongs to it, and its globals to where it looks for them."""
    (name, qualname, module, doc, defaults, kwdefaults, annotations, attributes, where, names, imports, source) = state
    f.__name__, f.__qualname__, f.__module__, f.__doc__ = name, qualname, module, doc
    f.__defaults__, f.__kwdefaults__ = defaults, kwdefaults
    if annotations:
        f.__annotations__ = annotations
    if attributes:
        f.__dict__.update(attributes)
    if names:
        _ship(f.__globals__, where, names)
    for module in imports:
        importlib.import_module(module)
    if source is not None:
        remember_source(*source)


def _ship(space: Names, where: Any, names: Names) -> None:
    if where is not None:
        space.update(names)
        return
    fill(space, shipped_to_main if here.shipped is None else here.shipped, names)
    if here.wanted is not None:
        here.wanted.update(names)


def remember_source(filename: str, first: int, text: str) -> None:
    """Let tracebacks show these lines of `filename`, the first of which has the number `first`.

    A file that can be read here keeps its own lines.
    """
    import linecache

    lines = text.splitlines(True)
    known = linecache.cache.get(filename)
    if known is not None and len(known) == 4 and known[1] is None:
        held = known[2]  # ours, or made by a prompt: extended
    elif linecache.getlines(filename):
        return
    else:
        held = []
    end = first - 1 + len(lines)
    if len(held) < end:
        held = held + ["\n"] * (end - len(held))
    else:
        held = list(held)
    held[first - 1 : end] = lines
    linecache.cache[filename] = (sum(map(len, held)), None, held, filename)


# ---------------------------------------------------------------------------------------------
# Modules, and small things that pickle does not know


def dynamic_module(name: str) -> types.ModuleType:
    """The module of that name which came by value: one for each name, made at its first use."""
    module = _dynamic.get(name)
    if module is None:
        module = _dynamic[name] = types.ModuleType(name)
    return module


def fill_module(module: types.ModuleType, names: Names) -> None:
    """Put the names into the module."""
    vars(module).update(names)


def cached(f: types.FunctionType, parameters: Names) -> Any:
    """A function with an empty `lru_cache`."""
    return functools.lru_cache(**parameters)(f)


def cached_property(f: Any, name: Optional[str]) -> Any:
    """A `functools.cached_property` that knows its name."""
    made = functools.cached_property(f)
    made.attrname = name
    return made


def view(buffer: Any, form: str, shape: Tuple[int, ...]) -> memoryview:
    """A memoryview of the buffer with its old form."""
    made = memoryview(buffer)
    if made.format != form or made.shape != shape:
        made = made.cast("B").cast(form, shape) if len(shape) > 1 else made.cast("B").cast(form)
    return made


def attribute(module: str, name: str) -> Any:
    """The object that the module calls `name`: for sentinels, whose identity matters."""
    return getattr(importlib.import_module(module), name)


def dict_view(kind: str, keys: List[Any]) -> Any:
    """A view of a dictionary that holds just this."""
    made = dict(keys) if kind == "items" else dict.fromkeys(keys) if kind == "keys" else dict(enumerate(keys))
    return getattr(made, kind)()


def type_var(name: str, bound: Any, constraints: Tuple[Any, ...], covariant: bool, contravariant: bool) -> Any:
    """A `typing.TypeVar`."""
    import typing

    return typing.TypeVar(name, *constraints, bound=bound, covariant=covariant, contravariant=contravariant)


# ---------------------------------------------------------------------------------------------
# Classes

# A class that travels by value carries a token, given by the process in which it was born. A
# process that knows the token takes the class it has: so an instance that comes back has the
# client's own class, and a class that is sent twice is the same class on the engine.
_tokens: "weakref.WeakKeyDictionary[type, str]" = weakref.WeakKeyDictionary()
_classes: "weakref.WeakValueDictionary[str, type]" = weakref.WeakValueDictionary()
_versions: "weakref.WeakKeyDictionary[type, int]" = weakref.WeakKeyDictionary()  # of classes born elsewhere
_lock = threading.Lock()


def token_of(cls: type) -> str:
    """The token of the class; it gets one if it has none."""
    with _lock:
        token = _tokens.get(cls)
        if token is None:
            token = _tokens[cls] = os.urandom(16).hex()
            _classes[token] = cls
        return token


def is_foreign(cls: type) -> bool:
    """Whether the class came here by value."""
    return cls in _versions


def class_of(token: str) -> Optional[type]:
    """The class with that token, if this process has it."""
    return _classes.get(token)


def _adopt(token: str, cls: type) -> type:
    with _lock:
        other = _classes.get(token)
        if other is not None:
            return other
        _tokens[cls], _classes[token], _versions[cls] = token, cls, -1
    return cls


def make_class(token: str, meta: type, name: str, bases: Tuple[Any, ...], body: Names) -> type:
    """The class of that token, or a new one with nothing in it but `body` (slots and the like)."""
    known = _classes.get(token)
    if known is not None:
        return known
    try:
        made = types.new_class(name, bases, {"metaclass": meta}, lambda ns: ns.update(body))
    except TypeError:  # a metaclass that wants more than it can be given: only what `type` does
        made = type.__new__(meta, name, types.resolve_bases(bases), dict(body))
    return _adopt(token, made)


def make_enum(token: str, meta: Any, name: str, bases: Tuple[type, ...], members: Names, body: Names) -> type:
    """The enumeration of that token, or a new one with these members (name to value)."""
    known = _classes.get(token)
    if known is not None:
        return known
    names = meta.__prepare__(name, bases)
    for key, value in list(body.items()) + list(members.items()):
        names[key] = value
    return _adopt(token, meta.__new__(meta, name, bases, names))


def fill_class(cls: type, state: Tuple[int, Names, Tuple[type, ...], Names]) -> None:
    """Give a class that was born elsewhere its attributes, unless it has them of this version or a later one.

    `members` holds what the members of an enumeration remember.
    """
    version, attributes, registered, members = state
    if _versions.get(cls, version) >= version:
        return
    _versions[cls] = version
    for name, value in attributes.items():
        try:
            type.__setattr__(cls, name, value)
        except (AttributeError, TypeError):
            if not (name.startswith("__") and name.endswith("__")):
                raise
    for other in registered:
        cls.register(other)  # type: ignore[attr-defined]
    for name, held in members.items():
        cls[name].__dict__.update(held)  # type: ignore[index]


_editions: Dict[str, int] = {}  # of definitions that were opened here, by token


def class_from(token: str, edition: int, definition: bytes) -> type:
    """The class of that token; its definition (a pickle) is opened where it is new.

    Editions of one class rise; 0 is for a process that has the class from somebody else.
    """
    known = _classes.get(token)
    if known is not None and (known not in _versions or edition <= _editions.get(token, 0)):
        return known
    _editions[token] = edition
    return pickle.loads(definition)

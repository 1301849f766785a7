"""Finding what in an object cannot be pickled, and saying where it is."""

from __future__ import annotations

import types
from typing import Any, Callable, Iterator, Optional, Set, Tuple

Travels = Callable[[Any], Optional[BaseException]]


def explain(obj: Any, error: Optional[BaseException], travels: Travels) -> str:
    """One line that names the way from `obj` to the part of it that cannot travel.

    `travels(part)` is None for a part that can, else why it cannot.
    """
    steps, seen = [], {id(obj)}
    found, why = obj, error
    while True:
        step = _failing_part(found, seen, travels)
        if step is None:
            break
        where, found, why = step
        steps.append(where)
        seen.add(id(found))
    name = type(found).__qualname__
    if type(found).__module__ not in ("builtins", "__main__"):
        name = "%s.%s" % (type(found).__module__, name)
    text = ": ".join(steps + ["%s cannot travel" % name])
    own = str(why) if why is not None else ""
    if own and not own.startswith("cannot pickle") and not own.startswith("can't pickle"):
        text += " (%s)" % own
    return text


def _failing_part(obj: Any, seen: Set[int], travels: Travels) -> Optional[Tuple[str, Any, BaseException]]:
    for where, part in _parts(obj):
        if id(part) in seen:
            continue
        why = travels(part)
        if why is not None:
            return where, part, why
    return None


def _parts(obj: Any) -> Iterator[Tuple[str, Any]]:
    if isinstance(obj, types.FunctionType):
        yield from _parts_of_function(obj)
    elif isinstance(obj, types.MethodType):
        yield "the object of method %s" % obj.__name__, obj.__self__
        yield "method %s" % obj.__name__, obj.__func__
    elif isinstance(obj, (staticmethod, classmethod)):
        yield "method %s" % obj.__func__.__name__, obj.__func__
    elif isinstance(obj, property):
        for get in (obj.fget, obj.fset, obj.fdel):
            if get is not None:
                yield "property %s" % get.__name__, get
    elif isinstance(obj, type):
        if not obj.__flags__ & (1 << 9):
            return  # not a Python class: nothing in it is the user's
        for base in obj.__bases__:
            yield "base %s of class %s" % (base.__qualname__, obj.__qualname__), base
        for name, value in list(vars(obj).items()):
            if name not in ("__dict__", "__weakref__", "_abc_impl"):
                yield "in class %s: attribute %s" % (obj.__qualname__, name), value
    elif isinstance(obj, dict):
        for key, value in obj.items():
            yield "key %.80r" % (key,), value
            yield "the key %.80r" % (key,), key
    elif isinstance(obj, (list, tuple, set, frozenset)):
        for i, value in enumerate(obj):
            yield "item %d" % i, value
    else:
        yield from _parts_of_object(obj)


def _parts_of_function(f: types.FunctionType) -> Iterator[Tuple[str, Any]]:
    name = f.__qualname__
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or ()):
        try:
            yield "in the closure of %s: variable %s" % (name, variable), cell.cell_contents
        except ValueError:
            continue
    positional = f.__code__.co_varnames[: f.__code__.co_argcount]
    defaults = f.__defaults__ or ()
    for variable, value in zip(positional[len(positional) - len(defaults) :], defaults):
        yield "in the defaults of %s: argument %s" % (name, variable), value
    for variable, value in (f.__kwdefaults__ or {}).items():
        yield "in the defaults of %s: argument %s" % (name, variable), value
    from ._pickle import _referenced

    for variable, value in _referenced(f):
        yield "in the globals of %s: variable %s" % (name, variable), value
    for variable, value in f.__dict__.items():
        yield "attribute %s of %s" % (variable, name), value
    yield "the annotations of %s" % name, getattr(f, "__annotations__", {})


def _parts_of_object(obj: Any) -> Iterator[Tuple[str, Any]]:
    kind = type(obj).__qualname__
    if any(isinstance(value, types.FunctionType) for value in vars(type(obj)).values()):
        yield "an object of %s: its class" % kind, type(obj)
    held = getattr(obj, "__dict__", None)
    if isinstance(held, dict):
        for name, value in held.items():
            yield "attribute %s of %s" % (name, kind), value
    for cls in type(obj).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else tuple(slots):
            if isinstance(name, str) and hasattr(obj, name):
                yield "attribute %s of %s" % (name, kind), getattr(obj, name)
    for name in ("func", "args", "keywords"):  # functools.partial
        if hasattr(obj, name) and type(obj).__module__ == "functools":
            yield "%s of %s" % (name, kind), getattr(obj, name)

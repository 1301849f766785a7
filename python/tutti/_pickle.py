"""Values, functions and classes to bytes and back.

`dumps` writes what the standard pickle writes, at its speed, and sends by value what the other side
cannot import: functions and classes of `__main__`, lambdas, functions made inside functions. With a
function come its defaults, its closure, the globals of `__main__` it refers to (and those that these
refer to), and its source, so that tracebacks show it.

`dumps_function` is `dumps` for the function of a task. It returns the same bytes object as long as
nothing that the function refers to has changed, so that callers may recognise a function by them.

`loads` is the other way. On an engine it is given the engine's namespace, where the functions of
`__main__` will look for their globals, and the dictionary that remembers which names of it were put
there on behalf of functions.
"""

from __future__ import annotations

import dis
import enum
import functools
import io
import itertools
import linecache
import marshal
import pickle
import sys
import types
import typing
import weakref
from importlib import import_module
from pickle import PicklingError
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Set, Tuple

from . import _rebuild

__all__ = ["PicklingError", "dumps", "dumps_function", "importable_only", "loads", "reship", "wanted_by"]

#: Buffers of fewer bytes stay within the pickle.
SMALL_BUFFER = 4096

Names = Dict[str, Any]
Reduced = Any  # a tuple as `__reduce__` gives it, or NotImplemented

_MAIN = ("__main__", "__mp_main__")


class _Buffers(List[pickle.PickleBuffer]):
    """The callback of the pickler: keeps large buffers, and leaves small ones in the pickle."""

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        try:
            if buffer.raw().nbytes < SMALL_BUFFER:
                return True
        except BufferError:  # not contiguous: the pickle copies it
            return True
        self.append(buffer)
        return False


def dumps(
    obj: Any,
    buffer_callback: Optional[Callable[[pickle.PickleBuffer], Any]] = None,
    persistent_id: Optional[Callable[[Any], Any]] = None,
) -> bytes:
    """The pickle (protocol 5) of `obj`.

    `buffer_callback` is called, once for each and in their order, with the buffers of 4 KiB and more
    that are not in the pickle; without it all are. It is called only when pickling has succeeded.
    `persistent_id` is as in `pickle.Pickler`: it is asked for every object, so give it only where needed.

    Raises PicklingError, with the way to it, if something in `obj` cannot travel.
    """
    if persistent_id is None:
        buffers = None if buffer_callback is None else _Buffers()
        try:
            data = pickle.dumps(obj, 5, buffer_callback=buffers)
        except Exception:  # by the long way, which knows more, or says why not
            pass
        else:
            # A name of __main__ means another thing there. The string may of course be the user's:
            # then the long way gives the same pickle.
            if b"_main__" not in data and not _refers_to_dynamic(data):
                if buffers:
                    for buffer in buffers:
                        buffer_callback(buffer)  # type: ignore[misc]
                return data
    return _dumps_by_value(obj, buffer_callback, persistent_id)[0]


def _dumps_by_value(
    obj: Any,
    buffer_callback: Optional[Callable[[pickle.PickleBuffer], Any]] = None,
    persistent_id: Optional[Callable[[Any], Any]] = None,
    inline: bool = False,
) -> Tuple[bytes, "_Pickler"]:
    last: Optional[BaseException] = None
    for foreign in (False, True):
        file, buffers = io.BytesIO(), None if buffer_callback is None else _Buffers()
        pickler = (_Pickler if persistent_id is None else _PersistentPickler)(file, 5, buffer_callback=buffers)
        pickler.prepare(foreign, inline, persistent_id)
        try:
            pickler.dump(obj)
        except RecursionError as error:
            raise PicklingError("%s is nested too deeply to be sent" % _describe(obj)) from error
        except (TypeError, AttributeError, ValueError, pickle.PickleError) as error:
            last = error
            continue  # cloudpickle may know it
        if buffers:
            for buffer in buffers:
                buffer_callback(buffer)  # type: ignore[misc]
        return file.getvalue(), pickler
    from ._culprit import explain

    raise PicklingError(explain(obj, last, _travels)) from last


def _travels(obj: Any) -> Optional[BaseException]:
    """Why the object cannot be pickled, or None."""
    for foreign in (False, True):
        pickler = _Pickler(io.BytesIO(), 5)
        pickler.prepare(foreign, True, None)
        try:
            pickler.dump(obj)
            return None
        except Exception as error:
            last = error
    return last


def importable_only(obj: Any) -> bool:
    """Whether `obj` may go to a Python of another minor version: no code travels with it by value."""
    return not _dumps_by_value(obj)[1].carries_code


def loads(
    data: Any,
    buffers: Iterable[Any] = (),
    namespace: Optional[Names] = None,
    shipped: Optional[Names] = None,
    persistent_load: Optional[Callable[[Any], Any]] = None,
    wanted: Optional[Names] = None,
) -> Any:
    """The object that `dumps` wrote, with the buffers that were kept apart.

    `namespace` is where functions of `__main__` find their globals; by default the real `__main__`.
    `shipped` remembers which of its names were put there on behalf of functions (an empty dictionary to
    begin with, the same one ever after). What is wanted there is added to `wanted`; of a function that
    came alone it is remembered too, for `reship`.
    """
    here = _rebuild.here
    before = here.namespace, here.shipped, here.wanted
    if shipped is not None and namespace is vars(sys.modules["__main__"]):
        _rebuild.shipped_to_main = shipped  # there is one __main__, whoever loads
    if wanted is None and namespace is not None:
        wanted = {}
    here.namespace, here.shipped, here.wanted = namespace, shipped, wanted
    try:
        if persistent_load is None:
            obj = pickle.loads(data, buffers=buffers)
        else:
            unpickler = _Unpickler(io.BytesIO(data), buffers=buffers)
            unpickler.resolve = persistent_load
            obj = unpickler.load()
        if wanted:
            try:
                _wanted[obj] = dict(wanted)
            except TypeError:  # not a function, or one that cannot be a key: args
                pass
        return obj
    finally:
        here.namespace, here.shipped, here.wanted = before


class _Unpickler(pickle.Unpickler):
    resolve: Callable[[Any], Any]

    def persistent_load(self, pid: Any) -> Any:
        return self.resolve(pid)


_wanted: "weakref.WeakKeyDictionary[Any, Names]" = weakref.WeakKeyDictionary()


def wanted_by(f: Any) -> Optional[Names]:
    """The globals that came with the function when `loads` made it, or None."""
    try:
        return _wanted.get(f)
    except TypeError:
        return None


def reship(wanted: Optional[Names], namespace: Names, shipped: Names) -> None:
    """Put a function's globals there again, before a call, if another function's were put since.

    The driver remembers for which function it did so last; this is `wanted_by` of the present one.
    """
    if wanted:
        _rebuild.fill(namespace, shipped, wanted)


# ---------------------------------------------------------------------------------------------
# What goes by name


_scanned = -1
_dynamic_names: Tuple[bytes, ...] = ()


def _refers_to_dynamic(data: bytes) -> bool:
    """Whether the pickle may name a module that exists in this process only."""
    global _scanned, _dynamic_names
    if len(sys.modules) != _scanned:
        _scanned = len(sys.modules)
        _dynamic_names = tuple(
            name.encode() for name in list(sys.modules) if name not in _MAIN and not _module_is_importable(name)
        )
    for name in _dynamic_names:
        if name in data:
            return True
    return False


def _module_is_importable(name: str) -> bool:
    module = sys.modules.get(name)
    if module is None:
        return False
    if name in _MAIN:
        return False
    if type(module) is not types.ModuleType or getattr(module, "__spec__", None) is not None:
        return True
    if getattr(module, "__file__", None) is not None or getattr(module, "__loader__", None) is not None:
        return True
    head = name.rpartition(".")[0]
    return bool(head) and _module_is_importable(head)


def _found_by_name(obj: Any, module: Optional[str], qualname: Optional[str]) -> bool:
    if not module or not qualname or not _module_is_importable(module):
        return False
    found: Any = sys.modules[module]
    for part in qualname.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return found is obj


def _module_of(obj: Any) -> Optional[str]:
    module = getattr(obj, "__module__", None)
    if module is not None:
        return module
    name = getattr(obj, "__qualname__", None)
    for key, candidate in list(sys.modules.items()):  # as pickle does
        if key not in _MAIN and candidate is not None and getattr(candidate, str(name), None) is obj:
            return key
    return None


# ---------------------------------------------------------------------------------------------
# What code refers to

_GLOBAL_OPS = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS"))


class _CodeFacts:
    """What is known of a code object: the globals it refers to, all its names, and its source."""

    __slots__ = ("globals", "names", "last")

    def __init__(self, code: types.CodeType) -> None:
        found: Dict[str, None] = {}
        names: Set[str] = set()
        last = code.co_firstlineno
        todo = [code]
        while todo:
            c = todo.pop()
            names.update(c.co_names)
            for instruction in dis.get_instructions(c):
                if instruction.opname in _GLOBAL_OPS:
                    found[instruction.argval] = None
            for _, line in dis.findlinestarts(c):
                if line is not None and line > last:
                    last = line
            todo.extend(const for const in c.co_consts if isinstance(const, types.CodeType))
        self.globals, self.names, self.last = tuple(found), frozenset(names), last


@functools.lru_cache(maxsize=4096)
def _facts(code: types.CodeType) -> _CodeFacts:
    return _CodeFacts(code)


# Names that every __main__ has for itself.
_OWN_NAMES = frozenset(("__builtins__", "__name__", "__doc__", "__spec__", "__loader__", "__package__", "__annotations__"))


def _referenced(f: types.FunctionType) -> Iterator[Tuple[str, Any]]:
    """The globals that the function and the functions within it refer to."""
    space = f.__globals__
    for name in _facts(f.__code__).globals:
        if name in space and name not in _OWN_NAMES:
            yield name, space[name]


def _submodules(f: types.FunctionType, values: Iterable[Any]) -> Tuple[str, ...]:
    """Modules such as `a.b` that the function reaches through a package `a`, which does not import them itself."""
    names = _facts(f.__code__).names
    found = []
    for value in values:
        if isinstance(value, types.ModuleType) and hasattr(value, "__path__"):
            head = value.__name__ + "."
            for name in list(sys.modules):
                if name.startswith(head) and names.issuperset(name[len(head) :].split(".")):
                    found.append(name)
    return tuple(found)


def _source(f: types.FunctionType) -> Optional[Tuple[str, int, str]]:
    code = f.__code__
    lines = linecache.getlines(code.co_filename, f.__globals__)
    part = lines[code.co_firstlineno - 1 : _facts(code).last]
    return (code.co_filename, code.co_firstlineno, "".join(part)) if part else None


# ---------------------------------------------------------------------------------------------
# The pickler

# Values whose identity says that they are unchanged.
_STEADY = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    property,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
)


class _Pickler(pickle.Pickler):
    """The C pickler; `reducer_override` is asked for all but numbers, strings and plain containers."""

    foreign = False  # ask cloudpickle about what we do not know
    inline = False  # write classes where they stand, not as a definition apart
    carries_code = False  # what was written cannot go to another version of Python
    steady = True  # nothing that was met can change without becoming another object

    def prepare(self, foreign: bool, inline: bool, persistent: Optional[Callable[[Any], Any]]) -> None:
        self.foreign, self.inline, self.persistent = foreign, inline, persistent
        self.private: Dict[int, Tuple[Names, Names]] = {}
        self.functions: List[Tuple[Any, ...]] = []  # (function, code, defaults, kwdefaults)
        self.cells: List[Tuple[Any, Any]] = []
        self.names: List[Tuple[Mapping[str, Any], str, Any]] = []

    def reducer_override(self, obj: Any) -> Reduced:
        kind = type(obj)
        reduce = _REDUCERS.get(kind)
        if reduce is not None:
            return reduce(self, obj)
        if issubclass(kind, type):
            return self.reduce_class(obj)
        if kind.__module__ == "dataclasses":
            for name, value in vars(sys.modules["dataclasses"]).items():
                if value is obj:  # MISSING and its like are compared by identity
                    return _rebuild.attribute, ("dataclasses", name)
        self.steady = False
        if self.foreign:
            reduce = _foreign_reducers().get(kind)
            if reduce is not None:
                return reduce(obj)
        return NotImplemented

    def watch(self, value: Any) -> Any:
        """Note a value that a function refers to: if it can change, the pickle is good for one use."""
        if not isinstance(value, _STEADY) and not (type(value) is tuple and all(isinstance(v, _STEADY) for v in value)):
            self.steady = False
        return value

    # Functions.

    def reduce_function(self, f: types.FunctionType) -> Reduced:
        if _found_by_name(f, _module_of(f), f.__qualname__):
            return NotImplemented
        self.carries_code = True
        where = self.where(f)
        names: Names = {}
        if where is None or not isinstance(where, str):
            names = {name: self.watch(value) for name, value in _referenced(f)}
            self.names.extend((f.__globals__, name, value) for name, value in names.items())
        imports = _submodules(f, [f.__globals__[n] for n in _facts(f.__code__).globals if n in f.__globals__])
        self.functions.append((f, f.__code__, f.__defaults__, f.__kwdefaults__))
        for value in f.__defaults__ or ():
            self.watch(value)
        for value in (f.__kwdefaults__ or {}).values():
            self.watch(value)
        for name, value in f.__dict__.items():
            self.names.append((f.__dict__, name, self.watch(value)))
        state = (
            f.__name__,
            f.__qualname__,
            f.__module__ if f.__module__ not in _MAIN else "__main__",
            f.__doc__,
            f.__defaults__,
            f.__kwdefaults__,
            _annotations(f),
            dict(f.__dict__) if f.__dict__ else None,
            where,
            names,
            imports,
            _source(f),
        )
        return _rebuild.function, (f.__code__, where, f.__closure__), state, None, None, _rebuild.fill_function

    def where(self, f: types.FunctionType) -> Any:
        """What `_rebuild.function` needs to find the globals: see there."""
        module = f.__module__
        if module in _MAIN or f.__globals__ is vars(sys.modules["__main__"]):
            return None
        real = sys.modules.get(module) if isinstance(module, str) else None
        if real is not None and vars(real) is f.__globals__:
            return module if _module_is_importable(module) else (module,)
        named = f.__globals__.get("__name__")
        real = sys.modules.get(named) if isinstance(named, str) else None
        if real is not None and vars(real) is f.__globals__:  # __module__ was changed, as functools.wraps does
            return None if named in _MAIN else named if _module_is_importable(named) else (named,)
        held = self.private.get(id(f.__globals__))
        if held is None:
            held = self.private[id(f.__globals__)] = (f.__globals__, {"__name__": named or module})
        return held[1]

    def reduce_code(self, code: types.CodeType) -> Reduced:
        self.carries_code = True
        name = getattr(code, "co_qualname", code.co_name)
        return _rebuild.code, (sys.version_info[:2], name, marshal.dumps(code))

    def reduce_cell(self, cell: types.CellType) -> Reduced:
        try:
            value = cell.cell_contents
        except ValueError:
            return _rebuild.cell, ()
        self.cells.append((cell, self.watch(value)))
        return _rebuild.cell, (), (value,), None, None, _rebuild.fill_cell

    # Classes.

    def reduce_class(self, cls: type) -> Reduced:
        if cls in _SINGLETON_TYPES or _found_by_name(cls, _module_of(cls), cls.__qualname__):
            return NotImplemented
        if not cls.__flags__ & _HEAPTYPE:
            name = _NAMED_IN_TYPES.get(cls)  # such as "function", which builtins does not name
            return NotImplemented if name is None else (_rebuild.attribute, ("types", name))
        self.carries_code = True
        if not self.inline:
            definition = _definition(cls)
            if definition is not None:
                return _rebuild.class_from, definition
        if type(cls) is type(enum.Enum) or issubclass(cls, enum.Enum):
            return self.reduce_enum(cls)
        attributes, body = _class_parts(cls)
        self.watch_class(cls)
        args = (_rebuild.token_of(cls), type(cls), cls.__name__, _bases(cls), body)
        state = (_version(cls), attributes, _registered(cls), {})
        return _rebuild.make_class, args, state, None, None, _rebuild.fill_class

    def watch_class(self, cls: type) -> None:
        """Note the attributes of a class. Those with two underscores are Python's and change only as a whole."""
        for name, value in vars(cls).items():
            if not (name.startswith("__") and name.endswith("__")) and type(value).__module__ not in ("_abc", "functools"):
                self.watch(value.__func__ if isinstance(value, (staticmethod, classmethod)) else value)
            self.names.append((vars(cls), name, value))

    def reduce_enum(self, cls: Any) -> Reduced:
        members = {name: member.value for name, member in cls.__members__.items()}
        attributes, body = _class_parts(cls)
        for name in list(attributes):
            value = attributes[name]
            if name in members or name in _ENUM_OWN or getattr(value, "__module__", None) == "enum":
                del attributes[name]
            elif name.startswith("_") and name.endswith("_") and not isinstance(value, _ENUM_KEPT):
                del attributes[name]
        own = {name: _member_state(member) for name, member in cls.__members__.items()}
        args = (_rebuild.token_of(cls), type(cls), cls.__name__, cls.__bases__, members, body)
        state = (_version(cls), attributes, (), {name: held for name, held in own.items() if held})
        for name, value in members.items():
            self.names.append((cls.__members__, name, cls.__members__[name]))
            self.watch(value)
        return _rebuild.make_enum, args, state, None, None, _rebuild.fill_class

    # The rest.

    def reduce_module(self, module: types.ModuleType) -> Reduced:
        name = module.__name__
        if name in _MAIN:
            return import_module, ("__main__",)
        if sys.modules.get(name) is not module or _module_is_importable(name):
            return import_module, (name,)
        names = {k: v for k, v in vars(module).items() if k not in _OWN_NAMES}
        self.steady = False
        return _rebuild.dynamic_module, (name,), names, None, None, _rebuild.fill_module

    def reduce_property(self, p: property) -> Reduced:
        return property, (p.fget, p.fset, p.fdel, p.__doc__)

    def reduce_method_of_class(self, m: Any) -> Reduced:
        return type(m), (m.__func__,)

    def reduce_cached_property(self, p: Any) -> Reduced:
        return _rebuild.cached_property, (p.func, p.attrname)

    def reduce_lru(self, f: Any) -> Reduced:
        if _found_by_name(f, _module_of(f), f.__qualname__):
            return NotImplemented
        return _rebuild.cached, (f.__wrapped__, f.cache_parameters())

    def reduce_view(self, v: memoryview) -> Reduced:
        return _rebuild.view, (pickle.PickleBuffer(v) if v.contiguous else v.tobytes(), v.format, v.shape)

    def reduce_proxy(self, p: Any) -> Reduced:
        return types.MappingProxyType, (dict(p),)

    def reduce_descriptor(self, d: Any) -> Reduced:
        return getattr, (d.__objclass__, d.__name__)

    def reduce_keys(self, v: Any) -> Reduced:
        return _rebuild.dict_view, ("keys", list(v))

    def reduce_values(self, v: Any) -> Reduced:
        return _rebuild.dict_view, ("values", list(v))

    def reduce_items(self, v: Any) -> Reduced:
        return _rebuild.dict_view, ("items", list(v))

    def reduce_type_var(self, t: Any) -> Reduced:
        if _found_by_name(t, _module_of(t), t.__name__):
            return NotImplemented
        args = (t.__name__, t.__bound__, t.__constraints__, t.__covariant__, t.__contravariant__)
        return _rebuild.type_var, args

    def reduce_builtin(self, f: Any) -> Reduced:
        return NotImplemented  # by name, or bound to an object that is asked itself


class _PersistentPickler(_Pickler):
    """The same for those who have persistent ids."""

    def persistent_id(self, obj: Any) -> Any:
        return None if self.persistent is None else self.persistent(obj)


_HEAPTYPE = 1 << 9
_NAMED_IN_TYPES = {value: name for name, value in vars(types).items() if isinstance(value, type)}
_SINGLETON_TYPES = (type(None), type(NotImplemented), type(Ellipsis))

_REDUCERS: Dict[type, Callable[[Any, Any], Reduced]] = {
    types.FunctionType: _Pickler.reduce_function,
    types.CodeType: _Pickler.reduce_code,
    types.CellType: _Pickler.reduce_cell,
    types.ModuleType: _Pickler.reduce_module,
    types.BuiltinFunctionType: _Pickler.reduce_builtin,
    type: _Pickler.reduce_class,
    property: _Pickler.reduce_property,
    staticmethod: _Pickler.reduce_method_of_class,
    classmethod: _Pickler.reduce_method_of_class,
    functools.cached_property: _Pickler.reduce_cached_property,
    type(functools.lru_cache()(lambda: None)): _Pickler.reduce_lru,
    memoryview: _Pickler.reduce_view,
    types.MappingProxyType: _Pickler.reduce_proxy,
    types.MemberDescriptorType: _Pickler.reduce_descriptor,
    types.GetSetDescriptorType: _Pickler.reduce_descriptor,
    type({}.keys()): _Pickler.reduce_keys,
    type({}.values()): _Pickler.reduce_values,
    type({}.items()): _Pickler.reduce_items,
    typing.TypeVar: _Pickler.reduce_type_var,
}


@functools.lru_cache(maxsize=None)
def _foreign_reducers() -> Mapping[type, Callable[[Any], Any]]:
    """What cloudpickle knows and pickle does not, where cloudpickle is installed."""
    try:
        from cloudpickle import CloudPickler
    except ImportError:
        return {}
    table = dict(getattr(CloudPickler, "_dispatch_table", {}))
    table.pop(io.TextIOWrapper, None)  # it would read the file, and send a file that is none
    return table


# ---------------------------------------------------------------------------------------------
# The parts of a function and of a class


def _annotations(f: Any) -> Names:
    try:
        return dict(f.__annotations__)
    except Exception:  # evaluated late in Python 3.14, and may name what is not there
        return {}


_CLASS_OWN = frozenset(
    ("__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__slots__", "_abc_impl", "__orig_bases__")
    + ("__annotations_cache__", "__annotate_func__", "__annotate__", "__subclasshook__abc__")
)


def _class_parts(cls: type) -> Tuple[Names, Names]:
    """What is set on the class later, and what it must have when it is made."""
    own = vars(cls)
    body = {"__module__": "__main__" if cls.__module__ in _MAIN else cls.__module__, "__qualname__": cls.__qualname__}
    body.update((name, own[name]) for name in ("__doc__", "__slots__") if name in own)
    if "__slots__" in own and not isinstance(own["__slots__"], (str, tuple, list)):
        body["__slots__"] = list(own["__slots__"])
    attributes = {
        name: value
        for name, value in own.items()
        if name not in _CLASS_OWN
        and not (isinstance(value, types.MemberDescriptorType) and value.__objclass__ is cls)
    }
    if "__annotate_func__" in own or "__annotations_cache__" in own:
        attributes["__annotations__"] = _annotations(cls)
    return attributes, body


def _bases(cls: type) -> Tuple[Any, ...]:
    original = vars(cls).get("__orig_bases__")
    return original if original is not None and typing.Generic in cls.__mro__ else cls.__bases__


def _registered(cls: type) -> Tuple[type, ...]:
    """The virtual subclasses of an abstract base class."""
    if "_abc_impl" not in vars(cls):
        return ()
    import _abc

    registry = _abc._get_dump(cls)[0]
    return tuple(other for other in (reference() for reference in registry) if other is not None)


_ENUM_OWN = frozenset(
    ("_generate_next_value_", "_member_names_", "_member_map_", "_member_type_", "_value2member_map_", "_new_member_")
    + ("_unhashable_values_", "_unhashable_values_map_", "_hashable_values_", "_use_args_", "_value_repr_", "_sort_order_")
    + ("__new__", "__new_member__", "_flag_mask_", "_singles_mask_", "_all_bits_", "_inverted_", "__reduce_ex__")
)
_ENUM_KEPT = (types.FunctionType, classmethod, staticmethod, property, enum.Enum)


def _member_state(member: Any) -> Names:
    own = ("_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_")
    return {name: value for name, value in vars(member).items() if name not in own}


# The attributes of a class when its version was counted: (version, {name: value}).
_counted: "weakref.WeakKeyDictionary[type, Tuple[int, Names]]" = weakref.WeakKeyDictionary()


def _version(cls: type) -> int:
    """How often the class has been seen with other attributes than before."""
    now = {name: id(value) for name, value in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    held = _counted.get(cls)
    if held is None:
        _counted[cls] = held = (0, now)
    elif held[1] != now:
        _counted[cls] = held = (held[0] + 1, now)
    return held[0]


def _describe(obj: Any) -> str:
    name = getattr(obj, "__qualname__", None)
    return name if isinstance(name, str) else "an object of type " + type(obj).__qualname__


# ---------------------------------------------------------------------------------------------
# What is written once and sent often


class _Sent:
    """The bytes of a function or class, and all that must be as it was for them to be good."""

    __slots__ = ("object", "data", "functions", "cells", "names", "definition")

    def __init__(self, obj: Any, data: bytes, pickler: _Pickler) -> None:
        self.object, self.data = obj, data
        self.functions, self.cells, self.names = pickler.functions, pickler.cells, pickler.names
        self.definition: Optional[Tuple[str, int, bytes]] = None

    def is_good(self) -> bool:
        for f, code, defaults, kwdefaults in self.functions:
            if f.__code__ is not code or f.__defaults__ is not defaults or f.__kwdefaults__ is not kwdefaults:
                return False
        for cell, value in self.cells:
            try:
                if cell.cell_contents is not value:
                    return False
            except ValueError:
                return False
        for names, name, value in self.names:
            if names.get(name, self) is not value:
                return False
        return True


_sent: Dict[int, _Sent] = {}  # by the id of the function, oldest first
_defined: Dict[int, _Sent] = {}  # the same of classes
_SENT_KEPT = 256


def _keep(kept: Dict[int, _Sent], sent: _Sent) -> None:
    kept.pop(id(sent.object), None)
    while len(kept) >= _SENT_KEPT:
        kept.pop(next(iter(kept)), None)
    kept[id(sent.object)] = sent


def dumps_function(f: Callable[..., Any]) -> bytes:
    """The pickle of a function (or of anything that can be called), to be sent as the code of a work.

    As long as the function and all it refers to are the same objects, and none of them is one that may
    have changed inside, the same bytes object is returned, within a microsecond.
    """
    sent = _sent.get(id(f))
    if sent is not None and sent.object is f and sent.is_good():
        return sent.data
    data, pickler = _dumps_by_value(f, inline=True)
    if pickler.steady:
        _keep(_sent, _Sent(f, data, pickler))
    return data


_serials = itertools.count(1)


def _definition(cls: type) -> Optional[Tuple[str, int, bytes]]:
    """What `_rebuild.class_from` takes for this class; None where it must be written with what surrounds it.

    Receivers that have the class in this edition do not open the definition: so an instance costs little
    more than one of an importable class.
    """
    sent = _defined.get(id(cls))
    if sent is not None and sent.object is cls and (_rebuild.is_foreign(cls) or sent.is_good()):
        return sent.definition
    data, pickler = _dumps_by_value(cls, inline=True)
    sent = _Sent(cls, data, pickler)
    if _rebuild.is_foreign(cls):  # where it is known, it is known better than here
        sent.definition = (_rebuild.token_of(cls), 0, data)
    elif pickler.steady and all(value is cls for _, value in pickler.cells):
        sent.definition = (_rebuild.token_of(cls), next(_serials), data)
    _keep(_defined, sent)
    return sent.definition

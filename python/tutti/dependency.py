"""What a task may say of where it runs: requirements of functions, and dependencies between tasks.

`Reference` names an object of the engine in the arguments of a call. `require` and `depend` make functions
that check the engine they are called on: where it does not fit, they raise UnmetDependency, and the balanced
view tries another. `Dependency` is a set of tasks to wait for, or to run near to.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any, Callable, Dict, Iterable, List, Optional, Set, Union

from .errors import UnmetDependency

__all__ = ["Dependency", "Reference", "depend", "dependent", "interactive", "require"]


class Reference:
    """An expression that is evaluated on the engine, in its namespace, when the call is made.

        view.apply(numpy.linalg.norm, Reference("a"))      # the engine's own `a`

    In arguments and keyword arguments, also inside lists, tuples and dictionaries of them. A name that is
    not there raises NameError on the engine. As the function itself: `view.apply(Reference("f"), 3)`.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError("a Reference is made of a string, not of %r" % (name,))
        self.name = name

    def __repr__(self) -> str:
        return "<Reference: %r>" % self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and other.name == self.name

    def __hash__(self) -> int:
        return hash((Reference, self.name))

    def __reduce__(self) -> Any:
        # The engine's `loads` evaluates it: so it may stand anywhere in what is sent.
        return _resolve, (self.name,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call what the engine has by that name; here this is an error."""
        raise TypeError("%r means something on an engine only: send it in a call" % self)


def _resolve(name: str) -> Any:
    """What `name` is in the namespace that things are being loaded into; a Reference, where that is not an engine."""
    from ._rebuild import here, main_namespace

    if here.namespace is None and "tutti._engine.driver" not in sys.modules:
        return Reference(name)
    return eval(name, main_namespace())  # noqa: S307  (an expression of the user's own)


class Dependency(Set[str]):
    """A set of tasks, with what is awaited of them.

    `dependencies` are ids, results (AsyncResult), or collections of these. `all`: every one must have ended, else
    any one is enough. `success`, `failure`: which way of ending counts. A balanced view takes it as `after` or `follow`.
    """

    def __init__(
        self,
        dependencies: Union[str, Any, Iterable[Any]] = (),
        all: bool = True,
        success: bool = True,
        failure: bool = False,
    ) -> None:
        if not (success or failure):
            raise ValueError("a Dependency that neither success nor failure can meet would wait for ever")
        super().__init__(_ids(dependencies))
        self.all, self.success, self.failure = bool(all), bool(success), bool(failure)

    def check(self, completed: Iterable[str], failed: Optional[Iterable[str]] = None) -> bool:
        """Whether it is met when these tasks have succeeded and those have failed."""
        if not self:
            return True
        met: Set[str] = set()
        if self.success:
            met |= set(completed)
        if self.failure:
            met |= set(failed or ())
        return self <= met if self.all else not self.isdisjoint(met)

    def unreachable(self, completed: Iterable[str], failed: Optional[Iterable[str]] = None) -> bool:
        """Whether it can never be met when these have succeeded and those have failed."""
        if not self:
            return False
        wrong: Set[str] = set()
        if not self.success:
            wrong |= set(completed)
        if not self.failure:
            wrong |= set(failed or ())
        return not self.isdisjoint(wrong) if self.all else self <= wrong

    def as_dict(self) -> Dict[str, Any]:
        """As plain data."""
        return {"dependencies": sorted(self), "all": self.all, "success": self.success, "failure": self.failure}

    def __reduce__(self) -> Any:
        return Dependency, (sorted(self), self.all, self.success, self.failure)


def _ids(what: Any) -> List[str]:
    if what is None:
        return []
    if isinstance(what, str):
        return [what]
    ids = getattr(what, "msg_ids", None)
    if ids is not None:
        return list(ids)
    try:
        items = iter(what)
    except TypeError:
        raise TypeError("a Dependency is made of task ids and AsyncResults, not of %r" % (what,)) from None
    return [i for item in items for i in _ids(item)]


class dependent:
    """A function that is called only where a condition holds.

    `condition(*args, **kwargs)` is asked on the engine; if it answers False, UnmetDependency is raised there,
    and if it raises, that too means no. See `depend`.
    """

    def __init__(self, func: Callable[..., Any], condition: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.func, self.condition, self.args, self.kwargs = func, condition, args, kwargs
        functools.update_wrapper(self, func, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.condition(*self.args, **self.kwargs) is False:
            raise UnmetDependency("the condition of %s does not hold on this engine" % _name(self.func))
        return self.func(*args, **kwargs)

    def __reduce__(self) -> Any:
        return _dependent, (self.func, self.condition, self.args, self.kwargs)


def _dependent(func: Any, condition: Any, args: Any, kwargs: Any) -> dependent:
    return dependent(func, condition, *args, **kwargs)


def _name(f: Any) -> str:
    return getattr(f, "__qualname__", None) or repr(f)


def depend(condition: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], dependent]:
    """Make a function run only on engines where `condition(*args, **kwargs)` holds.

        @depend(lambda: platform.system() == "Linux")
        def f(x): ...
    """

    def decorate(f: Callable[..., Any]) -> dependent:
        return dependent(f, condition, *args, **kwargs)

    return decorate


def require(*objects: Any, **mapping: Any) -> Callable[[Callable[..., Any]], dependent]:
    """Make a function run only where modules can be imported, and have names where it runs.

        @require("numpy", "scipy.linalg as la", helper, limit=3)
        def f(a): return helper(la.norm(a)) < limit

    Strings name modules: imported into the engine's namespace (`import x`, `import x as y`, or a
    module object). Functions and classes are put there by their names, keywords by theirs.
    """
    modules: List[str] = []
    names: Dict[str, Any] = dict(mapping)
    for o in objects:
        if isinstance(o, types.ModuleType):
            modules.append(o.__name__)
        elif isinstance(o, str):
            modules.append(o)
        elif hasattr(o, "__name__"):
            names[o.__name__] = o
        else:
            raise TypeError("require takes modules, their names, functions and classes, not %r" % (o,))

    def decorate(f: Callable[..., Any]) -> dependent:
        return dependent(f, _have, modules, names)

    return decorate


def _have(modules: List[str], names: Dict[str, Any]) -> bool:
    """Import the modules into `__main__` and set the names; UnmetDependency where a module is missing."""
    import importlib

    space = vars(sys.modules["__main__"])
    for text in modules:
        name, _, alias = (part.strip() for part in text.partition(" as "))
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise UnmetDependency("module %s: %s" % (name, error)) from error
        if alias:
            space[alias] = module
        else:
            top = name.partition(".")[0]
            space[top] = sys.modules[top]
    space.update(names)
    return True


def interactive(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function as if it had been typed at the prompt: its globals are those of the engine.

    For functions of a module that are to see what was pushed to the engines.
    """
    if not isinstance(f, types.FunctionType):
        raise TypeError("interactive takes a function, not %r" % (f,))
    space = vars(sys.modules["__main__"])
    made = types.FunctionType(f.__code__, space, f.__name__, f.__defaults__, f.__closure__)
    functools.update_wrapper(made, f)
    made.__kwdefaults__ = f.__kwdefaults__
    made.__module__ = "__main__"
    del made.__wrapped__  # type: ignore[attr-defined]
    return made

"""What can go wrong, and how a failure on an engine is shown here.

`RemoteError` is the error of one task: the name and text of the exception that the engine raised, and its
traceback as rendered there, with source lines. `CompositeError` joins those of several engines. Both
show the remote tracebacks where they are printed, in IPython and at Python's own prompt.

What did not come from the user's code has a class of its own: `EngineError` (an engine died),
`TaskAborted` (somebody cancelled it), `TaskTimeout` (its time limit passed), `ImpossibleDependency`.
"""

from __future__ import annotations

import builtins
import pickle
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

__all__ = [
    "AlreadyDisplayedError",
    "CompositeError",
    "DependencyTimeout",
    "EngineError",
    "IPythonError",
    "ImpossibleDependency",
    "InvalidDependency",
    "KernelError",
    "NoEnginesRegistered",
    "RemoteError",
    "RemoteTraceback",
    "TaskAborted",
    "TaskRejectError",
    "TaskTimeout",
    "TimeoutError",
    "UnmetDependency",
    "collect_exceptions",
    "failure_to_error",
    "original_exception",
]

TimeoutError = builtins.TimeoutError


class IPythonError(Exception):
    """The base of all errors of this package. The name is the one IPython Parallel gave it."""

    hint: str = ""  # what a person can do about it, if anything


class KernelError(IPythonError):
    """An error of the machinery, or one that came through it."""


class EngineError(KernelError):
    """An engine died, or could not be started or reached."""


class NoEnginesRegistered(KernelError):
    """There is no engine to do it on."""

    def __str__(self) -> str:
        return super().__str__() or "no engines are there yet; wait for them with client.wait_for_engines(n)"


class TaskAborted(KernelError):
    """The task was cancelled."""


class TaskTimeout(KernelError):
    """The time that the task was given has passed."""


class TaskRejectError(KernelError):
    """Raised by a task on an engine that is not fit for it: the task is to be tried on another."""


class UnmetDependency(KernelError):
    """The engine lacks what the task requires."""


class ImpossibleDependency(UnmetDependency):
    """What the task waits for can no longer happen: a task it needs has failed."""


class DependencyTimeout(ImpossibleDependency):
    """What the task waits for did not happen in time."""


class InvalidDependency(ImpossibleDependency):
    """The task waits for a task that nobody knows."""


class RemoteTraceback(Exception):
    """Stands as the cause of an error, so that Python prints the traceback of the engine above it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return '\n"""\n%s\n"""' % self.text.rstrip("\n")


def _engine_text(info: Optional[Mapping[str, Any]]) -> str:
    """`[engine:method]`, as errors are prefixed."""
    if not info or info.get("engine_id") is None:
        return "[engine]"
    return "[%s:%s]" % (info["engine_id"], info.get("method", "apply"))


class RemoteError(KernelError):
    """An exception that was raised on an engine.

    `ename` and `evalue` are the name of its class and its text, `traceback` is the rendered traceback, `engine_info`
    has the keys engine_id, engine_uuid and method ("apply" or "execute").
    """

    def __init__(
        self,
        ename: str,
        evalue: str,
        traceback: Union[str, Sequence[str], None],
        engine_info: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(ename, evalue)
        self.ename, self.evalue = ename, evalue
        self.traceback = traceback if traceback is None or isinstance(traceback, str) else "\n".join(traceback)
        self.engine_info = dict(engine_info or {})
        if self.traceback:
            self.__cause__ = RemoteTraceback(self.traceback)

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.ename, self.evalue, self.traceback, self.engine_info)

    def __repr__(self) -> str:
        return "<Remote%s: %s(%s)>" % (_engine_text(self.engine_info), self.ename, self.evalue)

    def __str__(self) -> str:
        return "%s %s: %s" % (_engine_text(self.engine_info), self.ename, self.evalue)

    def render_traceback(self) -> List[str]:
        """The lines of the remote traceback, under a line that names the engine."""
        text = self.traceback or "%s: %s\n(no traceback is available)" % (self.ename, self.evalue)
        return [_engine_text(self.engine_info) + " "] + text.splitlines()

    def _render_traceback_(self) -> List[str]:
        """IPython shows this in place of the local traceback."""
        return self.render_traceback()

    def print_traceback(self, excid: Optional[int] = None) -> None:
        """Print the remote traceback. `excid` is for likeness with CompositeError."""
        print("\n".join(self.render_traceback()))


Element = Tuple[str, str, Optional[str], Optional[Dict[str, Any]]]


class CompositeError(RemoteError):
    """The exceptions of several engines or tasks.

    `elist` holds (ename, evalue, traceback, engine_info) of each. At most `tb_limit` of them are rendered
    where all are asked for.
    """

    tb_limit = 4

    def __init__(self, message: str, elist: Sequence[Element]) -> None:
        super().__init__("CompositeError", message, None)
        self.msg, self.elist = message, list(elist)
        self.args = (message, self.elist)
        text = "\n".join(line for line in self._rendered(None, self.tb_limit))
        self.__cause__ = RemoteTraceback(text) if text else None

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.msg, self.elist)

    def __repr__(self) -> str:
        return "<CompositeError(%d)>" % len(self.elist)

    def __str__(self) -> str:
        lines = [str(self.msg)]
        lines += ["%s %s: %s" % (_engine_text(e[3]), e[0], e[1]) for e in self.elist[: self.tb_limit]]
        if len(self.elist) > self.tb_limit:
            lines.append("... %d more exceptions" % (len(self.elist) - self.tb_limit))
        return "\n".join(lines)

    def _one(self, excid: int) -> Element:
        try:
            return self.elist[excid]
        except (IndexError, TypeError):
            raise IndexError("there is no exception with the number %r" % (excid,)) from None

    def _rendered(self, excid: Optional[int], limit: int) -> List[str]:
        chosen = self.elist[:limit] if excid is None else [self._one(excid)]
        lines: List[str] = []
        for element in chosen:
            lines += RemoteError(*element).render_traceback()
            lines.append("")
        if excid is None and len(self.elist) > limit:
            lines.append("... %d more exceptions" % (len(self.elist) - limit))
        return lines

    def render_traceback(self, excid: Optional[int] = None) -> List[str]:
        """The lines of all tracebacks (at most `tb_limit`), or of the one with this number (else IndexError)."""
        return self._rendered(excid, self.tb_limit)

    def print_traceback(self, excid: Optional[int] = None) -> None:
        """Print all tracebacks, or the one with this number."""
        print("\n".join(self.render_traceback(excid)))

    def raise_exception(self, excid: int = 0) -> None:
        """Raise the one with this number as a RemoteError; IndexError if there is none."""
        raise RemoteError(*self._one(excid))


class AlreadyDisplayedError(RemoteError):
    """Raised after errors whose tracebacks were shown as they came: it prints only how many there were."""

    def __init__(self, original_error: Exception) -> None:
        super().__init__(
            getattr(original_error, "ename", type(original_error).__name__),
            getattr(original_error, "evalue", str(original_error)),
            None,
            getattr(original_error, "engine_info", None),
        )
        self.original_error = original_error

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.original_error,)

    def __repr__(self) -> str:
        return "<AlreadyDisplayedError: %r>" % (self.original_error,)

    def __str__(self) -> str:
        n = len(getattr(self.original_error, "elist", [None]))
        return "%d error%s" % (n, "" if n == 1 else "s")

    def render_traceback(self, excid: Optional[int] = None) -> List[str]:
        """How many errors there were."""
        return [str(self)]


def collect_exceptions(results: Any, method: str = "unspecified") -> Any:
    """Give the results back, or raise a CompositeError of the RemoteErrors among them."""
    elist: List[Element] = []
    for r in results.values() if isinstance(results, dict) else results:
        elist += elements_of(r)
    if elist:
        raise CompositeError("one or more exceptions from call to method: %s" % method, elist)
    return results


def elements_of(error: Any) -> List[Element]:
    """What a CompositeError's `elist` holds for this error; nothing for what is no error."""
    if isinstance(error, CompositeError):
        return list(error.elist)
    if isinstance(error, RemoteError):
        return [(error.ename, error.evalue, error.traceback, error.engine_info)]
    if isinstance(error, BaseException):
        info = getattr(error, "engine_info", None)
        return [(type(error).__name__, str(error), "%s: %s" % (type(error).__name__, error), info)]
    return []


# ---------------------------------------------------------------------------------------------
# From what arrives to what is raised

# The kinds of failure that are not the user's code's, by their names on the wire.
_CLASSES: Dict[str, type] = {
    "canceled": TaskAborted,
    "timed out": TaskTimeout,
    "lost": EngineError,
    "dependency failed": ImpossibleDependency,
    "cannot be satisfied": ImpossibleDependency,
}


def failure_to_error(failure: Mapping[str, Any], value: Optional[Mapping[str, Any]] = None) -> Exception:
    """The exception that the future of a failed task raises.

    `failure` is the gateway's JSON (kind, text, op, hint, host, engine, rank, stack); `value` is what the engine sent with
    it (ename, evalue, traceback, exception, engine, host, pid, method), None or empty where no Python ran.
    """
    info = _engine_info(failure, value or {})
    kind = failure.get("kind") or "error"
    if kind == "revoked":  # it only met what had become of its world: the cause is another rank's
        return RemoteError("Revoked", _met(failure, value), list((value or {}).get("traceback") or ()) or failure.get("stack") or None, info)
    if kind in _CLASSES or (kind not in ("failed", "panicked") and not value):
        error = _CLASSES.get(kind, KernelError)(_text(failure))
        error.hint = failure.get("hint") or ""
        error.engine_info = info
        stack = "\n".join(value.get("traceback") or ()) if value else failure.get("stack")
        if stack:
            error.__cause__ = RemoteTraceback(stack)
        return error
    if value:
        return RemoteError(value["ename"], value["evalue"], list(value.get("traceback") or ()), info)
    name = "panic" if kind == "panicked" else "Failed"
    return RemoteError(name, failure.get("text") or kind, failure.get("stack") or None, info)


def original_exception(failure: Mapping[str, Any], value: Optional[Mapping[str, Any]] = None) -> BaseException:
    """The exception that the engine raised, with the remote traceback as its cause.

    Where it could not travel, and for what is not the user's code's, that of `failure_to_error`; for a cancelled task
    `concurrent.futures.CancelledError`.
    """
    if failure.get("kind") == "canceled":
        from concurrent.futures import CancelledError

        return CancelledError(failure.get("text") or "")
    error = failure_to_error(failure, value)
    data = (value or {}).get("exception")
    if not data or not isinstance(error, RemoteError):
        return error
    from ._pickle import loads

    try:
        original = loads(data)
    except Exception:  # its class is not here, or wants other arguments than it keeps
        return error
    if not isinstance(original, BaseException):
        return error
    original.__cause__ = RemoteTraceback(error.traceback or str(error))
    return original


def _engine_info(failure: Mapping[str, Any], value: Mapping[str, Any]) -> Dict[str, Any]:
    engine = value.get("engine", failure.get("engine"))
    host, pid = value.get("host") or failure.get("host") or "", value.get("pid")
    info = {
        "engine_id": None if engine is None or engine < 0 else engine,
        "engine_uuid": value.get("uuid") or ("%s:%s" % (host, pid) if pid else host),
        "method": value.get("method") or "apply",
    }
    rank = failure.get("rank")
    if rank is not None and rank >= 0:
        info["rank"] = rank
    return info


def _met(failure: Mapping[str, Any], value: Optional[Mapping[str, Any]]) -> str:
    """What a rank says that met a revoked world; the name of the exception where the user's code made another of it."""
    if not value:
        return _text(failure)
    return value["evalue"] if value["ename"] == "Error" else "%s: %s" % (value["ename"], value["evalue"])


def _text(failure: Mapping[str, Any]) -> str:
    text = failure.get("text") or failure.get("kind") or "error"
    hint = failure.get("hint")
    return "%s\n%s" % (text, hint) if hint else text


def join(errors: Iterable[BaseException], message: str) -> BaseException:
    """One error for several: itself if it is alone, else a CompositeError."""
    held = list(errors)
    if len(held) == 1:
        return held[0]
    elist: List[Element] = []
    for error in held:
        elist += elements_of(error)
    return CompositeError(message, elist)


def pickled(error: BaseException) -> Optional[bytes]:
    """The pickle of an exception, or None where it cannot travel, or would not come back as what it was."""
    from . import _pickle

    try:
        data = _pickle.dumps(error)
        pickle.loads(data)
    except Exception:
        return None
    return data

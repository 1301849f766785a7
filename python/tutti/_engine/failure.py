"""What is told of an exception: its name, its text, its traceback with source lines, and itself."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any, Dict, List, NamedTuple

from .. import _pack
from . import worlds

_place: Dict[str, Any] = {"engine": -1, "host": ""}
_here = os.path.dirname(os.path.abspath(__file__)) + os.sep

MOST = 60_000  # bytes of an exception, or of a traceback, that travel


class Told(NamedTuple):
    """A failure as the agent hears it."""

    kind: str
    text: str
    stack: str
    pack: bytes


def place(engine: int, host: str) -> None:
    """Say where this is."""
    _place.update(engine=engine, host=host)


def rejected(kind: str, text: str) -> Exception:
    """The error of a run that can never work here."""
    from .driver import Rejected

    return Rejected(kind, text)


def from_user(e: BaseException) -> bool:
    """Whether an exception came out of the user's code."""
    tb = e.__traceback__
    while tb is not None:
        name = tb.tb_frame.f_code.co_filename
        if not name.startswith(_here) and not name.endswith(("_blobs.py", "_pack.py")):
            return True
        tb = tb.tb_next
    return False


def _text(e: BaseException) -> str:
    try:
        return str(e)
    except Exception as other:
        return "<%s whose text raised %s>" % (type(e).__name__, type(other).__name__)


def render(e: BaseException) -> List[str]:
    """The lines of the traceback, with those of its causes, without our own frames at its beginning."""
    import traceback

    _trim(e, set())
    try:
        return traceback.format_exception(type(e), e, e.__traceback__)
    except Exception as other:  # a broken __str__, a recursion
        try:
            lines = ["Traceback (most recent call last):\n"] + traceback.format_tb(e.__traceback__, 50)
        except Exception:
            lines = []
        return lines + ["%s: %s (its traceback could not be rendered: %s)\n" % (type(e).__name__, _text(e), type(other).__name__)]


def _trim(e: Any, seen: set) -> None:
    while e is not None and id(e) not in seen:
        seen.add(id(e))
        tb = e.__traceback__
        while tb is not None and tb.tb_next is not None and tb.tb_frame.f_code.co_filename.startswith(_here):
            tb = tb.tb_next
        e.__traceback__ = tb
        last = None
        while tb is not None:
            if not tb.tb_frame.f_code.co_filename.startswith(_here):
                last = tb
            tb = tb.tb_next
        if last is not None and isinstance(e, KeyboardInterrupt):
            last.tb_next = None  # our own handler
        if e.__cause__ is not None:
            _trim(e.__context__ if e.__context__ is not e.__cause__ else None, seen)
            e = e.__cause__
        else:
            e = e.__context__


def facts(e: BaseException, method: str) -> Dict[str, Any]:
    """A failure as the client gets it."""
    lines = "".join(render(e))
    if len(lines) > MOST:
        lines = lines[: MOST // 2] + "\n... (cut)\n" + lines[-MOST // 2 :]
    return {
        "ename": type(e).__name__,
        "evalue": _text(e)[:MOST],
        "traceback": lines.splitlines(),
        "exception": _pickled(e),
        "engine": _place["engine"],
        "host": _place["host"],
        "pid": os.getpid(),
        "method": method,
    }


def _pickled(e: BaseException) -> Any:
    """The exception itself, None if it cannot travel."""
    context, tb = e.__context__, e.__traceback__
    try:
        data = _pack.default_dump()(e, lambda _: True)
        if len(data) > MOST:
            return None
        pickle.loads(data)  # many exceptions pickle well, and cannot be made again
        return data
    except BaseException:
        return None
    finally:
        e.__context__, e.__traceback__ = context, tb


def describe(e: BaseException, method: str) -> Told:
    """All that the agent is told of an exception."""
    told = facts(e, method)
    text = "%s: %s" % (told["ename"], told["evalue"]) if told["evalue"] else told["ename"]
    kind = worlds.kind(e) if "tutti.mpi" in sys.modules else "failed"
    return Told(kind, text, "\n".join(told["traceback"]), _pack.dumps(told))


def unpicklable(value: Any, e: BaseException) -> BaseException:
    """The error of a result that cannot travel."""
    name = "%s.%s" % (type(value).__module__, type(value).__qualname__)
    new = TypeError("the result, of type %s, cannot be pickled: %s: %s" % (name, type(e).__name__, _text(e)))
    new.__suppress_context__ = True
    return new

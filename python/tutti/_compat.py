"""Names of IPython Parallel that are small, or that programs use only in passing."""

from __future__ import annotations

from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import _pack, _pickle

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "PrePickled",
    "bind_kernel",
    "can",
    "deserialize_object",
    "pack_apply_message",
    "publish_data",
    "register_joblib_backend",
    "serialize_object",
    "uncan",
    "unpack_apply_message",
]


class PrePickled:
    """An object pickled once, to be sent many times: on the engine the object itself stands in its place."""

    def __init__(self, obj: Any) -> None:
        self.cached: bytes = _pickle.dumps(obj)

    def __reduce__(self) -> Any:
        return _pickle.loads, (self.cached,)


def can(obj: Any) -> Any:
    """The object in a form that the standard pickle takes: functions and classes by value."""
    return PrePickled(obj)


def uncan(obj: Any, g: Optional[Dict[str, Any]] = None) -> Any:
    """The object that `can` was given."""
    return _pickle.loads(obj.cached) if isinstance(obj, PrePickled) else obj


def serialize_object(obj: Any, buffer_threshold: int = 1024, item_threshold: int = 64) -> List[bytes]:
    """The object as a list of bytes, from which `deserialize_object` makes it again."""
    return [_pack.dumps(obj)]


def deserialize_object(buffers: List[bytes], g: Optional[Dict[str, Any]] = None) -> Tuple[Any, List[bytes]]:
    """The object, and what is left of the list."""
    return _pack.loads(buffers[0]), list(buffers[1:])


def pack_apply_message(f: Callable[..., Any], args: Any, kwargs: Any, buffer_threshold: int = 1024, item_threshold: int = 64) -> List[bytes]:
    """A call as a list of bytes."""
    return [_pickle.dumps_function(f), _pack.dumps((tuple(args), dict(kwargs)))]


def unpack_apply_message(bufs: List[bytes], g: Optional[Dict[str, Any]] = None, copy: bool = True) -> Tuple[Any, Any, Any]:
    """The function, arguments and keyword arguments of `pack_apply_message`."""
    args, kwargs = _pack.loads(bufs[1])
    return _pickle.loads(bufs[0]), args, kwargs


def publish_data(data: Dict[str, Any]) -> None:
    """In a task: let its client see values while it runs. They are merged into `ar.data`. Elsewhere nothing happens.

    TypeError unless it is a dict.
    """
    if not isinstance(data, dict):
        raise TypeError("publish_data takes a dict, not a %s" % type(data).__name__)
    from . import _display

    if _display.publisher is not None:
        _display.publisher({"application/x-tutti-data": _pack.dumps(data)})


def register_joblib_backend(name: str = "ipyparallel", make_default: bool = False) -> None:
    """Let joblib run its jobs on the cluster that runs: `with joblib.parallel_backend(name): ...`."""
    from .joblib import register

    register(name, make_default=make_default)


def bind_kernel(**kwargs: Any) -> None:
    """NotImplementedError: an engine is no kernel of Jupyter."""
    raise NotImplementedError("bind_kernel: an engine is not a kernel that a console can attach to; %px and view.execute run code there")

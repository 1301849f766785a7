"""Where displays go: to the agent, and from there to whoever asked for the run."""

from __future__ import annotations

import binascii
import json
import os
import struct
import sys
from typing import TYPE_CHECKING, Any, Dict, Optional

from .. import _display, _pack

if TYPE_CHECKING:
    from .driver import Engine

DISPLAY = 19
BUNDLE = "application/x-mimebundle+pickle"  # a pack of a dict: type -> text or bytes

_engine: Optional["Engine"] = None


def install(engine: "Engine") -> None:
    """Let displays of this process go through the engine."""
    global _engine
    _engine = engine
    _display.publisher = publish
    sys.meta_path.insert(0, _Watch())
    backend = os.environ.get("MPLBACKEND", "")
    if not backend or "inline" in backend:
        os.environ["MPLBACKEND"] = "module://tutti._engine.figures"


def forget() -> None:
    """In a child made by fork: nobody listens."""
    global _engine
    _engine = None
    _display.publisher = None


def publish(data: Dict[str, Any], metadata: Optional[Dict[str, Any]] = None) -> None:
    """Show an object that has these representations. A picture goes as it is, others with all they have."""
    for mime in ("image/png", "image/jpeg"):
        if mime in data:
            _send(mime, _bytes(mime, data[mime]))
            return
    if len(data) == 1:
        (mime, value), = data.items()
        _send(mime, _bytes(mime, value))
        return
    _send(BUNDLE, _pack.dumps(dict(data)))


def _bytes(mime: str, value: Any) -> bytes:
    if isinstance(value, str):
        if mime.startswith("image/") and mime != "image/svg+xml":
            return binascii.a2b_base64(value)
        return value.encode("utf-8", "backslashreplace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return json.dumps(value).encode()


def _text(mime: str, value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return binascii.b2a_base64(value, newline=False).decode()
    return value


def _send(mime: str, data: bytes) -> None:
    e = _engine
    if e is None:
        return
    form = 0
    if len(data) > _pack.INLINE and e.blobs is not None:
        form, data = 1, e.quietly(e.blobs.put, data).pack()
    name = mime.encode()
    e.send(DISPLAY, e.serial, struct.pack("<H", len(name)) + name + bytes((form,)) + data)


def texts(value: Any) -> Dict[str, Any]:
    """The representations of a cell's result, as text."""
    return {k: _text(k, v) for k, v in _display.bundle(value).items()}


def end_of_cell() -> None:
    """Figures that a cell has left open are shown and closed."""
    if "matplotlib.pyplot" in sys.modules:
        from . import figures

        figures.show()


# ---------------------------------------------------------------------------------------------
# IPython's own ways to display, without a shell of IPython's


class _Watch:
    """Changes IPython's display functions when they are imported: they would look for a shell."""

    names = ("IPython.core.display_functions", "IPython.core.display")

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in self.names or _engine is None:
            return None
        import importlib.util

        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            if hasattr(module, "display"):
                module.display = ipython_display
            if hasattr(module, "publish_display_data"):
                module.publish_display_data = publish_display_data

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def ipython_display(*objects: Any, include: Any = None, exclude: Any = None, metadata: Any = None, raw: bool = False, **_: Any) -> None:
    """IPython.display.display, on an engine."""
    for obj in objects:
        data = dict(obj) if raw else _display.bundle(obj)
        if include is not None:
            data = {k: v for k, v in data.items() if k in include}
        publish({k: v for k, v in data.items() if k not in (exclude or ())})


def publish_display_data(data: Dict[str, Any], metadata: Any = None, **_: Any) -> None:
    """IPython.display.publish_display_data, on an engine."""
    publish(dict(data))

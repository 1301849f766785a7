"""Where displays go: to the agent, and from there to whoever asked for the run."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from typing import TYPE_CHECKING, Any, Dict, List, Optional

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
            return base64.b64decode(value)
        return value.encode("utf-8", "backslashreplace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return json.dumps(value).encode()


def _text(mime: str, value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return value


def _send(mime: str, data: bytes) -> None:
    e = _engine
    if e is None:
        return
    form = 0
    if len(data) > _pack.INLINE and e.blobs is not None:
        form, data = 1, e.blobs.put(data).pack()
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


def transformed(code: str) -> str:
    """Plain Python of what IPython would accept, where IPython is loaded already."""
    return code

"""`display`: show an object where the user is looking.

On an engine it goes to the client that asked for the task; in a notebook to the notebook; elsewhere
to standard output.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional

__all__ = ["display"]

# Set on engines: publishes a dict of MIME type -> str or bytes.
publisher: Optional[Callable[[Dict[str, Any]], None]] = None

_METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("text/latex", "_repr_latex_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)


def display(*objects: Any, mime: Optional[str] = None) -> None:
    """Show objects: figures, tables, anything with IPython's rich representations.

    With `mime` each object is bytes or text of that type, shown as it is: `display(svg, mime="image/svg+xml")`.
    """
    for obj in objects:
        data = {mime: obj} if mime else bundle(obj)
        if publisher is not None:
            publisher(data)
        elif not _notebook(data):
            print(data.get("text/plain", obj))


DATA = "application/x-tutti-data"  # a pack of a dict


def publish_data(data: Dict[str, Any]) -> None:
    """On an engine, let the client see these values in `AsyncResult.data` while the task goes on."""
    from . import _pack

    if publisher is None:
        raise RuntimeError("publish_data works in a task on an engine")
    publisher({DATA: _pack.dumps(dict(data))})


def _notebook(data: Dict[str, Any]) -> bool:
    import sys

    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return False
    shell.display_pub.publish(data)
    return True


def bundle(obj: Any) -> Dict[str, Any]:
    """All representations that an object has, the plain one last. One that raises is left out."""
    data: Dict[str, Any] = {}
    figure = _figure(obj)
    if figure is not None:
        data["image/png"] = figure
    if not isinstance(obj, type):
        _rich(obj, data)
    if "text/plain" not in data:
        data["text/plain"] = plain(obj)
    return data


def _rich(obj: Any, data: Dict[str, Any]) -> None:
    whole = getattr(obj, "_repr_mimebundle_", None)
    if callable(whole):
        try:
            found = whole(include=None, exclude=None)
            if isinstance(found, tuple):
                found = found[0]
            data.update({k: v for k, v in (found or {}).items() if v is not None})
        except Exception:
            pass
    for mime, name in _METHODS:
        method = None if mime in data else getattr(obj, name, None)
        if not callable(method):
            continue
        try:
            value = method()
        except Exception:
            continue
        if isinstance(value, tuple) and value:  # with metadata
            value = value[0]
        if value is not None:
            data[mime] = value


def plain(obj: Any) -> str:
    """repr(obj), or what went wrong with it."""
    try:
        return repr(obj)
    except Exception as e:
        return "<%s whose repr raised %s: %s>" % (type(obj).__name__, type(e).__name__, e)


def _figure(obj: Any) -> Optional[bytes]:
    import sys

    figure = sys.modules.get("matplotlib.figure")
    if figure is None or not isinstance(obj, figure.Figure):
        return None
    return png(obj)


def png(figure: Any) -> bytes:
    """A matplotlib figure as PNG."""
    import io

    if getattr(figure, "canvas", None) is None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure)
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", facecolor=figure.get_facecolor())
    return out.getvalue()

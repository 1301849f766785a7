"""The matplotlib backend of engines: figures are drawn by Agg and shown where the user is looking."""

from __future__ import annotations

from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from .. import _display
from . import shown

FigureCanvas = FigureCanvasAgg
FigureManager = FigureManagerBase


def new_figure_manager(num: int, *args: Any, FigureClass: Any = None, **kwargs: Any) -> Any:
    """A manager with a new figure."""
    if FigureClass is None:
        from matplotlib.figure import Figure as FigureClass
    return new_figure_manager_given_figure(num, FigureClass(*args, **kwargs))


def new_figure_manager_given_figure(num: int, figure: Any) -> Any:
    """A manager of a figure."""
    return FigureManagerBase(FigureCanvasAgg(figure), num)


def show(*args: Any, **kwargs: Any) -> None:
    """Show all open figures, and close them."""
    managers = list(Gcf.get_all_fig_managers())
    try:
        for m in managers:
            if m.canvas.figure.get_axes() or getattr(m.canvas.figure, "patches", None):
                shown.publish({"image/png": _display.png(m.canvas.figure)})
    finally:
        for m in managers:
            Gcf.destroy(m.num)

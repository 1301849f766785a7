"""Progress bars: how much of what was asked for is done.

    with bar(total=len(result), desc="map") as b:
        while not result.wait(0.1):
            b.set(result.progress)

In a notebook the bar is a widget, or a line of HTML where widgets are not installed; in a terminal it is one line
that is written over. tqdm is used where it is installed. Where output goes to a file nothing is shown but the end.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Iterable, Iterator, Optional, TextIO, TypeVar

__all__ = ["Bar", "bar", "track"]

T = TypeVar("T")

_WIDTH = 30
_PAUSE = 0.1  # s between two drawings


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"


def clock(seconds: float) -> str:
    """A duration as people write it: 07:30, 1:02:03."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return "%d:%02d:%02d" % (hours, minutes, whole % 60) if hours else "%02d:%02d" % (minutes, whole % 60)


class Bar:
    """A bar drawn by ourselves. `n` of `total` are done; a context manager."""

    def __init__(self, total: Optional[int] = None, desc: str = "", unit: str = "task", file: Optional[TextIO] = None) -> None:
        self.total, self.desc, self.unit = total, desc, unit
        self.n = 0
        self._file = sys.stderr if file is None else file
        self._began = time.monotonic()
        self._drawn = 0.0
        self._handle: Any = None
        self._html = file is None and in_notebook()
        self._live = self._html or bool(getattr(self._file, "isatty", lambda: False)())
        self._closed = False
        self._draw(False)

    def update(self, n: int = 1) -> None:
        """So many more are done."""
        self.set(self.n + n)

    def set(self, n: int) -> None:
        """So many are done in all."""
        self.n = n
        if self._live and time.monotonic() - self._drawn >= _PAUSE:
            self._draw(False)

    def close(self) -> None:
        """Show the last state, and leave it there."""
        if not self._closed:
            self._closed = True
            self._draw(True)

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def text(self) -> str:
        """The line as it is now."""
        spent = time.monotonic() - self._began
        head = self.desc + ": " if self.desc else ""
        if not self.total:
            return "%s%d %s [%s]" % (head, self.n, self.unit, clock(spent))
        share = min(1.0, self.n / self.total)
        filled = int(share * _WIDTH)
        left = clock(spent / self.n * (self.total - self.n)) if self.n else "?"
        line = "#" * filled + "-" * (_WIDTH - filled)
        return "%s%3d%%|%s| %d/%d %s [%s<%s]" % (head, int(100 * share), line, self.n, self.total, self.unit, clock(spent), left)

    def _draw(self, last: bool) -> None:
        self._drawn = time.monotonic()
        if self._html:
            self._draw_html()
        elif self._live:
            self._file.write("\r" + self.text() + ("\n" if last else ""))
            self._file.flush()
        elif last:
            self._file.write(self.text() + "\n")

    def _draw_html(self) -> None:
        from html import escape

        from IPython.display import HTML, display

        shown = HTML('<progress value="%d" max="%d"></progress> %s' % (self.n, self.total or max(self.n, 1), escape(self.text())))
        if self._handle is None:
            self._handle = display(shown, display_id=True)
        else:
            self._handle.update(shown)


class _Tqdm:
    """A bar of tqdm, with the face of `Bar`."""

    def __init__(self, tqdm: Any, total: Optional[int], desc: str, unit: str, file: Optional[TextIO]) -> None:
        self._bar = tqdm(total=total, desc=desc or None, unit=unit, file=file)
        self.total = total

    @property
    def n(self) -> int:
        return int(self._bar.n)

    def update(self, n: int = 1) -> None:
        self._bar.update(n)

    def set(self, n: int) -> None:
        self._bar.update(n - self._bar.n)

    def close(self) -> None:
        self._bar.close()

    def __enter__(self) -> "_Tqdm":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _tqdm(widget: Optional[bool]) -> Any:
    """The class of tqdm that fits where we are, None without tqdm."""
    try:
        if in_notebook() if widget is None else widget:
            import ipywidgets  # noqa: F401  (tqdm's bar for notebooks is made of them)
            from tqdm.notebook import tqdm
        elif in_notebook():
            return None  # its line for terminals does not look well there
        else:
            from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def bar(
    total: Optional[int] = None, desc: str = "", unit: str = "task", widget: Optional[bool] = None, file: Optional[TextIO] = None
) -> Any:
    """A bar that fits where the user is looking: update(n), set(n), close(), `n`; a context manager.

    `total` None: nobody knows how many there will be. `widget`: True insists on a notebook's, False on a line of
    text, None finds out.
    """
    tqdm = _tqdm(widget)
    if tqdm is not None:
        return _Tqdm(tqdm, total, desc, unit, file)
    return Bar(total, desc, unit, file)


def track(items: Iterable[T], total: Optional[int] = None, desc: str = "", unit: str = "item") -> Iterator[T]:
    """The items, with a bar that counts them."""
    if total is None:
        try:
            total = len(items)  # type: ignore[arg-type]
        except TypeError:
            pass
    with bar(total, desc, unit) as b:
        for item in items:
            yield item
            b.update()

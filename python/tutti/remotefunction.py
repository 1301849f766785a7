"""Functions that run on engines when they are called."""

from __future__ import annotations

import functools
from typing import Any, Callable, List, Optional, Sequence

from . import _parts
from .asyncresult import About, AsyncMapResult
from .view import DirectView, LoadBalancedView, View, call_payload, name_of, place
from ._gateway import Cell

__all__ = ["ParallelFunction", "RemoteFunction", "parallel", "remote"]


def remote(view: View, block: Optional[bool] = None, **flags: Any) -> Callable[[Callable[..., Any]], "RemoteFunction"]:
    """A decorator: a call of the function is a call on the engines of the view.

        @remote(dv, block=True)
        def pid(): return os.getpid()
    """

    def decorate(f: Callable[..., Any]) -> RemoteFunction:
        return RemoteFunction(view, f, block=block, **flags)

    return decorate


def parallel(
    view: View, dist: str = "b", block: Optional[bool] = None, ordered: bool = True, **flags: Any
) -> Callable[[Callable[..., Any]], "ParallelFunction"]:
    """A decorator: a call of the function with sequences is a call on parts of them, on the engines of the view."""

    def decorate(f: Callable[..., Any]) -> ParallelFunction:
        return ParallelFunction(view, f, dist=dist, block=block, ordered=ordered, **flags)

    return decorate


class RemoteFunction:
    """A function that runs on the engines of a view. `flags` are the view's flags while it is called."""

    def __init__(self, view: View, f: Callable[..., Any], block: Optional[bool] = None, **flags: Any) -> None:
        self.view, self.func, self.block, self.flags = view, f, block, flags
        functools.update_wrapper(self, f, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its values if it blocks (or the view does), else an AsyncResult."""
        block = self.view.block if self.block is None else self.block
        with self.view.temp_flags(block=block, **self.flags):
            return self.view.apply(self.func, *args, **kwargs)

    def __repr__(self) -> str:
        return "<%s %s on %r>" % (type(self).__name__, name_of(self.func), self.view)


class ParallelFunction(RemoteFunction):
    """A function of sequences, which are cut into parts.

    `f(seq)` calls it with each part: one for each engine of a direct view (cut as `dist` says), parts of `chunksize` items
    on a balanced view. `f.map(seq)` calls it with each item. Results are joined as `gather` joins.
    """

    def __init__(
        self,
        view: View,
        f: Callable[..., Any],
        dist: str = "b",
        block: Optional[bool] = None,
        chunksize: Optional[int] = None,
        ordered: bool = True,
        return_exceptions: bool = False,
        **flags: Any,
    ) -> None:
        super().__init__(view, f, block, **flags)
        self.chunksize, self.ordered, self.return_exceptions = chunksize, ordered, return_exceptions
        self.dist, self.mapObject = dist, _parts.distribution(dist)

    def __call__(self, *sequences: Any, **kwargs: Any) -> Any:
        """Call it with the parts of the sequences, which must have the same length (else ValueError)."""
        if not sequences:
            return []
        block = self.view.block if self.block is None else self.block
        length = _parts.length_of(sequences[0])
        for i, seq in enumerate(sequences):
            if _parts.length_of(seq) != length:
                raise ValueError("sequence %d has %d items, the first one %d: they must have the same number" % (i, len(seq), length))
        if not length:
            return []
        with self.view.temp_flags(block=False, **self.flags):
            ar = self._parts(sequences, length, kwargs)
        return self.view._ended(ar, block)

    def _parts(self, sequences: Sequence[Any], length: int, kwargs: Any) -> AsyncMapResult:
        view = self.view
        code, label = view._code(self.func), view.label or name_of(self.func)
        about = About(label)
        if isinstance(view, DirectView):
            ids, _ = view._targets()
            n = min(len(ids), length)
            payloads = [call_payload(tuple(self.mapObject.part(s, i, n) for s in sequences), kwargs, view._by()) for i in range(n)]
            ar = view._each("py.apply", payloads, ids[:n], False, about, code, self.return_exceptions, self.mapObject.join, AsyncMapResult)
            ar._ordered = self.ordered  # type: ignore[attr-defined]
            return ar  # type: ignore[return-value]
        assert isinstance(view, LoadBalancedView)
        link = view.client._live()
        size = self.chunksize or max(1, length // max(1, len(link.engines)))
        n = -(-length // size)
        cells: List[Cell] = [Cell(None, None, about) for _ in range(n)]
        result = AsyncMapResult(view.client, cells, label, self.ordered, self.return_exceptions, link, self.mapObject.join)
        for i, cell in enumerate(cells):
            cell.owner = result
        for i, cell in enumerate(cells):
            if self.chunksize:
                part = tuple(s[i * size : (i + 1) * size] for s in sequences)
            else:
                part = tuple(self.mapObject.part(s, i, n) for s in sequences)
            view._give(link, "py.apply", code, label, place(link, call_payload(part, kwargs, view._by())), cell)
        link.flush()
        return result

    def map(self, *sequences: Any) -> Any:
        """Call it with each item of the sequences."""
        block = self.view.block if self.block is None else self.block
        more = {"return_exceptions": self.return_exceptions}
        if isinstance(self.view, LoadBalancedView):
            more["ordered"] = self.ordered
            if self.chunksize:
                more["chunksize"] = self.chunksize  # type: ignore[assignment]
        with self.view.temp_flags(**self.flags):
            return self.view.map(self.func, *sequences, block=block, **more)

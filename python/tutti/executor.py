"""The executor of the standard library's `concurrent.futures`, on a cluster.

    with Executor() as ex:
        for y in ex.map(f, range(1_000_000)):
            ...

A program that uses ProcessPoolExecutor moves over by its imports. What it gains: functions of the prompt, lambdas and
closures travel; `map` finds by itself how many items go together; an item that kills its process costs only
itself; and the same program runs on many machines.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from concurrent.futures import BrokenExecutor
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from . import _batches, _gateway, _pack, _pickle
from .asyncresult import About, AsyncResult
from .errors import EngineError
from .view import place, send, value_payload

__all__ = ["Executor"]


class Executor(concurrent.futures.Executor):
    """Runs calls on the engines of a cluster.

    `max_workers` is the number of engines: of a cluster of its own (default: one for each core), or the most that are
    used of `client`, `view` or `cluster` (a `Cluster`, or the name of one that `tutti start` started; by default that of
    $TUTTI_CLUSTER, if it is set). `initializer(*initargs)` runs on each engine first.
    `retries` is how often a call is tried again when its engine is killed under it (default: five times, as any task).

    `submit` gives an AsyncResult, which is a `concurrent.futures.Future`. Futures and `map` raise what the function
    raised, with the traceback of the engine as its cause. Where the cluster has gone, BrokenExecutor.
    """

    def __init__(
        self,
        max_workers: Optional[int] = None,
        *,
        client: Any = None,
        view: Any = None,
        cluster: Any = None,
        initializer: Optional[Callable[..., Any]] = None,
        initargs: Tuple[Any, ...] = (),
        retries: Optional[int] = None,
        python: Optional[str] = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be at least 1, not %r" % (max_workers,))
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._lock = threading.Lock()
        self._over = False
        self._abouts: Dict[str, About] = {}
        self._mappings: Set[_batches.Mapping] = set()
        self._cluster: Any = None  # its own
        self._own_link = False
        self._client = client if client is not None else getattr(view, "client", None)
        self._targets: Optional[List[int]] = None
        self._max = max_workers
        if self._client is not None:
            self._link = self._client._link
            self._targets = _targets(view, self._client)
        else:
            self._start(cluster, max_workers, python)
        if max_workers is not None and self._cluster is None:
            ids = self._targets or self._link.ask("wait_engines", 60.0, n=1)[0]["ids"]
            self._targets = ids[:max_workers] if len(ids) > max_workers else self._targets
        self._loads = dict.fromkeys(self._targets, 0) if self._targets else None  # calls under way on each of them
        self._once: Dict[str, Any] = {"func": "py.apply"}
        if retries is not None:
            self._once["retries_lost"] = retries if retries > 0 else -1
        if initializer is not None:
            try:
                self._initialize(initializer, initargs)
            except BaseException:
                self._over = True
                self._leave()
                raise

    def _start(self, cluster: Any, n: Optional[int], python: Optional[str]) -> None:
        """Connect to a cluster that runs, or start one."""
        if cluster is None:
            cluster = os.environ.get("TUTTI_CLUSTER") or None
        if cluster is None:
            from .cluster import Cluster

            self._cluster = cluster = Cluster(n=n, python=python)
            cluster._launch(n)
        try:
            socket = _gateway.join_cluster(cluster) if isinstance(cluster, str) else cluster.controller.socket
            self._link = _gateway.Link(socket, "executor")
        except BaseException:
            if self._cluster is not None:
                self._cluster._stop_cluster()
            raise
        self._link.on_lost = _broken
        self._own_link = True

    def _initialize(self, f: Callable[..., Any], args: Tuple[Any, ...]) -> None:
        """Run a function on the engines, and on each of them again when it is restarted. Raises what it raises."""
        data = _pickle.dumps((f, args))
        code = "import tutti._pickle as _p\n_f, _a = _p.loads(%r)\n_f(*_a)\ndel _p, _f, _a" % data
        ids = self._link.ask("wait_engines", 60.0, n=max(1, self._max or 1))[0]["ids"]
        if self._cluster is not None:
            self._link.ask("setup", code=code)  # also for engines that come later
            return
        futures = []
        for engine in ids if self._targets is None else self._targets:
            no = self._link.work(("py.setup", engine), lambda: ({"func": "py.setup", "target": engine, "label": "initializer"}, b""))
            future, cell = self._future("initializer")
            self._link.submit(no, _pack.dumps({"code": code}), cell)
            futures.append(future)
        for future in futures:
            future.result()

    def __repr__(self) -> str:
        return "<Executor: %s, %d engines>" % ("shut down" if self._over else "open", self._workers())

    def _workers(self) -> int:
        """How many engines there are for us, as far as is known."""
        if self._targets is not None:
            return max(1, len(self._targets))
        return max(1, len(self._link.engines) or self._max or 1)

    # Submitting.

    def _check(self) -> None:
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._link.lost is not None:
            raise BrokenExecutor(self._link.lost)

    def _future(self, label: str) -> Tuple[AsyncResult, _gateway.Cell]:
        about = self._abouts.get(label)
        if about is None:
            about = self._abouts[label] = About(label, original=True)
        cells: List[_gateway.Cell] = []
        future = AsyncResult(self._client, cells, label, True, link=self._link)
        cell = _gateway.Cell(future, None, about)
        cells.append(cell)
        future._left = 1
        return future, cell

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:  # type: ignore[override]
        """Call fn(*args, **kwargs) on an engine that is free.

        RuntimeError after shutdown, BrokenExecutor when the cluster has gone, pickle.PicklingError for what cannot travel.
        """
        if self._over or self._link.lost is not None:
            self._check()
        code = _pickle.dumps_function(fn)
        future, cell = self._future(_name(fn))
        if self._loads is not None:
            self._choose(future, cell)
        no = self._link.work(("executor", self, cell.target, code), lambda: self._describe(fn, code, cell.target))
        try:
            payload = value_payload((args, kwargs))
            if type(payload) is bytes:
                self._link.submit(no, payload, cell)
            else:
                send(self._link, no, place(self._link, payload), cell)
        except EngineError as error:
            raise BrokenExecutor(str(error)) from None
        return future

    def _describe(self, fn: Any, code: bytes, target: Optional[int]) -> Tuple[Dict[str, Any], bytes]:
        return dict(self._once, label=_name(fn), target=target), _batches.packed(code)

    def _choose(self, future: AsyncResult, cell: _gateway.Cell) -> None:
        """Where only some engines are meant: the one of them with the fewest calls."""
        loads = self._loads
        assert loads is not None
        with self._lock:
            engine = cell.target = min(loads, key=loads.__getitem__)
            loads[engine] += 1

        def ended(_: Any) -> None:
            with self._lock:
                loads[engine] -= 1

        future.add_done_callback(ended)

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[Any]:
        """fn(*items) for the items of all iterables together, as `zip` gives them; results in order.

        With chunksize=1 short items are sent together, as many as are worth it; each still has its own result, and
        one that kills its engine fails alone. A larger chunksize is kept to. With `buffersize` the iterables are read
        only so far ahead of the results (ValueError below 1). TimeoutError from the iterator, `timeout` seconds after
        the call. Leaving the iterator early cancels the rest.
        """
        self._check()
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if buffersize is not None:
            if not isinstance(buffersize, int):
                raise TypeError("buffersize must be an integer or None")
            if buffersize < 1:
                raise ValueError("buffersize must be None or > 0")
        code = _pickle.dumps_function(fn)
        try:
            mapping = _batches.Mapping(
                self._link,
                {"label": _name(fn)},
                code,
                zip(*iterables),
                self._workers,
                chunksize,
                timeout,
                buffersize,
                self._mappings.discard,
                self._targets,
            )
        except EngineError as error:
            raise BrokenExecutor(str(error)) from None
        if not mapping.over:
            self._mappings.add(mapping)
        return mapping.results()

    # The end.

    def _mine(self) -> List[_gateway.Cell]:
        """The tasks of `submit` that have not ended."""
        abouts = set(map(id, self._abouts.values()))
        while True:
            try:
                return [cell for cell in list(self._link._open.values()) if id(cell.about) in abouts]
            except RuntimeError:  # it grew or shrank meanwhile
                continue

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. With `wait` wait for those that were made; a cluster of its own ends with them.

        `cancel_futures` cancels what has not begun. Without `wait` the cluster ends in the background, when all is done.
        """
        with self._lock:
            first, self._over = not self._over, True
        if cancel_futures and self._link.lost is None:
            self._cancel_waiting()
        if wait:
            self._wait_all()
        if not first or not (self._own_link or self._cluster):
            return
        if wait:
            self._leave()
        else:
            threading.Thread(target=self._leave_later, name="tutti-executor-end").start()

    def _cancel_waiting(self) -> None:
        for mapping in list(self._mappings):
            mapping.close()
        running = {row.get("running") for row in self._link.ask("engines", 30.0)[0].get("engines", ())}
        for cell in self._mine():
            future = cell.owner
            if future is not None and cell.id not in running:
                future.cancel()

    def _wait_all(self) -> None:
        for mapping in list(self._mappings):
            mapping.wait()
        for cell in self._mine():
            owner = cell.owner
            if owner is not None:
                self._link.wait(owner)

    def _leave_later(self) -> None:
        self._wait_all()
        self._leave()

    def _leave(self) -> None:
        if self._own_link:
            self._link.close()
        if self._cluster is not None:
            self._cluster._stop_cluster()


def _name(fn: Any) -> str:
    name = getattr(fn, "__qualname__", None) or getattr(getattr(fn, "func", None), "__qualname__", None)
    return name if isinstance(name, str) else type(fn).__name__


def _targets(view: Any, client: Any) -> Optional[List[int]]:
    """The engines of a view; None for all."""
    targets = getattr(view, "targets", None)
    if targets is None or targets == "all":
        return None
    return [targets] if isinstance(targets, int) else list(targets)


def _broken(link: Any, why: str) -> None:
    """The cluster has gone: what has not ended fails."""
    for cell in list(link._open.values()):
        cell.error = BrokenExecutor(why)
    link.fail_open(why)

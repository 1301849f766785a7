"""Views of a cluster's engines, by which calls are made.

A `DirectView` is of certain engines: what it does is done on each of them. A `LoadBalancedView` gives each call to an
engine that is free. Both come from a `Client`.
"""

from __future__ import annotations

import builtins
import itertools
import pickle
import threading
import warnings
from collections import deque
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from . import _gateway, _parts
from ._gateway import Cell, Link
from ._pickle import dumps_function
from ._views import (
    View,
    _LIMIT,
    _MAGIC,
    _head,
    _holds_results,
    _nothing,
    _payload_with_results,
    _pickle_dumps,
    _simple,
    call_payload,
    code_of,
    name_of,
    place,
    send,
    value_payload,
)
from .asyncresult import About, AsyncMapResult, AsyncResult
from .dependency import Dependency, Reference, dependent

__all__ = ["BroadcastView", "DirectView", "LazyMapIterator", "LoadBalancedView", "View", "ViewExecutor"]

# ---------------------------------------------------------------------------------------------
# The direct view


class DirectView(View):
    """Engines by number: what is called is called on each of them, and variables are theirs.

        dv = client[:]                     # or client[0], client[::2], client[[0, 3]]
        dv["x"] = 5;  dv["x"]              # [5, 5, 5, 5]
        dv.execute("import numpy")
        dv.scatter("part", range(16));  dv.apply_sync(sum, Reference("part"))

    Of a list of engines results are lists in the order of its engines; of a single number they are bare values.
    """

    def __init__(self, client: Any = None, socket: Any = None, targets: Any = None, **flags: Any) -> None:
        super().__init__(client, socket, targets=targets, **flags)

    def _targets(self, targets: Any = None) -> Tuple[List[int], bool]:
        """The engines, and whether a single number was given."""
        t = self.targets if targets is None else targets
        return self.client._targets(t), isinstance(t, int) and not isinstance(t, bool)

    def _each(self, func: str, payloads: Any, ids: Sequence[int], single: bool, about: About, code: bytes = b"",
              return_exceptions: bool = False, mapping: Any = None, kind: Any = None) -> AsyncResult:  # fmt: skip
        """One task on each engine. payloads: one for all, or a list."""
        link = self.client._live()
        placed = [place(link, p) for p in payloads] if type(payloads) is list else [place(link, payloads)] * len(ids)
        cells = [Cell(None, id, about) for id in ids]
        ar: AsyncResult
        if kind is AsyncMapResult:
            ar = AsyncMapResult(self.client, cells, about.label, True, return_exceptions, link, mapping)
        else:
            ar = AsyncResult(self.client, cells, about.label, single, return_exceptions, link)
        if not cells:
            ar._state = "FINISHED"
        for cell in cells:
            cell.owner = ar
        with link.together():
            for id, p, cell in zip(ids, placed, cells):
                send(link, self._work(link, func, code, about.label, id), p, cell)
        self._note_cells(cells)
        return ar

    def _work(self, link: Link, func: str, code: bytes, label: str, id: int) -> int:
        def make() -> Tuple[Dict[str, Any], bytes]:
            return dict(_nothing, func=func, label=label, target=id, retries_lost=-1), code_of(code) if code else b""

        return link.work((func, code, label, id), make)

    def _apply(self, f: Any, args: Any, kwargs: Any, block: Optional[bool], targets: Any = None, label: Optional[str] = None) -> Any:
        ids, single = self._targets(targets)
        code = self._code(f)
        label = label or self.label or name_of(f)
        if _holds_results(args, kwargs):
            args, kwargs = _values_of(args), {k: _values_of((v,))[0] for k, v in kwargs.items()}
        ar = self._each("py.apply", call_payload(args, kwargs, self._by()), ids, single, About(label), code)
        return self._ended(ar, block)

    def map(  # type: ignore[override]
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: Optional[bool] = None,
        track: bool = False,
        return_exceptions: bool = False,
        label: Optional[str] = None,
    ) -> Any:
        """f on each item of the sequences, which are cut into one part for each engine: the list of its values.

        Sequences of different lengths end with the shortest. With `return_exceptions` errors stand in the list.
        """
        if not sequences:
            raise TypeError("map takes a function and at least one sequence")
        items = list(zip(*sequences))
        ids, _ = self._targets()
        code, label = self._code(f), label or self.label or name_of(f)
        about = About(label)
        about.items = 1
        n = min(len(ids), len(items))
        block_ = _parts.Block()
        chunks = [block_.part(items, i, n) for i in range(n)]
        payloads = [value_payload([(c, None) for c in chunk], self._by()) for chunk in chunks]
        ar = self._each("py.batch", payloads, ids[:n], False, about, code, return_exceptions, None, AsyncMapResult)
        return self._ended(ar, self.block if block is None else block)

    # -- code

    def execute(
        self, code: str, silent: bool = True, targets: Any = None, block: Optional[bool] = None, label: Optional[str] = None
    ) -> AsyncResult:
        """Run code in the namespace of the engines: an AsyncResult, which was waited for if the view blocks.

        Unless `silent`, its values are ExecuteReplies with what the last expression was.
        """
        return self._execute(code, silent, None, targets, block, label)

    def _execute(self, code: str, silent: bool, filename: Optional[str], targets: Any, block: Optional[bool], label: Optional[str]) -> AsyncResult:
        ids, single = self._targets(targets)
        first = code.strip().splitlines()[:1]
        about = About(label or self.label or "execute", "execute", code)
        if label is None and self.label is None and first:
            about.label = "execute(%s)" % (first[0] if len(first[0]) < 40 else first[0][:37] + "...")
        payload = value_payload({"code": code, "silent": bool(silent), "filename": filename})
        ar = self._each("py.execute", payload, ids, single, about)
        if self.block if block is None else block:
            try:
                ar.get()
            except KeyboardInterrupt:
                pass
        return ar

    def run(self, filename: str, targets: Any = None, block: Optional[bool] = None, label: Optional[str] = None) -> AsyncResult:
        """Run a file of code, which is read here, in the namespace of the engines."""
        with open(filename, encoding="utf-8") as file:
            code = file.read()
        return self._execute(code, True, str(filename), targets, block, label or "run(%s)" % filename)

    # -- variables

    def push(self, ns: Dict[str, Any], targets: Any = None, block: Optional[bool] = None, track: Optional[bool] = None) -> Any:
        """Give the engines variables: {name: value}. TypeError unless it is a dict."""
        if not isinstance(ns, dict):
            raise TypeError("push takes a dict of names and values, not a %s" % type(ns).__name__)
        ids, single = self._targets(targets)
        about = About(self.label or "push(%s)" % ", ".join(map(str, list(ns)[:4])))
        ar = self._each("py.push", value_payload(dict(ns), self._by()), ids, single, about)
        return self._ended(ar, self.block if block is None else block)

    def update(self, ns: Dict[str, Any]) -> Any:
        """`push`, and wait."""
        return self.push(ns, block=True)

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def pull(self, names: Union[str, Iterable[str]], targets: Any = None, block: Optional[bool] = None) -> Any:
        """The values of variables of the engines: of one name, or lists for several. NameError there if one is missing."""
        if isinstance(names, str):
            what: Any = names
        else:
            try:
                what = list(names)
            except TypeError:
                raise TypeError("pull takes a name or several, not %r" % (names,)) from None
            for name in what:
                if not isinstance(name, str):
                    raise TypeError("names are strings, not %r" % (name,))
        ids, single = self._targets(targets)
        about = About(self.label or "pull(%s)" % (what if isinstance(what, str) else ", ".join(what)))
        ar = self._each("py.pull", value_payload(what), ids, single, about)
        return self._ended(ar, self.block if block is None else block)

    def get(self, key_s: Union[str, Iterable[str]]) -> Any:
        """`pull`, and wait."""
        return self.pull(key_s, block=True)

    def __getitem__(self, key: Union[str, Iterable[str]]) -> Any:
        return self.get(key)

    def scatter(
        self,
        key: str,
        seq: Any,
        dist: str = "b",
        flatten: bool = False,
        targets: Any = None,
        block: Optional[bool] = None,
        track: Optional[bool] = None,
    ) -> Optional[AsyncResult]:
        """Cut a sequence into one part for each engine, and give each its part as a variable.

        dist 'b': contiguous parts, the first ones longer by one where it does not come out even; 'r': dealt out one by
        one. `flatten`: a part of one item is stored as the item.
        """
        ids, single = self._targets(targets)
        d = _parts.distribution(dist)
        payloads = []
        for i in range(len(ids)):
            part = d.part(seq, i, len(ids))
            if flatten and len(part) == 1:
                part = part[0]
            payloads.append(value_payload({key: part}, self._by()))
        ar = self._each("py.push", payloads, ids, single, About(self.label or "scatter(%s)" % key))
        if self.block if block is None else block:
            self._ended(ar, True)
            return None
        return ar

    def gather(self, key: str, dist: str = "b", targets: Any = None, block: Optional[bool] = None) -> Any:
        """The parts of a variable of the engines, joined: arrays into one array, lists and tuples into one list.

        An AsyncMapResult unless the view blocks.
        """
        ids, _ = self._targets(targets)
        d = _parts.distribution(dist)
        about = About(self.label or "gather(%s)" % key)
        ar = self._each("py.pull", value_payload(key), ids, False, about, mapping=d.join, kind=AsyncMapResult)
        return self._ended(ar, self.block if block is None else block)

    def clear(self, targets: Any = None, block: Optional[bool] = None) -> Any:
        """Empty the namespaces of the engines."""
        return self.client.clear(self.targets if targets is None else targets, self.block if block is None else block)

    # -- imports

    @contextmanager
    def sync_imports(self, local: bool = True, quiet: bool = False) -> Iterator[None]:
        """In a `with` block: what is imported here is imported on the engines too.

            with dv.sync_imports():
                import numpy

        NotImplementedError for local=False: a module that is not here cannot be bound to a name here.
        """
        if not local:
            raise NotImplementedError("sync_imports(local=False): use dv.execute('import ...') for what is not to be imported here")
        original, me = builtins.__import__, threading.get_ident()
        depth = [0]

        def both(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
            outer = depth[0] == 0 and threading.get_ident() == me and level == 0
            depth[0] += 1
            try:
                module = original(name, globals, locals, fromlist, level)
            finally:
                depth[0] -= 1
            if outer:
                depth[0] += 1
                try:
                    self._import_there(name, fromlist or (), quiet)
                finally:
                    depth[0] -= 1
            return module

        builtins.__import__ = both
        try:
            yield
        finally:
            builtins.__import__ = original

    def _import_there(self, name: str, fromlist: Sequence[str], quiet: bool) -> None:
        if fromlist:
            code = "from %s import %s" % (name, ", ".join(fromlist))
        else:
            code = "import %s" % name
        if not quiet:
            if fromlist:
                print("importing %s from %s on engine(s)" % (", ".join(fromlist), name))
            else:
                print("importing %s on engine(s)" % name)
        self.execute(code, block=True)

    @property
    def importer(self) -> Any:
        """`sync_imports(local=True)`: `with dv.importer: import x`."""
        return self.sync_imports(local=True)

    # -- picklers

    def use_dill(self) -> Any:
        """Pickle functions and arguments of this view by dill, which must be installed here and on the engines (ImportError)."""
        import dill

        self._dump = lambda obj: dill.dumps(obj, 5)
        return self.apply_async(_importable, "dill")

    def use_cloudpickle(self) -> Any:
        """Pickle functions and arguments of this view by cloudpickle, which must be installed here and on the engines (ImportError)."""
        import cloudpickle

        self._dump = lambda obj: cloudpickle.dumps(obj, 5)
        return self.apply_async(_importable, "cloudpickle")

    def use_pickle(self) -> Any:
        """Pickle as at the beginning: by the standard pickle, and functions that engines cannot import by value."""
        self._dump = None
        return self.apply_async(_importable, "pickle")

    def activate(self, suffix: str = "") -> None:
        """Register the magics (%px, %%px, %autopx, ...) of IPython for this view, with a suffix to their names."""
        from .magics import activate

        activate(self, suffix)

    def _world_ids(self, ranks: Optional[int]) -> Optional[List[int]]:
        ids, _ = self._targets()
        if ranks is not None and ranks != len(ids):
            if ranks > len(ids):
                raise ValueError("ranks=%d: the view has %d engines" % (ranks, len(ids)))
            ids = ids[:ranks]
        return ids


def _importable(name: str) -> None:
    __import__(name)


def _values_of(args: Any) -> Any:
    """Arguments, with results replaced by their values."""
    out = []
    for a in args:
        if isinstance(a, AsyncResult):
            a = a.get()
        elif type(a) in (list, tuple) and any(isinstance(x, AsyncResult) for x in a):
            a = type(a)(x.get() if isinstance(x, AsyncResult) else x for x in a)
        out.append(a)
    return tuple(out)


class BroadcastView(DirectView):
    """A direct view for many engines: what is large goes to each node once, and down a tree of nodes.

    That is so for every direct view; `is_coalescing` is kept and has no further meaning.
    """

    _flag_names = View._flag_names + ("is_coalescing",)
    is_coalescing: bool = False


# ---------------------------------------------------------------------------------------------
# The balanced view


class LoadBalancedView(View):
    """Each call goes to an engine that is free.

        lbv = client.load_balanced_view()
        ar = lbv.apply_async(f, 3)
        for y in lbv.map(f, range(1000), ordered=False): ...

    Further flags: `after` (tasks that must have ended well before), `follow` (tasks on whose engine it is to run, after they
    have ended), `timeout` (seconds that these may take), `retries` (how often a call that failed, or brought its engine down, is
    tried again), `retries_lost` (how often one whose engine was lost through no fault of its own: None for five times, 0 for
    EngineError at once), `priority` (greater goes first), `need` (resources: {"cores": 2, "gpus": 1, "memory": bytes}), `limit`
    (seconds that a call may run).
    With `targets` only these engines are used.

    An AsyncResult among the arguments, also in a list or tuple there, stands for its value: the call runs when it is there.
    """

    _flag_names = View._flag_names + ("follow", "after", "timeout", "retries", "retries_lost", "priority", "need", "limit")
    follow: Any = None
    after: Any = None
    timeout: Optional[float] = None
    retries: int = 0
    retries_lost: Optional[int] = None
    priority: int = 0
    need: Optional[Dict[str, Any]] = None
    limit: Optional[float] = None

    def __init__(self, client: Any = None, socket: Any = None, **flags: Any) -> None:
        self.__dict__["_turn"] = itertools.count()
        self.__dict__["_loads"] = {}
        super().__init__(client, socket, **flags)

    def _checked(self, name: str, value: Any) -> Any:
        if name in ("follow", "after"):
            return _dependency(value)
        if name in ("timeout", "limit"):
            if value is None:
                return None
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                raise TypeError("%s=%r: seconds, or None" % (name, value))
            if value < 0:
                raise ValueError("%s=%r: cannot be negative" % (name, value))
            return float(value)
        if name == "retries_lost" and value is None:
            return None
        if name in ("retries", "retries_lost", "priority"):
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError("%s=%r: an integer" % (name, value))
            if name != "priority" and value < 0:
                raise ValueError("%s=%r: cannot be negative" % (name, value))
            return value
        if name == "need" and value is not None:
            if not isinstance(value, dict):
                raise TypeError("need=%r: a dict such as {'cores': 2, 'memory': 1 << 30}" % (value,))
            return dict(value)
        return super()._checked(name, value)

    # The common call takes this way, which must stay short.

    def _apply(self, f: Any, args: Any, kwargs: Any, block: Optional[bool], **more: Any) -> Any:
        fast = self._fast
        client = self.client
        link = client._link
        if fast is None or fast[2] is not link or link.lost is not None or fast[4] != link._drops:
            fast = self._ready(client._live())
            link = fast[2]
        if fast[1] is not f or dumps_function(f) is not fast[0]:
            fast = self._for(f)
        about = fast[5]
        if about is None or not _simple(map(type, args)) or kwargs:
            return self._apply_other(f, args, kwargs, block, fast)
        data = _pickle_dumps((args, None), 5)
        if len(data) >= _LIMIT:
            return self._apply_other(f, args, kwargs, block, fast)
        cell = Cell(None, None, about)
        cell.owner = ar = AsyncResult(client, (cell,), about.label, True, False, link)
        link.submit(fast[3], _head(_MAGIC, 0, len(data)) + data, cell)
        n = cell.n
        log = self._log
        if log and log[-1][2] + 1 == n and log[-1][0] is link:
            log[-1][2] = n
        else:
            self._note(link, n)
        return self._ended(ar, block) if block else ar

    def _ready(self, link: Link) -> Tuple[Any, ...]:
        fast = (None, None, link, 0, link._drops, None)
        self.__dict__["_fast"] = fast
        return fast

    def _for(self, f: Any) -> Tuple[Any, ...]:
        """What is known of calls of f: (code, f, link, work, drops, about; None where it is not that simple)."""
        link = self.client._live()
        code = self._code(f)
        label = self.label or name_of(f)
        no = self._work(link, "py.apply", code, label, None)
        plain = (
            self.targets is None and not self.follow and not self.after and not isinstance(f, (dependent, Reference)) and self._dump is None
        )
        fast = (code, f, link, no, link._drops, About(label) if plain else None)
        if len(code) < 1 << 20:
            self.__dict__["_fast"] = fast
        return fast

    def _work(self, link: Link, func: str, code: bytes, label: str, target: Optional[int]) -> int:
        need = self.need or {}
        key = (func, code, label, target, self.retries, self.retries_lost, self.priority, self.limit, tuple(sorted(need.items())) if need else None)

        def make() -> Tuple[Dict[str, Any], bytes]:
            text = dict(_nothing, func=func, label=label, target=target, retries_failed=self.retries, priority=self.priority)
            if self.retries_lost is not None:
                text["retries_lost"] = self.retries_lost or -1
            if need:
                text["need"] = _resources(need)
            if self.limit:
                text["limit"] = self.limit
            return text, code_of(code) if code else b""

        return link.work(key, make)

    def _apply_other(self, f: Any, args: Any, kwargs: Any, block: Optional[bool], fast: Tuple[Any, ...]) -> Any:
        code, _, link, no, _, about = fast
        more: List[str] = []
        if _holds_results(args, kwargs):
            payload, more = _payload_with_results(args, kwargs)
        else:
            payload = call_payload(args, kwargs, self._by())
        label = self.label or name_of(f)
        cell = Cell(None, None, about or About(label))
        ar = AsyncResult(self.client, (cell,), label, True, False, link)
        cell.owner = ar
        self._give(link, "py.apply", code, label, place(link, payload), cell, more, isinstance(f, dependent))
        return self._ended(ar, block)

    def _give(self, link: Link, func: str, code: bytes, label: str, placed: Any, cell: Cell, more: Sequence[str] = (), picky: bool = False) -> None:
        """Submit a task with all that the flags say."""
        after, deps = _edges(self.after)
        if self.follow:
            a, d = _edges(self.follow)
            after, deps = after + a, deps + d
        follow = sorted(self.follow) if self.follow else []
        if after or deps:
            cell.about.after, cell.about.follow = after + deps, follow
        target = self._choose(cell)
        if self.follow and target is None:
            _Follower(self, func, code, label, placed, cell, more, picky).wait(link, after, deps, follow)
            self._note(link, cell.n)
            return
        if picky:
            _Picky(self, func, code, label, placed, cell)
        send(link, self._work(link, func, code, label, target), placed, cell, after, list(deps) + [m for m in more if m not in deps], follow, more)
        self._note(link, cell.n)
        if self.timeout and (after or deps):
            _expire(cell, self.timeout)

    def _choose(self, cell: Cell) -> Optional[int]:
        """The engine, where the view is of certain engines: the one with the fewest of our tasks."""
        if self.targets is None:
            return None
        ids = self.client._targets(self.targets)
        if len(ids) == 1:
            return ids[0]
        loads = {id: 0 for id in ids}
        for c in list(cell.owner._client._link._open.values()):
            if isinstance(c.target, int) and c.target in loads:
                loads[c.target] += 1
        turn = next(self._turn)
        id = min(ids[turn % len(ids) :] + ids[: turn % len(ids)], key=loads.__getitem__)
        cell.target = id
        return id

    # -- maps

    def map(  # type: ignore[override]
        self,
        f: Callable[..., Any],
        *sequences: Any,
        block: Optional[bool] = None,
        chunksize: int = 1,
        ordered: bool = True,
        return_exceptions: bool = False,
        label: Optional[str] = None,
    ) -> Any:
        """f on each item of the sequences, each `chunksize` of them as one task: an AsyncMapResult, or the list of values.

        Iterating over it gives values as they come, if not `ordered`. Sequences of different lengths end with the
        shortest. With `return_exceptions` errors stand in the list.
        """
        if not sequences:
            raise TypeError("map takes a function and at least one sequence")
        if not isinstance(chunksize, int) or chunksize < 1:
            raise ValueError("chunksize=%r: an integer of at least 1" % (chunksize,))
        link = self.client._live()
        code, label = self._code(f), label or self.label or name_of(f)
        about = About(label)
        ar = AsyncMapResult(self.client, [], label, ordered, return_exceptions, link)
        cells: List[Cell] = []
        ar._cells = cells
        simple = self.targets is None and not self.follow and not self.after and not isinstance(f, dependent)
        items = list(zip(*sequences))
        if chunksize == 1:
            cells.extend([Cell(ar, None, about) for _ in items])
            func = "py.apply"
            payloads: Iterable[Any] = (call_payload(args, None, self._by()) for args in items)
        else:
            about.items = chunksize
            chunks = [items[i : i + chunksize] for i in range(0, len(items), chunksize)]
            cells.extend([Cell(ar, None, about) for _ in chunks])
            func = "py.batch"
            payloads = (value_payload([(args, None) for args in chunk], self._by()) for chunk in chunks)
        # The count is set before the first is sent: it may end while the others are being sent.
        ar._left = len(cells)
        if not cells:
            ar._state = "FINISHED"
        no = self._work(link, func, code, label, None) if simple else 0
        for cell, payload in zip(cells, payloads):
            if simple and type(payload) is bytes:
                link.submit(no, payload, cell)
                self._note(link, cell.n)
            elif simple:
                send(link, no, place(link, payload), cell)
                self._note(link, cell.n)
            else:
                self._give(link, func, code, label, place(link, payload), cell, (), isinstance(f, dependent) and chunksize == 1)
        link.flush()
        return self._ended(ar, self.block if block is None else block)

    def imap(  # type: ignore[override]
        self,
        f: Callable[..., Any],
        *sequences: Any,
        ordered: bool = True,
        max_outstanding: Union[int, str] = "auto",
        return_exceptions: bool = False,
    ) -> "LazyMapIterator":
        """f on each item of sequences that may be endless: an iterator over the values.

        At most `max_outstanding` calls are under way ("auto": twice the number of engines, at least 10; 0: no bound), so that items
        are taken only as values are. Its `cancel()` ends it.
        """
        if not sequences:
            raise TypeError("imap takes a function and at least one sequence")
        if max_outstanding == "auto":
            most = max(10, 2 * len(self.client._live().engines))
        elif isinstance(max_outstanding, int) and max_outstanding >= 0:
            most = max_outstanding
        else:
            raise ValueError("max_outstanding=%r: 'auto', or how many (0: no bound)" % (max_outstanding,))
        return LazyMapIterator(self, f, zip(*sequences), ordered, most, return_exceptions)

    def register_joblib_backend(self, name: str = "ipyparallel", make_default: bool = False) -> None:
        """Let joblib run its jobs by this view: `with joblib.parallel_backend(name): ...`."""
        from .joblib import register

        register(name, self, make_default)

    def _world_ids(self, ranks: Optional[int]) -> Optional[List[int]]:
        if self.targets is None:
            return None
        ids = self.client._targets(self.targets)
        if ranks is not None and ranks > len(ids):
            raise ValueError("ranks=%d: the view has %d engines" % (ranks, len(ids)))
        return ids[:ranks] if ranks else ids


def _resources(need: Dict[str, Any]) -> Dict[str, Any]:
    """Resources as the gateway reads them: known names as they are, others as custom ones."""
    out: Dict[str, Any] = {}
    for name, value in need.items():
        if name in ("cores", "gpus", "memory", "nodes", "ranks", "custom"):
            out[name] = value
        elif name == "time":
            out[name] = int(value * 1e9)
        else:
            out.setdefault("custom", {})[name] = value
    return out


def _dependency(value: Any) -> Optional[Dependency]:
    """What `after` and `follow` take, as a Dependency; ValueError for what it cannot be made of."""
    if value is None:
        return None
    if isinstance(value, Dependency):
        found = value
    else:
        if isinstance(value, (int, float)):
            raise ValueError("%r is neither a task's id nor a result, nor a collection of them" % (value,))
        try:
            found = Dependency(value)
        except TypeError as e:
            raise ValueError(str(e)) from None
    if not found:
        return None
    for name in found:
        client, dot, n = name.partition(".")
        if not (dot and client.isdigit() and n.isdigit()):
            raise ValueError("%r is no id of a task: they look like 7.12" % name)
    if len(found) > 1 and not found.all or not found.success:
        raise NotImplementedError(
            "a Dependency on any one of several tasks, or on failure alone, is not there: wait for it here, by ar.wait(return_when=...)"
        )
    return found


def _edges(dependency: Optional[Dependency]) -> Tuple[List[str], List[str]]:
    """The tasks that must have ended, and those that must have ended well."""
    if not dependency:
        return [], []
    names = sorted(dependency)
    return (names, []) if dependency.failure else ([], names)


def _expire(cell: Cell, timeout: float) -> None:
    """Give a task up that waits for others for too long."""

    def over() -> None:
        if cell.end is not None or cell.link.lost is not None:
            return
        try:
            row = cell.link.ask("task", 10.0, id=cell.id)[0]
        except Exception:
            return
        if row.get("state") != "waiting" or cell.end is not None:
            return
        text = b'{"kind": "timed out", "text": "what the task waits for has not ended within its timeout of %g s"}' % timeout
        data = len(text).to_bytes(4, "little") + text
        cell.link._open.pop(cell.n, None)
        cell.link.settle(cell, (cell.n, _gateway.ERRORED, 0, _gateway.HAS_FAIL, -1, 0, 0, 0, len(data)), data)
        cell.link.numbers(_gateway.CANCEL, [cell.n])
        cell.link._run_due()

    timer = threading.Timer(timeout, over)
    timer.daemon = True
    timer.start()


class _Follower:
    """The owner of a task that is to run on the engine where others have run, which is known when they have ended.

    Until then an empty task stands for it, which waits for the same ones; if they fail it fails as the task would.
    """

    __slots__ = ("view", "how", "more", "picky", "cell", "owner", "names", "engines", "_left", "_more", "_state")

    def __init__(
        self, view: LoadBalancedView, func: str, code: bytes, label: str, placed: Any, cell: Cell, more: Sequence[str], picky: bool
    ) -> None:
        self.view, self.how, self.more, self.picky = view, (func, code, label, placed), list(more), picky
        self.cell, self.owner = cell, cell.owner
        self.names: List[str] = []
        self.engines: List[int] = []
        self._left, self._state = 1, "PENDING"
        self._more = _gateway.More()
        self._more.callbacks = []  # so that we are called
        cell.owner = self

    def wait(self, link: Link, after: Sequence[str], deps: Sequence[str], follow: Sequence[str]) -> None:
        """Submit the empty task."""
        self.names = list(follow)
        no = self.view._work(link, "py.pull", b"", self.how[2], None)
        send(link, no, place(link, value_payload([], self.view._by())), self.cell, after, deps, follow)

    def _finished(self) -> None:
        end = self.cell.end
        assert end is not None
        if end[1] != _gateway.DONE:
            _pass_on(self.cell, self.owner, end, self.cell.data)
            return
        for name in self.names:
            self.cell.link.ask_later("task", self._answered, id=name)

    def _answered(self, answer: Any) -> None:
        self.engines.append(int(answer.text.get("engine", -1)) if answer.ok else -1)
        if len(self.engines) < len(self.names):
            return
        cell, link = self.cell, self.cell.link
        end = cell.end
        assert end is not None
        func, code, label, placed = self.how
        if len(set(self.engines)) > 1 or self.engines[0] not in link.engines:
            where = ", ".join(str(e) for e in sorted(set(self.engines)))
            text = "%s is to run where others have run, and they have on engines %s" % (label, where)
            data = b'{"kind": "cannot be satisfied", "text": ' + _json(text) + b"}"
            data = len(data).to_bytes(4, "little") + data
            _pass_on(cell, self.owner, (end[0], _gateway.ERRORED, 0, _gateway.HAS_FAIL) + end[4:8] + (len(data),), data)
            return
        cell.end, cell.owner, cell.shown = None, self.owner, None
        if self.picky:
            _Picky(self.view, func, code, label, placed, cell)
        send(link, self.view._work(link, func, code, label, self.engines[0]), placed, cell, (), self.more, (), self.more)
        link.flush()


def _pass_on(cell: Cell, owner: Any, end: Tuple[int, ...], data: bytes) -> None:
    """Let the end of a cell count for its real owner."""
    cell.end, cell.owner = None, owner
    cell.link.settle(cell, end, data)
    cell.link._run_due()


class _Picky:
    """The owner of a task that an engine may refuse (UnmetDependency, TaskRejectError): it is tried on all others then.

    It stands between the cell and the result, which counts the cell when it has really ended.
    """

    __slots__ = ("view", "how", "cell", "owner", "tried", "_left", "_more", "_state")

    def __init__(self, view: LoadBalancedView, func: str, code: bytes, label: str, placed: Any, cell: Cell) -> None:
        self.view, self.how, self.cell, self.owner = view, (func, code, label, placed), cell, cell.owner
        self.tried: Set[int] = set()
        self._left, self._state = 1, "PENDING"
        self._more = _gateway.More()
        self._more.callbacks = []  # so that we are called
        cell.owner = self
        cell.hold = placed if type(placed) is not bytes else None

    def _finished(self) -> None:
        cell, end = self.cell, self.cell.end
        assert end is not None
        if end[1] == _gateway.ERRORED and end[4] >= 0:
            failure, rest = _gateway.failure_of(cell)
            told = _gateway.value_of(cell, rest) if rest else None
            if told and told.get("ename") in ("UnmetDependency", "TaskRejectError"):
                self.tried.add(end[4])
                if self._again(cell.link):
                    return
                text = "no engine is fit for %s: %s" % (self.how[2], told.get("evalue"))
                data = b'{"kind": "cannot be satisfied", "text": ' + _json(text) + b"}"
                data = len(data).to_bytes(4, "little") + data
                _pass_on(cell, self.owner, (end[0], end[1], 0, _gateway.HAS_FAIL) + end[4:8] + (len(data),), data)
                return
        _pass_on(cell, self.owner, end, cell.data)

    def _again(self, link: Link) -> bool:
        ids = self.view.client._targets(self.view.targets) if self.view.targets is not None else list(link.engines)
        left = [i for i in ids if i not in self.tried]
        if not left or link.lost is not None:
            return False
        func, code, label, placed = self.how
        cell = self.cell
        cell.end, cell.owner, cell.shown = None, self, None
        self._left = 1
        send(link, self.view._work(link, func, code, label, left[0]), placed, cell)
        link.flush()
        return True


def _json(text: str) -> bytes:
    import json

    return json.dumps(text).encode()


class LazyMapIterator:
    """The values of a map over items that are taken as needed. `cancel()` stops what is under way."""

    def __init__(self, view: LoadBalancedView, f: Any, items: Iterator[Any], ordered: bool, most: int, return_exceptions: bool) -> None:
        self._view, self._f, self._items, self._ordered = view, f, items, ordered
        self._most, self._keep = most, return_exceptions
        self._under_way: "deque[AsyncResult]" = deque()
        self._over = False
        self._come: "deque[AsyncResult]" = deque()
        self._bell = threading.Condition()
        self._fill()

    def _fill(self) -> None:
        while not self._over and (not self._most or len(self._under_way) < self._most):
            try:
                args = next(self._items)
            except StopIteration:
                self._over = True
                return
            ar = self._view._apply(self._f, args, {}, False)
            self._under_way.append(ar)
            if not self._ordered:
                ar.add_done_callback(self._arrived)

    def _arrived(self, ar: AsyncResult) -> None:
        with self._bell:
            self._come.append(ar)
            self._bell.notify()

    def __iter__(self) -> "LazyMapIterator":
        return self

    def __next__(self) -> Any:
        if not self._under_way:
            raise StopIteration
        if self._ordered:
            ar = self._under_way[0]
            ar.wait()
            self._under_way.popleft()
        else:
            ar = self._first()
            self._under_way.remove(ar)
        self._fill()
        return ar.get(return_exceptions=self._keep)

    def _first(self) -> AsyncResult:
        for link in {link for ar in self._under_way for link in ar._links()}:
            link.flush()
        with self._bell:
            while not self._come:
                self._bell.wait()
            return self._come.popleft()

    def cancel(self) -> None:
        """Take no more items, and stop the calls that are under way."""
        self._over = True
        for ar in list(self._under_way):
            if not ar.done():
                ar.cancel()
        self._under_way.clear()


# ---------------------------------------------------------------------------------------------


class ViewExecutor(Executor):
    """A `concurrent.futures.Executor` by a view. Its end waits for what it was given, and never stops engines."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._results: Set[AsyncResult] = set()
        self._down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:  # type: ignore[override]
        """Call fn(*args, **kwargs): an AsyncResult. RuntimeError after `shutdown`."""
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        ar = self.view.apply_async(fn, *args, **kwargs)
        self._results.add(ar)
        ar.add_done_callback(self._results.discard)
        return ar

    def map(self, fn: Callable[..., Any], *iterables: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        """fn on each item: an iterator over the values. `timeout` is ignored, with a warning; the rest is the view's map's."""
        if self._down:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if kwargs.pop("timeout", None) is not None:
            warnings.warn("ViewExecutor.map ignores timeout", stacklevel=2)
        kwargs.pop("buffersize", None)
        if isinstance(self.view, DirectView):
            kwargs.pop("chunksize", None)
        ar = self.view.map_async(fn, *iterables, **kwargs)
        self._results.add(ar)
        ar.add_done_callback(self._results.discard)
        return iter(ar)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those that were made. `cancel_futures` stops them first."""
        self._down = True
        pending = list(self._results)
        if cancel_futures:
            for ar in pending:
                ar.cancel()
        if wait:
            for ar in pending:
                ar.wait()

"""What all views have in common: calls as bytes and how they are sent, the base class, and worlds of ranks."""

from __future__ import annotations

import itertools
import pickle
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from . import _pack
from ._gateway import Cell, Link
from ._pickle import dumps_function
from .asyncresult import About, AsyncMapResult, AsyncResult
from .dependency import Reference
from .errors import NoEnginesRegistered

if TYPE_CHECKING:
    from .view import ViewExecutor

__all__: List[str] = []

_simple = frozenset((type(None), bool, int, float, complex, str, bytes)).issuperset
_pickle_dumps = pickle.dumps
_head = struct.Struct("<IIQ").pack
_MAGIC = _pack.MAGIC
_LIMIT = _pack.INLINE
_nothing = {"func": "", "label": "", "target": None, "echo": True}


def call_payload(args: Any, kwargs: Any, dump: Any = None) -> Any:
    """(args, kwargs) as bytes; as Parts where they are long."""
    if _simple(map(type, args)) and (not kwargs or _simple(map(type, kwargs.values()))):
        data = _pickle_dumps((args, kwargs or None), 5)
        if len(data) < _LIMIT:
            return _head(_MAGIC, 0, len(data)) + data
        return _pack.Parts(_head(_MAGIC, 0, len(data)), data, ())
    return value_payload((args, kwargs or None), dump)


def value_payload(obj: Any, dump: Any = None) -> Any:
    """An object as bytes; as Parts where it is long."""
    parts = _pack.parts(obj, dump)
    return parts.join() if parts.size <= _LIMIT else parts


def code_of(data: bytes) -> bytes:
    """The pack of a pickled function."""
    return _head(_MAGIC, 0, len(data)) + data


class _Shared:
    """A blob that tasks refer to: given up when the last of them has ended."""

    __slots__ = ("space", "ref", "__weakref__")

    def __init__(self, space: Any, ref: Any) -> None:
        self.space, self.ref = space, ref

    def text(self) -> Dict[str, Any]:
        r = self.ref
        return {"blob": {"node": r.node, "life": r.life, "n": r.n}, "size": r.size, "crc32c": r.sum}

    def __del__(self) -> None:
        try:
            self.space.drop(self.ref)
        except Exception:  # at the end of the interpreter
            pass


def place(link: Link, payload: Any) -> Any:
    """Put what is long into the node's store: bytes, or a `_Shared`."""
    if type(payload) is bytes:
        return payload
    space = link.blobs()
    if space is None:
        return payload.join()
    return _Shared(space, space.put(payload))


def send(link: Link, no: int, placed: Any, cell: Cell, after: Sequence[str] = (), deps: Sequence[str] = (), follow: Sequence[str] = (),
         more: Sequence[str] = ()) -> None:  # fmt: skip
    """Submit a task whose argument was placed; more names tasks whose results are further arguments."""
    if type(placed) is bytes:
        if not (after or deps or follow or more):
            link.submit(no, placed, cell)
            return
        args: List[Dict[str, Any]] = [{"len": len(placed)}]
        data = [placed]
    else:
        args, data = [{"ref": placed.text()}], []
        cell.hold = placed
    text: Dict[str, Any] = {"args": args + [{"from": name} for name in more]}
    for key, names in (("after", after), ("deps", deps), ("follow", follow)):
        if names:
            text[key] = list(names)
    link.submit_task(no, text, data, cell)


def name_of(f: Any) -> str:
    """What people call the function."""
    return getattr(f, "__qualname__", None) or getattr(f, "__name__", None) or type(f).__name__


def _holds_results(args: Any, kwargs: Any) -> bool:
    for a in itertools.chain(args, kwargs.values()):
        if isinstance(a, AsyncResult):
            return True
        if type(a) in (list, tuple) and any(isinstance(x, AsyncResult) for x in a):
            return True
    return False


def _payload_with_results(args: Any, kwargs: Any) -> Tuple[Any, List[str]]:
    """A payload in which results stand for what they will be, and the tasks they are of."""
    from . import _pickle

    names: List[str] = []
    several: List[AsyncResult] = []

    def known(obj: Any) -> Any:
        if not isinstance(obj, AsyncResult):
            return None
        if not obj._single:
            several.append(obj)
            raise TypeError("several tasks")
        name = obj.msg_ids[0]
        if name not in names:
            names.append(name)
        return ("arg", names.index(name))

    def dump(obj: Any, take: Any) -> bytes:
        return _pickle.dumps(obj, buffer_callback=take, persistent_id=known)

    try:
        return value_payload((args, kwargs or None), dump), names
    except pickle.PicklingError:
        if several:
            raise TypeError("the result of several tasks cannot be an argument: use its parts, ar.split()") from None
        raise


# ---------------------------------------------------------------------------------------------


class View:
    """What direct and balanced views have in common.

    Flags: `block` (calls wait, and give values in place of AsyncResults), `targets` (the engines), `track` (kept, and
    without meaning: arguments may be changed as soon as a call returns), `label` (a name for people).
    They are attributes, arguments of `set_flags` and `temp_flags`.
    """

    _flag_names: Tuple[str, ...] = ("targets", "block", "track", "label")
    block: bool = False
    track: bool = False
    targets: Any = None
    label: Optional[str] = None

    def __init__(self, client: Any = None, socket: Any = None, **flags: Any) -> None:
        d = self.__dict__
        d["client"] = client
        d["_fast"] = None
        d["_dump"] = None  # another pickler than ours
        d["_log"] = []  # [link, first, last] of what was submitted
        d["block"] = bool(getattr(client, "block", False))
        self.set_flags(**flags)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value
        self.__dict__["_fast"] = None

    def __repr__(self) -> str:
        text = repr(self.targets)
        return "<%s %s>" % (type(self).__name__, text if len(text) < 20 else text[:16] + "...")

    def __len__(self) -> int:
        t = self.targets
        if isinstance(t, (list, tuple)):
            return len(t)
        return 1 if isinstance(t, int) else len(self.client)

    def __bool__(self) -> bool:
        return True

    # -- flags

    def set_flags(self, **flags: Any) -> "View":
        """Set flags, and give the view. KeyError for a name that is none."""
        for name, value in flags.items():
            if name not in self._flag_names:
                raise KeyError("%s has no flag %r: %s" % (type(self).__name__, name, ", ".join(self._flag_names)))
            setattr(self, name, self._checked(name, value))
        return self

    def _checked(self, name: str, value: Any) -> Any:
        return bool(value) if name in ("block", "track") and value is not None else value

    @contextmanager
    def temp_flags(self, **flags: Any) -> Iterator[None]:
        """Set flags for the length of a `with` block."""
        before = {name: getattr(self, name) for name in self._flag_names}
        self.set_flags(**flags)
        try:
            yield
        finally:
            for name, value in before.items():
                setattr(self, name, value)

    # -- calls

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call f(*args, **kwargs) on the engines: its value if the view blocks, else an AsyncResult."""
        return self._apply(f, args, kwargs, self.block)

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """Call f(*args, **kwargs) on the engines, and give an AsyncResult at once."""
        return self._apply(f, args, kwargs, False)

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call f(*args, **kwargs) on the engines, wait, and give its value."""
        return self._apply(f, args, kwargs, True)

    def _apply(self, f: Any, args: Any, kwargs: Any, block: Optional[bool], **more: Any) -> Any:
        raise NotImplementedError

    def map(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> Any:
        """Call f on each item of the sequences, as the builtin map does."""
        raise NotImplementedError

    def map_async(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> AsyncMapResult:
        """`map` that does not wait. TypeError if it is given `block`."""
        if "block" in kwargs:
            raise TypeError("map_async does not take block: it never waits")
        return self.map(f, *sequences, block=False, **kwargs)

    def map_sync(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> Any:
        """`map` that waits, and gives the values. TypeError if it is given `block`."""
        if "block" in kwargs:
            raise TypeError("map_sync does not take block: it always waits")
        return self.map(f, *sequences, block=True, **kwargs)

    def imap(self, f: Callable[..., Any], *sequences: Any, **kwargs: Any) -> Iterator[Any]:
        """`map` as an iterator over the values."""
        return iter(self.map_async(f, *sequences, **kwargs))

    # -- waiting for and asking about what was submitted

    def _ended(self, ar: AsyncResult, block: Optional[bool]) -> Any:
        """The AsyncResult, or its value; Ctrl-C while it is waited for gives the AsyncResult."""
        if not block:
            return ar
        try:
            return ar.get()
        except KeyboardInterrupt:
            return ar

    def _note(self, link: Link, n: int, last: int = 0) -> None:
        log = self.__dict__["_log"]
        if log and log[-1][2] + 1 == n and log[-1][0] is link:
            log[-1][2] = last or n
        else:
            log.append([link, n, last or n])

    def _note_cells(self, cells: Sequence[Cell]) -> None:
        for cell in cells:
            self._note(cell.link, cell.n)

    @property
    def history(self) -> List[str]:
        """The ids of all tasks that were submitted by this view."""
        return ["%d.%d" % (link.number, n) for link, first, last in self._log for n in range(first, last + 1)]

    @property
    def outstanding(self) -> Set[str]:
        """The ids of those that have not ended."""
        return {"%d.%d" % (link.number, n) for link, first, last in self._log for n in list(link._open) if first <= n <= last}

    @property
    def results(self) -> Any:
        """The client's results, by id."""
        return self.client.results

    @property
    def executor(self) -> "ViewExecutor":
        """A `concurrent.futures.Executor` that submits by this view."""
        from .view import ViewExecutor

        return ViewExecutor(self)

    def wait(self, jobs: Any = None, timeout: Optional[float] = -1) -> bool:
        """Wait for tasks (default: all of this view's), at most `timeout` seconds; whether they have ended."""
        return self.client.wait(self.history if jobs is None else jobs, timeout)

    def spin(self) -> None:
        """Nothing: results come by themselves."""

    def abort(self, jobs: Any = None, targets: Any = None, block: Optional[bool] = None) -> None:
        """Stop tasks, also those that run (default: all of this view's): see `Client.abort`."""
        if jobs is None and targets is None:
            jobs = sorted(self.outstanding)
            if not jobs:
                return None
        return self.client.abort(jobs, targets, self.block if block is None else block)

    def queue_status(self, targets: Any = None, verbose: bool = False) -> Dict[Any, Any]:
        """What the engines have to do: see `Client.queue_status`."""
        return self.client.queue_status(self.targets if targets is None else targets, verbose)

    def purge_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Give up results: see `Client.purge_results`."""
        self.client.purge_results(jobs, targets)

    def shutdown(self, targets: Any = None, restart: bool = False, hub: bool = False, block: Optional[bool] = None) -> Any:
        """Stop the engines: see `Client.shutdown`."""
        return self.client.shutdown(self.targets if targets is None else targets, restart, hub, self.block if block is None else block)

    def get_result(self, indices_or_msg_ids: Any = None, block: Optional[bool] = None, owner: bool = False) -> Any:
        """Results by id, of any client: see `Client.get_result`. None and integers are places in this view's history."""
        what = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        if isinstance(what, (int, slice)):
            what = self.history[what]
        elif isinstance(what, (list, tuple)):
            h = self.history
            what = [h[i] if isinstance(i, int) else i for i in what]
        return self.client.get_result(what, self.block if block is None else block, owner)

    def remote(self, block: Optional[bool] = None, **flags: Any) -> Callable[[Callable[..., Any]], Any]:
        """A decorator: the function, when called, runs on the engines of this view."""
        from .remotefunction import remote

        return remote(self, self.block if block is None else block, **flags)

    def parallel(self, dist: str = "b", block: Optional[bool] = None, **flags: Any) -> Callable[[Callable[..., Any]], Any]:
        """A decorator: the function, when called with sequences, runs on parts of them on the engines of this view.

        `f(seq)` calls it with whole parts, `f.map(seq)` with each item.
        """
        from .remotefunction import parallel

        return parallel(self, dist, self.block if block is None else block, **flags)

    # -- shared by both kinds

    def _code(self, f: Any) -> bytes:
        if isinstance(f, Reference):
            return _reference_code(f.name)
        if not callable(f):
            raise TypeError("%r cannot be called" % (f,))
        if self._dump is not None:
            return self._dump(f)
        return dumps_function(f)

    def _by(self) -> Any:
        """The pickler of arguments, None for ours."""
        if self._dump is None:
            return None
        dump = self._dump
        return lambda obj, take: dump(obj)

    def world(self, ranks: Optional[int] = None) -> "WorldView":
        """A view whose calls are of several ranks with a communicator: f(comm, ...) on engines that all start together.

            view.world(ranks=4).apply_sync(lambda comm: comm.allreduce(comm.rank))
        """
        return WorldView(self, ranks)

    def apply_world(self, f: Callable[..., Any], /, *args: Any, ranks: Optional[int] = None, **kwargs: Any) -> Any:
        """Call f(comm, *args, **kwargs) on engines that are the ranks of a world of their own: a list of its values by rank.

        Of a direct view on exactly its engines, rank = place; of a balanced view on any `ranks` engines (default:
        all). An AsyncResult unless the view blocks. If ranks fail the others hear of it at their next call of the
        communicator, and one CompositeError has the failures of all.
        """
        link = self.client._live()
        ids = self._world_ids(ranks)
        n = len(ids) if ids is not None else (len(link.engines) if ranks is None else ranks)
        if n < 1:
            raise NoEnginesRegistered() if ranks is None else ValueError("ranks=%r: a world has at least one rank" % (ranks,))
        code, label = self._code(f), self.label or name_of(f)

        def make() -> Tuple[Dict[str, Any], bytes]:
            need = {"ranks": n}
            return dict(_nothing, func="py.apply", label=label, engines=ids, need=need, retries_lost=-1), code_of(code)

        no = link.work(("world", code, label, n, tuple(ids) if ids is not None else None), make)
        payload = value_payload((args, kwargs or None, {"comm": True}), self._by())
        cell = Cell(None, None, About(label, "world"))
        ar = AsyncResult(self.client, (cell,), label, True, link=link)
        cell.owner = ar
        send(link, no, place(link, payload), cell)
        self._note(link, cell.n)
        return self._ended(ar, self.block)

    def _world_ids(self, ranks: Optional[int]) -> Optional[List[int]]:
        return None


_references: Dict[str, bytes] = {}


def _reference_code(name: str) -> bytes:
    """The code of a call of what the engine has by a name."""
    code = _references.get(name)
    if code is None:
        from .dependency import _resolve

        class _Caller:
            def __reduce__(self) -> Any:
                return _resolve, (name,)

        code = _references[name] = pickle.dumps(_Caller(), 5)
    return code


class WorldView:
    """Calls of several ranks with a communicator: see `View.world`."""

    def __init__(self, view: View, ranks: Optional[int] = None) -> None:
        self.view, self.ranks = view, ranks

    def apply(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """f(comm, *args, **kwargs) on all ranks: a list by rank if the view blocks, else an AsyncResult."""
        return self._call(f, args, kwargs, self.view.block)

    def apply_async(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> AsyncResult:
        """f(comm, *args, **kwargs) on all ranks, without waiting."""
        return self._call(f, args, kwargs, False)

    def apply_sync(self, f: Callable[..., Any], /, *args: Any, **kwargs: Any) -> List[Any]:
        """f(comm, *args, **kwargs) on all ranks: the list of its values by rank."""
        return self._call(f, args, kwargs, True)

    def _call(self, f: Any, args: Any, kwargs: Any, block: bool) -> Any:
        with self.view.temp_flags(block=False):
            ar = self.view.apply_world(f, *args, ranks=self.ranks, **kwargs)
        return self.view._ended(ar, block)

    def __len__(self) -> int:
        return self.ranks if self.ranks is not None else len(self.view)

    def __repr__(self) -> str:
        return "<WorldView of %d ranks: %r>" % (len(self), self.view)

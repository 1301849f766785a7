"""The connection to a cluster.

    import tutti
    rc = tutti.Client()                    # the cluster that runs; or: with tutti.Cluster(n=4) as rc:
    rc[:].apply_sync(os.getpid)            # on every engine
    lbv = rc.load_balanced_view()          # on any
    lbv.map_sync(f, range(100))
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Mapping as _Mapping
from concurrent.futures import Future
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union

from . import _gateway
from ._gateway import Answer, Cell, Link
from .asyncresult import About, AsyncHubResult, AsyncResult, HubCell, Metadata, _metadata
from .errors import EngineError, KernelError, NoEnginesRegistered
from .view import BroadcastView, DirectView, LoadBalancedView, ViewExecutor, value_payload

__all__ = ["Client"]

_TRANSPORT = {
    "sshserver": "tunnels are made by ssh itself: ssh -L, or run the program on the cluster",
    "password": "there are no tunnels, so there is nothing to log in to",
    "paramiko": "there are no tunnels",
    "sshkey": "there are no tunnels",
}
_FINAL = ("done", "failed", "cancelled")


class Client:
    """A connection to a cluster.

    Which one: `cluster` (a `Cluster`), `connection_info` or `url_file` (the file that a Cluster leaves, or a gateway's socket),
    `cluster_id` (of a Cluster, or the name of a cluster that `tutti start` started), `profile` (likewise such a name), else $TUTTI_GATEWAY,
    $TUTTI_CLUSTER, the newest Cluster of this user, and what `tutti start` started.

    OSError if there is none, TimeoutError if it does not answer in `timeout` seconds, ValueError if the file is no such.
    `client[0]`, `client[::2]`, `client[[0, 3]]` and `client[:]` are direct views. As a context manager it is closed at the end.
    """

    def __init__(
        self,
        connection_info: Any = None,
        *,
        url_file: Optional[str] = None,
        profile: Optional[str] = None,
        profile_dir: Optional[str] = None,
        ipython_dir: Optional[str] = None,
        context: Any = None,
        debug: bool = False,
        sshserver: Optional[str] = None,
        sshkey: Optional[str] = None,
        password: Optional[str] = None,
        paramiko: Optional[bool] = None,
        timeout: Optional[float] = 10,
        cluster_id: Optional[str] = None,
        cluster: Any = None,
        **extra_args: Any,
    ) -> None:
        for name, value in (("sshserver", sshserver), ("password", password), ("paramiko", paramiko), ("sshkey", sshkey)):
            if value:
                raise NotImplementedError("%s: the client talks to a process on this machine; %s" % (name, _TRANSPORT[name]))
        for name in ["context"] * (context is not None) + sorted(extra_args):
            warnings.warn("Client(%s=...) has no meaning here and is ignored" % name, stacklevel=2)
        self.debug, self.block, self.profile = bool(debug), False, profile or ""
        self._closed = False
        self._again: Optional[Callable[[], str]] = None  # how a lost gateway is replaced
        self.cluster = cluster
        self._timeout = timeout
        path = self._find(connection_info, url_file, profile, profile_dir, cluster_id, cluster)
        self._changed = threading.Condition()
        self._link = self._connect(path)
        if self.cluster is None:
            self.cluster = _cluster_of(path)

    # -- the connection

    def _find(self, info: Any, url_file: Optional[str], profile: Optional[str], profile_dir: Optional[str], cluster_id: Optional[str],
              cluster: Any) -> str:  # fmt: skip
        """The socket of the gateway."""
        if info is None and url_file is not None:
            info = url_file
        if info is None and os.environ.get("IPP_CONNECTION_INFO") and not (profile or cluster_id or cluster):
            info = json.loads(os.environ["IPP_CONNECTION_INFO"])
        if info is not None:
            return _socket_of(info)
        if cluster is not None:
            controller = getattr(cluster, "controller", None)
            if controller is None or not controller.socket:
                raise OSError("the cluster has not been started: call start_cluster_sync()")
            return controller.socket
        cluster_id = cluster_id or (None if profile else os.environ.get("IPP_CLUSTER_ID"))
        if not (cluster_id or profile or profile_dir) and os.environ.get("TUTTI_GATEWAY"):
            return os.environ["TUTTI_GATEWAY"]
        if not profile and (cluster_id or profile_dir or not os.environ.get("TUTTI_CLUSTER")):
            path = _of_files(profile_dir, cluster_id)
            if path is not None:
                return path
        name = cluster_id or profile or os.environ.get("TUTTI_CLUSTER") or "default"
        self._again = lambda: _gateway.join_cluster(name, self._timeout)
        try:
            return self._again()
        except TimeoutError:
            raise
        except OSError as e:
            raise OSError("there is no cluster to connect to: %s\nstart one by `tutti start`, or by tutti.Cluster(n=4)" % e) from None

    def _connect(self, path: str) -> Link:
        link = Link(path, os.path.basename(sys.argv[0] or "") or "python", self._timeout)
        me = weakref.ref(self)

        def changed(link: Link) -> None:
            client = me()
            if client is not None and not client._closed:
                with client._changed:
                    client._changed.notify_all()

        def lost(link: Link, why: str) -> None:
            client = me()
            if client is None:
                link.fail_open(why)
            else:
                client._lost(link, why)

        link.on_change, link.on_lost = changed, lost
        weakref.finalize(self, _gateway.close_later, link).atexit = False
        return link

    def _lost(self, link: Link, why: str) -> None:
        """The gateway has gone. Of a cluster of its own all is lost; to another one we come back."""
        if link.own or self._again is None or self._closed:
            what = "the cluster ended with its gateway" if link.own else "the connection to the cluster was lost"
            link.lost = "%s (process %s): %s" % (what, link.welcome.get("pid"), why)
            link.fail_open(link.lost)
            with self._changed:
                self._changed.notify_all()
            return
        threading.Thread(target=self._come_back, args=(link, why), name="tutti-reconnect", daemon=True).start()

    def _come_back(self, old: Link, why: str) -> None:
        """Connect anew, and ask for the ends of what was under way."""
        over = time.monotonic() + 10.0
        while True:
            try:
                assert self._again is not None
                new = self._connect(self._again())
                break
            except (OSError, KernelError) as e:
                if time.monotonic() > over or self._closed:
                    old.lost = "the connection to the cluster was lost (%s), and it did not come back: %s" % (why, e)
                    old.fail_open(old.lost)
                    old._run_due()
                    return
                time.sleep(0.2)
        self._link = new
        cells, old._open = old._open, {}
        for n, cell in cells.items():
            try:
                new.ask_later("outcome", _passing(old, cell, n), id="%d.%d" % (old.number, n))
            except EngineError:
                pass

    def _live(self) -> Link:
        """The link, if it is good."""
        link = self._link
        if link.lost is not None:
            over = time.monotonic() + 12.0
            while self._again is not None and not self._closed and self._link is link and not link.own and time.monotonic() < over:
                time.sleep(0.02)  # until _come_back has replaced it
            link = self._link
            if link.lost is not None:
                link.refuse()
        return link

    def _ask(self, verb: str, timeout: Optional[float] = 30.0, **question: Any) -> Dict[str, Any]:
        return self._live().ask(verb, timeout, **question)[0]

    def close(self, linger: Optional[float] = None) -> None:
        """Leave the cluster. What was submitted goes on; `get_result(id)` of another client fetches its results."""
        self._closed = True
        self._link.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        link = self._link
        state = "closed" if self._closed else ("lost" if link.lost is not None else "%d engines" % len(link.engines))
        return "<Client %d of cluster %s: %s>" % (link.number, link.welcome.get("cluster") or "?", state)

    # -- engines

    @property
    def ids(self) -> List[int]:
        """The numbers of the engines that are there now."""
        return list(self._link.engines)

    def __len__(self) -> int:
        return len(self._link.engines)

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[DirectView]:
        for id in self.ids:
            yield self.direct_view(id)

    def __getitem__(self, key: Any) -> DirectView:
        if not isinstance(key, (int, slice, tuple, list, range)) or isinstance(key, bool):
            raise TypeError("engines are named by int, slice, or a list of numbers, not by %s" % type(key).__name__)
        if isinstance(key, int):
            return self.direct_view(self._targets(key)[0])
        return self.direct_view(self._targets(key))

    def _targets(self, targets: Any) -> List[int]:
        """The numbers of engines: of an int (negative: from the end), a slice, a collection of ints, 'all' or None."""
        ids = self._live().engines
        if targets is None or (isinstance(targets, str) and targets == "all"):
            if not ids:
                raise NoEnginesRegistered()
            return list(ids)
        if isinstance(targets, bool) or isinstance(targets, (str, bytes, float)):
            raise TypeError("engines are named by int, slice, a collection of ints, or 'all', not by %r" % (targets,))
        if not ids:
            raise NoEnginesRegistered()
        if isinstance(targets, int):
            return [self._one(targets, ids)]
        if isinstance(targets, slice):
            return list(ids[targets])
        try:
            wanted = list(targets)
        except TypeError:
            raise TypeError("engines are named by int, slice, a collection of ints, or 'all', not by %r" % (targets,)) from None
        for t in wanted:
            if not isinstance(t, int) or isinstance(t, bool):
                raise TypeError("engines are named by ints, not by %r" % (t,))
        return [self._one(t, ids) for t in wanted]

    @staticmethod
    def _one(t: int, ids: Sequence[int]) -> int:
        if t < 0:
            if -t > len(ids):
                raise IndexError("there is no engine %d: there are %d" % (t, len(ids)))
            return ids[t]
        if t not in ids:
            raise IndexError("there is no engine %d: there are %s" % (t, ", ".join(map(str, ids[:20])) + (", ..." if len(ids) > 20 else "")))
        return t

    def direct_view(self, targets: Any = "all", **flags: Any) -> DirectView:
        """A view of engines: 'all' means those that are there at each call, `client[:]` those that are there now."""
        if isinstance(targets, slice):
            targets = self._targets(targets)
        elif isinstance(targets, int) and targets < 0:
            targets = self._targets(targets)[0]
        elif not isinstance(targets, (int, str, type(None))):
            targets = list(self._targets(targets))
        elif isinstance(targets, str) and targets != "all":
            raise TypeError("targets=%r: int, slice, a collection of ints, or 'all'" % (targets,))
        return DirectView(self, None, targets, **flags)

    def load_balanced_view(self, targets: Any = None, **flags: Any) -> LoadBalancedView:
        """A view that gives each call to an engine that is free; of those in `targets` only, where these are named."""
        if targets == "all":
            targets = None
        return LoadBalancedView(self, None, targets=None if targets is None else self._targets(targets), **flags)

    def broadcast_view(self, targets: Any = "all", is_coalescing: bool = False, **flags: Any) -> BroadcastView:
        """A direct view for many engines."""
        if not (targets is None or isinstance(targets, (int, str))):
            targets = self._targets(targets)
        return BroadcastView(self, None, targets, is_coalescing=is_coalescing, **flags)

    def executor(self, targets: Any = None) -> ViewExecutor:
        """A `concurrent.futures.Executor` on the engines."""
        return self.load_balanced_view(targets).executor

    def activate(self, targets: Any = "all", suffix: str = "") -> DirectView:
        """Register the magics of IPython (%px, ...) for these engines, and give their view, which blocks."""
        view = self.direct_view(targets, block=True)
        view.activate(suffix)
        return view

    def wait_for_engines(
        self,
        n: Optional[int] = None,
        *,
        timeout: Optional[float] = -1,
        block: bool = True,
        interactive: Optional[bool] = None,
        widget: Optional[bool] = None,
    ) -> Optional["Future[None]"]:
        """Wait until there are n engines (default: as many as the `cluster` was told to start).

        TypeError without n where there is no cluster; TimeoutError after `timeout` seconds; EngineError if the cluster ends, or an engine
        leaves and does not come back. Not `block`: a Future. `interactive` shows a bar (default: in a terminal or notebook, after a second).
        """
        if n is None:
            sets = getattr(self.cluster, "engines", None)
            if not sets:
                raise TypeError("wait_for_engines needs n, the number of engines, where the client has no cluster that was told it")
            n = sum(getattr(s, "n", 0) for s in sets.values())
        if not block:
            return _in_thread(lambda: self._wait_engines(n, timeout, False))  # type: ignore[arg-type]
        self._wait_engines(n, timeout, sys.stderr.isatty() if interactive is None else interactive)
        return None

    def _wait_engines(self, n: int, timeout: Optional[float], interactive: bool) -> None:
        over = None if timeout is None or timeout < 0 else time.monotonic() + timeout
        link, began, most, bar = self._live(), time.monotonic(), 0, None
        left_at = began
        try:
            while True:
                have = len(link.engines)
                if have >= n:
                    return
                if link.lost is not None:
                    link.refuse()
                if have >= most:
                    most, left_at = have, time.monotonic()
                elif time.monotonic() - left_at > 5:  # one that died comes back by itself
                    raise EngineError("an engine has left while %d were waited for, and was not started again: there are %d" % (n, have))
                controller = getattr(self.cluster, "controller", None)
                if controller is not None and controller.poll() == "after":
                    raise EngineError("the cluster has ended while %d engines were waited for:\n%s" % (n, controller.get_output()[-2000:]))
                left = None if over is None else over - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError(self._missing(n, timeout or 0))
                if interactive and bar is None and time.monotonic() - began > 1:
                    from .progress import bar as make

                    bar = make(total=n, desc="engines")
                if bar is not None:
                    bar.set(have)
                with self._changed:
                    if len(link.engines) == have and link.lost is None:
                        self._changed.wait(1.0 if left is None else min(1.0, left))
        finally:
            if bar is not None:
                bar.set(len(link.engines))
                bar.close()

    def _missing(self, n: int, timeout: float) -> str:
        text = "%d of %d engines are there after %g s" % (len(self._link.engines), n, timeout)
        try:
            rows = self._ask("engines", 5.0)["engines"]
            states = sorted({str(r.get("state")) for r in rows})
            if states and states != ["idle"]:
                text += " (states: %s)" % ", ".join(states)
        except (KernelError, TimeoutError):
            pass
        controller = getattr(self.cluster, "controller", None)
        log = controller.get_output() if controller is not None else ""
        return text + (":\n" + log[-1500:] if log.strip() else "")

    # -- what was submitted

    @property
    def history(self) -> List[str]:
        """The ids of all tasks that this client has submitted."""
        link = self._link
        return ["%d.%d" % (link.number, n) for n in range(1, link.last + 1)]

    @property
    def outstanding(self) -> Set[str]:
        """The ids of those that have not ended."""
        link = self._link
        return {"%d.%d" % (link.number, n) for n in list(link._open)}

    @property
    def results(self) -> "_Results":
        """Results by id, fetched from the cluster when they are looked at: waits."""
        return _Results(self, lambda ar: ar.get())

    @property
    def metadata(self) -> "_Results":
        """What is known of tasks, by id."""
        return _Results(self, lambda ar: ar.wait() and ar.metadata)

    def _names(self, jobs: Any) -> List[str]:
        """The ids of tasks: of ids, results, places in the history, and collections of these. TypeError for others."""
        if isinstance(jobs, (str, int, slice)) or isinstance(jobs, AsyncResult):
            jobs = [jobs]
        try:
            jobs = list(jobs)
        except TypeError:
            raise TypeError("tasks are named by ids, results, or places in the history, not by %r" % (jobs,)) from None
        names: List[str] = []
        for job in jobs:
            if isinstance(job, AsyncResult):
                names += job.msg_ids
            elif isinstance(job, str):
                _split_id(job)
                names.append(job)
            elif isinstance(job, int) and not isinstance(job, bool):
                last = self._link.last
                n = last + 1 + job if job < 0 else job + 1
                if not 1 <= n <= last:
                    raise IndexError("there is no task at place %d of the history of %d" % (job, last))
                names.append("%d.%d" % (self._link.number, n))
            elif isinstance(job, slice):
                names += self.history[job]
            else:
                raise TypeError("tasks are named by ids, results, or places in the history, not by %r" % (job,))
        return names

    def wait(self, jobs: Any = None, timeout: Optional[float] = -1) -> bool:
        """Wait for tasks (default: all that are outstanding), at most `timeout` seconds; whether they have ended."""
        if jobs is None:
            cells = list(self._link._open.values())
        else:
            names = self._names(jobs)
            cells, others = self._open_cells(names)
            if others:
                done = set(self.result_status(others)["completed"])
                rest = [name for name in others if name not in done]
                if rest:
                    cells += [self._hub_cell(name) for name in rest]
        if not cells:
            return True
        return bool(AsyncResult._of(self, cells, "wait", False).wait(timeout))

    def wait_interactive(self, jobs: Any = None, interval: float = 1.0, timeout: Optional[float] = -1.0) -> None:
        """`wait` that shows a bar."""
        cells = list(self._link._open.values()) if jobs is None else self._open_cells(self._names(jobs))[0]
        if cells:
            AsyncResult._of(self, cells, "tasks", False).wait_interactive(interval, timeout)

    def _open_cells(self, names: Sequence[str]) -> Tuple[List[Cell], List[str]]:
        """The cells of those that are this client's and have not ended, and the names of the others."""
        mine = "%d." % self._link.number
        cells, others = [], []
        for name in names:
            cell = self._link._open.get(int(name[len(mine) :])) if name.startswith(mine) else None
            if cell is None:
                others.append(name)
            else:
                cells.append(cell)
        return cells, others

    def _hub_cell(self, name: str) -> HubCell:
        cell = HubCell(None, None, About(name, "apply"))
        row: Dict[str, Any] = {}
        try:
            row = self._ask("task", 10.0, id=name)
        except (KernelError, TimeoutError):
            pass
        method = {"py.execute": "execute"}.get(row.get("what", ""), "apply")
        cell.about = About(row.get("label") or name, method)
        if row.get("what") == "py.batch":
            cell.about.items = 1
        cell.ask(self._live(), name)
        return cell

    def get_result(self, indices_or_msg_ids: Any = None, block: Optional[bool] = None, owner: bool = True) -> Any:
        """The results of tasks by id, also those of other clients; integers are places in the history (default: the last).

        An AsyncResult (of own tasks that are under way) or AsyncHubResult, which has ended if it was to block.
        """
        what = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        single = isinstance(what, (str, int)) or (isinstance(what, AsyncResult) and what._single)
        names = self._names(what)
        cells, others = self._open_cells(names)
        ar: AsyncResult
        if cells and not others:
            ar = AsyncResult._of(self, cells, cells[0].about.label, single)
        else:
            mine = dict(zip([c.id for c in cells], cells))
            all_ = [mine[name] if name in mine else self._hub_cell(name) for name in names]
            ar = AsyncHubResult._of(self, all_, "get_result", single)
        if self.block if block is None else block:
            try:
                ar.wait()
            except KeyboardInterrupt:
                pass
        return ar

    def resubmit(self, indices_or_msg_ids: Any = None, metadata: Any = None, block: Optional[bool] = None) -> Any:
        """Submit tasks of this client once more, as new ones. They must be among the last that it has submitted (8 MiB of arguments).

        RuntimeError for one that has not ended, KeyError for one that is not known any more.
        """
        what = -1 if indices_or_msg_ids is None else indices_or_msg_ids
        single = isinstance(what, (str, int))
        link = self._live()
        cells = []
        for name in self._names(what):
            client, n = _split_id(name)
            if n in link._open and client == link.number:
                raise RuntimeError("task %s has not ended: it cannot be submitted again" % name)
            try:
                if client != link.number:
                    raise LookupError(n)
                no, payload = link.submitted(n)
            except LookupError:
                raise KeyError("task %s was not submitted by this client, or too long ago: its arguments are not kept" % name) from None
            cell = Cell(None, None, About("resubmit(%s)" % name))
            cells.append((no, payload, cell))
        ar = AsyncResult(self, [c for _, _, c in cells], "resubmit", single, False, link)
        for no, payload, cell in cells:
            cell.owner = ar
        for no, payload, cell in cells:
            link.submit(no, payload, cell)
        link.flush()
        return ar.get() if (self.block if block is None else block) else ar

    def _rows(self, client: Optional[int] = 0) -> List[Dict[str, Any]]:
        return self._ask("tasks", 60.0, client=client)["tasks"]

    def result_status(self, msg_ids: Any, status_only: bool = True) -> Dict[str, Any]:
        """Which tasks have ended: {'pending': ids, 'completed': ids}, and with `status_only=False` their values too, by id.

        Values of those that failed are errors. KeyError for ids that nobody knows.
        """
        names = self._names(msg_ids)
        status: Dict[str, Any] = {"pending": [], "completed": []}
        _, others = self._open_cells(names)
        other = set(others)
        answers = [(name, self._live().ask_later("task", id=name)) for name in names if name in other]
        for name in names:
            if name not in other:
                status["pending"].append(name)
        for name, a in answers:
            self._link.wait(a, 30.0)
            if not a.ok and a.text.get("kind") not in ("expired",):
                raise KeyError("task %s: %s" % (name, a.text.get("text")))
            ended = not a.ok or a.text.get("state") in _FINAL
            status["completed" if ended else "pending"].append(name)
        if not status_only and status["completed"]:
            ar = self.get_result(status["completed"], block=False)
            for name, value in zip(status["completed"], ar.get(return_exceptions=True)):
                status[name] = value
        return status

    def queue_status(self, targets: Any = "all", verbose: bool = False) -> Dict[Any, Any]:
        """For each engine how many tasks it has to do ('queue', 'tasks') and has done ('completed'), and how many have no engine yet
        ('unassigned'); ids of them if `verbose`."""
        ids = self._targets(targets)
        status: Dict[Any, Any] = {id: {"queue": [], "completed": [], "tasks": []} for id in ids}
        unassigned: List[str] = []
        for row in self._rows():
            engine, state = row.get("engine", -1), row.get("state")
            if state in _FINAL:
                if engine in status:
                    status[engine]["completed"].append(row["id"])
            elif state in ("running", "assigned") and engine in status:
                status[engine]["tasks" if state == "running" else "queue"].append(row["id"])
            elif state in ("waiting", "ready"):
                unassigned.append(row["id"])
        status["unassigned"] = unassigned
        if verbose:
            return status
        return {k: {name: len(v) for name, v in s.items()} if isinstance(s, dict) else len(s) for k, s in status.items()}

    # -- the cluster's memory

    def hub_history(self) -> List[str]:
        """The ids of all tasks that the cluster knows, of all clients, in the order of their names."""
        return [row["id"] for row in sorted(self._rows(), key=lambda r: _split_id(r["id"]))]

    def db_query(self, query: Dict[str, Any], keys: Optional[Iterable[str]] = None) -> List[Dict[str, Any]]:
        """The tasks that the cluster knows and that match, as dicts; with `keys` only these keys and msg_id.

            rc.db_query({"completed": {"$ne": None}, "engine_id": {"$in": [0, 1]}}, keys=["label", "started"])

        Operators: $lt $gt $lte $gte $ne $eq $in $nin $all $and $or $mod $exists. Keys: msg_id, client, state, status, label, what, attempt,
        engine_id, host, started, completed, error.
        """
        if not isinstance(query, dict):
            raise TypeError("a query is a dict, not a %s" % type(query).__name__)
        if isinstance(keys, str):
            keys = [keys]
        wanted = None if keys is None else ["msg_id"] + [k for k in keys if k != "msg_id"]
        for key in query:
            if key not in _RECORD and not key.startswith("$"):
                raise KeyError("tasks have no %r: %s" % (key, ", ".join(_RECORD)))
        found = [r for r in map(_record, self._rows()) if _matches(r, query)]
        return found if wanted is None else [{k: r.get(k) for k in wanted} for r in found]

    # -- giving up results

    def _to_purge(self, jobs: Any, targets: Any) -> Union[str, List[str]]:
        if isinstance(jobs, str) and jobs == "all":
            names = None
        else:
            names = self._names(jobs) if isinstance(jobs, (str, AsyncResult)) or jobs is not None else []
        if names is None:
            if self._link._open:
                raise RuntimeError("%d tasks have not ended: their results cannot be given up" % len(self._link._open))
            return "all"
        if targets is not None and targets != [] and targets != ():
            ids = self._targets(targets)
            names += [r["id"] for r in self._rows() if r.get("engine") in ids and r.get("state") in _FINAL]
        elif not names:
            raise ValueError("name tasks or engines whose results are to be given up, or jobs='all'")
        pending, _ = self._open_cells(names)
        if pending:
            raise RuntimeError("task %s has not ended: its result cannot be given up" % pending[0].id)
        return names

    def purge_local_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Give up what this client keeps of tasks so that they can be submitted again. Results are kept by AsyncResults alone.

        RuntimeError if a named task is outstanding, ValueError if nothing is named; jobs='all' names all.
        """
        names = self._to_purge(jobs, targets)
        link = self._link
        with link._sending:
            if names == "all":
                link._recent.clear()
                link._recent_size = 0
            else:
                gone = {_split_id(name)[1] for name in names if _split_id(name)[0] == link.number}
                kept = [r for r in link._recent if not all(n in gone for n in range(r[0], r[0] + len(r[2])))]
                link._recent.clear()
                link._recent.extend(kept)
                link._recent_size = sum(r[3] for r in kept)

    def purge_hub_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """Let the cluster give up the results of tasks: nobody can ask for them any more. Errors as in `purge_local_results`."""
        names = self._to_purge(jobs, targets)
        if names == "all":
            names = [r["id"] for r in self._rows() if r.get("state") in _FINAL]
        if names:
            self._ask("forget_ids", ids=names)

    def purge_results(self, jobs: Any = (), targets: Any = ()) -> None:
        """`purge_local_results` and `purge_hub_results`."""
        self.purge_hub_results(jobs, targets)
        if not (targets and not jobs):
            self.purge_local_results(jobs, ())

    def purge_everything(self) -> None:
        """Give up all results, here and in the cluster. RuntimeError if tasks are outstanding."""
        self.purge_results("all")

    # -- stopping, signals

    def abort(self, jobs: Any = None, targets: Any = None, block: Optional[bool] = None) -> None:
        """Stop tasks, also those that run: named ones, those on certain engines, or (default) all of this client.

        Getting their results raises TaskAborted. `block` waits until they have ended. TypeError for what names no task.
        """
        names = self._names(jobs) if jobs is not None else []
        if targets is not None:
            ids = self._targets(targets)
            names += [c.id for c in list(self._link._open.values()) if c.target in ids]
            names += [r["id"] for r in self._rows() if r.get("engine") in ids and r.get("state") not in _FINAL and r["id"] not in names]
        if jobs is None and targets is None:
            names = sorted(self.outstanding, key=_split_id)
        cells, others = self._open_cells(names)
        self._live().numbers(_gateway.CANCEL, [c.n for c in cells])
        if others:
            self._ask("cancel", ids=others)
        if (self.block if block is None else block) and cells:
            AsyncResult._of(self, cells, "abort", False).wait()

    def clear(self, targets: Any = None, block: Optional[bool] = None) -> Optional[AsyncResult]:
        """Empty the namespaces of engines (default: all)."""
        view = self.direct_view("all")
        ids, single = view._targets(targets)
        ar = view._each("py.clear", value_payload(None), ids, single, About("clear"))
        if self.block if block is None else block:
            view._ended(ar, True)
            return None
        return ar

    def _each_engine(self, verb: str, targets: Any, block: Optional[bool], what: str, **question: Any) -> "Future[None]":
        link = self._live()
        ids = self._targets(targets)
        before = self._lives() if verb == "restart_engine" else {}
        answers = [(id, link.ask_later(verb, engine=id, **question)) for id in ids]

        def wait() -> None:
            for id, a in answers:
                if not link.wait(a, 60.0):
                    raise TimeoutError("%s engine %d: no answer after 60 s" % (what, id))
                link.answer(a)
            if before:
                self._wait_lives({id: before.get(id, 0) for id in ids})

        if self.block if block is None else block:
            done: "Future[None]" = Future()
            wait()
            done.set_result(None)
            return done
        return _in_thread(wait)

    def _lives(self) -> Dict[int, int]:
        """How often each engine that is there has been started."""
        return {row["id"]: row["life"] for row in self._ask("engines")["engines"]}

    def _wait_lives(self, before: Dict[int, int]) -> None:
        """Wait until engines are there in a further life."""
        over = time.monotonic() + 60
        while True:
            now = self._lives()
            missing = [id for id, life in before.items() if now.get(id, 0) <= life or id not in self._link.engines]
            if not missing:
                return
            if time.monotonic() > over:
                raise TimeoutError("engines %s did not come back within 60 s" % ", ".join(map(str, missing)))
            with self._changed:
                self._changed.wait(0.02)

    def send_signal(self, sig: Union[int, str], targets: Any = None, block: Optional[bool] = None) -> "Future[None]":
        """Send engines a signal, by number or name ("SIGINT" interrupts what they run). A Future."""
        if isinstance(sig, str):
            import signal

            name = sig if sig.startswith("SIG") else "SIG" + sig
            found = getattr(signal, name, None)
            if found is None:
                raise ValueError("%r is no signal" % sig)
            sig = found
        return self._each_engine("signal", targets, block, "signal", sig=int(sig))

    def signal_engine(self, sig: Union[int, str], engine: int, block: Optional[bool] = True) -> "Future[None]":
        """Send one engine a signal."""
        return self.send_signal(sig, engine, block)

    def stop_engine(self, engine: int, block: Optional[bool] = True) -> "Future[None]":
        """Stop one engine. It is not started again."""
        return self._each_engine("stop_engine", engine, block, "stop")

    def restart_engine(self, engine: int, block: Optional[bool] = True) -> "Future[None]":
        """Start one engine anew: it keeps its number and loses its variables; what it runs is lost. `block` waits until it is back."""
        return self._each_engine("restart_engine", engine, block, "restart")

    def shutdown(self, targets: Any = "all", restart: bool = False, hub: bool = False, block: Optional[bool] = None) -> None:
        """Stop engines, or start them anew (`restart`; `block` waits until they are back), or end the whole cluster (`hub`)."""
        if hub:
            try:
                self._ask("stop_cluster", 30.0)
            except EngineError:
                pass  # it has gone before it could answer
            if self.cluster is not None and hasattr(self.cluster, "stop_cluster_sync") and self._link.own:
                self.cluster.stop_cluster_sync()
            return
        done = self._each_engine("restart_engine" if restart else "stop_engine", targets, block, "restart" if restart else "stop")
        if self.block if block is None else block:
            done.result()

    # -- Dask

    def become_dask(self, targets: Any = "all", port: int = 0, nanny: bool = False, scheduler_args: Any = None, **worker_args: Any) -> Any:
        """NotImplementedError: engines do not become workers of Dask."""
        raise NotImplementedError("become_dask: start Dask's workers beside the engines; a balanced view does what its client.map does")

    def stop_dask(self, targets: Any = "all") -> None:
        """NotImplementedError: see `become_dask`."""
        raise NotImplementedError("stop_dask: engines do not become workers of Dask")

    become_distributed, stop_distributed = become_dask, stop_dask  # their older names

    # -- what needs no doing here

    def spin(self) -> None:
        """Nothing: results come by themselves."""

    def spin_thread(self, interval: float = 1) -> None:
        """Nothing: results come by themselves."""

    def stop_spin_thread(self) -> None:
        """Nothing: results come by themselves."""

    def explain(self, job: Any) -> str:
        """Why a task is where it is: what it waits for, where it runs, how it ended."""
        return "\n".join(self._ask("explain", id=name).get("text", "") for name in self._names(job))


class _Results(_Mapping):  # type: ignore[type-arg]
    """Something of tasks by id, fetched when it is looked at."""

    def __init__(self, client: Client, get: Callable[[AsyncResult], Any]) -> None:
        self._client, self._get = client, get

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise KeyError(name)
        return self._get(self._client.get_result(name, block=False))

    def __contains__(self, name: object) -> bool:
        return name in self._client.history and name not in self._client.outstanding

    def __iter__(self) -> Iterator[str]:
        out = self._client.outstanding
        return iter([name for name in self._client.history if name not in out])

    def __len__(self) -> int:
        return len(self._client.history) - len(self._client.outstanding)


def _split_id(name: str) -> Tuple[int, int]:
    client, dot, n = name.partition(".")
    if not (dot and client.isdigit() and n.isdigit()):
        raise KeyError("%r is no id of a task: they look like 7.12" % (name,))
    return int(client), int(n)


def _passing(old: Link, cell: Cell, n: int) -> Callable[[Answer], None]:
    """Put the answer about a task of an earlier connection into its cell."""

    def pass_on(a: Answer) -> None:
        if a.ok:
            end, data = _gateway.read_end(a.data)
        else:
            text = json.dumps({"kind": "lost", "text": "lost with the connection: %s" % a.text.get("text")}).encode()
            data = len(text).to_bytes(4, "little") + text
            end = (n, _gateway.ERRORED, 0, _gateway.HAS_FAIL, -1, 0, 0, 0, len(data))
        link = cell.link
        old.settle(cell, end, data)
        # Blobs are read, and callbacks called, by what is connected now.
        del link
        threading.Thread(target=old._run_due, daemon=True).start() if old._due else None

    return pass_on


def _in_thread(f: Callable[[], None]) -> "Future[None]":
    done: "Future[None]" = Future()

    def run() -> None:
        try:
            f()
        except BaseException as e:
            done.set_exception(e)
        else:
            done.set_result(None)

    threading.Thread(target=run, name="tutti-wait", daemon=True).start()
    return done


# -- finding clusters


def _socket_of(info: Any) -> str:
    """The socket of what describes a connection: a dict, or the path of a file or socket."""
    if isinstance(info, (str, os.PathLike)):
        import stat

        path = os.path.expanduser(os.fspath(info))
        mode = os.stat(path).st_mode
        if stat.S_ISSOCK(mode):
            return path
        with open(path, encoding="utf-8") as file:
            try:
                info = json.load(file)
            except ValueError as e:
                raise ValueError("%s does not describe a connection: %s" % (path, e)) from None
    if not isinstance(info, dict):
        raise ValueError("a connection is described by a dict or the path of a file, not by a %s" % type(info).__name__)
    path = info.get("socket") or (info.get("controller") or {}).get("socket")
    if not path or not isinstance(path, str):
        raise ValueError("this describes no connection: it names no socket")
    return path


def _of_files(folder: Optional[str], cluster_id: Optional[str]) -> Optional[str]:
    """The socket of a Cluster of this user that runs, by the files that Clusters leave."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = folder or os.path.join(base, "tutti", "python")
    if not os.path.isdir(folder):
        return None
    names = [n for n in os.listdir(folder) if n.startswith("cluster-") and n.endswith(".json")]
    if cluster_id:
        names = [n for n in names if n == "cluster-%s.json" % cluster_id]
    for path in sorted((os.path.join(folder, n) for n in names), key=os.path.getmtime, reverse=True):
        try:
            found = _socket_of(path)
            _gateway._connect(found, 2.0).close()
            return found
        except (OSError, ValueError):
            continue
    return None


def _cluster_of(path: str) -> Any:
    """None: a client that was not made by a Cluster has none."""
    return None


# -- queries

_RECORD = ("msg_id", "client", "state", "status", "label", "what", "attempt", "engine_id", "host", "started", "completed", "error", "durable")


def _time(ns: Optional[int]) -> Optional[datetime]:
    return datetime.fromtimestamp(ns / 1e9, timezone.utc) if ns else None


def _record(row: Dict[str, Any]) -> Dict[str, Any]:
    state = row.get("state")
    engine = row.get("engine", -1)
    return {
        "msg_id": row["id"],
        "client": _split_id(row["id"])[0],
        "state": state,
        "status": {"done": "ok", "failed": "error", "cancelled": "aborted"}.get(state or ""),
        "label": row.get("label"),
        "what": row.get("what"),
        "attempt": row.get("attempt"),
        "engine_id": engine if engine is not None and engine >= 0 else None,
        "host": row.get("host"),
        "started": _time(row.get("started")),
        "completed": _time(row.get("finished")) if state in _FINAL else None,
        "error": row.get("error"),
        "durable": bool(row.get("durable")),
    }


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def safe(a: Any, b: Any) -> bool:
        return a is not None and b is not None and test(a, b)

    return safe


_OPERATORS: Dict[str, Callable[[Any, Any], bool]] = {
    "$lt": _compare(lambda a, b: a < b),
    "$gt": _compare(lambda a, b: a > b),
    "$lte": _compare(lambda a, b: a <= b),
    "$gte": _compare(lambda a, b: a >= b),
    "$eq": lambda a, b: a == b,
    "$ne": lambda a, b: a != b,
    "$in": lambda a, b: a in b,
    "$nin": lambda a, b: a not in b,
    "$all": lambda a, b: all(x in (a if isinstance(a, (list, tuple)) else [a]) for x in b),
    "$mod": _compare(lambda a, b: a % b[0] == b[1]),
    "$exists": lambda a, b: (a is not None) == bool(b),
}


def _fits(value: Any, test: Any) -> bool:
    if not isinstance(test, dict) or not any(k.startswith("$") for k in test):
        return bool(value == test)
    for name, operand in test.items():
        if name == "$and":
            good = all(_fits(value, t) for t in operand)
        elif name == "$or":
            good = any(_fits(value, t) for t in operand)
        elif name in _OPERATORS:
            good = _OPERATORS[name](value, operand)
        else:
            raise ValueError("there is no operator %r: %s" % (name, " ".join(sorted(_OPERATORS) + ["$and", "$or"])))
        if not good:
            return False
    return True


def _matches(record: Dict[str, Any], query: Dict[str, Any]) -> bool:
    for key, test in query.items():
        if key == "$and":
            good = all(_matches(record, q) for q in test)
        elif key == "$or":
            good = any(_matches(record, q) for q in test)
        else:
            good = _fits(record.get(key), test)
        if not good:
            return False
    return True

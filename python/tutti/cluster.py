"""Starting and stopping clusters from Python.

    with Cluster(n=4) as rc:
        print(rc[:].apply_sync(os.getpid))

A `Cluster` starts one process, the gateway, which is the controller of a cluster of its own and has the
engines for its children. It leaves a small file behind by which another process can find it
(`Cluster.from_file`), and stop it. Each coroutine `f` has a blocking twin `f_sync`.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from . import _gateway
from .errors import KernelError

if TYPE_CHECKING:
    import logging

__all__ = [
    "Cluster",
    "ClusterManager",
    "EngineSetLauncher",
    "ControllerLauncher",
    "LauncherError",
    "NotRunning",
    "ProcessStateError",
    "UnknownStatus",
    "clean_cluster_files",
]


class LauncherError(Exception):
    """A process could not be started or controlled."""


class ProcessStateError(LauncherError):
    """What was asked cannot be done with a process in this state."""


class UnknownStatus(LauncherError):
    """Nobody can say whether it runs."""


class NotRunning(LauncherError):
    """It has ended, or never ran."""


# Launchers by their short names: what is there, and what has to be built in first.
_PROVIDERS = ("mpi", "slurm", "pbs", "sge", "lsf", "htcondor", "ssh", "sshproxy", "batch", "winhpc")


def _check_launcher(what: str, choice: Any) -> None:
    """NotImplementedError unless the choice is of local processes."""
    if choice is None or choice == "local" or choice in (ControllerLauncher, EngineSetLauncher):
        return
    name = choice if isinstance(choice, str) else getattr(choice, "__name__", repr(choice))
    if name.lower() in _PROVIDERS:
        raise NotImplementedError(
            "%s=%r: the provider %r is not there yet; start the cluster by `tutti start` and `tutti agent` and connect a Client to it"
            % (what, name, name)
        )
    raise ValueError("%s=%r: there is no launcher of that name (local, %s)" % (what, name, ", ".join(_PROVIDERS)))


# ---------------------------------------------------------------------------------------------
# Files and folders


def state_folder() -> Path:
    """Where clusters leave their files: `$XDG_STATE_HOME/tutti/python`, only for this user."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    folder = Path(base) / "tutti" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


# ---------------------------------------------------------------------------------------------
# Launchers


class ControllerLauncher:
    """The gateway's process: the controller of a cluster of its own.

    `state` is before, running, or after; `identifier` its process id; `socket` where clients come.
    """

    def __init__(self, args: Sequence[str] = (), log: Optional[str] = None) -> None:
        self.args, self.log = list(args), log
        self.state, self.identifier = "before", ""
        self.socket, self.pid, self.cluster = "", 0, ""
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._on_stop: List[Callable[[Dict[str, Any]], Any]] = []

    def start(self, n: int, timeout: float = 60.0) -> None:
        """Start it with `n` engines, and wait until clients may come. LauncherError with its reason if it fails."""
        try:
            binary, folder = _gateway.find_binary(), _gateway.runtime_folder()
        except OSError as error:
            raise LauncherError(str(error)) from None
        socket = os.path.join(folder, "c-%s.sock" % os.urandom(6).hex())
        read, write = os.pipe()
        command = [binary, "gateway", "--embedded", "--socket", socket, "--engines", str(n), "--ready-fd", str(write)]
        log = open(self.log, "ab") if self.log else subprocess.DEVNULL
        try:
            self._process = subprocess.Popen(
                command + self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(write,), start_new_session=True
            )
        except OSError as error:
            os.close(read)
            raise LauncherError("%s could not be started: %s" % (command[0], error)) from None
        finally:
            os.close(write)
            if self.log:
                log.close()  # type: ignore[union-attr]
        from . import client  # noqa: F401 - meanwhile: it will be needed

        try:
            line = _gateway._line(read, timeout)
        finally:
            os.close(read)
        said = json.loads(line) if line else {}
        if "socket" not in said:
            self._process.kill()
            self._process.wait()
            self.state = "after"
            raise LauncherError(_why(said, self.get_output(remove=True)))
        self.socket, self.pid, self.cluster = said["socket"], said["pid"], said.get("cluster", "")
        self.state, self.identifier = "running", str(self.pid)

    def poll(self) -> str:
        """The state as it is now."""
        if self.state == "running" and not self._alive():
            self._ended()
        return self.state

    def _alive(self) -> bool:
        if self._process is not None:
            return self._process.poll() is None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return False  # somebody else's by now
        return os.path.exists(self.socket)

    def _ended(self) -> None:
        if self.state == "after":
            return
        self.state = "after"
        for path in (self.socket, self.socket + ".blobs"):  # one that was killed could not take them away
            try:
                os.unlink(path)
            except OSError:
                pass
        status = None if self._process is None else self._process.returncode
        for f in self._on_stop:
            f({"exit_code": status, "pid": self.pid})

    def stop(self) -> None:
        """End it by a signal, and wait: engines end with it."""
        if self.poll() != "running":
            return
        for sig, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                self.signal(sig)
                self.join(patience)
                return
            except NotRunning:  # it has ended meanwhile
                return
            except TimeoutError:
                continue
        raise LauncherError("process %d does not end" % self.pid)

    def signal(self, sig: int) -> None:
        """Send it a signal; NotRunning if it has ended."""
        if self.poll() != "running":
            raise NotRunning("the controller has ended")
        try:
            os.kill(self.pid, sig)
        except ProcessLookupError:
            self._ended()
            raise NotRunning("the controller has ended") from None

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait for its end; TimeoutError after so many seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        if self._process is not None and self.state == "running":
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                raise TimeoutError("process %d still runs" % self.pid) from None
            self._ended()
            return
        pause = 0.005
        while self.poll() == "running":  # started by another process: nobody tells us of its end
            if end is not None and time.monotonic() > end:
                raise TimeoutError("process %d still runs" % self.pid)
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def on_stop(self, f: Callable[[Dict[str, Any]], Any]) -> None:
        """Call `f` with {"exit_code", "pid"} when it is seen to have ended; at once if it has."""
        self._on_stop.append(f)
        if self.state == "after":
            f({"exit_code": None if self._process is None else self._process.returncode, "pid": self.pid})

    def get_output(self, remove: bool = False) -> str:
        """What it has written to its log; `remove` takes the log away."""
        if not self.log:
            return ""
        try:
            with open(self.log, errors="replace") as file:
                text = file.read()
            if remove:
                os.unlink(self.log)
        except FileNotFoundError:
            return ""
        return text

    def to_dict(self) -> Dict[str, Any]:
        """As plain data, from which another process makes one that is as good (`from_dict`)."""
        return {"class": "local", "pid": self.pid, "socket": self.socket, "cluster": self.cluster, "log": self.log, "args": self.args}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> "ControllerLauncher":
        """The controller that runs; NotRunning if it does not any more."""
        made = cls(d.get("args") or (), d.get("log"))
        made.socket, made.pid, made.cluster = d["socket"], int(d["pid"]), d.get("cluster", "")
        made.state, made.identifier = "running", str(made.pid)
        if made.poll() != "running":
            raise NotRunning("the controller with process id %d has ended" % made.pid)
        return made


def _why(said: Mapping[str, Any], log: str) -> str:
    error = said.get("error")
    if error:
        text = error.get("text") or error.get("kind")
        return "the cluster could not be started: %s%s" % (text, "\n" + error["hint"] if error.get("hint") else "")
    last = "\n".join(log.splitlines()[-5:])
    return "the cluster could not be started: the gateway ended%s" % (":\n" + last if last else " without a word")


class EngineSetLauncher:
    """Some engines of a cluster that were started together."""

    def __init__(self, cluster: "Cluster", ids: Sequence[int], n: int) -> None:
        self._cluster, self.ids, self.n = weakref.ref(cluster), list(ids), n
        self.state = "running"
        self._on_stop: List[Callable[[Dict[str, Any]], Any]] = []

    @property
    def identifier(self) -> str:
        """The engines' numbers."""
        return ",".join(map(str, self.ids))

    def _each(self, verb: str, **question: Any) -> None:
        cluster = self._cluster()
        if cluster is None or self.state != "running":
            raise NotRunning("these engines were stopped")
        for engine in self.ids:
            cluster._ask(verb, engine=engine, **question)

    def start(self, n: int) -> None:
        """They run already: see `Cluster.start_engines`."""
        raise ProcessStateError("these engines are started; Cluster.start_engines starts others")

    def stop(self) -> None:
        """Stop them all."""
        if self.state != "running":
            return
        self._each("stop_engine")
        self.state = "after"
        for f in self._on_stop:
            f({"engines": {str(i): {"exit_code": 0} for i in self.ids}, "exit_code": 0})

    def signal(self, sig: int) -> None:
        """Send all of them a signal."""
        self._each("signal", sig=int(sig))

    def restart(self) -> None:
        """Start all of them anew, under their numbers."""
        self._each("restart_engine")

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until none of them is there; TimeoutError after so many seconds."""
        cluster = self._cluster()
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.01
        while cluster is not None and cluster._running() and set(self.ids) & set(cluster._engine_ids()):
            if end is not None and time.monotonic() > end:
                raise TimeoutError("engines %s still run" % self.identifier)
            time.sleep(pause)
            pause = min(2 * pause, 0.2)
        self.state = "after"

    def on_stop(self, f: Callable[[Dict[str, Any]], Any]) -> None:
        """Call `f` when they have been stopped; at once if they have."""
        self._on_stop.append(f)
        if self.state == "after":
            f({"engines": {}, "exit_code": 0})

    def get_output(self, remove: bool = False) -> str:
        """What the cluster's log says."""
        cluster = self._cluster()
        return "" if cluster is None or cluster.controller is None else cluster.controller.get_output(remove)

    def to_dict(self) -> Dict[str, Any]:
        """As plain data."""
        return {"class": "local", "ids": self.ids, "n": self.n}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], cluster: Optional["Cluster"] = None) -> "EngineSetLauncher":
        """The engines of that cluster."""
        if cluster is None:
            raise NotRunning("engines are found through their cluster")
        return cls(cluster, d["ids"], d["n"])


LocalControllerLauncher, LocalEngineSetLauncher = ControllerLauncher, EngineSetLauncher


# ---------------------------------------------------------------------------------------------
# The cluster


def _coroutine(f: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The coroutine of a blocking method: it runs in a thread of the event loop's pool."""

    @functools.wraps(f)
    async def run(self: "Cluster", *args: Any, **kwargs: Any) -> Any:
        import asyncio

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, functools.partial(f, self, *args, **kwargs))

    run.blocking = f  # type: ignore[attr-defined]
    return run


_live: "weakref.WeakSet[Cluster]" = weakref.WeakSet()


@atexit.register
def _stop_live() -> None:
    for cluster in list(_live):
        if cluster.shutdown_atexit and cluster._owner == os.getpid():
            try:
                cluster._stop_cluster()
            except Exception:  # nobody is left to hear it; the gateway ends by itself when we are gone
                pass


class Cluster:
    """A cluster on this machine: n engines (default: one for each core), and the process that leads them.

    All arguments are by name. `python` is the engines' interpreter (default: this one), `engine_timeout` how many
    seconds `start_and_connect` waits for them, `shutdown_atexit=False` lets the cluster outlive this
    process: `Cluster.from_file(cluster_id=...)` finds it again. `engines` and `controller` take the short name
    of a launcher; `local` is what there is. The remaining arguments are those of IPython Parallel; they are kept, and
    mean nothing to a local cluster.

    As a context manager, also an asynchronous one, it gives a connected Client, and stops the cluster at the end.
    """

    def __init__(
        self,
        *,
        engines: Any = None,
        controller: Any = None,
        n: Optional[int] = None,
        profile: str = "",
        profile_dir: Optional[str] = None,
        cluster_id: str = "",
        cluster_file: Optional[str] = None,
        shutdown_atexit: bool = True,
        engine_timeout: float = 60,
        send_engines_connection_env: bool = True,
        controller_args: Sequence[str] = (),
        controller_ip: str = "",
        controller_location: str = "",
        delay: float = 1.0,
        log_level: int = 20,  # logging.INFO
        load_profile: bool = True,
        controller_launcher_class: Any = None,
        engine_launcher_class: Any = None,
        python: Optional[str] = None,
    ) -> None:
        _check_launcher("engines", engines)
        _check_launcher("controller", controller)
        _check_launcher("engine_launcher_class", engine_launcher_class)
        _check_launcher("controller_launcher_class", controller_launcher_class)
        if n is not None and n < 0:
            raise ValueError("n=%r: a cluster cannot have fewer than no engines" % (n,))
        self.n = n
        self.profile, self.profile_dir, self.load_profile = profile, profile_dir or str(state_folder()), load_profile
        self.cluster_id = cluster_id or "%d-%s" % (int(time.time()), os.urandom(2).hex())
        self.cluster_file = cluster_file or str(Path(self.profile_dir) / ("cluster-%s.json" % self.cluster_id))
        self.shutdown_atexit, self.engine_timeout, self.delay, self.log_level = shutdown_atexit, engine_timeout, delay, log_level
        self.send_engines_connection_env = send_engines_connection_env
        self.controller_args, self.controller_ip, self.controller_location = list(controller_args), controller_ip, controller_location
        self.controller_launcher_class, self.engine_launcher_class = ControllerLauncher, EngineSetLauncher
        self.python = python or sys.executable
        self.controller: Optional[ControllerLauncher] = None
        self.engines: Dict[str, EngineSetLauncher] = {}
        self._line: Optional[Any] = None
        self._client: Optional[Any] = None
        self._owner = os.getpid()

    def __repr__(self) -> str:
        fields = ["cluster_id=%r" % self.cluster_id]
        if self.controller is not None:
            fields.append("controller=<%s>" % self.controller.poll())
        if self.engines:
            fields.append("engines=%r" % sorted(self.engines))
        return "<Cluster(%s)>" % ", ".join(fields)

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_sync") and not name.startswith("_"):
            blocking = getattr(getattr(type(self), name[: -len("_sync")], None), "blocking", None)
            if blocking is not None:
                return functools.partial(blocking, self)
        raise AttributeError("%r object has no attribute %r" % (type(self).__name__, name))

    def __dir__(self) -> List[str]:
        names = set(super().__dir__())
        return sorted(names | {name + "_sync" for name in names if hasattr(getattr(type(self), name, None), "blocking")})

    @property
    def engine_set(self) -> Optional[EngineSetLauncher]:
        """The first engine set, None if there is none."""
        return next(iter(self.engines.values()), None)

    # Asking.

    def _running(self) -> bool:
        return self.controller is not None and self.controller.poll() == "running"

    def _ask(self, verb: str, timeout: Optional[float] = 60.0, **question: Any) -> Dict[str, Any]:
        """Ask the gateway, over a connection that is made when first needed."""
        if not self._running():
            raise NotRunning("the cluster %s is not running: start it with start_cluster_sync()" % self.cluster_id)
        assert self.controller is not None
        if self._line is None:
            from ._control import Control

            self._line = Control(self.controller.socket, "cluster " + self.cluster_id)
        return self._line.ask(verb, timeout, **question)[0]

    def _engine_ids(self) -> List[int]:
        return [row["id"] for row in self._ask("engines").get("engines", [])]

    def _hang_up(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()

    # Starting.

    def _launch(self, n: Optional[int]) -> None:
        """Start the gateway, which starts n engines for its first client: the connection of `_ask`."""
        log = str(Path(self.profile_dir) / ("cluster-%s.log" % self.cluster_id))
        Path(self.profile_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
        args = ["--python=" + self.python, "--linger=%d" % (2 if self.shutdown_atexit else -1)] + self.controller_args
        self.controller = ControllerLauncher(args, log)
        self.controller.start(_cores() if n is None else n, self.engine_timeout)
        _live.add(self)

    def _start_controller(self, **kwargs: Any) -> None:
        """Make ready to start engines. The process itself starts with the first of them, or of the clients."""
        if self.controller is not None and self.controller.poll() == "running":
            raise RuntimeError("the controller is running already: call stop_cluster() first")
        self.controller = ControllerLauncher(self.controller_args)

    def _start_engines(self, n: Optional[int] = None, engine_set_id: Optional[str] = None, **kwargs: Any) -> str:
        """Start n engines (default: the cluster's n), and give the name of their set."""
        n = self.n if n is None else n
        name = engine_set_id or "%d-%s" % (int(time.time()), os.urandom(2).hex())
        if name in self.engines:
            raise ValueError("there is an engine set %r already" % name)
        count = _cores() if n is None else n
        if not self._running():
            self._launch(count)
            ids: List[int] = list(range(count))
            self._ask("engines")  # its greeting makes the gateway start them
        else:
            before = set(self._engine_ids())
            self._ask("start_engines", n=count)
            have = self._ask("wait_engines", self.engine_timeout, n=len(before) + count)["ids"]
            ids = [i for i in have if i not in before]
        self.engines[name] = EngineSetLauncher(self, ids, count)
        self._write_cluster_file()
        return name

    def _start_cluster(self, n: Optional[int] = None) -> "Cluster":
        """Start the controller and the first set of engines."""
        if self.controller is None or self.controller.poll() != "running":
            self._start_controller()
        self._start_engines(n)
        return self

    def _start_and_connect(self, n: Optional[int] = None, activate: bool = False) -> Any:
        """Start the cluster, connect a Client, and wait for the engines.

        `activate` registers the magics for all engines. EngineError if engines end instead.
        """
        self._start_cluster(n)
        client = self._connect_client()
        expected = sum(s.n for s in self.engines.values())
        try:
            client.wait_for_engines(expected, timeout=self.engine_timeout)
        except BaseException:
            client.close()
            raise
        if activate:
            client.activate()
        return client

    def _connect_client(self, **client_kwargs: Any) -> Any:
        """A Client of this cluster."""
        if not self._running():
            self._launch(self.n)
        assert self.controller is not None
        from .client import Client

        return Client({"socket": self.controller.socket}, cluster=self, **client_kwargs)

    # Stopping and signals.

    def _sets(self, engine_set_id: Optional[str]) -> List[str]:
        if engine_set_id is None:
            return list(self.engines)
        if engine_set_id not in self.engines:
            raise KeyError("there is no engine set %r: %s" % (engine_set_id, sorted(self.engines)))
        return [engine_set_id]

    def _stop_engines(self, engine_set_id: Optional[str] = None) -> None:
        """Stop one set of engines, or all."""
        for name in self._sets(engine_set_id):
            self.engines[name].stop()
            del self.engines[name]
        self._update_cluster_file()

    def _stop_engine(self, engine_id: int) -> None:
        """Stop one engine."""
        self._ask("stop_engine", engine=engine_id)

    def _restart_engines(self, engine_set_id: Optional[str] = None) -> None:
        """Restart one set of engines, or all. They keep their numbers, and lose their variables."""
        for name in self._sets(engine_set_id):
            self.engines[name].restart()

    def _restart_engine(self, engine_id: int) -> None:
        """Restart one engine."""
        self._ask("restart_engine", engine=engine_id)

    def _signal_engines(self, signum: int, engine_set_id: Optional[str] = None) -> None:
        """Send a signal to one set of engines, or all."""
        for name in self._sets(engine_set_id):
            self.engines[name].signal(signum)

    def _signal_engine(self, signum: int, engine_id: int) -> None:
        """Send a signal to one engine."""
        self._ask("signal", engine=engine_id, sig=int(signum))

    def _stop_controller(self) -> None:
        """Stop the controller. On a local cluster the engines end with it."""
        controller, self.controller = self.controller, None
        self._hang_up_politely(controller)
        _live.discard(self)
        try:
            if controller is not None:
                controller.stop()
                controller.get_output(remove=True)
        finally:
            self._remove_cluster_file()

    def _hang_up_politely(self, controller: Optional[ControllerLauncher]) -> None:
        """Ask the cluster to end, where it can be asked."""
        if controller is None or controller.poll() != "running":
            return self._hang_up()
        try:
            if self._line is None:
                from ._control import Control

                self._line = Control(controller.socket, "cluster " + self.cluster_id, 5.0)
            self._line.ask("stop_cluster", 10.0)
            controller.join(10.0)
        except (KernelError, OSError):  # it will be told by a signal
            pass
        self._hang_up()

    def _stop_cluster(self) -> None:
        """Stop engines and controller, and take the cluster's file away."""
        for engine_set in self.engines.values():
            engine_set.state = "after"
        self.engines.clear()
        self._stop_controller()

    start_controller = _coroutine(_start_controller)
    start_engines = _coroutine(_start_engines)
    start_cluster = _coroutine(_start_cluster)
    start_and_connect = _coroutine(_start_and_connect)
    connect_client = _coroutine(_connect_client)
    stop_engines = _coroutine(_stop_engines)
    stop_engine = _coroutine(_stop_engine)
    restart_engines = _coroutine(_restart_engines)
    restart_engine = _coroutine(_restart_engine)
    signal_engines = _coroutine(_signal_engines)
    signal_engine = _coroutine(_signal_engine)
    stop_controller = _coroutine(_stop_controller)
    stop_cluster = _coroutine(_stop_cluster)

    # with, async with.

    def __enter__(self) -> Any:
        try:
            self._client = self._start_and_connect()
        except BaseException:
            self._stop_cluster()
            raise
        return self._client

    def __exit__(self, *exc: Any) -> None:
        client, self._client = self._client, None
        try:
            if client is not None:
                client.close()
        finally:
            self._stop_cluster()

    async def __aenter__(self) -> Any:
        import asyncio

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.__enter__)

    async def __aexit__(self, *exc: Any) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.__exit__)

    # The file by which others find it.

    def to_dict(self) -> Dict[str, Any]:
        """As plain data, from which another process makes one that is as good (`from_dict`)."""
        return {
            "class": "tutti.Cluster",
            "cluster": {
                "cluster_id": self.cluster_id,
                "profile": self.profile,
                "profile_dir": self.profile_dir,
                "cluster_file": self.cluster_file,
                "n": self.n,
                "engine_timeout": self.engine_timeout,
                "python": self.python,
            },
            "controller": None if self.controller is None or not self.controller.socket else self.controller.to_dict(),
            "engines": {name: s.to_dict() for name, s in self.engines.items()},
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], **kwargs: Any) -> "Cluster":
        """The cluster of `to_dict`. What it started stays when this process ends. NotRunning if it does not run any more."""
        settings = dict(d["cluster"], shutdown_atexit=False)
        settings.update(kwargs)
        made = cls(**settings)
        if d.get("controller"):
            made.controller = ControllerLauncher.from_dict(d["controller"])
            made.engines = {name: EngineSetLauncher.from_dict(s, made) for name, s in (d.get("engines") or {}).items()}
            if made.shutdown_atexit:
                _live.add(made)
        return made

    @classmethod
    def from_file(
        cls,
        cluster_file: Optional[str] = None,
        *,
        profile: Optional[str] = None,
        profile_dir: Optional[str] = None,
        cluster_id: str = "",
        **kwargs: Any,
    ) -> "Cluster":
        """The cluster that left this file, or that has this id; the newest one, if neither is given.

        FileNotFoundError if there is none, NotRunning if it has ended.
        """
        path = Path(cluster_file) if cluster_file else _find_file(profile_dir, cluster_id)
        with open(path) as file:
            return cls.from_dict(json.load(file), **dict(kwargs, cluster_file=str(path)))

    def _write_cluster_file(self) -> None:
        path = Path(self.cluster_file)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = str(path.parent / (".cluster-" + os.urandom(8).hex()))
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(self.to_dict(), file, indent=1)
        os.replace(temporary, path)

    def write_cluster_file(self) -> None:
        """Write the file by which another process finds this cluster (0600)."""
        self._write_cluster_file()

    def _remove_cluster_file(self) -> None:
        try:
            os.unlink(self.cluster_file)
        except FileNotFoundError:
            pass

    def remove_cluster_file(self) -> None:
        """Take it away."""
        self._remove_cluster_file()

    def _update_cluster_file(self) -> None:
        if self._running():
            self._write_cluster_file()
        else:
            self._remove_cluster_file()

    def update_cluster_file(self) -> None:
        """Write it anew if the cluster runs, else take it away."""
        self._update_cluster_file()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _files(folder: Optional[Union[str, Path]] = None) -> List[Path]:
    """The files of clusters, the newest first."""
    found = list(Path(folder or state_folder()).glob("cluster-*.json"))
    return sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)


def _find_file(folder: Optional[str], cluster_id: str) -> Path:
    for path in _files(folder):
        if not cluster_id or path.name == "cluster-%s.json" % cluster_id:
            return path
    raise FileNotFoundError(
        "no cluster has left a file%s in %s" % (" with the id %r" % cluster_id if cluster_id else "", folder or state_folder())
    )


class ClusterManager:
    """Clusters by name: those that this process made, and those that run already."""

    def __init__(self) -> None:
        self.clusters: Dict[str, Cluster] = {}

    def load_clusters(
        self,
        *,
        profile_dirs: Optional[Sequence[str]] = None,
        profile_dir: Optional[str] = None,
        profiles: Optional[Sequence[str]] = None,
        profile: Optional[str] = None,
        init_default_clusters: bool = False,
        **kwargs: Any,
    ) -> Dict[str, Cluster]:
        """Find the clusters that run (in these folders), and give all that are known."""
        folders = list(profile_dirs or ()) + ([profile_dir] if profile_dir else [])
        for folder in folders or [str(state_folder())]:
            for path in _files(folder):
                try:
                    found = Cluster.from_file(str(path))
                except (LauncherError, ValueError, KeyError, TypeError, OSError):
                    continue  # has ended, or is no such file
                self.clusters.setdefault(found.cluster_id, found)
        for key in [k for k, c in self.clusters.items() if c.controller is not None and not c._running()]:
            del self.clusters[key]
        if init_default_clusters and not self.clusters:
            self.new_cluster(cluster_id="default")
        return self.clusters

    def new_cluster(self, **kwargs: Any) -> Tuple[str, Cluster]:
        """Make a cluster (it is not started), and give its key with it. KeyError if the id is taken."""
        made = Cluster(**kwargs)
        if made.cluster_id in self.clusters:
            raise KeyError("there is a cluster %r already" % made.cluster_id)
        self.clusters[made.cluster_id] = made
        return made.cluster_id, made

    def get_cluster(self, cluster_id: str) -> Cluster:
        """The cluster; KeyError if there is none of that id."""
        return self.clusters[cluster_id]

    def remove_cluster(self, cluster_id: str) -> None:
        """Forget it; it is not stopped. KeyError if there is none of that id."""
        del self.clusters[cluster_id]


def clean_cluster_files(
    profile_dirs: Optional[Sequence[str]] = None, *, log: Optional[logging.Logger] = None, force: bool = False
) -> None:
    """Remove the files of clusters that have ended; `force` stops and removes those that run, too."""
    for folder in profile_dirs or [str(state_folder())]:
        for path in _files(folder):
            try:
                found = Cluster.from_file(str(path))
                if not force:
                    continue
                found._stop_cluster()
            except (LauncherError, ValueError, KeyError, TypeError, OSError):
                pass
            if log is not None:
                log.info("removing %s", path)
            for leftover in (path, path.with_suffix(".log")):
                try:
                    leftover.unlink()
                except FileNotFoundError:
                    pass

"""tutti: interactive parallel computing for scientists.

    import tutti

    with tutti.Cluster(n=4) as rc:              # or tutti.Client(): a cluster that `tutti start` started
        rc[:]["x"] = 5                          # every engine has a variable
        rc[:].apply_sync(lambda y: x + y, 1)    # [6, 6, 6, 6]
        lbv = rc.load_balanced_view()
        lbv.map_sync(f, range(1000))            # each call on an engine that is free
        rc[:].apply_world(g).get()              # g(comm) on all engines: message passing

The names are those of IPython Parallel: a program moves over by `from tutti import ipyparallel as ipp`. `tutti.mpi` is message
passing between the ranks of a program, in the manner of mpi4py.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any, Dict, List

__version__ = "0.1.0"
version_info = (8, 8, 0)  # of IPython Parallel, whose names these are

# Where the public names live. They are imported when they are first used.
_names: Dict[str, str] = {}


def _table(module: str, names: str) -> None:
    _names.update(dict.fromkeys(names.split(), module))


_table("client", "Client")
_table("view", "BroadcastView DirectView LazyMapIterator LoadBalancedView View ViewExecutor")
_table("asyncresult", "AsyncHubResult AsyncMapResult AsyncResult ExecuteReply Metadata explain")
_table("remotefunction", "ParallelFunction RemoteFunction parallel remote")
_table("cluster", "Cluster ClusterManager clean_cluster_files")
_table("dependency", "Dependency Reference depend dependent interactive require")
_table("executor", "Executor")
_table("_display", "display")
_table("_compat", "ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION PrePickled bind_kernel can deserialize_object")
_table("_compat", "pack_apply_message publish_data register_joblib_backend serialize_object uncan unpack_apply_message")
_table(
    "errors",
    "AlreadyDisplayedError CompositeError DependencyTimeout EngineError IPythonError ImpossibleDependency InvalidDependency KernelError "
    "NoEnginesRegistered RemoteError TaskAborted TaskRejectError TaskTimeout TimeoutError UnmetDependency collect_exceptions",
)
_modules = frozenset(
    "asyncresult client cluster dependency errors executor ipyparallel joblib magics mpi progress remotefunction view".split()
)

__all__ = sorted(_names) + ["__version__", "version_info"]


def __getattr__(name: str) -> Any:
    module = _names.get(name)
    if module is not None:
        value = getattr(_import_module("." + module, __name__), name)
        globals()[name] = value
        return value
    if name == "error":  # as IPython Parallel calls it
        name = "errors"
    if name in _modules:
        try:
            return _import_module("." + name, __name__)
        except ModuleNotFoundError as e:
            if e.name != "%s.%s" % (__name__, name):
                raise
    raise AttributeError("module %r has no attribute %r" % (__name__, name))


def __dir__() -> List[str]:
    return sorted(set(globals()) | set(_names) | _modules)


def load_ipython_extension(ip: Any) -> None:
    """`%load_ext tutti`: the magics come with a view, by `view.activate()`."""


if TYPE_CHECKING:
    from ._compat import (  # noqa: F401
        ALL_COMPLETED,
        FIRST_COMPLETED,
        FIRST_EXCEPTION,
        PrePickled,
        bind_kernel,
        can,
        deserialize_object,
        pack_apply_message,
        publish_data,
        register_joblib_backend,
        serialize_object,
        uncan,
        unpack_apply_message,
    )
    from ._display import display  # noqa: F401
    from .asyncresult import AsyncHubResult, AsyncMapResult, AsyncResult, ExecuteReply, Metadata, explain  # noqa: F401
    from .client import Client  # noqa: F401
    from .cluster import Cluster, ClusterManager, clean_cluster_files  # noqa: F401
    from .executor import Executor  # noqa: F401
    from .dependency import Dependency, Reference, depend, dependent, interactive, require  # noqa: F401
    from .errors import *  # noqa: F401,F403
    from .remotefunction import ParallelFunction, RemoteFunction, parallel, remote  # noqa: F401
    from .view import (  # noqa: F401
        BroadcastView,
        DirectView,
        LazyMapIterator,
        LoadBalancedView,
        View,
        ViewExecutor,
    )

"""joblib on a cluster.

    import joblib, tutti

    tutti.register_joblib_backend("tutti")
    with joblib.parallel_backend("tutti"):                  # or "tutti", view=lbv, or "tutti", n=4
        joblib.Parallel()(joblib.delayed(f)(x) for x in xs)

Short jobs are sent together, in batches whose size joblib finds by itself. What a job raises is raised here as it is,
with the traceback of the engine as its cause.
"""

from __future__ import annotations

from typing import Any, Callable, Optional, Set

__all__ = ["register", "register_joblib_backend"]


def _call(jobs: Callable[[], Any]) -> Any:
    """Run a batch of joblib's: on the engine."""
    return jobs()


class _Job:
    """What joblib asks for the results of a batch."""

    __slots__ = ("future",)

    def __init__(self, future: Any) -> None:
        self.future = future

    def get(self, timeout: Optional[float] = None) -> Any:
        """The list of results. TimeoutError after so many seconds; what a job raised."""
        return self.future.result(timeout)


def backend_class() -> type:
    """The class of the backend. joblib is imported only here, so that engines need not import it for its sake."""
    from joblib._parallel_backends import AutoBatchingMixin, ParallelBackendBase

    class TuttiBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
        """Runs joblib's batches on engines: those of `view` or `client`, else of a cluster of its own with n engines."""

        supports_timeout = True
        supports_retrieve_callback = True
        default_n_jobs = -1
        uses_threads = False
        supports_sharedmem = False

        def __init__(self, view: Any = None, client: Any = None, n: Optional[int] = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self._view, self._client, self._n = view, client, n
            self._executor: Any = None
            self._jobs: Set[Any] = set()

        def _open(self) -> Any:
            if self._executor is None:
                from .executor import Executor

                self._executor = Executor(self._n, client=self._client, view=self._view)
            return self._executor

        def effective_n_jobs(self, n_jobs: Optional[int]) -> int:
            """How many jobs can run at the same time: the engines there are, or fewer if fewer are asked for."""
            if n_jobs == 0:
                raise ValueError("n_jobs == 0 in Parallel has no meaning")
            engines = self._open()._workers()
            if n_jobs is None or n_jobs == -1:
                return engines
            return max(1, engines + 1 + n_jobs) if n_jobs < 0 else min(n_jobs, engines)

        def configure(self, n_jobs: Any = 1, parallel: Any = None, **kwargs: Any) -> int:
            """Called before a Parallel begins."""
            self.parallel = parallel
            if self._n is None and isinstance(n_jobs, int) and n_jobs > 0 and self._view is None and self._client is None:
                self._n = n_jobs
            return self.effective_n_jobs(n_jobs)

        def submit(self, func: Callable[[], Any], callback: Optional[Callable[[Any], Any]] = None) -> Any:
            """Send a batch; `callback` is called when it has ended."""
            future = self._open().submit(_call, func)
            self._jobs.add(future)
            future.add_done_callback(self._jobs.discard)
            if callback is not None:
                future.add_done_callback(callback)
            return _Job(future)

        apply_async = submit  # its name before joblib 1.5

        def retrieve_result_callback(self, out: Any) -> Any:
            """What the callback's argument stands for."""
            return out.result()

        def abort_everything(self, ensure_ready: bool = True) -> None:
            """Cancel what has not ended: one of the jobs has failed."""
            for future in list(self._jobs):
                future.cancel()
            self._jobs.clear()

        def terminate(self) -> None:
            """Leave the cluster; one of its own ends."""
            executor, self._executor = self._executor, None
            if executor is not None:
                executor.shutdown(wait=executor._cluster is not None)
            self.reset_batch_stats()

        def get_nested_backend(self) -> Any:
            """A Parallel within a job runs where it is, one job after the other."""
            from joblib._parallel_backends import SequentialBackend

            return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    return TuttiBackend


def register(name: str = "tutti", view: Any = None, make_default: bool = False) -> None:
    """Make the backend known to joblib by that name; `view` says where its jobs run."""
    from joblib.parallel import register_parallel_backend

    cls = backend_class()

    def make(**kwargs: Any) -> Any:
        kwargs.setdefault("view", view)
        return cls(**kwargs)

    register_parallel_backend(name, make, make_default=make_default)


register_joblib_backend = register

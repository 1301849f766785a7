#!/usr/bin/python3
"""Measure one figure of one peer with 2 workers, and print each number as a line of JSON.

    peers.py PEER FIGURE [N]

PEER is a row of PEERS; FIGURE is one of rate, submit, trip, sleep, command, data, broadcast, memory,
future, import, startup; N is how many tasks, instead of the peer's own number. The program exits with 3 if the peer is not
installed. Functions live in __main__, so they travel by value, as a notebook user's do. For
startup, BENCH_T0 holds the time at which this process was started.
"""
import importlib.util
import json
import os
import statistics
import sys
import time

WORKERS = 2
ARRAY_BYTES = 100_000_000


# What is asked of the workers.

def noop(i=0):
    return i


def nap(i=0):
    import time
    time.sleep(0.001)
    return i


def block(seconds):
    import time
    time.sleep(seconds)


def command(i=0):
    import subprocess
    return subprocess.run(["bash", "-c", ":"]).returncode


def ends(a):
    return float(a[0]) + float(a[-1])


def give(n):
    import builtins
    import numpy
    kept = getattr(builtins, "_bench_kept", None)
    if kept is None or len(kept) != n:
        kept = builtins._bench_kept = numpy.ones(n)
    return kept


def script():
    return ":"


# The peers: how each is started, given many tasks or one, and ended.

class Executor:
    """concurrent.futures.ProcessPoolExecutor."""

    def __init__(self):
        from concurrent.futures import ProcessPoolExecutor
        self.pool = ProcessPoolExecutor(WORKERS)

    def submit(self, f, *args):
        return self.pool.submit(f, *args)

    def many(self, f, n):
        return [self.submit(f, i) for i in range(n)]

    def gather(self, futures):
        return [f.result() for f in futures]

    def one(self, f, *args):
        return self.submit(f, *args).result()

    def stop(self):
        self.pool.shutdown(cancel_futures=True)


class Joblib:
    """joblib.Parallel on loky; it has no futures, so many waits already."""
    batch = 1

    def __init__(self):
        from joblib import Parallel, delayed
        self.delayed = delayed
        self.parallel = Parallel(n_jobs=WORKERS, batch_size=self.batch, pre_dispatch="all")
        self.parallel.__enter__()

    def many(self, f, n):
        return self.parallel(self.delayed(f)(i) for i in range(n))

    def gather(self, results):
        return results

    def one(self, f, *args):
        return self.parallel([self.delayed(f)(*args)])[0]

    def stop(self):
        self.parallel.__exit__(None, None, None)


class JoblibAuto(Joblib):
    """The same, many calls made into one task where they are short."""
    batch = "auto"


class Dask(Executor):
    """dask.distributed on a LocalCluster, whose scheduler lives in the client's process."""

    def __init__(self):
        from distributed import Client, LocalCluster
        self.cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, processes=True,
                                    dashboard_address=None, memory_limit="8GB", silence_logs=40)
        self.client = Client(self.cluster)

    def submit(self, f, *args):
        return self.client.submit(f, *args, pure=False)

    def many(self, f, n):
        return self.client.map(f, range(n), pure=False)

    def gather(self, futures):
        return self.client.gather(futures)

    def controllers(self):
        return [os.getpid()]

    def stop(self):
        self.client.close()
        self.cluster.close()

    def data(self, array):
        """One worker's memory, addressed directly, as our engine's is."""
        worker = list(self.client.scheduler_info()["workers"])[0]
        held = {}

        def push():
            held["it"] = self.client.scatter(array, workers=[worker], hash=False, direct=True)

        def drop():
            held.clear()
            time.sleep(0.2)

        yield "push", push, drop
        yield "pull", lambda: self.client.gather(held["it"], direct=True), None

    def broadcast(self, array):
        held = {}

        def send():
            held["it"] = self.client.scatter(array, broadcast=True, hash=False, direct=True)

        def drop():
            held.clear()
            time.sleep(0.2)

        return send, drop


class Engines(Executor):
    """What tutti and IPython Parallel have in common: the names of the second."""

    def __init__(self, package):
        self.package = package
        self.cluster = package.Cluster(n=WORKERS, log_level=40)
        self.client = self.cluster.start_and_connect_sync()
        self.view = self.client.load_balanced_view()

    def submit(self, f, *args):
        return self.view.apply_async(f, *args)

    def one(self, f, *args):
        return self.view.apply_sync(f, *args)

    def stop(self):
        self.client.close()
        self.cluster.stop_cluster_sync()

    def data(self, array):
        engine = self.client[0]
        yield "push", lambda: engine.push({"a": array}, block=True), None
        yield "pull", lambda: engine.pull("a", block=True), None

    def broadcast(self, array):
        everybody = self.client[:]
        return lambda: everybody.push({"b": array}, block=True), None


class Tutti(Engines):
    """tutti's Python client on a cluster of its own: the balanced view, and Executor for maps, which batches short calls as joblib does."""

    def __init__(self):
        import tutti
        super().__init__(tutti)

    def many(self, f, n):
        return list(self.package.Executor(client=self.client).map(f, range(n)))

    def gather(self, results):
        return [r.result() if hasattr(r, "result") else r for r in results]


class Ipp(Engines):
    """IPython Parallel, its balanced view for tasks and its direct view for data."""

    def __init__(self):
        import ipyparallel
        super().__init__(ipyparallel)

    def gather(self, futures):
        self.client.wait(futures)
        return [f.get() for f in futures]

    def controllers(self):
        return tree(self.cluster.controller.pid)


class Parsl(Executor):
    """Parsl's HighThroughputExecutor."""

    def __init__(self):
        import tempfile
        import warnings
        warnings.simplefilter("ignore")
        import parsl
        from parsl.config import Config
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider
        self.parsl, self.apps = parsl, {}
        self.flow = parsl.load(Config(executors=[HighThroughputExecutor(
            label="htex", address="127.0.0.1", max_workers_per_node=WORKERS, cores_per_worker=1, encrypted=False,
            provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1))],
            run_dir=tempfile.mkdtemp(prefix="bench-parsl-"), usage_tracking=0))

    def submit(self, f, *args):
        if f is command:
            f, args, wrap = script, (), self.parsl.bash_app
        else:
            wrap = self.parsl.python_app
        if f not in self.apps:
            self.apps[f] = wrap(f)
        return self.apps[f](*args)

    def controllers(self):
        import psutil
        me = psutil.Process()
        return [me.pid] + [c.pid for c in me.children(recursive=True) if "interchange" in " ".join(c.cmdline())]

    def stop(self):
        self.flow.cleanup()
        self.parsl.clear()


# name: class, the module it needs, how many tasks take a second or so
PEERS = {
    "ppe": (Executor, "concurrent.futures", 10_000),
    "joblib": (Joblib, "joblib", 2_000),
    "joblib-auto": (JoblibAuto, "joblib", 50_000),
    "dask": (Dask, "distributed", 1_000),
    "ipp": (Ipp, "ipyparallel", 500),
    "parsl": (Parsl, "parsl", 1_000),
    "tutti-python": (Tutti, "tutti", 100_000),
}


# The figures. Each is given the name of the peer, the peer and the number of tasks.

def emit(who, metric, value, unit, n):
    print(json.dumps({"who": who, "metric": metric, "value": value, "unit": unit, "n": n}), flush=True)


def timed(f):
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


def rate(who, peer, n):
    emit(who, "noop_rate", n / timed(lambda: peer.gather(peer.many(noop, n))), "1/s", n)


def submit(who, peer, n):
    """Each task submitted by a call of its own and given a future of its own."""
    def all_of_them():
        peer.gather([peer.submit(noop, i) for i in range(n)])

    emit(who, "submit_rate", n / timed(all_of_them), "1/s", n)


def trip(who, peer, n):
    n = min(n, 1000)
    trips = sorted(timed(lambda: peer.one(noop, i)) * 1e6 for i in range(n))
    emit(who, "trip_median", trips[n // 2], "µs", n)
    emit(who, "trip_p99", trips[n * 99 // 100], "µs", n)


def sleep(who, peer, n):
    n = min(n, 10_000)
    emit(who, "sleep_efficiency", n * 1e-3 / WORKERS / timed(lambda: peer.gather(peer.many(nap, n))), "", n)


def commands(who, peer, n):
    n = min(n, 1000)
    emit(who, "command_rate", n / timed(lambda: peer.gather(peer.many(command, n))), "1/s", n)


def data(who, peer, n):
    """The first time is the cold one; of the others the median is given."""
    import numpy
    array = numpy.random.default_rng(0).random(ARRAY_BYTES // 8)
    ways = peer.data(array) if hasattr(peer, "data") else [
        ("push", lambda: peer.one(ends, array), None),
        ("pull", lambda: peer.one(give, len(array)), None)]
    for way, f, before in ways:
        speeds = []
        for _ in range(6):
            if before:
                before()
            speeds.append(ARRAY_BYTES / 1e9 / timed(f))
        emit(who, way + "_cold", speeds[0], "GB/s", 1)
        emit(who, way + "_warm", statistics.median(speeds[1:]), "GB/s", 5)


def broadcast(who, peer, n):
    """One array to all workers; what counts is the array's size times the workers."""
    import numpy
    array = numpy.random.default_rng(0).random(ARRAY_BYTES // 8)
    send, before = peer.broadcast(array)
    speeds = []
    for _ in range(6):
        if before:
            before()
        speeds.append(WORKERS * ARRAY_BYTES / 1e9 / timed(send))
    emit(who, "broadcast_cold", speeds[0], "GB/s", 1)
    emit(who, "broadcast_warm", statistics.median(speeds[1:]), "GB/s", 5)


def future(who, peer, n):
    """What the client's process keeps for each task that has been submitted and has not ended."""
    import tracemalloc
    from concurrent.futures import Future
    n = min(n, 20_000)
    waiting = [peer.submit(block, 60) for _ in range(WORKERS)]
    time.sleep(1)
    tracemalloc.start()
    sizes = []
    for make in (lambda i: Future(), lambda i: peer.submit(noop, i)):
        before = tracemalloc.get_traced_memory()[0]
        kept = [make(i) for i in range(n)]
        time.sleep(2)  # what is on its way to the controller has left
        sizes.append((tracemalloc.get_traced_memory()[0] - before) / n)
        waiting.append(kept)
    emit("bare future", "future_memory", sizes[0], "bytes", n)
    emit(who, "future_memory", sizes[1], "bytes", n)
    os._exit(0)


def memory(who, peer, n):
    """What the processes of the controller grow by while n tasks wait behind two that block."""
    if not hasattr(peer, "controllers"):
        return
    n = min(n * 10, 10_000)
    time.sleep(1)
    pids = peer.controllers()
    before = proportional(pids)
    waiting = [peer.submit(block, 60) for _ in range(WORKERS)]
    waiting += peer.many(noop, n)
    last, now = 0, proportional(pids)
    for _ in range(15):  # until what was submitted has arrived
        if now - last < 200_000:
            break
        time.sleep(1)
        last, now = now, proportional(pids)
    emit(who, "queued_memory", (now - before) / n * 100_000 / 1e6, "MB per 100k", n)
    os._exit(0)  # whoever started us ends what is left


def proportional(pids):
    """The memory of processes in bytes, each with its share of what it shares."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                total += sum(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))
        except OSError:
            pass  # it has ended
    return total


def imported(who, module):
    """How long a fresh interpreter takes to import a package, beyond its own start; the least of nine."""
    import subprocess

    def least(code):
        return min(timed(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(9))

    emit(who, "import_time", (least("import " + module) - least("pass")) * 1e3, "ms", 9)


def tree(pid):
    import psutil
    return [pid] + [c.pid for c in psutil.Process(pid).children(recursive=True)]


FIGURES = {"rate": rate, "submit": submit, "broadcast": broadcast, "future": future, "trip": trip, "sleep": sleep, "command": commands, "data": data, "memory": memory}


def main():
    who, figure = sys.argv[1:3]
    make, module, n = PEERS[who]
    if importlib.util.find_spec(module) is None:
        sys.exit(3)
    n = int(sys.argv[3]) if len(sys.argv) > 3 else n
    if figure == "import":
        return imported(who, module)
    peer = make()
    if figure == "startup":
        peer.one(noop, 1)
        emit(who, "startup", time.time() - float(os.environ["BENCH_T0"]), "s", 1)
    else:
        peer.gather(peer.many(noop, 200))
        FIGURES[figure](who, peer, n)
    peer.stop()


if __name__ == "__main__":
    main()

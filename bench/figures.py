"""What is measured, and what it is held against: two tables, read by bench/run.

STEPS are the programs to run. Each belongs to a mode, which is what --only names and what is
rotated: in every round the steps of a mode follow each other, each round beginning with another.
A step that is not `always` is for orientation only, and runs in the first round.

ROWS are the lines of the table that is printed: a number of ours, the peer's number that it is
held against, and the aim.
"""
import re
from collections import namedtuple

TASKS = ["bin/bench-tasks"]
PYTHON = "/usr/bin/python3"
PEERS = [PYTHON, "bench/peers/peers.py"]
COMMANDS = [PYTHON, "bench/peers/commands.py"]

# argv: what is run; limit: seconds after which it is given up; read: how its output becomes
# numbers, None for lines of JSON; quick: what is appended to argv in a quick run
Step = namedtuple("Step", "mode name argv limit always read quick", defaults=(60, True, None, ()))


def ours(mode, figure, place, quick=0, limit=60):
    argv = TASKS + ["-on", place] + (["-n", str(quick)] if quick else []) + [figure]
    return Step(mode, f"tutti {place} {figure}", TASKS + ["-on", place, figure], limit, True, None, argv if quick else ())


def peer(mode, figure, who, quick=0, always=False, limit=60):
    argv = PEERS + [who, figure]
    return Step(mode, f"{who} {figure}", argv, limit, always, None, argv + [str(quick)] if quick else ())


def tool(who, quick=0, always=False):
    argv = COMMANDS + [who]
    return Step("command", f"{who} command", argv, 60, always, None, argv + [str(quick)] if quick else ())


def read_sched(text):
    """The steps of go test's benchmark, in which one step is a task's whole way."""
    for rate in re.findall(r"([\d.e+]+) steps/s", text):
        yield {"who": "tutti sched", "metric": "sched_rate", "value": float(rate), "unit": "1/s", "n": 1_000_000}


def read_pmf(text):
    """The last lines of the example's output."""
    for spent, reps, engines in re.findall(r"([\d.]+) s for \d+ starts and (\d+) replicates on (\d+) engines", text):
        yield {"who": f"tutti {engines} engines", "metric": "pmf_time", "value": float(spent) / int(reps) * 1000, "unit": "s", "n": int(reps)}


def read_numpy(text):
    for reps, spent in re.findall(r"(\d+) replicates: ([\d.]+) s", text):
        yield {"who": "numpy", "metric": "pmf_time", "value": float(spent) / int(reps) * 1000, "unit": "s", "n": int(reps)}


def pmf(engines):
    argv = ["bin/bench-pmf", "-seeds", "1", "-engines", str(engines), "-o", "{temp}"]
    return Step("pmf", f"tutti {engines} engines pmf", argv + ["-reps", "1000"], 300, True, read_pmf, argv + ["-reps", "200"])


STEPS = [
    ours("rate", "map", "embedded", 50_000),
    ours("rate", "map", "tls", 50_000),
    ours("rate", "durable", "tls", 20_000),
    ours("rate", "submit", "embedded", 20_000),
    peer("rate", "rate", "ppe", 5_000, always=True),
    peer("rate", "rate", "joblib"),
    peer("rate", "rate", "joblib-auto"),
    peer("rate", "rate", "parsl"),
    peer("rate", "rate", "dask"),
    peer("rate", "rate", "ipp"),

    ours("trip", "trip", "embedded"),
    ours("trip", "trip", "tls"),
    peer("trip", "trip", "ppe", always=True),
    peer("trip", "trip", "joblib"),
    peer("trip", "trip", "parsl", 200),
    peer("trip", "trip", "dask", 200),
    peer("trip", "trip", "ipp", 200),

    ours("sleep", "sleep", "embedded", 2_000),
    peer("sleep", "sleep", "ppe", 2_000, always=True),
    peer("sleep", "sleep", "joblib"),
    peer("sleep", "sleep", "parsl"),
    peer("sleep", "sleep", "dask"),
    peer("sleep", "sleep", "ipp"),

    ours("command", "command", "embedded", 300),
    tool("xargs", 300, always=True),
    tool("parallel", 100),
    tool("snakemake", 20),
    peer("command", "command", "ppe", 300),
    peer("command", "command", "joblib", 300),
    peer("command", "command", "parsl", 200),
    peer("command", "command", "dask", 200),
    peer("command", "command", "ipp", 200),

    ours("data", "data", "embedded"),
    ours("data", "data", "unix"),
    peer("data", "data", "dask", always=True),
    peer("data", "data", "ppe"),
    peer("data", "data", "ipp"),

    ours("memory", "memory", "tls"),
    peer("memory", "memory", "dask", 200),
    peer("memory", "memory", "parsl", 200),
    peer("memory", "memory", "ipp", 200, limit=120),

    ours("startup", "startup", "embedded"),
    peer("startup", "startup", "ppe", always=True),
    peer("startup", "startup", "joblib"),
    peer("startup", "startup", "parsl"),
    peer("startup", "startup", "dask"),
    peer("startup", "startup", "ipp"),

    Step("sched", "tutti sched", ["bin/bench-sched", "-test.run=^$", "-test.bench=Step/short", "-test.benchtime=1000000x"], 120, True, read_sched),

    peer("python", "rate", "tutti-python", 20_000, always=True),
    peer("python", "rate", "ppe", 5_000, always=True),
    peer("python", "rate", "joblib-auto", 20_000, always=True),

    peer("python-submit", "submit", "tutti-python", 20_000, always=True),
    peer("python-submit", "submit", "ppe", 5_000, always=True),
    peer("python-submit", "submit", "dask", 500, always=True),
    peer("python-submit", "submit", "ipp", 200, always=True),

    peer("python-trip", "trip", "tutti-python", always=True),
    peer("python-trip", "trip", "ppe", always=True),

    peer("python-sleep", "sleep", "tutti-python", 2_000, always=True),
    peer("python-sleep", "sleep", "ppe", 2_000, always=True),

    peer("python-data", "data", "tutti-python", always=True),
    peer("python-data", "data", "dask", always=True),
    peer("python-data", "data", "ipp"),
    peer("python-data", "broadcast", "tutti-python", always=True),
    peer("python-data", "broadcast", "dask", always=True),
    peer("python-data", "broadcast", "ipp"),

    peer("python-startup", "startup", "tutti-python", always=True),
    peer("python-startup", "startup", "ppe", always=True),
    peer("python-startup", "import", "tutti-python", always=True),
    peer("python-startup", "future", "tutti-python", always=True),

    pmf(1),
    pmf(2),
    Step("pmf", "numpy pmf", [PYTHON, "bench/pmf_numpy.py", "--seeds", "1", "--reps", "200"], 300, True, read_numpy,
         [PYTHON, "bench/pmf_numpy.py", "--seeds", "1", "--reps", "50"]),
]

# title; ours and the peer's as "who metric"; the aim: at least (>=) or at most (<=) so much, of the
# ratio of ours to the peer's if there is a peer with an x, else of our own number
Row = namedtuple("Row", "mode title ours peer aim")

ROWS = [
    Row("rate", "no-op tasks/s, embedded", "tutti embedded noop_rate", "ppe noop_rate", ">= 20 x"),
    Row("rate", "no-op tasks/s, TCP with TLS", "tutti tls noop_rate", "ppe noop_rate", ">= 10 x"),
    Row("rate", "no-op tasks/s, TLS and durable", "tutti tls durable_rate", "ppe noop_rate", ">= 3 x"),
    Row("rate", "single submits/s, embedded", "tutti embedded submit_rate", "ppe noop_rate", ""),
    Row("trip", "round trip, median µs", "tutti embedded trip_median", "ppe trip_median", "<= 0.8 x"),
    Row("trip", "round trip, p99 µs", "tutti embedded trip_p99", "ppe trip_p99", ""),
    Row("trip", "round trip over TLS, median µs", "tutti tls trip_median", "ppe trip_median", ""),
    Row("sleep", "10,000 x 1 ms, efficiency", "tutti embedded sleep_efficiency", "ppe sleep_efficiency", ">= 1.05 x"),
    Row("command", "commands/s, bash -c :", "tutti embedded command_rate", "xargs command_rate", ">= 1 x"),
    Row("command", "scripts/s, sh", "tutti embedded script_rate", "xargs command_rate", ""),
    Row("data", "100 MB argument, GB/s, warm", "tutti embedded push_warm", "dask push_warm", ">= 4"),
    Row("data", "100 MB argument, GB/s, cold", "tutti embedded push_cold", "dask push_cold", ""),
    Row("data", "100 MB result, GB/s, warm", "tutti embedded pull_warm", "dask pull_warm", ""),
    Row("data", "100 MB result, GB/s, cold", "tutti embedded pull_cold", "dask pull_cold", ""),
    Row("data", "... argument, detached, warm", "tutti unix push_warm", "dask push_warm", ""),
    Row("memory", "MB per 100,000 queued tasks", "tutti tls queued_memory", "dask queued_memory", "<= 40"),
    Row("startup", "start to first result, s", "tutti embedded startup", "ppe startup", "<= 0.15"),
    Row("python", "Python: no-op map, tasks/s", "tutti-python noop_rate", "ppe noop_rate", ">= 8 x"),
    Row("python", "Python: ... beside joblib's batches", "tutti-python noop_rate", "joblib-auto noop_rate", ">= 1 x"),
    Row("python-submit", "Python: single submits/s", "tutti-python submit_rate", "dask submit_rate", ">= 100 x"),
    Row("python-submit", "Python: ... beside IPython Parallel", "tutti-python submit_rate", "ipp submit_rate", ">= 100 x"),
    Row("python-submit", "Python: ... beside ProcessPoolExecutor", "tutti-python submit_rate", "ppe submit_rate", ""),
    Row("python-trip", "Python: round trip, median µs", "tutti-python trip_median", "ppe trip_median", "<= 1.2 x"),
    Row("python-trip", "Python: round trip, p99 µs", "tutti-python trip_p99", "ppe trip_p99", "<= 1.5 x"),
    Row("python-sleep", "Python: 10,000 x 1 ms, efficiency", "tutti-python sleep_efficiency", "ppe sleep_efficiency", ">= 0.98 x"),
    Row("python-data", "Python: push of 100 MB, GB/s, warm", "tutti-python push_warm", "dask push_warm", ">= 4 x"),
    Row("python-data", "Python: ... cold", "tutti-python push_cold", "dask push_cold", ""),
    Row("python-data", "Python: pull of 100 MB, GB/s, warm", "tutti-python pull_warm", "dask pull_warm", ">= 2 x"),
    Row("python-data", "Python: ... cold", "tutti-python pull_cold", "dask pull_cold", ""),
    Row("python-data", "Python: broadcast of 100 MB, GB/s, warm", "tutti-python broadcast_warm", "dask broadcast_warm", ">= 10 x"),
    Row("python-data", "Python: ... cold", "tutti-python broadcast_cold", "dask broadcast_cold", ""),
    Row("python-startup", "Python: start to first result, s", "tutti-python startup", "ppe startup", "<= 2.5 x"),
    Row("python-startup", "Python: import of the package, ms", "tutti-python import_time", "", "<= 60"),
    Row("python-startup", "Python: client memory per future, bytes", "tutti-python future_memory", "bare future future_memory", "<= 1.5 x"),
    Row("sched", "scheduler, steps/s, 10,000 engines", "tutti sched sched_rate", "", ">= 1000000"),
    Row("pmf", "PMF, 1,000 replicates, s: 2 engines on 1", "tutti 2 engines pmf_time", "tutti 1 engines pmf_time", "<= 0.6 x"),
    Row("pmf", "PMF, 1,000 replicates, s: 1 engine", "tutti 1 engines pmf_time", "numpy pmf_time", "<= 1 x"),
]

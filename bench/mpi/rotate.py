#!/usr/bin/env python3
"""Run benchmark commands in rotation and compare their medians.

    rotate.py ROUNDS OUT.tsv NAME=COMMAND NAME=COMMAND ...

Each command prints lines of operation, ranks, bytes, median, minimum, maximum and unit, parted by
tabs. A round runs every command once, so that a machine that drifts in speed drifts for all; the
median over rounds counts. The last columns are the first command's result as a ratio to the best of
the others (for MB/s the other way round, so that below 1 is always better): of the medians, and the
median of the ratios of each round.

A lock keeps two comparisons on one machine apart. Environment: BENCH_LOCK, the lock's path; RUN_S,
seconds for one command.
"""
import fcntl
import os
import signal
import statistics
import subprocess
import sys
import tempfile


def run(name, command, limit):
    # In a session of its own, so that what a launcher has started can be ended with it.
    p = subprocess.Popen(command, shell=True, text=True, start_new_session=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = p.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGTERM)
        out, err = p.communicate()
        print(f"{name}: cut off after {limit} s", file=sys.stderr)
    if p.returncode > 0:
        print(f"{name}: status {p.returncode}: {err[-300:]}", file=sys.stderr)
    return out


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    rounds, out = int(sys.argv[1]), sys.argv[2]
    commands = [a.split("=", 1) for a in sys.argv[3:]]
    limit = float(os.environ.get("RUN_S", "120"))
    lock = open(os.environ.get("BENCH_LOCK", os.path.join(tempfile.gettempdir(), "tutti-bench.lock")), "a")
    data = {}
    for _ in range(rounds):
        for name, command in commands:
            fcntl.flock(lock, fcntl.LOCK_EX)
            text = run(name, command, limit)
            fcntl.flock(lock, fcntl.LOCK_UN)
            for line in text.splitlines():
                f = line.split("\t")
                if len(f) == 7:
                    data.setdefault((f[0], f[1], f[2], f[6]), {}).setdefault(name, []).append(float(f[3]))
    names = [n for n, _ in commands]
    with open(out, "w") as o:
        print("operation", "ranks", "bytes", "unit", *names, "ratio", "by_round", sep="\t", file=o)
        for key, got in data.items():
            med = {n: statistics.median(got[n]) for n in names if n in got}
            row = ["%.3f" % med[n] if n in med else "-" for n in names]
            rounds_of = [dict(zip(names, r)) for r in zip(*(got.get(n, []) for n in names))]
            each = [x for x in (ratio(names, r, key[3]) for r in rounds_of) if x != "-"]
            by_round = "%.2f" % statistics.median(map(float, each)) if each else "-"
            print(*key, *row, ratio(names, med, key[3]), by_round, sep="\t", file=o)
    with open(out) as f:
        print(f.read(), end="")


def ratio(names, med, unit):
    others = [med[n] for n in names[1:] if n in med]
    if names[0] not in med or not others:
        return "-"
    if unit == "MB/s":
        return "%.2f" % (max(others) / med[names[0]])
    return "%.2f" % (med[names[0]] / min(others))


if __name__ == "__main__":
    main()

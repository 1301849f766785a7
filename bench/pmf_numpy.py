#!/usr/bin/python3
"""Time LS-NMF in numpy: the yardstick for examples/pmf on one core.

Runs starts of the base run, then bootstrap replicates from the best of them, with the
algorithm, the stop rule and the data of examples/pmf, and prints seconds and statistics:

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 0 python3 bench/pmf_numpy.py --reps 1000

Every array that can be kept is kept and every operation writes into a buffer, so that numpy is
shown at its best rather than at its most readable.
"""
import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples", "pmf", "data")
SETS = {
    "br": ("Dataset-BatonRouge-con.csv", "Dataset-BatonRouge-unc.csv", ","),
    "sl": ("Dataset-StLouis-con.csv", "Dataset-StLouis-unc.csv", ","),
    "ba": ("Dataset-Baltimore_con.txt", "Dataset-Baltimore_unc.txt", "\t"),
}


def table(path, sep):
    """The numbers of one file, one row a sample; rows without values are dropped."""
    rows = []
    with open(path, encoding="utf-8-sig") as f:
        for line in f.read().splitlines()[1:]:
            cells = line.split(sep)[1:]
            if any(c.strip() for c in cells):
                rows.append([float(c) for c in cells])
    return np.array(rows)


def load(name):
    con, unc, sep = SETS[name]
    return table(os.path.join(DATA, con), sep), table(os.path.join(DATA, unc), sep)


class Problem:
    """V and its weights, and the buffers of one fit."""

    def __init__(self, v, u):
        self.v, self.w = v, 1 / (u * u)
        self.wv = self.w * v
        self.wh, self.t = np.empty_like(v), np.empty_like(v)

    def step(self, w, h):
        """One LS-NMF step in place; self.wh holds W H before and after."""
        np.multiply(self.w, self.wh, out=self.t)
        h *= (w.T @ self.wv) / (w.T @ self.t)
        np.matmul(w, h, out=self.wh)
        np.multiply(self.w, self.wh, out=self.t)
        w *= (self.wv @ h.T) / (self.t @ h.T)
        np.matmul(w, h, out=self.wh)

    def q(self):
        np.subtract(self.v, self.wh, out=self.t)
        np.multiply(self.t, self.t, out=self.t)
        return float(np.vdot(self.t, self.w))

    def fit(self, w, h, delta=0.01, calm=50, most=20000):
        """Steps until Q has fallen by less than delta in each of calm steps running."""
        np.matmul(w, h, out=self.wh)
        last, quiet = self.q(), 0
        for steps in range(1, most + 1):
            self.step(w, h)
            q = self.q()
            quiet = quiet + 1 if last - q < delta else 0
            last = q
            if quiet >= calm:
                break
        return last, steps


def start(v, p, rng):
    """Random W and H whose product has the size of v."""
    h = np.sqrt(v.mean(axis=0) / p) * rng.standard_normal((p, v.shape[1]))
    w = np.sqrt(v.mean(axis=1) / p)[:, None] * rng.standard_normal((v.shape[0], p))
    w[w <= 0] = 1e-12
    h[h <= 0] = 1e-12
    return w, h


def blocks(n, length, rng):
    """Row numbers of one bootstrap sample: whole blocks with replacement, the last one cut."""
    count = -(-n // length)
    rows = np.concatenate([np.arange(b * length, min((b + 1) * length, n))
                           for b in rng.integers(0, count, 2 * count)])
    return rows[:n]


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--dataset", choices=SETS, default="br")
    args.add_argument("--factors", type=int, default=4)
    args.add_argument("--seeds", type=int, default=20)
    args.add_argument("--reps", type=int, default=100)
    args.add_argument("--block", type=int, default=4)
    args.add_argument("--seed", type=int, default=42)
    a = args.parse_args()
    v, u = load(a.dataset)

    problem, best, total = Problem(v, u), None, 0
    begin = time.perf_counter()
    for s in range(a.seeds):
        w, h = start(v, a.factors, np.random.default_rng([a.seed, s]))
        q, steps = problem.fit(w, h)
        total += steps
        if best is None or q < best[0]:
            best = q, w, h
    spent = time.perf_counter() - begin
    print(f"{a.seeds} starts: {spent:.2f} s, {total} steps, {spent / total * 1e6:.1f} us a step, least Q {best[0]:.2f}")

    qs, total = [], 0
    begin = time.perf_counter()
    for r in range(a.reps):
        rows = blocks(len(v), a.block, np.random.default_rng([a.seed, 1, r]))
        q, steps = Problem(v[rows], u[rows]).fit(best[1][rows].copy(), best[2].copy())
        total += steps
        qs.append(q)
    spent = time.perf_counter() - begin
    print(f"{a.reps} replicates: {spent:.2f} s, {total} steps, {spent / total * 1e6:.1f} us a step, "
          f"Q {np.mean(qs):.1f} sd {np.std(qs):.1f}")


if __name__ == "__main__":
    main()

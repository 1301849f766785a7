"""Positive matrix factorization by LS-NMF in numpy: the analysis of examples/pmf, for engines.

V (n samples x m species) with uncertainties U is approximated by W H, all entries >= 0, so that
Q = sum(((V - W H) / U)**2) is least (Wang, Kossenkov and Ochs 2006). The formulas, the stop rule,
the block bootstrap and the matching of factors are those of the Go program in examples/pmf, whose
data this module reads.
"""
import os

import numpy as np

TINY = 1e-100  # where an entry of W or H is taken to be zero
ENOUGH = 0.6  # correlation of contributions from which a factor counts as mapped
UNMAPPED = -1

SETS = {
    "br": ("Dataset-BatonRouge-con.csv", "Dataset-BatonRouge-unc.csv", ","),
    "sl": ("Dataset-StLouis-con.csv", "Dataset-StLouis-unc.csv", ","),
    "ba": ("Dataset-Baltimore_con.txt", "Dataset-Baltimore_unc.txt", "\t"),
}


def load(name, folder):
    """(V, U, names of the species) of a data set; samples without any value are dropped."""
    con, unc, sep = SETS[name]
    v, names = _table(os.path.join(folder, con), sep)
    u, _ = _table(os.path.join(folder, unc), sep)
    return v, u, names


def _table(path, sep):
    with open(path, encoding="utf-8-sig") as f:
        lines = f.read().splitlines()
    rows = [line.split(sep)[1:] for line in lines[1:]]
    rows = [[float(c) for c in cells] for cells in rows if any(c.strip() for c in cells)]
    return np.array(rows), [name.strip() for name in lines[0].split(sep)[1:]]


def start(v, p, rng):
    """Random W and H whose product has the size of V."""
    h = np.sqrt(v.mean(axis=0) / p) * rng.standard_normal((p, v.shape[1]))
    w = np.sqrt(v.mean(axis=1) / p)[:, None] * rng.standard_normal((v.shape[0], p))
    return np.maximum(w, 1e-12), np.maximum(h, 1e-12)


def fit(v, u, w, h, delta=0.01, calm=50, most=20000):
    """(W, H, Q, steps, converged) from a start, which is not changed.

    Stops when Q has fallen by less than delta in each of calm steps running, or after most steps.
    """
    weight = 1 / (u * u)
    wv = weight * v
    vv = float(np.vdot(wv, v))
    w, h = np.array(w, float), np.array(h, float)

    def sums():
        b = weight * (w @ h)
        return w.T @ wv, w.T @ b, b

    num, den, b = sums()
    last, quiet = vv - 2 * float(np.vdot(h, num)) + float(np.vdot(h, den)), 0
    for steps in range(1, most + 1):
        h = scaled(h, num, den)
        b = weight * (w @ h)
        w = scaled(w, wv @ h.T, b @ h.T)
        num, den, b = sums()
        q = vv - 2 * float(np.vdot(h, num)) + float(np.vdot(h, den))
        quiet = quiet + 1 if last - q < delta else 0
        last = q
        if quiet >= calm:
            return w, h, quality(v, u, w, h), steps, True
    return w, h, quality(v, u, w, h), most, False


def scaled(x, num, den):
    """The multiplicative update. Where nothing pulls (0/0) an entry stays."""
    x = x * np.divide(num, den, out=np.ones_like(x), where=den > 0)
    x[x < TINY] = 0
    return x


def quality(v, u, w, h):
    """Q(true): the sum of squared residuals in units of their uncertainty."""
    return float((((v - w @ h) / u) ** 2).sum())


def draw_blocks(n, length, rng):
    """Row numbers of one bootstrap sample: whole blocks with replacement, the last one cut."""
    count = -(-n // length)
    drawn = rng.integers(0, count, 2 * count)
    return np.concatenate([np.arange(b * length, min((b + 1) * length, n)) for b in drawn])[:n]


def match(w, base):
    """For each column of w the column of base that it correlates with best, or UNMAPPED."""
    p = w.shape[1]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(w.T, base.T)[:p, p:], nan=-1.0)
    best = r.argmax(axis=1)
    return np.where(r.max(axis=1) >= ENOUGH, best, UNMAPPED)

#!/usr/bin/python3
"""Write step.json: one LS-NMF step in plain numpy, for each data set, from given W and H.

    cd examples/pmf/testdata && python3 step.py > step.json

The formulas are written as they stand in the paper (Wang et al. 2006), with no thought of speed,
and share nothing with the Go code but the data files.
"""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..", "bench"))
from pmf_numpy import load  # noqa: E402

EVERY = 16  # rows of W that are kept

out = []
for name, p in (("br", 4), ("sl", 5), ("ba", 7)):
    v, u = load(name)
    n, m = v.shape
    i, j, k = np.arange(n), np.arange(m), np.arange(p)
    w = 0.5 + (7 * i[:, None] + 3 * k[None, :]) % 11 / 11
    h = v.mean(axis=0)[None, :] * (0.5 + (5 * j[None, :] + 2 * k[:, None]) % 7 / 7) / p
    we = 1 / u**2
    h = h * (w.T @ (we * v)) / (w.T @ (we * (w @ h)))
    w = w * ((we * v) @ h.T) / ((we * (w @ h)) @ h.T)
    q = float((((v - w @ h) / u) ** 2).sum())
    out.append({"dataset": name, "factors": p, "every": EVERY, "q": q,
                "w": w[::EVERY].tolist(), "h": h.tolist()})
json.dump(out, sys.stdout)
print()

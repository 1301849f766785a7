#!/usr/bin/env python3
"""Source apportionment of air pollution with a thousand bootstrap replicates on Python engines.

The pattern of a bootstrap driver: set-up code is run once on every engine by a direct view (it
reads the data there); the replicates go, one task each, through a balanced view, so that fast
engines do more; a barrier waits for all. Each result says on which host and engine it was made. A
replicate that fails yields an empty result and a line in the report; it does not end the run.

    python3 examples/bootstrap/bootstrap.py                       # Baton Rouge, 4 factors, 1,000 replicates
    python3 examples/bootstrap/bootstrap.py --engines 4 --reps 200
    TUTTI_CLUSTER=default python3 examples/bootstrap/bootstrap.py

Needs numpy, here and on the engines. The same analysis in Go is examples/pmf.
"""
import argparse
import collections
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "..", "pmf", "data")


def set_up(here, data, name):
    """Runs on every engine, once: the data set is read there and kept for all replicates."""
    import sys

    if here not in sys.path:
        sys.path.insert(0, here)
    import lsnmf

    global V, U
    V, U, _ = lsnmf.load(name, data)
    return V.shape


def replicate(number, w, h, block, seed, fail=()):
    """One block bootstrap sample, fitted from the base solution; failures become an empty result."""
    import os
    import socket

    import lsnmf
    import numpy as np

    made = {"number": number, "host": socket.gethostname(), "pid": os.getpid()}
    try:
        if number in fail:
            raise ValueError(f"replicate {number} was told to fail")
        rows = lsnmf.draw_blocks(len(V), block, np.random.default_rng([seed, 1, number]))
        fitted, profile, q, steps, converged = lsnmf.fit(V[rows], U[rows], w[rows], h)
        made.update(q=q, steps=steps, converged=converged, base=lsnmf.match(fitted, w[rows]).tolist(),
                    mean=(fitted.mean(axis=0)[:, None] * profile).tolist())
    except Exception as err:  # a thousand replicates must not be lost to one
        made["error"] = f"{type(err).__name__}: {err}"
    return made


def base_run(view, p, seeds, seed):
    """(Q, number, W, H) of the best of many random starts, made on engines."""

    def one_start(s):
        import lsnmf
        import numpy as np

        w, h = lsnmf.start(V, p, np.random.default_rng([seed, 0, s]))
        w, h, q, steps, _ = lsnmf.fit(V, U, w, h)
        return q, s, w, h

    return min(view.map(one_start, range(seeds), block=True), key=lambda r: r[:2])


def run(client, a):
    """The whole analysis on a connected cluster; returns the report as a dict."""
    import lsnmf
    import numpy as np

    every, balanced = client[:], client.load_balanced_view()
    shapes = every.apply_sync(set_up, HERE, DATA, a.dataset)
    v, u, names = lsnmf.load(a.dataset, DATA)
    assert all(tuple(s) == v.shape for s in shapes), shapes
    q, start, w, h = base_run(balanced, a.factors, a.seeds, a.seed)
    begin = time.perf_counter()
    pending = [balanced.apply_async(replicate, r, w, h, a.block, a.seed, tuple(a.fail)) for r in range(a.reps)]
    client.wait(pending)  # the barrier
    made = [ar.get() for ar in pending]
    engines = [ar.engine_id for ar in pending]
    good = [m for m in made if "error" not in m]
    mapped = collections.Counter(b for m in good for b in set(m["base"]))
    qs = np.array([m["q"] for m in good])
    return {
        "dataset": a.dataset, "samples": v.shape[0], "species": v.shape[1], "names": names,
        "base": {"q": q, "start": start, "w": w.tolist(), "h": h.tolist()},
        "replicates": len(good), "failed": {m["number"]: m["error"] for m in made if "error" in m},
        "mean_q": float(qs.mean()), "sd_q": float(qs.std()), "mapped": [mapped[k] for k in range(a.factors)],
        "by_engine": dict(collections.Counter(engines)), "hosts": sorted({m["host"] for m in made}),
        "seconds": time.perf_counter() - begin,
    }


def fit_only(path):
    """Fits one given start and prints W, H and Q as JSON: for comparison with the Go program."""
    import lsnmf
    import numpy as np

    with open(path, encoding="utf-8") as f:
        given = json.load(f)
    v, u, _ = lsnmf.load(given["dataset"], DATA)
    p = given["factors"]
    w, h, q, steps, converged = lsnmf.fit(v, u, np.reshape(given["w"], (-1, p)), np.reshape(given["h"], (p, -1)))
    json.dump({"q": q, "steps": steps, "converged": converged, "w": w.ravel().tolist(), "h": h.ravel().tolist()}, sys.stdout)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--engines", type=int, default=2)
    args.add_argument("--dataset", choices=("br", "sl", "ba"), default="br")
    args.add_argument("--factors", type=int, default=4)
    args.add_argument("--seeds", type=int, default=20)
    args.add_argument("--reps", type=int, default=1000)
    args.add_argument("--block", type=int, default=4)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--fail", type=int, nargs="*", default=[], help="replicates that are told to fail, to see what happens")
    args.add_argument("--fit-only", metavar="FILE", help="fit the start in this JSON file here, without engines")
    args.add_argument("--json", action="store_true", help="print the whole report as JSON")
    a = args.parse_args()
    sys.path.insert(0, HERE)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if a.fit_only:
        return fit_only(a.fit_only)

    import tutti

    if "TUTTI_CLUSTER" in os.environ:
        with tutti.Client() as client:
            r = run(client, a)
    else:
        with tutti.Cluster(n=a.engines) as client:
            r = run(client, a)
    if a.json:
        return json.dump(r, sys.stdout)
    print(f"{r['dataset']}: {r['samples']} samples of {r['species']} species, {a.factors} factors, best Q {r['base']['q']:.2f} of {a.seeds} starts")
    print(f"{r['replicates']} replicates in {r['seconds']:.1f} s: Q {r['mean_q']:.0f} ± {r['sd_q']:.0f}, factors mapped {r['mapped']}")
    print("made by engine:", r["by_engine"], "on", ", ".join(r["hosts"]))
    for number, error in r["failed"].items():
        print(f"  replicate {number} is empty: {error}")


if __name__ == "__main__":
    main()

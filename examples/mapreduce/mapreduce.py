#!/usr/bin/env python3
"""Map-reduce: which of a hundred lists of numbers varies most?

A hundred lists of a hundred random numbers are spread over engines, which compute the standard
deviation of each; here the largest is found, and with it its list. The answer is checked against
the same computation in this process.

    python3 examples/mapreduce/mapreduce.py                 # starts two engines of its own
    python3 examples/mapreduce/mapreduce.py --engines 4
    TUTTI_CLUSTER=default python3 examples/mapreduce/mapreduce.py     # on a running cluster
"""
import argparse
import os
import random
import statistics

import tutti


def standard_deviation(numbers):
    """The population standard deviation: what is mapped, on engines."""
    return statistics.pstdev(numbers)


def larger(a, b):
    """The reduction of two (deviation, place) pairs; of equals the first in place."""
    return a if (a[0], -a[1]) >= (b[0], -b[1]) else b


def make_lists(count, length, seed):
    """count lists of length numbers; each list has a spread of its own, or none would stand out."""
    rng = random.Random(seed)
    return [[rng.gauss(0, spread) for _ in range(length)] for spread in (rng.uniform(0.5, 1.5) for _ in range(count))]


def map_reduce(view, lists):
    """(largest deviation, its place). The reduction goes on while results arrive."""
    best = None
    for place, deviation in enumerate(view.map(standard_deviation, lists, block=False)):
        found = (deviation, place)
        best = found if best is None else larger(best, found)
    return best


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--engines", type=int, default=2)
    args.add_argument("--lists", type=int, default=100)
    args.add_argument("--length", type=int, default=100)
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    lists = make_lists(a.lists, a.length, a.seed)

    if "TUTTI_CLUSTER" in os.environ:
        with tutti.Client() as client:
            best = map_reduce(client.load_balanced_view(), lists)
    else:
        with tutti.Cluster(n=a.engines) as client:
            best = map_reduce(client.load_balanced_view(), lists)

    deviation, place = best
    here = [standard_deviation(numbers) for numbers in lists]
    assert deviation == max(here) and here.index(deviation) == place, (best, max(here))
    print(f"list {place} varies most: standard deviation {deviation:.6f}")
    print("it begins", ", ".join(f"{x:.3f}" for x in lists[place][:5]), "...")


if __name__ == "__main__":
    main()

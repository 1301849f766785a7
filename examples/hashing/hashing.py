#!/usr/bin/env python3
"""Hashing: a hundred words into a table of a thousand places, the places computed on engines.

The place of a word is its MD5 digest as a number, modulo 1,000. Engines compute the places, in
parts, by a direct view: the words are scattered, every engine works on its own, the places are
gathered. Words whose places collide are chained. Every word is looked up again afterwards.

    python3 examples/hashing/hashing.py
    python3 examples/hashing/hashing.py --engines 3 --words 500
"""
import argparse
import os
import random
import string

import tutti

PLACES = 1000


def place_of(word):
    """Where a word belongs: its MD5 digest modulo PLACES."""
    import hashlib

    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16) % PLACES


class Table:
    """A hash table with chaining: a place holds the list of the words that belong there."""

    def __init__(self, places):
        self.chains = [[] for _ in range(places)]

    def insert(self, place, word):
        """Puts a word in its place, once; says whether the place was taken by another."""
        chain = self.chains[place]
        if word in chain:
            return False
        chain.append(word)
        return len(chain) > 1

    def find(self, place, word):
        """How many words of the chain have to be compared to find this one; 0 if it is not there."""
        chain = self.chains[place]
        return chain.index(word) + 1 if word in chain else 0


def make_words(count, seed):
    """count different words of five letters."""
    rng = random.Random(seed)
    words = {}
    while len(words) < count:
        words["".join(rng.choices(string.ascii_lowercase, k=5))] = None
    return list(words)


def places_on_engines(client, words):
    """The places of all words in their order, each engine computing its part."""
    view = client[:]
    view.block = True
    view.push({"place_of": place_of, "PLACES": PLACES})
    view.scatter("words", words)
    view.execute("places = [place_of(w) for w in words]")
    return list(view.gather("places"))


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("--engines", type=int, default=2)
    args.add_argument("--words", type=int, default=100)
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    words = make_words(a.words, a.seed)

    if "TUTTI_CLUSTER" in os.environ:
        with tutti.Client() as client:
            places = places_on_engines(client, words)
    else:
        with tutti.Cluster(n=a.engines) as client:
            places = places_on_engines(client, words)

    table = Table(PLACES)
    collisions = sum(table.insert(place, word) for place, word in zip(places, words))
    assert places == [place_of(w) for w in words]
    probes = [table.find(place_of(w), w) for w in words]
    assert all(probes), "a word was lost"
    assert collisions == sum(len(c) - 1 for c in table.chains if c)
    print(f"{len(words)} words, {collisions} collisions, longest chain {max(probes)}")
    for chain in table.chains:
        if len(chain) > 1:
            print(f"  place {place_of(chain[0]):3d}: {' -> '.join(chain)}")


if __name__ == "__main__":
    main()

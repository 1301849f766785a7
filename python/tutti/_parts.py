"""Cutting sequences into parts, one for each engine, and joining parts again.

`Block` is the distribution 'b': contiguous parts, the first n mod p of which have one item more. `RoundRobin` is 'r':
part p of q holds the items p, p+q, p+2q, and so on.
"""

from __future__ import annotations

import sys
from itertools import chain, islice
from typing import Any, Dict, List, Sequence, Tuple, Type

__all__: List[str] = []


def _is_array(obj: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(obj, numpy.ndarray)


def length_of(seq: Any) -> int:
    """How many items there are; TypeError for what has no length."""
    try:
        return len(seq)
    except TypeError:
        raise TypeError("a %s has no length, so it cannot be cut into parts: make a list of it" % type(seq).__name__) from None


def bounds(n: int, p: int, q: int) -> Tuple[int, int]:
    """Where part p of q of n items begins and ends."""
    if not 0 <= p < q:
        raise ValueError("there is no part %d of %d" % (p, q))
    size, over = divmod(n, q)
    low = p * size + min(p, over)
    return low, low + size + (1 if p < over else 0)


class Block:
    """Contiguous parts."""

    def part(self, seq: Any, p: int, q: int) -> Any:
        """Part p of q: a slice where the object can be sliced, else a list."""
        low, high = bounds(length_of(seq), p, q)
        try:
            return seq[low:high]
        except (TypeError, KeyError):
            return list(islice(seq, low, high))

    def join(self, parts: Sequence[Any]) -> Any:
        """The reverse: arrays into one array, lists and tuples into one list, other things into a list of them."""
        if not parts:
            return []
        first = parts[0]
        if _is_array(first):
            return _concatenate(parts)
        if isinstance(first, (list, tuple, range)):
            return list(chain.from_iterable(p if isinstance(p, (list, tuple, range)) else (p,) for p in parts))
        if isinstance(first, (str, bytes)) or not hasattr(type(first), "__len__"):
            return list(parts)
        return list(parts)


class RoundRobin(Block):
    """Items dealt out one by one."""

    def part(self, seq: Any, p: int, q: int) -> Any:
        """Part p of q."""
        bounds(length_of(seq), p, q)
        try:
            return seq[p::q]
        except (TypeError, KeyError):
            return list(islice(seq, p, None, q))

    def join(self, parts: Sequence[Any]) -> Any:
        """The reverse."""
        if not parts:
            return []
        first = parts[0]
        if _is_array(first):
            whole = _concatenate(parts)
            if first.ndim == 0:
                return whole
            out = whole.copy()
            for p, part in enumerate(parts):
                out[p :: len(parts)] = part
            return out
        if isinstance(first, (list, tuple, range)):
            out_list: List[Any] = [None] * sum(map(len, parts))
            for p, part in enumerate(parts):
                out_list[p :: len(parts)] = part
            return out_list
        return list(parts)


def _concatenate(parts: Sequence[Any]) -> Any:
    import numpy

    if any(numpy.ndim(p) == 0 for p in parts):
        return numpy.array([x for p in parts for x in numpy.atleast_1d(p)])
    return numpy.concatenate(parts)


_DISTS: Dict[str, Type[Block]] = {"b": Block, "r": RoundRobin}


def distribution(dist: str) -> Block:
    """The distribution of that letter; ValueError for others."""
    try:
        return _DISTS[dist]()
    except (KeyError, TypeError):
        raise ValueError("dist=%r: there are 'b' (blocks) and 'r' (round robin)" % (dist,)) from None

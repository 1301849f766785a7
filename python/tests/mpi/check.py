"""What the scripts of this folder share: each is run as the ranks of a job, and every function test_* in it is called on all."""

from __future__ import annotations

import os
import sys
from array import array
from typing import Any, Callable

try:
    import numpy as np
except ImportError:
    np = None  # type: ignore[assignment]


# Whether an MPI library carries the messages, which leaves some things open, and cannot do others.
FOREIGN = "TUTTI_MPI_SEGMENT" not in os.environ


def equal(a: Any, b: Any) -> None:
    """Compares values, and arrays of any kind with lists."""
    x, y = plain(a), plain(b)
    assert x == y, f"{x!r}, expected {y!r}"


def plain(x: Any) -> Any:
    """Arrays as lists, in whatever they lie."""
    if np is not None and isinstance(x, (np.ndarray, np.generic)):
        return x.tolist()
    if isinstance(x, (array, memoryview)):
        return x.tolist()
    if isinstance(x, (list, tuple)):
        return type(x)(plain(y) for y in x)
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return x


def raises(kind: Any, f: Callable[..., Any], *args: Any, **kwargs: Any) -> BaseException:
    """The exception that f raises, which must be of a type, or an Error of a kind given as a word."""
    from tutti.mpi import Error

    try:
        f(*args, **kwargs)
    except BaseException as e:
        if isinstance(kind, str):
            assert isinstance(e, Error) and e.kind == kind, f"{e!r}, expected kind {kind}"
        else:
            assert isinstance(e, kind), f"{e!r}, expected {kind}"
        return e
    raise AssertionError(f"{f} did not raise {kind}")


def run(names: dict[str, Any], barrier: Callable[[], Any]) -> None:
    """Calls all test_* in their order."""
    n = 0
    for name, f in list(names.items()):
        if name.startswith("test_") and callable(f):
            try:
                f()
            except BaseException:
                print("in", name, file=sys.stderr)
                raise
            n += 1
            barrier()
    assert n, "no tests"
    print("passed", flush=True)

"""Arrays of one dimension: numpy's where numpy can be imported, else of the standard library.

numpy is imported at the first message rather than with the module, which makes a program's start faster.
"""

from __future__ import annotations

import array

from tutti.mpi._types import DATATYPES, Datatype

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any

# The numpy dtype and the typecode of module array for each of MYMPI's types. A character is a byte string of length 1.
DTYPES: dict[str, tuple[str, str]] = {
    "CHAR": ("S1", "B"), "BYTE": ("u1", "B"), "UNSIGNED_CHAR": ("u1", "B"), "SHORT": ("i2", "h"), "UNSIGNED_SHORT": ("u2", "H"),
    "INT": ("i4", "i"), "UNSIGNED": ("u4", "I"), "LONG": ("i8", "l"), "UNSIGNED_LONG": ("u8", "L"), "FLOAT": ("f4", "f"),
    "DOUBLE": ("f8", "d"), "COMPLEX": ("c8", "f"), "DOUBLE_COMPLEX": ("c16", "d"),
}
NAMES: dict[int, str] = {id(DATATYPES[name]): name for name in DTYPES}

_numpy: Any = None
_asked = False


def numpy() -> Any:
    """numpy, or None."""
    global _numpy, _asked
    if not _asked:
        _asked = True
        try:
            import numpy as found

            _numpy = found
        except ImportError:
            pass
    return _numpy


def kind(datatype: Datatype) -> tuple[str, str]:
    """The dtype and typecode of a type of MYMPI's. TypeError for what is none."""
    try:
        return DTYPES[NAMES[id(datatype)]]
    except KeyError:
        raise TypeError(f"{datatype!r} is no datatype of module mpi") from None


def _flat(x: Any) -> list[Any]:
    """The elements of sequences of sequences."""
    if hasattr(x, "__iter__") and not isinstance(x, (str, bytes)):
        return [e for y in x for e in _flat(y)]
    return [x]


def _text(x: Any) -> Any:
    return x.encode() if isinstance(x, str) else x


def to_buffer(x: Any, datatype: Datatype) -> Any:
    """Anything that may be sent, as memory of the given type, one dimension: arrays, lists, tuples, scalars, texts."""
    dtype, code = kind(datatype)
    x = _text(x)
    if isinstance(x, (list, tuple)) and dtype in ("S1", "u1"):
        x = b"".join(bytes([e]) if isinstance(e, int) else _text(e) for e in _flat(x)) if any(isinstance(e, (str, bytes)) for e in _flat(x)) else x
    if isinstance(x, (bytes, bytearray)):
        return x if dtype in ("S1", "u1") else memoryview(x).cast("B").cast(code)
    np = numpy()
    if np is not None:
        if dtype == "S1":
            a = np.asarray(x)
            a = a if a.dtype.kind == "S" and a.dtype.itemsize == 1 else a.astype("S") if a.dtype.kind in "SU" else a.astype("u1")
            return np.ascontiguousarray(a).ravel().view("u1")
        a = np.asarray(x)
        if a.dtype.kind == "c" and dtype[0] != "c":
            raise TypeError(f"complex numbers cannot be sent as {datatype.name}")
        return np.ascontiguousarray(a, dtype=dtype).ravel()
    values = _flat(x.tolist() if isinstance(x, memoryview) else x)
    if dtype[0] == "c":
        return array.array(code, [part for v in values for part in (complex(v).real, complex(v).imag)])
    if code not in "fd":
        values = [int(v) for v in values]
    return array.array(code, values)


def empty(count: int, datatype: Datatype) -> tuple[Any, Any]:
    """(memory for count elements, what to make of it afterwards)."""
    dtype, code = kind(datatype)
    np = numpy()
    if np is not None:
        a = np.zeros(count, dtype=dtype)
        return (a.view("u1") if dtype == "S1" else a), lambda: a
    b = bytearray(count * datatype.Get_size())

    def finish() -> Any:
        if dtype == "S1":
            return memoryview(b).cast("c")
        flat = array.array(code)
        flat.frombytes(b)
        return [complex(flat[i], flat[i + 1]) for i in range(0, len(flat), 2)] if dtype[0] == "c" else flat

    return b, finish


def integers(values: Any) -> Any:
    """An array of ints."""
    np = numpy()
    return np.array(values, dtype="i4") if np is not None else array.array("i", values)

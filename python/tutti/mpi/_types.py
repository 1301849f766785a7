"""Constants, types of elements, and reductions."""

from __future__ import annotations


from ._error import invalid
from ._load import ext

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Callable

ANY_SOURCE, PROC_NULL, ROOT = -1, -2, -3
ANY_TAG, UNDEFINED = -31, -32766
IDENT, CONGRUENT, SIMILAR, UNEQUAL = 0, 1, 2, 3
COMM_TYPE_SHARED = 1
THREAD_SINGLE, THREAD_FUNNELED, THREAD_SERIALIZED, THREAD_MULTIPLE = 0, 1, 2, 3
# Attributes of communicators, for Get_attr.
TAG_UB, HOST, IO, WTIME_IS_GLOBAL, UNIVERSE_SIZE, APPNUM = 501, 502, 503, 504, 505, 506
CART, GRAPH, DIST_GRAPH = 1, 2, 3
MAX_PROCESSOR_NAME, MAX_ERROR_STRING = 255, 1024
VERSION, SUBVERSION = 3, 1


class _Word:
    """An object that only stands for itself."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"tutti.mpi.{self._name}"

    def __reduce__(self) -> str:
        return self._name


IN_PLACE = _Word("IN_PLACE")
BOTTOM = _Word("BOTTOM")
INFO_NULL = _Word("INFO_NULL")
ERRORS_RETURN = _Word("ERRORS_RETURN")
ERRORS_ARE_FATAL = _Word("ERRORS_ARE_FATAL")


class Datatype(ext.Datatype):
    """What elements are. `letter` is that of module struct; "" where there is none."""

    def __init__(self, name: str = "", code: int = 0, letter: str = "", size: int = 0, items: int = 1,
                 value: int = 0, index: int = 0) -> None:
        self.name = name
        self.typechar = letter
        self._code, self._size, self._items, self._value, self._index = code, size, items, value, index

    def Get_size(self) -> int:
        """Bytes of one element."""
        return self._size

    def Get_extent(self) -> tuple[int, int]:
        """(0, bytes from one element to the next)."""
        return 0, self._size

    def Get_name(self) -> str:
        """MPI's name of the type."""
        return self.name

    size = property(Get_size)
    extent = property(Get_size)

    def Create_contiguous(self, count: int) -> Datatype:
        """The type of `count` elements one behind the other."""
        if count < 1 or self._value:
            raise invalid("Create_contiguous", f"{count} elements of {self.name}", 2)
        return Datatype(f"{count} x {self.name}", self._code, self.typechar, self._size * count, self._items * count)

    def Commit(self) -> Datatype:
        """Nothing is to be done."""
        return self

    def Free(self) -> None:
        """Nothing is to be done."""

    def __repr__(self) -> str:
        return f"<tutti.mpi.Datatype {self.name}>"

    def __reduce__(self) -> Any:
        return _datatype, (self.name, self._code, self.typechar, self._size, self._items, self._value, self._index)


def _datatype(name: str, *rest: Any) -> Datatype:
    return DATATYPES.get(name.removeprefix("MPI_")) or Datatype(name, *rest)


# name: (code, letter of struct, size[, bytes of the value of a pair, place of its int])
_ROWS: dict[str, tuple[Any, ...]] = {
    "CHAR": (5, "c", 1), "SIGNED_CHAR": (1, "b", 1), "UNSIGNED_CHAR": (5, "B", 1), "BYTE": (5, "B", 1),
    "SHORT": (2, "h", 2), "UNSIGNED_SHORT": (6, "H", 2), "INT": (3, "i", 4), "UNSIGNED": (7, "I", 4),
    "LONG": (4, "l", 8), "UNSIGNED_LONG": (8, "L", 8), "LONG_LONG": (4, "q", 8), "UNSIGNED_LONG_LONG": (8, "Q", 8),
    "FLOAT": (9, "f", 4), "DOUBLE": (10, "d", 8), "BOOL": (13, "?", 1),
    "COMPLEX": (11, "F", 8), "DOUBLE_COMPLEX": (12, "D", 16),
    "INT8_T": (1, "b", 1), "INT16_T": (2, "h", 2), "INT32_T": (3, "i", 4), "INT64_T": (4, "q", 8),
    "UINT8_T": (5, "B", 1), "UINT16_T": (6, "H", 2), "UINT32_T": (7, "I", 4), "UINT64_T": (8, "Q", 8),
    "FLOAT_INT": (16, "", 8, 4, 4), "DOUBLE_INT": (17, "", 16, 8, 8), "LONG_INT": (15, "", 16, 8, 8),
    "INT_INT": (14, "", 8, 4, 4),
}
DATATYPES: dict[str, Datatype] = {
    name: Datatype("MPI_" + name, row[0], row[1], row[2], 1, *row[3:]) for name, row in _ROWS.items()
}
# Other words for the same.
for _also, _name in {
    "C_BOOL": "BOOL", "CXX_BOOL": "BOOL", "LOGICAL": "INT", "INTEGER": "INT", "REAL": "FLOAT", "DOUBLE_PRECISION": "DOUBLE",
    "C_COMPLEX": "COMPLEX", "C_FLOAT_COMPLEX": "COMPLEX", "C_DOUBLE_COMPLEX": "DOUBLE_COMPLEX", "F_COMPLEX": "COMPLEX",
    "F_DOUBLE_COMPLEX": "DOUBLE_COMPLEX", "TWOINT": "INT_INT", "SINT8_T": "INT8_T", "SINT16_T": "INT16_T",
    "SINT32_T": "INT32_T", "SINT64_T": "INT64_T", "UNSIGNED_INT": "UNSIGNED", "CHARACTER": "CHAR", "F_INT": "INT",
    "F_FLOAT": "FLOAT", "F_DOUBLE": "DOUBLE", "AINT": "LONG", "OFFSET": "LONG_LONG", "COUNT": "LONG_LONG",
}.items():
    DATATYPES[_also] = DATATYPES[_name]
DATATYPE_NULL = Datatype("MPI_DATATYPE_NULL")

BY_CODE: dict[int, Datatype] = {
    1: DATATYPES["INT8_T"], 2: DATATYPES["SHORT"], 3: DATATYPES["INT"], 4: DATATYPES["LONG"], 5: DATATYPES["BYTE"],
    6: DATATYPES["UNSIGNED_SHORT"], 7: DATATYPES["UNSIGNED"], 8: DATATYPES["UNSIGNED_LONG"], 9: DATATYPES["FLOAT"],
    10: DATATYPES["DOUBLE"], 11: DATATYPES["COMPLEX"], 12: DATATYPES["DOUBLE_COMPLEX"], 13: DATATYPES["BOOL"],
}
_typedict: dict[str, Datatype] = {row[1]: DATATYPES[name] for name, row in reversed(list(_ROWS.items())) if row[1]}


class Op(ext.Op):
    """How contributions are combined. Called with two values it combines them, as the lower-case reductions do."""

    def __init__(self, name: str = "", handle: int = 0, python: Callable[[Any, Any], Any] | None = None) -> None:
        self.name = name
        self._handle = handle
        self._python = python
        self._commutes = True

    @classmethod
    def Create(cls, function: Callable[[Any, Any, Datatype], None], commute: bool = False) -> Op:
        """An operation of the program: function(inbuf, inoutbuf, datatype) sets inoutbuf to inbuf op inoutbuf,
        element by element; both are memoryviews of bytes. It must be associative. The lower-case
        reductions call it with two objects, function(a, b), and take its result; with buffers the datatype comes third.
        """
        op = cls(getattr(function, "__name__", "op"))

        def call(a: memoryview, b: memoryview, code: int) -> None:
            function(a, b, BY_CODE[code])

        op._make(call, bool(commute))
        op._python, op._commutes = function, bool(commute)
        return op

    def Is_commutative(self) -> bool:
        """Whether contributions may come in any order."""
        return self._commutes

    def Is_predefined(self) -> bool:
        """Whether it is one of SUM to MAXLOC."""
        return 0 < self._handle <= len(OPS)

    is_commutative = property(Is_commutative)
    is_predefined = property(Is_predefined)

    def Free(self) -> None:
        """Gives an operation of the program up."""
        if not self.Is_predefined():
            self._free()

    def __call__(self, a: Any, b: Any) -> Any:
        if self._python is None:
            raise invalid("Op", f"{self.name or 'the null operation'} cannot combine objects", 10)
        return self._python(a, b)

    def __repr__(self) -> str:
        return f"<tutti.mpi.Op {self.name}>"

    def __reduce__(self) -> Any:
        if not self.Is_predefined():
            raise TypeError("an operation of the program cannot be pickled")
        return _op, (self.name,)


def _op(name: str) -> Op:
    return OPS[name.removeprefix("MPI_")]


def _minloc(a: Any, b: Any) -> Any:
    return a if a[0] < b[0] or (a[0] == b[0] and a[1] <= b[1]) else b


def _maxloc(a: Any, b: Any) -> Any:
    return a if a[0] > b[0] or (a[0] == b[0] and a[1] <= b[1]) else b


_OPS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("SUM", lambda a, b: a + b), ("PROD", lambda a, b: a * b),
    ("MAX", lambda a, b: b if b > a else a), ("MIN", lambda a, b: b if b < a else a),
    ("LAND", lambda a, b: bool(a) & bool(b)), ("LOR", lambda a, b: bool(a) | bool(b)), ("LXOR", lambda a, b: bool(a) ^ bool(b)),
    ("BAND", lambda a, b: a & b), ("BOR", lambda a, b: a | b), ("BXOR", lambda a, b: a ^ b),
    ("MINLOC", _minloc), ("MAXLOC", _maxloc),
]
OPS: dict[str, Op] = {name: Op("MPI_" + name, i + 1, f) for i, (name, f) in enumerate(_OPS)}
OP_NULL = Op("MPI_OP_NULL")
SUM = OPS["SUM"]

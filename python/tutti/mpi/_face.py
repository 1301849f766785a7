"""All public names of tutti.mpi."""

from __future__ import annotations

from . import rc
from ._comm import COMM_NULL, COMM_SELF, COMM_WORLD, Cartcomm, Comm, Compute_dims, Intracomm
from ._error import CODES, Error, Get_error_class, Get_error_string
from ._group import GROUP_EMPTY, GROUP_NULL, Group
from ._load import ext
from ._object import Pickle, pickle
from ._request import MESSAGE_NO_PROC, MESSAGE_NULL, REQUEST_NULL, Message, Request, Status
from ._types import (
    ANY_SOURCE, ANY_TAG, APPNUM, BOTTOM, CART, COMM_TYPE_SHARED, CONGRUENT, DATATYPE_NULL, DATATYPES, DIST_GRAPH, ERRORS_ARE_FATAL,
    ERRORS_RETURN, GRAPH, HOST, IDENT, IN_PLACE, INFO_NULL, IO, MAX_ERROR_STRING, MAX_PROCESSOR_NAME, OP_NULL, OPS, PROC_NULL, ROOT,
    SIMILAR, SUBVERSION, TAG_UB, THREAD_FUNNELED, THREAD_MULTIPLE, THREAD_SERIALIZED, THREAD_SINGLE, UNDEFINED, UNEQUAL,
    UNIVERSE_SIZE, VERSION, WTIME_IS_GLOBAL, Datatype, Op, _typedict,
)
from ._win import WIN_NULL, Win
from ._world import (
    Finalize, Get_library_version, Get_processor_name, Get_version, Init, Init_thread, Is_finalized, Is_initialized, Is_thread_main,
    Query_thread, World, join, new_segment,
)

Exception = Error  # mpi4py's name
Wtime, Wtick = ext.Wtime, ext.Wtick


def begin() -> None:
    """Joins the world at the first use of the module."""
    if not Is_finalized():
        Init()


# Names that do not need the world.
WITHOUT_WORLD = {"join", "new_segment", "World", "Error", "Exception", "rc"}

globals().update(DATATYPES)
globals().update(OPS)
globals().update(CODES)

__all__ = [name for name in globals() if not name.startswith("_") and name not in
           ("annotations", "ext", "begin", "WITHOUT_WORLD", "DATATYPES", "OPS", "CODES", "rc")] + ["_typedict"]

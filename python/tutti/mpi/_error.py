"""The one error of message passing."""

from __future__ import annotations

from ._load import ext


class Error(RuntimeError):
    """What went wrong in a call, and where.

    kind: a word such as "truncated", "invalid", "revoked", "closed", "full"; op: the operation, "Recv"; rank: the
    rank that called it, peer: the one on the other side (or the root), tag: each -1 where there is none or it may be
    any; hint: what a person can do about it, or "". The error classes of MPI are those of Get_error_class().
    """

    def __init__(self, code: int = 16, kind: str = "failed", op: str = "", rank: int = -1, peer: int = -1,
                 tag: int = -1, text: str = "", hint: str = "") -> None:
        self.code = code
        self.kind = kind
        self.op = op
        self.rank = rank
        self.peer = peer
        self.tag = tag
        self.text = text or Get_error_string(code)
        self.hint = hint
        super().__init__(code, kind, op, rank, peer, tag, self.text, hint)

    def __str__(self) -> str:
        return f"{self.text} ({self.hint})" if self.hint else self.text

    def Get_error_class(self) -> int:
        """The MPI error class: ERR_TRUNCATE and so on."""
        return self.code

    def Get_error_code(self) -> int:
        """The same number as the class."""
        return self.code

    def Get_error_string(self) -> str:
        """The text of the error."""
        return str(self)

    error_class = property(Get_error_class)
    error_code = property(Get_error_code)
    error_string = property(Get_error_string)

    def __int__(self) -> int:
        return self.code


def Get_error_class(code: int) -> int:
    """The class of an error code: the code itself."""
    return code


def Get_error_string(code: int) -> str:
    """A few words for an error code."""
    return ext.error_class(code)


CODES: dict[str, int] = {
    "SUCCESS": 0, "ERR_BUFFER": 1, "ERR_COUNT": 2, "ERR_TYPE": 3, "ERR_TAG": 4, "ERR_COMM": 5, "ERR_RANK": 6,
    "ERR_REQUEST": 7, "ERR_ROOT": 8, "ERR_GROUP": 9, "ERR_OP": 10, "ERR_TOPOLOGY": 11, "ERR_DIMS": 12, "ERR_ARG": 13,
    "ERR_UNKNOWN": 14, "ERR_TRUNCATE": 15, "ERR_OTHER": 16, "ERR_INTERN": 17, "ERR_PENDING": 18, "ERR_IN_STATUS": 19,
    "ERR_WIN": 45, "ERR_REVOKED": 64, "ERR_CLOSED": 65, "ERR_CANCELED": 66, "ERR_FULL": 67, "ERR_UNSUPPORTED": 68,
    "ERR_FORKED": 74,
}


def invalid(op: str, text: str, code: int = 13, hint: str = "") -> Error:
    """The error of an argument that cannot be."""
    return Error(code, "invalid", op, text=f"mpi: {op}: {text}", hint=hint)

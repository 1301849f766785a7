"""A plain connection to a gateway, for questions only: no thread, no results.

`Cluster` asks by it; another process that knows the socket may ask too.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from typing import Any, Dict, Mapping, Optional, Tuple

from .errors import EngineError, KernelError, failure_to_error

__all__ = ["Control"]

PROTOCOL = 1
HELLO, ASK, BYE = 1, 8, 9
WELCOME, FAIL, ANSWER = 33, 34, 36

_head = struct.Struct("<IHH")
_answer = struct.Struct("<QBI")


def hello(name: str = "") -> Dict[str, Any]:
    """What a client says of itself."""
    package = sys.modules[__package__]
    return {
        "protocol": PROTOCOL,
        "python": "%d.%d" % sys.version_info[:2],
        "executable": sys.executable,
        "cwd": _cwd(),
        "path": [p for p in sys.path if isinstance(p, str)],
        "pid": os.getpid(),
        "name": name or os.path.basename(sys.argv[0] or "") or "python",
        "version": getattr(package, "__version__", ""),
    }


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:  # the folder was removed
        return "/"


class Control:
    """One connection. `welcome` is what the gateway said of itself.

    Safe for several threads, which wait for each other. After a fork the child must not use it.
    """

    def __init__(self, path: str, name: str = "", timeout: Optional[float] = 10.0) -> None:
        self._lock = threading.Lock()
        self._seq = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            self._send(HELLO, json.dumps(hello(name)).encode())
            kind, body = self._receive()
            self._socket.settimeout(None)
        except BaseException:
            self._socket.close()
            raise
        said = json.loads(body)
        if kind != WELCOME:
            self._socket.close()
            raise failure_to_error(said)
        self.welcome: Mapping[str, Any] = said

    def ask(self, verb: str, timeout: Optional[float] = None, **question: Any) -> Tuple[Dict[str, Any], bytes]:
        """Ask, and wait for the answer: its JSON, and its bytes if it has any.

        Raises the error that the gateway answers, TimeoutError after `timeout` seconds (the connection is
        of no use after that), EngineError when the gateway has gone.
        """
        with self._lock:
            self._seq += 1
            body = json.dumps(dict(question, verb=verb)).encode()
            self._socket.settimeout(timeout)
            self._send(ASK, struct.pack("<Q", self._seq) + body)
            while True:
                kind, body = self._receive()
                if kind != ANSWER:
                    continue  # events and notices are for others
                seq, ok, length = _answer.unpack_from(body)
                if seq != self._seq:
                    continue
                said = json.loads(body[_answer.size : _answer.size + length])
                if not ok:
                    raise failure_to_error(said)
                return said, bytes(body[_answer.size + length :])

    def close(self) -> None:
        """Say goodbye. Twice does no harm."""
        if self._socket.fileno() < 0:
            return
        try:
            self._send(BYE, b"")
        except (OSError, KernelError):
            pass
        self._socket.close()

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def _send(self, kind: int, body: bytes) -> None:
        try:
            self._socket.sendall(_head.pack(len(body), kind, 0) + body)
        except socket.timeout:
            raise TimeoutError("the gateway does not read") from None
        except OSError as error:
            raise EngineError("the gateway has gone: %s" % error) from None

    def _receive(self) -> Tuple[int, bytes]:
        size, kind, _ = _head.unpack(self._exactly(_head.size))
        return kind, self._exactly(size)

    def _exactly(self, n: int) -> bytes:
        out = bytearray()
        while len(out) < n:
            try:
                piece = self._socket.recv(n - len(out))
            except socket.timeout:
                raise TimeoutError("the gateway did not answer in time") from None
            except OSError as error:
                raise EngineError("the gateway has gone: %s" % error) from None
            if not piece:
                raise EngineError("the gateway has gone")
            out += piece
        return bytes(out)

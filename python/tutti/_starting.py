"""Finding the gateway's socket, or starting a gateway."""

from __future__ import annotations

import json
import os
import select
import socket
import time
from typing import Any, List, Optional

from ._binary import find_binary

__all__: List[str] = []


def _connect(path: str, timeout: Optional[float]) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except socket.timeout:
        sock.close()
        raise TimeoutError("nobody answers at %s" % path) from None
    except OSError as e:
        sock.close()
        raise OSError(e.errno, "there is no gateway at %s: %s" % (path, e.strerror)) from None
    return sock


def runtime_folder() -> str:
    """Where sockets lie: short enough for one (108 bytes), and closed to other users."""
    base = os.environ.get("XDG_RUNTIME_DIR") or ""
    if base and len(base) < 50 and os.path.isdir(base):
        folder = os.path.join(base, "tutti")
    else:
        folder = os.path.join(os.environ.get("TMPDIR") or "/tmp", "tutti-%d" % os.getuid())
        if len(folder) > 60:
            folder = "/tmp/tutti-%d" % os.getuid()
    os.makedirs(folder, 0o700, exist_ok=True)
    held = os.stat(folder)
    if held.st_uid != os.getuid() or held.st_mode & 0o077:
        raise PermissionError("the folder %s must belong to you and be closed to others (chmod 700)" % folder)
    return folder


def join_cluster(name: str, timeout: Optional[float] = 10.0) -> str:
    """The socket of a gateway to the cluster of that name, which runs already: one is started if there is none.

    OSError, with what the gateway says, if there is no such cluster.
    """
    import hashlib

    # Clusters of other settings folders may have the same name.
    place = os.environ.get("XDG_CONFIG_HOME", "") + "\0" + os.environ.get("XDG_STATE_HOME", "") + "\0" + name
    path = os.path.join(runtime_folder(), "g-%s.sock" % hashlib.sha256(place.encode()).hexdigest()[:16])
    try:
        _connect(path, timeout).close()
        return path
    except OSError:
        pass
    try:
        return start_gateway(["--cluster", name, "--socket", path, "--linger", "2"], timeout)
    except OSError:
        try:  # another process may have been faster
            _connect(path, timeout).close()
            return path
        except OSError:
            pass
        raise


def start_gateway(args: List[str], timeout: Optional[float] = 10.0) -> str:
    """Start `tutti gateway` in a session of its own, and give its socket when clients can come. OSError, TimeoutError."""
    import subprocess

    read, write = os.pipe()
    command = [find_binary(), "gateway", "--ready-fd", str(write)] + args
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(write,), start_new_session=True
        )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
    _children.append(process)
    try:
        line = _line(read, timeout)
    finally:
        os.close(read)
    if line is None:
        process.kill()
        process.wait()
        raise TimeoutError("the gateway was not ready within %g s" % (timeout or 0))
    said = json.loads(line) if line else {}
    if "socket" not in said:
        process.wait()
        error = said.get("error") or {}
        text = error.get("text") or "it ended without a word"
        raise ConnectionError("%s%s" % (text, "\n" + error["hint"] if error.get("hint") else ""))
    return said["socket"]


_children: List[Any] = []  # so that nobody complains of processes that still run


def _line(fd: int, timeout: Optional[float]) -> Optional[bytes]:
    out, over = b"", None if timeout is None else time.monotonic() + timeout
    while not out.endswith(b"\n"):
        left = None if over is None else over - time.monotonic()
        if left is not None and left <= 0 or not select.select([fd], [], [], left)[0]:
            return None
        piece = os.read(fd, 65536)
        if not piece:
            break
        out += piece
    return out

"""A gateway of a few lines, that does what a test tells it: for what the real one never does."""

import json
import os
import shutil
import socket
import struct
import tempfile
import threading

HEAD = struct.Struct("<IHH")
END = struct.Struct("<QBBHiIqqI")


def pack(data):
    return struct.pack("<IIQ", 0x4B505454, 0, len(data)) + data


class Fake:
    """Takes one client after the other; `serve(fake, kind, body)` is called for each frame that comes."""

    def __init__(self, test, serve, welcome=None):
        self.folder = tempfile.mkdtemp()
        self.path = os.path.join(self.folder, "s")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.serve, self.sock, self.got = serve, None, []
        self.welcome = welcome or {"protocol": 1, "client": 7, "cluster": "fake", "own": True, "blobs": "", "engines": [0, 1], "pid": 1}
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        test.addCleanup(self.close)

    def run(self):
        while True:
            try:
                self.sock, _ = self.listener.accept()
            except OSError:
                return
            try:
                while True:
                    length, kind, _ = HEAD.unpack(self.exactly(8))
                    body = self.exactly(length)
                    self.got.append((kind, body))
                    if kind == 1:
                        if self.welcome is not True:
                            self.send(33, json.dumps(self.welcome).encode())
                    else:
                        self.serve(self, kind, body)
            except (OSError, EOFError, struct.error):
                pass
            self.sock.close()

    def exactly(self, n):
        out = b""
        while len(out) < n:
            data = self.sock.recv(n - len(out))
            if not data:
                raise EOFError
            out += data
        return out

    def send(self, kind, body):
        self.sock.sendall(HEAD.pack(len(body), kind, 0) + body)

    def tasks(self, body):
        """The numbers of the tasks of a TASKS."""
        _, n, first = struct.unpack_from("<IIQ", body)
        return range(first, first + n)

    def outcomes(self, ends):
        """Tell ends: (number, value's pickle)."""
        payloads = [pack(data) for _, data in ends]
        heads = [END.pack(n, 4, 3, 0, 0, 1, 10**18, 10**18, len(p)) for (n, _), p in zip(ends, payloads)]
        self.send(32, struct.pack("<I", len(ends)) + b"".join(heads) + b"".join(payloads))

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(30)
        shutil.rmtree(self.folder)

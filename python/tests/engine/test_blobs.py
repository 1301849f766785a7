import array
import gc
import mmap
import os
import socket
import struct
import threading
import unittest

from tutti import _blobs, _pack
from tutti._blobs import ABORT, CREATE, DROP, FAILURE, FORGET, HOLD, OPEN, RELEASE, RESULT, SEAL, BlobError, Ref, Space

PAGE = 4096


class Store(threading.Thread):
    """A store with one segment, in this process; it notes what it was told."""

    def __init__(self, sock, size=64 * PAGE):
        super().__init__()
        self.sock, self.size = sock, size
        self.fd = os.memfd_create("store")
        os.truncate(self.fd, size)
        self.memory = mmap.mmap(self.fd, size)
        self.known = False
        self.next = 0
        self.handles = {}
        self.blobs = {}
        self.dropped = []
        self.late = []  # answers that are held back
        self.hold_back = False
        self.start()

    def run(self):
        have = b""
        while True:
            data = self.sock.recv(4096)
            if not data:
                break
            have += data
            while len(have) >= 72:
                self.handle(_blobs._message.unpack_from(have))
                have = have[72:]
        os.close(self.fd)
        self.memory.close()
        self.sock.close()

    def send(self, data, fd=-1):
        notes = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd >= 0 else []
        self.sock.sendmsg([data], notes)

    def answer(self, kind, call, handle=0, offset=0, size=0, n=0, text=b"", brings=False):
        fd = self.fd if brings and not self.known else -1
        self.known = self.known or brings
        message = _blobs._message.pack(
            kind, 1 if fd >= 0 else 0, 1, len(text), call, handle, 1 if brings else 0, offset, size, 0, 1 if n else 0, n, 0
        )
        if self.hold_back:
            self.late.append((message + text, fd))
        else:
            self.send(message + text, fd)

    def handle(self, m):
        kind, _, _, _, call, handle, _, _, size, _, _, n, _ = m
        if kind == CREATE and size > self.size:
            self.answer(FAILURE, call, text=b"make blob\0no space\0too much\0ask for less")
        elif kind == CREATE:
            self.next += 1
            self.handles[self.next] = ("builder", 0)
            self.answer(RESULT, call, handle=self.next, size=size, brings=True)
        elif kind == SEAL:
            del self.handles[handle]
            self.next += 1
            self.blobs[self.next] = True
            self.answer(RESULT, call, n=self.next, size=size)
        elif kind == OPEN and n in self.blobs:
            self.next += 1
            self.handles[self.next] = ("lease", n)
            self.answer(RESULT, call, handle=self.next, size=size, n=n, brings=True)
        elif kind in (OPEN, HOLD):
            self.answer(RESULT if n in self.blobs else FAILURE, call, n=n, size=size, text=b"" if n in self.blobs else b"open blob\0not found\0\0")
        elif kind in (RELEASE, ABORT):
            self.handles.pop(handle, None)
        elif kind == DROP:
            self.dropped.append(n)


class BlobsTest(unittest.TestCase):
    def setUp(self):
        here, there = socket.socketpair()
        self.store = Store(there)
        self.space = Space(here)

    def tearDown(self):
        self.space.close()
        self.store.join(20)
        self.assertFalse(self.store.is_alive())

    def settle(self):
        """What was told has been heard when a question after it is answered."""
        with self.assertRaises(BlobError):
            self.space.hold(Ref(0, 1, 1 << 60, 1))

    def test_put_and_open(self):
        ref = self.space.put([b"abc", memoryview(b"defg")])
        self.assertEqual(self.store.memory[:7], b"abcdefg")
        view = self.space.open(Ref(ref.node, ref.life, ref.n, 7))
        self.assertEqual((bytes(view), view.readonly, view.format), (b"abcdefg", True, "B"))
        self.assertEqual(len(self.store.handles), 1)

    def test_lease_lives_as_long_as_any_view(self):
        ref = self.space.put(_pack.parts(b"x" * 20000))
        view = self.space.open(Ref(ref.node, ref.life, ref.n, 20000))
        part = view[100:200]
        cast = memoryview(part).cast("H")
        del view, part
        gc.collect()
        self.settle()
        self.assertEqual(len(self.store.handles), 1)
        del cast
        gc.collect()
        self.settle()
        self.assertEqual(self.store.handles, {})

    def test_errors(self):
        with self.assertRaises(BlobError) as caught:
            self.space.create(1 << 40)
        self.assertEqual((caught.exception.kind, caught.exception.hint), ("no space", "ask for less"))
        b = self.space.create(10)
        b.abort()
        b.abort()
        with self.assertRaises(BlobError):
            b.seal()
        self.settle()
        self.assertEqual(self.store.handles, {})

    def test_threads(self):
        def work():
            for _ in range(200):
                ref = self.space.put(b"some bytes")
                self.space.open(Ref(ref.node, ref.life, ref.n, 10))
                self.space.drop(ref)

        threads = [threading.Thread(target=work) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        gc.collect()
        self.settle()
        self.assertEqual(self.store.handles, {})
        self.assertEqual(len(self.store.dropped), 1600)

    def test_interrupted_question(self):
        """The answer to a question that nobody waits for is not taken for another's, and its lease is given back."""
        ref = self.space.put(b"0123456789")
        fill, self.store.hold_back = self.space._fill, True

        def interrupt():
            raise KeyboardInterrupt

        self.space._fill = interrupt
        with self.assertRaises(KeyboardInterrupt):
            self.space.open(Ref(ref.node, ref.life, ref.n, 10))
        self.space._fill = fill
        while not self.store.late:
            pass
        self.store.hold_back = False
        self.store.send(*self.store.late[0])
        view = self.space.open(Ref(ref.node, ref.life, ref.n, 10))
        self.assertEqual(bytes(view), b"0123456789")
        self.settle()
        self.settle()
        self.assertEqual(len(self.store.handles), 1)

    def test_lost_store(self):
        self.store.sock.shutdown(socket.SHUT_RDWR)
        with self.assertRaises(BlobError) as caught:
            self.space.put(b"x")
        self.assertEqual(caught.exception.kind, "lost")

    def test_fork(self):
        """A child neither speaks to the store nor gives back what its parent reads."""
        ref = self.space.put(b"0123456789")
        view = self.space.open(Ref(ref.node, ref.life, ref.n, 10))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                del view
                gc.collect()
                self.space.put(b"x")
            except BlobError as e:
                code = 0 if e.kind == "lost" else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        self.settle()
        self.assertEqual((bytes(view), len(self.store.handles)), (b"0123456789", 1))


if __name__ == "__main__":
    unittest.main()

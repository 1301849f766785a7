"""The parallel prompt: its pieces, and the command on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import typing
import unittest

from live import Live
from tutti import repl


class FakeSession:
    """Remembers what it was told to run."""

    class link:
        lost = None

    def __init__(self, size: int) -> None:
        self.size, self.ids = size, list(range(10, 10 + size))
        self.ran: typing.List[typing.Tuple[str, typing.List[int]]] = []
        import io

        self.out = io.StringIO()

    def execute(self, code: str, ranks: typing.List[int], filename: str) -> bool:
        self.ran.append((code, list(ranks)))
        return True


class Prompts(unittest.TestCase):
    def type(self, *lines: str) -> FakeSession:
        rest = list(lines)
        self.prompts: typing.List[str] = []

        def read(prompt: str) -> str:
            self.prompts.append(prompt)
            if not rest:
                raise EOFError
            line = rest.pop(0)
            if line == "^C":
                raise KeyboardInterrupt
            return line

        session = FakeSession(4)
        repl.Prompt(session, read).loop()
        return session

    def test_statements_of_several_lines(self) -> None:
        s = self.type("a = 1", "for i in range(3):", "    print(i)", "", "", "b = (", "2)")
        self.assertEqual(s.ran, [("a = 1", [0, 1, 2, 3]), ("for i in range(3):\n    print(i)\n", [0, 1, 2, 3]), ("b = (\n2)", [0, 1, 2, 3])])
        self.assertEqual(self.prompts, [">>> ", ">>> ", "... ", "... ", ">>> ", ">>> ", "... ", ">>> "])

    def test_choosing_ranks(self) -> None:
        s = self.type("%first a = 1", "%only 1-2 b = 2", "%only 0,3", "c = 3", "%all", "d = 4", "%first", "e = 5")
        self.assertEqual([r for _, r in s.ran], [[0], [1, 2], [0, 3], [0, 1, 2, 3], [0]])
        self.assertEqual([c for c, _ in s.ran], ["a = 1", "b = 2", "c = 3", "d = 4", "e = 5"])
        self.assertIn("[0,3] >>> ", self.prompts)
        self.assertEqual(self.prompts[-1], "[0] >>> ")

    def test_mistakes_stay_here(self) -> None:
        s = self.type("%only 7 a", "%nothing", "def f(:", "x = = 1", "%first 1 +")
        self.assertEqual(s.ran, [])
        text = s.out.getvalue()
        self.assertIn("there is no rank 7 of 4", text)
        self.assertIn("there is no command %nothing", text)
        self.assertEqual(text.count("SyntaxError"), 3)

    def test_interrupt_at_the_prompt(self) -> None:
        s = self.type("for i in range(3):", "^C", "a = 1")
        self.assertEqual([c for c, _ in s.ran], ["a = 1"])
        self.assertIn("KeyboardInterrupt", s.out.getvalue())

    def test_who(self) -> None:
        s = self.type("%only 1", "%who")
        self.assertIn("rank 0: engine 10 (left out)\nrank 1: engine 11\n", s.out.getvalue())


class Terminal(Live):
    """`tutti repl` on a terminal of its own."""

    def start(self, *args: str) -> None:
        argv = [os.environ["TUTTI_BINARY"], "repl", "--python", sys.executable, *args]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = dict(os.environ, TERM="dumb", TUTTI_PATIENCE="60", TUTTI_PYTHON=os.environ.get("TUTTI_PYTHON", ""), PYTHONDONTWRITEBYTECODE="1")
            os.execve(argv[0], argv, env)
        self.text = ""
        self.addCleanup(self.kill)

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def expect(self, pattern: str) -> str:
        """What comes up to and with the pattern."""
        while True:
            found = re.search(pattern, self.text)
            if found:
                before, self.text = self.text[: found.end()], self.text[found.end() :]
                return before
            if not select.select([self.fd], [], [], 60)[0]:
                self.fail("%r did not come after %r" % (pattern, self.text))
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                self.fail("it ended; %r did not come after %r" % (pattern, self.text))
            self.text += data.decode().replace("\r\n", "\n")

    def say(self, line: str) -> str:
        """What is shown for a line, up to the next prompt."""
        os.write(self.fd, line.encode() + b"\n")
        self.expect(re.escape(line) + "\n")
        return self.expect(r"(?m)^(\[[0-9,-]+\] )?(>>>|\.\.\.) ")

    def leave(self) -> None:
        os.write(self.fd, b"\x04")
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        self.assertEqual(status, 0)
        path = os.path.join(self.folder, "tutti", "repl_history")
        if os.path.exists(path):
            with open(path) as file:
                self.history = file.read()
            os.unlink(path)

    def test_a_session(self) -> None:
        self.start("-n", "3")
        self.assertIn("3 ranks of Python", self.expect(r">>> "))
        self.assertEqual(self.say("x = 40 + 2"), ">>> ")
        self.assertEqual(self.say("x"), "[0-2] 42\n>>> ")
        self.assertEqual(self.say("print(rank // 2, size)"), "[0,1] 0 3\n[2] 1 3\n>>> ")
        self.assertEqual(self.say("%only 1 rank"), "[1] 1\n>>> ")
        shown = self.say("1 / (rank - 1)")
        self.assertIn("[1] ZeroDivisionError: division by zero\n", shown)
        self.assertIn("[0] -1.0\n", shown)
        self.assertEqual(self.say("long_name_of_mine = 7"), ">>> ")
        os.write(self.fd, b"long_na\t\n")
        self.assertIn("[0-2] 7\n", self.expect(r"\n>>> "))
        self.leave()
        self.assertIn("x = 40 + 2", self.history)

    def test_the_world(self) -> None:
        try:
            from tutti.mpi import _load
        except ImportError as error:
            self.skipTest(str(error))
        del _load
        self.start("-n", "3")
        self.expect(r">>> ")
        self.assertEqual(self.say("comm.allreduce(rank)"), "[0-2] 3\n>>> ")
        self.assertEqual(self.say("import mpi; mpi.mpi_comm_rank(mpi.MPI_COMM_WORLD) == rank"), "[0-2] True\n>>> ")
        self.assertEqual(self.say("part = comm.Split(rank // 2)"), ">>> ")
        self.assertEqual(self.say("part.allreduce(1)"), "[0,1] 2\n[2] 1\n>>> ")
        # A rank that fails does not hang the others, and all have a communicator again.
        shown = self.say("1 / 0 if rank == 1 else comm.barrier()")
        self.assertIn("[1] ZeroDivisionError", shown)
        self.assertIn("[0] tutti.mpi._error.Error: mpi: Barrier on rank 0 of world: a rank has revoked", shown)
        self.assertIn("tutti: comm is a new one\n", shown)
        self.assertEqual(self.say("comm.allreduce(1)"), "[0-2] 3\n>>> ")
        # Nor does one that dies.
        self.say("import os")
        shown = self.say("os._exit(3) if rank == 1 else comm.barrier()")
        self.assertIn("tutti: [1] lost the variables", shown)
        self.assertEqual(self.say("comm.allreduce(1), 'os' in globals()"), "[0,2] (3, True)\n[1] (3, False)\n>>> ")
        # Nor does Ctrl-C.
        os.write(self.fd, b"print('waits') or comm.recv()\n")
        self.expect(r"\[0-2\] waits\n")
        os.write(self.fd, b"\x03")
        self.assertIn("KeyboardInterrupt", self.expect(r"\n>>> "))
        self.assertEqual(self.say("comm.allreduce(1)"), "[0-2] 3\n>>> ")
        self.leave()

    def test_interrupt(self) -> None:
        self.start("-n", "2")
        self.expect(r">>> ")
        self.say("import time; y = 5")
        os.write(self.fd, b"print('begun'); time.sleep(3600)\n")
        self.expect(r"\[0,1\] begun\n")
        os.write(self.fd, b"\x03")
        self.assertIn("[0,1] KeyboardInterrupt\n", self.expect(r"\n>>> "))
        self.assertEqual(self.say("y"), "[0,1] 5\n>>> ")
        self.leave()

    def test_a_script_and_then_the_prompt(self) -> None:
        path = os.path.join(_folder(self), "script.py")
        with open(path, "w") as file:
            file.write(
                "import sys, time\n\ndef f():\n    return sys.argv[1:]\n\n"
                "if __name__ == '__main__':\n    print(f(), __file__ == %r)\n    print('waits', flush=True)\n"
                "    found = 3\n    time.sleep(3600 if 'long' in sys.argv else 0)\n" % path
            )
        self.start("-n", "2", "-i", path, "long", "-x")
        self.expect(r"\[0,1\] \['long', '-x'\] True\n\[0,1\] waits\n")
        os.write(self.fd, b"\x03")
        self.assertIn("KeyboardInterrupt", self.expect(r">>> "))
        self.assertEqual(self.say("found"), "[0,1] 3\n>>> ")
        self.leave()


def _folder(case: unittest.TestCase) -> str:
    import tempfile

    folder = tempfile.TemporaryDirectory()
    case.addCleanup(folder.cleanup)
    return folder.name


if __name__ == "__main__":
    unittest.main()

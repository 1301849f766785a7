"""The parallel prompt: what is typed runs on all engines at once.

    tutti repl -n 4                      four engines of its own
    tutti repl --cluster default         the engines of a cluster that runs
    tutti repl -n 4 -i heat.py           runs the script on all of them, then prompts

Every engine is a rank, and runs the same code in its own interpreter: `rank` and `size` say which it is, `comm` is the
communicator of all (also `MPI.COMM_WORLD` of tutti.mpi, and module `mpi`). What they print is shown behind the ranks that
printed it, once where it is the same: `[0-3] 42`. The variables stay, as at Python's own prompt, and a script that was
interrupted leaves its variables to be looked at.

When a rank fails while others go on, for a second, these are told at their next call of the communicator; then all
have a new one.

    %first STATEMENT    on the first rank only; alone, for all that follows
    %only 0,2-3         on these ranks, for one statement that follows on the line, else for all that follows
    %all                on all again
    %who                which ranks there are

A line waits for those of the other ranks, to be shown with them, for at most $TUTTI_PATIENCE seconds (0.3).
"""

from __future__ import annotations

import argparse
import atexit
import codeop
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, TextIO, Tuple

from . import _fold, _gateway, _pack
from .cluster import Cluster, LauncherError, _cores
from .errors import IPythonError, failure_to_error

__all__ = ["Prompt", "Session", "main"]

GRACE = 1.0  # s that other ranks have to come to their own end when one has failed
BUNDLE = "application/vnd.tutti.mimebundle+json"


class Session:
    """Engines that run the same code at the same time; engine `ids[r]` is rank r."""

    def __init__(self, link: Any, ids: Sequence[int], out: Optional[TextIO] = None) -> None:
        self.link, self.ids = link, list(ids)
        self.out = sys.stdout if out is None else out
        self.patience = _patience()
        self._memory: Optional[int] = None  # of the world
        self.lacks = "it was not made"  # why there is no communicator; empty if there is one
        self._cells: Dict[int, int] = {}  # id of a cell that runs: its rank
        self._folder: Optional[_fold.Folder] = None
        link._listeners.add(self._hear)

    @property
    def size(self) -> int:
        """How many ranks there are."""
        return len(self.ids)

    def close(self) -> None:
        """Hear no more; the world ends."""
        self.link._listeners.discard(self._hear)
        if self._memory is not None:
            os.close(self._memory)
            self._memory = None

    # Calls of the engines.

    def start(self, ranks: Sequence[int], func: str, about: Callable[[int], Any], echo: bool = True) -> "_Run":
        """Begin a call of a built-in function on these ranks; `about(rank)` is its argument."""
        run = _Run(len(ranks))
        for r in ranks:
            engine = self.ids[r]
            text = {"func": func, "label": "prompt", "target": engine, "echo": echo, "retries_lost": -1}
            no = self.link.work((func, engine, echo, "prompt"), lambda text=text: (text, b""))
            cell = _gateway.Cell(run, engine, None)
            run.cells[r] = cell
            self._cells[id(cell)] = r
            self.link.submit(no, _pack.dumps(about(r)), cell)
        return run

    def ask(self, rank: int, func: str, argument: Any, timeout: float) -> Any:
        """The result of a built-in function on one rank. TimeoutError; what it raised."""
        run = self.start([rank], func, lambda r: argument, echo=False)
        cell = run.cells[rank]
        try:
            if not self.link.wait(run, timeout):
                self.link.numbers(_gateway.CANCEL, [cell.n])
                raise TimeoutError("rank %d has not answered" % rank)
        finally:
            self._forget(run)
        if cell.end[1] != _gateway.DONE:
            raise failure_to_error(_gateway.failure_of(cell)[0])
        return _gateway.value_of(cell)

    def prepare(self) -> None:
        """Tell each rank who it is, and make all of them a world; `lacks` says why that cannot be."""
        self._all("rank, size = {rank}, {size}")
        self.lacks = self._join()

    def _join(self) -> str:
        """Make a world of the ranks; empty, or why there is none."""
        hosts = {row["host"] for row in self.link.ask("engines", 60.0)[0]["engines"] if row["id"] in self.ids}
        if len(hosts) > 1:
            return "the engines are on %d hosts, and messages pass within one" % len(hosts)
        if not hasattr(os, "memfd_create"):
            return "messages between engines need Linux"
        # The memory has no name; its world lasts as long as we hold it.
        before, self._memory = self._memory, os.memfd_create("tutti-mpi")
        if before is not None:
            os.close(before)
        path = "/proc/%d/fd/%d" % (os.getpid(), self._memory)
        return self._all("__import__('tutti._spmd')._spmd.enter(%r, {rank}, {size})" % path)

    def _all(self, code: str) -> str:
        """Run code on all ranks, unheard; empty, or why it failed."""
        run = self.start(
            range(self.size), "py.execute", lambda r: {"code": code.format(rank=r, size=self.size), "silent": True}, echo=False
        )
        try:
            if not self.link.wait(run, 60.0):
                return "the ranks do not answer"
            for cell in run.cells.values():
                if cell.end[1] != _gateway.DONE:
                    return str(failure_to_error(_gateway.failure_of(cell)[0]))
            return ""
        finally:
            self._forget(run)

    def _forget(self, run: "_Run") -> None:
        for cell in run.cells.values():
            self._cells.pop(id(cell), None)

    def execute(self, code: str, ranks: Sequence[int], filename: Optional[str] = None) -> bool:
        """Run code on the ranks and show what they print, until all have ended; whether all went well.

        Ctrl-C interrupts those that run; a second one stops them, and if need be restarts their interpreters.
        """
        folder = self._folder = _fold.Folder(list(ranks), self.patience)  # before anything can come
        run = self.start(ranks, "py.execute", lambda r: {"code": code, "silent": False, "filename": filename})
        interrupts = 0
        try:
            while True:
                try:
                    self._attend(run, folder)
                    return all(cell.end[1] == _gateway.DONE for cell in run.cells.values())
                except KeyboardInterrupt:
                    interrupts += 1
                    self._interrupt(run, hard=interrupts > 1)
        finally:
            self._forget(run)
            self._folder = None
            if run.died or ((interrupts or run.revoked) and not self.lacks):
                self._renew(run)

    def _renew(self, run: "_Run") -> None:
        """After ranks were lost, or stopped in the middle of what they had to say to each other."""
        if run.died:
            self.out.write("tutti: %s lost the variables; interpreters are started again\n" % _fold.label(run.died))
            self.link.ask("wait_engines", 60.0, n=self.size)
        had = not self.lacks
        self.prepare()
        if had and self.lacks:
            self.out.write("tutti: no communicator: %s\n" % self.lacks)
        elif had:
            self.out.write("tutti: comm is a new one\n")

    def _revoke(self, run: "_Run") -> None:
        """Tell the ranks that go on that one has failed: by the mouth of one that has."""
        run.revoked = True
        for r in run.failed:
            if r not in run.died:
                self._forget(self.start([r], "py.execute", lambda _: {"code": "__import__('tutti._spmd')._spmd.revoke()", "silent": True}, echo=False))
                return

    def _interrupt(self, run: "_Run", hard: bool) -> None:
        left = {r: cell for r, cell in run.cells.items() if cell.end is None}
        if hard:
            self.link.numbers(_gateway.CANCEL, [cell.n for cell in left.values()])
            return
        for r, cell in left.items():

            def then(answer: Any, cell: Any = cell) -> None:
                if not answer.ok:  # it cannot be signalled: it is stopped
                    self.link.numbers(_gateway.CANCEL, [cell.n])

            self.link.ask_later("signal", then, engine=self.ids[r], sig="SIGINT")

    def _attend(self, run: "_Run", folder: _fold.Folder) -> None:
        """Show what comes, until the end."""
        seen = {r for r, cell in run.cells.items() if cell.end is not None and r in run.told}
        while True:
            left = run._left
            for r, cell in run.cells.items():
                if cell.end is not None and r not in seen:
                    seen.add(r)
                    self._end(run, r, cell, folder)
                    run.told.add(r)
            self._show(folder.take(time.monotonic(), final=not run._left and len(seen) == len(run.cells)))
            if len(seen) == len(run.cells):
                return
            if run.failed and not run.revoked and not self.lacks and time.monotonic() - run.failed_at > GRACE:
                self._revoke(run)
            due = folder.waits_until()
            pause = 0.1 if due is None else max(0.002, min(0.1, due - time.monotonic()))
            if run._left:
                self.link.wait(run, pause, max(0, left - 1))

    def _end(self, run: "_Run", r: int, cell: Any, folder: _fold.Folder) -> None:
        """Feed what a rank's end has to show."""
        now = time.monotonic()
        if cell.end[1] == _gateway.DONE:
            value = _gateway.value_of(cell)
            text = ((value or {}).get("data") or {}).get("text/plain")
            if text is not None:
                folder.block(r, "result", text, now)
        else:
            failure, data = _gateway.failure_of(cell)
            value = _pack.loads(data) if data else None
            run.failed.append(r)
            run.failed_at = run.failed_at or now
            if value is None and failure.get("kind") not in ("canceled", "timed out"):
                run.died.append(r)
            lines = (value or {}).get("traceback") or [str(failure_to_error(failure))]
            folder.block(r, "error", "\n".join(lines).rstrip("\n"), now)
        folder.close(r)

    def _hear(self, cell: Any, what: Tuple[Any, ...]) -> None:
        """Something was printed or displayed: called by whoever reads."""
        r, folder = self._cells.get(id(cell)), self._folder
        if r is None or folder is None:
            return
        now = time.monotonic()
        if what[0] in (1, 2):
            folder.feed(r, "stdout" if what[0] == 1 else "stderr", what[1].decode("utf-8", "replace"), now)
        elif what[0] == "display":
            folder.feed(r, "stdout", _picture(what[1], what[2]) + "\n", now)
        elif what[0] == "notice":
            folder.feed(r, "stderr", str(what[1]) + "\n", now)

    def _show(self, lines: List[_fold.Line]) -> None:
        if lines:
            self.out.write("".join(_fold.render(lines, self.size)))
            self.out.flush()


def _patience() -> float:
    try:
        return float(os.environ.get("TUTTI_PATIENCE") or 0.3)
    except ValueError:
        return 0.3


class _Run:
    """Cells that are waited for together: what a link needs of their owner."""

    __slots__ = ("_left", "_more", "_state", "cells", "told", "failed", "failed_at", "died", "revoked")

    def __init__(self, n: int) -> None:
        self._left, self._more, self._state = n, None, "PENDING"
        self.cells: Dict[int, Any] = {}
        self.told: Set[int] = set()  # ranks whose end was shown
        self.failed: List[int] = []
        self.failed_at = 0.0
        self.died: List[int] = []
        self.revoked = False

    def _finished(self) -> None:
        pass


def _picture(mime: str, data: bytes) -> str:
    """What a terminal shows of something that was displayed."""
    if mime == BUNDLE:
        import json

        shown = json.loads(data).get("data", {})
        return str(shown.get("text/plain") or "<%s>" % ", ".join(shown))
    if mime.startswith("text/") and mime != "text/html":
        return data.decode("utf-8", "replace")
    return "<%s, %d bytes>" % (mime, len(data))


# ---------------------------------------------------------------------------------------------
# The prompt


class Prompt:
    """Reads what is typed, and has it run."""

    def __init__(self, session: Session, read: Callable[[str], str] = input) -> None:
        self.session, self.read = session, read
        self.ranks = list(range(session.size))
        self.compile = codeop.CommandCompiler()
        self.n = 0

    def heading(self, more: bool = False) -> str:
        """What stands before the input."""
        everybody = len(self.ranks) == self.session.size
        mark = "" if everybody else _fold.label(self.ranks) + " "
        return "... " if more else mark + ">>> "

    def loop(self) -> None:
        """Until the end of the input."""
        while self.session.link.lost is None:
            try:
                source = self.statement()
            except EOFError:
                self.session.out.write("\n")
                return
            except KeyboardInterrupt:
                self.session.out.write("\nKeyboardInterrupt\n")
                continue
            if source.strip():
                self.run(source)
        self.session.out.write("tutti: %s\n" % self.session.link.lost)

    def statement(self) -> str:
        """A whole statement, of one line or more."""
        lines: List[str] = []
        while True:
            lines.append(self.read(self.heading(bool(lines))))
            source = "\n".join(lines)
            if len(lines) == 1 and source.lstrip().startswith("%"):
                return source
            try:
                if self.compile(source, "<prompt>", "single") is not None:
                    return source
            except (SyntaxError, OverflowError, ValueError):
                return source  # the engines say what is wrong, as they do for all

    def run(self, source: str) -> None:
        """Run a statement, or obey a command of the prompt."""
        ranks = self.ranks
        if source.lstrip().startswith("%"):
            chosen = self.command(source.strip())
            if chosen is None:
                return
            ranks, source = chosen
        try:
            compiled = self.compile(source, "<prompt>", "single")
            if compiled is None:
                source += "\n"
        except (SyntaxError, OverflowError, ValueError):
            self.complain()
            return
        self.n += 1
        try:
            self.session.execute(source, ranks, "<prompt-%d>" % self.n)
        except IPythonError as error:
            self.session.out.write("tutti: %s\n" % error)

    def complain(self) -> None:
        """Show the error of the statement, as Python does."""
        import traceback

        kind, value, _ = sys.exc_info()
        self.session.out.write("".join(traceback.format_exception_only(kind, value)))

    def command(self, text: str) -> Optional[Tuple[List[int], str]]:
        """Obey a command; where a statement follows it on the line, the ranks and the statement."""
        name, _, rest = text[1:].partition(" ")
        rest = rest.strip()
        try:
            if name == "first":
                chosen = [0]
            elif name == "all":
                chosen = list(range(self.session.size))
            elif name == "only":
                which, _, rest = rest.partition(" ")
                chosen = _fold.parse_ranks(which, self.session.size)
                rest = rest.strip()
            elif name == "who":
                for r, engine in enumerate(self.session.ids):
                    self.session.out.write("rank %d: engine %d%s\n" % (r, engine, "" if r in self.ranks else " (left out)"))
                return None
            else:
                raise ValueError("there is no command %%%s: %%first, %%only RANKS, %%all, %%who" % name)
        except ValueError as error:
            self.session.out.write("tutti: %s\n" % error)
            return None
        if rest:
            return chosen, rest
        self.ranks = chosen
        return None

    def complete(self, text: str, state: int) -> Optional[str]:
        """What the first rank would complete: for readline."""
        if state == 0:
            self._matches = self._completions()
        return self._matches[state] if state < len(self._matches) else None

    def _completions(self) -> List[str]:
        import readline

        line, begin = readline.get_line_buffer(), readline.get_begidx()
        if not line[:begin].strip() and not line.strip():
            return ["    "]
        try:
            said = self.session.ask(self.ranks[0], "py.complete", {"code": line, "pos": readline.get_endidx()}, 1.0)
        except Exception:  # it runs something, or cannot say
            return []
        head = line[said["start"] : begin] if said["start"] <= begin else ""
        return [m[len(head) :] for m in said["matches"] if m.startswith(head)]


def _editing(prompt: Prompt) -> None:
    """History and completion, where the terminal has them."""
    try:
        import readline
    except ImportError:
        return
    readline.set_completer(prompt.complete)
    readline.set_completer_delims(" \t\n`~!@#$%^&*()-=+[{]}\\|;:'\",<>/?")
    readline.parse_and_bind("tab: complete")
    path = history_file()
    try:
        readline.read_history_file(path)
    except OSError:
        pass
    readline.set_history_length(5000)

    def keep() -> None:
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            readline.write_history_file(path)
        except OSError:
            pass

    atexit.register(keep)


def history_file() -> str:
    """Where what was typed is kept."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(base, "tutti", "repl_history")


# ---------------------------------------------------------------------------------------------
# The command


def _options(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tutti repl", description="A prompt whose input runs on all engines at once.")
    parser.add_argument("-n", type=int, metavar="N", help="how many engines (default: one for each core)")
    parser.add_argument("-c", "--cluster", metavar="NAME", help="use the engines of a cluster that runs")
    parser.add_argument("-i", dest="script", metavar="SCRIPT", help="run this script first, then prompt")
    parser.add_argument("args", nargs="*", help="arguments of the script")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The command `tutti repl`; its exit status."""
    options = _options(argv)
    cluster: Optional[Cluster] = None
    try:
        if options.cluster:
            socket = _gateway.join_cluster(options.cluster)
        else:
            cluster = Cluster(n=options.n)
            cluster._launch(options.n)
            socket = cluster.controller.socket  # type: ignore[union-attr]
        return _talk(socket, options)
    except (LauncherError, IPythonError, OSError) as error:
        print("tutti: %s" % error, file=sys.stderr)
        return 1
    finally:
        if cluster is not None:
            cluster._stop_cluster()


def _talk(socket: str, options: argparse.Namespace) -> int:
    link = _gateway.Link(socket, "prompt")
    try:
        wanted = options.n or (1 if options.cluster else _cores())
        ids = link.ask("wait_engines", 60.0, n=wanted)[0]["ids"]
        session = Session(link, sorted(ids)[: options.n] if options.n else sorted(ids))
        session.prepare()
        prompt = Prompt(session)
        if options.script and not _run_script(session, options.script, options.args):
            pass  # what is left of it can be looked at
        if session.lacks and options.script is None:
            print("tutti: no communicator: %s" % session.lacks)
        if sys.stdin.isatty():
            _editing(prompt)
            print("%d ranks of Python %s on %s. %%first, %%only 0,2, %%all; Ctrl-D leaves." % (session.size, link.welcome.get("program", "").partition(":")[2], link.welcome.get("host")))
        prompt.loop()
        session.close()
        return 0
    finally:
        link.close()


def _run_script(session: Session, path: str, args: Sequence[str]) -> bool:
    """Run a script on all ranks, as `python3 script.py` would: whether it went well everywhere."""
    full = os.path.abspath(path)
    with open(full, encoding="utf-8") as file:
        code = file.read()
    before = "import sys; sys.argv = %r; __file__ = %r\nif %r not in sys.path: sys.path.insert(0, %r)" % ([path, *args], full, *[os.path.dirname(full)] * 2)
    everybody = range(session.size)
    return session.execute(before, everybody) and session.execute(code, everybody, full)


if __name__ == "__main__":
    sys.exit(main())

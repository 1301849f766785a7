"""The magics of IPython and Jupyter: `%px`, `%%px`, `%autopx`, `%pxresult`, `%pxconfig`.

`view.activate()` registers them for a direct view; with a suffix they get names of their own
(`%px_gpu` for `view.activate("_gpu")`), so that several views may have theirs.
"""

from __future__ import annotations

import argparse
import ast
import signal as _signal
from contextlib import nullcontext
from typing import Any, Callable, Dict, List, Optional, Union

from IPython.core.error import UsageError
from IPython.core.magic import Magics, no_var_expand
from IPython.core.magic_arguments import MagicArgumentParser

from .errors import AlreadyDisplayedError, RemoteError

__all__ = ["ParallelMagics", "activate"]

NO_RESULT = "%pxresult recalls the last result of %px, and there has been none yet"


def parse_signal(text: str) -> Optional[int]:
    """The number of a signal given by name (`SIGINT`, `int`) or number; None for `0` and the empty string."""
    text = text.strip().strip("'\"")
    if text in ("", "0", "None", "none"):
        return None
    if text.lstrip("-").isdigit():
        number = int(text)
        return None if number <= 0 else number
    name = text.upper() if text.upper().startswith("SIG") else "SIG" + text.upper()
    found = getattr(_signal, name, None)
    if not isinstance(found, _signal.Signals):
        raise UsageError("%r is no signal" % text)
    return int(found)


def _execution_options(parser: argparse.ArgumentParser) -> None:
    """What a run of %px and %pxconfig have in common."""
    parser.add_argument("-b", "--block", dest="block", action="store_const", const=True, help="wait for the end, and show it")
    parser.add_argument("-a", "--noblock", dest="block", action="store_const", const=False, help="give an AsyncResult at once")
    parser.add_argument("--stream", dest="stream", action="store_const", const=True, help="show output as it comes (while blocking)")
    parser.add_argument("--no-stream", dest="stream", action="store_const", const=False, help="show output at the end")
    parser.add_argument("-t", "--targets", type=str, help="where to run: all, 0, ::2, 1:4, or any Python expression")
    parser.add_argument("--verbose", dest="verbose", action="store_const", const=True, help="say where each cell runs")
    parser.add_argument("--no-verbose", dest="verbose", action="store_const", const=False, help="do not")
    parser.add_argument(
        "--progress-after", dest="progress_after", type=float, metavar="SECONDS", help="show a bar after so long; 0 at once, -1 never"
    )
    parser.add_argument(
        "--signal-on-interrupt", dest="interrupt", type=str, metavar="SIG", help="sent to the engines on Ctrl-C: a name, a number, 0 for none"
    )


def _output_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-r", dest="group", action="store_const", const="order", help="outputs one by one: --group-outputs=order")
    parser.add_argument("-e", dest="group", action="store_const", const="engine", help="by engine: --group-outputs=engine")
    parser.add_argument("--group-outputs", dest="group", choices=("type", "engine", "order"), help="how to show outputs")
    parser.set_defaults(group="type")
    parser.add_argument("-o", "--out", dest="name", type=str, metavar="NAME", help="keep the AsyncResult under this name")


def _parser(name: str, cell: bool = False, output: bool = False, execution: bool = False) -> MagicArgumentParser:
    parser = MagicArgumentParser(name)
    if execution:
        _execution_options(parser)
    if cell:
        parser.add_argument("--local", action="store_true", help="run the cell here too")
    if output:
        _output_options(parser)
    return parser


class ParallelMagics(Magics):
    """The magics of one view.

    `stream`, `verbose`, `progress_after` (seconds) and `interrupt` (the signal sent on Ctrl-C, None for
    none) are what `%pxconfig` sets; blocking and targets are the view's own.
    """

    registered = True

    def __init__(self, shell: Any, view: Any, suffix: str = "") -> None:
        self.view, self.suffix = view, suffix
        self.stream, self.verbose, self.progress_after = True, False, 2.0
        self.interrupt: Optional[int] = int(_signal.SIGINT)
        self.last_result: Optional[Any] = None
        self._run_cell_here: Optional[Callable[..., Any]] = None
        px = "px" + suffix
        self.parsers = {
            "px": _parser("%%" + px, cell=True, output=True, execution=True),
            "pxresult": _parser("%pxresult" + suffix, output=True),
            "pxconfig": _parser("%pxconfig" + suffix, execution=True),
        }
        line: Dict[str, Any] = {px: self.px, "auto" + px: self.autopx, "pxresult" + suffix: self.pxresult, "pxconfig" + suffix: self.pxconfig}
        if not suffix:
            line["result"] = self.pxresult  # its older name
        self.magics = {"line": line, "cell": {px: self.cell_px}}
        super().__init__(shell=shell)

    # What the user types.

    @no_var_expand
    def px(self, line: str) -> Any:
        """Run a statement on the engines: `%px import numpy as np`."""
        return self.run(line)

    @no_var_expand
    def cell_px(self, line: str = "", cell: Optional[str] = None) -> Any:
        """Run the cell on the engines: see `%%px --help`."""
        args = self.parsers["px"].parse_argstring(line)
        if args.local:
            done = self.shell.run_cell(cell)
            if not done.success:
                return None  # shown already; the engines are left alone
        return self.run(
            cell or "",
            block=args.block,
            stream=args.stream,
            targets=args.targets,
            verbose=args.verbose,
            progress_after=args.progress_after,
            interrupt=args.interrupt,
            group=args.group,
            name=args.name,
        )

    def pxresult(self, line: str = "") -> None:
        """Show the last result of %px (again): `%pxresult [-e] [-r] [-o NAME]`."""
        args = self.parsers["pxresult"].parse_argstring(line)
        if self.last_result is None:
            raise UsageError(NO_RESULT)
        if args.name:
            self.shell.user_ns[args.name] = self.last_result
        self.last_result.get()
        self.last_result.display_outputs(groupby=args.group)

    def pxconfig(self, line: str = "") -> None:
        """Set how %px runs: `%pxconfig --block --targets ::2 --progress-after 5`."""
        args = self.parsers["pxconfig"].parse_argstring(line)
        if args.targets is not None:
            self.view.targets = self.parse_targets(args.targets)
        if args.block is not None:
            self.view.block = args.block
        if args.stream is not None:
            self.stream = args.stream
        if args.verbose is not None:
            self.verbose = args.verbose
        if args.progress_after is not None:
            self.progress_after = args.progress_after
        if args.interrupt is not None:
            self.interrupt = parse_signal(args.interrupt)

    def autopx(self, line: str = "") -> None:
        """Send every cell to the engines, until `%autopx` comes again."""
        if self._run_cell_here is not None:
            self.shell.run_cell = self._run_cell_here
            self._run_cell_here = None
            print("%%auto%s disabled" % ("px" + self.suffix))
            return
        self._run_cell_here = self.shell.run_cell
        self.shell.run_cell = self._run_cell_there
        print("%%auto%s enabled" % ("px" + self.suffix))

    # How it is done.

    def parse_targets(self, text: str) -> Any:
        """The targets that a specification names: `all`, an engine, a slice (`1:4`), or a Python expression."""
        text = text.strip().strip("'\"")
        if text in ("all", "None", ":"):
            return "all"
        if ":" in text and not any(c in text for c in "[](){}\"'"):
            parts = text.split(":")
            if len(parts) > 3:
                raise UsageError("%r is no slice" % text)
            try:
                bounds = [int(p) if p.strip() else None for p in parts]
            except ValueError:
                raise UsageError("%r is no slice" % text) from None
            return self.view.client.ids[slice(*bounds)]
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            pass
        try:
            return self.shell.ev(text)
        except Exception as error:
            raise UsageError("targets %r: %s" % (text, error)) from None

    def run(
        self,
        code: str,
        block: Optional[bool] = None,
        stream: Optional[bool] = None,
        targets: Union[str, Any] = None,
        verbose: Optional[bool] = None,
        progress_after: Optional[float] = None,
        interrupt: Optional[str] = None,
        group: str = "type",
        name: Optional[str] = None,
    ) -> Any:
        """Run code on the engines: what is None is as `%pxconfig` has set it."""
        view = self.view
        there = view.targets if targets is None else self.parse_targets(targets)
        blocks = view.block if block is None else block
        streams = self.stream if stream is None else stream
        if self.verbose if verbose is None else verbose:
            print("%s execution on engine(s): %s" % ("Parallel" if blocks else "Async parallel", there))
        result = view.execute(code, silent=False, targets=there, block=False)
        self.last_result = result
        if name:
            self.shell.user_ns[name] = result
        if not blocks:
            return result
        sig = self.interrupt if interrupt is None else parse_signal(interrupt)
        after = self.progress_after if progress_after is None else progress_after
        self._see_through(result, there, streams, after, sig, group)
        return None

    def _see_through(self, result: Any, targets: Any, streams: bool, after: float, sig: Optional[int], group: str) -> None:
        """Wait for the end with output and a bar, and show what there is to show."""
        with result.stream_output() if streams else nullcontext():
            self._wait(result, targets, after, sig)
        try:
            result.get()
        except RemoteError as error:
            if streams:
                shown = AlreadyDisplayedError(error)
                _show_errors(error)
                raise shown from None
            result.display_outputs(groupby=group)
            raise
        result.display_outputs(groupby=group, result_only=streams)

    def _wait(self, result: Any, targets: Any, after: float, sig: Optional[int]) -> None:
        """Until the result is there. Ctrl-C sends the signal to the engines; a second one stops waiting."""
        interrupted = False
        while True:
            try:
                if after > 0 and result.wait(after):
                    return
                if after < 0:
                    result.wait()
                else:
                    result.wait_interactive()
                return
            except KeyboardInterrupt:
                if interrupted or not sig:
                    raise
                interrupted = True
                print("sending signal %s to the engines %s" % (_signal.Signals(sig).name, targets))
                self.view.client.send_signal(sig, targets=targets, block=True)

    def _run_cell_there(self, raw_cell: Any = "", store_history: bool = False, silent: bool = False, *args: Any, **kwargs: Any) -> Any:
        """What stands in for the shell's run_cell while %autopx is on."""
        from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult

        text = raw_cell or ""
        first = text.strip().split(None, 1)[0] if text.strip() else ""
        own = ("%auto", "%px", "%%px", "%result", "%pxresult")
        assert self._run_cell_here is not None
        if not text.strip() or first.startswith(own) or first.startswith("auto" + "px" + self.suffix):
            return self._run_cell_here(raw_cell, store_history, silent, *args, **kwargs)
        shell = self.shell
        try:
            info = ExecutionInfo(text, store_history, silent, kwargs.get("shell_futures", True), kwargs.get("cell_id"))
        except TypeError:  # of an older or newer IPython
            info = None
        outcome = ExecutionResult(info)
        if store_history:
            shell.history_manager.store_inputs(shell.execution_count, text, text)
        try:
            self.run(text)
        except BaseException as error:
            outcome.error_in_exec = error
            shell.showtraceback()
        if store_history:
            outcome.execution_count = shell.execution_count
            shell.execution_count += 1
        return outcome


def _show_errors(error: RemoteError) -> None:
    """Print the tracebacks of errors whose output was streamed, so that the exception itself need not."""
    import sys

    lines: List[str] = error.render_traceback()
    print("\n".join(lines), file=sys.stderr)


def activate(view: Any, suffix: str = "") -> ParallelMagics:
    """Register the magics of the view with the IPython that runs; RuntimeError where none runs."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise RuntimeError("the magics need IPython: use view.execute(...) at Python's own prompt")
    magics = ParallelMagics(shell, view, suffix)
    shell.register_magics(magics)
    return magics

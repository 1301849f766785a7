"""Showing what tasks have printed and displayed."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Tuple

from ._gateway import Cell

__all__: List[str] = []


def _shell() -> Any:
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def _tag(cell: Cell) -> str:
    if cell.end is not None and cell.end[4] >= 0:
        return str(cell.end[4])
    return str(cell.target) if isinstance(cell.target, int) else cell.id


class Screen:
    """Where output is shown as it comes: pieces of lines, of several tasks in turn, each line with the name of its engine."""

    def __init__(self, tagged: bool) -> None:
        self.tagged = tagged
        self._at: Any = None  # the stream and task whose line is not complete

    def show(self, cell: Cell, what: Tuple[Any, ...]) -> None:
        """Show one piece."""
        if what[0] not in (1, 2) or not self.tagged:
            self.end()
            _show(cell, what, self.tagged)
            return
        text = what[1].decode("utf-8", "replace")
        stream = sys.stdout if what[0] == 1 else sys.stderr
        here = (stream, id(cell))
        if self._at != here:
            self.end()
        tag = "[%s:%s] " % ("stdout" if what[0] == 1 else "stderr", _tag(cell))
        for line in text.splitlines(True):
            stream.write(line if self._at == here else tag + line)
            self._at = None if line.endswith("\n") else here
        stream.flush()

    def end(self) -> None:
        """Complete the line that is not complete."""
        if self._at is not None:
            self._at[0].write("\n")
            self._at[0].flush()
            self._at = None


def _show(cell: Cell, what: Tuple[Any, ...], tagged: bool) -> None:
    from .asyncresult import DATA, _output

    if what[0] in (1, 2):
        stream = sys.stdout if what[0] == 1 else sys.stderr
        stream.write(what[1].decode("utf-8", "replace"))
        stream.flush()
    elif what[0] == "notice":
        print("tutti: %s" % what[1], file=sys.stderr)
    elif what[1] != DATA:
        if tagged:
            print("[output:%s]" % _tag(cell))
        rich(_output(what)["data"])


def rich(data: Dict[str, Any]) -> None:
    """Show a bundle of representations where the user is looking."""
    shell = _shell()
    if shell is not None and len(data) > (1 if "text/plain" in data else 0):
        shell.display_pub.publish(data)
    elif "text/plain" in data:
        print(data["text/plain"])
    else:
        for mime, value in data.items():
            print(value if mime.startswith("text/") else "<%s, %d bytes>" % (mime, len(value)))


def display(ar: Any, groupby: str, result_only: bool) -> None:
    """Show all of an AsyncResult."""
    if groupby not in ("type", "engine", "order"):
        raise ValueError("groupby=%r: one of 'type', 'engine', 'order'" % (groupby,))
    metadata = ar.metadata if isinstance(ar.metadata, list) else [ar.metadata]
    tagged = not ar._single
    if result_only:
        for m in metadata:
            _result(m, tagged)
    elif groupby == "order" or groupby == "engine":
        if groupby == "engine":
            metadata = sorted(metadata, key=lambda m: (m["engine_id"] is None, m["engine_id"]))
        for m in metadata:
            _stream(m, "stdout", tagged)
            _stream(m, "stderr", tagged)
            _outputs(m, tagged)
            _result(m, tagged)
    else:
        for m in metadata:
            _stream(m, "stdout", tagged)
        for m in metadata:
            _stream(m, "stderr", tagged)
        for m in metadata:
            _outputs(m, tagged)
        for m in metadata:
            _result(m, tagged)


def _stream(m: Dict[str, Any], name: str, tagged: bool) -> None:
    text = m[name]
    if not text:
        return
    stream = sys.stdout if name == "stdout" else sys.stderr
    if tagged:
        stream.write("[%s:%s] " % (name, m["engine_id"]))
        if "\n" in text.rstrip("\n"):
            stream.write("\n")
    stream.write(text if text.endswith("\n") else text + "\n")
    stream.flush()


def _outputs(m: Dict[str, Any], tagged: bool) -> None:
    for out in m["outputs"]:
        if tagged:
            print("[output:%s]" % m["engine_id"])
        rich(out["data"])


def _result(m: Dict[str, Any], tagged: bool) -> None:
    result = m["execute_result"]
    if not result:
        return
    data = dict(result["data"])
    text = data.pop("text/plain", "")
    head = "Out[%s%s]: " % ("%s:" % m["engine_id"] if tagged else "", result["execution_count"])
    print(head + ("\n" if "\n" in text else "") + text)
    if data and _shell() is not None:
        rich(dict(data, **{"text/plain": text}))

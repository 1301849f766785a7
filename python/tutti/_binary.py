"""Finds the program `tutti`, from which the package comes and by which it starts clusters."""

from __future__ import annotations

import os


def find_binary() -> str:
    """The program `tutti`: that of $TUTTI_BINARY, the one that installed the package or named its folder, that of the
    source tree, or that of the path. FileNotFoundError."""
    named = os.environ.get("TUTTI_BINARY")
    if named:
        return named
    here = os.path.dirname(os.path.abspath(__file__))
    candidates = []
    for note in (os.path.join(here, "_binary.txt"), os.path.dirname(here) + ".binary"):
        try:
            with open(note, encoding="utf-8") as file:
                candidates.append(file.read().strip())
        except OSError:
            pass
    candidates.append(os.path.join(here, "bin", "tutti"))
    candidates.append(os.path.join(os.path.dirname(os.path.dirname(here)), "bin", "tutti"))
    for path in candidates:
        if path and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    from shutil import which

    found = which("tutti")
    if found is None:
        raise FileNotFoundError("the program tutti was not found: put it on the PATH, or name it in $TUTTI_BINARY")
    return found

"""Finds the compiled extension tutti._mpi, which lies beside the package, in a source tree, or where the program `tutti` says."""

from __future__ import annotations

import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from types import ModuleType

FILE = "_mpi.abi3.so"


def places() -> list[str]:
    """The files that may be the extension, the best first."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    dists = [os.environ.get("TUTTI_DIST", ""), os.path.join(package, "..", "..", "dist")]
    return [os.path.join(package, FILE)] + [os.path.join(d, "python", "tutti", FILE) for d in dists if d]


def find() -> str | None:
    """The extension's file. The program `tutti` is asked last: a release has the extension inside, and unpacks it."""
    for path in places():
        if os.path.isfile(path):
            return path
    import subprocess

    from .._binary import find_binary

    try:
        said = subprocess.run([find_binary(), "config", "--prefix"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None  # there is none, or it has no libraries
    path = os.path.join(os.fsdecode(said.stdout).rstrip("\n"), "python", "tutti", FILE)
    return path if os.path.isfile(path) else None


def load() -> ModuleType:
    """Loads the extension. ImportError says in one sentence how to get it."""
    found = sys.modules.get("tutti._mpi")
    if found is not None:
        return found
    if sys.version_info < (3, 11) or sys.implementation.name != "cpython":
        raise ImportError("message passing needs CPython 3.11 or later, this is " + sys.version.split()[0])
    path = find()
    if path is None:
        raise ImportError(
            f"message passing needs the compiled extension tutti/{FILE}, which is not here: "
            "build it with `make lib` in the sources of tutti, or use a release, which brings it"
        )
    loader = ExtensionFileLoader("tutti._mpi", path)
    module = loader.create_module(ModuleSpec("tutti._mpi", loader, origin=path))
    module.__file__ = path
    loader.exec_module(module)
    sys.modules["tutti._mpi"] = module
    return module


ext = load()

"""Finds the compiled extension tutti._mpi, which lies beside the package, beside the binary, or in a source tree."""

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


def load() -> ModuleType:
    """Loads the extension. ImportError says in one sentence how to get it."""
    found = sys.modules.get("tutti._mpi")
    if found is not None:
        return found
    if sys.version_info < (3, 11) or sys.implementation.name != "cpython":
        raise ImportError("message passing needs CPython 3.11 or later, this is " + sys.version.split()[0])
    path = next((p for p in places() if os.path.isfile(p)), None)
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

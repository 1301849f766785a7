"""The same names under the older package's name, with the places where programs look for them.

    from tutti import ipyparallel as ipp
"""

from __future__ import annotations

import sys
import types
from typing import Any

import tutti as _tutti

from . import errors as error

__all__ = list(_tutti.__all__)

# The modules of the older package, and the ones here that have their names.
_PLACES = {
    "error": "errors",
    "client": None,
    "client.client": "client",
    "client.view": "view",
    "client.asyncresult": "asyncresult",
    "client.remotefunction": "remotefunction",
    "client.magics": "magics",
    "cluster": "cluster",
    "cluster.cluster": "cluster",
    "controller": None,
    "controller.dependency": "dependency",
    "joblib": "joblib",
    "serialize": "_compat",
    "datapub": "_compat",
    "util": "_compat",
}


class _Place(types.ModuleType):
    """A module of the older package: its names are found in the one that has them now."""

    def __init__(self, name: str, target: Any) -> None:
        super().__init__(__name__ + "." + name, "As in IPython Parallel.")
        self.__dict__["_target"] = target
        self.__path__: list = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        full = self.__name__ + "." + name
        if full in sys.modules:
            return sys.modules[full]
        target = self.__dict__["_target"]
        if target is not None:
            from importlib import import_module

            return getattr(import_module("tutti." + target), name)
        return getattr(_tutti, name)


__path__: list = []  # it has modules of its own, such as ipyparallel.error

for _name, _target in _PLACES.items():
    sys.modules[__name__ + "." + _name] = error if _name == "error" else _Place(_name, _target)


def __getattr__(name: str) -> Any:
    place = sys.modules.get(__name__ + "." + name)
    if place is not None:
        return place
    return getattr(_tutti, name)


def __dir__() -> Any:
    return sorted(set(dir(_tutti)) | {n for n in _PLACES if "." not in n})

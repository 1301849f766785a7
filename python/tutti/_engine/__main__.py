"""Makes an engine of this interpreter: its `__main__` is the user's, and empty."""

import sys
import types

_old = sys.modules["__main__"]
_main = types.ModuleType("__main__")
_main.__dict__["__builtins__"] = __builtins__
sys.modules["__main__"] = _main

from . import driver  # noqa: E402

driver.main(_main.__dict__)

"""Functions that run as ranks: several engines are the world of one call, and are themselves again afterwards."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Sequence


def call(
    f: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
    world: Optional[Dict[str, Any]],
) -> Any:
    """Call f as a rank of a world; with the option "comm" its first argument is the communicator.

    A rank that raises revokes the world, so that no other one waits for it.
    """
    if not options.get("comm"):
        return f(*args, **kwargs)
    if world is None:
        raise RuntimeError("the function wants a communicator, and its task asks for no ranks")
    if not world["path"]:
        raise RuntimeError("the world of %d engines has no shared memory for messages" % len(world["engines"]))
    from .. import mpi

    with mpi.join(world["path"], world["rank"], len(world["engines"])) as joined:
        return f(joined.comm, *args, **kwargs)


def kind(e: BaseException) -> str:
    """The kind of a failure: "revoked" when it came only of another rank's."""
    seen = set()
    while e is not None and id(e) not in seen:
        seen.add(id(e))
        if type(e).__module__.startswith("tutti.mpi") and getattr(e, "kind", "") == "revoked":
            return "revoked"
        e = e.__cause__ or e.__context__  # type: ignore[assignment]
    return "failed"

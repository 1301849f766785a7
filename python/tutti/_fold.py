"""Output of many ranks, with what is the same shown once.

A `Folder` takes what each rank writes, piece by piece, and gives lines with the ranks that wrote them: line n of
each stream of each rank is compared with line n of the others. It waits a little for the slower ones, and
never holds a line for longer than that. No clock and no file: the caller says what time it is.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Sequence, Tuple

__all__ = ["Folder", "label", "parse_ranks", "render"]

Line = Tuple[Tuple[int, ...], str, str]  # ranks, stream, text of a line or block, with its line end


def label(ranks: Iterable[int]) -> str:
    """Ranks in brackets: `[0-3]`, `[0,2,5-7]`."""
    parts: List[str] = []
    ordered = sorted(set(ranks))
    start = previous = None
    for r in ordered + [None]:  # type: ignore[list-item]
        if previous is not None and r == previous + 1:
            previous = r
            continue
        if start is not None:
            parts.append(str(start) if start == previous else "%d%s%d" % (start, "," if previous == start + 1 else "-", previous))
        start = previous = r
    return "[%s]" % ",".join(parts)


def parse_ranks(text: str, size: int) -> List[int]:
    """The ranks that `0,2-5,-1` or `::2` names, in order; ValueError for others than there are."""
    text = text.strip()
    if text in ("all", "*", ":"):
        return list(range(size))
    found: List[int] = []
    for part in text.replace(" ", ",").split(","):
        if not part:
            continue
        if ":" in part:
            bounds = [int(b) if b else None for b in part.split(":")]
            found += range(size)[slice(*bounds)]
            continue
        first, dash, last = part[1:].partition("-")
        low = int(part[0] + first)
        high = int(last) if dash else low
        for r in range(low, high + 1) if high >= low else ():
            if not -size <= r < size:
                raise ValueError("there is no rank %d of %d" % (r, size))
            found.append(r % size)
    if not found:
        raise ValueError("%r names no rank" % text)
    return list(dict.fromkeys(found))


class _Stream:
    """What one rank has written to one stream and has not been shown: whole lines, and the rest."""

    __slots__ = ("lines", "rest", "since")

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.rest = ""
        self.since = 0.0  # when the oldest of it came


class Folder:
    """Folds the output of `ranks`. A line waits for those of the others for at most `patience` seconds."""

    def __init__(self, ranks: Sequence[int], patience: float = 0.1) -> None:
        self.ranks, self.patience = list(ranks), patience
        self._open = set(ranks)
        self._streams: Dict[Tuple[int, str], _Stream] = {}

    def feed(self, rank: int, stream: str, text: str, now: float) -> None:
        """The rank has written text to a stream ("stdout", "stderr", "result", "error")."""
        s = self._streams.setdefault((rank, stream), _Stream())
        if not s.lines and not s.rest:
            s.since = now
        pieces = (s.rest + text).split("\n")
        s.rest = pieces.pop()
        s.lines += [p + "\n" for p in pieces]

    def block(self, rank: int, stream: str, text: str, now: float) -> None:
        """The rank has written some lines that belong together: they are compared, and shown, as one."""
        s = self._streams.setdefault((rank, stream), _Stream())
        if not s.lines and not s.rest:
            s.since = now
        s.lines.append(text if text.endswith("\n") else text + "\n")

    def close(self, rank: int) -> None:
        """The rank will write no more: nobody waits for it."""
        self._open.discard(rank)

    def take(self, now: float, final: bool = False) -> List[Line]:
        """The lines that can be shown now; all there is, if this is the end."""
        out: List[Line] = []
        for stream in sorted({s for _, s in self._streams}, key=_rank_of_stream):
            while True:
                line = self._next(stream, now, final)
                if line is None:
                    break
                out += line
        return out

    def waits_until(self) -> Optional[float]:
        """When `take` will have something that it does not give now; None if nothing is held."""
        held = [s.since for s in self._streams.values() if s.lines or s.rest]
        return min(held) + self.patience if held else None

    def _next(self, stream: str, now: float, final: bool) -> Optional[List[Line]]:
        """The first lines of all ranks, grouped, if nothing is to be waited for."""
        heads: Dict[str, List[int]] = {}
        waiting, late = False, False
        for rank in self.ranks:
            s = self._streams.get((rank, stream))
            if s is not None and not s.lines and s.rest and (final or rank not in self._open):
                s.lines, s.rest = [s.rest + "\n"], ""  # the last line, without its end
            if s is not None and s.lines:
                heads.setdefault(s.lines[0], []).append(rank)
                late = late or now - s.since >= self.patience
            elif rank in self._open:
                waiting = True
        if not heads or (waiting and not final and not late):
            return None
        for ranks in heads.values():
            for rank in ranks:
                s = self._streams[rank, stream]
                s.lines.pop(0)
                s.since = now if s.lines else s.since
        return [(tuple(ranks), stream, text) for text, ranks in sorted(heads.items(), key=lambda item: item[1])]


def _rank_of_stream(stream: str) -> int:
    order = ("stdout", "stderr", "result", "error")
    return order.index(stream) if stream in order else len(order)


def render(lines: Sequence[Line], everybody: int = 0) -> List[str]:
    """Lines as they are shown: the ranks in front. Where one rank is all there is, nothing is in front."""
    if everybody == 1:
        return [text for _, _, text in lines]
    return ["%s %s" % (label(ranks), part) for ranks, _, text in lines for part in text.splitlines(True)]

"""Groups: ordered sets of ranks, without messages. All operations are local."""

from __future__ import annotations


from ._error import invalid
from ._types import IDENT, PROC_NULL, SIMILAR, UNDEFINED, UNEQUAL

TYPE_CHECKING = False  # importing typing would take a tenth of the time that a program has to begin
if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence


class Group:
    """An ordered set of ranks of one world. It is not changed once it is made."""

    def __init__(self, members: Iterable[int] = (), me: int = UNDEFINED) -> None:
        self._members = tuple(members)  # ranks in the world
        self._me = me  # the calling rank in the world

    def _with(self, members: Iterable[int]) -> Group:
        return Group(members, self._me)

    def Get_size(self) -> int:
        """The number of ranks."""
        return len(self._members)

    def Get_rank(self) -> int:
        """The calling rank's place, UNDEFINED if it is not in the group."""
        return self._members.index(self._me) if self._me in self._members else UNDEFINED

    size = property(Get_size)
    rank = property(Get_rank)

    def Incl(self, ranks: Sequence[int]) -> Group:
        """The group of these ranks, in this order."""
        ranks = [int(r) for r in ranks]
        if len(set(ranks)) != len(ranks) or any(not 0 <= r < self.size for r in ranks):
            raise invalid("Group.Incl", f"ranks {ranks} of a group of {self.size}: one does not exist or is named twice", 6)
        return self._with(self._members[r] for r in ranks)

    def Excl(self, ranks: Sequence[int]) -> Group:
        """The group without these ranks."""
        return self.Difference(self, self.Incl(ranks))

    def Range_incl(self, ranges: Sequence[tuple[int, int, int]]) -> Group:
        """Incl of the ranks of triplets (first, last, stride), last included."""
        return self.Incl(_expand(ranges))

    def Range_excl(self, ranges: Sequence[tuple[int, int, int]]) -> Group:
        """Excl of the ranks of triplets (first, last, stride), last included."""
        return self.Excl(_expand(ranges))

    @classmethod
    def Union(cls, group1: Group, group2: Group) -> Group:
        """group1, followed by the ranks of group2 that are not in it."""
        return group1._with(group1._members + tuple(m for m in group2._members if m not in group1._members))

    @classmethod
    def Intersection(cls, group1: Group, group2: Group) -> Group:
        """The ranks of group1 that are in group2 too."""
        return group1._with(m for m in group1._members if m in group2._members)

    @classmethod
    def Difference(cls, group1: Group, group2: Group) -> Group:
        """The ranks of group1 that are not in group2."""
        return group1._with(m for m in group1._members if m not in group2._members)

    Intersect = Intersection

    @classmethod
    def Compare(cls, group1: Group, group2: Group) -> int:
        """IDENT, SIMILAR (the same ranks in another order) or UNEQUAL."""
        if group1._members == group2._members:
            return IDENT
        return SIMILAR if sorted(group1._members) == sorted(group2._members) else UNEQUAL

    def Translate_ranks(self, ranks: Sequence[int] | None = None, group: Group | None = None) -> list[int]:
        """The ranks in `group` of ranks of this one, UNDEFINED where they are not in it."""
        other = group if group is not None else self
        out = []
        for r in range(self.size) if ranks is None else ranks:
            if r == PROC_NULL:
                out.append(PROC_NULL)
                continue
            if not 0 <= r < self.size:
                raise invalid("Group.Translate_ranks", f"the group of {self.size} has no rank {r}", 6)
            m = self._members[r]
            out.append(other._members.index(m) if m in other._members else UNDEFINED)
        return out

    def Dup(self) -> Group:
        """The same group."""
        return self._with(self._members)

    def Free(self) -> None:
        """Nothing is to be done."""

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Group) and self._members == other._members

    def __hash__(self) -> int:
        return hash(self._members)

    def __bool__(self) -> bool:
        return self is not GROUP_NULL

    def __repr__(self) -> str:
        return f"<tutti.mpi.Group of {self.size}>"


def _expand(ranges: Sequence[tuple[int, int, int]]) -> list[int]:
    out: list[int] = []
    for first, last, stride in ranges:
        if stride == 0:
            raise invalid("Group", "a range of ranks with stride 0")
        out.extend(range(first, last + (1 if stride > 0 else -1), stride))
    return out


GROUP_NULL = Group()
GROUP_EMPTY = Group()

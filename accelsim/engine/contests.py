"""Contests: which of the arrays that share a layer went first at the DRAM, and by how much.

Who has the most of the layer left goes first. By how much more does not matter, so arrays whose
shares of work drift apart go on as before, turn after turn, until one of them would overtake
another. A leap may last till then.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Contender(Protocol):
    """Who has so many cycles of its layer `left`."""

    @property
    def left(self) -> int:
        """Cycles of its tasks of that layer, from the one that it asks for."""


Pair = tuple[Contender, Contender]
"""Who went first, and who then did not."""

NO_LIMIT = 1 << 62


@dataclass(frozen=True, slots=True)
class Lead:
    """How far a period lets one stay ahead of another.

    At its start it was ahead by `gap` cycles, in contests by `least` more than that at least, and
    at its end by `change` more.
    """

    gap: int
    least: int
    change: int

    def times(self, gap: int) -> int:
        """How often the period can pass from now on, when it is ahead by `gap` cycles.

        Only with the gap of then a lead of nothing is sure to win again.
        """
        lead, again = self.least + gap, gap == self.gap
        if not again and lead < 1:
            return 0
        if self.change >= 0:
            return NO_LIMIT
        return max((lead - 1) // -self.change + 1, int(again))


class Contests:
    """All contests so far: of each pair the leads that are less than all after them."""

    def __init__(self) -> None:
        self.count = 0
        self.leads: dict[Pair, tuple[list[int], list[int]]] = {}

    def note(self, first: Contender, others: Sequence[Contender]) -> None:
        """Somebody went before `others`."""
        self.count += 1
        for other in others:
            if other is not first:
                self.note_lead((first, other), first.left - other.left)

    def note_lead(self, pair: Pair, lead: int) -> None:
        """One of a pair was ahead by so many cycles."""
        when, least = self.leads.setdefault(pair, ([], []))
        while least and least[-1] >= lead:
            least.pop()
            when.pop()
        when.append(self.count)
        least.append(lead)

    def since(self, count: int) -> dict[Pair, int]:
        """The least lead of each pair that has met since there were `count` contests."""
        found = {}
        for pair, (when, least) in self.leads.items():
            at = bisect_right(when, count)
            if at < len(least):
                found[pair] = least[at]
        return found

    def between(
        self, count: int, before: Mapping[Contender, int], now: Mapping[Contender, int]
    ) -> dict[Pair, Lead]:
        """The leads since there were `count` contests, and so much left `before` and `now`."""
        found = {}
        for pair, least in self.since(count).items():
            gap, after = (left[pair[0]] - left[pair[1]] for left in (before, now))
            found[pair] = Lead(gap, least - gap, after - gap)
        return found

    def repeat(self, times: int, leads: Mapping[Pair, Lead]) -> None:
        """The contests of a period come again so many times, from now on."""
        if leads:
            self.count += 1
        for pair, lead in leads.items():
            first = pair[0].left - pair[1].left + lead.least
            self.note_lead(pair, min(first, first + (times - 1) * lead.change))

"""A graph in layers: who reads another's result lies below it, and edges go down from row to row.

Sugiyama's way (IEEE Trans. SMC 11(2), 1981): rows by the longest path, bends where an edge passes
rows, the order within a row by the mean place of its neighbours, then places near theirs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Sources = Mapping[str, Sequence[str]]
"""By node, in an order that can run, the nodes that it reads."""

Spot = tuple[str, str, int]
"""A node, or where the edge from a node to another passes a row."""

_SWEEPS = 6
_BEND = 0.12
"""How wide a passing edge is, in widths of a node."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where nodes are: (across, row), in widths of a node; routes are such points of each edge."""

    places: Mapping[str, tuple[float, int]]
    routes: tuple[tuple[tuple[float, int], ...], ...]

    @property
    def width(self) -> float:
        """From the left of all to the right of the last node or edge, in widths of a node."""
        nodes = (x + 0.5 for x, _ in self.places.values())
        edges = (x + _BEND / 2 for route in self.routes for x, _ in route)
        return max((*nodes, *edges), default=0.5)

    @property
    def rows(self) -> int:
        """Rows of nodes."""
        return max((row for _, row in self.places.values()), default=-1) + 1


def layered(sources: Sources) -> Layout:
    """A layout of the graph; the same for the same graph."""
    rows: dict[str, int] = {}
    for node, read in sources.items():
        rows[node] = max((rows[each] + 1 for each in read), default=0)
    chains = [_chain(source, node, rows) for node, read in sources.items() for source in read]
    levels: list[list[Spot]] = [[] for _ in range(max(rows.values(), default=-1) + 1)]
    for node, row in rows.items():
        levels[row].append((node, node, row))
    for chain in chains:
        for spot in chain[1:-1]:
            levels[spot[2]].append(spot)
    above, below = _neighbours(chains)
    _order(levels, above, below)
    places = _across(levels, above, below)
    left = min((x - _wide(spot) / 2 for spot, x in places.items()), default=0.0)
    at = {spot: round(x - left, 3) for spot, x in places.items()}
    return Layout(
        {node: (at[node, node, row], row) for node, row in rows.items()},
        tuple(tuple((at[spot], spot[2]) for spot in chain) for chain in chains),
    )


def _chain(source: str, node: str, rows: Mapping[str, int]) -> list[Spot]:
    """An edge, by all the rows that it passes."""
    between = [(source, node, row) for row in range(rows[source] + 1, rows[node])]
    return [(source, source, rows[source]), *between, (node, node, rows[node])]


Neighbours = dict[Spot, list[Spot]]


def _neighbours(chains: Iterable[Sequence[Spot]]) -> tuple[Neighbours, Neighbours]:
    """What each spot has in the row above, and below."""
    above: Neighbours = {}
    below: Neighbours = {}
    for chain in chains:
        for upper, lower in pairwise(chain):
            below.setdefault(upper, []).append(lower)
            above.setdefault(lower, []).append(upper)
    return above, below


def _order(levels: Sequence[list[Spot]], above: Neighbours, below: Neighbours) -> None:
    """Sort each row by the mean place of its neighbours, from above and from below in turn."""
    place = {spot: float(i) for level in levels for i, spot in enumerate(level)}
    for sweep in range(_SWEEPS):
        near, way = (below, levels[::-1]) if sweep % 2 else (above, levels)
        for level in way:
            mean = {spot: _mean(near.get(spot, [spot]), place) for spot in level}
            level.sort(key=mean.__getitem__)
            place |= {spot: float(i) for i, spot in enumerate(level)}


def _across(
    levels: Sequence[list[Spot]], above: Neighbours, below: Neighbours
) -> dict[Spot, float]:
    """Where each spot is: near its neighbours, and apart from those beside it."""
    x = {spot: place for level in levels for spot, place in _centred(level)}
    for sweep in range(2 * _SWEEPS):
        way = levels[::-1] if sweep % 2 else levels
        for level in way:
            near = {spot: _near(spot, above, below) for spot in level}
            x |= _apart(level, {spot: _mean(some, x) for spot, some in near.items()})
    return x


def _centred(level: Sequence[Spot]) -> Iterator[tuple[Spot, float]]:
    """Side by side, with 0 in their middle."""
    right = -sum(map(_wide, level)) / 2
    for spot in level:
        yield spot, right + _wide(spot) / 2
        right += _wide(spot)


def _near(spot: Spot, above: Neighbours, below: Neighbours) -> list[Spot]:
    """Its neighbours both ways: nodes where there are any, for these are to be straight."""
    found = [*above.get(spot, ()), *below.get(spot, ())]
    return [each for each in found if each[0] == each[1]] or found or [spot]


def _apart(level: Sequence[Spot], wanted: Mapping[Spot, float]) -> dict[Spot, float]:
    """Places near those that are wanted, none over another."""
    lefts, rights = dict[Spot, float](), dict[Spot, float]()
    gaps = [(_wide(a) + _wide(b)) / 2 for a, b in pairwise(level)]
    for place, spot in enumerate(level):
        least = lefts[level[place - 1]] + gaps[place - 1] if place else wanted[spot]
        lefts[spot] = max(wanted[spot], least)
    for place in range(len(level) - 1, -1, -1):
        spot, last = level[place], place == len(level) - 1
        most = wanted[spot] if last else rights[level[place + 1]] - gaps[place]
        rights[spot] = min(wanted[spot], most)
    return {spot: (lefts[spot] + rights[spot]) / 2 for spot in level}


def _wide(spot: Spot) -> float:
    return 1.0 if spot[0] == spot[1] else _BEND


def _mean(spots: Sequence[Spot], place: Mapping[Spot, float]) -> float:
    return sum(place[each] for each in spots) / len(spots)

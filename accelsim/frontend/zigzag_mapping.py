"""ZigZag's mappings: temporal orders, as tiles for the layers that have their extents.

A list of entries, each with `spatial_mapping` (`D1: [K, 32]`) and `temporal_ordering`, loops as
`[OX, 112]` from the innermost on; together they are all of a layer, else ZigZag rejects the order
(KULeuven-MICAS/zigzag, docs/source/mapping.rst). So an entry is meant for the layers whose extents
its loops multiply to, whatever it is called. One without an order leaves the layer to the search.

Orders name no memory: ZigZag puts as many of the innermost loops as fit into each. Here a tile of
all operands is on chip at a time: the spatial loops, and as many of the innermost temporal ones
as fit the buffers together. The loops outside must be those of tiles: pixels, filters and channels
with taps, each in one piece. The innermost of them says what stays.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import prod

from accelsim.errors import InputError, Problem
from accelsim.frontend.foreign_mapping import AXES, LARGEST, STAYS, Entries, Shape, Shaped
from accelsim.frontend.source import Data, Document

DIMS = {
    "B": "N",
    "K": "M",
    "C": "C",
    "OX": "Q",
    "OY": "P",
    "FX": "S",
    "FY": "R",
    "D": "D",
    "G": "G",
}
"""ZigZag's letters, and those of `AXES`; D is the rows of a Gemm's input, G groups."""

_KINDS = {**dict.fromkeys("NPQD", "pixels"), **dict.fromkeys("CRS", "channels"), "M": "filters"}

Loop = tuple[str, int]
"""The axis, by our letter, and how often it turns."""
Loops = list[Loop]


def is_zigzag(document: Document) -> bool:
    """Whether a YAML file is a mapping of ZigZag's: a list at the top."""
    return isinstance(document.root.data, list)


def read_zigzag(document: Document) -> list[Shaped]:
    """The entries with a temporal order; raises InputError with all that cannot be expressed."""
    entries = document.root.data
    assert isinstance(entries, list)
    found, problems = [], []
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not entry.get("temporal_ordering"):
            continue
        try:
            cases = _cases(entry)
        except ValueError as error:
            message = f"{entry.get('name', 'an entry')}: {error}"
            problems.append(_problem(document, place, message))
        else:
            found.append(Shaped(cases, _problem(document, place, "")))
    if problems or not found:
        message = "has no entry with a temporal_ordering, so it forces nothing"
        raise InputError(problems or Problem(message=message, source=document.source))
    return found


def _problem(document: Document, place: int, message: str) -> Problem:
    line, column = document.position((place,))
    return Problem(
        message=message, source=document.source, line=line, column=column, key="temporal_ordering"
    )


def _cases(entry: Mapping[str, Data]) -> dict[Shape, tuple[Entries, ...]]:
    """By shape the tiles from the largest on; raises ValueError for what cannot be expressed."""
    temporal = [_loop(each) for each in _listed(entry["temporal_ordering"])]
    spatial = [_loop(each) for each in _unrolled(entry.get("spatial_mapping"))]
    if any(axis == "G" and count > 1 for axis, count in (*temporal, *spatial)):
        raise ValueError("loops over groups (G) cannot be expressed")
    tiles = [*_tiles(spatial, temporal)]
    whole = _extents((*spatial, *temporal))
    if whole.pop("D") == 1:
        return {tuple(whole.values()): tuple(_entries(each, outer) for each, outer in tiles)}
    cases = {}
    for axis in "QPN":  # a Gemm's rows are columns or rows of pixels here, or a batch
        if whole[axis] == 1:
            shape = tuple((whole | {axis: _extents((*spatial, *temporal))["D"]}).values())
            cases[shape] = tuple(_entries(each, outer, axis) for each, outer in tiles)
    return cases


def _tiles(
    spatial: list[Loop], temporal: list[Loop]
) -> Iterator[tuple[dict[str, int], list[Loop]]]:
    """The extents of a tile and the loops outside of it, from the whole layer to no loop."""
    for inside in range(len(temporal), -1, -1):
        yield _extents((*spatial, *temporal[:inside])), temporal[inside:]


def _entries(tile: Mapping[str, int], outer: Sequence[Loop], gemm: str = "") -> Entries:
    """What a tile forces; `gemm` is the axis that D is on. `cannot` says why it is none."""
    kinds = [kind for kind, _ in groupby(_KINDS[axis] for axis, count in outer if count > 1)]
    if len(set(kinds)) < len(kinds):
        order = " inside ".join(kinds)
        return {"cannot": f"of loops over tiles each is in one piece, these are {order}"}
    said: dict[str, int | str] = {AXES[axis]: tile[axis] for axis in AXES}
    if gemm:
        said[AXES[gemm]] = tile["D"]
    turning = [axis for axis, count in outer if count > 1]
    if turning:
        said["order"] = STAYS.get(turning[0], "filter_stays")
    return said


def _extents(loops: Sequence[Loop]) -> dict[str, int]:
    """How far the loops go along each axis."""
    return {
        axis: min(prod(count for each, count in loops if each == axis), LARGEST)
        for axis in (*AXES, "D")
    }


def _listed(value: Data) -> list[Data]:
    if not isinstance(value, list):
        raise ValueError("expected temporal_ordering to be a list such as [[OX, 112], [K, 2]]")
    return value


def _unrolled(value: Data) -> Iterator[Data]:
    """The loops of all dimensions of the array."""
    for loops in value.values() if isinstance(value, dict) else ():
        if isinstance(loops, list):
            pair = len(loops) == 2 and str(loops[0]) in DIMS
            yield from [loops] if pair else loops
        else:
            yield loops


def _loop(value: Data) -> Loop:
    """`[OX, 112]` or `OX, 112`."""
    said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    match = re.fullmatch(r"([A-Z]+)\s*,\s*(\d{1,9})", said.strip())
    if "*" in said:
        raise ValueError(
            f"{said[:60]!r} leaves its count to ZigZag; write the counts that it found, such as "
            "[OX, 112]"
        )
    if match is None or match[1] not in DIMS or not int(match[2]):
        known = ", ".join(DIMS)
        raise ValueError(
            f"expected a loop such as [OX, 112] over one of {known}; found {said[:60]!r}"
        )
    return DIMS[match[1]], int(match[2])

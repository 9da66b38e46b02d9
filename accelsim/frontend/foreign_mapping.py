"""Mappings of other tools: ONNXim's lines and Timeloop's lists, as tile sizes for layers by shape.

ONNXim (`.mapping`): a line for each layer, `[T] N1 C64 M64 P56 Q56 S3 R3 - [O] ... - [I] ...`, all
of the loops, those over tiles and those in a tile. The latter are the tile.

Timeloop (YAML with a list `mapping`): factors by memory. What is inside the outermost memory is
the tile, and the outermost permutation, written from the innermost loop on, says what stays.
Bypasses, and levels below the buffers that hold a tile, have no counterpart: they are left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from accelsim.errors import InputError, Problem
from accelsim.frontend.source import Data, Document, read_text

ONNXIM = ".mapping"
AXES = {
    "N": "batch",
    "C": "channels",
    "M": "filters",
    "P": "rows",
    "Q": "cols",
    "R": "tap_rows",
    "S": "tap_cols",
}
"""Letters of the field, and what we call the axes; R is the window's extent along P."""
_STAYS = {**dict.fromkeys("CRS", "ofmap_stays"), "M": "ifmap_stays"}
"""Whose loop is innermost says what stays; else it is the filter."""
_LARGEST = 2**31

Shape = tuple[int, ...]
"""Extents in the order of `AXES`."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """What is forced on layers of a shape, and where that is said."""

    shape: Shape
    entries: Mapping[str, int | str]
    where: Problem


def read_onnxim(path: Path) -> list[Shaped]:
    """ONNXim's lines; raises InputError with every one that is none."""
    found, problems = [], []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        parts = {each[1:2]: each[3:] for each in re.split(r"\s+-\s+", line.strip())}
        if not {"T", "I"} <= parts.keys() or not line.strip().startswith("["):
            message = "expected [T] N1 C64 ... - [O] ... - [I] ..."
            problems.append(Problem(message, str(path), number))
            continue
        total, tile = _counts(parts["T"]), _counts(parts["I"])
        sizes = {AXES[axis]: min(tile[axis], total[axis]) for axis in AXES}
        found.append(Shaped(tuple(total.values()), sizes, Problem("", str(path), number)))
    if problems or not found:
        raise InputError(problems or Problem("has no mapping", str(path)))
    return found


def _counts(text: str) -> dict[str, int]:
    """Extents by letter; 1 of a loop that is not there."""
    said = {axis: int(count[:10]) for axis, count in re.findall(r"([A-Z])(\d+)", text)}
    return {axis: min(max(said.get(axis, 1), 1), _LARGEST) for axis in AXES}


def is_timeloop(document: Document) -> bool:
    """Whether a YAML file is a mapping of Timeloop's."""
    return isinstance(document.data.get("mapping"), list)


def read_timeloop(document: Document) -> list[Shaped]:
    """The one layer of a Timeloop mapping; raises InputError."""
    levels = document.data["mapping"]
    assert isinstance(levels, list)
    problems: list[Problem] = []
    factors: list[tuple[str, dict[str, int], str]] = []
    for place, level in enumerate(levels):
        read = _level(level)
        if read is None:
            message = 'expected target, type, and factors such as "P=14 Q=14"'
            problems.append(document.problem(("mapping", place), message))
        elif read[1]:
            factors.append(read)
    if problems or not factors:
        raise InputError(problems or document.problem(("mapping",), "has no factors"))
    outermost = factors[0][0]
    total = {axis: prod(each[axis] for _, each, _ in factors) for axis in AXES}
    inside = [each for target, each, _ in factors if target != outermost]
    tile = {axis: prod(each[axis] for each in inside) for axis in AXES}
    entries: dict[str, int | str] = {AXES[axis]: tile[axis] for axis in AXES}
    order = [order for target, _, order in factors if target == outermost and order]
    turning = [axis for axis in "".join(order[:1]) if axis in AXES and total[axis] > tile[axis]]
    if turning:
        entries["order"] = _STAYS.get(turning[0], "filter_stays")
    return [Shaped(tuple(total.values()), entries, document.problem(("mapping",), ""))]


def _level(level: Data) -> tuple[str, dict[str, int], str] | None:
    """A level's target, factors and permutation; no factors for a bypass, None for what is none."""
    if not isinstance(level, dict) or "target" not in level:
        return None
    if level.get("type") in ("bypass", "datatype"):
        return str(level["target"]), {}, ""
    written = level.get("factors")
    said = " ".join(map(str, written)) if isinstance(written, list) else str(written or "")
    pairs = re.findall(r"([A-Z])\s*=?\s*(\d{1,9})", said.replace("K", "M"))
    if not pairs:
        return None
    factors = dict.fromkeys(AXES, 1) | {axis: int(n) for axis, n in pairs if axis in AXES}
    return str(level["target"]), factors, str(level.get("permutation") or "").replace("K", "M")


def unmatched(shaped: Sequence[Shaped], shapes: Sequence[Shape]) -> Iterator[Problem]:
    """A problem for each shape that no layer has."""
    for each in shaped:
        if each.shape not in shapes:
            said = " ".join(f"{axis}{n}" for axis, n in zip(AXES, each.shape, strict=True))
            message = f"no layer has the shape {said} (N is the batch, M the filters)"
            where = each.where
            yield Problem(message, where.source, where.line, where.column, where.key)

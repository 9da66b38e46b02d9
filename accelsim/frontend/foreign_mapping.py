"""Mappings of other tools as tile sizes for layers by shape; ZigZag's are read by `zigzag_mapping`.

ONNXim (`.mapping`): a line for each layer, `[T] N1 C64 M64 P56 Q56 S3 R3 - [O] ... - [I] ...`, all
of the loops, those over tiles and those in a tile. The latter are the tile.

Timeloop (YAML with a list `mapping`): factors by memory. What is inside the outermost memory is
the tile, and the outermost permutation, written from the innermost loop on, says what stays.
People list the outermost memory first, the mapper's output has it last: it is the one of these
whose name is of a memory off the chip, else the first. A mapping of one memory alone has all in one
tile. P and R are rows, as pytorch2timeloop writes them. Bypasses, and levels below the buffers that
hold a tile, have no counterpart: they are left out.

PyTorchSim (JSON): `{"512_2048_8192": {"TILE_M": 512, "TILE_K": 512, "TILE_N": 1024}}`, by the M, N
and K of a GEMM (its README, "Manual setting"). Its template's loops run over K within N within M,
so that psums stay (PyTorchSimFrontend/mlir/mlir_gemm_template.py). Tiles are read by their names;
that template takes three values in the order M, N, K, whatever they are called. `SUB_TILE_*`,
parts of a transfer, have no counterpart: they are left out. Convolutions cannot be given there.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

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
STAYS = {**dict.fromkeys("CRS", "ofmap_stays"), "M": "ifmap_stays"}
"""Whose loop is innermost says what stays; else it is the filter."""
LARGEST = 2**31

Shape = tuple[int, ...]
"""Extents in the order of `AXES`."""
Entries = Mapping[str, int | str]
"""Sizes of a tile by axis, and the order of the loops over tiles."""
PYTORCHSIM = re.compile(r"\d{1,9}_\d{1,9}_\d{1,9}")
"""M_N_K of a GEMM."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """What is forced on layers by their shape, and where that is said.

    Of several entries the first is meant whose tile fits the machine's buffers, or the last.
    """

    cases: Mapping[Shape, tuple[Entries, ...]]
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
            problems.append(Problem(message=message, source=str(path), line=number))
            continue
        total, tile = _counts(parts["T"]), _counts(parts["I"])
        sizes = {AXES[axis]: min(tile[axis], total[axis]) for axis in AXES}
        where = Problem(message="", source=str(path), line=number)
        found.append(Shaped({tuple(total.values()): (sizes,)}, where))
    if problems or not found:
        raise InputError(problems or Problem(message="has no mapping", source=str(path)))
    return found


def _counts(text: str) -> dict[str, int]:
    """Extents by letter; 1 of a loop that is not there."""
    said = {axis: int(count[:10]) for axis, count in re.findall(r"([A-Z])(\d+)", text)}
    return {axis: min(max(said.get(axis, 1), 1), LARGEST) for axis in AXES}


def is_timeloop(document: Document) -> bool:
    """Whether a YAML file is a mapping of Timeloop's."""
    return isinstance(document.data.get("mapping"), list)


def read_timeloop(document: Document) -> list[Shaped]:
    """The one layer of a Timeloop mapping; raises InputError."""
    levels = document.data["mapping"]
    assert isinstance(levels, list)
    problems: list[Problem] = []
    factors: list[_Level] = []
    for place, level in enumerate(levels):
        read = _level(level)
        if read is None:
            message = 'expected target, type, and factors such as "P=14 Q=14"'
            problems.append(document.problem(("mapping", place), message))
        elif read.factors:
            factors.append(read)
    if problems or not factors:
        raise InputError(problems or document.problem(("mapping",), "has no factors"))
    outermost = _outermost(factors)
    total = {axis: prod(each.factors[axis] for each in factors) for axis in AXES}
    outside = [each for each in factors if each.target == outermost and not each.is_spatial]
    turns = {axis: prod(each.factors[axis] for each in outside) for axis in AXES}
    tile = {axis: total[axis] // max(turns[axis], 1) for axis in AXES}
    entries: dict[str, int | str] = {AXES[axis]: tile[axis] for axis in AXES}
    order = [each.permutation for each in outside if each.permutation]
    turning = [axis for axis in "".join(order[:1]) if axis in AXES and total[axis] > tile[axis]]
    if turning:
        entries["order"] = STAYS.get(turning[0], "filter_stays")
    return [Shaped({tuple(total.values()): (entries,)}, document.problem(("mapping",), ""))]


class _Level(NamedTuple):
    """A level of a Timeloop mapping; a bypass has no factors."""

    target: str
    factors: dict[str, int]
    permutation: str
    is_spatial: bool = False


def _outermost(levels: Sequence[_Level]) -> str:
    """The memory outside of all tiles; "" where there is only one, in which all is one tile."""
    first, last = levels[0].target, levels[-1].target
    if all(each.target == first for each in levels):
        return ""
    return last if _OFF_CHIP.search(last) and not _OFF_CHIP.search(first) else first


_OFF_CHIP = re.compile("dram|ddr|hbm|main.?mem|off.?chip|backing", re.IGNORECASE)
"""What a memory off the chip is called."""


def _level(level: Data) -> _Level | None:
    """A level, None for what is none."""
    if not isinstance(level, dict) or "target" not in level:
        return None
    target, kind = str(level["target"]), level.get("type")
    if kind in ("bypass", "datatype"):
        return _Level(target, {}, "")
    written = level.get("factors")
    said = " ".join(map(str, written)) if isinstance(written, list) else str(written or "")
    pairs = re.findall(r"([A-Z])\s*=?\s*(\d{1,9})", said.replace("K", "M"))
    if not pairs:
        return None
    factors = dict.fromkeys(AXES, 1) | {axis: int(n) for axis, n in pairs if axis in AXES}
    permutation = str(level.get("permutation") or "").replace("K", "M")
    return _Level(target, factors, permutation, kind == "spatial")


def is_pytorchsim(document: Document) -> bool:
    """Whether a file is a mapping of PyTorchSim's."""
    keys = document.data.keys()
    return bool(keys) and all(PYTORCHSIM.fullmatch(key) for key in keys)


def read_pytorchsim(document: Document) -> list[Shaped]:
    """The GEMMs of a PyTorchSim mapping; raises InputError with every one that is none."""
    found, problems = [], []
    for key, tile in document.data.items():
        sizes = [tile.get(f"TILE_{axis}") for axis in "MNK"] if isinstance(tile, dict) else []
        if not sizes or not all(isinstance(each, int) and each > 0 for each in sizes):
            message = "expected TILE_M, TILE_N and TILE_K, sizes of at least 1"
            problems.append(document.problem((key,), message))
            continue
        extents = [min(max(int(each), 1), LARGEST) for each in key.split("_")]
        pairs = zip(sizes, extents, strict=True)
        m, n, k = (min(int(str(size)), extent) for size, extent in pairs)
        said: Entries = {"filters": n, "channels": k, "order": "ofmap_stays"}
        found.append(Shaped(_products(extents, m, said), document.problem((key,), "")))
    if problems:
        raise InputError(problems)
    return found


def _products(extents: Sequence[int], size: int, said: Entries) -> dict[Shape, tuple[Entries, ...]]:
    """The shapes that a GEMM of M, N, K has here: M is a batch, or rows or columns of pixels."""
    m, n, k = extents
    shapes = {"cols": (1, k, n, 1, m, 1, 1), "rows": (1, k, n, m, 1, 1, 1)}
    shapes["batch"] = (m, k, n, 1, 1, 1, 1)
    return {shape: ({**said, axis: size},) for axis, shape in shapes.items()}


def unmatched(shaped: Sequence[Shaped], shapes: Sequence[Shape]) -> Iterator[Problem]:
    """A problem for each shape that no layer has."""
    for each in shaped:
        if each.cases.keys().isdisjoint(shapes):
            shape = [*each.cases][-1]
            said = " ".join(f"{axis}{n}" for axis, n in zip(AXES, shape, strict=True))
            message = f"no layer has the shape {said} (N is the batch, M the filters)"
            where = each.where
            yield Problem(
                message=message,
                source=where.source,
                line=where.line,
                column=where.column,
                key=where.key,
            )

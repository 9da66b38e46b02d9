"""A layer cut by hand into several: a legal schedule of the whole, so a bound on what that takes.

The pieces are layers of their own, each played alone, one after another. Where a sum is cut, each
piece but the first reads the psums of the one before, and that time is added.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

import numpy as np
from numpy.random import Generator
from search_cases import Case, LayerCase, chance, large_case, mid_case

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Buffer, Hardware, Precision
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.network.ops import Conv, Dense, MatMul, Window
from accelsim.results.player import Player

SUMS = ("channels", "tap_rows", "tap_cols")
"""Axes along which pieces are added up."""

FLOATS = Precision(ifmap="float32", filter="float32", psum="float32", ofmap="float32")


# --- Pieces ---------------------------------------------------------------------------------------


def axes_of(layer: LayerCase) -> dict[str, int]:
    """What a layer can be cut along, and its size there; filters and channels of one group."""
    kernel = layer.kernel
    axes = {"images": layer.batch, "filters": kernel.filters, "channels": kernel.channels}
    if isinstance(layer.op, Conv):
        axes |= {"groups": kernel.groups, "cols": kernel.cols.outputs}
        axes |= {"tap_rows": kernel.rows.kernel, "tap_cols": kernel.cols.kernel}
    if len(layer.inputs[0]) > 1:
        axes["rows"] = kernel.rows.outputs
    return {axis: total for axis, total in axes.items() if total > 1}


def piece(layer: LayerCase, axis: str, start: int, stop: int) -> LayerCase | None:
    """Indices [start, stop) of an axis as a layer; None if it would read nothing but padding."""
    size = stop - start
    if axis == "images":
        return replace(layer, batch=size)
    match layer.op:
        case Conv():
            return _conv_piece(layer, layer.op, axis, start, stop)
        case Dense():
            return _dense_piece(layer, layer.op, axis, size)
        case MatMul():
            (m, k), (_, n) = layer.inputs
            m, n, k = (
                size if axis == name else total
                for name, total in (("rows", m), ("filters", n), ("channels", k))
            )
            return replace(layer, inputs=((m, k), (k, n)))
    raise AssertionError(f"{layer.op.name} is no GEMM")


def _dense_piece(layer: LayerCase, op: Dense, axis: str, size: int) -> LayerCase:
    *rows, features = layer.inputs[0]
    if axis == "filters":
        return replace(layer, op=replace(op, out_features=size))
    return replace(layer, inputs=((size, features) if axis == "rows" else (*rows, size),))


def _conv_piece(layer: LayerCase, op: Conv, axis: str, start: int, stop: int) -> LayerCase | None:
    ((channels, height, width),) = layer.inputs
    kernel, size = layer.kernel, stop - start
    if axis == "filters":
        return replace(layer, op=replace(op, out_channels=kernel.groups * size))
    if axis == "channels":
        return replace(layer, inputs=((kernel.groups * size, height, width),))
    if axis == "groups":
        op = replace(op, groups=size, out_channels=size * kernel.filters)
        return replace(layer, op=op, inputs=((size * kernel.channels, height, width),))
    down = _region(kernel.rows, axis == "rows", axis == "tap_rows", start, stop)
    across = _region(kernel.cols, axis == "cols", axis == "tap_cols", start, stop)
    if not down[0] or not across[0]:
        return None
    op = replace(op, kernel=(down[1], across[1]), padding=(*down[2:], *across[2:]))
    return replace(layer, op=op, inputs=((channels, down[0], across[0]),))


def _region(
    window: Window, outputs: bool, taps: bool, start: int, stop: int
) -> tuple[int, int, int, int]:
    """Input elements, taps, padding before and after, of some `outputs` or `taps` of a window."""
    first, last = (start, stop) if outputs else (0, window.outputs)
    tap, end = (start, stop) if taps else (0, window.kernel)
    begins = first * window.stride + tap * window.dilation - window.before
    ends = (last - 1) * window.stride + (end - 1) * window.dilation + 1 - window.before
    inside = min(max(begins, 0), window.size), min(max(ends, 0), window.size)
    if inside[1] <= inside[0]:
        return 0, end - tap, 0, 0
    return inside[1] - inside[0], end - tap, inside[0] - begins, ends - inside[1]


def pieces(layer: LayerCase, axis: str, sizes: Sequence[int]) -> Counter[LayerCase] | None:
    """The layer cut into `sizes` along an axis; None if a piece would read only padding."""
    edges = np.cumsum([0, *sizes]).tolist()
    assert edges[-1] == axes_of(layer)[axis]
    made = [piece(layer, axis, start, stop) for start, stop in pairwise(edges)]
    kept = [each for each in made if each is not None]
    assert None in made or axis in SUMS or sum(e.kernel.macs for e in kept) == layer.kernel.macs
    return Counter(kept) if len(kept) == len(made) else None


# --- Time -----------------------------------------------------------------------------------------


def played(program: Program) -> int:
    """Cycles from the first to the last of a program."""
    return Player().cycles(program)


def lowered(layer: LayerCase, hardware: Hardware) -> Program:
    """A layer as `simulate` lowers it."""
    return lower(layer.network, hardware, layer.batch, played=played)


def alone(layer: LayerCase, hardware: Hardware) -> int:
    """Cycles of a layer by itself."""
    return played(lowered(layer, hardware))


def psums_again(layer: LayerCase, hardware: Hardware) -> float:
    """Cycles, at most, to bring the psums of an ofmap in again, as its own words.

    From DRAM as its stores go there, and from the buffer to the array.
    """
    program = lowered(layer, hardware)
    stores = sum(
        times * program.target.occupied_cycles(step.store)
        for steps in program.layers[0].steps
        for step, times in steps
        if step.store
    )
    space = program.target.buffers[program.target.buffer_index("psum")]
    words = layer.batch * program.layers[0].layer.output_elements
    read = words * program.target.bytes_of("psum") / (space.bytes_per_cycle or np.inf)
    return float(stores + program.target.dram_latency + read)


def one_by_one(made: Counter[LayerCase], hardware: Hardware, sums: bool) -> float:
    """Cycles of all pieces, each alone, added up."""
    work = sum(times * alone(layer, hardware) for layer, times in made.items())
    if not sums:
        return work
    again = [psums_again(layer, hardware) for layer, times in made.items() for _ in range(times)]
    return work + sum(again) - min(again)


def for_sums(hardware: Hardware) -> Hardware:
    """The machine with words of one width, and psums in the buffer of the ofmap.

    So an unfinished sum takes the room and the transfers that a finished one takes.
    """
    buffers: dict[str, Buffer] = {}
    for name, buffer in hardware.buffers.items():
        holds = tuple(operand for operand in buffer.holds if operand != "psum")
        if "ofmap" in holds:
            holds = (*holds, "psum")
        if holds:
            buffers[name] = buffer.model_copy(update={"holds": holds})
    return hardware.model_copy(update={"buffers": buffers, "precision": FLOATS})


# --- Cases ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CutCase:
    """A layer on a machine, and the sizes that it is cut into along an axis."""

    case: Case
    axis: str
    sizes: tuple[int, ...]

    def __str__(self) -> str:
        told = ", ".join(f"{size} x{times}" for size, times in Counter(self.sizes).items())
        return f"{self.case} cut along {self.axis} into {told}"

    def ratio(self) -> float:
        """Cycles of the whole over those of its pieces; 0 if it cannot be told, a piece not fits.

        Infinite if the whole does not fit, and the pieces do.
        """
        made = pieces(self.case.layer, self.axis, self.sizes)
        if made is None:
            return 0.0
        try:
            cut = one_by_one(made, self.case.hardware, self.axis in SUMS)
        except DoesNotFitError:
            return 0.0
        try:
            return alone(self.case.layer, self.case.hardware) / cut
        except DoesNotFitError:
            return float("inf")


def _lies_the_same(layer: LayerCase, axis: str) -> bool:
    """Whether a piece's bytes lie in DRAM as they do in the whole: there are no other gaps."""
    simple = layer.batch == 1 and layer.kernel.groups == 1 and not layer.kernel.filter_is_input
    return axis == "images" or (simple and axis in ("filters", "channels"))


def _sizes(total: int, rng: Generator) -> tuple[int, ...]:
    """Two of any size, or up to 16 even ones."""
    if chance(rng, 0.4):
        first = int(rng.integers(1, total))
        return first, total - first
    size = -(-total // int(rng.integers(2, 17)))
    rest = total % size
    return (size,) * (total // size) + ((rest,) if rest else ())


def _drawn(seed: int, number: int, attempt: int, one_more: bool) -> CutCase | None:
    """A drawn layer and where it is cut; None if there is nowhere.

    On a DRAM with a data sheet, only such cuts as leave gaps between bytes as they are.
    """
    rng = np.random.default_rng([seed, number, attempt, 2 + one_more])
    draw = mid_case if number % 4 == 0 else large_case
    case = draw(seed, int(rng.integers(10**6)))
    timed = case.hardware.dram.timing is not None
    axes = [
        (axis, total)
        for axis, total in axes_of(case.layer).items()
        if not timed or _lies_the_same(case.layer, axis)
    ]
    if not axes:
        return None
    axis, total = axes[rng.integers(len(axes))]
    if axis in SUMS:
        case = replace(case, hardware=for_sums(case.hardware))
    kind = "one more" if one_more else "cut"
    sizes = (total - 1, 1) if one_more else _sizes(total, rng)
    return CutCase(replace(case, name=f"{kind}, seed {seed}, number {number}"), axis, sizes)


def cut_case(seed: int, number: int, one_more: bool = False) -> CutCase:
    """A layer, mid-sized or large, and where it is cut; `one_more`: one is all that is cut off."""
    drawn = (_drawn(seed, number, attempt, one_more) for attempt in count())
    return next(cut for cut in drawn if cut is not None)

"""The tiled loop nest walked turn by turn, with one tile of each operand on chip.

An ifmap tile is the rectangle around every element that the tile's MACs read, found by looking
at each tap. The counts are words between DRAM and the chip.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from accelsim.lowering.kernels import GemmKernel
from accelsim.network.ops import Window

Turn = dict[str, int]  # index of each axis' tile
AXES = ("batch", "groups", "rows", "cols", "filters", "channels", "tap_rows", "tap_cols")
LOOPS = {
    "pixels": ("batch", "rows", "cols"),
    "filters": ("filters",),
    "channels": ("channels", "tap_rows", "tap_cols"),
}


@dataclass(frozen=True)
class Nest:
    """A kernel with a tile size for each axis."""

    kernel: GemmKernel
    sizes: dict[str, int]

    def total(self, axis: str) -> int:
        kernel = self.kernel
        return {
            "batch": kernel.batch,
            "groups": kernel.groups,
            "rows": kernel.rows.outputs,
            "cols": kernel.cols.outputs,
            "filters": kernel.filters,
            "channels": kernel.channels,
            "tap_rows": kernel.rows.kernel,
            "tap_cols": kernel.cols.kernel,
        }[axis]

    def indices(self, axis: str, turn: Turn) -> range:
        """What a turn's tile covers of an axis."""
        start = turn[axis] * self.sizes[axis]
        return range(start, min(start + self.sizes[axis], self.total(axis)))

    def turns(self, order: Sequence[str]) -> Iterator[Turn]:
        """Every turn, groups outermost, then the loops in `order`."""
        axes = ["groups", *(axis for loop in order for axis in LOOPS[loop])]
        counts = [range(-(-self.total(axis) // self.sizes[axis])) for axis in axes]
        for chosen in product(*counts):
            yield dict(zip(axes, chosen, strict=True))

    def words(self, operand: str, turn: Turn) -> int:
        """Words of the turn's tile of an operand."""
        size = {axis: len(self.indices(axis, turn)) for axis in AXES}
        if operand == "ifmap":
            taps = self.indices("tap_rows", turn), self.indices("tap_cols", turn)
            rows = touched(self.kernel.rows, self.indices("rows", turn), taps[0])
            cols = touched(self.kernel.cols, self.indices("cols", turn), taps[1])
            return size["batch"] * size["groups"] * size["channels"] * rows * cols
        if operand == "filter":
            taps_of = size["tap_rows"] * size["tap_cols"]
            return size["groups"] * size["filters"] * size["channels"] * taps_of
        pixels = size["batch"] * size["rows"] * size["cols"]
        return size["groups"] * size["filters"] * pixels


def touched(window: Window, outputs: range, taps: range | None = None) -> int:
    """Input elements from the first to the last that the outputs read, looked up tap by tap."""
    pairs = product(outputs, range(window.kernel) if taps is None else taps)
    places = [o * window.stride + t * window.dilation - window.before for o, t in pairs]
    inside = range(window.size)
    lowest, highest = min(places), max(places)
    return len([place for place in inside if lowest <= place <= highest])


TILE_AXES = {
    "ifmap": ("batch", "groups", "rows", "cols", "channels", "tap_rows", "tap_cols"),
    "filter": ("groups", "filters", "channels", "tap_rows", "tap_cols"),
    "output": ("batch", "groups", "rows", "cols", "filters"),
}


def walk(nest: Nest, order: Sequence[str]) -> Counter[str]:
    """Words fetched and written by operand, when a tile stays until another takes its place."""
    return walk_turns(nest, list(nest.turns(order)))


def walk_turns(nest: Nest, turns: Sequence[Turn]) -> Counter[str]:
    """As `walk`, for the turns of one of several arrays."""
    moved: Counter[str] = Counter()
    held: dict[str, Turn | None] = dict.fromkeys(TILE_AXES)
    done: Counter[tuple[int, ...]] = Counter()  # turns over channels and taps, by output tile
    summed = LOOPS["channels"]
    channel_turns = len({tuple(turn[axis] for axis in summed) for turn in turns})

    def key(operand: str, turn: Turn) -> tuple[int, ...]:
        return tuple(turn[axis] for axis in TILE_AXES[operand])

    def put_away(turn: Turn) -> None:
        finished = done[key("output", turn)] == channel_turns
        moved["ofmap" if finished else "psum_out"] += nest.words("ofmap", turn)

    for turn in turns:
        for operand in ("ifmap", "filter"):
            before = held[operand]
            if before is None or key(operand, before) != key(operand, turn):
                moved[operand] += nest.words(operand, turn)
                held[operand] = turn
        before = held["output"]
        if before is None or key("output", before) != key("output", turn):
            if before is not None:
                put_away(before)
            if done[key("output", turn)]:
                moved["psum_in"] += nest.words("ofmap", turn)
            held["output"] = turn
        done[key("output", turn)] += 1
    if held["output"] is not None:
        put_away(held["output"])
    return moved

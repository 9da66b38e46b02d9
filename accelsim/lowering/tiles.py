"""How a layer is cut into tiles and shared out to arrays, and where a finished tile goes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from math import ceil
from typing import NamedTuple

from accelsim.dram.transfer import Runs
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.layout import Planes
from accelsim.lowering.schedule import Axis, Box, Boxes, Run, turns_of
from accelsim.lowering.target import Target
from accelsim.lowering.task import GemmTile, Keep, Pixels, Room, Span, Store
from accelsim.network.ops import Read, Stretch, Window
from accelsim.units import ceil_div


def ifmap_region(rows: Window, cols: Window, pixels: Pixels) -> tuple[Span, Span]:
    """The ifmap rows and columns that a block of the ofmap reads: halos included, padding not."""
    return ifmap_span(rows, pixels.rows), ifmap_span(cols, pixels.cols)


def ifmap_span(window: Window, outputs: Span) -> Span:
    """What some outputs of an axis read along it."""
    return Span(*window.span(outputs.start, outputs.stop))


def taps_of(kernel: GemmKernel, tile: GemmTile) -> tuple[Window, Window]:
    """The windows of only the taps of a tile."""
    return part_of(kernel.rows, tile.tap_rows), part_of(kernel.cols, tile.tap_cols)


def part_of(window: Window, taps: Span) -> Window:
    """The window of only some taps, at the same positions; `before` may be negative."""
    if taps.size == window.kernel:
        return window
    before = window.before - taps.start * window.dilation
    return replace(window, kernel=taps.size, before=before)


def shared_out(loops: Sequence[Axis], arrays: int) -> list[Boxes]:
    """What each array runs of nested loops: contiguous blocks of their turns, alike in number."""
    box = tuple(loops)
    whole = turns_of(box)
    share = ceil_div(whole, arrays)
    starts = (min(array * share, whole) for array in range(arrays))
    return [tuple(_between(box, start, min(start + share, whole))) for start in starts]


def _between(box: Box, start: int, stop: int) -> Iterator[Box]:
    """Turns [start, stop) of `box`, in as few boxes as that takes."""
    if start >= stop:
        return
    if not box:
        yield box
        return
    axis, inner = box[0], box[1:]
    each = turns_of(inner)
    first, ahead = divmod(start, each)
    last, behind = divmod(stop, each)
    if ahead or first == last:
        until = each if first < last else behind
        yield from _each((_cut(axis, first, first + 1),), _between(inner, ahead, until))
        first += 1
    if first < last:
        yield (_cut(axis, first, last), *inner)
    if behind and first <= last:
        yield from _each((_cut(axis, last, last + 1),), _between(inner, 0, behind))


def _each(axes: Box, boxes: Iterator[Box]) -> Iterator[Box]:
    return ((*axes, *box) for box in boxes)


def _cut(axis: Axis, start: int, stop: int) -> Axis:
    """Spans [start, stop) of an axis."""
    runs, at = [], 0
    for run in axis:
        first, last = max(start - at, 0), min(stop - at, run.count)
        if first < last:
            runs.append(run.part(first, last))
        at += run.count
    return tuple(runs)


def pieces(total: int, size: int) -> Axis:
    """`total` indices cut as `spans` does."""
    whole = total // size
    rest = Span(whole * size, total)
    runs = (Run(Span(0, size), whole, (size,)), Run(rest, 1, (rest.size,)))
    return tuple(run for run in runs if run.count and run.first.size)


def regions(window: Read, size: int) -> Axis:
    """The outputs along an axis cut into spans, each with how much it reads, whatever the taps.

    Those that no padding clips are alike, and so are those that lie in the padding. The few
    between are a run each.
    """
    if isinstance(window, Stretch):
        cut = pieces(window.outputs, size)
        return tuple(replace(run, sizes=(*run.sizes, _read(window, run.first))) for run in cut)
    return _Line(
        total=window.outputs,
        step=window.stride,
        before=window.before,
        extent=window.extent,
        size=window.size,
    ).cut(size)


def _read(axis: Stretch, span: Span) -> int:
    return int(axis.read(span.start, span.size))


def tap_sums(window: Window, size: int, outputs: Span | None = None) -> Axis:
    """As `sums`, for the taps along an axis.

    Alike are those that padding clips for none of `outputs`, by default all; and those that read
    nothing but padding.
    """
    some = outputs or Span(0, window.outputs)
    line = _Line(
        total=window.kernel,
        step=window.dilation,
        before=window.before - some.start * window.stride,
        extent=(some.size - 1) * window.stride + 1,
        size=window.size,
    )
    return _outer_apart(line.cut(size))


@dataclass(frozen=True, slots=True)
class _Line:
    """`total` stretches of `extent` positions, one every `step`, the first one at -`before`.

    Only positions in [0, size) are data.
    """

    total: int
    step: int
    before: int
    extent: int
    size: int

    def cut(self, size: int) -> Axis:
        """Cut into spans of `size` stretches, each with how many positions of data it covers."""
        if size >= self.total > 0:
            return (self._run(Span(0, self.total), 1),)
        whole, pitch = self.total // size, size * self.step
        room = self.size + self.before
        inside = (room - self.extent) // self.step + 1
        outside = (self.before - self.extent) // self.step + 1
        ends = ceil_div(self.before, pitch), ceil_div(room, pitch)
        edges = (outside // size, inside // size, *ends)
        cuts = sorted({0, whole, *(min(max(edge, 0), whole) for edge in edges)})
        runs = [run for start, stop in pairwise(cuts) for run in self._runs(size, start, stop)]
        rest = Span(whole * size, self.total)
        return (*runs, self._run(rest, 1)) if rest.size else tuple(runs)

    def _runs(self, size: int, start: int, stop: int) -> Iterator[Run]:
        """Spans [start, stop) of `size` stretches: one run, if they are alike."""
        first, last = self._reach(Span(start * size, stop * size))
        if last <= 0 or first >= self.size or (first >= 0 and last <= self.size):
            yield self._run(Span(start * size, (start + 1) * size), stop - start)
            return
        for at in range(start, stop):
            yield self._run(Span(at * size, (at + 1) * size), 1)

    def _run(self, span: Span, count: int) -> Run:
        first, last = (min(max(at, 0), self.size) for at in self._reach(span))
        return Run(span, count, (span.size, last - first))

    def _reach(self, span: Span) -> tuple[int, int]:
        """Positions, padding included, from the first to behind the last."""
        first = span.start * self.step - self.before
        return first, first + (span.size - 1) * self.step + self.extent


def sums(total: int, size: int) -> Axis:
    """As `pieces`, but the first and the last one, where sums may start and end, stand apart."""
    return _outer_apart(pieces(total, size))


def _outer_apart(axis: Axis) -> Axis:
    count = sum(run.count for run in axis)
    return apart(axis, 0, count - 1) if count > 1 else axis


def apart(axis: Axis, *places: int) -> Axis:
    """`axis` with the spans at some places in runs of their own."""
    count = sum(run.count for run in axis)
    cuts = sorted({0, count, *places, *(place + 1 for place in places)})
    return tuple(run for start, stop in pairwise(cuts) for run in _cut(axis, start, stop))


class GemmSize(NamedTuple):
    """Extents of a GEMM tile; `down` and `across` count the ifmap's rows and columns.

    `starts`: its psums start here. `ends`: they are complete after it.
    """

    groups: int
    batch: int
    rows: int
    down: int
    cols: int
    across: int
    filters: int
    channels: int
    tap_rows: int
    tap_cols: int
    starts: bool
    ends: bool

    @property
    def taps(self) -> int:
        """Taps of the window."""
        return self.tap_rows * self.tap_cols

    @property
    def pixels(self) -> int:
        """Ofmap pixels."""
        return self.batch * self.rows * self.cols

    @property
    def ifmap_words(self) -> int:
        """Words of one ifmap channel."""
        return self.batch * self.down * self.across

    @property
    def ifmap(self) -> Planes:
        """What it reads of the ifmap."""
        return Planes(self.batch, self.groups * self.channels, self.down, self.across)

    @property
    def ofmap(self) -> Planes:
        """What it writes of the ofmap."""
        return Planes(self.batch, self.groups * self.filters, self.rows, self.cols)


class TileSizes:
    """The extents of a kernel's tiles, from their spans; what windows read is found once."""

    def __init__(self, kernel: GemmKernel) -> None:
        self.kernel = kernel
        self._down = cache(partial(_read_by, kernel.rows))
        self._across = cache(partial(_read_by, kernel.cols))

    def __call__(self, at: Mapping[str, Span]) -> GemmSize:
        """The extents of the tile that spans of all axes make, by their names."""
        starts, ends = outer(self.kernel, at["channels"], at["tap_rows"], at["tap_cols"])
        return GemmSize(
            groups=at["groups"].size,
            batch=at["batch"].size,
            rows=at["rows"].size,
            down=self._down(at["rows"], at["tap_rows"]),
            cols=at["cols"].size,
            across=self._across(at["cols"], at["tap_cols"]),
            filters=at["filters"].size,
            channels=at["channels"].size,
            tap_rows=at["tap_rows"].size,
            tap_cols=at["tap_cols"].size,
            starts=starts,
            ends=ends,
        )

    def of_tile(self, tile: GemmTile) -> GemmSize:
        """The extents of a tile."""
        pixels = tile.pixels
        return self(
            {
                "groups": tile.groups,
                "batch": pixels.batch,
                "rows": pixels.rows,
                "cols": pixels.cols,
                "filters": tile.filters,
                "channels": tile.channels,
                "tap_rows": tile.tap_rows,
                "tap_cols": tile.tap_cols,
            }
        )


def _read_by(window: Window, outputs: Span, taps: Span) -> int:
    """How many positions of data some taps read for some outputs of an axis."""
    return ifmap_span(part_of(window, taps), outputs).size


def gemm_tile(kernel: GemmKernel, at: Mapping[str, Span]) -> GemmTile:
    """The tile that spans of all axes make, by their names."""
    first, last = outer(kernel, at["channels"], at["tap_rows"], at["tap_cols"])
    return GemmTile(
        groups=at["groups"],
        pixels=Pixels(at["batch"], at["rows"], at["cols"]),
        filters=at["filters"],
        channels=at["channels"],
        tap_rows=at["tap_rows"],
        tap_cols=at["tap_cols"],
        first=first,
        last=last,
    )


def outer(kernel: GemmKernel, channels: Span, down: Span, across: Span) -> tuple[bool, bool]:
    """Whether sums start in a tile of these channels and taps, and whether they end there."""
    starts = channels.start == down.start == across.start == 0
    whole = kernel.channels, kernel.rows.kernel, kernel.cols.kernel
    return starts, (channels.stop, down.stop, across.stop) == whole


def finished(
    target: Target, room: Room, words: int, runs: Runs
) -> tuple[Store | None, Keep | None]:
    """Where an ofmap tile of `words` goes that has `room` in the ofmap's buffer: DRAM, or stays."""
    residence, size = target.residence, words * target.bytes_of("ofmap")
    store = Store("ofmap", room, size, runs) if residence.stored else None
    if not residence.kept:
        return store, None
    rate = target.move_bytes_per_cycle
    cycles = ceil(size / rate) if rate is not None else 0
    freed = room if room.size and store is None else None
    return store, Keep(target.buffer_index("ifmap"), size, cycles, freed)

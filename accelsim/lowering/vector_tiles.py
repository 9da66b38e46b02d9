"""The tiles of a vector kernel, in their order.

The ofmap is cut into blocks. A block is one tile, unless its windows are cut by taps, or it needs
all channels and a tile has only some: then it is several in a row.
"""

from collections.abc import Iterator, Sequence

from accelsim.lowering.kernels import VectorKernel
from accelsim.lowering.schedule import Axis, Box, Boxes, Run, turns
from accelsim.lowering.task import Pixels, Span, VectorTile
from accelsim.lowering.tiles import apart, sums, tap_sums
from accelsim.lowering.tiling import VectorTiling
from accelsim.network.ops import Read, Stretch


def block_channels(kernel: VectorKernel, tiling: VectorTiling) -> int:
    """Channels of a block: where they depend on each other, all."""
    return kernel.channels if kernel.passes else tiling.channels


def vector_tiles(kernel: VectorKernel, tiling: VectorTiling, share: Boxes) -> Iterator[VectorTile]:
    """The tiles of an array's vector unit, pixels fastest, the parts of a block in a row."""
    for channels, *spans in turns([share]):
        pixels = Pixels(*spans)
        box = parts_of_block(kernel, tiling, pixels, channels)
        for each in turns([(box,)]):
            yield tile_of(box, pixels, each)


def parts_of_block(
    kernel: VectorKernel, tiling: VectorTiling, pixels: Pixels, channels: Span
) -> Box:
    """A block's passes, channels, tap rows and tap columns as it goes over them, as runs alike."""
    goes_over = range(len(kernel.passes) if tiling.channels < channels.size else 1)
    whole = Run(channels, 1, (channels.size,))
    depth = (whole,) if len(goes_over) == 1 else sums(channels.size, tiling.channels)
    down = _taps(kernel.rows, tiling.tap_rows, pixels.rows)
    across = _taps(kernel.cols, tiling.tap_cols, pixels.cols)
    if kernel.own_tap is not None:
        down = apart(down, kernel.own_tap // tiling.tap_rows)
    passes = tuple(Run(Span(turn, turn + 1), 1, (turn,)) for turn in goes_over)
    return passes, depth, down, across


def _taps(window: Read, size: int, outputs: Span) -> Axis:
    """Taps along an axis in pieces of `size`, as some outputs read them."""
    if isinstance(window, Stretch):
        return sums(window.kernel, size)
    return tap_sums(window, size, outputs)


def tile_of(box: Box, pixels: Pixels, at: Sequence[Span]) -> VectorTile:
    """The tile of the parts `at` of a block's axes."""
    turn, channels, down, across = at
    return VectorTile(
        pixels=pixels,
        channels=channels,
        tap_rows=down,
        tap_cols=across,
        turn=turn.start,
        first=all(span.start == axis[0].first.start for span, axis in zip(at, box, strict=True)),
        last=all(span.stop == _stop(axis) for span, axis in zip(at, box, strict=True)),
    )


def _stop(axis: Axis) -> int:
    """Where the last span of an axis stops."""
    last = axis[-1]
    return last.first.start + last.count * last.first.size

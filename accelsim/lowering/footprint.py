"""Which stretch of an ifmap axis a tile reads, and what all tiles along the axis read together.

Outputs p and taps r meet in a window: position = stride * p + dilation * r - before. Positions
outside of [0, size) are padding and not read. A piece of outputs with a piece of taps reads the
span from its first position to its last; a stretched axis says itself what its pieces read. Sums
over pieces are sums of clipped arithmetic series, so nothing here grows with the number of pieces,
but `tap_reads` of windows that meet padding.
Everything is for integers and for arrays that broadcast.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Read, Stretch, Window
from accelsim.units import ceil_div

Whole = NDArray[np.int64] | int
Sizes = NDArray[np.int64]


def span(window: Read, start: Whole, stop: Whole, tap: Whole, tap_stop: Whole) -> Sizes:
    """Positions that outputs [start, stop) touch with taps [tap, tap_stop), padding left out."""
    if isinstance(window, Stretch):
        return window.read(start, stop - start)
    first = start * window.stride + tap * window.dilation - window.before
    steps = (stop - start - 1) * window.stride + (tap_stop - tap - 1) * window.dilation
    return _clipped_span(first, steps + 1, window.size)


def inside(window: Read, outputs: Whole, taps: Whole) -> Sizes:
    """Positions that a piece of so many outputs and taps touches away from all edges."""
    if isinstance(window, Stretch):
        return window.read(0, outputs)
    return np.asarray((outputs - 1) * window.stride + (taps - 1) * window.dilation + 1)


def reads(window: Read, sizes: Whole) -> tuple[Sizes, Sizes]:
    """For outputs cut in pieces of each of `sizes`: the largest span of a piece, and all spans."""
    if isinstance(window, Stretch):
        return window.reads(sizes)
    line = _Line(
        count=window.outputs,
        step=window.stride,
        first=-window.before,
        extent=window.extent,
        size=window.size,
    )
    return line.reads(sizes)


def tap_reads(window: Read, sizes: Whole, taps: Whole) -> tuple[Sizes, Sizes]:
    """As `reads`, for taps cut too, in pieces of each of `taps`; of all pairs of pieces.

    `sizes` and `taps` broadcast. Where padding is met, takes as many steps as there are pieces of
    outputs or of taps, whichever are fewer.
    """
    if isinstance(window, Stretch):
        return window.reads(sizes)
    if _is_bare(window):
        return _bare_tap_reads(window, sizes, taps)
    shape = np.broadcast_shapes(np.shape(sizes), np.shape(taps))
    outputs, kernel = window.outputs, window.kernel
    across = outputs, sizes, window.stride
    along = kernel, taps, window.dilation
    if ceil_div(outputs, int(np.min(sizes))) < ceil_div(kernel, int(np.min(taps))):
        across, along = along, across
    each, other = (np.broadcast_to(axis[1], shape).ravel() for axis in (along, across))
    base = int(np.max(other)) + 1  # pairs as numbers: sorting those takes a tenth of the time
    pairs, kind = np.unique(each * base + other, return_inverse=True)
    first, second = np.divmod(pairs, base)
    largest, total = np.zeros((2, len(pairs)), np.int64)
    for size in np.unique(first):
        alike = first == size
        most, together = _by_piece(window, along, int(size), across, second[alike])
        largest[alike], total[alike] = most, together
    place = kind.reshape(shape)
    return largest[place], total[place]


AT_ONCE = 1 << 18
"""Pieces times sizes that are worked out in one go."""


def _by_piece(
    window: Window,
    along: tuple[int, Whole, int],
    size: int,
    across: tuple[int, Whole, int],
    sizes: Sizes,
) -> tuple[Sizes, Sizes]:
    """`tap_reads` for one size of what is cut `along`, each piece's `reads` across it."""
    (count, _, step), (total, _, stride) = along, across
    largest, together = np.zeros((2, len(sizes)), np.int64)
    pieces, some = ceil_div(count, size), max(AT_ONCE // len(sizes), 1)
    for begin in range(0, pieces, some):
        start = np.arange(begin, min(begin + some, pieces))[:, None] * size
        line = _Line(
            count=total,
            step=stride,
            first=start * step - window.before,
            extent=(np.minimum(count - start, size) - 1) * step + 1,
            size=window.size,
        )
        most, read = line.reads(sizes)
        largest = np.maximum(largest, most.max(axis=0))
        together = together + read.sum(axis=0)
    return largest, together


TapReads = Callable[[Read, Whole, Whole], tuple[Sizes, Sizes]]
"""`tap_reads`, or something that knows what it says."""

TABLE = 1 << 13
"""Pairs of outputs and taps of which a table is kept."""


@dataclass
class Tables:
    """`tap_reads` looked up in tables of all pairs of pieces, for whoever owns them to drop."""

    known: dict[Window, tuple[Sizes, Sizes]] = field(default_factory=dict)

    def __call__(self, window: Read, sizes: Whole, taps: Whole) -> tuple[Sizes, Sizes]:
        """As `tap_reads`."""
        if isinstance(window, Stretch):
            return window.reads(sizes)
        if _is_bare(window) or window.outputs * window.kernel > TABLE:
            return tap_reads(window, sizes, taps)
        if window not in self.known:
            each = np.ix_(np.arange(1, window.outputs + 1), np.arange(1, window.kernel + 1))
            self.known[window] = tap_reads(window, *each)
        largest, together = self.known[window]
        place = np.asarray(sizes) - 1, np.asarray(taps) - 1
        return largest[place], together[place]


FEW = 1 << 16
"""Pairs of outputs and taps that are looked at one by one."""


def touched(window: Window) -> int:
    """Positions that any output reads with any tap; where taps are dilated, at least so many."""
    pairs = window.outputs * window.kernel
    if window.dilation == 1 or window.kernel == 1:
        whole = window.stride <= window.extent
        return int(reads(window, window.outputs if whole else 1)[1])
    if pairs > FEW:
        return max(window.outputs - ceil_div(window.before + window.after, window.stride), 1)
    starts = np.arange(window.outputs) * window.stride - window.before
    each = np.add.outer(starts, np.arange(window.kernel) * window.dilation)
    return len(np.unique(each[(each >= 0) & (each < window.size)]))


def least_read(axis: Read) -> int:
    """Positions that pieces of an axis read together at least, however it is cut."""
    if isinstance(axis, Stretch):
        return min(int(axis.reads(size)[1]) for size in (1, axis.outputs))
    return touched(axis)


def _is_bare(window: Window) -> bool:
    """Whether no window reaches beyond the data."""
    last = (window.outputs - 1) * window.stride - window.before + window.extent
    return window.before == 0 and last <= window.size


def _bare_tap_reads(window: Window, sizes: Whole, taps: Whole) -> tuple[Sizes, Sizes]:
    """`tap_reads` where nothing is clipped: a span is as long as its pieces say."""
    outputs, kernel = window.outputs, window.kernel
    pieces, cuts = -(-outputs // sizes), -(-kernel // taps)
    most = (
        (np.minimum(sizes, outputs) - 1) * window.stride
        + (np.minimum(taps, kernel) - 1) * window.dilation
        + 1
    )
    by_outputs = cuts * (outputs - pieces) * window.stride
    by_taps = pieces * (kernel - cuts) * window.dilation
    return np.asarray(most), np.asarray(by_outputs + by_taps + pieces * cuts)


@dataclass(frozen=True, slots=True)
class _Line:
    """`count` stretches of `extent` positions, `step` apart, the first one at `first`.

    Only positions in [0, size) are data.
    """

    count: int
    step: int
    first: Whole
    extent: Whole
    size: int

    def reads(self, sizes: Whole) -> tuple[Sizes, Sizes]:
        """For stretches taken in pieces of `sizes`: the largest span, and the sum of all spans."""
        full, rest = self.count // sizes, self.count % sizes
        pitch = sizes * self.step
        length = pitch - self.step + self.extent
        total = _clipped_sum(self.first + length, pitch, full, self.size) - _clipped_sum(
            self.first, pitch, full, self.size
        )
        last = _clipped_span(
            self.first + full * pitch, (rest - 1) * self.step + self.extent, self.size
        ) * (rest > 0)
        largest = self._largest(pitch, length, full)
        return np.maximum(largest, last), np.asarray(total + last)

    def _largest(self, pitch: Whole, length: Whole, full: Whole) -> Sizes:
        """The largest span of the `full` pieces, which grows up to a place and falls from there.

        That is where a piece first has all its data, or as much as there is.
        """
        best = np.asarray(np.minimum(self.size - length, 0), np.int64) - self.first
        places = (best // pitch, -(-best // pitch))
        spans = [
            _clipped_span(self.first + _clipped(at, 0, full - 1) * pitch, length, self.size)
            for at in places
        ]
        return np.asarray(np.maximum(*spans) * (full > 0))


def _clipped(value: Whole, least: Whole, most: Whole) -> Sizes:
    """`np.clip`, without what it takes to be called; `most` wins."""
    return np.asarray(np.minimum(np.maximum(value, least), most))


def _clipped_span(first: Whole, length: Whole, size: int) -> Sizes:
    """How much of [first, first + length) lies in [0, size)."""
    return np.asarray(_clipped(first + length, 0, size) - _clipped(first, 0, size))


def _clipped_sum(first: Whole, step: Whole, count: Whole, size: int) -> Sizes:
    """The sum of first, first + step, ... (`count` of them), each clipped to [0, size]."""
    below = _clipped(-(first // step), 0, count)  # those less than 0, and perhaps one that is 0
    inside = _clipped(-((first - size) // step), below, count)  # the first that is `size` or more
    terms = inside - below
    rising = (first + below * step) * terms + step * (terms * (terms - 1) // 2)
    return np.asarray(rising + (count - inside) * size)

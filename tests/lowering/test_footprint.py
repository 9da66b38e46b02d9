"""Spans of tiles against walked windows, position by position."""

from itertools import product
from unittest.mock import patch

import numpy as np
from cases import windows
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.lowering import footprint
from accelsim.lowering.footprint import _Line, reads, span, tap_reads
from accelsim.lowering.task import Span, spans
from accelsim.network.ops import Window


def walked(window: Window, outputs: Span, taps: Span) -> int:
    """From the first to the last position that is no padding, met tap by tap."""
    corners = [
        p * window.stride + r * window.dilation - window.before
        for p, r in product((outputs.start, outputs.stop - 1), (taps.start, taps.stop - 1))
    ]
    reach = range(min(corners), max(corners) + 1)
    return sum(1 for position in reach if 0 <= position < window.size)


@st.composite
def padded_windows(draw: st.DrawFn) -> Window:
    """Windows of any stride, dilation and padding; also such that see nothing but padding."""
    window = Window(
        size=draw(st.integers(1, 24)),
        kernel=draw(st.integers(1, 9)),
        stride=draw(st.integers(1, 7)),
        dilation=draw(st.integers(1, 4)),
        before=draw(st.integers(0, 12)),
        after=draw(st.integers(0, 12)),
        ceil_mode=draw(st.booleans()),
    )
    return window if window.outputs > 0 else Window(window.size, 1)


ANY = st.one_of(windows(9), padded_windows())


@given(ANY)
@drawn(300)
def test_reads_are_those_of_all_pieces(window: Window) -> None:
    sizes = np.arange(1, window.outputs + 3)
    largest, together = reads(window, sizes)
    every_tap = Span(0, window.kernel)
    for size, most, total in zip(sizes, largest, together, strict=True):
        read = [walked(window, piece, every_tap) for piece in spans(window.outputs, int(size))]
        assert (most, total) == (max(read), sum(read))
        assert (most, total) == reads(window, int(size))


@given(ANY, st.sampled_from([1, 5, footprint.AT_ONCE]))
@drawn(300)
def test_tap_reads_are_those_of_all_pairs_of_pieces(window: Window, at_once: int) -> None:
    """However many pieces are worked out in one go."""
    with patch.object(footprint, "AT_ONCE", at_once):
        check_tap_reads(window)


def test_long_padded_windows_are_worked_out_many_pieces_at_a_time() -> None:
    """65,536 outputs, each of which has other taps in the padding."""
    window, sizes = Window(2**16, 2**16 - 1, 1, 1, 2**15, 2**15 - 2), np.array([1, 7, 2**16])
    with patch.object(footprint._Line, "reads", autospec=True, side_effect=_Line.reads) as read:
        _, together = tap_reads(window, sizes[:, None], sizes)
    assert read.call_count < 20
    assert together[-1, -1] == 2**16  # all at once: each position
    assert together[0, -1] == reads(window, 1)[1]


def check_tap_reads(window: Window) -> None:
    sizes = np.arange(1, window.outputs + 2)[:, None]
    taps = np.arange(1, window.kernel + 2)
    largest, together = tap_reads(window, sizes, taps)
    for size, tap in product(range(sizes.size), range(taps.size)):
        pairs = product(
            spans(window.outputs, int(sizes[size, 0])), spans(window.kernel, int(taps[tap]))
        )
        read = [walked(window, *pair) for pair in pairs]
        assert (largest[size, tap], together[size, tap]) == (max(read), sum(read))


@given(ANY, st.data())
def test_span_is_what_a_tile_walks(window: Window, data: st.DataObject) -> None:
    pieces = [
        data.draw(st.sampled_from(spans(total, data.draw(st.integers(1, total)))))
        for total in (window.outputs, window.kernel)
    ]
    outputs, taps = pieces
    assert span(window, outputs.start, outputs.stop, taps.start, taps.stop) == walked(
        window, outputs, taps
    )
    if taps.size == window.kernel:
        first, last = window.span(outputs.start, outputs.stop)
        assert last - first == walked(window, outputs, taps)


def test_reads_of_two_thousand_million_rows_by_hand() -> None:
    """3 taps, padded by 1, in tiles of one row: each reads 3 rows, the outer ones 2."""
    rows = 2**31
    window = Window(rows, 3, before=1, after=1)
    assert reads(window, np.array([1, rows]))[0].tolist() == [3, rows]
    assert reads(window, np.array([1, rows]))[1].tolist() == [3 * rows - 2, rows]
    largest, together = tap_reads(window, 1, np.array([1, 2, 3]))
    assert largest.tolist() == [1, 2, 3]
    assert together.tolist() == [3 * rows - 2, 3 * rows - 2, 3 * rows - 2]

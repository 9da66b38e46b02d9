"""Layers cut by hand: the pieces are the whole, no less and no more.

That the whole is no slower than its pieces is a promise of the search (test_search_contract).
"""

from collections import Counter

import numpy as np
import pytest
from cut_by_hand import SUMS, axes_of, cut_case, for_sums, pieces
from search_cases import LayerCase, drawn_machine

from accelsim.hardware import holding_problems
from accelsim.network.ops import Conv, Dense, MatMul

SEED = 1


def conv(**changes: object) -> LayerCase:
    settings = {"out_channels": 4, "kernel": (3, 3), "padding": (1, 1, 1, 1), "bias": False}
    return LayerCase(Conv(**(settings | changes)), ((2, 8, 6),))  # type: ignore[arg-type]


def shapes(layer: LayerCase, axis: str, *sizes: int) -> list[tuple[tuple[int, ...], object]]:
    made = pieces(layer, axis, sizes)
    assert made is not None
    return [(each.inputs[0], each.op) for each in made.elements()]


def test_rows_read_their_halos() -> None:
    """Rows 0 to 4 read rows -1 to 5 of the ifmap, 5 to 7 read rows 4 to 8: one is padding each."""
    (top, upper), (bottom, lower) = shapes(conv(), "rows", 5, 3)
    assert (top, upper.padding) == ((2, 6, 6), (1, 0, 1, 1))  # type: ignore[attr-defined]
    assert (bottom, lower.padding) == ((2, 4, 6), (0, 1, 1, 1))  # type: ignore[attr-defined]


def test_a_stride_leaves_rows_out() -> None:
    """Of 8 rows with stride 3 and no padding, row 0 reads 0 to 2 and row 1 reads 3 to 5."""
    layer = conv(stride=(3, 1), padding=(0, 0, 1, 1))
    made = pieces(layer, "rows", (1, 1))
    assert made == Counter({LayerCase(layer.op, ((2, 3, 6),)): 2})


def test_taps_read_what_they_reach() -> None:
    """The first tap of each column reads rows -1 to 6, the others 0 to 8."""
    (first, upper), (rest, lower) = shapes(conv(), "tap_rows", 1, 2)
    assert (first, upper.kernel, upper.padding) == ((2, 7, 6), (1, 3), (1, 0, 1, 1))  # type: ignore[attr-defined]
    assert (rest, lower.kernel, lower.padding) == ((2, 8, 6), (2, 3), (0, 1, 1, 1))  # type: ignore[attr-defined]


def test_what_reads_only_padding_is_no_layer() -> None:
    assert pieces(conv(padding=(4, 4, 1, 1)), "rows", (1, 13)) is None


def test_groups_filters_and_channels() -> None:
    layer = LayerCase(Conv(out_channels=12, kernel=(1, 1), groups=4, bias=False), ((8, 5, 5),))
    (one, op), (three, other) = shapes(layer, "groups", 1, 3)
    assert (one, op.out_channels, op.groups) == ((2, 5, 5), 3, 1)  # type: ignore[attr-defined]
    assert (three, other.out_channels, other.groups) == ((6, 5, 5), 9, 3)  # type: ignore[attr-defined]
    (whole, op), _ = shapes(layer, "filters", 1, 2)
    assert (whole, op.out_channels, op.groups) == ((8, 5, 5), 4, 4)  # type: ignore[attr-defined]
    (part, op), _ = shapes(layer, "channels", 1, 1)
    assert (part, op.out_channels, op.groups) == ((4, 5, 5), 12, 4)  # type: ignore[attr-defined]


def test_matrices() -> None:
    dense = LayerCase(Dense(out_features=6, bias=False), ((5, 7),), batch=2)
    assert axes_of(dense) == {"images": 2, "rows": 5, "filters": 6, "channels": 7}
    assert [shape for shape, _ in shapes(dense, "rows", 4, 1)] == [(4, 7), (1, 7)]
    assert [shape for shape, _ in shapes(dense, "channels", 4, 3)] == [(5, 4), (5, 3)]
    product = LayerCase(MatMul(), ((5, 7), (7, 3)))
    made = pieces(product, "filters", (2, 1))
    assert made is not None
    assert [each.inputs for each in made] == [((5, 7), (7, 2)), ((5, 7), (7, 1))]


@pytest.mark.parametrize("number", range(40))
@pytest.mark.parametrize("one_more", [False, True])
def test_pieces_make_the_whole(number: int, one_more: bool) -> None:
    """All MACs, and every element of the ofmap once, or once for each piece of its sum."""
    cut = cut_case(SEED, number, one_more)
    layer = cut.case.layer
    assert sum(cut.sizes) == axes_of(layer)[cut.axis]
    made = pieces(layer, cut.axis, cut.sizes)
    if made is None:
        return
    assert sum(times * each.kernel.macs for each, times in made.items()) == layer.kernel.macs
    elements = sum(times * outputs(each) for each, times in made.items())
    assert elements == outputs(layer) * (len(cut.sizes) if cut.axis in SUMS else 1)


def outputs(layer: LayerCase) -> int:
    return layer.batch * layer.network.layers[0].output_elements


def test_every_axis_is_cut() -> None:
    axes = Counter(cut_case(SEED, number).axis for number in range(120))
    assert min(axes.values()) >= 2
    assert set(axes) == {
        *("images", "rows", "cols", "filters", "channels", "groups", "tap_rows", "tap_cols")
    }


@pytest.mark.parametrize("number", range(20))
def test_sums_are_cut_where_psums_are_as_wide_as_the_ofmap(number: int) -> None:
    """So a piece's finished ofmap takes the room, and the transfers, of unfinished psums."""
    drawn = drawn_machine(np.random.default_rng(number))
    hardware = for_sums(drawn)
    together = [each.holds for each in hardware.buffers.values() if "ofmap" in each.holds]
    assert "psum" in together[0]
    assert hardware.precision.bytes_of("psum") == hardware.precision.bytes_of("ofmap")
    assert not holding_problems({name: each.holds for name, each in hardware.buffers.items()})

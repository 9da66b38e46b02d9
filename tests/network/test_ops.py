"""Shape laws, parameters and MACs of the layer types, by hand and by walking the windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import ShapeError
from accelsim.network.ops import (
    OPS,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Relu,
    Reshape,
    Shape,
    Slice,
    SplitPart,
    Window,
)


def conv(**keys: object) -> Conv:
    return Conv(**({"out_channels": 4, "kernel": (3, 3)} | keys))  # type: ignore[arg-type]


def walked(window: Window) -> int:
    """Windows that fit, by sliding: from the first padded element until the last tap is outside."""
    start, count = -window.before, 0
    while start + (window.kernel - 1) * window.dilation < window.size + window.after:
        count += 1
        start += window.stride
    leftover = start - window.stride + window.extent < window.size + window.after
    if window.ceil_mode and count and leftover and start < window.size:
        count += 1  # a last window hangs over the edge, but starts before the padding
    return count


windows = st.builds(
    Window,
    size=st.integers(1, 24),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 6),
    dilation=st.integers(1, 3),
    before=st.integers(0, 5),
    after=st.integers(0, 5),
    ceil_mode=st.booleans(),
)


@given(windows)
def test_window_count_is_the_walked_one(window: Window) -> None:
    if window.before < window.kernel and window.after < window.kernel:  # as pooling requires
        assert window.outputs == walked(window)


@given(windows, st.data())
def test_span_holds_every_tap_and_no_more(window: Window, data: st.DataObject) -> None:
    if not window.outputs:
        return
    start = data.draw(st.integers(0, window.outputs - 1))
    stop = data.draw(st.integers(start + 1, window.outputs))
    taps = [
        output * window.stride - window.before + tap * window.dilation
        for output in range(start, stop)
        for tap in range(window.kernel)
    ]
    first, last = window.span(start, stop)
    inside = [tap for tap in taps if 0 <= tap < window.size]
    if inside:
        assert first <= min(inside)
        assert last > max(inside)
    assert (first, last) == (
        min(max(min(taps), 0), window.size),
        min(max(max(taps) + 1, 0), window.size),
    )


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 5), st.integers(1, 3))
def test_same_padding_keeps_ceil_of_size_over_stride(n: int, f: int, s: int, d: int) -> None:
    op = conv(kernel=(f, 1), stride=(s, 1), dilation=(d, 1), padding="same")
    assert op.output_shape(((1, n, 1),))[1] == (n + s - 1) // s


@pytest.mark.parametrize(
    ("op", "shape", "expected"),
    [
        # floor((7 + 0 - 3)/2) + 1 = 3; the window extents are 3
        pytest.param(conv(stride=(2, 2)), (1, 7, 8), (4, 3, 3), id="floor drops column 8"),
        pytest.param(conv(padding=(1, 1, 1, 1)), (1, 7, 8), (4, 7, 8), id="p = (f-1)/2"),
        # rows 7+1+0-3+1 = 6, cols 8+0+2-3+1 = 8
        pytest.param(conv(padding=(1, 0, 0, 2)), (1, 7, 8), (4, 6, 8), id="four sides"),
        # extent (3-1)*2+1 = 5: 7-5+1 = 3, 8-5+1 = 4
        pytest.param(conv(dilation=(2, 2)), (1, 7, 8), (4, 3, 4), id="dilated"),
        pytest.param(conv(kernel=(1, 5)), (1, 7, 8), (4, 7, 4), id="rectangular"),
        pytest.param(conv(padding="same", stride=(2, 3)), (1, 7, 8), (4, 4, 3), id="same"),
        pytest.param(conv(groups=2), (6, 3, 3), (4, 1, 1), id="groups"),
        # (112-3)/2 = 54.5: floor 54+1, ceil 55+1 (GoogLeNet's pool1)
        pytest.param(MaxPool(kernel=(3, 3), stride=(2, 2)), (9, 112, 112), (9, 55, 55), id="floor"),
        pytest.param(
            MaxPool(kernel=(3, 3), stride=(2, 2), ceil_mode=True),
            (9, 112, 112),
            (9, 56, 56),
            id="ceil",
        ),
        # size 2, pad 1: room 4-2 = 2, ceil(2/3)+1 = 2, but window 2 would start at 3 = size + pad
        pytest.param(
            MaxPool(kernel=(2, 2), stride=(3, 3), padding=(1, 1, 1, 1), ceil_mode=True),
            (1, 2, 2),
            (1, 1, 1),
            id="ceil drops a window in the padding",
        ),
        pytest.param(AvgPool(kernel=(2, 2)), (5, 7, 6), (5, 3, 3), id="stride is the kernel"),
        pytest.param(AvgPool(kernel="global"), (5, 7, 6), (5, 1, 1), id="global"),
        pytest.param(Dense(out_features=3), (2, 2, 2), (3,), id="dense flattens"),
        pytest.param(Dense(out_features=3), (7, 2), (7, 3), id="dense by rows"),
        pytest.param(Flatten(), (2, 3, 4), (24,), id="flatten"),
        pytest.param(Reshape(shape=(4, 6)), (2, 3, 4), (4, 6), id="reshape"),
        pytest.param(Relu(), (2, 3), (2, 3), id="unary"),
        pytest.param(Lrn(size=5), (8, 2, 2), (8, 2, 2), id="lrn"),
        pytest.param(BatchNorm(), (8, 2, 2), (8, 2, 2), id="batch_norm"),
        pytest.param(SplitPart(sizes=(5, 3), part=1), (8, 2, 2), (3, 2, 2), id="part of maps"),
        pytest.param(SplitPart(sizes=(5, 1), part=0), (2, 6), (2, 5), id="part of rows"),
    ],
)
def test_output_shape(op: Op, shape: Shape, expected: Shape) -> None:
    assert op.output_shape((shape,)) == expected


@pytest.mark.parametrize(
    ("op", "shapes", "expected"),
    [
        (Concat(), ((1, 4, 4), (2, 4, 4), (3, 4, 4)), (6, 4, 4)),
        (Concat(), ((5, 2), (5, 3)), (5, 5)),
        (Concat(), ((2,), (3,)), (5,)),
        (Add(), ((8, 2, 3), (8, 2, 3), (8, 1, 1)), (8, 2, 3)),
        (Mul(), ((8, 1, 1), (8, 2, 3)), (8, 2, 3)),
        (MatMul(), ((2, 3), (3, 5)), (2, 5)),
    ],
)
def test_joined_shapes(op: Op, shapes: tuple[Shape, ...], expected: Shape) -> None:
    assert op.output_shape(shapes) == expected


@pytest.mark.parametrize(
    ("op", "shapes", "parameters", "macs"),
    [
        # 4 ofmaps of 2x2 pixels, each 6/2 channels by 3x3 taps
        (conv(groups=2), ((6, 4, 4),), {"weight": (4, 3, 3, 3), "bias": (4,)}, 16 * 27),
        (conv(bias=False), ((1, 3, 3),), {"weight": (4, 1, 3, 3)}, 36),
        (Dense(out_features=3), ((2, 2, 2),), {"weight": (3, 8), "bias": (3,)}, 24),
        (Dense(out_features=3, bias=False), ((7, 2),), {"weight": (3, 2)}, 42),
        (MatMul(), ((2, 3), (3, 5)), {}, 30),
        (BatchNorm(), ((8, 2, 2),), {"gamma": (8,), "beta": (8,)}, 0),
        (MaxPool(kernel=(2, 2)), ((8, 2, 2),), {}, 0),
    ],
)
def test_parameters_and_macs(
    op: Op, shapes: tuple[Shape, ...], parameters: dict[str, Shape], macs: int
) -> None:
    assert op.parameter_shapes(shapes) == parameters
    assert op.macs(shapes) == macs


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (conv(), ((1, 2, 9),), "the 3x3 kernel does not fit the padded input of 2x9"),
        (
            conv(dilation=(4, 1)),
            ((1, 8, 8),),
            "the 9x3 kernel does not fit the padded input of 8x8",
        ),
        (conv(groups=2), ((3, 8, 8),), "3 input .* into 2 groups; .* groups must divide 1"),
        (conv(groups=3), ((3, 8, 8),), "out_channels 4 does not divide into 3 groups"),
        (conv(), ((3, 8),), r"needs a feature map .* found shape \(3, 8\)"),
        (conv(), ((3, 8, 8), (3, 8, 8)), "takes one input, found 2"),
        (MaxPool(kernel=(2, 2), padding=(2, 0, 0, 0)), ((1, 4, 4),), "padding 2 leaves a window"),
        (MatMul(), ((2, 3), (4, 5)), "inner sizes differ: 2x3 times 4x5"),
        (MatMul(), ((2, 3), (3,)), "takes two matrices"),
        (Add(), ((2, 3),), "takes two or more inputs, found 1"),
        (Add(), ((2, 3), (3, 2)), "input shapes differ"),
        (Add(), ((8, 2, 2), (4, 1, 1)), "input shapes differ"),
        (Mul(), ((2,), (2,), (2,)), "takes two inputs, found 3"),
        (Concat(), ((1, 4, 4), (1, 4, 5)), "inputs differ beyond the joined axis"),
        (Concat(), ((1, 4, 4), (4, 4)), "inputs differ beyond the joined axis"),
        (Reshape(shape=(5,)), ((2, 3),), r"\(2, 3\) holds 6 elements, \(5,\) needs 5"),
        (Slice(start=(0, 0), stop=(3, 9)), ((3, 4),), r"axis 1 of \(3, 4\): .* stop <= 4"),
        (SplitPart(sizes=(4, 3), part=0), ((8, 2, 2),), r"\[4, 3\] add up to 7, .* has 8"),
        (SplitPart(sizes=(4, 4), part=2), ((8, 2, 2),), r"no part 2 in \[4, 4\]"),
        (Lrn(size=4), ((8, 2, 2),), "size 4 must be odd"),
        (BatchNorm(), ((8, 2),), "needs a vector or a feature map"),
    ],
)
def test_misfits(op: Op, shapes: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.output_shape(shapes)


def test_every_layer_type_is_listed_under_its_name() -> None:
    assert len(OPS) == 83
    assert all(op.name == name and op.__doc__ for name, op in OPS.items())

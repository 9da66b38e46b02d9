"""The reference against plain Python loops over every output and every tap, on small sizes."""

from collections.abc import Iterator
from functools import reduce
from itertools import product

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from layers import INT8, UINT8, step_of

from accelsim.errors import ShapeError
from accelsim.network.ops import (
    Add,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Lrn,
    MatMul,
    MaxPool,
    Op,
    Shape,
    Window,
)
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.reference import compute

SEEDS = st.integers(0, 2**32 - 1)
KERNELS = st.tuples(st.integers(1, 3), st.integers(1, 3))
STRIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))
SIDES = st.tuples(*[st.integers(0, 2)] * 4)
SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))


def requantized(
    value: int, multiplier: np.float32, output: Quantization, arithmetic: Arithmetic
) -> int:
    """The code of one psum, scalar by scalar; Python's round is to even too."""
    code = round(float(np.float32(value) * multiplier)) + output.zero_point
    return min(max(code, arithmetic.activation.lowest), arithmetic.activation.highest)


def codes(generator: np.random.Generator, arithmetic: Arithmetic, *shape: int) -> Array:
    format_ = arithmetic.activation
    return generator.integers(format_.lowest, format_.highest, shape, format_.dtype, endpoint=True)


def fits(op: Op, shape: Shape) -> bool:
    """Whether the windows of `op` fit the padded input."""
    try:
        op.output_shape((shape,))
    except ShapeError:
        return False
    return True


def positions(window: Window) -> Iterator[tuple[int, list[int]]]:
    """Each output's index, and the elements its taps fall on, padding and all."""
    for index in range(window.outputs):
        first = index * window.stride - window.before
        yield index, [first + tap * window.dilation for tap in range(window.kernel)]


@given(data=st.data(), seed=SEEDS, size=SIZES, kernel=KERNELS, stride=STRIDES, padding=SIDES)
def test_conv(
    data: st.DataObject,
    seed: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int, int, int],
) -> None:
    generator = np.random.default_rng(seed)
    arithmetic = data.draw(st.sampled_from([INT8, UINT8]))
    groups, per_group, filters = (data.draw(st.integers(1, 3)) for _ in range(3))
    dilation = data.draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    source = Quantization(0.25, data.draw(st.integers(0, 127)))
    output = Quantization(8.0, data.draw(st.integers(0, 127)))
    op = Conv(
        out_channels=groups * filters,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        activation=data.draw(st.sampled_from([None, "relu"])),
    )
    assume(fits(op, (groups * per_group, *size)))
    x = codes(generator, arithmetic, 2, groups * per_group, *size)
    weight = generator.integers(-128, 128, (groups * filters, per_group, *kernel), np.int8)
    bias = generator.integers(-999, 999, groups * filters, np.int32)
    scale = generator.random(groups * filters, np.float32)
    rows, cols = op.windows(x.shape[1:])
    step = step_of(
        op,
        Tensor(x, source),
        output=output,
        arithmetic=arithmetic,
        arrays={"weight": weight, "bias": bias},
        weight_scale=scale.tolist(),
    )
    ofmap = compute(step).values
    for n, k, (p, hs), (q, ws) in product(
        range(2), range(len(bias)), positions(rows), positions(cols)
    ):
        psum = int(bias[k])
        for c, (r, h), (s, w) in product(range(per_group), enumerate(hs), enumerate(ws)):
            if 0 <= h < size[0] and 0 <= w < size[1]:
                code = int(x[n, k // filters * per_group + c, h, w])
                psum += (code - source.zero_point) * int(weight[k, c, r, s])
        multiplier = np.float32(0.25) * scale[k] / np.float32(8)
        expected = requantized(psum, multiplier, output, arithmetic)
        if op.activation == "relu":
            expected = max(expected, output.zero_point)
        assert ofmap[n, k, p, q] == expected
    assert ofmap.shape == (2, len(bias), rows.outputs, cols.outputs)


@given(
    data=st.data(), seed=SEEDS, size=SIZES, kernel=KERNELS, stride=STRIDES, ceil_mode=st.booleans()
)
def test_pooling(
    data: st.DataObject,
    seed: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    ceil_mode: bool,
) -> None:
    ends = [st.integers(0, length - 1) for length in (*kernel[:1] * 2, *kernel[1:] * 2)]
    padding = data.draw(st.tuples(*ends))
    count_padding = data.draw(st.booleans())
    settings = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    largest, mean = MaxPool(**settings), AvgPool(**settings, count_padding=count_padding)
    assume(fits(mean, (2, *size)))
    x = codes(np.random.default_rng(seed), UINT8, 2, 2, *size)
    source = Quantization(1.0, 100)
    rows, cols = mean.windows(x.shape[1:])
    arguments = {"output": source, "arithmetic": UINT8}
    maxima = compute(step_of(largest, Tensor(x, source), **arguments)).values
    means = compute(step_of(mean, Tensor(x, source), **arguments)).values
    for n, c, (p, hs), (q, ws) in product(range(2), range(2), positions(rows), positions(cols)):
        taps = [int(x[n, c, h, w]) for h in hs if 0 <= h < size[0] for w in ws if 0 <= w < size[1]]
        assert maxima[n, c, p, q] == max(taps)
        count = len(taps)
        if count_padding:
            inside = [h for h in hs if h < size[0] + padding[1]]
            count = len(inside) * len([w for w in ws if w < size[1] + padding[3]])
        share = np.float32(1) / np.float32(count)
        assert means[n, c, p, q] == requantized(sum(taps) - 100 * len(taps), share, source, UINT8)


@given(seed=SEEDS, m=st.integers(1, 4), n=st.integers(1, 4), k=st.integers(1, 30))
def test_dense_and_matmul(seed: int, m: int, n: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = codes(generator, UINT8, 2, m, k), codes(generator, UINT8, 2, k, n)
    weight = generator.integers(-128, 128, (n, k), np.int8)
    first, second, output = Quantization(0.5, 3), Quantization(0.25, 200), Quantization(64.0, 9)
    settings = {"output": output, "arithmetic": UINT8}
    matmul = compute(step_of(MatMul(), Tensor(x, first), Tensor(y, second), **settings)).values
    dense = Dense(out_features=n, bias=False)
    mapped = compute(step_of(dense, Tensor(x, first), arrays={"weight": weight}, **settings)).values
    for i, row, column in product(range(2), range(m), range(n)):
        left = [int(code) - 3 for code in x[i, row]]
        right = [int(code) - 200 for code in y[i, :, column]]
        psum = sum(a * b for a, b in zip(left, right, strict=True))
        expected = requantized(psum, np.float32(0.125 / 64), output, UINT8)
        assert matmul[i, row, column] == expected
        psum = sum(a * int(b) for a, b in zip(left, weight[column], strict=True))
        expected = requantized(psum, np.float32(0.5 / 64), output, UINT8)
        assert mapped[i, row, column] == expected


@given(seed=SEEDS, zero_points=st.lists(st.integers(0, 255), min_size=2, max_size=4))
def test_add_and_concat(seed: int, zero_points: list[int]) -> None:
    generator = np.random.default_rng(seed)
    scales = generator.random(len(zero_points)) + 0.1
    inputs = [
        Tensor(codes(generator, UINT8, 1, 3, 2, 2), Quantization(float(scale), zero_point))
        for scale, zero_point in zip(scales, zero_points, strict=True)
    ]
    output = Quantization(0.7, 40)
    total = compute(step_of(Add(), *inputs, output=output, arithmetic=UINT8)).values
    joined = compute(step_of(Concat(), *inputs, output=output, arithmetic=UINT8)).values
    ratios = [np.float32(x.quantization.scale) / np.float32(0.7) for x in inputs]
    for c, h, w in product(range(3), range(2), range(2)):
        terms = [int(x.values[0, c, h, w]) - x.quantization.zero_point for x in inputs]
        whole = reduce(np.add, [np.float32(t) * r for t, r in zip(terms, ratios, strict=True)])
        assert total[0, c, h, w] == min(max(round(float(whole)) + 40, 0), 255)
        for i, (term, ratio) in enumerate(zip(terms, ratios, strict=True)):
            assert joined[0, 3 * i + c, h, w] == requantized(term, ratio, output, UINT8)


@given(seed=SEEDS, channels=st.integers(1, 8), size=st.sampled_from([1, 3, 5]))
def test_lrn(seed: int, channels: int, size: int) -> None:
    x = codes(np.random.default_rng(seed), INT8, 1, channels, 2, 2)
    op = Lrn(size=size, alpha=0.5, beta=0.75, bias=2.0)
    source, output = Quantization(1 / 16, 0), Quantization(1 / 32, 5)
    ofmap = compute(step_of(op, Tensor(x, source), output=output)).values
    for c, h, w in product(range(channels), range(2), range(2)):
        around = x[0, max(c - size // 2, 0) : c + size // 2 + 1, h, w].astype(int)
        factor = np.float32((2 + 0.5 / size * int((around**2).sum()) / 256) ** -0.75)
        expected = requantized(int(x[0, c, h, w]), factor * np.float32(2), output, INT8)
        assert ofmap[0, c, h, w] == expected

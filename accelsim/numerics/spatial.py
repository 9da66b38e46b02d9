"""The values of layers that pad, resize and make feature maps larger, or share no weights."""

from dataclasses import replace
from functools import singledispatch

import numpy as np
from numpy.typing import NDArray

from accelsim.network.ops import Local, Op, Pad, Phase, Phases, Resize, Window
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, IntegerFormat, Tensor
from accelsim.numerics.taps import grouped, taps_over, unit_of

_ALL = slice(None)
Index = NDArray[np.int64]


def padded(op: Pad, work: Computation) -> Array:
    """The ofmap of a pad, (N, ...)."""
    (x,) = work.inputs
    sides = ((0, 0), *zip(op.before, op.after, strict=True))
    if op.mode == "reflect":
        values = np.pad(x.values, sides, mode="reflect")
    elif op.mode == "edge":
        values = np.pad(x.values, sides, mode="edge")
    else:
        shape, step = x.values.shape[:1] + work.layer.output_shape, op.step
        values = np.full(shape, _code(op.value, x, work), x.values.dtype)
        places = map(slice, op.before, op.ends(x.values.shape[1:]), step)
        values[:, *places] = x.values
    return work.arithmetic.rescale(Tensor(values, x.quantization), work.output)


def _code(value: float, x: Tensor, work: Computation) -> float:
    """What stands for a real number in a tensor."""
    format_ = work.arithmetic.activation
    if not isinstance(format_, IntegerFormat):
        return float(format_.rounded(np.asarray(value)))
    code = round(value / x.quantization.scale) + x.quantization.zero_point
    return max(format_.lowest, min(format_.highest, code))


def resized(op: Resize, work: Computation, rows: slice = _ALL, cols: slice = _ALL) -> Array:
    """Rows and columns (N, C, p, q) of the ofmap of a resize."""
    (x,) = work.inputs
    down, across = (_places(op, axis, x.values.shape[axis + 2]) for axis in (0, 1))
    down, across = down[rows], across[cols]
    if op.mode == "nearest":
        height, width = x.values.shape[2:]
        near = x.values[:, :, _nearest(op, down, height)][..., _nearest(op, across, width)]
        return work.arithmetic.rescale(Tensor(near, x.quantization), work.output)
    terms = []
    for row, upper in _two(down, x.values.shape[2]):
        for col, left in _two(across, x.values.shape[3]):
            corner = Tensor(x.values[:, :, row][..., col], x.quantization)
            terms.append((corner, np.outer(upper, left)))
    return work.arithmetic.combined(terms, work.output)


def _places(op: Resize, axis: int, given: int) -> NDArray[np.float64]:
    """Where each place down (axis 0) or across lies among those that are given."""
    wanted = op.size[axis]
    index = np.arange(wanted, dtype=np.float64)
    apart = given / wanted if op.scales is None else 1 / op.scales[axis]
    match op.coordinates:
        case "align_corners":
            return index * ((given - 1) / (wanted - 1)) if wanted > 1 else 0 * index
        case "asymmetric":
            return index * apart
        case "pytorch_half_pixel" if wanted == 1:
            return 0 * index
        case _:
            return (index + 0.5) * apart - 0.5


def _nearest(op: Resize, places: NDArray[np.float64], size: int) -> Index:
    rounded = {
        "round_prefer_floor": lambda: np.ceil(places - 0.5),
        "round_prefer_ceil": lambda: np.floor(places + 0.5),
        "floor": lambda: np.floor(places),
        "ceil": lambda: np.ceil(places),
    }[op.rounding]()
    return np.asarray(np.clip(rounded, 0, size - 1), np.int64)


def _two(places: NDArray[np.float64], size: int) -> list[tuple[Index, NDArray[np.float64]]]:
    """The values on both sides of places, and what share each has."""
    inside = np.clip(places, 0, size - 1)
    lower = np.floor(inside).astype(np.int64)
    share = inside - lower
    return [(lower, 1 - share), (np.minimum(lower + 1, size - 1), share)]


def shares_of(op: Resize, axis: int, given: int) -> NDArray[np.float64]:
    """What share each value down (axis 0) or across has of those given, (wanted, given)."""
    wanted = op.size[axis]
    places, shares = _places(op, axis, given), np.zeros((wanted, given))
    every = np.arange(wanted)
    if op.mode == "nearest":
        shares[every, _nearest(op, places, given)] = 1
        return shares
    for index, share in _two(places, given):
        shares[every, index] += share
    return shares


def joined_phases(op: Phases, work: Computation) -> Array:
    """Every map in its place, (N, K, H, W)."""
    parts = [work.arithmetic.rescale(x, work.output) for x in work.inputs]
    whole = np.zeros((work.batch, *work.layer.output_shape), parts[0].dtype)
    down, across = op.stride
    for (top, left), part in zip(op.places, parts, strict=True):
        whole[..., top::down, left::across] = part
    return whole


@singledispatch
def placed(op: Op, work: Computation) -> Array:
    """The whole ofmap of a layer that only moves values."""
    raise NotImplementedError(f"no rule for layers of type {op.name!r}")


placed.register(Pad, padded)
placed.register(Resize, resized)
placed.register(Phases, joined_phases)


# --- Convolutions of another kind -----------------------------------------------------------------


def phase_of(op: Phase, work: Computation) -> Ofmap:
    """Zeros between the values of the ifmap, a convolution of stride 1, and of that the phase."""
    (x,), arithmetic = work.inputs, work.arithmetic
    _, height, width = op.whole(work.layer.input_shapes[0])
    rows, cols = (
        Window(
            size=(n - 1) * stride + 1,
            kernel=kernel,
            stride=1,
            dilation=dilation,
            before=(kernel - 1) * dilation - before,
        )
        for n, kernel, stride, dilation, before in zip(
            x.values.shape[2:], op.kernel, op.stride, op.dilation, op.padding[::2], strict=True
        )
    )
    rows, cols = (
        replace(axis, after=size + axis.extent - 1 - axis.before - axis.size)
        for axis, size in ((rows, height), (cols, width))
    )
    spread = np.zeros((*x.values.shape[:2], rows.size, cols.size), x.values.dtype)
    spread[...] = x.quantization.zero_point
    spread[..., :: op.stride[0], :: op.stride[1]] = x.values
    weight = arithmetic.operand(work.parameters.weight)[..., ::-1, ::-1]
    weight = weight.reshape(op.groups, op.out_channels // op.groups, -1)
    start = arithmetic.preload(grouped(work.parameters.bias, op.groups))
    unit = np.broadcast_to(unit_of(work), op.out_channels).reshape(*weight.shape[:2], 1)
    ofmap = []
    for image in arithmetic.operand(Tensor(spread, x.quantization)):
        columns = taps_over(image, rows, cols, 0).reshape(op.groups, weight.shape[-1], -1)
        psum = arithmetic.accumulate(start, weight, columns)
        codes = arithmetic.finish(psum, unit, work.output, op.activation)
        whole = codes.reshape(op.out_channels, height, width)
        ofmap.append(whole[:, op.at[0] :: op.stride[0], op.at[1] :: op.stride[1]])
    return Ofmap(np.stack(ofmap))


def unshared(op: Local, work: Computation) -> Ofmap:
    """Place by place: filters (PQ, K, CRS) times windows (PQ, CRS, N)."""
    (x,), arithmetic = work.inputs, work.arithmetic
    windows = op.windows(work.layer.input_shapes[0])
    channels, height, width = work.layer.output_shape
    seen = taps_over(arithmetic.operand(x), *windows, 0)
    columns = seen.reshape(work.batch, -1, height * width).transpose(2, 1, 0)
    weight = arithmetic.operand(work.parameters.weight)
    weight = weight.reshape(channels, height * width, -1).swapaxes(0, 1)
    bias = work.parameters.bias
    start = arithmetic.preload(None if bias is None else bias.reshape(channels, -1).T)
    unit = np.broadcast_to(unit_of(work), channels).reshape(1, channels, 1)
    psum = arithmetic.accumulate(start, weight, columns)
    codes = arithmetic.finish(psum, unit, work.output, op.activation)
    ofmap = codes.transpose(2, 1, 0).reshape(work.batch, channels, height, width)
    return Ofmap(ofmap, arithmetic.overflowed(psum))

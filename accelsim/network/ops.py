"""The layer types: one frozen record each, with its shape law, parameters and MACs.

Shapes leave the batch out: a feature map is (channels, height, width), a vector (features,),
a matrix (rows, features). The papers' letters: a convolution has C = in_channels / groups,
K = out_channels, an R x S kernel, a P x Q ofmap.

The records are also the schema of the network file: a frontend builds them through pydantic,
which turns `kernel: 3` into (3, 3) with the validators named here. They raise ShapeError when
their inputs do not fit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from accelsim.errors import ShapeError
from accelsim.text import shown
from accelsim.units import ceil_div

Shape = tuple[int, ...]
Activation = Literal["relu", "leaky_relu", "sigmoid", "tanh"]

# --- Field types of the network file -------------------------------------------------------------


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value: object) -> object:
    """One number for both axes, or (height, width)."""
    if _whole(value):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value
    raise ValueError(f"expected a whole number or a pair [height, width], found {shown(value)}")


def _kernel(value: object) -> object:
    """As `_pair`, or "global"."""
    try:
        return value if value == "global" else _pair(value)
    except ValueError:
        raise ValueError(
            f"expected a whole number, a pair [height, width] or 'global', found {shown(value)}"
        ) from None


def _padding(value: object) -> object:
    """One number, (height, width), or (top, bottom, left, right); "valid" is no padding."""
    if _whole(value):
        return (value,) * 4
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value[0], value[0], value[1], value[1]
    if value == "valid":
        return 0, 0, 0, 0
    if value == "same" or (isinstance(value, (list, tuple)) and len(value) == 4):
        return value
    raise ValueError(
        "expected a whole number, a pair [height, width], four sides [top, bottom, left, right], "
        f"'same' or 'valid', found {shown(value)}"
    )


Positive = Annotated[int, Field(gt=0, le=2**24, strict=True)]
NonNegative = Annotated[int, Field(ge=0, le=2**24, strict=True)]
Pair = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(_pair, json_schema_input_type=Positive | tuple[Positive, Positive]),
]
Kernel = Annotated[
    tuple[Positive, Positive] | Literal["global"],
    BeforeValidator(
        _kernel, json_schema_input_type=Positive | tuple[Positive, Positive] | Literal["global"]
    ),
]
Sides = tuple[NonNegative, NonNegative, NonNegative, NonNegative]
Padding = Annotated[
    Sides | Literal["same"],
    BeforeValidator(
        _padding,
        json_schema_input_type=NonNegative
        | tuple[NonNegative, NonNegative]
        | Sides
        | Literal["same", "valid"],
    ),
]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False, strict=True)]
"""A number written as one, so large at most that values of float32 stay finite."""
NonNegativeReal = Annotated[Real, Field(ge=0)]
_STRICT = ConfigDict(extra="forbid")


# --- Sliding windows ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window along one spatial axis of `size` elements, padded at both ends."""

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False

    @property
    def extent(self) -> int:
        """Elements from the first to the last tap of the kernel."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def outputs(self) -> int:
        """Positions of the window: floor((n + 2p - f)/s) + 1.

        With ceil_mode the division rounds up, but a window that would start in the padding
        after the data is dropped (Caffe's and PyTorch's rule).
        """
        room = self.size + self.before + self.after - self.extent
        if room < 0:
            return 0
        if not self.ceil_mode:
            return room // self.stride + 1
        count = ceil_div(room, self.stride) + 1
        return count - 1 if (count - 1) * self.stride >= self.size + self.before else count

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """The input elements [first, last) that outputs [start, stop) touch, padding left out."""
        first = start * self.stride - self.before
        last = (stop - 1) * self.stride - self.before + self.extent
        return min(max(first, 0), self.size), min(max(last, 0), self.size)


def _same(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Padding (before, after) that makes ceil(size / stride) outputs (TensorFlow's `SAME`)."""
    extent = (kernel - 1) * dilation + 1
    total = max((ceil_div(size, stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def _windows(
    shape: Shape,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Sides | Literal["same"],
    dilation: tuple[int, int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Window, Window]:
    """The vertical and the horizontal window over a (C, H, W) feature map."""
    vertical, horizontal = (
        (padding[:2], padding[2:])
        if padding != "same"
        else (_same(*axis) for axis in zip(shape[1:], kernel, stride, dilation, strict=True))
    )
    rows = Window(shape[1], kernel[0], stride[0], dilation[0], *vertical, ceil_mode)
    cols = Window(shape[2], kernel[1], stride[1], dilation[1], *horizontal, ceil_mode)
    if rows.outputs < 1 or cols.outputs < 1:
        raise ShapeError(
            f"the {rows.extent}x{cols.extent} kernel does not fit the padded input of "
            f"{rows.size + rows.before + rows.after}x{cols.size + cols.before + cols.after}; "
            "use a smaller kernel or dilation, or more padding"
        )
    return rows, cols


def _one(inputs: tuple[Shape, ...], ranks: tuple[int, ...] = ()) -> Shape:
    """The only input; ShapeError if there are more or its rank is not one of `ranks`."""
    if len(inputs) != 1:
        raise ShapeError(f"takes one input, found {len(inputs)}")
    if ranks and len(inputs[0]) not in ranks:
        names = {1: "a vector", 2: "a matrix", 3: "a feature map (channels, height, width)"}
        wanted = " or ".join(names[rank] for rank in ranks)
        raise ShapeError(f"needs {wanted}, found shape {inputs[0]}")
    return inputs[0]


# --- Layer types ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """What all layer types share. `name` is what a network file calls the type."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    name: ClassVar[str]

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Return the ofmap's shape; raises ShapeError."""
        raise NotImplementedError

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        """Shapes of the learned arrays by name ("weight", "bias", ...)."""
        return {}

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-accumulates for one image."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv(Op):
    """Two-dimensional convolution; depthwise is groups = in_channels."""

    name: ClassVar[str] = "conv"
    out_channels: Positive
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: Positive = 1
    bias: bool = True
    activation: Activation | None = None

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The vertical and horizontal window over an ifmap of `shape` (C, H, W)."""
        return _windows(shape, self.kernel, self.stride, self.padding, self.dilation)

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = _one(inputs, (3,))
        if shape[0] % self.groups:
            raise ShapeError(f"{shape[0]} input channels do not divide into {self.groups} groups")
        if self.out_channels % self.groups:
            raise ShapeError(
                f"out_channels {self.out_channels} does not divide into {self.groups} groups"
            )
        rows, cols = self.windows(shape)
        return self.out_channels, rows.outputs, cols.outputs

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        weight = (self.out_channels, inputs[0][0] // self.groups, *self.kernel)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.output_shape(inputs)) * math.prod(
            self.parameter_shapes(inputs)["weight"][1:]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(Op):
    """Fully connected: a feature map is flattened first; a matrix is mapped row by row."""

    name: ClassVar[str] = "dense"
    out_features: Positive
    bias: bool = True
    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = _one(inputs, (1, 2, 3))
        return (shape[0], self.out_features) if len(shape) == 2 else (self.out_features,)

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        features = inputs[0][1] if len(inputs[0]) == 2 else math.prod(inputs[0])
        weight = (self.out_features, features)
        return {"weight": weight} | ({"bias": weight[:1]} if self.bias else {})

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.output_shape(inputs)) * self.parameter_shapes(inputs)["weight"][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul(Op):
    """Product of two computed matrices, (m, k) x (k, n), image by image."""

    name: ClassVar[str] = "matmul"
    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs) != 2 or any(len(shape) != 2 for shape in inputs):
            raise ShapeError(f"takes two matrices, found shapes {list(inputs)}")
        (m, k), (k2, n) = inputs
        if k != k2:
            raise ShapeError(f"inner sizes differ: {m}x{k} times {k2}x{n}")
        return m, n

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return math.prod(self.output_shape(inputs)) * inputs[0][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(Op):
    """What both poolings share; kernel `global` covers the whole feature map."""

    kernel: Kernel
    stride: Pair | None = field(default=None)
    padding: Padding = (0, 0, 0, 0)
    ceil_mode: bool = False

    def windows(self, shape: Shape) -> tuple[Window, Window]:
        """The vertical and horizontal window over an ifmap of `shape` (C, H, W)."""
        kernel = (shape[1], shape[2]) if self.kernel == "global" else self.kernel
        return _windows(
            shape, kernel, self.stride or kernel, self.padding, ceil_mode=self.ceil_mode
        )

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        shape = _one(inputs, (3,))
        rows, cols = self.windows(shape)
        for window in (rows, cols):
            if max(window.before, window.after) >= window.kernel:
                raise ShapeError(
                    f"padding {max(window.before, window.after)} leaves a window of "
                    f"{window.kernel} with no data; pad less than the kernel"
                )
        return shape[0], rows.outputs, cols.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxPool(Pool):
    """Maximum over a window; padding never wins. The stride defaults to the kernel."""

    name: ClassVar[str] = "max_pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class AvgPool(Pool):
    """Mean over a window; the stride defaults to the kernel.

    With count_padding the divisor counts padded positions too (but not what ceil_mode adds
    beyond them); without, only data.
    """

    name: ClassVar[str] = "avg_pool"
    count_padding: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Elementwise(Op):
    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Inputs have one shape, or are (C, 1, 1) beside (C, H, W)."""
        if len(inputs) < 2:
            raise ShapeError(f"takes two or more inputs, found {len(inputs)}")
        largest = max(inputs, key=math.prod)
        for shape in inputs:
            per_channel = len(largest) == 3 and shape == (largest[0], 1, 1)
            if shape != largest and not per_channel:
                raise ShapeError(f"input shapes differ: {', '.join(map(str, inputs))}")
        return largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(_Elementwise):
    """Element-wise sum; a (C, 1, 1) input is added to every pixel of its channel."""

    name: ClassVar[str] = "add"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul(_Elementwise):
    """Element-wise product of two inputs; a (C, 1, 1) input scales its channel."""

    name: ClassVar[str] = "mul"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if len(inputs) != 2:
            raise ShapeError(f"takes two inputs, found {len(inputs)}")
        return _Elementwise.output_shape(self, inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(Op):
    """Inputs one after another along the channels (feature maps) or the last axis."""

    name: ClassVar[str] = "concat"

    @staticmethod
    def axis(shape: Shape) -> int:
        """The axis that is joined, batch left out."""
        return 0 if len(shape) == 3 else len(shape) - 1

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if not inputs:
            raise ShapeError("takes at least one input, found none")
        axis = self.axis(inputs[0])
        rest = {(len(s), *s[:axis], *s[axis + 1 :]) for s in inputs}
        if len(rest) > 1:
            raise ShapeError(f"inputs differ beyond the joined axis: {', '.join(map(str, inputs))}")
        joined = sum(shape[axis] for shape in inputs)
        return (*inputs[0][:axis], joined, *inputs[0][axis + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Flatten(Op):
    """The input as a vector; moves nothing."""

    name: ClassVar[str] = "flatten"

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return (math.prod(_one(inputs)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(Op):
    """The input's elements in another shape; moves nothing."""

    name: ClassVar[str] = "reshape"
    shape: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=3)]

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        have, want = math.prod(_one(inputs)), math.prod(self.shape)
        if have != want:
            raise ShapeError(f"{inputs[0]} holds {have} elements, {self.shape} needs {want}")
        return self.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unary(Op):
    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return _one(inputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relu(_Unary):
    """max(x, 0)."""

    name: ClassVar[str] = "relu"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakyRelu(_Unary):
    """x where x > 0, slope * x elsewhere. As a fused activation the slope is 0.01."""

    name: ClassVar[str] = "leaky_relu"
    slope: Real = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(_Unary):
    """1 / (1 + exp(-x))."""

    name: ClassVar[str] = "sigmoid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tanh(_Unary):
    """Hyperbolic tangent."""

    name: ClassVar[str] = "tanh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(_Unary):
    """exp(x) / sum of exp(x), over the channels of a feature map, else over the last axis."""

    name: ClassVar[str] = "softmax"

    @staticmethod
    def axis(shape: Shape) -> int:
        """The axis that is normalised, batch left out."""
        return 0 if len(shape) == 3 else len(shape) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Lrn(Op):
    """Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3).

    y = x / (bias + alpha/size * sum of x^2 over `size` channels around)^beta; the division of
    alpha by the size is Caffe's and ONNX's convention.
    """

    name: ClassVar[str] = "lrn"
    size: Positive = 5
    alpha: NonNegativeReal = 1e-4
    beta: Annotated[Real, Field(ge=-8, le=8)] = 0.75
    bias: Annotated[Real, Field(ge=1e-6)] = 1.0

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        if self.size % 2 == 0:
            raise ShapeError(f"size {self.size} must be odd, to lie around its channel")
        return _one(inputs, (3,))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(Op):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta, per channel, with stored statistics.

    Only gamma and beta are learned; mean and variance count as no parameters.
    """

    name: ClassVar[str] = "batch_norm"
    epsilon: NonNegativeReal = 1e-5
    activation: Activation | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return _one(inputs, (1, 3))

    def parameter_shapes(self, inputs: tuple[Shape, ...]) -> Mapping[str, Shape]:
        return {"gamma": inputs[0][:1], "beta": inputs[0][:1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(_Unary):
    """The identity at inference."""

    name: ClassVar[str] = "dropout"
    rate: Annotated[Real, Field(ge=0, lt=1)] = 0.5


OPS: Mapping[str, type[Op]] = {
    op.name: op
    for op in (
        *(Conv, Dense, MatMul, MaxPool, AvgPool, Add, Mul, Concat, Flatten, Reshape),
        *(Relu, LeakyRelu, Sigmoid, Tanh, Softmax, Lrn, BatchNorm, Dropout),
    )
}

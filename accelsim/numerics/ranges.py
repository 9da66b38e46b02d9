"""What is known of the values of a network's tensors before any is computed: what codes stand for,
and about how large they are.

Scales are chosen by formula so that the ofmaps use about a quarter of their range, however deep the
network is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from accelsim.network.graph import Layer, Network
from accelsim.network.ops import (
    Add,
    Append,
    ArgMax,
    AsValues,
    AttentionContext,
    AvgPool,
    BatchNorm,
    ClassToken,
    Clip,
    Concat,
    Conv,
    Dense,
    Dropout,
    DynamicQuantize,
    Elu,
    Embedding,
    Expand,
    Flatten,
    Gelu,
    HardSwish,
    Larger,
    Largest,
    LeakyRelu,
    Local,
    Lrn,
    Maps,
    MaxPool,
    Mean,
    Normalised,
    Pad,
    Phase,
    Phases,
    Pool,
    Position,
    Product,
    Relu,
    Remainder,
    Reshape,
    Resize,
    Rotary,
    ScaleShift,
    Silu,
    Smaller,
    Softmax,
    Sort,
    SubSampling,
    Sum,
    Taking,
    Transpose,
    Where,
)
from accelsim.numerics.formats import (
    Array,
    Format,
    IntegerFormat,
    Quantization,
)

SAME_CODES = (Flatten, Reshape, Dropout)
"""Layers whose ofmap is their ifmap's codes, whatever they stand for."""

_SAME_SCALE = (
    *SAME_CODES,
    *(MaxPool, AvgPool, Relu, LeakyRelu, Clip, Elu, Gelu, Silu, HardSwish, Add, Concat, Lrn),
    *(Transpose, Taking, Mean, Largest, Position, ClassToken, Rotary, Pad, Resize, Phases, Expand),
    *(Maps, DynamicQuantize),
)

_RECTIFIERS = ("relu", "relu6", "gelu", "silu", "hard_swish", "elu")

# --- How large values are: estimates for normal values, used to choose scales ---------------------

_RECTIFIED = math.sqrt(0.5)  # rms of max(x, 0) over that of x
_HIGHEST_OF_WINDOW = 1.35  # rms of the largest of 2 x 2 rectified values over that of one, measured
_MEAN_OF_WINDOW = 0.6  # mean of rectified values over their rms
_CLIPPED = 2.4  # rms of an ofmap that clips wholesale, over the rms aimed at


def uniform_rms(format_: Format) -> float:
    """The rms of random values: codes of the whole format, or floats in -1 to 1."""
    return format_.codes / math.sqrt(12) if isinstance(format_, IntegerFormat) else 3**-0.5


def target_rms(format_: Format) -> float:
    """The rms that ofmaps should have: a quarter of the codes on one side of zero."""
    return format_.codes / 8 if isinstance(format_, IntegerFormat) else 0.25


def _rms(layer: Layer, inputs: list[float], target: float) -> float:
    """An estimate of the ofmap's rms from those of the inputs."""
    match layer.op:
        case AttentionContext() | Append():
            rms = inputs[1]
        case (
            Conv()
            | Phase()
            | Local()
            | Dense()
            | Product()
            | Embedding()
            | BatchNorm()
            | Normalised()
            | ScaleShift()
            | Sum()
        ):
            rms = target
        case Position():
            rms = math.hypot(inputs[0], target)
        case Add():
            rms = math.hypot(*inputs)
        case MaxPool():
            rms = inputs[0] * _HIGHEST_OF_WINDOW
        case SubSampling():
            rms = target
        case AvgPool() | Mean():
            rms = inputs[0] * _MEAN_OF_WINDOW
        case Relu() | Clip() | Gelu() | Silu() | HardSwish() | Elu():
            rms = inputs[0] * _RECTIFIED
        case Softmax() as op:
            shape = layer.output_shape
            rms = 8 * target / shape[op.along(shape)]
        case _:
            rms = max(inputs)
    if getattr(layer.op, "activation", None) in _RECTIFIERS:
        rms *= _RECTIFIED
    return min(rms, _CLIPPED * target)


@dataclass(frozen=True, slots=True)
class Range:
    """What is known of a tensor before its values: their meaning, and about how large they are.

    `rms` is in codes, from the zero point. `entries`: it numbers so many entries of a table.
    """

    quantization: Quantization
    rms: float
    entries: int | None = None

    @property
    def real_rms(self) -> float:
        """The rms of the real numbers."""
        return self.quantization.scale * self.rms


def _default(layer: Layer, inputs: list[Range], format_: Format) -> Quantization:
    """The ofmap's quantization where no file says otherwise."""
    match layer.op:
        case Softmax():
            return format_.fraction
        case Dense(shares=str()) as op if isinstance(format_, IntegerFormat) and len(inputs) > 1:
            features = op.weight_shape(layer.input_shapes)[1]
            return _wide(math.sqrt(features) * inputs[0].real_rms * inputs[1].real_rms, format_)
        case AttentionContext() | Append():  # means of values; more of the same rows
            return inputs[1].quantization
        case Product() as op if isinstance(format_, IntegerFormat):
            k = op.sizes(layer.input_shapes).k
            factor = abs(op.factor_of(layer.input_shapes)) or 1.0
            return _wide(factor * math.sqrt(k) * inputs[0].real_rms * inputs[1].real_rms, format_)
        case Sum() as op if isinstance(format_, IntegerFormat):
            _, along, _ = op.parts(layer.input_shapes[0])
            return _wide(math.sqrt(along) * inputs[0].real_rms, format_)
        case ArgMax() | AsValues() | Sort(gives="places") if isinstance(format_, IntegerFormat):
            return Quantization(1.0, format_.lowest)
        case Sort():
            return inputs[0].quantization
        case Where() | Remainder() | Larger() | Smaller():
            return inputs[-1].quantization
        case op if isinstance(op, _SAME_SCALE):
            return inputs[0].quantization
        case _:
            return format_.common


def _wide(real_rms: float, format_: IntegerFormat) -> Quantization:
    """The power of two with which numbers of this rms use their codes well."""
    power = round(math.log2(real_rms / target_rms(format_)))
    return Quantization(2.0**power, format_.common.zero_point)


def given_quantization(
    given: Mapping[str, Array], prefix: str, default: Quantization
) -> Quantization:
    """`default`, with what `given` says under keys that begin so."""
    return Quantization(
        scale=float(given.get(f"{prefix}scale", default.scale)),
        zero_point=int(given.get(f"{prefix}zero_point", default.zero_point)),
        lowest=float(given.get(f"{prefix}lowest", -math.inf)),
        highest=float(given.get(f"{prefix}highest", math.inf)),
    )


def ranges_of(network: Network, format_: Format, given: Mapping[str, Array]) -> dict[str, Range]:
    """The range of every tensor of `network` whose activations have `format_`."""
    ranges = {}
    for name in network.inputs:
        meaning = given_quantization(given, f"{name}.", format_.common)
        entries = network.entries.get(name)
        ranges[name] = Range(meaning, uniform_rms(format_), entries)
    for layer in network.layers:
        owner = layer.op.owner_of_parameters
        shared = [ranges[owner]] if isinstance(layer.op, Dense) and owner in ranges else []
        inputs = [ranges[source] for source in layer.inputs] + shared
        default = _default(layer, inputs, format_)
        meaning = given_quantization(given, f"{layer.name}.output_", default)
        rms = _rms(layer, [source.rms for source in inputs], target_rms(format_))
        ranges[layer.name] = Range(meaning, rms)
    return ranges


def window_taps(layer: Layer) -> int:
    """Values that a pooling sums, 1 for other layers."""
    if not isinstance(layer.op, Pool):
        return 1
    rows, cols = layer.op.windows(layer.input_shapes[0])
    return rows.kernel * cols.kernel

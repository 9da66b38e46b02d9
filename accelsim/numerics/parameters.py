"""Learned values, quantizations and inputs of a network: given, or else seeded random.

Every array has its own generator, from the seed and the array's name, so layers can be made one
at a time and in any order. Random integers fill their whole format; scales are those of `ranges`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from numpy.random import Generator

from accelsim.errors import InputError, Problem
from accelsim.network.graph import Layer, Network, learned_shapes
from accelsim.network.ops import (
    Local,
    Phase,
    ScaleShift,
    Shape,
    TokenLayer,
)
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.formats import (
    FLOAT64,
    Array,
    FloatFormat,
    Format,
    IntegerFormat,
    Quantization,
    Tensor,
)
from accelsim.numerics.mixtures import weight_shape, with_shares
from accelsim.numerics.ranges import (
    Range,
    ranges_of,
    target_rms,
    uniform_rms,
    window_taps,
)
from accelsim.units import ceil_div


def _between(generator: Generator, low: float, high: float, shape: Shape) -> Array:
    """Uniform float32 numbers in [low, high), without a float64 array on the way."""
    values = generator.random(shape, np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def _random(generator: Generator, format_: Format, shape: Shape) -> Array:
    """Uniform codes of the whole format, cut from 64-bit words; or floats in [-1, 1)."""
    if isinstance(format_, FloatFormat):
        return _between(generator, -1, 1, shape)
    dtype, count = format_.dtype, math.prod(shape)
    words = generator.bit_generator.random_raw(ceil_div(count * dtype.itemsize, 8))
    codes = np.asarray(words).view(dtype)[:count].reshape(shape)
    unused = 8 * dtype.itemsize - format_.bits
    return np.right_shift(codes, unused) if unused else codes


@dataclass(frozen=True, slots=True)
class LayerParameters:
    """Learned values of one layer by name ("weight", "bias", ...), as stored.

    With integers, a weight's code stands for `weight_scale` (float32, () or (out_channels,))
    times its distance from `weight_zero_point`, and biases are psums.
    """

    arrays: Mapping[str, Array]
    weight_scale: Array
    weight_zero_point: int = 0

    @property
    def weight(self) -> Tensor:
        """The weights and their zero point."""
        return Tensor(self.arrays["weight"], Quantization(1.0, self.weight_zero_point))

    @property
    def bias(self) -> Array | None:
        """One psum per output channel, if the layer has any."""
        return self.arrays.get("bias")

    @property
    def without_bias(self) -> "LayerParameters":
        """The same for a layer that adds none."""
        arrays = {name: array for name, array in self.arrays.items() if name != "bias"}
        return replace(self, arrays=arrays) if "bias" in self.arrays else self


@dataclass(frozen=True, slots=True)
class Parameters:
    """Everything a network computes with; arrays are read or made when they are asked for.

    `ranges` names every tensor: the network's inputs and the layers. `given` holds arrays by the
    keys of a parameter file (see `parameter_file`); what is missing there is random.
    Scales of the layers `calibrated` were chosen, for so many images (see `calibration`).
    """

    arithmetic: Arithmetic
    ranges: Mapping[str, Range]
    given: Mapping[str, Array]
    seed: int = 0
    calibrated: tuple[str, ...] = ()
    calibrated_on: int = 0

    @classmethod
    def of(
        cls,
        network: Network,
        arithmetic: Arithmetic,
        seed: int = 0,
        given: Mapping[str, Array] | None = None,
    ) -> "Parameters":
        """The parameters of `network`: those `given`, the others from `seed`."""
        given = given or {}
        return cls(
            arithmetic=arithmetic,
            ranges=ranges_of(network, arithmetic.activation, given),
            given=given,
            seed=seed,
        )

    def with_given(self, network: Network, given: Mapping[str, Array]) -> "Parameters":
        """The same with `given` in place of what was given."""
        ranges = ranges_of(network, self.arithmetic.activation, given)
        return replace(self, ranges=ranges, given=given)

    def images(self, inputs: Mapping[str, Shape]) -> int:
        """As many images as are given of every input that is; 0 if none is."""
        counts = [
            math.prod(self.given[name].shape) // math.prod(shape)
            for name, shape in inputs.items()
            if name in self.given
        ]
        return min(counts, default=0)

    def quantization(self, name: str) -> Quantization:
        """What the codes of a network input or a layer's ofmap stand for."""
        return self.ranges[name].quantization

    def input(self, name: str, shape: Shape, batch: int = 1) -> Tensor:
        """The network input `name`, shape (batch, *shape); InputError if too few are given."""
        entries = self.ranges[name].entries
        if entries is not None:
            return Tensor(self._numbers(name, entries, (batch, *shape)))
        format_, quantization = self.arithmetic.activation, self.quantization(name)
        if name in self.given:
            values = self._enough(name, batch, shape)
        else:
            values = _random(self._generator(name), format_, (batch, *shape))
        return Tensor(quantization.cut(_stored(values, format_), format_), quantization)

    def _numbers(self, name: str, entries: int, shape: Shape) -> Array:
        """Numbers of entries of a table, int32."""
        if name not in self.given:
            return self._generator(name).integers(0, entries, shape, np.int32)
        return self._enough(name, shape[0], shape[1:]).astype(np.int32)

    def _enough(self, name: str, batch: int, shape: Shape) -> Array:
        """The first inputs that are given; InputError if they are too few."""
        values = self.given[name].reshape(-1, *shape)
        if len(values) < batch:
            message = f"a batch of {batch} needs as many inputs; the file holds {len(values)}"
            raise InputError(Problem(message=message, key=name))
        return values[:batch]

    def layer(self, layer: Layer) -> LayerParameters:
        """The learned values of `layer`; no arrays if it has none."""
        shapes = learned_shapes(layer)
        arrays = {name: self._learned(layer, name, shape) for name, shape in shapes.items()}
        arrays = with_shares(layer, arrays, self.arithmetic.filter)
        if "weight" not in arrays:
            return LayerParameters(arrays, np.ones((), np.float32))
        scale = self.given.get(f"{layer.name}.weight_scale")
        if scale is None:
            scale = self._weight_scale(layer)
        zero_point = self.given.get(
            f"{layer.name}.weight_zero_point", self.arithmetic.filter.common.zero_point
        )
        return LayerParameters(arrays, scale.astype(np.float32), int(zero_point))

    def _learned(self, layer: Layer, name: str, shape: Shape) -> Array:
        """The array `name` of `layer`, in its stored format."""
        formats: dict[str, Format | None] = {"bias": self.arithmetic.psum}
        if name != "c" or isinstance(self.arithmetic.filter, IntegerFormat):
            formats |= dict.fromkeys(("weight", "c"), self.arithmetic.filter)
        key = f"{layer.name}.{name}"
        values = self.given[key] if key in self.given else self._made(layer, name, shape)
        exact = FLOAT64 if self.arithmetic.activation == FLOAT64 else None
        return _stored(values, formats.get(name, exact))

    def _made(self, layer: Layer, name: str, shape: Shape) -> Array:
        """Random values for the array `name` of `layer`."""
        generator = self._generator(f"{layer.name}.{name}")
        size_in, size_out = self.ranges[layer.inputs[0]].real_rms, self._target(layer)
        match name:
            case "weight":
                return self._made_weight(layer, generator, shape)
            case "c":
                return _random(generator, self.arithmetic.filter, shape)
            case "bias":
                return self._made_bias(layer, generator, shape)
            case "gamma" if isinstance(layer.op, ScaleShift):
                ratio = size_out / size_in
                return _between(generator, 0.75 * ratio, 1.25 * ratio, shape)
            case "gamma":
                return _between(generator, 0.75 * size_out, 1.25 * size_out, shape)
            case "beta" if "gamma" not in layer.parameter_shapes:
                size = size_out / (size_in * window_taps(layer))
                return _between(generator, 0.75 * size, 1.25 * size, shape)
            case "beta" | "offset":
                return _between(generator, -0.5 * size_out, 0.5 * size_out, shape)
            case "mean":
                return _between(generator, -0.1 * size_in, 0.1 * size_in, shape)
            case "variance":
                return _between(generator, 0.8 * size_in**2, 1.25 * size_in**2, shape)
        raise AssertionError(f"no rule for the parameter {name!r}")

    def _made_weight(self, layer: Layer, generator: Generator, shape: Shape) -> Array:
        """Codes of the whole filter format; floats are scaled by their weight_scale here."""
        weight = _random(generator, self.arithmetic.filter, shape)
        if isinstance(self.arithmetic.filter, FloatFormat):
            scale = self._channel_scales(layer)
            np.multiply(weight, scale.reshape(-1, *(1,) * (len(shape) - 1)), out=weight)
        return weight

    def _made_bias(self, layer: Layer, generator: Generator, shape: Shape) -> Array:
        """Up to half the rms of the psum, in its format."""
        psum = self.arithmetic.psum
        if isinstance(psum, FloatFormat):
            return _between(generator, -0.5 * self._target(layer), 0.5 * self._target(layer), shape)
        limit = min(round(self._psum_rms(layer) / 2), psum.highest, 2**31 - 1)
        return generator.integers(-limit, limit, shape, np.int32, endpoint=True)

    def _psum_rms(self, layer: Layer) -> float:
        """The rms of sums of random weights times ifmap codes."""
        op, k = layer.op, math.prod((weight_shape(layer) or ())[1:])
        if isinstance(op, Phase):
            k = max(op.terms(layer.input_shapes[0]), 1)
        elif isinstance(op, Local):
            k = math.prod(layer.parameter_shapes["weight"][3:])
        if isinstance(layer.op, TokenLayer):  # its rows are taken as they are
            return uniform_rms(self.arithmetic.filter)
        source = self.ranges[layer.inputs[0]]
        return math.sqrt(k) * source.rms * uniform_rms(self.arithmetic.filter)

    def _target(self, layer: Layer) -> float:
        """The rms of the ofmap's real numbers before an activation."""
        format_ = self.arithmetic.activation
        return target_rms(format_) * self.quantization(layer.name).scale

    def _weight_scale(self, layer: Layer) -> Array:
        """What one step of a made weight code stands for, per output channel (n,); floats: 1."""
        if isinstance(self.arithmetic.filter, FloatFormat):
            return np.ones((), np.float32)
        return self._channel_scales(layer)

    def _channel_scales(self, layer: Layer) -> Array:
        """Scales (n,) that bring the psum to its target, a little different in each channel."""
        generator = self._generator(f"{layer.name}.weight_scale")
        taken = isinstance(layer.op, TokenLayer)
        ifmap_scale = 1.0 if taken else self.quantization(layer.inputs[0]).scale
        scale = self._target(layer) / (ifmap_scale * self._psum_rms(layer))
        return _between(generator, 0.8 * scale, 1.25 * scale, (weight_shape(layer) or ())[:1])

    def _generator(self, key: str) -> Generator:
        return np.random.default_rng((self.seed, crc32(key.encode())))


def _stored(values: Array, format_: Format | None) -> Array:
    """`values` (any shape) as arrays hold the format; real numbers (None) as float32."""
    if isinstance(format_, FloatFormat):
        return format_.rounded(values)
    if format_ is None:
        return values.astype(np.float32, copy=False)
    return values.astype(format_.dtype, copy=False)

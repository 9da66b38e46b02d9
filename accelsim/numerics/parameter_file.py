"""Parameters from an .npz file beside the network file, and everything that can be wrong with it.

    <layer>.weight, <layer>.bias                    as the layer's shapes say
    <layer>.gamma, .beta, .mean, .variance          batch_norm: real numbers
    <input>                                         (N, *shape) or (*shape); optional
    labels                                          (N,) which output is right; optional

With floating-point formats all of these are real numbers. With integer formats weights and inputs
are codes and biases psums; what they stand for is optional, and as in a random network if missing:

    <layer>.weight_scale                            one number, or one per output channel
    <layer>.weight_zero_point
    <layer>.output_scale, <layer>.output_zero_point not for flatten, reshape and dropout
    <input>.scale, <input>.zero_point

Scales that own weights come without are chosen for the data (see `calibration`). Real weights are
refused where the formats are integers: how to quantize them is another tool's work.
"""

import math
from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import InputError, Problem
from accelsim.network.graph import Layer, Network, Stored, learned_shapes
from accelsim.network.interface import FileTensor
from accelsim.network.ops import Shape
from accelsim.network.ops.gradients import BatchNormForward
from accelsim.network.passes import fold_parameters, foldable
from accelsim.numerics.archive import LARGEST_ARRAY, Archive, Outline, UnreadableError
from accelsim.numerics.arithmetic import Arithmetic
from accelsim.numerics.calibration import calibrated
from accelsim.numerics.formats import Array, FloatFormat, Format, IntegerFormat
from accelsim.numerics.mixtures import weight_shape
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.ranges import SAME_CODES
from accelsim.text import nearest

LABELS = "labels"
"""The key of what images should be taken for."""

_MOST_SURPLUS = 20


def load_parameters(
    network: Network,
    prepared: Network,
    arithmetic: Arithmetic,
    seed: int = 0,
    inputs: Mapping[str, Array] | None = None,
) -> Parameters:
    """The parameters of `network` as it is `prepared`: of its file, or random without one.

    The file's arrays are those of `network` as it was read; its batch norms are folded here.
    `inputs` take the place of its. Scales that own codes come without are calibrated on the inputs.
    InputError lists every array that is missing, surplus, or of the wrong shape, type or range.
    """
    if network.weights is None:
        return Parameters.of(prepared, arithmetic, seed, inputs)
    if isinstance(network.weights, Stored):
        stored = _with(_limits(network.weights, arithmetic), _stored(network, arithmetic))
        return Parameters.of(prepared, arithmetic, seed, _with(inputs, stored))
    given = Archive(network.weights)
    _refuse_codes(network, arithmetic, given)
    problems = problems_of(network, arithmetic, given)
    if problems:
        raise InputError(
            Problem(message=message, source=str(network.weights), key=key)
            for key, message in problems
        )
    arrays = _with(inputs, _folded(network, arithmetic, given))
    return calibrated(prepared, Parameters.of(prepared, arithmetic, seed, arrays))


def _with(inputs: Mapping[str, Array] | None, given: Mapping[str, Array]) -> Mapping[str, Array]:
    """What is given, with other inputs, or more that is given."""
    if not inputs:
        return given
    return ChainMap(dict(inputs), cast(MutableMapping[str, Array], given))


def _refuse_codes(network: Network, arithmetic: Arithmetic, given: Mapping[str, Array]) -> None:
    """Raise InputError where a quantized network is to be computed in real numbers."""
    scaled = next((key for key in given if key.endswith(".weight_scale")), None)
    if scaled is not None and isinstance(arithmetic.activation, FloatFormat):
        message = "is of codes; the formats are real numbers: choose integers, such as int8"
        raise InputError(Problem(message=message, source=str(network.weights), key=scaled))


def _stored(network: Network, arithmetic: Arithmetic) -> Mapping[str, Array]:
    """What a framework's model holds, its batch norms folded; the rest is random.

    Integers are a quantized model's codes, at 8 bits; real weights say nothing to them. A layer
    into which a batch norm is folded is random as a whole where any array of either is missing.
    """
    assert isinstance(network.weights, Stored)
    activation, kind = arithmetic.activation, arithmetic.filter
    given = network.weights.opened()
    if isinstance(activation, IntegerFormat) and isinstance(kind, IntegerFormat):
        eight = activation.bits == kind.bits == 8 and not foldable(network)
        given = network.weights.codes(activation.signed, kind.signed) if eight else {}
    wanted = wanted_arrays(network, arithmetic)
    problems = list(_misfits(wanted, given))
    if problems:
        raise InputError(
            Problem(message=message, source=str(network.weights), key=key)
            for key, message in problems
        )
    folds = foldable(network)
    if not folds:
        return given
    together: dict[str, list[str]] = {target: [target] for target in folds.values()}
    for norm, target in folds.items():
        together[target].append(norm)
    keys = {
        layer.name: [f"{layer.name}.{name}" for name in learned_shapes(layer)]
        for layer in network.layers
    }
    broken = {
        name
        for group in together.values()
        if any(key not in given for name in group for key in keys[name])
        for name in group
    }
    arrays = {
        name: {key.removeprefix(f"{name}."): _wide(given[key]) for key in each if key in given}
        for name, each in keys.items()
        if name not in broken
    }
    return {
        f"{layer}.{name}": array
        for layer, named in fold_parameters(network, arrays, broken).items()
        for name, array in named.items()
    }


def _limits(weights: Stored, arithmetic: Arithmetic) -> Mapping[str, Array]:
    """Where real numbers are cut that stand for codes."""
    return weights.limits() if isinstance(arithmetic.activation, FloatFormat) else {}


def _wide(array: Array) -> NDArray[np.float64]:
    return array.astype(np.float64)


def _folded(
    network: Network, arithmetic: Arithmetic, given: Mapping[str, Array]
) -> Mapping[str, Array]:
    """`given` with its batch norms folded; InputError if the weights are integers already."""
    norms = foldable(network)
    if not norms:
        return given
    if isinstance(arithmetic.filter, IntegerFormat):
        message = (
            "is folded into the layer before it, which integer weights cannot follow; fold it "
            "before quantizing and leave the layer out of the network"
        )
        raise InputError(
            Problem(message=message, source=str(network.weights), key=norm) for norm in norms
        )
    arrays = {
        layer.name: {
            name: given[f"{layer.name}.{name}"].astype(np.float64) for name in learned_shapes(layer)
        }
        for layer in network.layers
    }
    folded = {
        f"{layer}.{name}": array
        for layer, named in fold_parameters(network, arrays).items()
        for name, array in named.items()
    }
    return {**{name: given[name] for name in network.inputs if name in given}, **folded}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the array under one key has to be.

    It has one of `shapes`, and holds integers of `format`, or real numbers where that is a
    floating-point format or None, or numbers of so many `entries` of a table. An input of a
    framework's file is `in_file` as its shape there says.
    """

    shapes: tuple[Shape, ...]
    format: Format | None = None
    required: bool = True
    positive: bool = False
    batched: bool = False
    entries: int | None = None
    in_file: FileTensor | None = None

    def misfit(self, array: Array) -> str:
        """What is wrong with `array`; "" if nothing is."""
        return self.outline_misfit(Outline(array.shape, array.dtype)) or self._value_misfit(array)

    def outline_misfit(self, outline: Outline) -> str:
        """What is wrong with the shape and type of an array; "" if nothing is."""
        wrong = self._shape_misfit(outline.shape)
        if wrong:
            return f"has shape {outline.shape}, needs {wrong}"
        if outline.dtype.itemsize * math.prod(outline.shape) > LARGEST_ARRAY:
            return f"has more than {LARGEST_ARRAY:,} bytes, the most that is read"
        if self.entries is not None and outline.dtype.kind not in "iu":
            return f"holds {outline.dtype}; needs whole numbers of entries"
        truths = self.in_file is not None and outline.dtype.kind == "b"
        if isinstance(self.format, IntegerFormat) and outline.dtype.kind not in "iu" and not truths:
            return f"holds {outline.dtype}, {self.format} needs integer codes" + (
                _CODES_OF_INPUT if self.batched else _CODES
            )
        numbers = "fiu" if self.in_file is None else "fiub"
        return "" if outline.dtype.kind in numbers else f"holds {outline.dtype}; {_REAL}"

    def _shape_misfit(self, shape: Shape) -> str:
        """What is needed instead of a shape; "" if it is right."""
        if self.in_file is not None:
            fits = self.in_file.images(shape) is not None
            return "" if fits else f"{self.in_file}, as the model has it"
        if self.batched and len(shape) == len(self.shapes[0]) + 1:
            shape = shape[1:]
        wanted = " or ".join(map(str, self.shapes))
        return "" if shape in self.shapes else f"{'(N, ...) and ' * self.batched}{wanted}"

    def _value_misfit(self, array: Array) -> str:
        if not array.size:
            return "is empty"
        if self.entries is not None:
            inside = array.min() >= 0 and array.max() < self.entries
            found = f"holds {array.min()} to {array.max()}, but there are {self.entries} entries"
            return "" if inside else found
        if isinstance(self.format, IntegerFormat):
            return _range_misfit(array, self.format)
        if not np.isfinite(array).all():
            return f"holds {array.dtype}; {_REAL}"
        if self.positive and not (array > 0).all():
            return "must be positive"
        return ""


_REAL = "needs finite real numbers"
_CODES = (
    "; quantize it with another tool and give its weight_scale and output_scale, "
    "or choose floating-point formats"
)
_CODES_OF_INPUT = (
    ": its values over its scale, rounded, plus its zero point; or choose floating-point formats"
)


def _range_misfit(array: Array, format_: IntegerFormat) -> str:
    if array.min() < format_.lowest or array.max() > format_.highest:
        return (
            f"holds {array.min()} to {array.max()}, "
            f"{format_} reaches from {format_.lowest} to {format_.highest}"
        )
    return ""


def wanted_arrays(network: Network, arithmetic: Arithmetic) -> dict[str, Wanted]:
    """What a parameter file of `network` holds, by key."""
    wanted = _wanted_inputs(network, arithmetic)
    for layer in network.layers:
        wanted |= _wanted_by(layer, arithmetic)
    if LABELS not in network.inputs:
        wanted[LABELS] = Wanted(
            shapes=((),), format=IntegerFormat(32, True), required=False, batched=True
        )
    return wanted


def _wanted_inputs(network: Network, arithmetic: Arithmetic) -> dict[str, Wanted]:
    wanted = {}
    in_file = network.interface.inputs if network.interface else {}
    for name, shape in network.inputs.items():
        entries = network.entries.get(name)
        format_ = arithmetic.activation if entries is None else None
        wanted[name] = Wanted(
            shapes=(shape,),
            format=format_,
            required=False,
            batched=True,
            entries=entries,
            in_file=in_file.get(name),
        )
        if entries is not None:
            continue
        wanted |= _meaning(f"{name}.", arithmetic.activation)
    return wanted


def _meaning(prefix: str, format_: Format) -> dict[str, Wanted]:
    """A scale and a zero point, for integer formats."""
    if isinstance(format_, FloatFormat):
        return {}
    return {
        f"{prefix}scale": Wanted(shapes=((),), required=False, positive=True),
        f"{prefix}zero_point": Wanted(shapes=((),), format=format_, required=False),
    }


def _wanted_by(layer: Layer, arithmetic: Arithmetic) -> dict[str, Wanted]:
    formats: dict[str, Format] = {"weight": arithmetic.filter, "bias": arithmetic.psum}
    if isinstance(arithmetic.filter, IntegerFormat):
        formats["c"] = arithmetic.filter  # codes of shares
    wanted = {
        f"{layer.name}.{name}": Wanted(
            shapes=(shape,), format=formats.get(name), positive=name == "variance"
        )
        for name, shape in learned_shapes(layer).items()
    }
    if isinstance(layer.op, BatchNormForward):
        wanted |= _averages(layer)
    if not isinstance(layer.op, SAME_CODES):
        wanted |= _meaning(f"{layer.name}.output_", arithmetic.activation)
    weight = weight_shape(layer)
    if weight is not None and isinstance(arithmetic.filter, IntegerFormat):
        channels = weight[:1]
        wanted |= _meaning(f"{layer.name}.weight_", arithmetic.filter)
        wanted[f"{layer.name}.weight_scale"] = Wanted(
            shapes=((), channels), required=False, positive=True
        )
    return wanted


def _averages(layer: Layer) -> dict[str, Wanted]:
    """Running averages, which inference reads; a step takes the batch's, so nothing needs them."""
    shape = layer.parameter_shapes["gamma"]
    return {
        f"{layer.name}.{name}": Wanted(shapes=(shape,), required=False, positive=name == "variance")
        for name in ("mean", "variance")
    }


def problems_of(
    network: Network, arithmetic: Arithmetic, given: Mapping[str, Array]
) -> list[tuple[str, str]]:
    """Every key of `given` that is wrong, missing or surplus, with what is wrong."""
    return _problems(wanted_arrays(network, arithmetic), given)


def input_problems(
    network: Network, arithmetic: Arithmetic, given: Mapping[str, Array]
) -> list[tuple[str, str]]:
    """As `problems_of`, of inputs and what they stand for only."""
    return _problems(_wanted_inputs(network, arithmetic), given)


def _problems(wanted: Mapping[str, Wanted], given: Mapping[str, Array]) -> list[tuple[str, str]]:
    problems = [
        (key, f"is missing; needs shape {want.shapes[0]}")
        for key, want in wanted.items()
        if want.required and key not in given
    ]
    surplus = [key for key in given if key not in wanted]
    problems += [(key, _surplus(key, wanted)) for key in surplus[:_MOST_SURPLUS]]
    problems += _misfits(wanted, given)
    return problems


def _surplus(key: str, wanted: Mapping[str, Wanted]) -> str:
    near = nearest(key, wanted)
    return "no layer takes this" + (f"; did you mean {near!r}?" if near else "")


def _misfits(wanted: Mapping[str, Wanted], given: Mapping[str, Array]) -> Iterator[tuple[str, str]]:
    for key, want in wanted.items():
        if key not in given:
            continue
        try:
            outlined = want.outline_misfit(given.outline(key)) if isinstance(given, Archive) else ""
            message = outlined or want.misfit(given[key])
        except UnreadableError as error:
            message = f"cannot be read: {error}"
        if message:
            yield key, message

"""Scales that own weights come without, chosen such that ofmaps fill their format.

The reference computes some images. Of each layer whose scale is missing it notes the largest real
number on either side of zero, before an activation, and the scale is such that it has the last code
there: min-max calibration. Of a layer that has no weight scale that one is chosen, since only what
it makes of a psum counts; of one that has, the ofmap's.
"""

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from accelsim.network.graph import Layer, Network
from accelsim.network.ops import Activation
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array, IntegerFormat, Quantization, Tensor
from accelsim.numerics.gemm import Psum
from accelsim.numerics.integers import IntegerArithmetic
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import compute
from accelsim.results.values import Calibration

MOST_IMAGES = 8
"""Images that scales are chosen for, of those that are given; without any, one that is random."""

RECTIFIED = ("relu", "relu6")
"""Activations that make zero of all that is below it."""


@dataclass(frozen=True, slots=True)
class _Observing(IntegerArithmetic):
    """Integers, noting the least and the most real number that psums stand for."""

    noted: list[float] = field(default_factory=list)

    def finish(
        self, psum: Psum, unit: Array, output: Quantization, activation: Activation | None
    ) -> Array:
        sums, _ = self.accumulator.finish(psum)
        real = np.multiply(sums, unit, dtype=np.float64)
        self.noted.extend((float(real.min()), float(real.max())))
        return IntegerArithmetic.finish(self, psum, unit, output, activation)


def calibrated(network: Network, parameters: Parameters) -> Parameters:
    """`parameters` with the scales of own weights that have none; themselves if there are none."""
    arithmetic = parameters.arithmetic
    layers = [layer for layer in network.layers if _missing(layer, parameters)]
    if not layers or not isinstance(arithmetic, IntegerArithmetic):
        return parameters
    images = min(parameters.images(network.inputs) or 1, MOST_IMAGES)
    tensors = {
        name: parameters.input(name, shape, images) for name, shape in network.inputs.items()
    }
    done: list[str] = []
    for layer in network.layers:
        work = _work(network, layer, tensors, parameters)
        if layer in layers:
            found = _scale(work, parameters)
            if found:
                given = cast(MutableMapping[str, Array], parameters.given)
                parameters = parameters.with_given(network, ChainMap(found, given))
                done.append(layer.name)
                work = _work(network, layer, tensors, parameters)
        if layer is layers[-1]:
            break
        tensors[layer.name] = Tensor(compute(work).values, work.output)
        for source in layer.inputs:
            if network.consumers[source][-1] == layer.name:
                del tensors[source]
    return replace(parameters, calibrated=tuple(done), calibrated_on=images)


def told(parameters: Parameters) -> Calibration | None:
    """What is said of it; None where nothing was calibrated."""
    if not parameters.calibrated:
        return None
    return Calibration(parameters.calibrated, parameters.calibrated_on)


def _missing(layer: Layer, parameters: Parameters) -> bool:
    """Whether a layer's weight is given, and not what it and the ofmap stand for."""
    given, name = parameters.given, layer.name
    owns = layer.name == layer.owner and (f"{name}.weight" in given or f"{name}.c" in given)
    return owns and not {f"{name}.weight_scale", f"{name}.output_scale"} <= given.keys()


def _work(
    network: Network, layer: Layer, tensors: dict[str, Tensor], parameters: Parameters
) -> Computation:
    inputs = tuple(tensors[source] for source in layer.inputs)
    learned = parameters.layer(network.by_name[layer.owner])
    output = parameters.quantization(layer.name)
    return Computation(
        layer=layer,
        inputs=inputs,
        parameters=learned,
        output=output,
        arithmetic=parameters.arithmetic,
    )


def _scale(work: Computation, parameters: Parameters) -> dict[str, Array]:
    """The scale that is missing, by its key; nothing where no psum is other than zero."""
    arithmetic, name = parameters.arithmetic, work.layer.name
    assert isinstance(arithmetic, IntegerArithmetic)
    weighs = f"{name}.weight_scale" in parameters.given
    learned = work.parameters
    if not weighs:
        learned = replace(learned, weight_scale=np.ones((), np.float32))
    observing = _Observing(
        activation=arithmetic.activation,
        filter=arithmetic.filter,
        psum=arithmetic.psum,
        overflow=arithmetic.overflow,
    )
    compute(replace(work, parameters=learned, arithmetic=observing))
    activation = getattr(work.layer.op, "activation", None)
    step = _step(observing.noted, arithmetic.activation, work.output.zero_point, activation)
    if not step:
        return {}
    if weighs:
        return {f"{name}.output_scale": np.asarray(step, np.float32)}
    return {f"{name}.weight_scale": np.asarray(work.output.scale / step, np.float32)}


def _step(
    noted: list[float], format_: IntegerFormat, zero_point: int, activation: str | None
) -> float:
    """The real number of a code, such that the least and the most that are `noted` have one."""
    least, most = min(noted, default=0.0), max(noted, default=0.0)
    above, below = format_.highest - zero_point, zero_point - format_.lowest
    steps = [most / above] if above and most > 0 else []
    if below and least < 0 and not (steps and activation in RECTIFIED):
        steps.append(-least / below)
    return max(steps, default=0.0)

"""Gradients of normalisations whose statistics are those of their input: definitions.

Rows of values have statistics of their own; `Sums` are what a row adds up.
"""

from collections.abc import Mapping

import numpy as np

from accelsim.network.ops.norm_gradients import LearnedProduct, NormInputGradient, Standardised
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array
from accelsim.numerics.normal import lines_of

Sums = Mapping[str, Array]


def term(kind: str, maps: tuple[Array, Array], sums: Sums, count: int, epsilon: float) -> Array:
    """What is added up to the sum of that kind, given those before it: gradient h and ifmap x."""
    h, x = maps
    match kind:
        case "values":
            return x
        case "squares":
            return np.square(_distance(x, sums, count))
        case "gradients":
            return h
        case _:
            return np.asarray(h * row_standardised(x, sums, count, epsilon))


def row_standardised(x: Array, sums: Sums, count: int, epsilon: float) -> Array:
    """Distances from the mean in deviations; 0 where nothing deviates."""
    distance, deviation = _distance(x, sums, count), _deviation(sums, count, epsilon)
    quotient: Array = np.divide(
        distance, deviation, out=np.zeros_like(distance), where=deviation > 0
    )
    return quotient


def _distance(x: Array, sums: Sums, count: int) -> Array:
    return np.asarray(x - sums["values"] / count) if "values" in sums else x


def _deviation(sums: Sums, count: int, epsilon: float) -> Array:
    return np.asarray(np.sqrt(sums["squares"] / count + epsilon))


def row_gradient(maps: tuple[Array, Array], sums: Sums, count: int, epsilon: float) -> Array:
    """The gradient of the ifmap, of all sums."""
    h, x = maps
    left = h - row_standardised(x, sums, count, epsilon) * (sums["products"] / count)
    if "gradients" in sums:
        left = left - sums["gradients"] / count
    deviation = _deviation(sums, count, epsilon)
    found: Array = np.divide(left, deviation, out=np.zeros_like(left), where=deviation > 0)
    return found


def standardised(op: Standardised, work: Computation) -> Array:
    """Whole rows at once."""
    (x,) = (_rows(each.values, op) for each in work.inputs)
    sums: dict[str, Array] = {}
    kinds = ("values", "squares") if op.norm.centred else ("squares",)
    for kind in kinds:
        found = term(kind, (x, x), sums, x.shape[-1], op.norm.epsilon)
        sums[kind] = found.sum(-1, keepdims=True)
    return row_standardised(x, sums, x.shape[-1], op.norm.epsilon)


def norm_input(op: NormInputGradient, work: Computation) -> Array:
    """Whole rows at once."""
    gradient, x = (_rows(each.values, op) for each in work.inputs)
    gamma, _ = lines_of(op.norm, work.parameters, op.shape)
    maps, count = (gradient * gamma, x), x.shape[-1]
    sums: dict[str, Array] = {}
    for kind in op.sums:
        found = term(kind, maps, sums, count, op.norm.epsilon)
        sums[kind] = found.sum(-1, keepdims=True)
    return row_gradient(maps, sums, count, op.norm.epsilon)


def _rows(values: Array, op: Standardised | NormInputGradient) -> Array:
    """(N, rows, values)."""
    return values.reshape(len(values), *op.norm.rows(op.shape))


def learned_product(op: LearnedProduct, work: Computation) -> Array:
    """The gradient times gamma, which is broadcast."""
    return np.asarray(work.inputs[0].values * work.parameters.arrays["gamma"][None])

"""Batch norms with the statistics of the batch, and their gradients: definitions."""

import numpy as np

from accelsim.network.ops import ACTIVATIONS
from accelsim.network.ops.gradients import (
    BatchNormForward,
    BatchNormInputGradient,
    ChannelMean,
    ChannelVariance,
    GammaGradient,
)
from accelsim.numerics.computation import Computation
from accelsim.numerics.formats import Array


def channel_axes(x: Array) -> tuple[int, ...]:
    """All axes but the channels', which a matrix has last."""
    return (0, 1) if x.ndim == 3 else (0, *range(2, x.ndim))


def channel_mean(op: ChannelMean, work: Computation) -> Array:
    x = work.inputs[0].values
    return np.asarray(x.mean(channel_axes(x)))


def channel_variance(op: ChannelVariance, work: Computation) -> Array:
    x, mean = (x.values for x in work.inputs)
    return np.asarray(np.square(x - mean).mean(channel_axes(x)))


def normalised(x: Array, mean: Array, variance: Array, epsilon: float) -> Array:
    """Distances from the mean, in standard deviations."""
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


def batch_norm(op: BatchNormForward, work: Computation) -> Array:
    x, mean, variance = (x.values for x in work.inputs)
    gamma, beta = (work.parameters.arrays[name] for name in ("gamma", "beta"))
    return batch_norm_values(
        op, (x, mean, variance), (gamma.reshape(mean.shape), beta.reshape(mean.shape))
    )


def batch_norm_values(
    op: BatchNormForward, inputs: tuple[Array, Array, Array], line: tuple[Array, Array]
) -> Array:
    """The ofmap, from ifmap, mean and variance, and gamma and beta."""
    values = line[0] * normalised(*inputs, op.epsilon) + line[1]
    return ACTIVATIONS[op.activation].value(values) if op.activation else np.asarray(values)


def gamma_gradient(op: GammaGradient, work: Computation) -> Array:
    gradient, x, mean, variance = (x.values for x in work.inputs)
    terms = gradient * normalised(x, mean, variance, op.epsilon)
    return np.asarray(terms.sum(channel_axes(terms)))


def batch_norm_input(op: BatchNormInputGradient, work: Computation) -> Array:
    gradient, x, mean, variance, of_gamma, of_beta = (x.values for x in work.inputs)
    gamma = work.parameters.arrays["gamma"].reshape(mean.shape)
    sums = (of_gamma.reshape(mean.shape), of_beta.reshape(mean.shape))
    return batch_norm_slope(op, (gradient, x), (mean, variance, gamma, *sums), x[:, 0].size)


def batch_norm_slope(
    op: BatchNormInputGradient,
    maps: tuple[Array, Array],
    channels: tuple[Array, Array, Array, Array, Array],
    count: int,
) -> Array:
    """The gradient of the ifmap; `count` values have one mean."""
    (gradient, x), (mean, variance, gamma, of_gamma, of_beta) = maps, channels
    shared = (of_beta + normalised(x, mean, variance, op.epsilon) * of_gamma) / count
    return np.asarray(gamma * (gradient - shared) / np.sqrt(variance + op.epsilon))

"""Gradients of batch norms with the statistics of the batch, and their running averages."""

from typing import TYPE_CHECKING

from accelsim.network.graph import Layer
from accelsim.network.ops import Op, Shape
from accelsim.network.ops.gradients import (
    BatchNormForward,
    BatchNormInputGradient,
    BiasGradient,
    GammaGradient,
    Update,
)

if TYPE_CHECKING:
    from accelsim.network.backward import Step


def of_statistic(step: "Step", op: Op, layer: Layer, gradient: str) -> None:
    """Never asked: the batch norm's own rule knows what comes through its statistics."""


def of_batch_norm(step: "Step", op: BatchNormForward, layer: Layer, gradient: str) -> None:
    """What comes through the statistics is in the gradient of the ifmap."""
    gamma, beta = layer.parameter_shapes["gamma"], layer.parameter_shapes["beta"]
    reads = (gradient, *layer.inputs)
    gammas = GammaGradient(shape=gamma, epsilon=op.epsilon)
    of_gamma = step.add(f"{layer.name}@gamma_gradient", gammas, *reads)
    of_beta = step.add(f"{layer.name}@beta_gradient", BiasGradient(shape=beta), gradient)
    if step.passes(layer):
        back = BatchNormInputGradient(
            shape=layer.output_shape, owner=layer.name, epsilon=op.epsilon
        )
        name = step.add(f"{layer.name}@input_gradient", back, *reads, of_gamma, of_beta)
        step.give(layer.inputs[0], name)
    step.updated(layer.name, "gamma", gamma, of_gamma)
    step.updated(layer.name, "beta", beta, of_beta)
    _averaged(step, layer, gamma)


def _averaged(step: "Step", layer: Layer, shape: Shape) -> None:
    """The running averages that inference reads: a little of them is replaced."""
    for name, found in zip(("mean", "variance"), layer.inputs[1:], strict=True):
        op = Update(
            shape=shape,
            owner=layer.name,
            parameter=name,
            kept=True,
            reads=2,
            operations=2,
            rate=step.rate,
        )
        step.add(f"{layer.name}.{name}@update", op, found)

"""Layers of a training step for functions of several values at one place."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.gradient import Gradient
from accelsim.network.ops.pointwise import Sloped


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseGradient(Gradient):
    """The gradient times the derivative by an operand; reads those that this depends on."""

    name: ClassVar[str] = "pointwise_gradient"
    function: Sloped
    place: int

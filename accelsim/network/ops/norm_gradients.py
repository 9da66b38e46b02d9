"""Gradients of normalisations whose statistics are those of their input."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.gradient import Gradient
from accelsim.network.ops.norms import Normalised, ScaleShift


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardised(Gradient):
    """(x - mean) / sqrt(variance + epsilon) once more: the gradient of gamma is made of it."""

    name: ClassVar[str] = "standardised"
    phase: ClassVar[str] = "weight_gradient"
    norm: Normalised

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class NormInputGradient(Gradient):
    """Reads the gradient g and the ifmap; y is what is standardised of it, h = gamma * g.

    (h - mean of h - y * mean of h * y) / sqrt(variance + epsilon), row by row; without `centred`
    no mean of h is taken away.
    """

    name: ClassVar[str] = "norm_input_gradient"
    norm: Normalised

    @property
    def in_order(self) -> bool:
        return True

    @property
    def sums(self) -> tuple[str, ...]:
        """What each pass but the last adds up."""
        if self.norm.centred:
            return "values", "squares", "gradients", "products"
        return "squares", "products"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedProduct(Gradient):
    """The gradient times the owner's gamma, which is broadcast."""

    name: ClassVar[str] = "learned_product"
    scale: ScaleShift

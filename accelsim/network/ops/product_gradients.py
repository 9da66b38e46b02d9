"""Products of a training step: a gradient times the other factor, as the forward pass has them."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.fields import Shape
from accelsim.network.ops.products import AttentionContext, AttentionScores, MatMul
from accelsim.network.ops.reductions import Sum


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientMatMul(MatMul):
    """The gradient times the other factor, either of them transposed."""

    name: ClassVar[str] = "gradient_matmul"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientScores(AttentionScores):
    """Of an attention's shares: gradients of its values times the values, head by head."""

    name: ClassVar[str] = "gradient_scores"
    phase: ClassVar[str] = "input_gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientContext(AttentionContext):
    """Gradients of scores times keys or queries, of values times shares; all times `scale`."""

    name: ClassVar[str] = "gradient_context"
    phase: ClassVar[str] = "input_gradient"
    scale: float = 1.0

    def factor_of(self, inputs: tuple[Shape, ...]) -> float:
        return self.scale


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientReduction(Sum):
    """The gradients of what was used several times, added."""

    name: ClassVar[str] = "gradient_reduction"
    phase: ClassVar[str] = "input_gradient"

"""What the layers of a training step share that no file names."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.base import Op
from accelsim.network.ops.fields import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient(Op):
    """What all of them share: the ofmap's shape, and the layer whose parameters they read."""

    phase: ClassVar[str] = "input_gradient"
    shape: Shape
    owner: str | None = None

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        return self.shape

    @property
    def owner_of_parameters(self) -> str | None:
        return self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGradient(Gradient):
    """Of what is learned: one for all images."""

    phase: ClassVar[str] = "weight_gradient"
    batched: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPart(Gradient):
    """What stands for a layer on the way forward."""

    phase: ClassVar[str] = "forward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistic(ForwardPart):
    """Of all images together."""

    batched: ClassVar[bool] = False

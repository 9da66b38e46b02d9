"""Gradients of layers of sequences, and of what several layers have learned together."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.gradient import ParameterGradient
from accelsim.network.ops.tokens import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingGradient(ParameterGradient):
    """Of a table: each row is the sum of the gradients of the tokens that took it.

    Reads the numbers of the tokens, and the gradient.
    """

    name: ClassVar[str] = "embedding_gradient"
    reads_numbers: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryGradient(Rotary):
    """The pairs of a gradient, turned back."""

    name: ClassVar[str] = "rotary_gradient"
    phase: ClassVar[str] = "input_gradient"
    sense: ClassVar[int] = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSum(ParameterGradient):
    """The gradients of a weight that several layers compute with, added."""

    name: ClassVar[str] = "parameter_sum"

"""Gradients of the shares of a mixture: softmax of what is learned."""

from dataclasses import dataclass
from typing import ClassVar

from accelsim.network.ops.gradient import Gradient, ParameterGradient


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureGradient(ParameterGradient):
    """Of c, from that of alpha = softmax(c), a row for each map (Bouvrie 2006, section 3.3).

    alpha_i (g_i - sum_k g_k alpha_k), where g is the loss's gradient by alpha plus that of the
    penalty, `penalty` times the sign of alpha. Shares are positive and add up to 1, so the
    penalty's part is zero but for rounding.
    """

    name: ClassVar[str] = "mixture_gradient"
    penalty: float = 0.0

    @property
    def in_order(self) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureUpdate(Gradient):
    """The shares of the new c, with which the next step computes."""

    name: ClassVar[str] = "mixture_update"
    phase: ClassVar[str] = "update"
    batched: ClassVar[bool] = False

    @property
    def in_order(self) -> bool:
        return True

"""A published reference: what was measured, what accelsim says, and why they differ."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number: `measured` by the reference, `modelled` by accelsim, both in `unit`.

    `band` is the largest relative error that passes (0: equal); None shows the number without
    judging it, and `note` says why.
    """

    case: str
    quantity: str
    unit: str
    measured: float
    modelled: float
    band: float | None
    note: str = ""

    @property
    def error(self) -> float:
        """Relative error, positive where accelsim says more; infinite where zero was measured."""
        if self.measured == self.modelled:
            return 0.0
        return (
            (self.modelled - self.measured) / abs(self.measured) if self.measured else float("inf")
        )

    @property
    def passed(self) -> bool:
        """Whether the error is within its band."""
        return self.band is None or abs(self.error) <= self.band


@dataclass(frozen=True, slots=True)
class Reference:
    """A source of numbers. `assumption` is the model's that explains what error is left."""

    name: str
    title: str
    source: str
    assumption: str
    compare: Callable[[], Iterable[Comparison]]

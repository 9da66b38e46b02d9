"""A published reference: what was measured, what accelsim says, and why they differ."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import copysign


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number: `measured` by the reference, `modelled` by accelsim, both in `unit`.

    `band` is the largest relative error that passes (0: equal); None shows the number without
    judging it, and `note` says why; `aim` is then the error that it was to stay within, where one
    was set for it, else the largest band of its reference. A measured number that was printed with
    few digits stands for all that lie within `half_digit` of it; the error counts from the nearest
    of them.
    """

    case: str
    quantity: str
    unit: str
    measured: float
    modelled: float
    band: float | None
    note: str = ""
    half_digit: float = 0.0
    aim: float | None = None

    @property
    def error(self) -> float:
        """Relative error, positive where accelsim says more; infinite where zero was measured."""
        distance = self.modelled - self.measured
        beyond = max(abs(distance) - self.half_digit * (1 + 1e-9), 0.0)
        if not beyond:
            return 0.0
        return copysign(beyond / abs(self.measured) if self.measured else float("inf"), distance)

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

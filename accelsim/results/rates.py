"""What a run comes to per second, per watt, per image and per byte of DRAM."""

from dataclasses import dataclass
from typing import Any

PJ = 1e-12
"""Joules of a picojoule."""
OPERATIONS_PER_MAC = 2
"""A multiplication and an addition, as TOPS are counted."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Work against time, DRAM bytes and energy; None where what it is divided by is nothing.

    Energy is dynamic, by the hardware's table: a chip's leakage and clock come on top of it.
    """

    images: int
    seconds: float
    macs: int
    dram_bytes: int
    energy_pj: float | None = None
    dram_pj: float = 0.0

    @property
    def images_per_second(self) -> float | None:
        """Images (frames) in a second of simulated time."""
        return _ratio(self.images, self.seconds)

    @property
    def macs_per_second(self) -> float | None:
        """Multiply-accumulates that were done in a second, on average."""
        return _ratio(self.macs, self.seconds)

    @property
    def macs_per_dram_byte(self) -> float | None:
        """Arithmetic intensity against what really crosses DRAM."""
        return _ratio(self.macs, self.dram_bytes)

    @property
    def watts(self) -> float | None:
        """Average power, chip and DRAM."""
        return _ratio(self._joules, self.seconds)

    @property
    def dram_watts(self) -> float | None:
        """Average power of DRAM."""
        return _ratio(None if self.energy_pj is None else self.dram_pj * PJ, self.seconds)

    @property
    def chip_watts(self) -> float | None:
        """Average power of everything but DRAM."""
        on_chip = None if self.energy_pj is None else (self.energy_pj - self.dram_pj) * PJ
        return _ratio(on_chip, self.seconds)

    @property
    def tops_per_watt(self) -> float | None:
        """10^12 operations for each joule, two operations for a MAC, DRAM's energy included."""
        return _ratio(OPERATIONS_PER_MAC * self.macs * 1e-12, self._joules)

    @property
    def joules_per_image(self) -> float | None:
        """Energy of one image of the batch."""
        return _ratio(self._joules, self.images)

    @property
    def _joules(self) -> float | None:
        return None if self.energy_pj is None else self.energy_pj * PJ

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; what energy decides is left out where there is none."""
        plain = ("images_per_second", "macs_per_second", "macs_per_dram_byte")
        of_energy = ("watts", "chip_watts", "dram_watts", "tops_per_watt", "joules_per_image")
        names = (*plain, *(() if self.energy_pj is None else of_energy))
        return {name: getattr(self, name) for name in names}


def _ratio(amount: float | None, of: float | None) -> float | None:
    return amount / of if amount is not None and of else None

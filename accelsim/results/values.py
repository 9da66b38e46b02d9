"""What a layer computed, in a few numbers: how its ofmap's values are spread."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """Of an ofmap's values, as stored: codes, or floats.

    `zeros` is the share of those that stand for 0, `saturated` of codes that are the least or the
    largest of their format (of floats: that are not finite).
    """

    least: float = 0.0
    most: float = 0.0
    mean: float = 0.0
    zeros: float = 0.0
    saturated: float = 0.0

    @property
    def is_flat(self) -> bool:
        """Whether all values are the same, so that others could hardly be told from them."""
        return self.least == self.most

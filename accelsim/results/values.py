"""What a layer computed, in a few numbers: how its ofmap's values are spread."""

from dataclasses import dataclass

_NAMED = 5
"""Layers that are named, of many."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The layers whose own weights came without scales, which were chosen for so many `images`."""

    layers: tuple[str, ...]
    images: int

    def __str__(self) -> str:
        """In a sentence."""
        images = "1 image" if self.images == 1 else f"{self.images:,} images"
        more = len(self.layers) - _NAMED
        names = ", ".join(self.layers[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        return (
            f"Own weights of {names} came without scales: these were calibrated "
            f"so that ofmaps fill their format, on {images}."
        )


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

"""What `verify` reports: each layer's ofmap, held against the reference."""

from dataclasses import asdict, dataclass
from typing import Any

from accelsim.results.records import SCHEMA
from accelsim.results.values import Calibration, Spread
from accelsim.text import visible


@dataclass(frozen=True, slots=True)
class LayerCheck:
    """One layer's ofmap from the tiled schedule, held against the reference, and its times.

    `mismatches` counts elements that differ (integers) or differ by more than the rounding
    of their sums explains (floats). `largest_difference` is in codes, or in the float's own
    unit; `overflows` counts psums that the accumulator could not hold. `problems` says, tile by
    tile, what is timed otherwise than computed (the first few). `spread` is that of the
    reference's values; None of those that depend on no input.
    """

    name: str
    op: str
    elements: int
    mismatches: int
    largest_difference: float
    overflows: int
    problems: tuple[str, ...] = ()
    spread: Spread | None = None

    @property
    def passed(self) -> bool:
        """Whether the ofmap is right, and the times are those of what was computed."""
        return not self.mismatches and not self.problems


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Of images that have a label, how many the network's largest output is right for."""

    right: int
    images: int

    @property
    def share(self) -> float:
        """Of all of them."""
        return self.right / self.images


@dataclass(frozen=True, slots=True, repr=False)
class VerifyResult:
    """Every layer's check. `exact`: integers, so that every element must agree.

    `accuracy` is that of the reference, which the tiles are held against, on all the images that
    have labels; None where the network's file has none.
    `calibration` says which scales were chosen, None where all were given or random.
    """

    network: str
    hardware: str
    dataflow: str
    batch: int
    seed: int
    formats: str
    exact: bool
    layers: tuple[LayerCheck, ...]
    accuracy: Accuracy | None = None
    calibration: Calibration | None = None

    @property
    def passed(self) -> bool:
        """Whether every layer is right."""
        return all(layer.passed for layer in self.layers)

    @property
    def elements(self) -> int:
        """Elements compared."""
        return sum(layer.elements for layer in self.layers)

    @property
    def mismatches(self) -> int:
        """Elements that differ."""
        return sum(layer.mismatches for layer in self.layers)

    def __repr__(self) -> str:
        """One line: whether all is right."""
        found = f"{self.mismatches:,} of {self.elements:,} elements differ"
        said = "passed" if self.passed else "FAILED"
        named = visible(f"{self.network} on {self.hardware}")
        return f"<VerifyResult {named}, {self.dataflow}: {said}, {found}>"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of the check."""
        return {
            "schema": SCHEMA,
            **asdict(self),
            "passed": self.passed,
            "elements": self.elements,
            "mismatches": self.mismatches,
            "layers": [{**asdict(layer), "passed": layer.passed} for layer in self.layers],
            "accuracy": self.accuracy and {**asdict(self.accuracy), "share": self.accuracy.share},
        }

"""docs/accuracy.md: all that `validate` prints, and a plot of what was measured and simulated.

The plot is SVG of its own: a panel for each reference, both axes logarithmic and alike, and points
that fall on one pixel drawn once, so that it stays small whatever the number of rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, log10
from types import MappingProxyType
from xml.etree.ElementTree import Element, SubElement, tostring

from accelsim.report.sheet import rendered
from accelsim.validation.outcome import Outcome, Validation
from accelsim.validation.reference import Comparison
from accelsim.validation.sheets import validation_sheets

ACROSS, SIDE, GAP, TOP = 3, 210, 64, 34
JUDGED, SHOWN = "#1769aa", "#d0661f"
NOTHING: Mapping[str, str] = MappingProxyType({})
_SVG = "http://www.w3.org/2000/svg"
_STYLE = (
    "text{font:12px sans-serif;fill:#222}.t{font-weight:bold}path{fill:none;stroke-linecap:round;"
    "stroke-width:4;stroke-opacity:.55}line{stroke:#bbb}rect.p{fill:#fff;stroke:#888}"
)


def accuracy_text(validation: Validation, plot: str) -> str:
    """The Markdown page, which shows the picture called `plot`."""
    printed = rendered(validation_sheets(validation), None).rstrip()
    return (
        "# Accuracy\n\n"
        "Made by `accelsim validate --report docs/accuracy.md`, and not written by hand.\n\n"
        f"![Simulated against measured, by reference]({plot})\n\n"
        "Each point is a number that a reference has: across as measured, up as simulated, in its "
        "own unit.\nBlue: judged against a band. Orange: shown and not judged, for the reason "
        "that is told below.\nA point on the diagonal is right.\n\n"
        f"```\n{printed}\n```\n"
    )


def scatter(validation: Validation) -> str:
    """The plot, as SVG."""
    panels = [each for each in validation.outcomes if any(map(_is_drawn, each.comparisons))]
    width = ACROSS * (SIDE + GAP) + 10
    height = ceil(len(panels) / ACROSS) * (SIDE + GAP) + 24
    size = {"width": f"{width}", "height": f"{height}"}
    root = Element("svg", {"xmlns": _SVG, "viewBox": f"0 0 {width} {height}", **size})
    SubElement(root, "style").text = _STYLE
    SubElement(root, "rect", {"fill": "#fff", **size})
    for at, outcome in enumerate(panels):
        row, column = divmod(at, ACROSS)
        x, y = column * (SIDE + GAP) + GAP - 12, row * (SIDE + GAP) + TOP
        _draw(SubElement(root, "g", transform=f"translate({x} {y})"), outcome)
    _write(root, "across: measured; up: simulated", GAP - 12, height - 8)
    return tostring(root, encoding="unicode") + "\n"


def _is_drawn(comparison: Comparison) -> bool:
    """Whether a number has a place on logarithmic axes."""
    values = comparison.measured, comparison.modelled
    return all(isfinite(value) and value > 0 for value in values)


@dataclass(frozen=True, slots=True)
class _Axis:
    """Powers of ten from `low` on, `span` of them, along `SIDE` pixels."""

    low: float
    span: float

    def at(self, value: float) -> int:
        """Pixels from the start."""
        return round(SIDE * (log10(value) - self.low) / self.span)

    @property
    def ticks(self) -> Iterator[int]:
        """Whole powers, at most five of them."""
        first, last = ceil(self.low), int(self.low + self.span)
        yield from range(first, last + 1, max(1, ceil((last - first) / 4)))


def _axis_of(comparisons: Iterable[Comparison]) -> _Axis:
    logs = [log10(value) for each in comparisons for value in (each.measured, each.modelled)]
    low, high = min(logs) - 0.2, max(logs) + 0.2
    return _Axis(low, high - low)


def _draw(panel: Element, outcome: Outcome) -> None:
    """A reference's panel: frame, powers of ten, diagonal, points."""
    comparisons = [each for each in outcome.comparisons if _is_drawn(each)]
    axis = _axis_of(comparisons)
    SubElement(panel, "rect", {"width": f"{SIDE}", "height": f"{SIDE}", "class": "p"})
    _write(panel, outcome.reference.name, 0, -8, {"class": "t"})
    for power in axis.ticks:
        place = axis.at(10.0**power)
        _write(panel, f"1e{power}", place, SIDE + 15, {"text-anchor": "middle"})
        _write(panel, f"1e{power}", -5, SIDE - place + 4, {"text-anchor": "end"})
    SubElement(panel, "line", x1="0", y1=f"{SIDE}", x2=f"{SIDE}", y2="0")
    for judged, color in ((True, JUDGED), (False, SHOWN)):
        points = [each for each in comparisons if (each.band is not None) == judged]
        if points:
            SubElement(panel, "path", d=_dots(points, axis), stroke=color)


def _write(parent: Element, text: str, x: int, y: int, more: Mapping[str, str] = NOTHING) -> None:
    SubElement(parent, "text", {"x": f"{x}", "y": f"{y}", **more}).text = text


def _dots(comparisons: Sequence[Comparison], axis: _Axis) -> str:
    """Strokes of no length, one for each pixel that has a point."""
    places = {(axis.at(each.measured), SIDE - axis.at(each.modelled)) for each in comparisons}
    return "".join(f"M{x} {y}h0" for x, y in sorted(places))

"""What a page draws, as HTML and SVG of its own.

A charting library was tried and left: the smallest that pip brings is far larger than a page with
all its numbers may be, and none draws bars inside the rows of a table that sorts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.quantities import si

WIDTH, LEFT, RIGHT = 900, 58, 14
_PLOT = WIDTH - LEFT - RIGHT


def key(names: Iterable[tuple[int, str]]) -> Html:
    """What the colours mean."""
    items = [tag("li", tag("i", class_=f"a{color}"), name) for color, name in names]
    return tag("ul", joined(items), class_="key")


def stacked(parts: Sequence[int | float], whole: float, title: str) -> Html:
    """A bar as long as the sum of its parts is of `whole`."""
    total = sum(parts)
    if not total or not whole:
        return Html("")
    pieces = [
        tag("i", class_=f"a{color}", style=f"width:{100 * part / total:.3g}%")
        for color, part in enumerate(parts)
        if part > 0
    ]
    style = f"width:{100 * total / whole:.3g}%"
    return tag("div", joined(pieces), class_="bar", style=style, title=title)


# --- Roofline -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Point:
    """A layer in a roofline: MACs per DRAM byte, MACs per cycle."""

    name: str
    across: float
    up: float
    color: int
    weight: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class Roof:
    """What a machine can do: MACs per cycle, DRAM bytes per cycle."""

    macs: float
    bytes: float


@dataclass(frozen=True, slots=True)
class _Log:
    """A logarithmic axis from 10 ** `low` to 10 ** `high`, drawn from `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        share = (log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    @property
    def ticks(self) -> Iterator[float]:
        """Powers of ten; where these are many only some, where few what is between them, too."""
        span = self.high - self.low
        stride, between = max(1, round(span / 8)), (1, 2, 5) if span < 2.5 else (1,)
        powers = range(floor(self.low), floor(self.high) + 1, stride)
        values = (10.0**power * times for power in powers for times in between)
        return (value for value in values if self.low <= log10(value) <= self.high)


def roofline(points: Sequence[Point], roofs: Sequence[Roof]) -> Html:
    """Each point under the roofs, both axes logarithmic."""
    height, bottom = 380, 340
    ridges = [roof.macs / roof.bytes for roof in roofs]
    across = _axis([*(point.across for point in points), *ridges], LEFT, WIDTH - RIGHT)
    up = _axis([*(point.up for point in points), *(roof.macs for roof in roofs)], bottom, 14)
    parts = [*_grid(across, up, bottom)]
    parts += [_roof(roof, across, up) for roof in roofs]
    parts += [*_labels(points, across, up)]
    parts += [_point(point, across, up) for point in sorted(points, key=lambda one: -one.weight)]
    parts.append(tag("text", "MACs per DRAM byte", x=WIDTH / 2, y=height - 6, text_anchor="middle"))
    turned = f"rotate(-90 12 {bottom / 2:g})"
    parts.append(
        tag("text", "MACs per cycle", x=12, y=bottom / 2, text_anchor="middle", transform=turned)
    )
    return _svg(parts, height, "Roofline: MACs per cycle over MACs per DRAM byte, by layer")


def _axis(values: Sequence[float], start: float, stop: float) -> _Log:
    logs = [log10(value) for value in values] or [0.0]
    return _Log(min(logs) - 0.2, max(logs) + 0.2, start, stop)


def _grid(across: _Log, up: _Log, bottom: float) -> Iterator[Html]:
    for value in across.ticks:
        x = f"{across.at(value):.1f}"
        yield tag("line", x1=x, x2=x, y1=14, y2=bottom, class_="grid")
        yield tag("text", _tick(value), x=x, y=bottom + 15, text_anchor="middle")
    for value in up.ticks:
        y = f"{up.at(value):.1f}"
        yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
        yield tag("text", _tick(value), x=LEFT - 6, y=float(y) + 4, text_anchor="end")


def _tick(value: float) -> str:
    return f"{value:g}" if value < 1000 else si(value).replace(".00", "")


def _roof(roof: Roof, across: _Log, up: _Log) -> Html:
    """Bandwidth as far as it binds, then the PEs."""
    ridge = roof.macs / roof.bytes
    foot = max(10.0**across.low, 10.0**up.low / roof.bytes)
    ends = ((foot, foot * roof.bytes), (ridge, roof.macs), (10.0**across.high, roof.macs))
    corners = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in ends)
    return tag("polyline", points=corners, class_="roof")


def _point(point: Point, across: _Log, up: _Log) -> Html:
    radius = 3 + 6 * point.weight**0.5
    told = f"{point.name}: {point.up:,.1f} MACs/cycle, {point.across:,.1f} MACs per DRAM byte"
    place = {"cx": f"{across.at(point.across):.1f}", "cy": f"{up.at(point.up):.1f}"}
    return tag("circle", tag("title", told), r=f"{radius:.1f}", class_=f"a{point.color}", **place)


def _labels(points: Sequence[Point], across: _Log, up: _Log) -> Iterator[Html]:
    """Names of some, below or above their dots, where neither a dot nor another name is."""
    taken = [(across.at(point.across), up.at(point.up), 4.0) for point in points]
    for point in points:
        if not point.labelled:
            continue
        name = point.name if len(point.name) <= 24 else f"{point.name[:23]}..."
        half = 3.2 * len(name)
        x = min(max(across.at(point.across), LEFT + half), WIDTH - RIGHT - half)
        for y in (up.at(point.up) + 20, up.at(point.up) - 12):
            if all(abs(x - at) > half + wide or abs(y - 4 - high) > 12 for at, high, wide in taken):
                taken.append((x, y - 4, half))
                yield tag("text", name, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor="middle")
                break


# --- Timeline -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stretch:
    """A layer on its unit, from cycle to cycle."""

    name: str
    unit: str
    start: int
    end: int
    color: int


def timeline(stretches: Sequence[Stretch], cycles: int) -> Html:
    """Each unit's layers over time; those that overlap lie below each other."""
    parts: list[Html] = []
    top = 6
    for unit in dict.fromkeys(each.unit for each in stretches):
        lanes = _lanes(each for each in stretches if each.unit == unit)
        parts.append(tag("text", unit, x=LEFT - 6, y=top + 13, text_anchor="end"))
        for lane in lanes:
            parts += [_stretch(each, top, cycles) for each in lane]
            top += 20
        top += 6
    for tick in _ticks(cycles):
        x = f"{LEFT + _PLOT * tick / cycles:.1f}"
        parts.insert(0, tag("line", x1=x, x2=x, y1=2, y2=top, class_="grid"))
        parts.append(tag("text", si(tick), x=x, y=top + 13, text_anchor="middle"))
    parts.append(tag("text", "cycles", x=2, y=top + 13))
    return _svg(parts, top + 20, "Timeline: when each layer was under way", "zooms")


def _lanes(stretches: Iterable[Stretch]) -> list[list[Stretch]]:
    """Each in the first lane that is free."""
    lanes: list[list[Stretch]] = []
    for each in sorted(stretches, key=lambda one: one.start):
        free = next((lane for lane in lanes if lane[-1].end <= each.start), None)
        if free is None:
            lanes.append([each])
        else:
            free.append(each)
    return lanes


def _stretch(each: Stretch, top: float, cycles: int) -> Html:
    x, wide = LEFT + _PLOT * each.start / cycles, _PLOT * (each.end - each.start) / cycles
    told = f"{each.name}: cycles {each.start:,} to {each.end:,}"
    box = tag(
        *("rect", tag("title", told)),
        x=f"{x:.1f}",
        y=top,
        width=f"{max(wide, 0.3):.1f}",
        height=18,
        class_=f"a{each.color}",
    )
    if wide < 6.5 * len(each.name) + 8:
        return box
    name = tag("text", each.name, x=f"{x + 4:.1f}", y=top + 13, class_="in")
    return joined((box, name))


def _ticks(cycles: int) -> Iterator[float]:
    """A few round numbers up to `cycles`."""
    rough = cycles / 6
    unit = 10.0 ** floor(log10(rough)) if rough > 1 else 1.0
    stride = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
    value = 0.0
    while value <= cycles:
        yield value
        value += stride


def _svg(parts: Sequence[Html], height: float, label: str, kind: str = "") -> Html:
    said = {"class_": kind} if kind else {}
    box = f"0 0 {WIDTH} {height:g}"
    picture = tag(*("svg", joined(parts)), viewBox=box, role="img", aria_label=label, **said)
    return tag("div", picture, class_="scroll", tabindex=0)


def shares(parts: Mapping[str, int | float]) -> str:
    """The parts in words, the largest first: `useful 40 %, idle PEs 8 %`."""
    total = sum(parts.values()) or 1
    ranked = sorted(parts.items(), key=lambda one: -one[1])
    return ", ".join(f"{name} {100 * part / total:.0f} %" for name, part in ranked if part > 0)

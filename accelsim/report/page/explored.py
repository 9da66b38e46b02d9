"""The page of a sweep: fronts, a heat map, parallel coordinates, what each setting does."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from statistics import median

from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.page.tables import Cell, folded, table
from accelsim.report.page.whole import document, heading
from accelsim.report.quantities import si
from accelsim.report.sweep import quantity_text, value_text
from accelsim.sweep.overall import said
from accelsim.sweep.quantities import Record
from accelsim.sweep.summary import Summary

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 340, 70, 50, 26, 40
MOST_ROWS = 1000
"""Rows of the table of points beside those of the front."""
MOST_LINES = 400
"""Points beside those of the front that have a line in the parallel coordinates."""


@dataclass(frozen=True, slots=True)
class Field:
    """Points that are judged together: those of a network, or those over all networks.

    `place` counts the fields of a page, so that no two points of a page have one mark.
    """

    place: int
    name: str
    points: Sequence[Record]
    front: Sequence[Record]
    parameters: Sequence[str]
    objectives: Mapping[str, str]

    def mark(self, record: Record) -> str:
        """What names a point on the page."""
        return f"{self.place}:{str(record['key'])[:12]}"

    @property
    def keys(self) -> set[object]:
        """Of the points of the front."""
        return {record["key"] for record in self.front}


def sweep_page(summary: Summary) -> str:
    """An HTML page of what a sweep has found so far."""
    from accelsim import __version__

    fields = [*_fields(summary)]
    title = f"{summary.about.name}: {summary.points:,} points"
    about = f"{len(summary.done):,} done, {len(summary.failed):,} failed, {summary.waiting:,} open"
    body: list[Html] = [heading(title, about)]
    for field in fields:
        body.append(tag("h2", field.name))
        body += _sections(field)
    if not fields:
        body.append(tag("p", "No point is done yet."))
    made = f"Made by accelsim {__version__}, sources {summary.about.code}. It asks nothing of "
    body.append(tag("footer", f"{made}any network."))
    return document(title, joined(body), ("page.js", "sweep.js"))


def _fields(summary: Summary) -> Iterator[Field]:
    objectives, varied = summary.about.objectives, summary.varied
    for place, (network, front) in enumerate(summary.fronts.items()):
        yield Field(
            place=place,
            name=network,
            points=summary.by_network[network],
            front=front,
            parameters=varied,
            objectives=objectives,
        )
    if summary.overall and summary.about.over is not None:
        name = said(summary.about.over)
        yield Field(
            place=len(summary.fronts),
            name=name,
            points=summary.overall,
            front=summary.overall_front,
            parameters=varied,
            objectives=objectives,
        )


def _sections(field: Field) -> Iterator[Html]:
    yield tag("p", _verdict(field))
    yield _section("Pareto front", _pareto(field))
    if len(_axes(field)) > 1:
        yield _section("Heat map", _heat_map(field))
    yield _section("Parallel coordinates", _parallel(field))
    yield _section("What each setting does", _effects(field))
    yield _section("Points", _points(field))


def _section(title: str, parts: Iterator[Html]) -> Html:
    return tag("section", tag("h3", title), joined(parts))


def _verdict(field: Field) -> str:
    if not field.front:
        return "No point meets every constraint."
    best = []
    for name, goal in field.objectives.items():
        choose = min if goal == "min" else max
        record = choose(field.front, key=lambda each, of=name: _number(each[of]))  # type: ignore[misc]
        best.append(f"{name} {quantity_text(name, record[name])} with {_settings(field, record)}")
    counted = f"{len(field.front):,} of {len(field.points):,} points are on the front"
    return f"{counted}. {'; '.join(best)}."


def _settings(field: Field, record: Record) -> str:
    each = (f"{name} {record[name]}" for name in field.parameters)
    return ", ".join(each) or "the only point"


# --- Pictures -------------------------------------------------------------------------------------


def _pareto(field: Field) -> Iterator[Html]:
    """The first two objectives; dots of the front are filled."""
    names = list(field.objectives)[:2]
    x, y = names[0], names[-1]
    drawn = [each for each in field.points if _is_number(each.get(x)) and _is_number(each.get(y))]
    across = _Scale.of([_number(each[x]) for each in drawn], LEFT, WIDTH - RIGHT)
    up = _Scale.of([_number(each[y]) for each in drawn], HEIGHT - BOTTOM, TOP)
    keys = field.keys
    parts = [*_frame(across, up, x, y)]
    for best in (False, True):
        parts += [
            _dot(field.mark(each), across.at(_number(each[x])), up.at(_number(each[y])), best)
            for each in drawn
            if (each["key"] in keys) == best
        ]
    note = "Filled dots are the front. Point at a dot to read it; a click selects it everywhere."
    yield tag("p", note, class_="soft")
    yield tag("figure", _svg(parts, HEIGHT, f"{y} over {x}, a dot for each point"))
    yield tag("p", "", class_="told", aria_live="polite")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Values from `low` to `high`, drawn from `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    @staticmethod
    def of(values: Sequence[float], start: float, stop: float) -> "_Scale":
        low, high = min(values, default=0.0), max(values, default=1.0)
        margin = (high - low) * 0.04 or abs(high) * 0.04 or 1.0
        return _Scale(low - margin, high + margin, start, stop)

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        """A few round values."""
        rough = (self.high - self.low) / 5
        unit = 10.0 ** floor(log10(rough))
        stride = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
        first, last = ceil(self.low / stride), floor(self.high / stride)
        return [stride * step for step in range(first, last + 1)]


def _frame(across: _Scale, up: _Scale, x: str, y: str) -> Iterator[Html]:
    bottom = HEIGHT - BOTTOM
    for value in across.ticks:
        at = f"{across.at(value):.1f}"
        yield tag("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="grid")
        yield tag("text", _short(x, value), x=at, y=bottom + 15, text_anchor="middle")
    for value in up.ticks:
        at = f"{up.at(value):.1f}"
        yield tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at, class_="grid")
        yield tag("text", _short(y, value), x=LEFT - 6, y=float(at) + 4, text_anchor="end")
    yield tag("text", x, x=WIDTH / 2, y=HEIGHT - 6, text_anchor="middle")
    yield tag("text", y, x=2, y=TOP - 14)


def _short(name: str, value: float) -> str:
    text = quantity_text(name, value)
    return si(value) if text == value_text(value) and value >= 1000 else text


def _dot(mark: str, x: float, y: float, best: bool) -> Html:
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "class_": "a0" if best else "o"}
    return tag("circle", r=5 if best else 3, data_k=mark, **place)


def _axes(field: Field) -> dict[str, list[object]]:
    """The different values of each setting that varies, in the order in which they come."""
    return {
        name: [*dict.fromkeys(record.get(name) for record in field.points)]
        for name in field.parameters
    }


def _heat_map(field: Field) -> Iterator[Html]:
    """The best of an objective for each pair of values of two settings; both can be chosen."""
    axes = _axes(field)
    names = [*field.objectives]
    indices = {name: {value: i for i, value in enumerate(values)} for name, values in axes.items()}
    rows = [
        [
            *(indices[name][record.get(name)] for name in axes),
            *(record[name] if _is_number(record.get(name)) else None for name in names),
        ]
        for record in field.points
    ]
    data = {
        "axes": [[name, [str(value) for value in values]] for name, values in axes.items()],
        "goals": [[name, goal] for name, goal in field.objectives.items()],
        "points": rows,
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    yield tag("script", Html(text), type="application/json", class_="data")
    chosen = (
        _choice("across", f"x{field.place}", [*axes], 0),
        _choice("down", f"y{field.place}", [*axes], 1),
        _choice("shown", f"o{field.place}", names, 0),
    )
    yield tag("p", joined(chosen), class_="pick")
    note = (
        "Each cell is the best of the points that have both values, or values in both ranges; the "
        "stronger the colour, the better."
    )
    yield tag("p", note, class_="soft")
    yield tag("div", "", class_="scroll heat", tabindex=0)


def _choice(label: str, name: str, options: Sequence[str], at: int) -> Html:
    listed = [
        tag("option", each, value=place, **({"selected": ""} if place == at else {}))
        for place, each in enumerate(options)
    ]
    return tag("label", f"{label} ", tag("select", joined(listed), id=name))


def _parallel(field: Field) -> Iterator[Html]:
    """A line for each point through its settings and objectives."""
    axes = _axes(field)
    names = [*axes, *field.objectives]
    if len(names) < 2:
        yield tag("p", "There is one quantity alone.", class_="soft")
        return
    scales = [_ordinal(axes[name]) if name in axes else _metric(field, name) for name in names]
    step = (WIDTH - LEFT - RIGHT) / (len(names) - 1)
    parts = []
    for place, name in enumerate(names):
        x = f"{LEFT + place * step:.1f}"
        parts.append(tag("line", x1=x, x2=x, y1=30, y2=HEIGHT - BOTTOM, class_="grid"))
        words = ".".join(name.split(".")[-2:])
        parts.append(tag("text", words, tag("title", name), x=x, y=14, text_anchor="middle"))
    keys = field.keys
    others = [record for record in field.points if record["key"] not in keys]
    for record in (*others[:MOST_LINES], *field.front):
        heights = [scale(record.get(name)) for scale, name in zip(scales, names, strict=True)]
        if None in heights:
            continue
        corners = " ".join(
            f"{LEFT + place * step:.0f},{height:.0f}" for place, height in enumerate(heights)
        )
        kind = "line best" if record["key"] in keys else "line"
        parts.append(tag("polyline", points=corners, class_=kind, data_k=field.mark(record)))
    left = len(others) - MOST_LINES
    note = f" {left:,} points beside the front have no line." if left > 0 else ""
    yield tag("p", f"Lines of the front are coloured; up is the larger value.{note}", class_="soft")
    yield tag("figure", _svg(parts, HEIGHT - BOTTOM + 12, "Parallel coordinates of the points"))


Height = Callable[[object], float | None]
"""Where a value is drawn on its axis; None where it is nowhere."""


def _ordinal(values: Sequence[object]) -> Height:
    low, high = HEIGHT - BOTTOM, 30
    span = max(len(values) - 1, 1)
    places = {value: low - (low - high) * place / span for place, value in enumerate(values)}
    return lambda value: places.get(value)


def _metric(field: Field, name: str) -> Height:
    values = [_number(each[name]) for each in field.points if _is_number(each.get(name))]
    scale = _Scale.of(values, HEIGHT - BOTTOM, 30)
    return lambda value: scale.at(_number(value)) if _is_number(value) else None


def _svg(parts: Sequence[Html], height: float, label: str) -> Html:
    picture = tag(
        *("svg", joined(parts)), viewBox=f"0 0 {WIDTH} {height:g}", role="img", aria_label=label
    )
    return tag("div", picture, class_="scroll", tabindex=0)


# --- Tables ---------------------------------------------------------------------------------------


def _effects(field: Field) -> Iterator[Html]:
    """For every value of every setting the best and the median of each objective."""
    heads = ["<setting", "<value", "points"]
    heads += [f"{word} {name}" for name in field.objectives for word in ("best", "median")]
    rows = []
    for name, values in _axes(field).items():
        for value in values:
            having = [record for record in field.points if record.get(name) == value]
            cells = [Cell(name, kind="t"), Cell(str(value), kind="t"), Cell(f"{len(having):,}")]
            for objective, goal in field.objectives.items():
                found = [_number(r[objective]) for r in having if _is_number(r.get(objective))]
                best = min(found, default=None) if goal == "min" else max(found, default=None)
                middle = median(found) if found else None
                cells += [Cell(quantity_text(objective, each)) for each in (best, middle)]
            rows.append(cells)
    yield tag("figure", table(heads, rows, "What each setting does"))


def _points(field: Field) -> Iterator[Html]:
    keys = field.keys
    others = [record for record in field.points if record["key"] not in keys]
    heads = ["<front", *(f"<{name}" for name in field.parameters), *field.objectives, "<point"]
    rows = [
        [
            Cell("*" if record["key"] in keys else "", kind="t"),
            *(Cell(str(record.get(name)), kind="t") for name in field.parameters),
            *(Cell(quantity_text(name, record.get(name))) for name in field.objectives),
            Cell(field.mark(record), kind="t"),
        ]
        for record in (*field.front, *others[:MOST_ROWS])
    ]
    left = len(others) - MOST_ROWS
    if left > 0:
        yield tag("p", f"{left:,} more points are in `accelsim results --csv`.", class_="soft")
    whole = table(heads, rows, "Points", "points")
    yield whole if len(rows) <= 60 else folded(f"{len(rows):,} points", whole)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return value

"""The network of a run as a graph: a box for each layer, filled by its share of the time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from unicodedata import east_asian_width

from accelsim.report.page.layout import Layout, Sources, layered
from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.page.recorded import LayerRecord, RunRecord
from accelsim.report.page.tables import Cell, name, number, table
from accelsim.report.quantities import percent
from accelsim.results.blocks import block_of

MOST_BOXES = 200
"""Where a network has more layers, a box is a block; where it has more of these, several."""

MOST_EDGES = 2_000
"""Beyond which nothing would be seen."""

_WIDE, _GAP, _TALL, _PITCH = 132, 10, 24, 42
"""Of a box, between boxes beside each other, of a box, and from row to row."""
_SMALLEST = 0.75
"""How far a wide network is shrunk before it is moved sideways instead."""
_LETTERS = 12
_BROAD = "ABCDEGHKMNOQRUVWXmw@%&<>+=#~"


@dataclass(frozen=True, slots=True)
class Box:
    """What is drawn as one: layers that follow each other, and the boxes that they read."""

    name: str
    layers: tuple[LayerRecord, ...]
    inputs: tuple[str, ...]

    @property
    def cycles(self) -> int:
        """Own cycles of its layers, one after another: what they wait for others is theirs."""
        return sum(layer.own_cycles for layer in self.layers)

    @property
    def bound(self) -> str:
        """What its longest layer is bound by."""
        return max(self.layers, key=lambda layer: layer.own_cycles).bound

    @property
    def op(self) -> str:
        """What it is: its operation, or of how many layers."""
        return self.layers[0].op if len(self.layers) == 1 else f"{len(self.layers)} layers"


def graph(run: RunRecord, colors: Mapping[str, int]) -> Iterator[Html]:
    """The picture with its table beside it; nothing of results that do not say who reads what."""
    if not any(layer.inputs for layer in run.layers):
        return
    shown = boxes(run.layers)
    if sum(len(each.inputs) for each in shown) > MOST_EDGES:
        return
    total = sum(each.cycles for each in shown) or 1
    layout = layered({each.name: each.inputs for each in shown})
    rows = [
        [
            *(name(each.name), Cell(each.op, kind="t"), number(each.cycles)),
            *(Cell(percent(each.cycles / total)), Cell(each.bound, kind="t")),
        ]
        for each in shown
    ]
    heads = ("<layer", "<op", "own cycles", "%", "<bound")
    picture = _picture(shown, layout, total, colors)
    marks = range(len(shown))
    beside = table(heads, rows, "The network's layers, as drawn", "plain graph", marks)
    yield tag("figure", tag("div", picture, class_="tall", tabindex=0), beside, class_="beside")


def boxes(layers: Sequence[LayerRecord]) -> list[Box]:
    """The layers that cost time, or where branches meet; blocks of them where there are many."""
    read = _read(layers)
    kept = [layer for layer in layers if layer.name in read]
    for parts in _parts(kept):
        if len(parts) <= MOST_BOXES:
            return _joined(parts, read)
    raise AssertionError("the last parts are few enough")


def _read(layers: Sequence[LayerRecord]) -> dict[str, tuple[str, ...]]:
    """What each layer that is drawn reads; a view of one result is that result."""
    behind: dict[str, tuple[str, ...]] = {}
    drawn: dict[str, tuple[str, ...]] = {}
    for layer in layers:
        if layer.name in behind:
            continue  # two of one name, of somebody's own making
        each = (source for name in layer.inputs for source in behind.get(name, ()))
        read = tuple(dict.fromkeys(each))
        if layer.is_free and len(read) < 2:
            behind[layer.name] = read
        else:
            behind[layer.name] = (layer.name,)
            drawn[layer.name] = read
    return drawn


def _parts(layers: Sequence[LayerRecord]) -> Iterator[list[list[LayerRecord]]]:
    """The layers one by one, by block, and in as few parts as may be drawn."""
    yield [[layer] for layer in layers]
    yield [[*some] for _, some in groupby(layers, key=lambda layer: block_of(layer.name))]
    size = -(-len(layers) // MOST_BOXES)
    yield [[*layers[start : start + size]] for start in range(0, len(layers), size)]


def _joined(parts: Sequence[Sequence[LayerRecord]], read: Sources) -> list[Box]:
    names = [_called(part) for part in parts]
    if len(set(names)) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    home = {layer.name: called for called, part in zip(names, parts, strict=True) for layer in part}
    found = []
    for called, part in zip(names, parts, strict=True):
        sources = (home[source] for layer in part for source in read[layer.name])
        inputs = tuple(each for each in dict.fromkeys(sources) if each != called)
        found.append(Box(called, tuple(part), inputs))
    return found


def _called(part: Sequence[LayerRecord]) -> str:
    """A layer's name, a block's, or those of the first and the last."""
    first, last = part[0].name, part[-1].name
    if len(part) == 1:
        return first
    return block_of(first) if block_of(first) == block_of(last) else f"{first} to {last}"


def _picture(shown: Sequence[Box], layout: Layout, total: int, colors: Mapping[str, int]) -> Html:
    wide, tall = layout.width * (_WIDE + _GAP), layout.rows * _PITCH - _PITCH + _TALL + 4
    most = max((each.cycles for each in shown), default=0) or 1
    parts = [tag("path", d="".join(map(_route, layout.routes)), class_="edge")]
    for mark, each in enumerate(shown):
        across, row = layout.places[each.name]
        x, y = across * (_WIDE + _GAP) - _WIDE / 2, row * _PITCH + 2
        told = (
            f"{each.name}: {each.op}, {each.cycles:,} own cycles, {percent(each.cycles / total)} %"
        )
        words = _words(each, x, y, percent(each.cycles / total))
        filled = _filled(x, y, each.cycles / most, colors.get(each.bound, 6))
        parts.append(tag("g", tag("title", told), _outline(x, y), filled, words, data_l=mark))
    box = f"0 0 {wide:g} {tall:g}"
    label = "The network: each layer below those whose results it reads"
    style = f"width:{wide:g}px;min-width:{_SMALLEST * wide:g}px"
    return tag("svg", joined(parts), viewBox=box, role="img", aria_label=label, style=style)


def _outline(x: float, y: float) -> Html:
    return tag("rect", x=f"{x:.0f}", y=y, width=_WIDE, height=_TALL, rx=3, class_="node")


def _filled(x: float, y: float, share: float, color: int) -> Html:
    wide = f"{(_WIDE - 2) * share:.1f}"
    return tag("rect", x=f"{x + 1:.0f}", y=y + _TALL - 5, width=wide, height=4, class_=f"a{color}")


def _words(each: Box, x: float, y: float, share: str) -> Html:
    """The end of the name, which tells layers of a block apart, and the share of the time."""
    parts = each.name.split("/")
    tails = ("/".join(parts[place:]) for place in range(len(parts)))
    said = next((tail for tail in tails if _width(tail) <= _LETTERS), parts[-1])
    if _width(said) > _LETTERS:
        fits = (end for end in range(len(said)) if _width(said[end:]) <= _LETTERS - 1)
        said = f"\u2026{said[next(fits) :]}"
    text = tag("text", said, x=f"{x + 5:.0f}", y=y + 14)
    if not each.cycles:
        return text
    right = tag("text", f"{share} %", x=f"{x + _WIDE - 4:.0f}", y=y + 14, text_anchor="end")
    return joined((text, right))


def _width(text: str) -> float:
    """How wide a text is drawn, in usual letters, of which capitals and other scripts take more."""
    return sum(
        2.0 if east_asian_width(letter) in "WF" else 1.6 if letter in _BROAD else 1.0
        for letter in text
    )


def _route(points: Sequence[tuple[float, int]]) -> str:
    """From below a box through the rows that it passes to above another."""
    spots = [(across * (_WIDE + _GAP), row * _PITCH + 2) for across, row in points]
    (x, y), *rest = spots
    y += _TALL
    said = [f"M{x:.0f} {y}"]
    for place, (to, top) in enumerate(rest, 1):
        middle = (y + top) / 2
        said.append(f"C{x:.0f} {middle:g} {to:.0f} {middle:g} {to:.0f} {top}")
        if place < len(rest):
            said.append(f"V{top + _TALL}")
        x, y = to, top + _TALL
    return "".join(said)

"""The machine of a run, drawn from its file: what is large is drawn large, with how busy it was."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.page.recorded import RunRecord
from accelsim.report.page.tables import Cell, folded, table
from accelsim.report.quantities import NONE, percent
from accelsim.units import format_bytes, parse_size

WIDTH, HEIGHT = 900, 250
_TALLEST = 190
"""Of the drawing of the array or of a buffer."""
_ARRAY_WIDE, _BUFFERS_WIDE = 230, 300
_MOST_BUFFERS = 12


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the machine: what it is, and the share of the run that it was busy, if known."""

    name: str
    size: str
    link: str
    busy: float | None = None


def machine(run: RunRecord) -> Iterator[Html]:
    """The picture and its table; nothing where the result does not say its hardware."""
    if run.made_by is None or not isinstance(run.made_by.hardware.get("array"), dict):
        return
    hardware = run.made_by.hardware
    parts = [*_parts(run, hardware)]
    note = (
        "The array's sides are its rows and columns, and the buffers' areas their bytes, to one "
        "scale each. What is filled is the share of the run that a part was busy."
    )
    yield tag("p", note, class_="soft")
    yield tag("figure", _picture(run, hardware, parts))
    rows = [
        [
            *(Cell(part.name, kind="t"), Cell(part.size, kind="t"), Cell(part.link, kind="t")),
            Cell(NONE if part.busy is None else percent(part.busy)),
        ]
        for part in parts
    ]
    yield folded("In numbers", table(("<part", "<size", "<bandwidth", "busy %"), rows, "Machine"))


def _parts(run: RunRecord, hardware: Mapping[str, Any]) -> Iterator[Part]:
    """The array, the vector unit, the buffers, DRAM."""
    array, cycles = hardware["array"], run.totals.cycles or 1
    count = _number(array.get("count"))
    shape = f"{_number(array.get('rows')):,} x {_number(array.get('cols')):,} PEs"
    several = f", {count:,} of them" if count > 1 else ""
    busy = sum(layer.array_cycles for layer in run.layers) / cycles
    yield Part("array", shape + several, "", min(busy, 1.0))
    lanes = _number(_in(hardware, "vector_unit").get("lanes"))
    busy = sum(layer.vector_cycles for layer in run.layers) / cycles
    yield Part("vector unit", f"{lanes:,} lanes", "", min(busy, 1.0))
    for name, buffer in [*_in(hardware, "buffers").items()][:_MOST_BUFFERS]:
        held = buffer if isinstance(buffer, dict) else {}
        listed = held.get("holds")
        holds = ", ".join(map(str, listed)) if isinstance(listed, list) else ""
        size = format_bytes(_bytes(held.get("size")))
        yield Part(str(name), f"{size} of {holds}", str(held.get("bandwidth") or "unlimited"))
    dram = _in(hardware, "dram")
    rate = dram.get("bandwidth") or _in(dram, "timing").get("name") or ""
    busy = sum(layer.dram_cycles for layer in run.layers) / cycles
    yield Part("DRAM", "", str(rate), min(busy, 1.0))


def _picture(run: RunRecord, hardware: Mapping[str, Any], parts: Sequence[Part]) -> Html:
    array = hardware["array"]
    rows, cols = (max(_number(array.get(key)), 1) for key in ("rows", "cols"))
    scale = min(_TALLEST / rows, _ARRAY_WIDE / cols)
    tall, wide = max(rows * scale, 3), max(cols * scale, 3)
    by_name = {part.name: part for part in parts}
    right, middle = WIDTH - 60 - wide, HEIGHT / 2
    drawn = [
        *_box(by_name["DRAM"], 20, middle - 60, 90, 120),
        *_link(115, 190, middle, by_name["DRAM"].link),
        *_buffers(hardware, by_name, 200),
        *_link(520, right - 5, middle, ""),
        *_box(by_name["array"], right, middle - tall / 2 - 12, wide, tall),
        *_box(by_name["vector unit"], right, middle + tall / 2 + 10, wide, 14),
    ]
    label = f"{run.hardware}: DRAM, buffers, array and vector unit"
    picture = tag(
        *("svg", joined(drawn)), viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label
    )
    return tag("div", picture, class_="scroll", tabindex=0)


def _buffers(hardware: Mapping[str, Any], parts: Mapping[str, Part], left: float) -> Iterator[Html]:
    """Squares side by side, whose areas are to one scale, on as many lines as they need."""
    named = [
        (str(name), _bytes(buffer.get("size")) if isinstance(buffer, dict) else 1)
        for name, buffer in [*_in(hardware, "buffers").items()][:_MOST_BUFFERS]
    ]
    sides: list[float] = [sqrt(size) for _, size in named]
    scale = min(_BUFFERS_WIDE / (sum(sides) or 1), _TALLEST / max([1.0, *sides]))
    x = left
    for (name, _), side in zip(named, sides, strict=True):
        length = max(side * scale - 6, 3)
        yield from _box(parts[name], x, HEIGHT / 2 - length / 2, length, length)
        x += side * scale


def _box(part: Part, x: float, y: float, wide: float, tall: float) -> Iterator[Html]:
    """A part, filled from below as far as it was busy; its words above."""
    share = part.busy or 0.0
    said = f"{part.name}: {part.size} {part.link}".strip()
    said += "" if part.busy is None else f", busy {percent(part.busy)} %"
    place = {"x": f"{x:.1f}", "width": f"{wide:.1f}"}
    yield tag("rect", tag("title", said), **place, y=f"{y:.1f}", height=f"{tall:.1f}", class_="box")
    if share:
        top = f"{y + tall * (1 - share):.1f}"
        yield tag("rect", **place, y=top, height=f"{tall * share:.1f}", class_="a0")
    words = part.name if part.busy is None else f"{part.name} {percent(part.busy)} %"
    yield tag("text", words, tag("title", said), x=f"{x:.1f}", y=f"{y - 4:.1f}")


def _link(start: float, stop: float, y: float, words: str) -> Iterator[Html]:
    yield tag("line", x1=f"{start:.1f}", x2=f"{stop:.1f}", y1=y, y2=y, class_="roof")
    yield tag("text", words, x=f"{(start + stop) / 2:.1f}", y=y - 6, text_anchor="middle")


def _in(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return min(max(value, 0), 2**63)
    return 1


def _bytes(value: object) -> int:
    try:
        return parse_size(value)
    except ValueError:
        return 1

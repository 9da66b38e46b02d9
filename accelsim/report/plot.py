"""Figures of a run for a paper's column: readable in grey, in any format that matplotlib writes."""

import unicodedata
import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem
from accelsim.files import write_file
from accelsim.report.page.recorded import LayerRecord, RunRecord
from accelsim.report.page.sections import BUCKETS
from accelsim.report.quantities import si
from accelsim.text import visible

Axes = Any
"""Of matplotlib, which need not be there."""

FORMATS = ("svg", "pdf", "png")
COLUMN = 3.5
"""Inches of a column in a paper of two."""

MOST_BARS = 40
"""Layers that have a bar of their own: the longest."""

_GREYS = ("0.15", "0.85", "0.5", "1.0", "0.7", "0.35", "0.95")
_HATCHES = ("", "", "", "////", "", "....", "\\\\\\\\")
_MARKERS = {"array": "o", "dram": "s", "buffer": "^", "vector": "D"}


def write_plot(kind: str, runs: Sequence[RunRecord], path: str) -> None:
    """Draw `kind` of the first of `runs` into `path`; raises InputError."""
    write_figure(path, lambda axes: KINDS[kind](axes, runs[0]))


def write_figure(path: str, draw: Callable[[Axes], None]) -> None:
    """Draw a figure into `path`, whose ending says the format; raises InputError."""
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        message = f"ends in none of {', '.join(f'.{each}' for each in FORMATS)}"
        raise InputError(Problem(message=message, source=path))
    figure, axes = _figure()
    draw(axes)
    drawn = BytesIO()  # for matplotlib does not end well where its file does not
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that the font does not have
        figure.savefig(drawn, format=ending, dpi=300, metadata=_UNDATED[ending])
    write_file(path, drawn.getvalue())


_UNDATED: dict[str, dict[str, Any]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {},
}


def _figure() -> tuple[Any, Axes]:
    """An empty figure, drawn the same whenever it is; raises InputError without matplotlib."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        message = "plots need matplotlib: pip install 'accelsim[report]'"
        raise InputError(Problem(message=message, source="accelsim plot")) from None
    settings = {"font.size": 7, "axes.linewidth": 0.6, "svg.hashsalt": "accelsim"}
    settings |= {"hatch.linewidth": 0.4, "text.parse_math": False}
    matplotlib.rcParams.update(settings)
    figure = Figure(figsize=(COLUMN, 2.4), layout="constrained")
    return figure, figure.add_subplot()


def _roofline(axes: Axes, run: RunRecord) -> None:
    """A mark for each layer, by what bounds it, under the roof where it is known."""
    drawn = [one for one in run.working if one.macs and one.own_cycles and one.dram_bytes]
    if not drawn:
        message = "no layer both multiplies and moves anything to or from DRAM"
        raise InputError(Problem(message=message, source=run.network))
    for bound, marker in _MARKERS.items():
        some = [one for one in drawn if one.bound == bound]
        if some:
            across = [one.macs / one.dram_bytes for one in some]
            up = [one.macs / one.own_cycles for one in some]
            by = f"bound by {bound.replace('dram', 'DRAM')}"
            axes.scatter(across, up, s=9, marker=marker, label=by, lw=0.4, ec="k")
    if run.made_by is not None:
        peak, rate = run.made_by.derived.pes, run.made_by.derived.dram_bytes_per_cycle
        ends = [min(one.macs / one.dram_bytes for one in drawn) / 2, peak / rate]
        ends.append(2 * max(*(one.macs / one.dram_bytes for one in drawn), peak / rate))
        axes.plot(ends, [min(peak, rate * end) for end in ends], "k-", lw=0.8)
    axes.set(xscale="log", yscale="log", xlabel="MACs per DRAM byte", ylabel="MACs per cycle")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(tick)
        axis.set_minor_formatter("")
    axes.legend(frameon=False)


def _layers(axes: Axes, run: RunRecord) -> None:
    """A bar of buckets for each layer, the longest, in the network's order."""
    shown = _longest(run)
    names = [label(one.name) for one in shown]
    starts = [0] * len(names)
    for place, (key, title) in enumerate(BUCKETS.items()):
        sizes = [_size(one, key) for one in shown]
        if any(sizes):
            style = {"color": _GREYS[place], "hatch": _HATCHES[place], "ec": "k", "lw": 0.3}
            axes.barh(range(len(names)), sizes, left=starts, label=title, **style)
            starts = [a + b for a, b in zip(starts, sizes, strict=True)]
    axes.set_xlim(0, 1.04 * max(starts, default=0) or 1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(_cycles_of(run, shown))
    axes.xaxis.set_major_formatter(tick)
    axes.figure.set_size_inches(COLUMN, 0.8 + 0.13 * len(names))
    axes.figure.legend(frameon=False, loc="outside upper center", ncols=4)


def _longest(run: RunRecord) -> list[LayerRecord]:
    """The layers that there is room for, in the network's order."""
    longest = sorted(run.working, key=lambda one: -one.cycles)[:MOST_BARS]
    return [one for one in run.working if one in longest]


def _cycles_of(run: RunRecord, shown: Sequence[LayerRecord]) -> str:
    """What the axis is of, and how much it leaves out."""
    rest = len(run.working) - len(shown)
    return f"cycles ({rest:,} shorter layers are left out)" if rest else "cycles"


def label(name: object) -> str:
    """A name beside an axis: nothing in it that a viewer obeys, and in a third of the column.

    Of a long one it is the end, where the layers of a block differ.
    """
    text = visible(str(name))
    room = _LETTERS // 2 if any(map(_is_wide, text)) else _LETTERS
    return text if len(text) <= room else f"\u2026{text[1 - room :]}"


_LETTERS = 22


def _is_wide(letter: str) -> bool:
    return letter in "WM@%" or unicodedata.east_asian_width(letter) in "WF"


def tick(value: float, _: int) -> str:
    """A number on an axis."""
    if value < 1000:
        return f"{value:g}"
    number, unit = si(value).split(" ")
    return f"{float(number):g} {unit}"


def _size(layer: LayerRecord, bucket: str) -> int:
    return max(0, layer.buckets.get(bucket, 0))


def _timeline(axes: Axes, run: RunRecord) -> None:
    """When each layer was under way: a row for each, the longest, in the order of the network."""
    shown = _longest(run)
    for bound, grey in _BOUND_GREYS.items():
        some = [(place, one) for place, one in enumerate(shown) if one.bound == bound]
        if some:
            axes.barh(
                [place for place, _ in some],
                [one.end_cycle - one.start_cycle for _, one in some],
                left=[one.start_cycle for _, one in some],
                label=f"bound by {bound.replace('dram', 'DRAM')}",
                color=grey,
                ec="k",
                lw=0.3,
            )
    axes.set_yticks(range(len(shown)), [label(one.name) for one in shown])
    axes.invert_yaxis()
    axes.set_xlabel(_cycles_of(run, shown))
    axes.xaxis.set_major_formatter(tick)
    axes.figure.set_size_inches(COLUMN, 0.8 + 0.13 * len(shown))
    axes.figure.legend(frameon=False, loc="outside upper center", ncols=2)


_BOUND_GREYS = {"array": "0.25", "dram": "0.85", "buffer": "0.5", "vector": "1.0"}

KINDS: dict[str, Callable[[Axes, RunRecord], None]] = {
    "roofline": _roofline,
    "layers": _layers,
    "timeline": _timeline,
}
"""What can be drawn of a run."""

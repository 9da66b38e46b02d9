"""What a page says of the runs of one network.

Every picture has its numbers in a table, which is the picture itself or folded below it.
"""

from collections.abc import Iterator, Sequence

from accelsim.report.columns import BUCKET_NAMES
from accelsim.report.page import charts
from accelsim.report.page.graph import graph
from accelsim.report.page.group import Group
from accelsim.report.page.machine import machine
from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.page.recorded import LayerRecord, RunRecord
from accelsim.report.page.tables import Cell, folded, name, number, table
from accelsim.report.page.tiled import tiled
from accelsim.report.quantities import NONE, joules, percent, seconds, si
from accelsim.results import Buckets
from accelsim.units import format_bytes

BUCKETS = dict(zip(Buckets.__slots__, BUCKET_NAMES.values(), strict=True))
"""What people call each bucket; its place is its colour."""

BOUNDS = {"array": 0, "dram": 4, "buffer": 3, "vector": 2}
"""The colour of what a layer takes longest of."""

_OPERANDS = ("ifmap", "filter", "psum", "ofmap")
_LABELLED = 8


def sections(group: Group) -> Iterator[Html]:
    """All that is said of a group, in order."""
    yield tag("p", verdict(group))
    yield _cards(group)
    if any(run.phases for run in group.runs):
        yield _section("Phases of the training step", _phases(group))
    yield from _networks(group)
    yield _section("Layers", _layers(group))
    yield _section("Roofline", _roofline(group))
    yield _section("Timeline", _timelines(group))
    if any(run.made_by for run in group.runs):
        yield _section("Machine", _machines(group))
    yield _section("DRAM traffic by operand", _traffic(group))
    if any(run.totals.energy for run in group.runs):
        yield _section("Energy by component", _energy(group))


def _section(title: str, parts: Iterator[Html]) -> Html:
    return tag("section", tag("h3", title), joined(parts))


def _phases(group: Group) -> Iterator[Html]:
    """What each part of a training step takes."""
    heads = ["<phase", "layer cycles", "%", "util %", "MACs", "DRAM read", "DRAM write"]
    for label, run in group.pairs:
        total = sum(phase.layer_cycles for phase in run.phases.values()) or 1
        measured = run.totals.energy_pj is not None
        rows = [
            [
                *(name(key.replace("_", " ")), number(phase.layer_cycles)),
                *(Cell(percent(phase.layer_cycles / total)), Cell(percent(phase.utilization))),
                Cell(si(phase.macs)),
                *(Cell(format_bytes(phase.bytes(way))) for way in ("read", "write")),
                *([Cell(joules(phase.energy_pj or 0))] if measured else []),
            ]
            for key, phase in run.phases.items()
        ]
        yield table([*heads, *["energy"] * measured], rows, f"Phases: {label}")


# --- Verdict --------------------------------------------------------------------------------------


def verdict(group: Group) -> str:
    """What matters most, in words."""
    run = group.runs[group.best]
    said = []
    if group.several:
        times = group.image_seconds
        slower = max(times) / min(times) if min(times) else 1.0
        said.append(
            f"{group.labels[group.best]} is fastest: {seconds(min(times))} per image, the slowest "
            f"takes {slower:.2f} times as long."
        )
    said.append(f"{percent(run.totals.utilization)} % of what its PEs could do is done.")
    losses = {BUCKETS[key]: run.totals.buckets.get(key, 0) for key in BUCKETS}
    losses.pop(BUCKETS["other_layer"])  # another layer's gain
    total = sum(losses.values())
    if total:
        useful = losses.pop(BUCKETS["useful"])
        worst = max(losses, key=lambda one: losses[one])
        said.append(
            f"Of the layers' own cycles, without waits for other layers, "
            f"{percent(useful / total)} % are useful work; the largest loss is "
            f"{worst}, {percent(losses[worst] / total)} %."
        )
    return " ".join([*said, _bounds(run)])


def _bounds(run: RunRecord) -> str:
    """How many layers are bound by what, and their share of all layers' own cycles."""
    total = sum(layer.own_cycles for layer in run.working) or 1
    counts = {bound: [one for one in run.working if one.bound == bound] for bound in BOUNDS}
    said = [
        f"{len(some)} by {bound.replace('dram', 'DRAM')} "
        f"({percent(sum(one.own_cycles for one in some) / total)} % of these cycles)"
        for bound, some in counts.items()
        if some
    ]
    return f"Layers bound: {', '.join(said)}." if said else ""


def _cards(group: Group) -> Html:
    heads = ["<run", "time", "images/s", "cycles", "util %", "DRAM", "DRAM GB/s"]
    has_energy = any(run.totals.energy_pj is not None for run in group.runs)
    heads += ["energy", "W"] if has_energy else []
    rows = [_totals(label, run, has_energy) for label, run in group.pairs]
    if group.several:
        return tag("section", tag("h3", "Totals"), table(heads, rows, "Totals"))
    pairs = zip(heads[1:], rows[0][1:], strict=True)
    cards = [tag("div", tag("b", cell.shown), tag("span", head)) for head, cell in pairs]
    return tag("div", joined(cards), class_="cards")


def _totals(label: str, run: RunRecord, has_energy: bool) -> list[Cell]:
    totals, time = run.totals, run.totals.seconds
    cells = [
        name(label),
        Cell(seconds(time)),
        Cell(f"{run.batch / time:,.1f}" if time else NONE),
        number(totals.cycles),
        Cell(percent(totals.utilization)),
        Cell(format_bytes(totals.dram_bytes)),
        Cell(f"{totals.dram_bytes / time / 1e9:,.2f}" if time else NONE),
    ]
    if has_energy:
        energy = totals.energy_pj
        watts = energy * 1e-12 / time if energy is not None and time else None
        cells.append(_joules(energy))
        cells.append(Cell(NONE if watts is None else f"{watts:,.3f}"))
    return cells


def _joules(energy: float | None) -> Cell:
    return Cell(NONE) if energy is None else Cell(joules(energy))


# --- Layers ---------------------------------------------------------------------------------------


def _layers(group: Group) -> Iterator[Html]:
    """Bars of buckets, and all numbers."""
    scale = (
        "each row is drawn to its slowest run" if group.several else "drawn to the longest layer"
    )
    yield tag("p", f"Where each layer's cycles went; {scale}.", class_="soft")
    yield charts.key(enumerate(BUCKETS.values()))
    heads = ["<layer", "<op", "MACs"]
    for label in group.labels if group.several else ("cycles",):
        heads += [label, ""]
    heads += ["<best"] if group.several else ["util %", "DRAM", "<bound"]
    found = [{layer.name: layer for layer in run.layers} for run in group.runs]
    longest = max((layer.cycles for run in group.runs for layer in run.layers), default=0)
    names = dict.fromkeys(layer.name for run in group.runs for layer in run.working)
    rows = (_layer(each, [of.get(each) for of in found], group, longest) for each in names)
    yield tag("figure", table(heads, rows, "Layers", "layers"))
    free = sum(layer.is_free for layer in group.runs[0].layers)
    if free:
        yield tag("p", f"{free} layers cost nothing and are not shown.", class_="soft")
    yield folded("In numbers", _numbers(group))


def _layer(
    called: str, layers: Sequence[LayerRecord | None], group: Group, longest: int
) -> list[Cell]:
    """A row: the same layer in each run."""
    present = [layer for layer in layers if layer is not None]
    one = present[0]
    times = [layer.cycles for layer in present]
    whole = max(times) if group.several else longest
    least = min(times) if len(set(times)) > 1 else None
    cells = [name(called), Cell(one.op, kind="t"), Cell(si(one.macs) if one.macs else NONE)]
    for layer in layers:
        cells += _bar(layer, whole, least, "b" if group.several else "b w")
    if not group.several:
        return [*cells, *_rest(one)]
    pairs = zip(group.labels, layers, strict=True)
    best = [label for label, layer in pairs if layer is not None and layer.cycles == least]
    return [*cells, Cell(", ".join(best) or "any", kind="t")]


def _bar(layer: LayerRecord | None, whole: int, least: int | None, kind: str) -> list[Cell]:
    """Cycles, green where they are the `least`, and the bar of their buckets."""
    if layer is None:
        return [Cell(NONE), Cell("")]
    parts = [max(0, layer.buckets.get(key, 0)) for key in BUCKETS]
    told = charts.shares(dict(zip(BUCKETS.values(), parts, strict=True)))
    picture = charts.stacked(parts, whole, told)
    cycles = Cell(f"{layer.cycles:,}", kind="best" if layer.cycles == least else "")
    return [cycles, Cell(picture, kind)]


def _rest(layer: LayerRecord) -> list[Cell]:
    return [
        Cell(percent(layer.utilization) if layer.macs else NONE),
        Cell(format_bytes(layer.dram_bytes)),
        Cell(layer.bound, kind="t"),
    ]


def _numbers(group: Group) -> Html:
    """Buckets and traffic of every layer of every run."""
    heads = ["<layer", *(["<run"] if group.several else [])]
    heads += ["start", "end", "cycles", *BUCKETS.values()]
    zeros = any(run.totals.zero_macs for run in group.runs)
    heads += [*["MACs by inserted zeros"] * zeros, "util %", "DRAM read", "DRAM write", "<bound"]
    has_energy = any(layer.energy_pj for run in group.runs for layer in run.layers)
    heads += ["energy"] if has_energy else []
    rows = []
    for label, run in group.pairs:
        for layer in run.working:
            cells = [name(layer.name), *([name(label)] if group.several else [])]
            cells += map(number, (layer.start_cycle, layer.end_cycle, layer.cycles))
            cells += [number(layer.buckets.get(key, 0)) for key in BUCKETS]
            cells += [number(layer.zero_macs)] * zeros
            cells += [Cell(percent(layer.utilization) if layer.macs else NONE)]
            cells += [Cell(format_bytes(layer.bytes(way))) for way in ("read", "write")]
            cells += [Cell(layer.bound, kind="t")]
            rows.append(cells + ([_joules(layer.energy_pj)] if has_energy else []))
    return table(heads, rows, "Layers in numbers")


# --- Roofline -------------------------------------------------------------------------------------


def _roofline(group: Group) -> Iterator[Html]:
    roofs = dict.fromkeys(
        charts.Roof(made.derived.pes, made.derived.dram_bytes_per_cycle)
        for made in (run.made_by for run in group.runs)
        if made is not None
    )
    points = [point for index in range(len(group.runs)) for point in _points(group, index)]
    if not points:
        yield tag("p", "No layer both multiplies and moves anything to or from DRAM.")
        return
    limit = "the machine's peak and its DRAM bandwidth" if roofs else "unknown: the file lacks it"
    told = (
        f"One dot per layer, as large as its share of the cycles. The line is {limit}. What lies "
        "above the slope has moved bytes, such as its filters, while another layer was at work."
    )
    yield tag("p", told, class_="soft")
    if group.several:
        yield charts.key((index % 7, label) for index, label in enumerate(group.labels))
    else:
        yield _bound_key()
    yield tag("figure", charts.roofline(points, list(roofs)))
    heads = ["<layer", *(["<run"] if group.several else []), "MACs/byte", "MACs/cycle", "% of roof"]
    rows = [row for label, run in group.pairs for row in _under_roof(run, label, group.several)]
    yield folded("In numbers", table(heads, rows, "Roofline in numbers"))


def _bound_key() -> Html:
    return charts.key(
        (color, f"bound by {bound.replace('dram', 'DRAM')}") for bound, color in BOUNDS.items()
    )


def _drawn(run: RunRecord) -> list[LayerRecord]:
    return [one for one in run.working if one.macs and one.own_cycles and one.dram_bytes]


def _points(group: Group, index: int) -> Iterator[charts.Point]:
    run = group.runs[index]
    total = sum(layer.cycles for layer in run.working) or 1
    ranked = sorted(_drawn(run), key=lambda one: -one.cycles)
    for rank, layer in enumerate(ranked):
        called = f"{layer.name} ({group.labels[index]})" if group.several else layer.name
        yield charts.Point(
            name=called,
            across=layer.macs / layer.dram_bytes,
            up=layer.macs / layer.own_cycles,
            color=index % 7 if group.several else BOUNDS.get(layer.bound, 6),
            weight=layer.cycles / total,
            labelled=not group.several and rank < _LABELLED,
        )


def _under_roof(run: RunRecord, label: str, several: bool) -> Iterator[list[Cell]]:
    for layer in run.working:
        if not layer.macs or not layer.own_cycles:
            continue
        moved, rate = layer.dram_bytes, layer.macs / layer.own_cycles
        intensity = layer.macs / moved if moved else None
        roof = _height(run, intensity)
        yield [
            *(name(layer.name), *([name(label)] if several else [])),
            Cell(NONE if intensity is None else f"{intensity:,.2f}"),
            Cell(f"{rate:,.2f}"),
            Cell(NONE if roof is None else percent(rate / roof)),
        ]


def _height(run: RunRecord, intensity: float | None) -> float | None:
    """MACs per cycle that the machine can do at most with so many MACs per byte."""
    if run.made_by is None:
        return None
    derived = run.made_by.derived
    if intensity is None:
        return derived.pes
    return min(derived.pes, intensity * derived.dram_bytes_per_cycle)


# --- Timeline, traffic, energy --------------------------------------------------------------------


def _networks(group: Group) -> Iterator[Html]:
    """The graph of the network, with the times of the best run."""
    drawn = [*graph(group.runs[group.best], BOUNDS)]
    if not drawn:
        return
    whose = f" under {group.labels[group.best]}, the fastest run" if group.several else ""
    note = (
        "A box for each layer, below those that it reads; its bar is its share of the own cycles"
        f"{whose}, without waits for other layers, coloured by what bounds it. Point at a box or a "
        "row to see both."
    )
    yield _section("Network", iter([tag("p", note, class_="soft"), _bound_key(), *drawn]))


def _timelines(group: Group) -> Iterator[Html]:
    note = "Layers overlap where one loads while another computes"
    more = "it zooms to a tile: buttons, keys + and -, or the wheel with Ctrl held; drag to move"
    has_tiles = any(group.tiles)
    without = "run --report and run --trace tell every tile"
    yield tag("p", f"{note}; {more if has_tiles else without}.", class_="soft")
    yield _bound_key()
    if has_tiles:
        yield _slice_key()
    longest = max(run.totals.cycles for run in group.runs)
    drawn = group.tiles or (None,) * len(group.runs)
    for (label, run), tiles in zip(group.pairs, drawn, strict=True):
        picture = charts.timeline([*_stretches(run)], longest) if run.working and longest else ""
        if not picture:
            continue
        caption = [tag("figcaption", label)] if group.several else []
        if tiles is None:
            yield tag("figure", *caption, picture)
        else:
            yield tag("figure", *caption, *tiled(run, tiles, label, BOUNDS))
            yield tag("figure", *caption, picture, class_="paper")
    yield tag("p", "Starts and ends are in the numbers of the layers, above.", class_="soft")


def _slice_key() -> Html:
    """The colours of tiles and transfers."""
    named = {0: "array at work, ifmap read", 2: "vector unit at work, filter read"}
    named |= {1: "ofmap written", 3: "psums read", 5: "psums written", 6: "room taken"}
    return charts.key(named.items())


def _stretches(run: RunRecord) -> Iterator[charts.Stretch]:
    for layer in run.working:
        yield charts.Stretch(
            name=layer.name,
            unit="vector" if layer.vector_cycles else "array",
            start=layer.start_cycle,
            end=layer.end_cycle,
            color=BOUNDS.get(layer.bound, 6),
        )


def _machines(group: Group) -> Iterator[Html]:
    """The machine of each run, once where all run on one."""
    for label, run in group.pairs:
        drawn = [*machine(run)]
        if drawn:
            yield joined([*([tag("h4", label)] if group.several else []), *drawn])


def _traffic(group: Group) -> Iterator[Html]:
    yield charts.key(((0, "read"), (1, "written")))
    heads = ["<operand", *(["<run"] if group.several else []), "read", "written", ""]
    most = max(
        (_moved(run, operand, "read") + _moved(run, operand, "write"))
        for run in group.runs
        for operand in _OPERANDS
    )
    rows = []
    for operand in _OPERANDS:
        for label, run in group.pairs:
            read, write = (_moved(run, operand, way) for way in ("read", "write"))
            told = f"{format_bytes(read)} read, {format_bytes(write)} written"
            bar = charts.stacked((read, write), most, told)
            cells = [Cell(operand, kind="t"), *([name(label)] if group.several else [])]
            cells += [Cell(format_bytes(each)) for each in (read, write)]
            rows.append([*cells, Cell(bar, "b w")])
    yield tag("figure", table(heads, rows, "DRAM traffic by operand"))


def _moved(run: RunRecord, operand: str, way: str) -> int:
    return max(0, run.totals.dram.get(f"{operand}_{way}_bytes", 0))


def _energy(group: Group) -> Iterator[Html]:
    yield tag("p", "Dynamic energy, by the hardware's table.", class_="soft")
    heads = ["<component", *(["<run"] if group.several else []), "energy", "%", ""]
    rows = []
    tables = [(label, run.totals.energy) for label, run in group.pairs if run.totals.energy]
    most = max((value for _, energy in tables for value in energy.parts.values()), default=0.0)
    for label, energy in tables:
        total = sum(energy.parts.values()) or 1.0
        for component, value in energy.parts.items():
            cells = [Cell(component, kind="t"), *([name(label)] if group.several else [])]
            bar = charts.stacked((value,), most, joules(value))
            cells += [_joules(value), Cell(percent(value / total)), Cell(bar, "b w")]
            rows.append(cells)
    yield tag("figure", table(heads, rows, "Energy by component"))

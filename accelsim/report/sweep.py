"""What `accelsim sweep --dry-run` and `accelsim results` print."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice, takewhile

from accelsim.report.quantities import (
    NONE,
    gigabytes_per_second,
    joules,
    seconds,
    watts,
)
from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.results.rates import PJ
from accelsim.sweep.axes import Axis
from accelsim.sweep.overall import said
from accelsim.sweep.quantities import (
    HARDWARE_QUANTITIES,
    UNLIKE_BATCHES,
    UNLIKE_CLOCKS,
    Record,
    compare_batches,
    compare_clocks,
)
from accelsim.sweep.space import Sweep
from accelsim.sweep.summary import Summary, judged
from accelsim.units import format_bytes

ROWS_SHOWN = 40
_FAILURES_SHOWN = 20
_SIGNIFICANT = 5
_VALUES_SHOWN = 12
_NUMBER = re.compile(r"\d[\d,.]*")


def value_text(value: object) -> str:
    """A value of a record for people: `1,234`, `0.81234`, `12,345,678`."""
    if value is None:
        return NONE
    if isinstance(value, float):
        digits = f"{value:,.{_SIGNIFICANT}g}"
        return f"{value:,.0f}" if "e+" in digits else digits
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


_UNITS: tuple[tuple[str, Callable[[float], str]], ...] = (
    ("_pj", joules),
    ("joules", lambda value: joules(value / PJ)),
    ("watts", watts),
    ("seconds", seconds),
    ("dram_bytes_per_second", gigabytes_per_second),
    ("_bytes", format_bytes),
)
"""How a quantity is written, by the end of its name."""


def quantity_text(name: str, value: object) -> str:
    """A quantity of a record for people, in units: `22.351 ms`, `127.15 mJ`, `192.0 KiB`."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or value < 0:
        return value_text(value)
    plain = name.removesuffix("_per_image").removesuffix("_per_mac")
    for ending, written in _UNITS:
        if plain.endswith(ending):
            return written(value)
    return value_text(value)


def folded(name: str, widest: int = 12) -> str:
    """A name as a header: beyond `widest` it goes on in further lines, after a dot or underscore.

    `buffers.ifmap_sram.size` is three lines, `buffers.`, `ifmap_sram.` and `size`.
    """
    lines = [""]
    for part in re.findall(r"[^._]*[._]|[^._]+", name):
        if lines[-1] and len(lines[-1] + part) > widest:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def common_prefix(names: Sequence[str]) -> str:
    """What dotted names all begin with, such as `array.`; empty for less than two."""
    parts = [name.split(".")[:-1] for name in names] if len(names) > 1 else []
    shared = takewhile(lambda each: len({*each}) == 1, zip(*parts, strict=False))
    return "".join(f"{each[0]}." for each in shared)


# --- Before a sweep -------------------------------------------------------------------------------


def dry_run_sheets(sweep: Sweep) -> list[Sheet]:
    """The axes, what became of their combinations, what the points share, and the points.

    A search proposes its points as it goes: what is known before are those that are included.
    """
    axes = tuple(row for axis in sweep.axes for row in _axis(axis))
    columns = (Column("key", text=True), Column("values"), Column("", text=True))
    goals = ", ".join(f"{name} ({goal})" for name, goal in sweep.objectives.items())
    notes = [f"Objectives: {goals}."]
    if sweep.constraints:
        notes.append(f"Constraints: {'; '.join(map(str, sweep.constraints))}.")
    if sweep.search:
        notes.append(f"Trials by {sweep.search.method}, seed {sweep.search.seed}.")
    sheets = [
        Sheet(
            title=f"{sweep.name}: {_extent(sweep)}", columns=columns, rows=axes, notes=tuple(notes)
        ),
        facts("Points", _census(sweep)),
    ]
    if sweep.points:
        sheets += [facts("What the points share", _shared(sweep)), _points(sweep)]
    return sheets


def _extent(sweep: Sweep) -> str:
    """How many points there are, or how many are sampled."""
    points = f"{len(sweep.points):,} points"
    if not sweep.search:
        return points
    trials = f"{sweep.search.trials:,} trials of {sweep.census.grid:,} combinations"
    return f"{trials} and {points}" if sweep.points else trials


def _axis(axis: Axis) -> Iterator[Row]:
    """Values in a line; one line each for keys that move together."""
    values = [str(value) for value in axis.values[:_VALUES_SHOWN]]
    values += ["..."] if len(axis.values) > len(values) else []
    together = any(len(choice) != 1 for choice in axis.choices)
    first, *others = values if together else [", ".join(values)]
    yield Row((axis.key, f"{len(axis.choices):,}", first))
    yield from (Row(("", "", each)) for each in others)


def _census(sweep: Sweep) -> Iterator[tuple[str, str]]:
    census = sweep.census
    if sweep.search:
        yield "combinations of the matrix", f"{census.grid:,}, of which some are sampled"
        yield "points beside the trials", f"{len(sweep.points):,}"
        return
    yield "combinations of the matrix", f"{census.grid:,}"
    for index, count in enumerate(census.excluded):
        yield f"left out by exclude[{index}]", f"{count:,}"
    if census.included:
        yield "included", f"{census.included:,}"
    yield "left out by constraints on hardware", f"{census.infeasible:,}"
    yield "repeats of an earlier point", f"{census.repeated:,}"
    yield "to simulate", f"{len(sweep.points):,}"


def _shared(sweep: Sweep) -> Iterator[tuple[str, str]]:
    """Different contents among the points; what is not listed is the same for all."""
    networks: Counter[str] = Counter()
    places: dict[tuple[bytes, int], frozenset[str]] = {}
    one_of_each: dict[frozenset[str], frozenset[str]] = {}
    for point in sweep.points:  # once, for each is made when it is its turn
        networks[point.network] += 1
        place = sha256(point.varied.content.encode()).digest(), point.batch
        there = places.get(place, frozenset()) | {point.network}
        places[place] = one_of_each.setdefault(there, there)
    yield "different networks", f"{len(networks):,}"
    yield "different batches", f"{len({batch for _, batch in places}):,}"
    yield "different hardware", f"{len({hardware for hardware, _ in places}):,}"
    for part, count in sweep.census.versions.items():
        yield f"  of which different in `{part}`", f"{count:,}"
    layers = sum(len(sweep.networks[name].layers) * count for name, count in networks.items())
    yield "layers of all points", f"{layers:,}"
    different = _different_layers(sweep, Counter(places.values()))
    yield "  of different shape, batch or hardware", f"{different:,}"


def _different_layers(sweep: Sweep, places: Mapping[frozenset[str], int]) -> int:
    """Layers that differ in operation, shapes, batch or hardware.

    `places` are how many pairs of hardware and batch run which networks.
    """
    shapes = {
        name: {repr((layer.op, layer.input_shapes)) for layer in network.layers}
        for name, network in sweep.networks.items()
    }
    return sum(
        len(set().union(*(shapes[name] for name in networks))) * count
        for networks, count in places.items()
    )


def _points(sweep: Sweep) -> Sheet:
    names = list(sweep.points[0].parameters) if sweep.points else []
    shown = sweep.points[:ROWS_SHOWN]
    rows = (
        Row((str(index), *(value_text(point.parameters[name]) for name in names)))
        for index, point in enumerate(shown, 1)
    )
    columns = (Column("point"), *(Column(folded(name), text=True) for name in names))
    notes = _more(sweep.points, "points")
    title = "The points beside the trials, in order" if sweep.search else "The points, in order"
    return Sheet(title=title, columns=columns if names else (), rows=tuple(rows), notes=notes)


def _more(everything: Sequence[object], noun: str, shown: int = ROWS_SHOWN) -> tuple[str, ...]:
    rest = len(everything) - shown
    return (f"... and {rest:,} more {noun}.",) if rest > 0 else ()


# --- After a sweep --------------------------------------------------------------------------------


def results_sheets(summary: Summary) -> list[Sheet]:
    """How far the sweep is, and for each network the Pareto front and the best per objective."""
    title = f"{summary.about.name}: {summary.points:,} points"
    sheets = [facts(title, _progress(summary), _hints(summary))]
    for network, front in summary.fronts.items():
        sheets.append(_front(summary, network, summary.by_network[network], front))
        sheets += [_best(summary, network, summary.best[network])] if front else []
    if summary.overall and summary.about.over is not None:
        over = said(summary.about.over)
        sheets.append(_front(summary, over, summary.overall, summary.overall_front))
        sheets.append(_best(summary, over, summary.overall_best))
    if summary.failed:
        sheets.append(_failures(summary))
    return sheets


def _progress(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "done", f"{len(summary.done):,}"
    yield "failed", f"{len(summary.failed):,}"
    yield "not run yet", f"{summary.waiting:,}"
    for constraint in summary.about.constraints:
        if constraint.quantity in HARDWARE_QUANTITIES:
            continue  # met by every point, or it would be none
        met = sum(1 for record in summary.done if constraint.holds(record))
        yield f"done and {constraint}", f"{met:,}"
    yield "accelsim", f"{summary.about.version}, sources {summary.about.code}"


def _hints(summary: Summary) -> list[str]:
    objectives = summary.about.objectives
    batches = {(record["network"], record["batch"]) for record in summary.records}
    clocks = {(record["network"], record.get("clock")) for record in summary.records}
    hints = []
    if len(batches) > len(dict(batches)) and not compare_batches(objectives):
        hints.append(f"Hint: {UNLIKE_BATCHES}.")
    if len(clocks) > len(dict(clocks)) and not compare_clocks(objectives):
        hints.append(f"Hint: {UNLIKE_CLOCKS}.")
    return hints


def _front(summary: Summary, network: str, everything: list[Record], front: list[Record]) -> Sheet:
    """The front, or all points where they are few, those of the front with a star."""
    about = summary.about
    goals = ", ".join(f"{name} ({goal})" for name, goal in about.objectives.items())
    few = len(everything) <= ROWS_SHOWN
    records = everything if few else front[:ROWS_SHOWN]
    names, quantities = summary.varied, [name for name in judged(about) if name in everything[0]]
    prefix = common_prefix(names)
    columns = (
        Column("*", text=True),
        *(Column(folded(name.removeprefix(prefix)), text=True) for name in names),
        *(Column(folded(name), drop=0 if name in about.objectives else 1) for name in quantities),
    )
    best = {record["key"] for record in front}
    rows = []
    for record in records:
        cells = [value_text(record.get(name)) for name in names]
        cells += [quantity_text(name, record.get(name)) for name in quantities]
        on_front = record["key"] in best
        rows.append(Row(("*" if on_front else "", *cells), "bold" if few and on_front else ""))
    what = "points; * Pareto front of" if few else "Pareto front of"
    notes = () if few else _more(front, "points of the front")
    notes += () if front else ("No point meets every constraint.",)
    title = f"{network}: {what} {goals}" + (f"; keys begin with {prefix}" if prefix else "")
    return Sheet(title=title, columns=columns, rows=tuple(rows), notes=notes)


def _best(summary: Summary, network: str, best: Mapping[str, Record]) -> Sheet:
    columns = (Column("objective", text=True), Column(""), Column("point", prose=True))
    rows = []
    for name, record in best.items():
        goal = f"{summary.about.objectives[name]} {name}"
        said = _said(record, summary.varied) or "the only point"
        rows.append(Row((goal, quantity_text(name, record[name]), said)))
    return Sheet(title=f"{network}: best per objective", columns=columns, rows=tuple(rows))


def _said(record: Mapping[str, object], names: Iterable[str]) -> str:
    return ", ".join(f"{name}={record[name]}" for name in names)


def _failures(summary: Summary) -> Sheet:
    """The errors, those alike but for numbers once: how many points, the first and its error."""
    names = ["network", *summary.varied]
    alike: dict[tuple[object, str], list[Record]] = {}
    for record in summary.failed:
        kind = record["network"], _NUMBER.sub("", str(record["error"]))
        alike.setdefault(kind, []).append(record)
    notes = []
    for failed in islice(alike.values(), _FAILURES_SHOWN):
        lines = str(failed[0]["error"]).splitlines()
        notes += [f"{len(failed):,} alike, the first {_said(failed[0], names)}:", *lines]
    notes += _more(list(alike), "different errors", _FAILURES_SHOWN)
    notes.append("`accelsim sweep` with --retry-failed tries them again.")
    return Sheet(title=f"Failed: {len(summary.failed):,} points", notes=tuple(notes))

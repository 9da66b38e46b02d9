"""What `accelsim compare` prints: each layer under every dataflow, and which is best for what."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import fsum
from operator import add
from typing import Any, Literal

from accelsim.hardware import Objective
from accelsim.report.columns import (
    COMPARE_COLUMNS,
    GROUPS,
    QUANTITIES,
    Shown,
    cells,
    shown_columns,
)
from accelsim.report.quantities import NONE, joules, number, percent, seconds, si, watts
from accelsim.report.run import free_notes
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.results import SCHEMA, LayerResult, RunResult
from accelsim.results.blocks import by_block
from accelsim.results.comparison import BEST_BY, Comparison, LayerChoice, own_cost, own_cycles
from accelsim.results.rates import PJ, Rates
from accelsim.units import format_bytes
from accelsim.why import Why


def comparison_dict(
    comparisons: Sequence[Comparison], reasons: Sequence[Why] = ()
) -> dict[str, Any]:
    """The JSON form of `compare`: every run, and what is best for each network on each hardware.

    `reasons` say why the best ones take their time, in the order of the comparisons.
    """
    best = [comparison.best_as_dict() for comparison in comparisons]
    for data, reason in zip(best, reasons, strict=False):
        data["why"] = reason.as_dict()
    return {
        "schema": SCHEMA,
        "runs": [run.as_dict() for comparison in comparisons for run in comparison.runs],
        "best": best,
    }


By = Literal["layer", "block"]
_DROPS = {"util": 2, "dram": 3, "bound": 1}
USUAL = shown_columns(None, COMPARE_COLUMNS, _DROPS)


def compare_columns(names: str | None) -> tuple[Shown, ...]:
    """The columns of `compare` with those that the user names; raises InputError."""
    return shown_columns(names, COMPARE_COLUMNS, _DROPS)


def comparison_sheets(
    comparisons: Sequence[Comparison], shown: tuple[Shown, ...] = USUAL, by: By = "layer"
) -> list[Sheet]:
    """A table for each network on each hardware, `by` layer or block; a summary if several."""
    sheets = [
        sheet
        for comparison in comparisons
        for sheet in (_each_layer(comparison, shown, by), *_phases(comparison))
    ]
    return sheets if len(comparisons) == 1 else [*sheets, summary_sheet(comparisons, shown)]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Columns in the order of a block: shared ones, those of each dataflow, best, bound."""

    shared: tuple[Shown, ...]
    each: tuple[Shown, ...]
    bound: tuple[Shown, ...]
    mixed: bool = False
    best: str = "best"

    @staticmethod
    def of(shown: Sequence[Shown], comparison: Comparison) -> "_Layout":
        """The shown columns by their place; what `best` saves where it is beside another."""
        bound = tuple(each for each in shown if each.quantity.name == "bound")
        shared = tuple(each for each in shown if each.quantity.shared)
        rest = tuple(each for each in shown if each not in bound and each not in shared)
        mixed = len({run.is_mixed for run in comparison.runs}) > 1
        return _Layout(
            shared=shared, each=rest, bound=bound, mixed=mixed, best=_best_by(comparison.objective)
        )

    def columns(self, dataflows: Sequence[str]) -> tuple[Column, ...]:
        """Headers and ranks; each dataflow's columns carry its name."""
        return (
            Column("layer", text=True),
            *(Column(it.quantity.header, it.drop, it.quantity.text) for it in self.shared),
            *(
                Column(f"{name}\n{it.quantity.header.replace(chr(10), ' ')}", it.drop)
                for name in dataflows
                for it in self.each
            ),
            Column(self.best, text=True),
            *((Column("saved\n%"),) if self.mixed else ()),
            *(Column(it.quantity.header, it.drop, text=True) for it in self.bound),
        )

    def highlight(self, dataflow: int) -> tuple[int, ...]:
        """The first column of a dataflow."""
        return (1 + len(self.shared) + len(self.each) * dataflow,) if self.each else ()


def _best_by(objective: Objective) -> str:
    """The header of what is best, which says by what where that is not time."""
    return BEST_BY[objective].replace("best by ", "best by\n")


def _judged(shown: Sequence[Shown], objective: Objective) -> Sequence[Shown]:
    """The columns, with energy among the usual ones where that is judged."""
    names = {it.quantity.name for it in shown}
    if objective == "time" or "energy" in names or not names.issuperset(COMPARE_COLUMNS):
        return shown
    return (*shown, Shown(QUANTITIES["energy"], 0))


def _each_layer(comparison: Comparison, shown: Sequence[Shown], by: By) -> Sheet:
    layout = _Layout.of(_judged(shown, comparison.objective), comparison)
    rows = by_block(comparison) if by == "block" else comparison
    first = comparison.runs[0]
    title = (
        f"{first.network} on {first.hardware}, batch {first.batch}: "
        f"{si(first.macs)} MACs, {si(first.totals['parameters'])} parameters, {first.pes:,} PEs"
    )
    return Sheet(
        title=title,
        columns=layout.columns(comparison.dataflows),
        rows=tuple(_layer(choice, comparison, layout) for choice in rows.layers),
        totals=_totals(comparison, layout),
        notes=tuple(_notes(comparison, layout)),
    )


def _phases(comparison: Comparison) -> list[Sheet]:
    """The phases of a training step under each dataflow, where it is one."""
    phases = comparison.phases
    if len(phases) < 2:
        return []
    columns = (
        Column("phase", text=True),
        *(Column(f"{name}\ncycles") for name in comparison.dataflows),
        Column(_best_by(comparison.objective), text=True),
    )
    first = comparison.runs[0]
    title = f"{first.network} on {first.hardware}, batch {first.batch}: phases"
    rows = tuple(_phase(name, sums, comparison) for name, sums in phases.items())
    return [
        Sheet(title=title, columns=columns, rows=rows, notes=("Sums of the layers' own cycles.",))
    ]


def _phase(name: str, sums: Sequence[int], comparison: Comparison) -> Row:
    costs = comparison.phase_costs[name]
    best = costs.index(min(costs))
    same = len(costs) > 1 and len(set(costs)) == 1
    cells = (f"{cycles:,}" for cycles in sums)
    told = "any" if same else comparison.dataflows[best]
    return Row((name.replace("_", " "), *cells, told), highlight=() if same else (1 + best,))


def verdict(choice: LayerChoice) -> str:
    """A layer's best dataflow, `any` if all cost the same, `-` if the layer has none."""
    if not choice.on_array:
        return NONE
    tied = len(choice.costs) > 1 and len(set(choice.costs)) == 1
    return "any" if tied else choice.winner


def _layer(choice: LayerChoice, comparison: Comparison, layout: _Layout) -> Row:
    run = comparison.runs[0]
    free, clock_hz = choice.is_free, run.clock_hz
    values = [choice.layers[0].name, *cells(layout.shared, choice.layers[0], free, clock_hz)]
    for layer in choice.layers:
        values += cells(layout.each, _alone(layer, run.pes), free, clock_hz)
    if free:
        nothing = (NONE, NONE) if layout.mixed else (NONE,)
        return Row((*values, *nothing, *("none" for _ in layout.bound)), style="dim")
    bounds = list(dict.fromkeys(layer.bound for layer in choice.layers))
    if len(bounds) > 1:
        bounds = [layer.bound for layer in choice.layers]
    best = verdict(choice)
    highlight = layout.highlight(choice.best) if best not in ("any", NONE) else ()
    saved = [_saved([cost for cost, _ in choice.costs], comparison)]
    last = [*(saved if layout.mixed else ()), *("/".join(bounds) for _ in layout.bound)]
    return Row((*values, best, *last), highlight=highlight)


def _alone(layer: LayerResult, pes: int) -> LayerResult:
    """The layer with its own cycles, and its utilization in them; buckets stay as they are."""
    own = own_cycles(layer)
    share = layer.array_macs / (pes * own) if own else 0.0
    start = layer.end_cycle - own
    return replace(layer, start_cycle=start, between_cycles=0, utilization=share)


def _totals(comparison: Comparison, layout: _Layout) -> tuple[Row, ...]:
    """The sum over layers, and the run itself."""
    shared = [it.quantity.run(comparison.runs[0]) for it in layout.shared]
    sums, whole = ["sum of layers", *shared], ["whole run", *shared]
    for run, own in zip(comparison.runs, comparison.own_cycles, strict=True):
        summed = {
            "cycles": f"{own:,}",
            "util": percent(run.array_macs / (run.pes * own)) if own else NONE,
        }
        for it in layout.each:
            cell = it.quantity.run(run)
            whole.append(cell)
            sums.append(summed.get(it.quantity.name, cell))
    last = ["" for _ in layout.bound]
    best = layout.highlight(comparison.runs.index(comparison.best))
    saved = (
        _saved([own_cost(run.layers, comparison.objective) for run in comparison.runs], comparison),
        _saved([comparison.cost(run) for run in comparison.runs], comparison),
    )
    of_sums, of_whole = (([each] if layout.mixed else []) for each in saved)
    bottom = Row((*whole, comparison.best.dataflow, *of_whole, *last), "bold", highlight=best)
    return Row((*sums, "", *of_sums, *last)), bottom


def _saved(costs: Sequence[float], comparison: Comparison) -> str:
    """What `best` saves against the best dataflow that all layers have, in percent of the latter.

    `costs` are under each dataflow, of a layer or of the run.
    """
    plain = comparison.plain
    mixed = next((run for run in comparison.runs if run.is_mixed), None)
    if plain is None or mixed is None:
        return NONE
    before, after = (costs[comparison.runs.index(run)] for run in (plain, mixed))
    return percent(1 - after / before) if before else NONE


_LEAST: dict[Objective, str] = {
    "time": "Fastest",
    "energy": "Least energy",
    "edp": "Least energy times delay",
}
_TAKEN: dict[Objective, str] = {"time": "time", "energy": "energy", "edp": "energy times delay"}
_OVERLAP = (
    "That is a sum, not a run's time: layers overlap, and changing the dataflow is taken as free."
)
_SUM: dict[Objective, str] = {
    "time": _OVERLAP,
    "energy": "That is a sum; changing the dataflow is taken as free.",
    "edp": _OVERLAP,
}


def _notes(comparison: Comparison, layout: _Layout) -> list[str]:
    best, objective = comparison.best, comparison.objective
    spent = [joules(best.energy.total)] if best.energy and objective != "time" else []
    figures = *spent, f"{best.cycles:,} cycles", seconds(best.seconds)
    notes = [
        f"{_LEAST[objective]} for the network: {', '.join((best.dataflow, *figures))}, "
        f"{format_bytes(best.dram.total_bytes)} of DRAM traffic."
    ]
    notes += _energy_note(comparison)
    if len(comparison.runs) > 1:
        notes += _each_at_its_best(comparison)
    waits = reduce(add, (run.buckets.other_layer for run in comparison.runs))
    if waits:
        notes.append(
            "These are a layer's own cycles: without its waiting for other layers, for their unit "
            "or their buffer room. `run` shows them with it, and the wait by itself."
        )
    bounds = (
        "" if len(comparison.runs) == 1 else ", in the order of the dataflows where they differ"
    )
    if layout.bound:
        notes.append(f"bound: what the layer takes longest of{bounds}.")
    return notes + free_notes(comparison.runs[0].layers)


def _each_at_its_best(comparison: Comparison) -> Iterator[str]:
    """What it brings that each layer has the dataflow that is best for it: timed, or as a sum."""
    mixed = [run for run in comparison.runs if run.is_mixed]
    if mixed:
        yield from (_taken(run, comparison) for run in mixed)
        return
    best, objective = comparison.best, comparison.objective
    lowest = own_cost(best.layers, objective)
    saved = 1 - own_cost(comparison.mixed, objective) / lowest if lowest else 0.0
    spent = fsum(layer.energy.total for layer in comparison.mixed if layer.energy)
    sums = [] if objective == "time" else [joules(spent)]
    sums += [] if objective == "energy" else [f"{comparison.mixed_own_cycles:,} cycles"]
    yield (
        f"With each layer at its own best, the layers would sum to {' and '.join(sums)}, "
        f"{percent(abs(saved))} % {_less(saved, objective)} than all at {best.dataflow}. "
        f"{_SUM[objective]}"
    )


def _less(saved: float, objective: Objective) -> str:
    """`fewer`, or `less energy times delay`."""
    if objective == "edp":
        return f"{'less' if saved >= 0 else 'more'} energy times delay"
    return "fewer" if objective == "time" else "less"


def _taken(run: RunResult, comparison: Comparison) -> str:
    """Which dataflows a run has for how many layers, and what that saves."""
    plain = comparison.plain
    counts = Counter(layer.dataflow for layer in run.layers if layer.dataflow)
    taken = ", ".join(f"{flow} for {count:,}" for flow, count in counts.most_common())
    told = f"{run.dataflow} takes {taken} of the layers"
    if plain is None or not plain.cycles:
        return f"{told}."
    saved = percent(1 - comparison.cost(run) / comparison.cost(plain))
    less = _TAKEN[comparison.objective]
    return f"{told}; the run takes {saved} % less {less} than all at {plain.dataflow}."


def _energy_note(comparison: Comparison) -> list[str]:
    """What the network takes under each dataflow, where an energy table is named."""
    each = [
        f"{run.dataflow} {joules(run.energy.total)} ({run.energy.total / run.macs:.2f} pJ/MAC)"
        for run in comparison.runs
        if run.energy is not None and run.macs
    ]
    return [f"Energy for the network: {', '.join(each)}."] if each else []


_IN_SUMMARY = (*GROUPS["buckets"], "macs_per_byte")


def summary_sheet(comparisons: Sequence[Comparison], shown: Sequence[Shown] = USUAL) -> Sheet:
    """A row for each run, with the energies and buckets that were asked for.

    Where any hardware names an energy table: power, and work against energy.
    """
    named = [it for it in shown if it.quantity.needs_energy or it.quantity.name in _IN_SUMMARY]
    powered = any(run.energy is not None for each in comparisons for run in each.runs)
    columns = (
        Column("network", text=True),
        Column("hardware", text=True),
        Column("dataflow", text=True),
        Column("cycles"),
        Column("time"),
        Column("images/s", drop=2),
        Column("util %"),
        Column("DRAM read", drop=1),
        Column("DRAM write", drop=1),
        *((Column("power", 2), Column("TOPS/W", 2), Column("per image", 2)) if powered else ()),
        *(Column(it.quantity.header, it.drop) for it in named),
        Column("best", text=True),
    )
    rows = (
        _summary_row(
            run,
            run is comparison.best,
            [*(_power(run.rates) if powered else ()), *(it.quantity.run(run) for it in named)],
        )
        for comparison in comparisons
        for run in comparison.runs
    )
    judges = {_TAKEN[each.objective] for each in comparisons}
    by = f"by {judges.pop()}" if len(judges) == 1 else "by its objective"
    said = "best: of the network on its hardware" + ("" if by == "by time" else f", {by}")
    return Sheet(title="Summary", columns=columns, rows=tuple(rows), notes=(f"{said}.",))


def _power(rates: Rates) -> Iterator[str]:
    """Power, TOPS/W, and what an image takes."""
    image = rates.joules_per_image
    yield NONE if rates.watts is None else watts(rates.watts)
    yield number(rates.tops_per_watt) if rates.tops_per_watt else NONE
    yield NONE if image is None else joules(image / PJ)


def _summary_row(run: RunResult, best: bool, named: Sequence[str]) -> Row:
    cells = (
        run.network,
        run.hardware,
        run.dataflow,
        f"{run.cycles:,}",
        seconds(run.seconds),
        QUANTITIES["images_per_second"].run(run),
        percent(run.utilization),
        format_bytes(run.dram.read_bytes),
        format_bytes(run.dram.write_bytes),
        *named,
        "best" if best else "",
    )
    return Row(cells, highlight=tuple(range(len(cells))) if best else ())

"""What `accelsim explain` prints: the loop nest of a layer, what moves, and other tilings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from accelsim.explanation import Contender, Explanation, lines
from accelsim.hardware import MappingObjective, Objective
from accelsim.lowering.energy import Energy
from accelsim.report.quantities import joules, percent
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.units import format_bytes


def explanation_sheets(told: Explanation) -> list[Sheet]:
    """The layer's loops, its traffic, and the tilings that were compared."""
    parts = f" of {told.images}, a part at a time" if told.batch < told.images else ""
    title = (
        f"{told.network} on {told.hardware}, {told.dataflow}, batch {told.batch}{parts}: "
        f"{told.layer} ({told.op})"
    )
    if told.fused_into:
        return [Sheet(title=title, notes=(f"It is fused into {told.fused_into}, on the way out.",))]
    if not told.tiling:
        return [Sheet(title=title, notes=("It costs nothing: the same bytes under another name.",))]
    why = (f"It is not fused on the way out: {told.apart}.",) if told.apart else ()
    nest = tuple(lines(told.loops, _body(told)))
    sheets = [Sheet(title=title, notes=why, nest=nest), _traffic(told)]
    return [*sheets, _contenders(told)] if told.contenders else sheets


def _body(told: Explanation) -> Iterator[str]:
    """What a tile is, and what the array makes of the layer."""
    sizes = [f"{key.replace('_', ' ')} {value}" for key, value in told.tiling.items()]
    for start in range(0, len(sizes), 4):
        yield f"{'a tile:' if not start else '       '} {', '.join(sizes[start : start + 4])}"
    yield f"{told.tiles:,} tiles in all"
    if told.folds is not None:
        yield f"{told.folds:,} folds if uncut"
    if told.pes_holding_work:
        yield f"{percent(told.pes_holding_work)} % of the PEs hold work"


def _traffic(told: Explanation) -> Sheet:
    columns = (
        *(Column("operand", text=True), Column("way", text=True)),
        *(Column("transfers"), Column("largest"), Column("together")),
    )
    rows = (
        Row(
            (
                *(each.operand, each.way, f"{each.transfers:,}"),
                *(format_bytes(each.largest_bytes), format_bytes(each.total_bytes)),
            )
        )
        for each in told.moved
    )
    there = ", ".join(told.resident)
    notes = (f"On chip, so not moved over DRAM: {there}.",) if there else ()
    return Sheet(title="What moves", columns=columns, rows=tuple(rows), notes=notes)


def _contenders(told: Explanation) -> Sheet:
    keys = [key for key in told.tiling if _varies(told, key)]
    parts = _parts_of_energy(told.contenders)
    columns = (
        *(Column(key.replace("_", " "), text=True) for key in keys),
        *(Column("cost"), Column("played alone"), Column("DRAM")),
        *((Column("energy"),) if _has_energy(told) else ()),
        *(Column(f"energy\n{name}") for name, costs in parts.items() if _differ(costs)),
        Column("", text=True),
    )
    rows = tuple(
        _row(each, keys, energy, _mark(each, told))
        for each, energy in zip(told.contenders, _energies(parts, told), strict=True)
    )
    notes = (
        "cost: cycles by the closed form; played alone: by the engine. "
        f"The search compares {_compared(told)}.",
        *_same_energy(parts),
        *_objective(told),
        *_verdict(told),
    )
    which = "The chosen tiling and others"
    if any(each.tiling.get("order") for each in told.contenders):
        which = "The best tilings, with different courses of their loops"
    return Sheet(title=which, columns=columns, rows=rows, totals=(), notes=notes)


def _has_energy(told: Explanation) -> bool:
    return any(each.energy_pj is not None for each in told.contenders)


def _varies(told: Explanation, key: str) -> bool:
    values: set[Any] = {each.tiling.get(key) for each in told.contenders}
    return len(values) > 1


def _row(each: Contender, keys: list[str], energy: Sequence[float], mark: str) -> Row:
    cells = (
        *(str(each.tiling.get(key, "-")).replace("_", " ") for key in keys),
        *(f"{each.cost_cycles:,.0f}", f"{each.played_cycles:,}", format_bytes(each.dram_bytes)),
        *(() if each.energy_pj is None else (joules(each.energy_pj),)),
        *map(joules, energy),
        mark,
    )
    return Row(cells, style="bold" if each.chosen else "")


def _mark(each: Contender, told: Explanation) -> str:
    """What a tiling is: the one that runs, or the one that would run if none were forced."""
    if each.chosen:
        return "forced" if told.forced else "chosen"
    searched = told.searched.tiling if told.searched else {}
    return "searched" if each.tiling.items() <= searched.items() else ""


def _parts_of_energy(contenders: Sequence[Contender]) -> dict[str, list[float]]:
    """By component, if it takes any, the pJ of each tiling; nothing without an energy table."""
    known = [each.energy for each in contenders if each.energy is not None]
    parts = {
        "MACs": [each.mac for each in known],
        "vector": [each.vector for each in known],
        "registers": [each.register_file for each in known],
        "network": [each.network for each in known],
        **{
            name: [each.buffers[name] for each in known]
            for each in known[:1]
            for name in each.buffers
        },
        "DRAM": [each.dram for each in known],
    }
    return {name: costs for name, costs in parts.items() if any(costs)}


def _buffers(known: Sequence[Energy]) -> Sequence[str]:
    return [*known[0].buffers] if known else []


def _energies(parts: Mapping[str, Sequence[float]], told: Explanation) -> Iterator[Sequence[float]]:
    """Of each tiling the pJ of the components in which they differ."""
    differing = [costs for costs in parts.values() if _differ(costs)]
    for place in range(len(told.contenders)):
        yield [costs[place] for costs in differing]


def _differ(costs: Sequence[float]) -> bool:
    """Whether tilings take other energies, as far as tables show it."""
    return len({*map(joules, costs)}) > 1


def _same_energy(parts: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """The energies that no tiling changes, beside those in the table."""
    same = [f"{name} {joules(costs[0])}" for name, costs in parts.items() if not _differ(costs)]
    if same:
        yield f"Energy that is the same for all of them: {', '.join(same)}."


LEAST_TOLD = 0.0005
"""Differences below this share are not told: they round to 0.0 %."""

COMPARED: dict[Objective, str] = {"time": "cost", "energy": "energy", "edp": "energy times cost"}
"""What the search compares."""

MAPPED_BY: dict[MappingObjective, str] = {
    "time": COMPARED["time"],
    "energy": "200 for each word of DRAM and 6 for each of the buffers",
    "traffic": "DRAM traffic, then that of the buffers, of mappings that fill nine tenths of the "
    "PEs that one can fill",
}
"""What the search of a row-stationary array compares to save time."""

LEAST: dict[Objective, str] = {
    "time": "costs least",
    "energy": "takes the least energy",
    "edp": "has the least energy times delay",
}


def _compared(told: Explanation) -> str:
    """What the search compares, and the setting that says so where it is not the usual one."""
    if told.mapped_by == "time":
        return COMPARED[told.minimised]
    return f"{MAPPED_BY[told.mapped_by]} (array.row_stationary.objective: {told.mapped_by})"


def _objective(told: Explanation) -> Iterator[str]:
    """What is minimised, where that is not time."""
    if told.objective != "time":
        yield f"The array's objective is {told.objective}."
    if told.minimised != told.objective:
        yield (
            f"The whole network is better by that with the tilings that are found for "
            f"{told.minimised}; so these are compared."
        )


def _verdict(told: Explanation) -> Iterator[str]:
    """Why the one that is chosen was, or what forcing it changes."""
    yield _of_forced(told) if told.forced else _of_chosen(told)


def _of_forced(told: Explanation) -> str:
    """What is forced, and what the search takes in its place."""
    chosen, searched = _chosen(told), told.searched
    forced = "all of it" if told.forced.keys() >= told.tiling.keys() else _said(told.forced)
    if searched is None:
        return f"Forced by the mapping: {forced}."
    own = told.forced | chosen.tiling
    other = {key: its for key, its in searched.tiling.items() if its != own.get(key)}
    if not other:
        return f"Forced by the mapping: {forced}. Without it the search takes the same tiling."
    figures = [f"{searched.played_cycles:,} cycles", f"{format_bytes(searched.dram_bytes)} of DRAM"]
    figures += [] if searched.energy_pj is None else [joules(searched.energy_pj)]
    changes = [_changed(chosen.played_cycles, searched.played_cycles, "time")]
    if chosen.energy_pj is not None and searched.energy_pj is not None:
        changes.append(_changed(chosen.energy_pj, searched.energy_pj, "energy"))
    more = " and ".join(changes)
    return (
        f"Forced by the mapping: {forced}. Without it the search takes {_said(other)}: alone "
        f"{', '.join(figures)}. The forced one takes {more}."
    )


def _said(tiling: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}".replace("_", " ") for key, value in tiling.items())


def _changed(forced: float, searched: float, what: str) -> str:
    """`12.3 % more time`."""
    share = forced / searched - 1 if searched else 0.0
    if abs(share) < LEAST_TOLD:
        return f"the same {what}"
    return f"{percent(abs(share))} % {'more' if share > 0 else 'less'} {what}"


def _chosen(told: Explanation) -> Contender:
    return next(each for each in told.contenders if each.chosen)


def _of_chosen(told: Explanation) -> str:
    """Why the one that is chosen was."""
    chosen = _chosen(told)
    if told.mapped_by != "time":
        return "The chosen one is best by that, which is not time alone."
    least = min(told.contenders, key=lambda one: one.cost)
    if chosen is least:
        return f"The chosen one {LEAST[told.minimised]}."
    if chosen.cost <= 1.008 * least.cost:
        return f"The chosen one ties with the least (within 0.8 %), and {_better(chosen, least)}."
    if chosen.played_cycles <= min(each.played_cycles for each in told.contenders):
        return "The chosen one costs more by the closed form, and takes least as played."
    return "The chosen one was found for the network as a whole, with other room on chip."


def _better(chosen: Contender, least: Contender) -> str:
    """What decides between two that cost much the same."""
    if chosen.cost_cycles < least.cost_cycles or chosen.played_cycles < least.played_cycles:
        return "is faster"
    if chosen.dram_bytes < least.dram_bytes:
        return "moves less"
    return "takes fewer tiles" if chosen.tiles < least.tiles else "was found first"

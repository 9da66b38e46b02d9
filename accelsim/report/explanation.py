"""What `accelsim explain` prints: the loop nest of a layer, what moves, and other tilings."""

from collections.abc import Iterator
from typing import Any

from accelsim.explanation import Contender, Explanation, lines
from accelsim.hardware import Objective
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
        return [Sheet(title, notes=(f"It is fused into {told.fused_into}, on the way out.",))]
    if not told.tiling:
        return [Sheet(title, notes=("It costs nothing: the same bytes under another name.",))]
    why = (f"It is not fused on the way out: {told.apart}.",) if told.apart else ()
    sheets = [Sheet(title, notes=(*lines(told.loops, _body(told)), *why)), _traffic(told)]
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
    return Sheet("What moves", columns, tuple(rows), notes=notes)


def _contenders(told: Explanation) -> Sheet:
    keys = [key for key in told.tiling if _varies(told, key)]
    columns = (
        *(Column(key.replace("_", " "), text=True) for key in keys),
        *(Column("cost"), Column("played alone"), Column("DRAM")),
        *((Column("energy"),) if _has_energy(told) else ()),
        Column("", text=True),
    )
    rows = tuple(_row(each, keys) for each in told.contenders)
    notes = (
        "cost: cycles by the closed form; played alone: by the engine. The search compares "
        f"{COMPARED[told.minimised]}.",
        *_objective(told),
        _verdict(told),
    )
    which = "The chosen tiling and others"
    if any(each.tiling.get("order") for each in told.contenders):
        which = "The best tilings, with different courses of their loops"
    return Sheet(which, columns, rows, (), notes)


def _has_energy(told: Explanation) -> bool:
    return any(each.energy_pj is not None for each in told.contenders)


def _varies(told: Explanation, key: str) -> bool:
    values: set[Any] = {each.tiling[key] for each in told.contenders}
    return len(values) > 1


def _row(each: Contender, keys: list[str]) -> Row:
    cells = (
        *(str(each.tiling[key]).replace("_", " ") for key in keys),
        *(f"{each.cost_cycles:,.0f}", f"{each.played_cycles:,}", format_bytes(each.dram_bytes)),
        *(() if each.energy_pj is None else (joules(each.energy_pj),)),
        "chosen" if each.chosen else "",
    )
    return Row(cells, style="bold" if each.chosen else "")


COMPARED: dict[Objective, str] = {"time": "cost", "energy": "energy", "edp": "energy times cost"}
"""What the search compares."""

LEAST: dict[Objective, str] = {
    "time": "costs least",
    "energy": "takes the least energy",
    "edp": "has the least energy times delay",
}


def _objective(told: Explanation) -> Iterator[str]:
    """What is minimised, where that is not time."""
    if told.objective != "time":
        yield f"The array's objective is {told.objective}."
    if told.minimised != told.objective:
        yield (
            f"The whole network is better by that with the tilings that are found for "
            f"{told.minimised}; so these are compared."
        )


def _verdict(told: Explanation) -> str:
    """Why the one that is chosen was."""
    chosen = next(each for each in told.contenders if each.chosen)
    least = min(told.contenders, key=lambda one: one.cost)
    if chosen is least:
        return f"The chosen one {LEAST[told.minimised]}."
    if chosen.cost <= 1.008 * least.cost:
        better = "moves less" if chosen.dram_bytes < least.dram_bytes else "takes fewer tiles"
        if told.minimised == "energy" and chosen.cost_cycles < least.cost_cycles:
            better = "is faster"
        return f"The chosen one ties with the least (within 0.8 %), and {better}."
    if told.dataflow == "rs" and chosen.tiling.get("m") is not None:
        return "The chosen one is best by the array's objective, which need not be time alone."
    return "The chosen one is better as played, or was found with other room on chip."

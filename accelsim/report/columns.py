"""The columns that a table of layers can have, and which of them a user wants (`--columns`)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.frontend.builtin import builtin_names
from accelsim.hardware import Hardware
from accelsim.lowering.ranking import plain
from accelsim.report.quantities import (
    NONE,
    joules,
    number,
    percent,
    percentages,
    seconds,
    shape,
    si,
    watts,
)
from accelsim.results import Energy, LayerResult, RunResult
from accelsim.results.rates import OPERATIONS_PER_MAC, PJ
from accelsim.units import format_bytes

ONLY = "only"
"""Where this is among the names, the usual columns are left out."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column: its name for users, its header, its cell for a layer and for a whole run.

    `drop` is its rank where it is a usual column (see `sheet.Column`). `shared`: the dataflow
    makes no difference to it. `timed` takes the place of `layer` where the clock counts.
    `tells`: whether it says anything of a run; where it does not it is shown only if asked for.
    """

    name: str
    header: str
    layer: Callable[[LayerResult], str]
    run: Callable[[RunResult], str]
    drop: int = 0
    text: bool = False
    shared: bool = False
    needs_energy: bool = False
    timed: Callable[[LayerResult, int], str] | None = None
    tells: Callable[[RunResult], bool] = lambda run: True

    def of(self, layer: LayerResult, clock_hz: int) -> str:
        """The cell of a layer of a run at this clock."""
        return self.timed(layer, clock_hz) if self.timed else self.layer(layer)


@dataclass(frozen=True, slots=True)
class Shown:
    """A column of one table, its rank there when space is short, and whether it was asked for."""

    quantity: Quantity
    drop: int
    asked: bool = False


def _tiling(it: LayerResult) -> str:
    sizes = plain(it.tiling)
    return ", ".join(f"{key} {size}" for key, size in sizes.items()) if sizes else NONE


def _on_array(cell: Callable[[LayerResult], str]) -> Callable[[LayerResult], str]:
    return lambda layer: cell(layer) if layer.gemm is not None else NONE


def _nothing(_: LayerResult | RunResult) -> str:
    return ""


def _macs(it: LayerResult | RunResult) -> str:
    return si(it.macs)


def _zeros(it: LayerResult | RunResult) -> str:
    return si(it.zero_macs) if it.zero_macs else NONE


def _cycles(it: LayerResult | RunResult) -> str:
    return f"{it.cycles:,}"


def _utilization(it: LayerResult | RunResult) -> str:
    return percent(it.utilization)


def _mapping(it: LayerResult) -> str:
    return percent(it.mapping_efficiency)


def _dram(it: LayerResult | RunResult) -> str:
    return format_bytes(it.dram.total_bytes)


def _dram_read(it: LayerResult | RunResult) -> str:
    return format_bytes(it.dram.read_bytes)


def _dram_write(it: LayerResult | RunResult) -> str:
    return format_bytes(it.dram.write_bytes)


def _pj_per_mac(it: LayerResult | RunResult) -> str:
    value = it.energy.per_mac(it.macs) if it.energy else None
    return NONE if value is None else f"{value:,.2f}"


def _reuse(it: LayerResult | RunResult) -> str:
    moved = it.dram.total_bytes
    return number(it.macs / moved) if moved and it.macs else NONE


def _efficiency(it: LayerResult | RunResult) -> str:
    spent = it.energy.total if it.energy else 0.0
    return number(OPERATIONS_PER_MAC * it.macs / spent) if spent and it.macs else NONE  # 1/pJ


def _span(it: LayerResult, clock_hz: int) -> str:
    return seconds(it.cycles / clock_hz)


def _busy(it: LayerResult) -> str:
    return f"{it.busy_cycles:,}"


def _power(it: LayerResult, clock_hz: int) -> str:
    if it.energy is None or not it.cycles:
        return NONE
    return watts(it.energy.total * PJ * clock_hz / it.cycles)


def _run_power(it: RunResult) -> str:
    power = it.rates.watts
    return NONE if power is None else watts(power)


def _throughput(it: RunResult) -> str:
    rate = it.rates.images_per_second
    return NONE if rate is None else number(rate)


def _bucket(position: int, name: str, header: str) -> Quantity:
    """A bucket's share of the layer's cycles; the shares of a layer add up to 100.0."""

    def share(it: LayerResult | RunResult) -> str:
        return percentages(it.buckets.values())[position]

    return Quantity(name=name, header=f"{header}\n%", layer=share, run=share)


def _energy(name: str, header: str, part: Callable[[Energy], float]) -> Quantity:
    def cell(it: LayerResult | RunResult) -> str:
        value = part(it.energy) if it.energy else 0.0
        return joules(value) if value else NONE

    return Quantity(name=name, header=header, layer=cell, run=cell, needs_energy=True)


_USUAL = (
    Quantity(
        name="dataflow",
        header="dataflow",
        layer=lambda it: it.dataflow or NONE,
        run=_nothing,
        text=True,
        tells=lambda run: run.is_mixed,
    ),
    Quantity(
        name="op", header="op", layer=lambda it: it.op, run=_nothing, drop=3, text=True, shared=True
    ),
    Quantity(
        name="output",
        header="output",
        layer=lambda it: shape(it.output_shape),
        run=_nothing,
        drop=5,
        shared=True,
    ),
    Quantity(
        name="macs",
        header="MACs",
        layer=lambda it: _macs(it) if it.macs else NONE,
        run=_macs,
        drop=4,
        shared=True,
    ),
    Quantity(
        name="zero_macs",
        header="MACs by\nzeros",
        layer=_zeros,
        run=_zeros,
        drop=4,
        shared=True,
        tells=lambda run: run.zero_macs > 0,
    ),
    Quantity(name="cycles", header="cycles", layer=_cycles, run=_cycles),
    Quantity(name="util", header="util %", layer=_on_array(_utilization), run=_utilization),
    Quantity(name="mapping", header="mapping %", layer=_on_array(_mapping), run=_nothing, drop=2),
    Quantity(name="dram_read", header="DRAM read", layer=_dram_read, run=_dram_read, drop=1),
    Quantity(name="dram_write", header="DRAM write", layer=_dram_write, run=_dram_write, drop=1),
    Quantity(name="bound", header="bound", layer=lambda it: it.bound, run=_nothing, text=True),
)
BUCKET_NAMES = {  # in the order of the fields of Buckets
    "useful": "useful",
    "idle_pes": "idle PEs",
    "fill_drain": "fill drain",
    "buffer": "buffer",
    "read_wait": "read wait",
    "write_wait": "write wait",
    "other_layer": "other layer",
}
_COMPONENTS = (
    _energy("mac_energy", "energy\nMAC", lambda it: it.mac),
    _energy("vector_energy", "energy\nvector", lambda it: it.vector),
    _energy("register_energy", "energy\nregisters", lambda it: it.register_file),
    _energy("network_energy", "energy\nnetwork", lambda it: it.network),
    _energy("buffer_energy", "energy\nbuffers", lambda it: it.all_buffers),
    _energy("dram_energy", "energy\nDRAM", lambda it: it.dram),
)
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        *_USUAL,
        Quantity(
            name="phase",
            header="phase",
            layer=lambda it: it.phase,
            run=_nothing,
            text=True,
            shared=True,
        ),
        Quantity(name="dram", header="DRAM", layer=_dram, run=_dram),
        Quantity(name="tiling", header="tiling", layer=_tiling, run=_nothing, text=True),
        *(_bucket(place, name, BUCKET_NAMES[name]) for place, name in enumerate(BUCKET_NAMES)),
        _energy("energy", "energy", lambda it: it.total),
        Quantity(
            name="time",
            header="time",
            layer=_nothing,
            run=lambda it: seconds(it.seconds),
            timed=_span,
        ),
        Quantity(
            name="busy",
            header="busy",
            layer=_busy,
            run=lambda it: f"{sum(x.busy_cycles for x in it.layers):,}",
        ),
        Quantity(name="images_per_second", header="images/s", layer=_nothing, run=_throughput),
        Quantity(
            name="macs_per_byte", header="MACs/\nDRAM byte", layer=_on_array(_reuse), run=_reuse
        ),
        Quantity(
            name="watts",
            header="power",
            layer=_nothing,
            run=_run_power,
            needs_energy=True,
            timed=_power,
        ),
        Quantity(
            name="tops_per_watt",
            header="TOPS/W",
            layer=_on_array(_efficiency),
            run=_efficiency,
            needs_energy=True,
        ),
        Quantity(
            name="pj_per_mac",
            header="pJ/MAC",
            layer=_pj_per_mac,
            run=_pj_per_mac,
            needs_energy=True,
        ),
        *_COMPONENTS,
    )
}
GROUPS = {
    "buckets": tuple(BUCKET_NAMES),
    "components": tuple(quantity.name for quantity in _COMPONENTS),
}
RUN_COLUMNS = tuple(quantity.name for quantity in _USUAL)
COMPARE_COLUMNS = ("cycles", "util", "dram", "bound")


def shown_columns(
    names: str | None, usual: Sequence[str], drops: dict[str, int] | None = None
) -> tuple[Shown, ...]:
    """The `usual` columns, then those of the comma-separated `names`; with `only`, just these.

    Where space is short the usual ones are left out, by rank; what is named never is. Raises
    InputError with every name that is unknown.
    """
    asked = [name.strip() for name in names.split(",")] if names is not None else []
    problems = [_unknown(name) for name in asked if name not in {*QUANTITIES, *GROUPS, ONLY}]
    if problems:
        raise InputError(problems)
    wanted = list(dict.fromkeys(each for name in asked for each in GROUPS.get(name, (name,))))
    if ONLY in wanted:
        wanted.remove(ONLY)
        return tuple(Shown(QUANTITIES[name], 0, asked=True) for name in wanted)
    ranks = {name: QUANTITIES[name].drop for name in usual} | (drops or {})
    kept = [
        Shown(QUANTITIES[name], 0 if name in wanted else ranks[name], name in wanted)
        for name in usual
    ]
    added = [name for name in wanted if name not in usual]
    return (*kept, *(Shown(QUANTITIES[name], 0, asked=True) for name in added))


def _unknown(name: str) -> Problem:
    hint = did_you_mean(name, [*QUANTITIES, *GROUPS, ONLY])
    known = ", ".join((*QUANTITIES, *GROUPS, ONLY))
    message = f"unknown column {name!r}; {hint}there are {known}"
    return Problem(message=message, source="--columns")


def refuse_energy_without_table(shown: Iterable[Shown], machines: Iterable[Hardware]) -> None:
    """Raise InputError where a column needs energy and a hardware names no table."""
    names = [each.quantity.name for each in shown if each.quantity.needs_energy]
    lacking = dict.fromkeys(each.name for each in machines if each.energy is None)
    if names and lacking:
        tables = ", ".join(builtin_names("configs/energy"))
        message = (
            f"{', '.join(names)}: {', '.join(lacking)} names no energy table; give its key "
            f"`energy`, or --set energy=NAME; built in are {tables}"
        )
        raise InputError(Problem(message=message, source="--columns"))


_OUTLINE = ("op", "output", "bound", "phase")


def cells(shown: Iterable[Shown], layer: LayerResult, free: bool, clock_hz: int) -> Iterator[str]:
    """A layer's cells; one that costs nothing has only its outline, and nothing that bounds it."""
    for each in shown:
        quantity = each.quantity
        yield NONE if free and quantity.name not in _OUTLINE else quantity.of(layer, clock_hz)

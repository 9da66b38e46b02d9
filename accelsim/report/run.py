"""What `accelsim run` prints: each layer, the totals, where the cycles went."""

from collections.abc import Iterable, Iterator

from accelsim.hardware import Hardware
from accelsim.lowering.target import target_of
from accelsim.report.columns import RUN_COLUMNS, Shown, cells, shown_columns
from accelsim.report.description import silicon
from accelsim.report.quantities import (
    NONE,
    gigabytes_per_second,
    joules,
    number,
    percent,
    percentages,
    seconds,
    si,
    watts,
)
from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.results import Buckets, Energy, LayerResult, RunResult
from accelsim.results.comparison import own_cycles
from accelsim.results.rates import PJ, Rates
from accelsim.results.silicon import leakage_watts
from accelsim.units import format_bytes
from accelsim.written import clock

_BUCKETS = {
    "useful": "useful: what the work takes with every PE busy",
    "idle_pes": "idle PEs: rows and columns without work, or at inserted zeros",
    "fill_drain": "fill and drain of the array",
    "buffer": "buffer bandwidth",
    "dram_read": "waiting for DRAM reads",
    "dram_write": "waiting for DRAM writes",
    "other_layer": "waiting for another layer: for its unit or its buffer room",
}
_LARGEST = 5


def free_notes(layers: Iterable[LayerResult]) -> list[str]:
    """What to say about the layers that cost nothing."""
    free = [layer for layer in layers if layer.is_free]
    ops = {layer.op for layer in free if not layer.fused_into}
    notes = []
    fused = [f"{layer.name} into {layer.fused_into}" for layer in free if layer.fused_into]
    if fused:
        more = f", and {len(fused) - _LARGEST} more" if len(fused) > _LARGEST else ""
        notes.append(f"Fused on the way out: {', '.join(fused[:_LARGEST])}{more}.")
    if "concat" in ops:
        notes.append("A concat whose inputs are written in place costs nothing.")
    if ops - {"concat"}:
        notes.append(f"{', '.join(sorted(ops - {'concat'}))}: the same bytes, costs nothing.")
    return notes


def heading(result: RunResult) -> str:
    """Which run this is."""
    return f"{result.network} on {result.hardware}, {result.dataflow}, batch {result.batch}"


USUAL = shown_columns(None, RUN_COLUMNS)


def run_sheets(
    result: RunResult, hardware: Hardware, shown: tuple[Shown, ...] = USUAL
) -> list[Sheet]:
    """Everything `run` prints; `shown` are the columns of the table of layers."""
    shown = tuple(each for each in shown if each.asked or each.quantity.tells(result))
    columns = (Column(each.quantity.header, each.drop, each.quantity.text) for each in shown)
    clock_hz = result.clock_hz
    layers = Sheet(
        title=f"{heading(result)}: layers",
        columns=(Column("layer", text=True), *columns),
        rows=tuple(_layer(layer, shown, clock_hz) for layer in result.layers),
        totals=(_total(result, shown),),
        notes=tuple(free_notes(result.layers)),
    )
    sheets = [layers, *_phases(result), _totals(result, hardware), _where(result)]
    if result.energy is not None:
        sheets.append(_energy(result, result.energy, hardware))
    return [*sheets, _largest(result)]


def _phases(result: RunResult) -> list[Sheet]:
    """The parts of a training step, where it is one."""
    phases = result.phases
    if len(phases) < 2:
        return []
    total = sum(part.cycles for part in phases.values()) or 1
    columns = (
        *(Column("phase", text=True), Column("layer cycles"), Column("%")),
        Column("util %", drop=1),
        *(Column("MACs"), Column("DRAM read"), Column("DRAM write")),
        *([Column("energy")] if result.energy else []),
    )
    rows = (
        Row(
            (
                *(name.replace("_", " "), f"{part.cycles:,}", percent(part.cycles / total)),
                *(percent(part.utilization), si(part.macs)),
                *(format_bytes(part.dram.read_bytes), format_bytes(part.dram.write_bytes)),
                *([joules(part.energy.total)] if part.energy else []),
            )
        )
        for name, part in phases.items()
    )
    return [Sheet(title="Phases of the training step", columns=columns, rows=tuple(rows))]


def _layer(layer: LayerResult, shown: tuple[Shown, ...], clock_hz: int) -> Row:
    free = layer.is_free
    return Row((layer.name, *cells(shown, layer, free, clock_hz)), style="dim" if free else "")


def _total(result: RunResult, shown: tuple[Shown, ...]) -> Row:
    return Row(("whole run", *(each.quantity.run(result) for each in shown)), style="bold")


def _totals(result: RunResult, hardware: Hardware) -> Sheet:
    peak = float(hardware.dram_bytes_per_cycle * hardware.clock)
    used = result.dram.total_bytes / result.seconds if result.cycles else 0.0
    return facts(
        "Totals",
        (
            ("cycles", f"{result.cycles:,}"),
            ("time", f"{seconds(result.seconds)} at {clock(result.clock_hz)}"),
            ("utilization", f"{percent(result.utilization)} % of {result.pes:,} PEs"),
            ("DRAM read", format_bytes(result.dram.read_bytes)),
            ("DRAM write", format_bytes(result.dram.write_bytes)),
            (
                "DRAM bandwidth",
                f"{gigabytes_per_second(used)} on average, {percent(used / peak)} % of the peak "
                f"{gigabytes_per_second(peak)}",
            ),
            ("throughput", throughput(result.rates)),
            *_zeros(result),
            ("reuse", _reuse(result.rates)),
            *efficiency(result.rates),
            ("residency", residency(result, hardware)),
            *_sub_batches(result, hardware),
        ),
    )


def _zeros(result: RunResult) -> Iterator[tuple[str, str]]:
    """MACs by inserted zeros, where there are any."""
    if zeros := result.zero_macs:
        share = percent(zeros / (zeros + result.macs))
        yield "inserted zeros", f"{si(zeros)} MACs more ({share} % of those done) are of no use"


def _sub_batches(result: RunResult, hardware: Hardware) -> tuple[tuple[str, str], ...]:
    """Where the batch ran in parts, how many and of how many images; or that it is no more."""
    parts, asked = result.sub_batches, hardware.batch_split
    if isinstance(asked, int) and asked > result.batch:
        return (("sub-batches", f"none: batch_split {asked:,} is more than the batch"),)
    if not parts:
        return ()
    rest = f", the last of {parts[-1]:,}" if parts[-1] != parts[0] else ""
    return (("sub-batches", f"{len(parts):,} of {parts[0]:,}{rest}, one after another"),)


def throughput(rates: Rates) -> str:
    """Images and multiply-accumulates in a second."""
    if rates.images_per_second is None:
        return NONE
    images = f"{number(rates.images_per_second)} images/s"
    return f"{images}, {_each_second(rates.macs_per_second)}" if rates.macs_per_second else images


def _each_second(macs: float) -> str:
    amount, _, prefix = si(macs).partition(" ")
    return f"{amount} {prefix}MAC/s"


def _reuse(rates: Rates) -> str:
    intensity = rates.macs_per_dram_byte
    return f"{number(intensity)} MACs per DRAM byte" if intensity else NONE


def efficiency(rates: Rates) -> Iterator[tuple[str, str]]:
    """Power, and work against energy, where an energy table is named and there is any."""
    if not rates.watts or not rates.joules_per_image:
        return
    chip, dram = watts(rates.chip_watts or 0), watts(rates.dram_watts or 0)
    yield "power", f"{watts(rates.watts)} on average: chip {chip}, DRAM {dram}"
    image = f"{joules(rates.joules_per_image / PJ)} per image"
    if rates.tops_per_watt:
        yield "efficiency", f"{number(rates.tops_per_watt)} TOPS/W, {image}"
    else:
        yield "energy", image


def residency(result: RunResult, hardware: Hardware) -> str:
    """How many ofmaps stayed on chip, and what that saved."""
    if hardware.residency == "off":
        return "off: every layer reads from and writes to DRAM"
    if all(target_of(each).reserves_blocks for each in hardware.choices):
        return "none: a row-stationary array fills its buffer with blocks of one layer"
    written = [layer for layer in result.layers if not layer.is_free]
    kept = sum(1 for layer in written if layer.resident.ofmap_bytes)
    saved = result.dram_saved_bytes
    share = percent(saved / (saved + result.dram.total_bytes)) if saved else "0.0"
    return (
        f"kept {kept} of {len(written)} ofmaps on chip, saving {format_bytes(saved)} of DRAM "
        f"traffic ({share} %)"
    )


def _where(result: RunResult) -> Sheet:
    buckets = result.buckets
    names = Buckets.__slots__
    shares = percentages(buckets.values())
    rows = (
        Row((_BUCKETS[name], f"{getattr(buckets, name):,}", share))
        for name, share in zip(names, shares, strict=True)
    )
    return Sheet(
        title="Where the cycles of the layers went",
        columns=(Column("", prose=True), Column("cycles", drop=1), Column("%")),
        rows=tuple(rows),
        totals=(
            Row(("sum over layers", f"{buckets.total:,}", "100.0" if buckets.total else "0.0")),
        ),
        notes=tuple(_overlap_note(result)),
    )


def _energy(result: RunResult, energy: Energy, hardware: Hardware) -> Sheet:
    """Energy by component, each buffer by itself."""
    parts = {
        "MACs": energy.mac,
        "vector unit": energy.vector,
        "registers of the PEs": energy.register_file,
        "network between the PEs": energy.network,
        **{f"buffer {name}": value for name, value in energy.buffers.items()},
        **({} if energy.dram_parts else {"DRAM": energy.dram}),
        **{f"DRAM, {name}": value for name, value in energy.dram_parts.items()},
    }
    total = energy.total or 1.0
    rows = [_energy_row(name, value, value / total, result.macs) for name, value in parts.items()]
    table = hardware.energy.name if hardware.energy else ""
    power = result.rates.watts or 0.0
    note = f"Dynamic energy by table {table}, {power:,.3f} W on average: no leakage, no clock tree."
    return Sheet(
        title="Where the energy went",
        columns=(
            Column("", prose=True),
            Column("energy"),
            Column("%", drop=1),
            Column("pJ/MAC", drop=2),
        ),
        rows=tuple(rows),
        totals=(_energy_row("sum", energy.total, energy.total / total, result.macs),),
        notes=(note + _dram_energy(hardware), *_silicon(result, hardware)),
    )


def _dram_energy(hardware: Hardware) -> str:
    """What is known of the energy of a DRAM standard, and what is not."""
    timing = hardware.dram.timing
    if timing is None or hardware.energy is None:
        return ""
    costs, idle = timing.costs, timing.idle_watts
    if costs is None:
        each = hardware.energy.dram_pj(8)
        return (
            f" What a {timing.standard} takes is not known: a byte costs {each:,.1f} pJ by the "
            "table, as of any DRAM."
        )
    how = "currents" if timing.currents else "published energies"
    lines = ", without its lines and I/O, which are not known" if costs.read_io is None else ""
    more = "is not known" if idle is None else f"is {idle:,.3f} W more"
    return f" DRAM by its {how}{lines}; what it draws for being there and refresh {more}."


def _silicon(result: RunResult, hardware: Hardware) -> Iterator[str]:
    """Area and leakage, where the table knows some; what leaks in the run is not in the sum."""
    yield from (f"{what[0].upper()}{what[1:]}: {told}." for what, told in silicon(hardware))
    leaking = leakage_watts(hardware)
    if leaking is not None and leaking.total:
        lost = joules(leaking.total * result.seconds / PJ)
        yield f"What is known to leak takes {lost} in the run, which is not in the sum."


def _energy_row(name: str, value: float, share: float, macs: int) -> Row:
    return Row((name, joules(value), percent(share), f"{value / macs:,.3f}" if macs else NONE))


def _overlap_note(result: RunResult) -> list[str]:
    if result.buckets.total <= result.cycles:
        return []
    return [f"Layers overlap, so they sum to more than the {result.cycles:,} cycles of the run."]


def _largest(result: RunResult) -> Sheet:
    """By own cycles: what a layer waits for others is theirs."""
    largest = sorted(result.layers, key=lambda layer: -own_cycles(layer))[:_LARGEST]
    total = sum(map(own_cycles, result.layers)) or 1
    rows = (
        Row(
            (
                *(layer.name, f"{own_cycles(layer):,}", percent(own_cycles(layer) / total)),
                *(f"{layer.busy_cycles:,}", f"{layer.cycles:,}", layer.bound),
            )
        )
        for layer in largest
        if not layer.is_free
    )
    columns = (
        *(Column("layer", text=True), Column("own cycles"), Column("% of all")),
        *(Column("busy", drop=1), Column("span", drop=2), Column("bound", text=True)),
    )
    return Sheet(
        title="Largest layers", columns=columns, rows=tuple(rows), notes=_largest_notes(result)
    )


def _largest_notes(result: RunResult) -> tuple[str, ...]:
    """What the columns are; where no layer waits for another, own cycles are the span."""
    busy = "busy: the layer's work on its unit"
    if not result.buckets.other_layer:
        return (f"{busy}.",)
    return (f"{busy}; span: from its start to its end, with what it waits for other layers.",)

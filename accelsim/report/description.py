"""What networks and hardware are, before anything runs: `accelsim show` and `accelsim list`."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from accelsim import written
from accelsim.dram.currents import DramCosts
from accelsim.dram.sheet import DramTiming
from accelsim.dram.transfer import sequential_clocks
from accelsim.errors import Coverage
from accelsim.given import prepared
from accelsim.hardware import Hardware
from accelsim.lowering.dataflow import ArrayModel, least_turn
from accelsim.lowering.energy import energy_rates
from accelsim.lowering.kernels import Alias, kernel_of
from accelsim.lowering.placed import out_of_place
from accelsim.lowering.row_stationary import RowStationary
from accelsim.lowering.target import target_of
from accelsim.network.graph import Layer, Network
from accelsim.report.quantities import NONE, gigabytes_per_second, shape, si
from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.results import SCHEMA
from accelsim.results.silicon import area_mm2, leakage_watts, silicon_dict
from accelsim.units import format_bytes

# --- Networks -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Activations:
    """Values that inference writes for one image: the network's inputs and `written` layers'."""

    network: Network
    written: frozenset[str]

    @property
    def values(self) -> int:
        """All values, inputs included."""
        inputs = sum(map(math.prod, self.network.inputs.values()))
        return inputs + sum(map(self.of_layer, self.network.layers))

    def of_layer(self, layer: Layer) -> int:
        """Values that `layer` writes, none if it is a view or folded into another."""
        return layer.output_elements if layer.name in self.written else 0


def activations(network: Network) -> Activations:
    """Which layers write a tensor of their own at inference."""
    ready = prepared(network)
    copied = out_of_place(ready)
    written = frozenset(
        layer.name
        for layer in ready.layers
        if layer.name in copied or not isinstance(kernel_of(layer, 1), Alias)
    )
    return Activations(network, written)


def network_sheets(network: Network) -> list[Sheet]:
    """Everything `show NETWORK` prints."""
    active = activations(network)
    columns = (
        Column("layer", text=True),
        Column("op", drop=2, text=True),
        Column("inputs", drop=3, prose=True),
        Column("output"),
        Column("parameters"),
        Column("MACs"),
        Column("values written", drop=1),
    )
    total = ("total", "", "", "", f"{network.parameters:,}", f"{network.macs:,}")
    layers = Sheet(
        title=_title(network.name, network.description),
        columns=columns,
        rows=tuple(_layer_rows(active)),
        totals=(Row((*total, f"{active.values:,}"), style="bold"),),
        notes=tuple(_writing_notes(active)),
    )
    return [layers, _network_totals(active)]


def coverage_sheet(rows: Sequence[Coverage]) -> Sheet:
    """The operators of a model of which some cannot be simulated."""
    columns = (
        Column("operator", text=True),
        Column("nodes"),
        Column("refused"),
        Column("share of MACs"),
        Column("why", prose=True),
    )
    cells = (
        Row(
            (
                row.operator,
                f"{row.nodes:,}",
                f"{row.refused:,}" if row.refused else NONE,
                row.told_share if row.macs or not row.counted else NONE,
                f"{row.first}: {row.reason}" if row.refused else "",
            )
        )
        for row in rows
    )
    return Sheet(title="What of this model can be simulated", columns=columns, rows=tuple(cells))


def _title(name: str, description: str) -> str:
    return f"{name}: {description}" if description else name


def _layer_rows(active: Activations) -> Iterator[Row]:
    before = ""
    for name, size in active.network.inputs.items():
        yield Row((name, "input", "", shape(size), NONE, NONE, f"{math.prod(size):,}"))
        before = name
    for layer in active.network.layers:
        sources = "" if layer.inputs == (before,) else ", ".join(layer.inputs)
        counts = (layer.parameters, layer.macs, active.of_layer(layer))
        texts = (f"{count:,}" if count else NONE for count in counts)
        style = "" if layer.name in active.written else "dim"
        yield Row((layer.name, layer.op.name, sources, shape(layer.output_shape), *texts), style)
        before = layer.name


def _writing_notes(active: Activations) -> list[str]:
    silent = sorted(
        {layer.op.name for layer in active.network.layers if layer.name not in active.written}
    )
    notes = ["Layers without inputs of their own here read the row above. All is for one image."]
    several = {name: count for name, count in (active.network.images or {}).items() if count > 1}
    if several:
        listed = ", ".join(f"{name} {count:,}" for name, count in several.items())
        notes.append(f"Layers that take several images at a time: {listed}.")
    if zeros := active.network.zero_macs:
        notes.append(f"MACs by inserted zeros are not counted: they are {zeros:,}.")
    if added := _of_training_only(active.network):
        notes.append(f"Training has {len(added)} layers more, up to {added[-1]}: see --train.")
    if silent:
        notes.append(f"No values of their own are written by: {', '.join(silent)}.")
    if "concat" in silent:
        notes.append("The inputs of a concat are written where it wants them, so it moves nothing.")
    return notes


def _of_training_only(network: Network) -> list[str]:
    whole = network.training or network
    return [layer.name for layer in whole.layers if layer.name not in network.by_name]


def _network_totals(active: Activations) -> Sheet:
    values = active.values
    return facts(
        "Totals for one image",
        (
            ("layers", f"{len(active.network.layers):,}"),
            ("parameters", f"{active.network.parameters:,}"),
            ("MACs", f"{active.network.macs:,}"),
            ("activations", f"{values:,} values: inputs and every tensor that a layer writes"),
            ("  as int8", format_bytes(values)),
            ("  as float32", format_bytes(4 * values)),
        ),
    )


def network_dict(network: Network) -> dict[str, Any]:
    """The JSON form of `show NETWORK`."""
    active = activations(network)
    return {
        "schema": SCHEMA,
        "kind": "network",
        "name": network.name,
        "description": network.description,
        "inputs": {name: list(size) for name, size in network.inputs.items()},
        "totals": {
            "parameters": network.parameters,
            "macs": network.macs,
            **_zeros(network),
            "activation_values": active.values,
        },
        "layers": [_layer_dict(layer, active) for layer in network.layers],
        **_training_dict(network),
    }


def _zeros(of: Network | Layer) -> dict[str, int]:
    """MACs by inserted zeros, where there are any."""
    return {"zero_macs": of.zero_macs} if of.zero_macs else {}


def _training_dict(network: Network) -> dict[str, Any]:
    """What training has beside the layers of inference, if there is any."""
    if network.training is None:
        return {}
    return {
        "training": {
            "layers": _of_training_only(network),
            "parameters": network.training.parameters,
            "loss_weights": dict(network.training.loss_weights),
        }
    }


def _layer_dict(layer: Layer, active: Activations) -> dict[str, Any]:
    return {
        "name": layer.name,
        "op": layer.op.name,
        "attributes": asdict(layer.op),
        "inputs": list(layer.inputs),
        "output_shape": list(layer.output_shape),
        "parameters": layer.parameters,
        "macs": layer.macs,
        **_zeros(layer),
        "output_elements": layer.output_elements,
        "written_elements": active.of_layer(layer),
    }


# --- Hardware -------------------------------------------------------------------------------------


def hardware_sheets(hardware: Hardware) -> list[Sheet]:
    """Everything `show HARDWARE` prints."""
    columns = (
        Column("setting", text=True),
        Column("value", text=True),
        Column("meaning", drop=1, prose=True),
    )
    titles = (("name",), ("description",), ("energy", "description"))
    shown = [each for each in written.settings(hardware) if each.path not in titles]
    rows = tuple(Row((".".join(each.path), each.text, each.meaning)) for each in shown)
    title = _title(hardware.name, hardware.description)
    derived = facts("What follows from them", _derived(hardware))
    return [Sheet(title=title, columns=columns, rows=rows), derived, _buffers(hardware)]


def _derived(hardware: Hardware) -> Iterable[tuple[str, str]]:
    macs_per_second = hardware.pes * hardware.clock
    per_cycle = hardware.dram_bytes_per_cycle
    balance = float(hardware.pes / per_cycle)
    return (
        *_dram_standard(hardware.dram.timing),
        ("PEs", f"{hardware.pes:,}"),
        *_folds(hardware),
        ("peak", f"{si(macs_per_second)}MAC/s ({2 * macs_per_second / 1e12:,.2f} TOPS)"),
        (
            "DRAM",
            f"{float(per_cycle):,.2f} B/cycle, "
            f"{gigabytes_per_second(float(per_cycle * hardware.clock))}",
        ),
        ("DRAM latency", f"{hardware.dram_latency_cycles:,} cycles"),
        ("ridge point", f"{balance:,.1f} MACs per byte: with fewer, DRAM is slower than the array"),
        *_energies(hardware),
        *silicon(hardware),
    )


def silicon(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """Area and leakage, as far as the table knows them."""
    for what, unit, chip in (
        ("area", "mm2", area_mm2(hardware)),
        ("leakage", "W", leakage_watts(hardware)),
    ):
        if chip is not None:
            parts = {"PEs": chip.pes, **chip.buffers, "DRAM interface": chip.dram_interface}
            wanted = ("PEs", *hardware.buffers, "DRAM interface")
            known = [f"{name} {parts[name]:,.3g} {unit}" for name in wanted if parts.get(name)]
            unknown = [name for name in wanted if not parts.get(name)]
            rest = f"; not known: {', '.join(unknown)}" if unknown else ""
            told = f"{', '.join(known)}{rest}" if known else "not known for any part"
            yield f"{what}, {chip.technology}", told


def _folds(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """Cycles of a full fold, under each dataflow that layers may have."""
    for each in hardware.choices:
        which = f", {each.array.dataflow}" if len(hardware.choices) > 1 else ""
        yield f"full fold{which}", _fold(target_of(each).processor)


def _fold(array: ArrayModel | RowStationary) -> str:
    """Cycles of a full fold, in words."""
    return FOLDS[type(array)](array)


def _systolic_fold(array: ArrayModel) -> str:
    if not array.pipelined:
        return f"{array.overhead:,} cycles beside its steps"
    turn = int(least_turn(array, array.rows, array.cols))
    last = f"up to {array.overhead:,} more for the last"
    return f"as many cycles as steps, at least {turn:,}; {last}{_pieces(array)}"


def _pieces(array: ArrayModel) -> str:
    """How pixels stream, where that is in pieces."""
    if not array.streams_pieces:
        return ""
    held = f", {array.in_flight:,} in the array at a time" if array.in_flight else ""
    least = f", {array.least_piece:,} cycles or more each" if array.least_piece > 1 else ""
    return f"; in pieces of {array.piece:,} pixels of a row{least}{held}"


def _no_fold(array: RowStationary) -> str:
    return "none: passes of PE sets, which are as large as a layer's filter rows"


FOLDS: dict[type, Callable[[Any], str]] = {ArrayModel: _systolic_fold, RowStationary: _no_fold}
"""What is said of each kind of array."""


def _energies(hardware: Hardware) -> Iterator[tuple[str, str]]:
    """What the energy table says of this hardware's widths and sizes, if one is named."""
    rates = energy_rates(hardware)
    if rates is None:
        return
    yield "energy of a MAC", f"{rates.mac:,.3f} pJ"
    yield (
        "of a register access",
        f"{rates.register:,.3f} pJ, of a psum's {rates.psum_register:,.3f}",
    )
    yield "of a word to the next PE", f"{rates.hop:,.3f} pJ, of a psum {rates.psum_hop:,.3f}"
    for name, per_byte in rates.buffers.items():
        yield f"of a byte of {name}", f"{per_byte:,.3f} pJ"
    if rates.dram is None:
        yield "of a byte of DRAM", f"{rates.dram_byte:,.3f} pJ"
        return
    costs = rates.dram
    yield (
        "of DRAM",
        f"{costs.activate:,.0f} pJ for a row, {costs.read:,.0f} for a burst read, "
        f"{costs.write:,.0f} written" + _lines(costs),
    )


def _lines(costs: DramCosts) -> str:
    """What the pins and lines of a burst take, if known."""
    if costs.read_io is None or costs.write_io is None:
        return ""
    if costs.read_io == costs.write_io:
        return f", {costs.read_io:,.0f} for its I/O"
    return f", {costs.read_io:,.0f} and {costs.write_io:,.0f} for its I/O"


def _dram_standard(sheet: DramTiming | None) -> Iterator[tuple[str, str]]:
    """What follows from a DRAM standard's data sheet, if one is named."""
    if sheet is None:
        return
    closed, hit = (sheet.nanoseconds(clocks) for clocks in (sheet.closed_clocks, sheet.hit_clocks))
    peak = gigabytes_per_second(float(sheet.bytes_per_second))
    channels = f"{sheet.channels} channels, " if sheet.channels > 1 else ""
    refresh = float(1 - sheet.refresh_factor)
    yield "DRAM standard", f"{sheet.standard}, {channels}{peak}, refresh takes {refresh:.1%} of it"
    yield "idle read", f"{closed:.1f} ns to the last byte of a burst, {hit:.1f} ns in an open row"
    per_burst = Fraction(sheet.nBL, sheet.data_buses * sheet.channels)
    long_run = per_burst / sequential_clocks(sheet, False)
    yield "long reads", f"{float(long_run):.1%} of the peak"


def _buffers(hardware: Hardware) -> Sheet:
    columns = (
        Column("buffer", text=True),
        Column("size"),
        Column("half"),
        Column("words in a tile", prose=True),
        Column("bandwidth"),
    )
    rows = []
    target = target_of(hardware.choices[0])  # all have the same buffers
    for space in target.buffers[: len(hardware.buffers)]:
        words = (
            f"{operand} {space.half // hardware.precision.bytes_of(operand):,}"
            for operand in space.holds
        )
        rate = hardware.buffers[space.name].bandwidth
        bandwidth = "unlimited" if rate is None else written.rate(rate)
        sizes = written.size(space.size), written.size(space.half)
        rows.append(Row((space.name, *sizes, " or ".join(words), bandwidth)))
    note = "A tile may fill half of a buffer; the next one loads into the other half."
    if target.reserves_blocks:
        note = "A block of a row-stationary mapping may fill a buffer, each operand in whole banks."
    return Sheet(title="Buffers of each array", columns=columns, rows=tuple(rows), notes=(note,))


def hardware_dict(hardware: Hardware) -> dict[str, Any]:
    """The JSON form of `show HARDWARE`; `settings` is a hardware file with nothing left out."""
    return {
        "schema": SCHEMA,
        "kind": "hardware",
        "settings": written.nested(written.settings(hardware)),
        "derived": {
            "pes": hardware.pes,
            "macs_per_second": hardware.pes * hardware.clock,
            "dram_bytes_per_cycle": float(hardware.dram_bytes_per_cycle),
            "dram_latency_cycles": hardware.dram_latency_cycles,
            "ridge_macs_per_byte": float(hardware.pes / hardware.dram_bytes_per_cycle),
            **silicon_dict(hardware),
        },
    }


def file_sheet(title: str, data: Mapping[str, object]) -> Sheet:
    """What a small file says, key by key."""
    return facts(title, tuple(_said("", data)), ("--yaml prints the file itself, to copy.",))


def _said(key: str, value: object) -> Iterator[tuple[str, str]]:
    """Dotted keys and their values."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _said(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
        for place, each in enumerate(value):
            yield from _said(f"{key}[{place}]", each)
    else:
        listed = value if isinstance(value, list) else [value]
        yield key, ", ".join(map(str, listed))


def file_dict(kind: str, data: Mapping[str, object]) -> dict[str, Any]:
    """The JSON form of what a small file says."""
    return {"schema": SCHEMA, "kind": kind, "settings": dict(data)}

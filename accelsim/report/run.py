"""What `accelsim run` prints: each layer, the totals, where the cycles went."""

from collections.abc import Iterable

from accelsim.hardware import Hardware
from accelsim.report.quantities import (
    NONE,
    clock,
    gigabytes_per_second,
    percent,
    percentages,
    seconds,
    shape,
    si,
)
from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.results import Buckets, LayerResult, RunResult
from accelsim.units import format_bytes

_COLUMNS = (
    Column("layer", text=True),
    Column("op", drop=3, text=True),
    Column("output", drop=5),
    Column("MACs", drop=4),
    Column("cycles"),
    Column("util %"),
    Column("mapping %", drop=2),
    Column("DRAM read", drop=1),
    Column("DRAM write", drop=1),
    Column("bound", text=True),
)
_BUCKETS = {
    "useful": "useful: what the work takes with every PE busy",
    "idle_pes": "idle PEs: rows and columns without work",
    "fill_drain": "fill and drain of the array",
    "buffer": "buffer bandwidth",
    "dram_read": "waiting for DRAM reads",
    "dram_write": "waiting for DRAM writes",
    "other_layer": "waiting for another layer: for its unit or its buffer room",
}
_LARGEST = 5


def is_free(layer: LayerResult) -> bool:
    """Whether the layer does nothing: a view, or a concat whose inputs were written in place."""
    return layer.tiles == 0


def free_notes(layers: Iterable[LayerResult]) -> list[str]:
    """What to say about the layers that cost nothing."""
    ops = {layer.op for layer in layers if is_free(layer)}
    notes = []
    if "concat" in ops:
        notes.append("A concat whose inputs are written in place costs nothing.")
    if ops - {"concat"}:
        notes.append(f"{', '.join(sorted(ops - {'concat'}))}: the same bytes, costs nothing.")
    return notes


def heading(result: RunResult) -> str:
    """Which run this is."""
    return f"{result.network} on {result.hardware}, {result.dataflow}, batch {result.batch}"


def run_sheets(result: RunResult, hardware: Hardware) -> list[Sheet]:
    """Everything `run` prints."""
    layers = Sheet(
        f"{heading(result)}: layers",
        _COLUMNS,
        tuple(map(_layer, result.layers)),
        (_total(result),),
        tuple(free_notes(result.layers)),
    )
    return [layers, _totals(result, hardware), _where(result), _largest(result)]


def _layer(layer: LayerResult) -> Row:
    outline = (layer.name, layer.op, shape(layer.output_shape))
    if is_free(layer):
        return Row((*outline, *(NONE,) * 7), style="dim")
    on_array = layer.gemm is not None
    return Row(
        (
            *outline,
            si(layer.macs) if on_array else NONE,
            f"{layer.cycles:,}",
            percent(layer.utilization) if on_array else NONE,
            percent(layer.mapping_efficiency) if on_array else NONE,
            format_bytes(layer.dram.read_bytes),
            format_bytes(layer.dram.write_bytes),
            layer.bound,
        )
    )


def _total(result: RunResult) -> Row:
    dram = result.dram
    return Row(
        (
            *(
                "whole run",
                "",
                "",
                si(result.macs),
                f"{result.cycles:,}",
                percent(result.utilization),
            ),
            *("", format_bytes(dram.read_bytes), format_bytes(dram.write_bytes), ""),
        ),
        style="bold",
    )


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
            ("residency", residency(result, hardware)),
        ),
    )


def residency(result: RunResult, hardware: Hardware) -> str:
    """How many ofmaps stayed on chip, and what that saved."""
    if hardware.residency == "off":
        return "off: every layer reads from and writes to DRAM"
    if hardware.array.count > 1:
        return "none: each array has buffers of its own"
    written = [layer for layer in result.layers if not is_free(layer)]
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
        "Where the cycles of the layers went",
        (Column("", text=True), Column("cycles"), Column("%")),
        tuple(rows),
        (Row(("sum over layers", f"{buckets.total:,}", "100.0" if buckets.total else "0.0")),),
        tuple(_overlap_note(result)),
    )


def _overlap_note(result: RunResult) -> list[str]:
    if result.buckets.total <= result.cycles:
        return []
    return [f"Layers overlap, so they sum to more than the {result.cycles:,} cycles of the run."]


def _largest(result: RunResult) -> Sheet:
    largest = sorted(result.layers, key=lambda layer: -layer.cycles)[:_LARGEST]
    total = result.buckets.total or 1
    rows = (
        Row((layer.name, f"{layer.cycles:,}", percent(layer.cycles / total), layer.bound))
        for layer in largest
        if not is_free(layer)
    )
    columns = (
        Column("layer", text=True),
        Column("cycles"),
        Column("% of all"),
        Column("bound", text=True),
    )
    return Sheet("Largest layers", columns, tuple(rows))

"""Eyeriss: the five convolutions of AlexNet, batch 4, on silicon (Chen et al., JSSC 2017).

Twice: with the published mapping given as input, and with the one that accelsim's search finds
for least traffic. The chip keeps feature maps run-length compressed in DRAM, which accelsim does
not model, so for its DRAM traffic the published share of zeros is an input too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.kernels import GemmKernel, kernel_of
from accelsim.lowering.row_stationary import Mapping, active_pes, row_shape
from accelsim.lowering.row_stationary_search import best_mapping
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.traffic import Dram, Sram
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

BATCH = 4
LATENCY_BAND = 0.05
DRAM_BAND = 0.15
MEGABYTE = 10**6


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of the paper's table: what the chip did in a layer."""

    latency_ms: float
    active_pes: int
    ifmap_zeros: float
    buffer_mb: float
    dram_mb: float


@dataclass(frozen=True, slots=True)
class Modelled:
    """What the tasks of a mapping do."""

    mapping: Mapping
    latency_ms: float
    active_pes: int
    buffer_mb: float
    dram: Dram


def measured() -> dict[str, Measured]:
    """The chip's rows by layer."""
    return {
        row["layer"]: Measured(
            float(row["processing_latency_ms"]),
            int(row["active_pes"]),
            float(row["zeros_ifmap_pct"]) / 100,
            float(row["glb_access_mb"]),
            float(row["dram_access_mb"]),
        )
        for row in table("eyeriss_alexnet")
        if row["layer"] != "Total"
    }


def published_mappings() -> dict[str, Mapping]:
    """The mappings that the chip ran, by layer."""
    return {
        row["layer"]: Mapping(*(int(row[name]) for name in ("m", "n", "e", "p", "q", "r", "t")))
        for row in table("eyeriss_alexnet_mapping")
    }


def kernels() -> dict[str, GemmKernel]:
    """AlexNet's convolutions by the paper's names."""
    layers = (layer for layer in load_network("alexnet").layers if layer.op.name == "conv")
    every = {layer.name.upper(): kernel_of(layer, BATCH) for layer in layers}
    return {name: kernel for name, kernel in every.items() if isinstance(kernel, GemmKernel)}


def modelled(kernel: GemmKernel, target: Target, mapping: Mapping, clock_hz: int) -> Modelled:
    """The layer's passes one after another, and what they move."""
    (schedule,) = row_stationary_schedules(kernel, target, mapping)
    return Modelled(
        mapping,
        1e3 * schedule.cycles / clock_hz,
        int(active_pes(row_shape(target.row_stationary, kernel), mapping)),
        _buffer_words(schedule.sram) * target.bytes_of("psum") / MEGABYTE,
        schedule.dram,
    )


def _buffer_words(words: Sram) -> int:
    """Words between the PEs and the global buffer, which holds no filters."""
    return words.ifmap_reads + words.psum_reads + words.psum_writes + words.ofmap_writes


def compressed(zeros: float) -> float:
    """Size of a run-length coded feature map relative to the plain one, zeros at random.

    64 bits code three values of 16 bits with the run of up to 31 zeros before each (section
    IV of the paper).
    """
    return 64 / 3 / 16 * (1 - zeros) / (1 - zeros**32)


def dram_megabytes(dram: Dram, ifmap_zeros: float | None, ofmap_zeros: float) -> float:
    """DRAM traffic of a layer with its feature maps compressed; None: an ifmap that is not."""
    ifmap = dram.ifmap_read_bytes * (1 if ifmap_zeros is None else compressed(ifmap_zeros))
    ofmap = dram.ofmap_write_bytes * compressed(ofmap_zeros)
    return (ifmap + dram.filter_read_bytes + ofmap) / MEGABYTE


def compare() -> Iterable[Comparison]:
    """Every layer with the published mapping, then with the one found."""
    hardware = load_hardware("eyeriss")
    target, chip, every = target_of(hardware), measured(), kernels()
    for name, mapping in published_mappings().items():
        said = modelled(every[name], target, mapping, hardware.clock)
        yield from _layer(name, chip, said)
    for name, mapping in published_mappings().items():
        said = modelled(every[name], target, best_mapping(every[name], target), hardware.clock)
        note = "" if said.mapping == mapping else f"not the published mapping: {said.mapping}"
        yield Comparison(
            *(f"{name} searched", "latency", "ms", chip[name].latency_ms, said.latency_ms),
            *(LATENCY_BAND, note, 0.05),
        )


def _layer(name: str, chip: dict[str, Measured], said: Modelled) -> Iterator[Comparison]:
    silicon, names = chip[name], list(chip)
    after = names[min(names.index(name) + 1, len(names) - 1)]
    zeros = None if name == names[0] else silicon.ifmap_zeros
    dram = dram_megabytes(said.dram, zeros, chip[after].ifmap_zeros)
    disagree = name == "CONV3"
    yield Comparison(name, "active PEs", "", silicon.active_pes, said.active_pes, 0)
    yield Comparison(
        *(name, "buffer", "MB", silicon.buffer_mb, said.buffer_mb, None if disagree else 0),
        *(_CONV3 if disagree else "", 0.05),
    )
    yield Comparison(name, "DRAM", "MB", silicon.dram_mb, dram, DRAM_BAND, "", 0.05)
    yield Comparison(
        *(name, "latency", "ms", silicon.latency_ms, said.latency_ms, LATENCY_BAND, "", 0.05),
    )


_CONV3 = (
    "not judged: the paper's own rows for CONV3 disagree. Its mapping moves psums 64 times in and "
    "out of the buffer, 66.5 MB, and the ifmap; 50.2 MB would take 46 times, which divide nothing."
)

REFERENCE = Reference(
    name="eyeriss",
    title="Eyeriss silicon, AlexNet's convolutions at batch 4",
    source="Y.-H. Chen, T. Krishna, J. Emer, V. Sze, Eyeriss: An Energy-Efficient Reconfigurable "
    "Accelerator for Deep Convolutional Neural Networks, JSSC 52(1) 2017, tables III, IV and V",
    assumption="a pass loads its filters, then the first windows of the ifmap, then runs at the "
    "pace of the slowest of MACs, ifmap and psum networks. CONV4 and CONV5 have the same passes, "
    "yet the chip took 8,333 and 7,812 cycles for one, 6.5 % apart: no model of a pass is closer "
    "than half of that to both. Feature maps in DRAM are run-length coded at the published share "
    "of zeros; that of a layer's ofmap is taken from the next ifmap, after pooling and LRN. Errors "
    "count from the nearest number that would be printed like the paper's.",
    compare=compare,
)

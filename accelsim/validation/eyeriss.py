"""Eyeriss: the five convolutions of AlexNet, batch 4, on silicon (Chen et al., JSSC 2017).

Twice: with the published mapping given as input, and with the one that accelsim's search finds for
least traffic. VGG-16 is in `eyeriss_vgg16`. The chip keeps feature maps run-length compressed in
DRAM, which accelsim does not model, so for its DRAM traffic the published share of zeros is an
input too.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from accelsim.engine.machine import play
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.hardware import Hardware
from accelsim.lowering.energy import Activity, energy_rates
from accelsim.lowering.kernels import GemmKernel, kernel_of
from accelsim.lowering.lower import lower
from accelsim.lowering.row_stationary import Mapping, active_pes, row_shape, whole_rows
from accelsim.lowering.row_stationary_search import best_mapping
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.schedule import Nest, Repeat, Schedule
from accelsim.lowering.target import target_of
from accelsim.lowering.task import Step
from accelsim.lowering.traffic import Dram, Sram
from accelsim.network.graph import Layer as NetworkLayer
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.validation import floor_plans
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

LATENCY_BAND = 0.05
DRAM_BAND = 0.15
MEGABYTE = 10**6
TABLE = "eyeriss_65nm"

POWER = (
    "dynamic energy alone, by the table eyeriss_65nm: no clock tree, leakage or control; and MACs "
    "on zeros, which the chip gates, count in full"
)
"""Why the chip's power is not judged."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of the paper's table: what the chip did in a layer.

    Its processing latency has no DRAM in it: operands are loaded, and results dumped, meanwhile.
    Its total latency has what of that comes before and behind.
    """

    processing_ms: float
    total_ms: float
    active_pes: int
    ifmap_zeros: float
    buffer_mb: float
    dram_mb: float
    power_mw: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of the chip's with what is measured of it, and its zeros in DRAM.

    `ifmap_zeros` is None for an ifmap that is not compressed.
    """

    network: Network
    kernel: GemmKernel
    silicon: Measured
    ifmap_zeros: float | None
    ofmap_zeros: float

    @property
    def ifmap_size(self) -> float:
        """The ifmap's size in DRAM, relative to the plain one."""
        return 1.0 if self.ifmap_zeros is None else compressed(self.ifmap_zeros)

    @property
    def ofmap_size(self) -> float:
        """The ofmap's."""
        return compressed(self.ofmap_zeros)


@dataclass(frozen=True, slots=True)
class Modelled:
    """What the tasks of a mapping do."""

    mapping: Mapping
    processing_ms: float
    total_ms: float
    active_pes: int
    buffer_mb: float
    dram_mb: float
    power_mw: float


def measured(name: str) -> dict[str, Measured]:
    """The chip's rows of `data/<name>.csv` by layer."""
    return {
        row["layer"]: Measured(
            processing_ms=float(row["processing_latency_ms"]),
            total_ms=float(row["total_latency_ms"]),
            active_pes=int(row["active_pes"]),
            ifmap_zeros=float(row["zeros_ifmap_pct"]) / 100,
            buffer_mb=float(row["glb_access_mb"]),
            dram_mb=float(row["dram_access_mb"]),
            power_mw=float(row["power_mw"]),
        )
        for row in table(name)
        if row["layer"] != "Total"
    }


def layers(network: str = "alexnet", batch: int = 4) -> dict[str, Layer]:
    """The convolutions of a network by the paper's names, each a network of its own.

    The zeros of a layer's ofmap are taken from the next ifmap.
    """
    chip = measured(f"eyeriss_{network}")
    after = {name: chip[later].ifmap_zeros for name, later in pairwise([*chip, [*chip][-1]])}
    found: dict[str, Layer] = {}
    for layer in load_network(network).layers:
        name = layer.name.upper()
        kernel = kernel_of(layer, batch)
        if name in chip and isinstance(kernel, GemmKernel):
            found[name] = Layer(
                network=_alone(layer),
                kernel=kernel,
                silicon=chip[name],
                ifmap_zeros=chip[name].ifmap_zeros if found else None,
                ofmap_zeros=after[name],
            )
    return found


def _alone(layer: NetworkLayer) -> Network:
    """A network of one layer."""
    spec = LayerSpec(layer.name, layer.op, ("input",))
    return build_network(layer.name, {"input": layer.input_shapes[0]}, [spec])


def kernels() -> dict[str, GemmKernel]:
    """The kernels of these layers."""
    return {name: layer.kernel for name, layer in layers().items()}


def published_mappings() -> dict[str, Mapping]:
    """The mappings of the paper's table III, by layer."""
    every = kernels()
    return {
        row["layer"]: whole_rows(
            every[row["layer"]], *(int(row[name]) for name in ("m", "n", "e", "p", "q", "r", "t"))
        )
        for row in table("eyeriss_alexnet_mapping")
    }


def modelled(layer: Layer, hardware: Hardware, mapping: Mapping) -> Modelled:
    """The layer's passes one after another, what they move, and the layer as played."""
    target, kernel = target_of(hardware), layer.kernel
    (schedule,) = row_stationary_schedules(kernel, target, mapping)
    shape = row_shape(target.row_stationary, kernel.windows, mapping.tap_rows, mapping.tap_cols)
    milliseconds = 1e3 / hardware.clock
    return Modelled(
        mapping=mapping,
        processing_ms=schedule.cycles * milliseconds,
        total_ms=_played(layer, hardware, schedule) * milliseconds,
        active_pes=int(active_pes(shape, mapping)),
        buffer_mb=_buffer_words(schedule.sram) * target.bytes_of("psum") / MEGABYTE,
        dram_mb=dram_megabytes(schedule.dram, layer),
        power_mw=chip_power_mw(schedule, hardware),
    )


def chip_power_mw(schedule: Schedule, hardware: Hardware) -> float:
    """Dynamic power of the chip, without DRAM, while it processes a schedule."""
    rates = energy_rates(with_settings(hardware, [f"energy={TABLE}"]))
    assert rates is not None, "a table is named"
    work = Activity(macs=schedule.operations, inside=schedule.inside, sram=schedule.sram)
    moved = Activity(dram=schedule.dram)
    filled = rates.energy(moved)
    picojoules = rates.energy(work).total + filled.total - filled.dram
    return picojoules * hardware.clock / schedule.cycles * 1e-9


def _played(layer: Layer, hardware: Hardware, schedule: Schedule) -> int:
    """Cycles of a schedule with DRAM, its feature maps as short as they are there."""
    program = lower(layer.network, hardware, layer.kernel.batch)
    (whole,) = program.layers
    short = replace(schedule, nest=_in_dram(schedule.nest, layer, {}))
    (times,) = play(replace(program, layers=(replace(whole, schedules=(short,)),)))
    return times.end


def _in_dram(nest: Nest, layer: Layer, known: dict[int, Step]) -> Nest:
    """The same steps with feature maps as long as they are in DRAM; equal ones stay one object."""
    entries: list[Step | Repeat] = []
    for entry in nest:
        if isinstance(entry, Repeat):
            entries.append(Repeat(_in_dram(entry.body, layer, known), entry.times))
        else:
            entries.append(known.setdefault(id(entry), _shortened(entry, layer)))
    return tuple(entries)


def _shortened(step: Step, layer: Layer) -> Step:
    sizes = {"ifmap": layer.ifmap_size, "filter": 1.0}
    loads = tuple(replace(load, size=round(load.size * sizes[load.operand])) for load in step.loads)
    if step.store is None:
        return replace(step, loads=loads)
    store = replace(step.store, size=round(step.store.size * layer.ofmap_size))
    return replace(step, loads=loads, store=store)


def _buffer_words(words: Sram) -> int:
    """Words between the PEs and the global buffer, which holds no filters."""
    return words.ifmap_reads + words.psum_reads + words.psum_writes + words.ofmap_writes


def compressed(zeros: float) -> float:
    """Size of a run-length coded feature map relative to the plain one, zeros at random.

    64 bits code three values of 16 bits with the run of up to 31 zeros before each (section
    IV of the paper).
    """
    return 64 / 3 / 16 * (1 - zeros) / (1 - zeros**32)


def dram_megabytes(dram: Dram, layer: Layer) -> float:
    """DRAM traffic of a layer with its feature maps compressed."""
    ifmap = dram.ifmap_read_bytes * layer.ifmap_size
    ofmap = dram.ofmap_write_bytes * layer.ofmap_size
    return (ifmap + dram.filter_read_bytes + ofmap) / MEGABYTE


def compare() -> Iterable[Comparison]:
    """Every layer with the published mapping, then with the one found."""
    hardware, published, convolutions = load_hardware("eyeriss"), published_mappings(), layers()
    found = {name: found_mapping(layer, hardware) for name, layer in convolutions.items()}
    for name, layer in convolutions.items():
        ran = published[name] if name not in NOT_RUN else found[name]
        notes = {"power": f"{POWER} (none in CONV1, 79 % of CONV4's ifmap)"}
        if name in NOT_RUN:
            notes["buffer"] = NOT_RUN[name]
        yield from rows_of(name, layer.silicon, modelled(layer, hardware, ran), notes)
    for name, layer in convolutions.items():
        said = modelled(layer, hardware, found[name])
        as_published = said.mapping == published[name] or name in NOT_RUN
        note = "" if as_published else f"not the published mapping: {said.mapping}"
        yield Comparison(
            case=f"{name} searched",
            quantity="latency",
            unit="ms",
            measured=layer.silicon.processing_ms,
            modelled=said.processing_ms,
            band=LATENCY_BAND,
            note=note,
            half_digit=0.05,
        )
    yield from floor_plans.eyeriss()


def found_mapping(layer: Layer, hardware: Hardware) -> Mapping:
    """The mapping of the search."""
    mapping = best_mapping(layer.kernel, target_of(hardware))
    assert mapping is not None, "the chip ran it"
    return mapping


def rows_of(
    name: str,
    silicon: Measured,
    said: Modelled,
    notes: dict[str, str],
    unjudged: Collection[str] = ("power",),
) -> Iterator[Comparison]:
    """What was measured of a layer beside what the model says, with notes on some quantities."""
    numbers = (
        ("active PEs", "", silicon.active_pes, said.active_pes, 0.0, 0.0),
        ("buffer", "MB", silicon.buffer_mb, said.buffer_mb, 0.0, 0.05),
        ("DRAM", "MB", silicon.dram_mb, said.dram_mb, DRAM_BAND, 0.05),
        ("latency", "ms", silicon.processing_ms, said.processing_ms, LATENCY_BAND, 0.05),
        ("total", "ms", silicon.total_ms, said.total_ms, DRAM_BAND, 0.05),
        ("power", "mW", silicon.power_mw, said.power_mw, None, 0.5),
    )
    for quantity, unit, chip, model, band, half_digit in numbers:
        judged = None if quantity in unjudged else band
        note = notes.get(quantity, "")
        yield Comparison(
            case=name,
            quantity=quantity,
            unit=unit,
            measured=chip,
            modelled=model,
            band=judged,
            note=note,
            half_digit=half_digit,
            aim=band,
        )


NOT_RUN = {
    "CONV3": "table III has q 4, r 1, t 4 for CONV3, of which psums would move 64 times in and out "
    "of the buffer, 69.2 MB in all. The traffic that was measured, 50.2 MB, is that of q 3, r 2, "
    "t 2, the mapping of CONV4 and CONV5: 43 passes of channels, the last of them short."
}
"""Mappings of table III that the chip did not run, by its own counts."""

REFERENCE = Reference(
    name="eyeriss",
    title="Eyeriss silicon, AlexNet's convolutions at batch 4",
    source="Y.-H. Chen, T. Krishna, J. Emer, V. Sze, Eyeriss: An Energy-Efficient Reconfigurable "
    "Accelerator for Deep Convolutional Neural Networks, JSSC 52(1) 2017, tables I, III, IV and V",
    assumption="a pass loads its filters, then the first windows of the ifmap, then runs at the "
    "pace of the slowest of MACs, ifmap and psum networks. CONV4 and CONV5 have the same passes, "
    "yet the chip took 8,333 and 7,812 cycles for one, 6.5 % apart: no model of a pass is closer "
    "than half of that to both. Latency is the chip's processing latency, which DRAM's time has no "
    "part in; total is the layer as played, with what is loaded before and dumped behind. "
    "Feature maps in DRAM are run-length coded at the published share "
    "of zeros; that of a layer's ofmap is taken from the next ifmap, after pooling and LRN. Errors "
    "count from the nearest number that would be printed like the paper's.",
    compare=compare,
)

"""TPU v1: the four memory-bound production applications of Jouppi et al., ISCA 2017.

An application is a chain of matrices with the published weights and batch. The weight memory
holds whole tiles of 256x256 weights, so the chain that runs is the one rounded up to tiles, and
the operations that count are those of the weights before the rounding. The chip serves one batch
after another and its inputs and outputs cross PCIe, not the weight memory; so a matrix takes what
it adds to the chain, and what the ends of the chain cost is left out.

The counters follow from the time per weight tile. In it the array is active for a cycle per row of
activations (two where they have 16 bits), then the next tile shifts in, and for the rest the
array waits for weights.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import fsum

from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense
from accelsim.results import RunResult
from accelsim.units import ceil_div
from accelsim.validation import floor_plans
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

BANDS = {"MLP0": 0.068, "MLP1": 0.109, "LSTM0": 0.077, "LSTM1": 0.054}
"""The error of the authors' own model, which knew the shapes (table 7)."""

CNN0_BAND = 0.082
"""As above: the authors' error of CNN0."""

HALF_SPEED = ["precision.ifmap=int16", "precision.ofmap=int16"]
QUADRUPLE_MEMORY = ["dram.timing.channels=8"]


@dataclass(frozen=True, slots=True)
class Application:
    """One column of the paper's tables. Shares are of all cycles.

    `row_cycles` are cycles of the array per row of activations.
    """

    name: str
    batch: int
    row_cycles: int
    tops: float
    active: float
    weight_stall: float
    weight_shift: float
    non_matrix: float


@dataclass(frozen=True, slots=True)
class Chain:
    """`matrices` of `wide` x `narrow` weights, one after another."""

    app: str
    shapes: str
    matrices: int
    wide: int
    narrow: int

    @property
    def weights(self) -> int:
        """Weights of all matrices."""
        return self.matrices * self.wide * self.narrow

    def rounded_up(self, rows: int, cols: int) -> "Chain":
        """The chain as memory holds it: its features in whole tiles of rows x cols weights."""
        tile = max(rows, cols)
        wide, narrow = (ceil_div(each, tile) * tile for each in (self.wide, self.narrow))
        return replace(self, wide=wide, narrow=narrow)

    def network(self) -> Network:
        """The chain as dense layers."""
        features = (self.narrow, self.wide)
        specs = [
            LayerSpec(
                f"fc{index + 1}",
                Dense(out_features=features[(index + 1) % 2], bias=False, activation="relu"),
                (f"fc{index}" if index else "input",),
            )
            for index in range(self.matrices)
        ]
        return build_network(self.app, {"input": (features[0],)}, specs)


@dataclass(frozen=True, slots=True)
class Counters:
    """What the chip's counters would say of a run: TOPS, and shares of all cycles.

    `waiting` is the rest: the paper's weight stalls and non-matrix cycles.
    """

    tops: float
    active: float
    weight_shift: float
    waiting: float


def exposed_shift(period: float, active: float, rows: int) -> float:
    """Cycles per tile in which the array only shifts its next weights in.

    `period` cycles pass from one tile of weights to the next, and for `active` of them the array
    computes. Weights shift in, through `rows` rows, beside a computation if they are there. An
    array that has been waiting for them (period >= active + rows) hides nothing of it.
    """
    return min(rows, period - active)


def counters(cycles: float, hardware: Hardware, app: Application, chain: Chain) -> Counters:
    """The counters of an application whose `chain` takes `cycles` per batch on `hardware`."""
    stored = chain.rounded_up(hardware.array.rows, hardware.array.cols)
    period = cycles / (stored.weights / hardware.pes)
    active = app.batch * app.row_cycles
    shift = exposed_shift(period, active, hardware.array.rows)
    return Counters(
        tops=2 * app.batch * chain.weights / (cycles / hardware.clock) / 1e12,
        active=active / period,
        weight_shift=shift / period,
        waiting=1 - (active + shift) / period,
    )


def applications() -> list[Application]:
    """The four applications as the paper's tables 1 and 3 have them."""
    batch = {row["app"]: int(row["batch"]) for row in table("tpu_v1_table1")}
    measured = {row.pop("metric"): row for row in table("tpu_v1_table3")}

    def share(metric: str, app: str) -> float:
        return float(measured[metric][app]) / 100

    return [
        Application(
            name=app,
            batch=batch[app],
            row_cycles=row_cycles,
            tops=float(measured["teraops_per_s"][app]),
            active=share("array_active_pct", app),
            weight_stall=share("weight_stall_pct", app),
            weight_shift=share("weight_shift_pct", app),
            non_matrix=share("non_matrix_pct", app),
        )
        for app, row_cycles in (("MLP0", 1), ("MLP1", 1), ("LSTM0", 2), ("LSTM1", 2))
    ]


def chains(app: str) -> list[Chain]:
    """The shapes assumed for an application, those of the counted fill first."""
    return [
        Chain(
            app=app,
            shapes=row["shapes"],
            matrices=int(row["matrices"]),
            wide=int(row["wide"]),
            narrow=int(row["narrow"]),
        )
        for row in table("tpu_v1_chains")
        if row["app"] == app
    ]


def run_chain(
    app: Application, chain: Chain, settings: Sequence[str] = ()
) -> tuple[Counters, RunResult]:
    """Serve a chain on `tpu_v1`: what the counters would say, and the run of the first batch."""
    speed = HALF_SPEED if app.row_cycles == 2 else []
    hardware = load_hardware("tpu_v1", [*speed, *settings])
    stored = chain.rounded_up(hardware.array.rows, hardware.array.cols)
    once = simulate(stored.network(), hardware, batch=app.batch)
    longer = replace(stored, matrices=stored.matrices + 2)  # ends with the same features
    added = simulate(longer.network(), hardware, batch=app.batch).cycles - once.cycles
    return counters(added * stored.matrices / 2, hardware, app, chain), once


def compare() -> Iterable[Comparison]:
    """TOPS and shares of the four applications, then TOPS with other shapes."""
    for app in applications():
        yield from _application(app)
    for app in applications():
        yield from _other_shapes(app)
    yield _cnn0()
    yield _more_memory()
    yield from floor_plans.tpu_v1()


def boards(layers: int) -> Network:
    """So many 3x3 convolutions of 256 maps, each as wide as the array, on 19x19 boards."""
    op = Conv(out_channels=256, kernel=(3, 3), padding=(1,) * 4, bias=False, activation="relu")
    specs = [
        LayerSpec(f"conv{index + 1}", op, (f"conv{index}" if index else "input",))
        for index in range(layers)
    ]
    return build_network("CNN0", {"input": (256, 19, 19)}, specs)


def _cnn0() -> Comparison:
    """What two layers add to a chain of them, as of matrices."""
    layers, images, hardware = 14, 8, load_hardware("tpu_v1")
    added = boards(layers + 2).macs - boards(layers).macs
    long, short = (
        simulate(boards(count), hardware, batch=images) for count in (layers + 2, layers)
    )
    seconds = (long.cycles - short.cycles) / hardware.clock
    tops = 2 * added * images / seconds / 1e12
    return Comparison(
        case="CNN0",
        quantity="throughput",
        unit="TOPS",
        measured=86.0,
        modelled=tops,
        band=CNN0_BAND,
        note=_CNN0,
    )


def _application(app: Application) -> Iterator[Comparison]:
    modelled, result = run_chain(app, chains(app.name)[0])
    bound = sum(layer.cycles for layer in result.layers if layer.bound == "dram")
    waiting = app.weight_stall + app.non_matrix
    layers = result.layers
    rows = (
        ("memory bound", "share", 1.0, bound / sum(layer.cycles for layer in layers), 0.0),
        ("throughput", "TOPS", app.tops, modelled.tops, BANDS[app.name]),
        ("array active", "share", app.active, modelled.active, BANDS[app.name]),
        ("weight shift", "share", app.weight_shift, modelled.weight_shift, BANDS[app.name]),
        ("array waits", "share", waiting, modelled.waiting, BANDS[app.name]),
    )
    for quantity, unit, measured, said, band in rows:
        note = _NOT_JUDGED.get((app.name, quantity), _NOT_JUDGED.get(("", quantity), ""))
        judged = None if note else band
        yield Comparison(
            case=app.name,
            quantity=quantity,
            unit=unit,
            measured=measured,
            modelled=said,
            band=judged,
            note=note,
            aim=band,
        )


def _other_shapes(app: Application) -> Iterator[Comparison]:
    for chain in chains(app.name)[1:]:
        modelled, _ = run_chain(app, chain)
        case = f"{app.name} {chain.wide}x{chain.narrow}"
        note = _SHAPES[chain.shapes]
        yield Comparison(
            case=case,
            quantity="throughput",
            unit="TOPS",
            measured=app.tops,
            modelled=modelled.tops,
            band=None,
            note=note,
        )


def _more_memory() -> Comparison:
    """Speed-up of the four by four times the bandwidth; the paper says 3 of its own model."""
    faster = [
        run_chain(app, chain, QUADRUPLE_MEMORY)[0].tops / run_chain(app, chain)[0].tops
        for app in applications()
        for chain in chains(app.name)[:1]
    ]
    mean = fsum(faster) / len(faster)
    return Comparison(
        case="4 x memory, mean",
        quantity="speed-up",
        unit="",
        measured=3.0,
        modelled=mean,
        band=None,
        note=_MORE_MEMORY,
    )


_SHAPES = {
    "other": "other matrices of the same weights that fill their tiles as well: the shapes do not "
    "matter.",
    "square": "square matrices of the same weights, which fill their tiles otherwise: the fill "
    "does, for memory moves whole tiles.",
}
_SHIFT = (
    "not judged: a tile shifts in 256 cycles, as the same paper says, but by its counters in 250, "
    "212, 247 and 313 (MLP0, MLP1, LSTM0, LSTM1)."
)
_LSTM1 = (
    "not judged, for it is not explained. Its counters contradict each other: a tile takes 1,497 "
    "cycles by its weight shift, 1,829 by its active share and 1,887 by its TOPS, 24 to 25 GB/s of "
    "weights, where the other applications are at 29 GB/s or more; its non-matrix share is the "
    "least of the four."
)
_ACTIVE = (
    "not judged: the paper's rows disagree. These counters mean 85 to 86 % of the memory's peak, "
    "its TOPS 92 and 96 % for the same MLP0 and MLP1."
)
_LSTM0 = (
    "not judged, beyond the authors' own error: by its TOPS and by its counters LSTM0 drew 85 % of "
    "the memory's peak, which a DRAM's refresh and rows do not explain."
)
_NOT_JUDGED = {
    ("", "weight shift"): _SHIFT,
    ("", "array active"): _ACTIVE,
    ("LSTM0", "throughput"): _LSTM0,
    ("LSTM1", "throughput"): _LSTM1,
    ("LSTM1", "array active"): _LSTM1,
    ("LSTM1", "array waits"): _LSTM1,
}
_CNN0 = (
    "AlphaGo's network (table 1: 2,888 = 8 x 19 x 19 operations per weight byte). No MAC "
    "is unused, so its 3x3 convolutions are taken to be 256 maps wide, by tap; 16 of them have 9.4 "
    "million weights, where the table has 8. These TOPS are 94 % of the peak, and the counters of "
    "useful MACs 78 %: the paper's rows disagree."
)
_MORE_MEMORY = (
    "not judged, for 3 is what the authors' model says (section 7). It means that a ninth of the "
    "time does not shrink with memory's: presumably layers that wait for the one before, in what "
    "the paper calls a delay slot. Here the weight FIFO hides such waits, which may be part of "
    "what is left above."
)

REFERENCE = Reference(
    name="tpu",
    title="Google TPU v1, four memory-bound production applications and CNN0, measured",
    source="N. Jouppi et al., In-Datacenter Performance Analysis of a Tensor Processing Unit, "
    "ISCA 2017, tables 1, 2, 3 and 7, figure 2 and section 7",
    assumption="matrix chains with the published weights and batch on `tpu_v1`, whose weight "
    "memory is two channels of DDR3-2133. The band is the error of the authors' own model. Weights "
    "move as whole tiles (a 600x600 matrix in nine, says section 7). array waits = weight stall + "
    "non-matrix, for where memory is the limit all else hides behind it. What is left of MLP0 "
    "and MLP1 is time in which the chip did not draw on its memory, presumably between "
    "layers. The LSTMs' array active share is of two cycles per row, the chip's half speed "
    "for 16-bit activations: at one cycle their counters would mean 59 and 50 GB/s of weights "
    "and twice the measured TOPS.",
    compare=compare,
)

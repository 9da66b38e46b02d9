"""The public facade: simulate, compare and verify networks on hardware.

Names, paths, or what was loaded from them: a network walks from its file through the passes and
the lowering to a Program, from there to times or values, and to results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from accelsim.arguments import checked
from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.files import obstacles
from accelsim.frontend.findings import unknown
from accelsim.frontend.mapping_file import Source, load_mapping
from accelsim.given import (
    HardwareLike,
    MappingLike,
    NetworkLike,
    hardware_of,
    network_of,
    prepared,
    several,
    variants,
)
from accelsim.hardware import BEST, Hardware
from accelsim.lowering.forced import for_parts
from accelsim.lowering.lower import lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.search import Memory
from accelsim.network.backward import training_step
from accelsim.network.decoding import decoding_step
from accelsim.network.graph import Network
from accelsim.network.ops.fields import LARGEST_BATCH
from accelsim.network.ops.gradients import Loss, Optimizer
from accelsim.network.passes import absorbed
from accelsim.results import LayerCheck, RunResult, VerifyResult
from accelsim.results.accounting import one_after_another
from accelsim.results.best_dataflow import best_program, forced_program
from accelsim.results.comparison import Comparison
from accelsim.results.mapping import mapping_of
from accelsim.results.origin import Origin
from accelsim.results.player import Player, timed
from accelsim.results.sub_batches import candidates, cheapest, forced_images, one_batch
from accelsim.results.tiles import played_tiles
from accelsim.results.traces import refuse_other_traces, write_traces
from accelsim.text import shown

LARGEST_LAYER = 2**53

Made = TypeVar("Made")
Part = tuple[Network, int, Source | None]


@checked
def simulate(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    memory: Memory | None = None,
    trace: str | Path | None = None,
    mapping: MappingLike | None = None,
    set: Sequence[str] = (),
    trace_dram: str | Path | None = None,
    tiles: bool = False,
    trace_sram: str | Path | None = None,
) -> RunResult:
    """Time `network` on `hardware` for `batch` images; names and paths are loaded.

    Layers that are independent measurements are timed one after another, each alone, and equal
    ones once. `dataflow` replaces the hardware's own. A `memory` that the caller keeps makes
    further calls on alike machines faster, and changes no result. `trace` is where to write all
    tiles and transfers in Chrome's trace format. `mapping` forces sizes of tiles and how their
    loops run, by layer or pattern: a file, or a mapping such as {"conv*": {"rows": 7}}. `set` are
    settings of the hardware as of the command line, such as ["array.rows=64"]. `trace_dram` is
    where to write what crosses the DRAM port: .csv, DRAMsim3's .trc, Ramulator 2's .trace;
    `trace_sram`, .csv, what crosses the ports of the buffers. `tiles`
    keeps what each tile does in the result, for a page. Raises InputError for bad input and
    DoesNotFitError where no tile of a layer fits the buffers.
    """
    files = {"trace": trace, "trace_dram": trace_dram, "trace_sram": trace_sram}
    paths = {argument: str(path) for argument, path in files.items() if path is not None}
    _refuse_unwritable((network, hardware, mapping), paths)
    refuse_other_traces(paths)
    given, machine = network_of(network), hardware_of(hardware, dataflow, set)
    forced = None if mapping is None else load_mapping(mapping)
    parts = _each(parts_of(prepared(given), batch, forced), _Timing(machine, memory))
    runs = [programs for programs, _ in parts]
    write_traces(runs, paths)
    named = {"network": network, "mapping": mapping}
    asked = {key: str(each) for key, each in named.items() if isinstance(each, (str, Path))}
    return replace(
        one_after_another([result for _, result in parts], batch),
        origin=Origin(network=given, hardware=machine, settings=tuple(set), asked=asked),
        tiles=played_tiles([*chain.from_iterable(runs)]) if tiles else None,
        mapping=mapping_of(runs),
    )


@dataclass(frozen=True)
class _Timing:
    """Lowers and times what runs by itself on a machine, equal work once."""

    machine: Hardware
    memory: Memory | None
    done: dict[object, tuple[list[Program], RunResult]] = field(default_factory=dict)

    def __call__(
        self, part: Network, images: int, own: Source | None
    ) -> tuple[list[Program], RunResult]:
        """The programs of a part's batch, and its result; `own` is what is forced on it."""
        named = own and tuple(layer.name for layer in part.layers)
        work = images, named, tuple((layer.op, layer.input_shapes) for layer in part.layers)
        if work not in self.done:
            player = _player(self.memory)
            programs = _parts(part, self.machine, images, self.memory, player, own)
            results = [timed(program, player) for program in programs]
            self.done[work] = programs, one_batch(results, part, images)
        programs, result = self.done[work]
        return [program.of(part) for program in programs], result.of(part.layers)


@checked
def decoding(network: NetworkLike, past: int) -> Network:
    """What makes one token behind `past` ones of a causal network, to be simulated or verified.

    Keys and values of the past are network inputs, NAME@past. Raises InputError for a network
    that cannot be decoded, or for too many tokens.
    """
    return decoding_step(network_of(network), past)


@checked
def train(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer = "sgd",
    memory: Memory | None = None,
    set: Sequence[str] = (),
    tiles: bool = False,
    recompute: bool = False,
    mapping: MappingLike | None = None,
    trace: str | Path | None = None,
    trace_dram: str | Path | None = None,
    trace_sram: str | Path | None = None,
) -> RunResult:
    """Time one step of training: forward, loss, gradients and updates, as `simulate` would.

    `loss` is cross_entropy or squared_error, `optimizer` sgd, momentum or adam. With `recompute`
    what is not kept from block to block is computed again on the way back. The rest is as of
    `simulate`, and so is what it raises, beside InputError where a layer has no gradient.
    """
    step = training_step(network_of(network), loss, optimizer, recompute=recompute)
    return simulate(
        *(step, hardware, dataflow, batch, memory, trace, mapping),
        set=set,
        trace_dram=trace_dram,
        tiles=tiles,
        trace_sram=trace_sram,
    )


@checked
def compile_program(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    memory: Memory | None = None,
) -> Program:
    """The network prepared for inference and lowered as one Program.

    `simulate` times this one, but for layers that are independent measurements: these alone. Of a
    batch that runs in parts it is the first one's.
    """
    return compiled_parts(prepared(network), hardware_of(hardware, dataflow), batch, memory)[0]


def compiled_parts(
    ready: Network, machine: Hardware, batch: int, memory: Memory | None = None
) -> list[Program]:
    """As `compile_program`, of a prepared network, of all parts in which the batch runs."""
    refuse_beyond_limits(ready, batch)
    return _parts(ready, machine, batch, memory, _player(memory), None)


def program_with(
    layer: str,
    network: Network,
    machine: Hardware,
    batch: int,
    memory: Memory | None = None,
    mapping: Source | None = None,
) -> tuple[Program, LayerProgram]:
    """The Program that `simulate` times of which `layer` is one, of its first images; and `layer`.

    The name of what became a single layer stands for that. Raises InputError for one that does not
    exist, or became several.
    """
    parts = parts_of(prepared(network), batch, mapping)
    named = {each.name: part for part in parts for each in part[0].layers}
    inside = [each for each in named if each.startswith(f"{layer}/")]
    meant = inside[0] if layer not in named and len(inside) == 1 else layer
    if meant not in named:
        gone = absorbed(network).get(layer)
        message = f"layer {shown(layer)} {gone}" if gone else unknown("layer", layer, [*named])
        raise InputError(Problem(message=message, source=network.name))
    part, images, own = named[meant]
    program = _parts(part, machine, images, memory, _player(memory), own)[0]
    return program, next(each for each in program.layers if each.layer.name == meant)


def _player(memory: Memory | None) -> Player:
    """Who plays, as patient with compiled code as those before who had the memory."""
    return Player(memory.patience if memory else None)


def _parts(
    network: Network,
    machine: Hardware,
    batch: int,
    memory: Memory | None,
    player: Player,
    mapping: Source | None,
) -> list[Program]:
    """The Programs of the parts in which the batch runs: one, unless it is split."""
    sizes = candidates(network, batch, machine.batch_split)
    pieces = mapping.pieces if mapping else ()
    if pieces and pieces[0].images is not None:
        sizes = [forced_images(pieces[0], sizes)]
    if sizes == [batch]:
        own = pieces[0] if pieces else None
        return [_lowered(network, machine, batch, memory, player, own)]
    known = memory or Memory()

    def lowered(images: int) -> Program:
        if not pieces:
            return _lowered(network, machine, images, known, player, None)
        own = next((each for each in pieces if each.images == images), pieces[0])
        meant = replace(own, images=own.images or sizes[0])
        return _lowered(network, machine, images, known, player, meant)

    return cheapest(sizes, batch, lowered, player.cost_together)


def _lowered(
    network: Network,
    machine: Hardware,
    batch: int,
    memory: Memory | None,
    player: Player,
    mapping: Source | None,
) -> Program:
    """The Program of a network, under one dataflow or the best of each layer.

    Raises InputError for an objective of energy without a table.
    """
    objective = machine.array.objective
    if objective != "time" and machine.energy is None:
        message = f"{objective} needs an energy table; give energy, such as horowitz_45nm"
        raise InputError(Problem(message=message, source=machine.name, key="array.objective"))
    if mapping is not None and machine.depthwise == BEST and mapping.plan.on_lanes is None:
        message = "a mapping is of one unit's tiles; give on_lanes, or array or vector here"
        raise InputError(Problem(message=message, source=machine.name, key="depthwise"))
    if machine.array.dataflow != BEST:
        return lower(network, machine, batch, memory, player.cost, mapping)
    if mapping is not None:
        return forced_program(network, machine, batch, memory, player.cost, mapping)
    return best_program(
        network, machine, batch, memory, player.cost, lambda program: timed(program, player)
    )


def parts_of(ready: Network, batch: int, mapping: Source | None) -> list[Part]:
    """What of a prepared network runs by itself: its images, and what is forced on it.

    Raises InputError where it is beyond the limits.
    """
    refuse_beyond_limits(ready, batch)
    parts = ready.parts(batch)
    own = [None] * len(parts) if mapping is None else for_parts(mapping, parts)
    return [(*part, its) for part, its in zip(parts, own, strict=True)]


def _each(parts: Sequence[Part], make: Callable[[Network, int, Source | None], Made]) -> list[Made]:
    """`make` of every part; raises DoesNotFitError with all that does not fit."""
    made, misfits = [], []
    for part in parts:
        try:
            made.append(make(*part))
        except DoesNotFitError as error:
            misfits.append(str(error))
    if misfits:
        raise DoesNotFitError("\n".join(misfits))
    return made


def _refuse_unwritable(inputs: Sequence[object], paths: Mapping[str, str]) -> None:
    """Raise InputError for paths, by argument, that cannot be written to or are an input."""
    read = [str(each) for each in inputs if isinstance(each, (str, Path))]
    problems = [
        Problem(message=message, source=path, key=argument)
        for argument, path in paths.items()
        for message in obstacles(path, read)
    ]
    if problems:
        raise InputError(problems)


def refuse_beyond_limits(network: Network, batch: int) -> None:
    """Raise InputError for a batch, or layers, whose counts with their bytes need over 64 bits."""
    if not 1 <= batch <= LARGEST_BATCH:
        message = f"use at least 1 and at most {LARGEST_BATCH:,} images, found {batch:,}"
        raise InputError(Problem(message=message, key="batch"))
    problems = []
    counted = ((layer, each) for part, each in network.parts(batch) for layer in part.layers)
    for layer, images in counted:
        work = images * max(layer.macs + layer.zero_macs, layer.output_elements, layer.parameters)
        if work > LARGEST_LAYER:
            message = f"{work:,} operations or values are too many to simulate"
            problems.append(Problem(message=message, source=network.name, key=layer.name))
    if problems:
        raise InputError(problems)


@checked
def compare(
    networks: NetworkLike | Sequence[NetworkLike],
    hardware: HardwareLike | Sequence[HardwareLike],
    dataflows: str | Sequence[str] | None = None,
    batch: int = 1,
    progress: Callable[[str], None] = lambda run: None,
    set: Sequence[str] = (),
    tiles: bool = False,
) -> list[Comparison]:
    """Time every network on every hardware under several dataflows; all networks of one first.

    `dataflows` are names in a list or with commas between; all that the hardware has if None.
    `progress` hears of each run; `set` changes every hardware; `tiles` as of `simulate`. Raises
    InputError for bad input, and DoesNotFitError with every layer that does not fit under one.
    """
    models = [network_of(each) for each in several(networks)]
    machines = [variants(hardware_of(each, None, set), dataflows) for each in several(hardware)]
    memory, misfits = Memory(), list[str]()
    comparisons = []
    for each in machines:
        for model in models:
            runs = []
            for machine in each:
                try:
                    runs.append(simulate(model, machine, None, batch, memory, tiles=tiles))
                except DoesNotFitError as error:
                    flow = machine.array.dataflow
                    misfits += [f"{flow}: {line}" for line in str(error).splitlines()]
                progress(f"{model.name} on {machine.name}, {machine.array.dataflow}")
            comparisons.append(Comparison(tuple(runs), each[0].array.objective))
    if misfits:
        raise DoesNotFitError("\n".join(misfits))
    return comparisons


@checked
def verify(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
    mapping: MappingLike | None = None,
    set: Sequence[str] = (),
) -> VerifyResult:
    """Compute the timed schedule's values and hold every layer against the reference.

    Weights and inputs come from the network's file, else they are random integers (floats)
    from `seed`; `mapping` forces tiles as in `simulate`. Each layer is given the reference's
    ifmaps, so a wrong one does not hide in the next; `progress` is told after each how many are
    done, of how many. Raises what `simulate` does.
    """
    from accelsim.numerics.accuracy import accuracy  # not needed for timing
    from accelsim.numerics.calibration import told
    from accelsim.numerics.compare import checks, precision_arithmetic
    from accelsim.numerics.parameter_file import load_parameters

    network, machine = network_of(network), hardware_of(hardware, dataflow, set)
    refuse_integer_gradients(network, machine)
    forced, ready = None if mapping is None else load_mapping(mapping), prepared(network)
    programs = _each(
        parts_of(ready, batch, forced),
        lambda part, images, own: _parts(part, machine, images, None, Player(), own),
    )
    precision = machine.precision
    parameters = load_parameters(network, ready, precision_arithmetic(precision), seed)
    calibration = told(parameters)
    labelled = accuracy(ready, parameters)
    total = sum(len(first.layers) for first, *_ in programs)
    layers: list[LayerCheck] = []
    for check in chain.from_iterable(checks(first, parameters, rest) for first, *rest in programs):
        layers.append(check)
        progress(len(layers), total)
    return VerifyResult(
        network=network.name,
        hardware=machine.name,
        dataflow=machine.array.dataflow,
        batch=batch,
        seed=seed,
        formats=precision.flow,
        exact=precision.is_integer,
        layers=tuple(layers),
        accuracy=labelled,
        calibration=calibration,
    )


def refuse_integer_gradients(network: Network, machine: Hardware) -> None:
    """Raise InputError where a training step is to be computed in integers."""
    trains = any(layer.op.phase != "forward" for layer in network.layers)
    if trains and machine.precision.is_integer:
        message = (
            "gradients are small real numbers, which these integers cannot hold; set "
            "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
        )
        raise InputError(Problem(message=message, source=machine.name, key="precision"))

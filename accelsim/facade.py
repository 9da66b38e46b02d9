"""The public facade: simulate, compare and verify networks on hardware.

Names, paths, or what was loaded from them: a network walks from its file through the passes and
the lowering to a Program, from there to times or values, and to results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from accelsim.arguments import checked
from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.files import obstacles
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
from accelsim.hardware import Hardware
from accelsim.lowering.program import Program
from accelsim.lowering.recall import Memory
from accelsim.network.backward import training_step
from accelsim.network.decoding import decoding_step
from accelsim.network.graph import Network
from accelsim.network.ops.gradients import Loss, Optimizer
from accelsim.programs import Compiler, Part, Timing, compiled_parts, parts_of
from accelsim.results import LayerCheck, RunResult, VerifyResult
from accelsim.results.accounting import one_after_another
from accelsim.results.comparison import Comparison
from accelsim.results.mapping import mapping_of
from accelsim.results.origin import Origin
from accelsim.results.tiles import played_tiles
from accelsim.results.traces import refuse_other_traces, write_traces

Made = TypeVar("Made")


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
    parts = _each(parts_of(prepared(given), batch, forced), Timing(machine, memory))
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
        lambda part, images, own: Compiler.on(machine).parts(part, images, own),
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

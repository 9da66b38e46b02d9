"""From a network to its Program on a hardware: which tilings, what stays on chip, in which way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from accelsim.errors import DoesNotFitError, InputError
from accelsim.frontend.mapping_file import Source
from accelsim.hardware import Hardware, Objective
from accelsim.lowering.forced import ForcedSearch
from accelsim.lowering.forced_plan import ForcedPlan, forced_arrays
from accelsim.lowering.kept_weights import with_kept_weights
from accelsim.lowering.misfits import refuse_misfits, refuse_others
from accelsim.lowering.mixed import Processors
from accelsim.lowering.program import LayerProgram, Played, Program
from accelsim.lowering.recall import Memory
from accelsim.lowering.residency import can_keep, plan_residency
from accelsim.lowering.search import Search
from accelsim.lowering.target import AnyArray, Target, target_of
from accelsim.lowering.task import Step
from accelsim.lowering.work import Lowering
from accelsim.network.graph import Network

SLOWER = 1.02
"""How much more a network may cost with feature maps on chip than layer by layer."""


SHORT = 65536
"""Tasks of a program that is short: there chance decides how layers get past each other.

In a longer one it evens out, and it takes long to play.
"""


FEW = 4096
"""Tasks of a program that is also played on some of its arrays: more of them have work for all."""

QUITE_FEW = 256
"""Tasks of a program that is played on more numbers of its arrays: its shares are less even."""


def lower(
    network: Network,
    hardware: Hardware,
    batch: int = 1,
    memory: Memory | None = None,
    played: Played | None = None,
    mapping: Source | None = None,
    processors: Processors | None = None,
    models: Mapping[str, AnyArray] | None = None,
) -> Program:
    """Lower every layer of `network` onto `hardware` for `batch` images.

    Feature maps stay on chip unless that makes a short program dearer, as `played` says; and some
    of the arrays have nothing to do where that makes one faster. `memory` is what earlier calls
    have found, where the caller keeps it. `mapping` forces sizes of tiles, how their loops run, and
    what stays on chip; `processors` are of kernels under another dataflow, `models` of those that
    it may force on each. Raises DoesNotFitError naming each layer that no tile fits.
    """
    memory = Memory() if memory is None else memory
    target = target_of(hardware, memory.replays)
    if mapping is not None:
        mapping = replace(mapping, dataflows=(*(models or [hardware.array.dataflow]),))
        target = forced_arrays(mapping, target)
    work = Lowering(
        network=network,
        hardware=hardware,
        batch=batch,
        target=target,
        memory=memory,
        mapping=mapping,
        processors=processors or {},
        models=models or {},
    )
    if played is None:
        return _cheapest(work, None)
    found = [_found_by(each, work, played) for each in work.tried]
    return min(found, key=played)


def _found_by(objective: Objective, work: Lowering, played: Played) -> Program:
    """The program of least cost by an objective that it need not be judged by."""
    rates = None if objective == "time" else work.target.rates
    target = replace(work.target, objective=objective, rates=rates)
    program = _least(replace(work, target=target), played)
    own = replace(program.target, objective=work.target.objective, rates=work.target.rates)
    return replace(program, target=own, minimised=objective)


def _least(work: Lowering, played: Played) -> Program:
    """The Program of least cost; to save time, also on some of the arrays."""
    program, target = _cheapest(work, played), work.target
    if work.mapping is not None or target.objective != "time":
        return program
    for arrays in _fewer(_at_work(program), program.tiles):
        if program.tiles > FEW or played(program) * arrays <= program.least_array_cycles:
            break
        fewer = _cheapest(replace(work, target=replace(target, arrays=arrays)), played)
        program = min(program, fewer, key=played)
    return program


def _fewer(arrays: int, tiles: int) -> Iterator[int]:
    """How many of the arrays to try: four numbers from each power of two to the next, or it alone.

    Of up to eight that is any number of them.
    """
    odd = (1, 3, 5, 7) if tiles <= QUITE_FEW else (1,)
    for fewer in range(arrays - 1, 0, -1):
        if fewer // (fewer & -fewer) in odd:
            yield fewer


def _at_work(program: Program) -> int:
    """The most arrays that a layer gives anything to do."""
    return max(sum(bool(each.nest) for each in layer.schedules) for layer in program.layers)


def _cheapest(work: Lowering, played: Played | None) -> Program:
    """The Program on the arrays that the target has, in the cheapest of the ways that are open."""
    ways = [
        replace(each, fuses=fuses)
        for lanes, skips in product(work.ways(work.finder(played)), work.skippable)
        for each in [replace(work, lanes=lanes, skips=skips)]
        for fuses in each.fusions
    ]
    if len(ways) == 1:
        return _searched(ways[0], played)
    programs = list(_fitting(ways, played))
    return programs[0] if played is None else min(programs, key=played)


def _fitting(ways: Sequence[Lowering], played: Played | None) -> Iterator[Program]:
    """The programs of those that fit; raises what the last one does where there are none."""
    found = False
    for way in ways:
        try:
            program = _searched(way, played)
        except DoesNotFitError:
            if way is ways[-1] and not found:
                raise
        else:
            found = True
            yield program


def _searched(work: Lowering, played: Played | None) -> Program:
    """The Program of least cost, or the one that is forced."""
    finder = work.finder(played)
    if work.mapping is None:
        return _lowered(work, finder, played)
    forced = ForcedSearch(finder.target, finder.memory, finder.alone, work.seen)
    by_plan = work.mapping.plan.on_chip is not None
    program = (_as_forced if by_plan else _lowered)(work, forced, played)
    refuse_others(program, forced)
    return program


def _lowered(work: Lowering, finder: Search, played: Played | None) -> Program:
    network, hardware, batch = work.network, work.hardware, work.batch
    refuse_misfits(network, hardware, work.kernels, finder)
    if hardware.residency == "off" or not can_keep(work.target):
        return work.apart(finder)
    plan = plan_residency(work.wired, work.kernels, work.needs, finder, batch)
    planned = _with_kept_weights(work, work.planned(plan), played)
    if played is None or not plan.stays or planned.tiles > SHORT:
        return planned
    limit = played(planned) / SLOWER
    apart = work.apart(finder)
    in_time = work.target.objective == "time"
    is_cheap = (in_time and limit <= _least_cycles(apart)) or limit <= played(apart)
    return planned if is_cheap else apart


def _as_forced(work: Lowering, finder: ForcedSearch, played: Played | None) -> Program:
    """The program with what the mapping forces to stay on chip, and nothing else."""
    assert work.mapping is not None
    refuse_misfits(work.network, work.hardware, work.kernels, finder)
    forced = ForcedPlan(
        source=work.mapping,
        network=work.wired,
        kernels=work.kernels,
        needs=work.needs,
        finder=finder,
        batch=work.batch,
        hardware=work.hardware,
    )
    plan = forced.plan()
    program = work.planned(plan) if plan.stays else work.apart(finder)
    weights = work.mapping.plan.shared_weights
    if weights == "fetched":
        return program
    if weights is None:
        return _with_kept_weights(work, program, played)
    kept = with_kept_weights(program, work.anew)
    if kept is program:
        message = "no weight that several layers read has room beside their tiles"
        raise InputError(work.mapping.problem(("shared_weights",), message))
    return kept


def _with_kept_weights(work: Lowering, program: Program, played: Played | None) -> Program:
    """The program with shared weights on chip, unless that makes a short one dearer."""
    kept = with_kept_weights(program, work.anew)
    if kept is program or played is None or kept.tiles > SHORT:
        return kept
    return kept if played(kept) <= SLOWER * played(program) else program


def _least_cycles(program: Program) -> int:
    """Cycles that a program without residency takes at least.

    That is what each unit and DRAM are busy, and what layers in a row take. Only filters can come
    while the inputs are computed.
    """
    busy = {"array": 0, "vector": 0, "DRAM": 0}
    ends: list[int] = []
    for layer in program.layers:
        start = max((ends[need] for need in layer.needs), default=0)
        ends.append(start)
        busy["DRAM"] += layer.dram_cycles(program.target)
        if layer.unit is not None:
            busy[layer.unit] += max(schedule.cycles for schedule in layer.schedules)
            ends[-1] += _least_alone(layer, program.target)
    return max(*busy.values(), *ends)


def _least_alone(layer: LayerProgram, target: Target) -> int:
    """Cycles that a layer takes at least from when its inputs are there.

    The first tile comes before there is work, and the last one leaves after it. No store leaves
    before the first tile has come, but other loads may fill the latency until then.
    """
    steps = [next(schedule.steps) for schedule in layer.schedules if schedule.nest]
    first = min(_input_cycles(step, target) for step in steps)
    latency_in = target.dram_latency if first else 0
    counts = [pair for schedule in layer.schedules for pair in schedule.counts]
    loads = sum(count * _input_cycles(step, target) for step, count in counts)
    work = max(schedule.cycles for schedule in layer.schedules)
    moved = layer.dram_cycles(target, filters=False)
    hidden = min(latency_in, loads - first)
    return max(work + latency_in, moved + latency_in - hidden) + target.dram_latency


def _input_cycles(step: Step, target: Target) -> int:
    """Cycles that a step's loads of the layer's inputs occupy the DRAM channel."""
    return sum(target.occupied_cycles(load) for load in step.loads if load.needs_inputs)

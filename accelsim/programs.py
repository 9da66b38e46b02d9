"""From a prepared network to the Programs of what runs by itself, in the parts of its batch."""

from dataclasses import dataclass, field, replace

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import unknown
from accelsim.frontend.mapping_file import Source
from accelsim.given import prepared
from accelsim.hardware import BEST, Hardware
from accelsim.lowering.forced import for_parts
from accelsim.lowering.lower import lower
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.recall import Memory
from accelsim.network.graph import Network
from accelsim.network.ops.fields import LARGEST_BATCH
from accelsim.network.passes import absorbed
from accelsim.results import RunResult
from accelsim.results.best_dataflow import best_program, forced_program
from accelsim.results.player import Player, timed
from accelsim.results.sub_batches import candidates, cheapest, forced_images, one_batch
from accelsim.text import shown

LARGEST_LAYER = 2**53

Part = tuple[Network, int, Source | None]
"""What runs by itself: a network, its images, and what is forced on it."""


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


def parts_of(ready: Network, batch: int, mapping: Source | None) -> list[Part]:
    """What of a prepared network runs by itself: its images, and what is forced on it.

    Raises InputError where it is beyond the limits.
    """
    refuse_beyond_limits(ready, batch)
    parts = ready.parts(batch)
    own = [None] * len(parts) if mapping is None else for_parts(mapping, parts)
    return [(*part, its) for part, its in zip(parts, own, strict=True)]


@dataclass(frozen=True)
class Compiler:
    """Lowers networks onto a machine, with what earlier calls have found and who plays what."""

    machine: Hardware
    memory: Memory | None
    player: Player

    @classmethod
    def on(cls, machine: Hardware, memory: Memory | None = None) -> "Compiler":
        """Whose player is as patient with compiled code as those before who had the memory."""
        return cls(machine, memory, Player(memory.patience if memory else None))

    def parts(self, network: Network, batch: int, mapping: Source | None = None) -> list[Program]:
        """The Programs of the parts in which the batch runs: one, unless it is split."""
        sizes = candidates(network, batch, self.machine.batch_split)
        pieces = mapping.pieces if mapping else ()
        if pieces and pieces[0].images is not None:
            sizes = [forced_images(pieces[0], sizes)]
        if sizes == [batch]:
            return [self.program(network, batch, pieces[0] if pieces else None)]
        known = replace(self, memory=self.memory or Memory())

        def lowered(images: int) -> Program:
            if not pieces:
                return known.program(network, images, None)
            own = next((each for each in pieces if each.images == images), pieces[0])
            return known.program(network, images, replace(own, images=own.images or sizes[0]))

        return cheapest(sizes, batch, lowered, self.player.cost_together)

    def program(self, network: Network, batch: int, mapping: Source | None) -> Program:
        """The Program of a network, under one dataflow or the best of each layer.

        Raises InputError for an objective of energy without a table.
        """
        machine, memory, cost = self.machine, self.memory, self.player.cost
        _refuse_contradictions(machine, mapping)
        if machine.array.dataflow != BEST:
            return lower(network, machine, batch, memory, cost, mapping)
        if mapping is not None:
            return forced_program(network, machine, batch, memory, cost, mapping)
        return best_program(
            network, machine, batch, memory, cost, lambda program: timed(program, self.player)
        )


def _refuse_contradictions(machine: Hardware, mapping: Source | None) -> None:
    objective = machine.array.objective
    if objective != "time" and machine.energy is None:
        message = f"{objective} needs an energy table; give energy, such as horowitz_45nm"
        raise InputError(Problem(message=message, source=machine.name, key="array.objective"))
    if mapping is not None and machine.depthwise == BEST and mapping.plan.on_lanes is None:
        message = "a mapping is of one unit's tiles; give on_lanes, or array or vector here"
        raise InputError(Problem(message=message, source=machine.name, key="depthwise"))


@dataclass(frozen=True)
class Timing:
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
            compiler = Compiler.on(self.machine, self.memory)
            programs = compiler.parts(part, images, own)
            results = [timed(program, compiler.player) for program in programs]
            self.done[work] = programs, one_batch(results, part, images)
        programs, result = self.done[work]
        return [program.of(part) for program in programs], result.of(part.layers)


def compiled_parts(
    ready: Network, machine: Hardware, batch: int, memory: Memory | None = None
) -> list[Program]:
    """As `compile_program`, of a prepared network, of all parts in which the batch runs."""
    refuse_beyond_limits(ready, batch)
    return Compiler.on(machine, memory).parts(ready, batch)


def program_with(
    layer: str, network: Network, batch: int, compiler: Compiler, mapping: Source | None = None
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
    program = compiler.parts(part, images, own)[0]
    return program, next(each for each in program.layers if each.layer.name == meant)

"""Weights that several layers compute with, on chip from the first of these layers to the last.

An unrolled LSTM multiplies with one matrix at each time. Where that fits in the filters' buffer
beside the tiles of all layers that may run meanwhile, the first layer brings it and the others
find it there. It lies at the bottom of the buffer; tiles lie above it. A layer whose tiles leave no
room for it is done before, or brings nothing there until all who use it are done.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from accelsim.lowering.gates import order_of
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import LayerProgram, Program
from accelsim.lowering.residency import Placement
from accelsim.lowering.target import FilterPlace
from accelsim.network.ops import Dense


@dataclass(frozen=True, slots=True)
class Kept:
    """A weight of `size` bytes that stays for its `users`, the first of which brings it.

    Layers `before` are done when it comes; those `behind` wait until all users are done.
    """

    users: tuple[int, ...]
    size: int
    before: tuple[int, ...] = ()
    behind: tuple[int, ...] = ()


def with_kept_weights(
    program: Program, layer: Callable[[LayerProgram, Placement], LayerProgram]
) -> Program:
    """`program` with every shared weight on chip for which there is room; itself if there is none.

    `layer` makes the program of a layer anew, in another place.
    """
    search = _Search(program)
    if not search.run():
        return program
    return replace(program, layers=tuple(search.layers(layer)))


@dataclass
class _Search:
    """`spaces` is the room that each layer still has in the filters' buffer for tiles.

    `needs` is what it needs there: all of its weight, if that may yet stay.
    """

    program: Program
    kept: list[Kept] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.buffer = self.program.target.buffer_index("filter")
        self.spaces = [layer.spaces[self.buffer] for layer in self.program.layers]

    def run(self) -> bool:
        """Keep one weight after another; whether there is any."""
        sizes = {
            users: self.program.layers[users[0]].dram.filter_read_bytes
            for users in _groups(self.program)
        }
        if sizes:
            self.needs = [_most_room(each, self.buffer) for each in self.program.layers]
        for users, size in sizes.items():
            for index in users:
                self.needs[index] = max(self.needs[index], size)
        for users, size in sizes.items():
            self.keep(users, size)
        return bool(self.kept)

    def keep(self, users: tuple[int, ...], size: int) -> None:
        """Keep a weight, if there is room: it is taken from all layers that may run meanwhile."""
        layers = self.program.layers
        for index in users:
            self.needs[index] = _most_room(layers[index], self.buffer, filters=False)
        crowded = {
            index
            for index, layer in enumerate(layers)
            if layer.unit and self.needs[index] + size > self.spaces[index]
        }
        if any(users[0] <= index <= users[-1] for index in crowded):
            for index in users:
                self.needs[index] = _most_room(layers[index], self.buffer)
            return
        before = tuple(sorted(index for index in crowded if index < users[0]))
        behind = tuple(sorted(index for index in crowded if index > users[-1]))
        self.kept.append(Kept(users, size, before, behind))
        for index, layer in enumerate(layers):
            if layer.unit and index not in crowded:
                self.spaces[index] -= size

    def layers(
        self, layer: Callable[[LayerProgram, Placement], LayerProgram]
    ) -> Iterator[LayerProgram]:
        """Every layer, with its room and whom it waits for."""
        places = {index: self.place(kept, index) for kept in self.kept for index in kept.users}
        for index, program in enumerate(self.program.layers):
            placement = program.placement
            where, saved = places.get(index, ("fetched", 0))
            behind, before = self.follows(index)
            placement = replace(
                placement,
                residence=replace(placement.residence, filter=where),
                follows=(*placement.follows, *behind),
                filters_follow=(*placement.filters_follow, *before, *behind),
                saved_bytes=placement.saved_bytes + saved,
            )
            made = layer(program, placement) if placement != program.placement else program
            spaces = list(made.spaces)
            spaces[self.buffer] = self.spaces[index]
            yield replace(made, spaces=tuple(spaces))

    def place(self, kept: Kept, index: int) -> tuple[FilterPlace, int]:
        """Where a user has its filters, and the bytes that it saves."""
        return ("kept", 0) if index == kept.users[0] else ("there", kept.size)

    def follows(self, index: int) -> tuple[list[int], list[int]]:
        """Users that are done before a layer brings anything; others done before its weight."""
        behind = {kept.users[-1] for kept in self.kept if index in kept.behind}
        before = {each for kept in self.kept if index == kept.users[0] for each in kept.before}
        return sorted(behind), sorted(before - behind)


def _most_room(layer: LayerProgram, buffer: int, filters: bool = True) -> int:
    """Bytes of a buffer for two tiles, where most, of `filters` or of all but these."""
    most: dict[str, int] = {}
    for steps in layer.steps:
        for step, _ in steps:
            for load in step.loads:
                if load.room.buffer == buffer and (filters or load.operand != "filter"):
                    most[load.operand] = max(most.get(load.operand, 0), load.room.size)
            opened = sum(room.size for room in step.opens if room.buffer == buffer)
            most["opened"] = max(most.get("opened", 0), opened)
    return 2 * sum(most.values())


# --- Who shares -----------------------------------------------------------------------------------


def _groups(program: Program) -> Iterator[tuple[int, ...]]:
    """Layers, in order, that compute with one weight, which each of them brings once, and whole.

    All of them come after the first, and with several arrays each has the same part of it.
    """
    groups: dict[str, list[int]] = {}
    for index, layer in enumerate(program.layers):
        if isinstance(layer.layer.op, Dense) and program.target.processor.keeps_weights:
            groups.setdefault(layer.layer.op.shares or layer.layer.name, []).append(index)
    found = [users for users in groups.values() if len(users) > 1]
    before = order_of([layer.needs for layer in program.layers]).before if found else ()
    for users in found:
        layers = [program.layers[each] for each in users]
        ordered = all(before[each] >> users[0] & 1 for each in users[1:])
        tilings = {layer.tiling for layer in layers}
        alike = len(tilings) == 1 or {layer.tiling.arrays for layer in layers} == {1}  # type: ignore[union-attr]
        if ordered and alike and all(_brings_once(program, layer) for layer in layers):
            yield tuple(users)


def _brings_once(program: Program, layer: LayerProgram) -> bool:
    kernel = layer.kernel
    assert isinstance(kernel, GemmKernel)
    weights = kernel.groups * kernel.filters * kernel.channels * kernel.taps
    return layer.dram.filter_read_bytes == weights * program.target.bytes_of("filter")

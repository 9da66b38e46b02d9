"""A training step that keeps only what goes from block to block, and computes the rest again.

A block is what a network file has as one (all that NAME/ begins), or as many plain layers in a row
as the root of all (T. Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016). Before
gradients go back through a block its layers are computed once more, from what came into it; those
of the last block are still there. What the loss and updates read is kept, too, and all of a block
without which the step holds no more.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from accelsim.network.graph import Again, Layer, LayerSpec, Network, build_network

_KEEPING = ("loss", "update")
"""Phases whose layers read what the forward pass has made."""
_LOSS = "loss/"
"""What the name of a loss's own softmax begins with."""


def with_recompute(step: Network) -> Network:
    """The step with forward layers NAME@again before the gradients that read them.

    Requires: a training step whose layers are in the order in which they were made. Ensures: the
    same values of all its layers, and no more of them held at once.
    """
    specs = _Blocks(step).least()
    return build_network(step.name, step.inputs, specs, step.description, weights=step.weights)


class _Blocks:
    """The blocks of a step's forward pass, any of which may be computed again."""

    def __init__(self, step: Network) -> None:
        self.step = step
        self.forward = {layer.name: layer for layer in step.layers if layer.phase == "forward"}
        self.numbers = blocks_of(list(self.forward.values()))

    def least(self) -> list[LayerSpec]:
        """The step that holds least: blocks are computed again, but those that save nothing."""
        names = (name for name in self.numbers if not name.startswith(_LOSS))
        last = max((self.numbers[name] for name in names), default=0)
        chosen = set(range(last))
        best = self.specs(chosen)
        for number in range(last):
            others = self.specs(chosen - {number})
            if self.held(others) <= self.held(best):
                chosen, best = chosen - {number}, others
        whole = self.specs(())
        return best if self.held(best) < self.held(whole) else whole

    def specs(self, chosen: Collection[int]) -> list[LayerSpec]:
        """The step that computes the `chosen` blocks again."""
        again = _Again(self.forward, self._kept(chosen))
        for layer in self.step.layers:
            again.add(layer)
        return again.specs

    def held(self, specs: Sequence[LayerSpec]) -> tuple[int, int]:
        """Values of one image that such a step holds: with the largest block's, and without."""
        later = (spec for spec in specs if spec.op.phase != "forward" or spec.again is not None)
        read = {name for spec in later for name in spec.inputs}
        kept = sum(layer.output_elements for name, layer in self.forward.items() if name in read)
        return kept + _largest(specs, self.forward, self.numbers), kept

    def _kept(self, chosen: Collection[int]) -> set[str]:
        """Tensors of the forward pass that stay until the backward pass reads them."""
        blocks = self.numbers
        kept = {name for name, block in blocks.items() if block not in chosen}
        for layer in self.step.layers:
            for name in self.forward.keys() & set(layer.inputs):
                if layer.phase in _KEEPING or blocks.get(layer.name, blocks[name]) != blocks[name]:
                    kept.add(name)
        return kept


def blocks_of(forward: Sequence[Layer]) -> Mapping[str, int]:
    """The number of each layer's block, in order."""
    names = {layer.name for layer in forward}
    length = math.isqrt(max(len(forward) - 1, 0)) + 1
    numbers, found = count(-1), {}
    number, before, size = next(numbers), "", length
    for layer in forward:
        block = _block_name(layer.name, names)
        size += 1
        if block != before or (not block and size > length):
            number, before, size = next(numbers), block, 1
        found[layer.name] = number
    return found


def _block_name(name: str, names: set[str]) -> str:
    """The first part of a name; "" where it is a plain layer's, or of a function behind one."""
    first, slash, _ = name.partition("@")[0].partition("/")
    return first if slash and first not in names else ""


@dataclass
class _Again:
    """The step in the making."""

    forward: Mapping[str, Layer]
    kept: set[str]
    specs: list[LayerSpec] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)

    def add(self, layer: Layer) -> None:
        """A layer, behind what it reads and is not there any more."""
        inputs = layer.inputs
        if layer.phase not in ("forward", *_KEEPING):
            gradient = next((name for name in inputs if name not in self.forward), None)
            inputs = tuple(self.again(name, gradient) for name in inputs)
        self.specs.append(LayerSpec(layer.name, layer.op, inputs, layer.again))

    def again(self, name: str, after: str | None) -> str:
        """What has a tensor: itself, or a layer that computes it again when `after` is done."""
        if name not in self.forward or name in self.kept:
            return name
        if name not in self.made:
            layer = self.forward[name]
            inputs = tuple(self.again(each, after) for each in layer.inputs)
            self.made[name] = f"{name}@again"
            self.specs.append(LayerSpec(self.made[name], layer.op, inputs, Again(name, after)))
        return self.made[name]


def recomputed(step: Network) -> int:
    """Values of one image, computed again, that the backward pass reads: of the largest block.

    Those of the block before come when its gradients are needed.
    """
    forward = {layer.name: layer for layer in step.layers if layer.phase == "forward"}
    return _largest(step.layers, forward, blocks_of(list(forward.values())))


def _largest(
    specs: Sequence[Layer | LayerSpec], forward: Mapping[str, Layer], blocks: Mapping[str, int]
) -> int:
    """Values that a step has again of the block that has most."""
    read = {name for spec in specs if spec.again is None for name in spec.inputs}
    sizes: dict[int, int] = {}
    for spec in specs:
        if spec.again is not None and spec.name in read:
            name = spec.again.of
            sizes[blocks[name]] = sizes.get(blocks[name], 0) + forward[name].output_elements
    return max(sizes.values(), default=0)

"""The graph of layers: names resolved, shapes inferred and checked, in an order that can run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from accelsim.errors import AccelsimError, ShapeError
from accelsim.network.interface import Interface
from accelsim.network.ops import BatchNorm, Conv, Dense, Embedding, Op, Phases, Shape
from accelsim.text import html_table, nearest, shown, visible

_MOST_HINTS = 20


@dataclass(frozen=True, slots=True)
class Again:
    """That a layer computes once more what the layer `of` has, with its parameters.

    It does not begin before the layer `after` is done.
    """

    of: str
    after: str | None = None


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A layer before its shapes are known; `inputs` name layers or network inputs."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with its shapes (batch left out)."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    again: Again | None = field(default=None, repr=False)

    @property
    def phase(self) -> str:
        """The part of a training step that it belongs to."""
        return self.op.phase if self.again is None else "recompute"

    @property
    def owner(self) -> str:
        """The layer whose parameters it computes with: itself, if no other's."""
        return self.op.owner_of_parameters or (self.again.of if self.again else self.name)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.op.macs(self.input_shapes)

    @property
    def zero_macs(self) -> int:
        """Multiply-accumulates by inserted zeros for one image, beside those of `macs`."""
        return self.op.zero_macs(self.input_shapes)

    @property
    def parameter_shapes(self) -> Mapping[str, Shape]:
        """Shapes of the learned arrays by name."""
        return self.op.parameter_shapes(self.input_shapes)

    @property
    def parameters(self) -> int:
        """Learned values of its own, bias included."""
        return sum(math.prod(shape) for shape in learned_shapes(self, statistics=False).values())

    @property
    def output_elements(self) -> int:
        """Values of the ofmap for one image."""
        return math.prod(self.output_shape)


def learned_shapes(layer: Layer, statistics: bool = True) -> Mapping[str, Shape]:
    """Shapes by name of all a layer has learned, the `statistics` of batch_norm included."""
    if layer.again is not None:
        return {}
    shapes = layer.parameter_shapes
    if statistics and isinstance(layer.op, BatchNorm):
        return {**shapes, "mean": shapes["gamma"], "variance": shapes["gamma"]}
    return shapes


class GraphError(AccelsimError):
    """Layers that do not fit together; `problems` pairs a layer's name with what is wrong."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{layer}: {message}" for layer, message in problems))


class Stored(ABC):
    """Where a framework's model has the arrays of a network's layers; its text is the file."""

    @abstractmethod
    def opened(self) -> Mapping[str, NDArray[Any]]:
        """The arrays by `<layer>.weight` and so on, each read when it is asked for."""

    @abstractmethod
    def codes(self, signed: bool, signed_filter: bool) -> Mapping[str, NDArray[Any]]:
        """The same as 8-bit codes and what they stand for; empty where the model has none."""

    def limits(self) -> Mapping[str, NDArray[Any]]:
        """Where real numbers are cut as codes would be: by `<layer>.output_lowest`, `_highest`,
        and `<input>.lowest`, `.highest`; () each.
        """
        return {}


@dataclass(frozen=True, repr=False)
class Network:
    """Layers in topological order. `inputs` maps each network input to its shape.

    `weights` is the .npz file of parameters beside the network file, if it names one, or what a
    framework's model holds. `images` is
    None but where the layers are measurements that do not depend on each other: then it says how
    many images each of them takes at a time, times the batch of the run. `family` is how lists
    group it under. `training` is the network with what only training has, such as auxiliary
    classifiers, and `loss_weights` says there by how much the loss of such an output counts.
    `interface` is how a framework's file has inputs and outputs; None where they are as here.
    """

    name: str
    inputs: Mapping[str, Shape]
    layers: tuple[Layer, ...]
    description: str = ""
    weights: Path | Stored | None = field(default=None)
    images: Mapping[str, int] | None = None
    family: str = ""
    training: "Network | None" = None
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    interface: Interface | None = None

    def __repr__(self) -> str:
        """One line, however many layers there are."""
        counted = f"{self.macs:,} MACs, {self.parameters:,} parameters"
        return f"<Network {visible(self.name)}: {len(self.layers)} layers, {counted}>"

    def _repr_html_(self) -> str:
        """The layers as a table, for notebooks."""
        headers = ("layer", "op", "output", "parameters", "MACs")
        rows = (
            (
                *(layer.name, layer.op.name, "x".join(map(str, layer.output_shape))),
                *(f"{layer.parameters:,}", f"{layer.macs:,}"),
            )
            for layer in self.layers
        )
        return html_table(repr(self).strip("<>"), headers, rows)

    def parts(self, batch: int) -> "list[tuple[Network, int]]":
        """What runs for itself, and its images: the network, or each independent layer alone."""
        if self.images is None:
            return [(self, batch)]
        return [(self._alone(layer), batch * self.images[layer.name]) for layer in self.layers]

    def _alone(self, layer: Layer) -> "Network":
        inputs = {name: self.inputs[name] for name in layer.inputs}
        return Network(
            name=self.name,
            inputs=inputs,
            layers=(layer,),
            description=self.description,
            weights=self.weights,
        )

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[str, ...]]:
        """For each tensor (network input or layer) the layers that read it, in order."""
        readers: dict[str, list[str]] = {name: [] for name in (*self.inputs, *self.by_name)}
        for layer in self.layers:
            for name in layer.inputs:
                if layer.name not in readers[name]:
                    readers[name].append(layer.name)
        return {name: tuple(layers) for name, layers in readers.items()}

    @cached_property
    def entries(self) -> Mapping[str, int]:
        """Network inputs that number the entries of a table, and how many entries it has."""
        found: dict[str, int] = {}
        for layer in self.layers:
            if isinstance(layer.op, Embedding):
                name = layer.inputs[0]
                found[name] = min(found.get(name, layer.op.entries), layer.op.entries)
        return found

    @property
    def outputs(self) -> tuple[str, ...]:
        """Layers that no other layer reads."""
        return tuple(layer.name for layer in self.layers if not self.consumers[layer.name])

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(layer.macs for layer in self.layers)

    @property
    def zero_macs(self) -> int:
        """Multiply-accumulates by inserted zeros for one image, beside those of `macs`."""
        return sum(layer.zero_macs for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Learned values, bias included."""
        return sum(layer.parameters for layer in self.layers)


def build_network(
    name: str,
    inputs: Mapping[str, Shape],
    specs: Sequence[LayerSpec],
    description: str = "",
    weights: Path | Stored | None = None,
) -> Network:
    """Resolve names, order the layers (the given order where it can run) and infer shapes.

    Raises GraphError with every unknown input, duplicate name, cycle and misfit of shapes.
    A layer behind a faulty one is not reported again.
    """
    problems = _naming_problems(inputs, specs)
    ordered, cyclic = _topological(inputs, specs)
    problems += [
        (spec.name, f"lies on a cycle through {_cycle(spec, cyclic)}; let it read another layer")
        for spec in cyclic
    ]
    shapes: dict[str, Shape] = dict(inputs)
    layers = []
    for spec in ordered:
        if not all(source in shapes for source in spec.inputs):
            continue  # behind a layer that is reported already
        try:
            layer = _with_shapes(spec, shapes)
        except ShapeError as error:
            problems.append((spec.name, str(error)))
            continue
        shapes[spec.name] = layer.output_shape
        if layer.output_elements:
            layers.append(layer)
        elif not any(isinstance(each.op, Phases) and spec.name in each.inputs for each in specs):
            problems.append((spec.name, "begins behind the ofmap's end; leave it out"))
    problems += _numbering_problems(inputs, specs)
    if not problems:
        problems += _sharing_problems(layers)
    if problems:
        raise GraphError(problems)
    return Network(
        name=name,
        inputs=dict(inputs),
        layers=tuple(layers),
        description=description,
        weights=weights,
    )


def _with_shapes(spec: LayerSpec, shapes: Mapping[str, Shape]) -> Layer:
    """The layer of `spec`. Phases that a small ofmap has not have no values, and are left out."""
    op, inputs = spec.op, spec.inputs
    seen = tuple(shapes[source] for source in inputs)
    shape = op.output_shape(seen)
    if isinstance(op, Phases):
        op = op.of(seen)
        inputs = tuple(source for source in inputs if 0 not in shapes[source])
    for source in inputs:
        if 0 in shapes[source]:
            raise ShapeError(f"reads {shown(source)}, a phase that begins behind the ofmap's end")
    return Layer(
        name=spec.name,
        op=op,
        inputs=inputs,
        input_shapes=tuple(shapes[source] for source in inputs),
        output_shape=shape,
        again=spec.again,
    )


def _naming_problems(
    inputs: Mapping[str, Shape], specs: Sequence[LayerSpec]
) -> list[tuple[str, str]]:
    known = {*inputs, *(spec.name for spec in specs)}
    seen = set(inputs)
    problems = []
    for spec in specs:
        if spec.name in seen:
            problems.append((spec.name, "this name is taken already; give each layer its own"))
        seen.add(spec.name)
        for source in spec.inputs:
            if source not in known:
                near = nearest(source, known) if len(problems) < _MOST_HINTS else None
                hint = f"; did you mean {near!r}?" if near else ""
                problems.append((spec.name, f"unknown input {shown(source)}{hint}"))
    return problems


def _numbering_problems(
    inputs: Mapping[str, Shape], specs: Sequence[LayerSpec]
) -> Iterator[tuple[str, str]]:
    """Computing with network inputs that number entries of a table."""
    numbers = {spec.inputs[0] for spec in specs if isinstance(spec.op, Embedding) and spec.inputs}
    for spec in specs:
        if not spec.op.reads_numbers and not numbers.isdisjoint(
            {*spec.inputs}.intersection(inputs)
        ):
            yield (
                spec.name,
                "computes with a network input that numbers entries of a table; let it read an "
                "as_values layer of it",
            )


def _sharing_problems(layers: Sequence[Layer]) -> Iterator[tuple[str, str]]:
    """Layers that compute with a weight or bias which is not there, or has another shape."""
    shapes = {layer.name: layer.parameter_shapes for layer in layers}
    for layer in layers:
        if not isinstance(layer.op, (Conv, Dense)) or layer.op.shares is None:
            continue
        owner, wanted = layer.op.shares, layer.op.weight_shape(layer.input_shapes)
        weight = shapes.get(owner, {}).get("weight")
        if weight != wanted:
            found = f"has {weight}" if weight else "is no layer with a weight"
            yield layer.name, f"needs a weight of shape {wanted}, but {shown(owner)} {found}"
        elif layer.op.bias and "bias" not in shapes[owner]:
            yield layer.name, f"takes the bias of {shown(owner)}, which has none; say bias: false"


def _topological(
    inputs: Mapping[str, Shape], specs: Sequence[LayerSpec]
) -> tuple[list[LayerSpec], list[LayerSpec]]:
    """Specs in an order that can run, and those that lie on a cycle.

    It is the order of reading them again and again, each time taking those whose inputs exist.
    """
    rounds = _rounds(inputs, specs)
    ordered = sorted(rounds, key=lambda index: (rounds[index], index))
    waiting = [spec for index, spec in enumerate(specs) if index not in rounds]
    on_cycle = [spec for spec in waiting if spec.name in _reachable(spec, waiting)]
    return [specs[index] for index in ordered], on_cycle


def _rounds(inputs: Mapping[str, Shape], specs: Sequence[LayerSpec]) -> dict[int, int]:
    """For each spec that can run, by index, in which round of reading them all it is taken."""
    missing = [set(spec.inputs).difference(inputs) for spec in specs]
    readers: dict[str, list[int]] = {}
    for index, names in enumerate(missing):
        for name in names:
            readers.setdefault(name, []).append(index)
    rounds = {index: 0 for index, names in enumerate(missing) if not names}
    ready = list(rounds)
    earliest = dict.fromkeys(range(len(specs)), 0)
    for index in ready:  # and those that are added below
        name = specs[index].name
        for reader in readers.get(name, ()):
            if name in missing[reader]:  # the first of this name
                missing[reader].remove(name)
                after = rounds[index] + (index > reader)
                earliest[reader] = max(earliest[reader], after)
                if not missing[reader]:
                    rounds[reader] = earliest[reader]
                    ready.append(reader)
    return rounds


def _reachable(spec: LayerSpec, specs: Sequence[LayerSpec]) -> set[str]:
    """Names among `specs` that `spec` depends on, through any number of layers."""
    by_name = {other.name: other for other in specs}
    found: set[str] = set()
    frontier = [spec]
    while frontier:
        for source in frontier.pop().inputs:
            if source in by_name and source not in found:
                found.add(source)
                frontier.append(by_name[source])
    return found


def _cycle(spec: LayerSpec, cyclic: Sequence[LayerSpec]) -> str:
    others = [name for name in spec.inputs if name in {other.name for other in cyclic}]
    return ", ".join(repr(name) for name in others)

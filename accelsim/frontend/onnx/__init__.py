"""Models in ONNX as networks: one table from operators to layers, and what that cannot do is said.

`file` reads, `graph` makes every shape a number and folds what is constant, `reading` finds the
batch, `rules` turn nodes into layers, `coverage` tells what they could not, `learned` says where
the layers' arrays are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.errors import Coverage, InputError, Problem
from accelsim.frontend.onnx.constants import Store
from accelsim.frontend.onnx.coverage import coverage, uncovered, why_not_free
from accelsim.frontend.onnx.cutting import as_options, place_to_cut
from accelsim.frontend.onnx.file import ModelFile, read_model
from accelsim.frontend.onnx.fusion import fused
from accelsim.frontend.onnx.graph import Graph, resolved
from accelsim.frontend.onnx.layers import CODES, DTYPES, Layers, kept_shape
from accelsim.frontend.onnx.learned import Learned, OnnxWeights, Recipes
from accelsim.frontend.onnx.quantized import limits, quantized
from accelsim.frontend.onnx.reading import read_as_layers
from accelsim.network.graph import (
    GraphError,
    LayerSpec,
    Network,
    Stored,
    build_network,
    learned_shapes,
)
from accelsim.network.interface import FileOutput, Interface
from accelsim.network.ops import AsValues, Embedding, Shape

__all__ = ["load_onnx"]


WHOLE = "no axis of its inputs is the batch: all that they have is one image here"


def load_onnx(
    path: Path,
    dims: Mapping[str, int] | None = None,
    outputs: Sequence[str] = (),
    free: bool = False,
) -> Network:
    """A model as a network; open sizes are in `dims`, and it ends at `outputs` if there are any.

    With `free` what cannot be simulated takes nothing, what it makes is a network input, and the
    network's name and description say so: it has to have a shape all the same. Raises InputError
    with what is wrong, UncoveredError where operators cannot be simulated.
    """
    file, dims = read_model(path), dims or {}
    written = resolved(file, dims, outputs)
    graph, layers, verdicts = read_as_layers(written, Store(file))
    refused = any(verdict.reason for verdict in verdicts)
    bound = why_not_free(verdicts)
    if refused and (bound or not free):
        cut = as_options(place_to_cut(file, dims, written, verdicts))
        raise uncovered(file, verdicts, cut, bound, written.batch or 1)
    network = _network(file, graph, layers)
    return _with_free(network, coverage(verdicts)) if refused else network


def _with_free(network: Network, rows: Sequence[Coverage]) -> Network:
    """The network, its name and description saying what of the model it does without."""
    bad = [row for row in rows if row.refused]
    count, nodes = sum(row.refused for row in bad), sum(row.nodes for row in rows)
    told = ", ".join(f"{row.operator} ({row.refused}, {row.told_share} of MACs)" for row in bad)
    return replace(
        network,
        name=f"{network.name} ({count} of {nodes} nodes free)",
        description=f"{network.description}; taken as free: {told}",
    )


def _network(file: ModelFile, graph: Graph, layers: Layers) -> Network:
    built = assembled(file.path.stem, str(file.path), graph, layers)
    codes = quantized(built.network, layers, built.stands, built.recipes)
    ends = limits(built.network, layers, built.stands)
    return built.network_with(
        _description(file, graph, built.absent), OnnxWeights(file.path, built.recipes, codes, ends)
    )


@dataclass(frozen=True, slots=True)
class Assembled:
    """A network of layers; `absent` are those whose arrays are not all there, `stands` those into
    which functions have gone.
    """

    network: Network
    specs: Sequence[LayerSpec]
    recipes: Recipes
    absent: Sequence[str]
    stands: Mapping[str, str]
    interface: Interface

    def network_with(self, description: str, weights: Stored) -> Network:
        """With the arrays that its layers compute with."""
        name, inputs = self.network.name, self.network.inputs
        built = build_network(name, inputs, self.specs, description, weights)
        return replace(built, interface=self.interface)


def assembled(name: str, origin: str, graph: Graph, layers: Layers) -> Assembled:
    """The layers of a graph as a network; `origin` is what an error names."""
    outputs = [layers.output(each) for each in graph.outputs]
    specs, stands = fused(layers.specs.values(), {*outputs, *layers.kept}, layers.meanings)
    inputs = {value.name: kept_shape((value.shape or ())[1:]) for value in graph.inputs}
    read = {each for spec in specs for each in spec.inputs}
    inputs |= {free: shape for free, shape in layers.free.items() if free in read}
    specs = _with_values(inputs, specs)
    try:
        network = build_network(name, inputs, specs)
    except GraphError as error:
        raise InputError(
            Problem(message=message, source=origin, key=layer) for layer, message in error.problems
        ) from None
    recipes, absent = _recipes(network, layers)
    interface = _interface(graph, layers, dict(zip(graph.outputs, outputs, strict=True)))
    return Assembled(
        network=network,
        specs=specs,
        recipes=recipes,
        absent=absent,
        stands=stands,
        interface=interface.renamed(lambda name: stands.get(name, name)),
    )


def _interface(graph: Graph, layers: Layers, outputs: Mapping[str, str]) -> Interface:
    """The inputs of a graph, and its outputs with the layers that have their values."""
    elements = {each.name: each.element for node in graph.nodes for each in node.outputs}
    elements |= {each.name: each.element for each in graph.inputs}
    made = {}
    for name, layer in outputs.items():
        if name in graph.ends:
            element = elements[name]
            output = FileOutput(
                layer=layer, tensor=graph.ends[name], dtype=DTYPES.get(element, "float32")
            )
            meaning = layers.meanings.get(layers.under(layer)) if element in CODES else None
            if meaning is not None:
                output = replace(output, scale=meaning.scale, zero_point=meaning.zero_point)
            made[name] = output
    return Interface({each.name: graph.ends[each.name] for each in graph.inputs}, made)


def _with_values(inputs: Mapping[str, Shape], specs: Sequence[LayerSpec]) -> list[LayerSpec]:
    """Inputs that number rows of a table, as values, NAME/values, for what computes with them."""
    numbers = {spec.inputs[0] for spec in specs if isinstance(spec.op, Embedding)} & inputs.keys()
    made: list[LayerSpec] = []
    values: dict[str, LayerSpec] = {}
    for spec in specs:
        if not spec.op.reads_numbers and not numbers.isdisjoint(spec.inputs):
            for name in numbers.intersection(spec.inputs):
                values[name] = LayerSpec(f"{name}/values", AsValues(), (name,))
            read = (values[name].name if name in values else name for name in spec.inputs)
            spec = replace(spec, inputs=tuple(read))
        made.append(spec)
    return [*values.values(), *made]


def _recipes(
    network: Network, layers: Layers
) -> tuple[dict[str, tuple[Learned, Shape]], list[str]]:
    """Where the arrays of each layer are, and the layers of which any are not."""
    recipes: dict[str, tuple[Learned, Shape]] = {}
    absent = []
    for layer in network.layers:
        for name, shape in learned_shapes(layer).items():
            learned = layers.learned[layer.name][name]
            if learned.present:
                recipes[f"{layer.name}.{name}"] = learned, shape
            else:
                absent.append(layer.name)
    return recipes, list(dict.fromkeys(absent))


def _description(file: ModelFile, graph: Graph, absent: Sequence[str]) -> str:
    parts = [f"ONNX, opset {file.opsets['']}"]
    if graph.whole:
        parts.append(WHOLE)
    elif graph.batch and graph.batch > 1:
        parts.append(f"the file says {graph.batch} images at a time, here --batch does")
    for name, tensor in graph.ends.items():
        if tensor.before:
            parts.append(f"{name} has the batch as axis {len(tensor.before)} in the file")
    for bits, count in file.bits.items():
        parts.append(
            f"weights of {count} products have {bits} bits in the file, and are fetched as the "
            "hardware's filter format here"
        )
    if absent:
        parts.append(f"the file has no weights of {len(absent)} layers: random ones")
    return "; ".join(parts)

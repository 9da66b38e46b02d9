"""Which bytes a feature map is, who writes and who reads them: cells one by one."""

from dataclasses import dataclass, field
from math import prod

from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import conv, max_pool

from accelsim.lowering.feature_maps import FeatureMap, feature_maps
from accelsim.lowering.kernels import Alias, GemmKernel
from accelsim.lowering.placed import kernels_of
from accelsim.network.graph import Layer, LayerSpec, Network, build_network
from accelsim.network.ops import Add, Concat, Dropout, MatMul, Op, Relu

SIDE = 3
KINDS = ("conv", "pool", "relu", "view", "add", "concat", "concat", "product")


@st.composite
def wired_networks(draw: st.DrawFn) -> Network:
    """Layers that read any tensors before them: filters that are computed, views, concats."""
    channels = {"x": 2, "y": 1}
    specs: list[LayerSpec] = []
    for number in range(draw(st.integers(2, 9))):
        kind, names = draw(st.sampled_from(KINDS)), st.sampled_from(sorted(channels))
        first = draw(names)
        inputs, width = (first,), channels[first]
        op: Op = Relu()
        if kind == "conv":
            op, width = conv(2), 2
        elif kind == "pool":
            op = max_pool(3, 1, 1)
        elif kind == "view":
            op = Dropout()
        elif kind == "concat":
            op, inputs = Concat(), (first, *draw(st.lists(names, min_size=1, max_size=2)))
            width = sum(channels[name] for name in inputs)
        elif kind in ("add", "product"):
            alike = sorted(name for name in channels if channels[name] == width)
            op = Add() if kind == "add" else MatMul()
            inputs = (first, draw(st.sampled_from(alike)))
        name = f"l{number}"
        specs.append(LayerSpec(name, op, inputs))
        channels[name] = width
    return build_network("wired", {"x": (2, SIDE, SIDE), "y": (1, SIDE, SIDE)}, specs)


@dataclass
class Bytes:
    """Every tensor as cells: a layer that computes makes new ones, an alias is those it reads."""

    network: Network
    cells: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kernels = kernels_of(self.network, 1)
        for name, shape in self.network.inputs.items():
            self.cells[name] = [(f"the network's {name}", at) for at in range(prod(shape))]
        for layer, kernel in zip(self.network.layers, kernels, strict=True):
            if isinstance(kernel, Alias):
                self.cells[layer.name] = [
                    cell for name in layer.inputs for cell in self.cells[name]
                ]
            else:
                size = range(prod(layer.output_shape))
                self.cells[layer.name] = [(layer.name, at) for at in size]

    def sharing(self, name: str) -> set[str]:
        """The layers whose bytes are one with those of a layer, if by way of others."""
        group, grown = {name}, True
        while grown:
            cells = {cell for each in group for cell in self.cells[each]}
            more = {e.name for e in self.network.layers if cells & {*self.cells[e.name]}}
            group, grown = group | more, bool(more - group)
        return group

    def is_own(self, name: str) -> bool:
        """Whether no byte of it is the network's input."""
        return not any(writer.startswith("the network's") for writer, _ in self.cells[name])


def ways(layer: Layer, kernel: object) -> list[str]:
    """Where a layer reads each of its inputs: on chip, or in DRAM."""
    if isinstance(kernel, GemmKernel):  # a filter has a buffer of its own
        return ["chip", "DRAM"][: len(layer.inputs)]
    copies = isinstance(layer.op, Concat)  # they come as one
    return ["DRAM" if copies else "chip"] * len(layer.inputs)


def walked(network: Network, name: str) -> tuple[set[str], set[str], int, bool]:
    """Writers, readers on chip, words, and whether DRAM needs the bytes of a layer."""
    memory, kernels = Bytes(network), kernels_of(network, 1)
    group = memory.sharing(name)
    cells = {cell for each in group for cell in memory.cells[each]}
    near, far = set(), not group.isdisjoint(network.outputs)
    for layer, kernel in zip(network.layers, kernels, strict=True):
        if isinstance(kernel, Alias):
            continue
        for read, way in zip(layer.inputs, ways(layer, kernel), strict=True):
            if cells & {*memory.cells[read]}:
                near |= {layer.name} if way == "chip" else set()
                far |= way == "DRAM"
    return {writer for writer, _ in cells}, near, len(cells), far


def names(network: Network, layers: tuple[int, ...]) -> list[str]:
    return [network.layers[each].name for each in layers]


@given(wired_networks(), st.sampled_from([1, 2, 4]))
@drawn(200, percent=12)
def test_maps_are_the_bytes_that_layers_share(network: Network, word: int) -> None:
    """Every layer's, and no other's: those that nobody can read on chip are left out."""
    found: dict[str, FeatureMap] = feature_maps(network, kernels_of(network, 1), word)
    memory = Bytes(network)
    for layer in network.layers:
        writers, near, words, far = walked(network, layer.name)
        if not memory.is_own(layer.name) or not near:
            assert layer.name not in found
            continue
        item = found[layer.name]
        assert {*names(network, item.writers)} == writers
        assert names(network, item.readers) == [e.name for e in network.layers if e.name in near]
        assert (item.size, item.must_store) == (words * word, far)
        for other in network.layers:
            assert (found.get(other.name) is item) == (other.name in memory.sharing(layer.name))

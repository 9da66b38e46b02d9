"""Which concats are in place: ofmaps are given addresses one by one, and none may get two."""

from dataclasses import dataclass, field
from math import prod

from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import conv

from accelsim.lowering.kernels import Alias, VectorKernel
from accelsim.lowering.placed import kernels_of, out_of_place
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Concat, Dropout, Op

CHANNELS = 2


@st.composite
def joined_networks(draw: st.DrawFn) -> Network:
    """Convolutions, views and concats of what came before, the network's own inputs too."""
    specs: list[LayerSpec] = []
    names = ["x", "y"]
    for number in range(draw(st.integers(2, 9))):
        kind = draw(st.sampled_from(["conv", "conv", "view", "concat", "concat"]))
        several = draw(st.lists(st.sampled_from(names), min_size=2, max_size=3))
        op: Op = {"conv": conv(CHANNELS), "view": Dropout(), "concat": Concat()}[kind]
        inputs = tuple(several) if kind == "concat" else (several[0],)
        specs.append(LayerSpec(f"l{number}", op, inputs))
        names.append(specs[-1].name)
    return build_network("joined", {"x": (CHANNELS, 3, 3), "y": (1, 3, 3)}, specs)


@dataclass
class Memory:
    """Where every tensor's bytes lie: in a region, at an offset; what is joined is one region."""

    network: Network
    inside: dict[str, tuple[str, int]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def base(self, name: str) -> str:
        """The tensor whose bytes a view is."""
        return self.base(self.aliases[name]) if name in self.aliases else name

    def size(self, name: str) -> int:
        shapes = {layer.name: layer.output_shape for layer in self.network.layers}
        return prod((self.network.inputs | shapes)[name])

    def address(self, name: str) -> tuple[str, int]:
        """The outermost region that holds a tensor, and where in it that begins."""
        name = self.base(name)
        if name not in self.inside:
            return name, 0
        outer, offset = self.inside[name]
        region, start = self.address(outer)
        return region, start + offset

    def join(self, concat: str, inputs: tuple[str, ...]) -> bool:
        """Give every input its place in a concat; whether each was free to be put there."""
        given: dict[str, tuple[str, int]] = {}
        offset = 0
        for name in inputs:
            moves = name in self.network.inputs or name in self.aliases
            if moves or name in self.inside or name in given:
                return False
            given[name] = (concat, offset)
            offset += self.size(name)
        self.inside |= given
        return True


def placed(network: Network) -> tuple[Memory, set[str]]:
    """Addresses of all tensors, and the concats that could not be in place."""
    memory, copied = Memory(network), set()
    for layer in network.layers:
        if isinstance(layer.op, Concat):
            if not memory.join(layer.name, layer.inputs):
                copied.add(layer.name)
        elif isinstance(layer.op, Dropout):
            memory.aliases[layer.name] = layer.inputs[0]
    return memory, copied


@given(joined_networks())
@drawn(200, percent=20)
def test_concats_are_in_place_where_each_input_can_lie_in_them(network: Network) -> None:
    memory, copied = placed(network)
    assert out_of_place(network) == copied
    for layer, kernel in zip(network.layers, kernels_of(network, 1), strict=True):
        if not isinstance(layer.op, Concat):
            continue
        assert isinstance(kernel, VectorKernel if layer.name in copied else Alias)
        if layer.name not in copied:  # its inputs lie in it, one behind the other
            region, at = memory.address(layer.name)
            for name in layer.inputs:
                assert memory.address(name) == (region, at)
                at += memory.size(name)

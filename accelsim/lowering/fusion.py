"""Element-wise work on results as they leave the array, so that it costs no pass of its own.

An adder and a table of functions sit where results are requantized; a second operand streams past
them from DRAM, as NVDLA's SDP reads it (its RDMA and element-wise unit). So a chain of layers rides
on a GEMM as long as each is the only reader of the one before; at most one of them adds a tensor,
which another layer has made before. Values are those of the layers one after another: codes are
requantized in between.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accelsim.hardware import FusedKind
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import ELEMENTWISE, Add


@dataclass(frozen=True, slots=True)
class Fused:
    """Layers by name: `into` says in which layer one is done, `addends` what that one adds."""

    into: Mapping[str, str] = field(default_factory=dict)
    addends: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.into)

    def wired(self, network: Network) -> Network:
        """The network with addends as inputs of the layer that adds them, and of no other."""
        if not self:
            return network
        return replace(network, layers=tuple(self._wired(each, network) for each in network.layers))

    def _wired(self, layer: Layer, network: Network) -> Layer:
        if layer.name in self.addends:
            return replace(layer, inputs=(*layer.inputs, self.addends[layer.name]))
        if layer.name not in self.into:
            return layer
        base = self.into[layer.name]
        inputs = (each for each in layer.inputs if base in (each, self.into.get(each)))
        return replace(layer, inputs=tuple(inputs))

    def kernels(self, kernels: Sequence[Kernel], names: Sequence[str]) -> list[Kernel]:
        """The kernels with what is fused."""
        return [self._kernel(*each) for each in zip(kernels, names, strict=True)]

    def _kernel(self, kernel: Kernel, name: str) -> Kernel:
        if name in self.into:
            return Alias()
        if name in self.addends and isinstance(kernel, GemmKernel):
            return replace(kernel, addend=True)
        return kernel


NOTHING = Fused()


def fused(network: Network, kernels: Sequence[Kernel], kinds: Collection[FusedKind]) -> Fused:
    """What can be done on the way out of the layers that run on the array."""
    place = {layer.name: at for at, layer in enumerate(network.layers)}
    into: dict[str, str] = {}
    addends: dict[str, str] = {}
    for layer, kernel in zip(network.layers, kernels, strict=True):
        if not isinstance(kernel, GemmKernel):
            continue
        last, addend = layer, None
        while (user := _only_reader(network, last)) is not None:
            other = _added(user, last)
            if "activation" in kinds and _is_function(user):
                pass
            elif "add" in kinds and addend is None and _is_before(other, layer, place):
                addend = other
            else:
                break
            into[user.name] = layer.name
            last = user
        if addend is not None:
            addends[layer.name] = addend
    return Fused(into, addends)


def _only_reader(network: Network, layer: Layer) -> Layer | None:
    """The layer that alone reads what another makes; its ofmap is as large."""
    readers = network.consumers[layer.name]
    user = network.by_name[readers[0]] if len(readers) == 1 else None
    return user if user is not None and user.output_shape == layer.output_shape else None


def _is_function(layer: Layer) -> bool:
    """Whether a layer is a function of each value."""
    return isinstance(layer.op, ELEMENTWISE) and layer.op.phase == "forward"


def _added(layer: Layer, to: Layer) -> str | None:
    """The tensor that a layer adds to the ofmap of another; None if it does not."""
    if type(layer.op) is not Add or {*layer.input_shapes} != {to.output_shape}:
        return None
    others = [name for name in layer.inputs if name != to.name]
    return others[0] if len(others) == 1 and len(layer.inputs) == 2 else None


def _is_before(tensor: str | None, layer: Layer, place: Mapping[str, int]) -> bool:
    """Whether a tensor is there before a layer begins: an input's, or one made before."""
    return tensor is not None and place.get(tensor, -1) < place[layer.name]

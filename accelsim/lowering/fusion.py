"""Work on results as they leave the array, so that it costs no pass of its own.

An adder and a table of functions sit where results are requantized; a second operand streams past
them, from DRAM or from where it lies on chip, as NVDLA's SDP reads it (its RDMA and element-wise
unit); and a pooling unit behind them joins the windows of a tile, as NVDLA's PDP does on the fly.
So a chain of layers rides on a GEMM as long as each is the only reader of the one before; at most
one of them adds a tensor, which another layer has made before, and at most one pools. Values are
those of the layers one after another: codes are requantized in between.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from accelsim.hardware import FusedKind
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel
from accelsim.network.graph import Layer, Network
from accelsim.network.ops import ELEMENTWISE, Add, AvgPool, Conv, MaxPool, Window

Refusal = Callable[[GemmKernel, Layer], str | None]
"""Why a pooling layer should not ride, given the kernel with it; None if it should."""

NOT_ALONE = "what it reads is not made for it alone by a convolution on the array"


@dataclass(frozen=True, slots=True)
class Fused:
    """Layers by name: `into` says in which layer one is done, `addends` what that one adds.

    `pooled` are the windows over what a layer makes, and `apart` says why a pooling does not ride.
    """

    into: Mapping[str, str] = field(default_factory=dict)
    addends: Mapping[str, str] = field(default_factory=dict)
    pooled: Mapping[str, tuple[Window, Window]] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.into)

    def last_of(self, name: str) -> str:
        """The layer whose ofmap leaves where `name` is computed."""
        return [name, *(rider for rider, base in self.into.items() if base == name)][-1]

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
        if not isinstance(kernel, GemmKernel):
            return kernel
        return replace(kernel, addend=name in self.addends, pooled=self.pooled.get(name))


NOTHING = Fused()


def fused(
    network: Network,
    kernels: Sequence[Kernel],
    kinds: Collection[FusedKind],
    refusal: Refusal = lambda kernel, layer: None,
) -> Fused:
    """What can be done on the way out of the layers that run on the array."""
    place = {layer.name: at for at, layer in enumerate(network.layers)}
    into: dict[str, str] = {}
    addends: dict[str, str] = {}
    pooled: dict[str, tuple[Window, Window]] = {}
    apart = dict.fromkeys(_pools(network) if "pool" in kinds else (), NOT_ALONE)
    for layer, kernel in zip(network.layers, kernels, strict=True):
        if not isinstance(kernel, GemmKernel):
            continue
        chain = _Chain(base=layer, kernel=kernel, kinds=kinds, refusal=refusal)
        last = layer
        while (user := _only_reader(network, last)) and chain.takes(user, last, place):
            into[user.name] = layer.name
            last = user
        if chain.addend is not None:
            addends[layer.name] = chain.addend
        if chain.kernel.pooled is not None:
            pooled[layer.name] = chain.kernel.pooled
        apart |= chain.apart
    return Fused(into, addends, pooled, {name: apart[name] for name in apart.keys() - into.keys()})


@dataclass
class _Chain:
    """What rides on a layer so far: its kernel with that, and what is added."""

    base: Layer
    kernel: GemmKernel
    kinds: Collection[FusedKind]
    refusal: Refusal
    addend: str | None = None
    apart: dict[str, str] = field(default_factory=dict)

    def takes(self, user: Layer, last: Layer, place: Mapping[str, int]) -> bool:
        """Whether `user` rides behind `last`; if so, it does from now on."""
        if "activation" in self.kinds and _is_function(user):
            return True
        if isinstance(user.op, MaxPool | AvgPool):
            return "pool" in self.kinds and self.pools(user)
        other = _added(user, last)
        adds = "add" in self.kinds and self.addend is None and self.kernel.pooled is None
        if adds and _is_before(other, self.base, place):
            self.addend, self.kernel = other, replace(self.kernel, addend=True)
            return True
        return False

    def pools(self, user: Layer) -> bool:
        """Whether a pooling rides; if not, it is noted why."""
        assert isinstance(user.op, MaxPool | AvgPool)
        why = NOT_ALONE
        if isinstance(self.base.op, Conv) and self.kernel.pooled is None:
            kernel = replace(self.kernel, pooled=user.op.windows(user.input_shapes[0]))
            why = self.refusal(kernel, user) or ""
        if why:
            self.apart[user.name] = why
        else:
            self.kernel = kernel
        return not why


def _pools(network: Network) -> list[str]:
    """Layers that pool."""
    return [layer.name for layer in network.layers if isinstance(layer.op, MaxPool | AvgPool)]


def _only_reader(network: Network, layer: Layer) -> Layer | None:
    """The layer that alone reads what another makes."""
    readers = network.consumers[layer.name]
    return network.by_name[readers[0]] if len(readers) == 1 else None


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

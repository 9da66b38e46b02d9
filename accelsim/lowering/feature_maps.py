"""The feature maps of a network that could stay on chip: what shares bytes, who reads them."""

from collections.abc import Sequence
from dataclasses import dataclass

from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel
from accelsim.network.graph import Layer, Network


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMap:
    """The bytes of an ofmap, of its views, or of all that a concat puts side by side.

    `writers` and `readers` are layers by index, readers those that can read it on chip.
    `must_store`: it leaves the network or has other readers, so that DRAM needs it in any case.
    """

    name: str
    writers: tuple[int, ...]
    readers: tuple[int, ...]
    size: int
    must_store: bool


def feature_maps(
    network: Network, kernels: Sequence[Kernel], bytes_per_image: int
) -> dict[str, FeatureMap]:
    """The feature map of every layer that has readers; `bytes_per_image` of an ofmap element.

    What lies in a network input's bytes is left out: that comes from DRAM.
    """
    index = {layer.name: position for position, layer in enumerate(network.layers)}
    members: dict[str, list[str]] = {}
    for name, last in _last_of_bytes(network, kernels).items():
        members.setdefault(last, []).append(name)
    outputs = set(network.outputs)
    found: dict[str, FeatureMap] = {}
    for names in members.values():
        writers = [index[name] for name in names if not isinstance(kernels[index[name]], Alias)]
        users = sorted({index[user] for name in names for user in network.consumers[name]})
        readers = [each for each in users if not isinstance(kernels[each], Alias)]
        shared = set(names)
        reads = [_reads(network.layers[each], kernels[each], shared) for each in readers]
        near = tuple(each for each, ways in zip(readers, reads, strict=True) if "ifmap" in ways)
        leaves = "DRAM" in set().union(*reads) or not outputs.isdisjoint(names)
        words = (written_elements(network.layers[each], kernels[each]) for each in writers)
        size = sum(words) * bytes_per_image
        if near:
            item = FeatureMap(
                name=names[-1], writers=tuple(writers), readers=near, size=size, must_store=leaves
            )
            found |= dict.fromkeys(names, item)
    return found


def _reads(layer: Layer, kernel: Kernel, names: set[str]) -> set[str]:
    """Where `layer` can read the bytes of `names`: as a resident ifmap, or only in DRAM.

    A concat that copies reads its inputs as one, and a filter is read in a buffer of its own.
    """
    if not isinstance(kernel, GemmKernel):
        assert isinstance(kernel, VectorKernel)
        if layer.op.reads_numbers:
            return {"DRAM"}
        if not kernel.inputs:
            return set()
        return {"ifmap"} if len(kernel.inputs) == len(layer.inputs) else {"DRAM"}
    filters = layer.inputs[1 : len(layer.inputs) - kernel.addend]
    ways = set() if names.isdisjoint(as_ifmaps(layer, kernel)) else {"ifmap"}
    return ways if names.isdisjoint(filters) else ways | {"DRAM"}


def as_ifmaps(layer: Layer, kernel: Kernel) -> tuple[str, ...]:
    """The inputs that can be read on chip: of a GEMM its ifmap, and what it adds on the way out.

    What is read for numbers is a table, which lies in DRAM.
    """
    if layer.op.reads_numbers:
        return ()
    if not isinstance(kernel, GemmKernel):
        return layer.inputs
    return layer.inputs[:1] + layer.inputs[-1:] * kernel.addend


def written_elements(layer: Layer, kernel: Kernel) -> int:
    """Elements of a layer's ofmap for an image, as it leaves the array: pooled, if it is."""
    if isinstance(kernel, GemmKernel) and kernel.pooled is not None:
        return kernel.written_words // kernel.batch
    return layer.output_elements


def _last_of_bytes(network: Network, kernels: Sequence[Kernel]) -> dict[str, str]:
    """For each layer in bytes of the network's own, the last of the layers that share them."""
    later: dict[str, str] = {}
    for layer, kernel in zip(network.layers, kernels, strict=True):
        if not isinstance(kernel, Alias):
            later[layer.name] = layer.name
        elif all(name in later for name in layer.inputs):
            later |= dict.fromkeys([_last(later, name) for name in layer.inputs], layer.name)
            later[layer.name] = layer.name
    return {name: _last(later, name) for name in later}


def _last(later: dict[str, str], name: str) -> str:
    """Follow `later` to the end, and make the way there shorter for who comes next."""
    while later[name] != name:
        later[name] = later[later[name]]
        name = later[name]
    return name

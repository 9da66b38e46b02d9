"""The kernel of every layer of a network, and which of its concats are in place."""

from accelsim.lowering.kernels import Alias, Kernel, copy_of, kernel_of
from accelsim.network.graph import Network
from accelsim.network.ops import Concat


def kernels_of(network: Network, batch: int) -> list[Kernel]:
    """The kernel of every layer; a concat that is not in place copies."""
    copied = out_of_place(network)
    return [
        copy_of(layer, batch) if layer.name in copied else kernel_of(layer, batch)
        for layer in network.layers
    ]


def out_of_place(network: Network) -> set[str]:
    """Concats that must copy: an input is the network's own, or has a place elsewhere already.

    All others are in place: their inputs are written where the concat wants them.
    """
    placed: set[str] = set()
    copied = set()
    for layer in network.layers:
        if not isinstance(layer.op, Concat):
            continue
        inputs = set(layer.inputs)
        views = {name for name in inputs if name in network.inputs or _is_view(network, name)}
        if views or inputs & placed or len(inputs) < len(layer.inputs):
            copied.add(layer.name)
        else:
            placed |= inputs
    return copied


def _is_view(network: Network, name: str) -> bool:
    layer = network.by_name[name]
    return isinstance(kernel_of(layer, 1), Alias) and not isinstance(layer.op, Concat)

"""What identifies a network: all that its times can depend on, and nothing else."""

from hashlib import sha256

from accelsim.network.graph import Network


def network_digest(network: Network) -> str:
    """A hash of a network's inputs and layers, and of the images of those that are independent."""
    parts: tuple[object, ...] = (sorted(network.inputs.items()), network.layers)
    if network.images is not None:
        parts += (sorted(network.images.items()),)
    content = repr(parts)
    return sha256(content.encode()).hexdigest()

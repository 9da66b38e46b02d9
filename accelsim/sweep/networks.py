"""The networks of a sweep as its file asks for them."""

from accelsim.frontend import ONNX, load_network
from accelsim.frontend.sweep_file import SweepFile
from accelsim.network.backward import training_step
from accelsim.network.decoding import decoding_step
from accelsim.network.graph import Network

__all__ = ["swept"]


def swept(file: SweepFile, path: str) -> tuple[str, Network]:
    """What points call a network, and what of it is timed; raises InputError.

    Its name or path; behind that what is free of a model of which not all can be simulated.
    """
    if not path.lower().endswith(ONNX):
        return path, _timed(file, load_network(path))
    free = file.unsupported == "free"
    network = load_network(path, file.dims, file.outputs, free)
    told = network.name.rpartition(" (")[2] if network.name.endswith(" free)") else ""
    return f"{path} ({told}" if told else path, _timed(file, network)


def _timed(file: SweepFile, network: Network) -> Network:
    """The network, one more token of it, or a step of training it; raises InputError."""
    if file.mode == "inference":
        return network
    if file.past is not None:
        return decoding_step(network, file.past)
    return training_step(network, file.loss, file.optimizer, recompute=file.recompute)

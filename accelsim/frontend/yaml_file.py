"""A network file in YAML as a `Network`. `network_file` has its keys, `blocks` unfolds blocks."""

import os
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from accelsim.errors import InputError
from accelsim.frontend.blocks import Faults, Scope, Unfolding
from accelsim.frontend.findings import Finding, findings
from accelsim.frontend.network_file import NetworkFile
from accelsim.frontend.source import Document, read_yaml
from accelsim.network.graph import GraphError, LayerSpec, Network, build_network

_FILE = TypeAdapter(NetworkFile)
_REQUIRED = {"name": "", "layers": {"": None}}  # in place of faulty ones


def load_yaml_network(path: Path) -> Network:
    """Read a network file; raises InputError with everything that is wrong in it."""
    document = read_yaml(path)
    faults = Faults(document)
    header = _header(document, faults)
    unfolding = _unfolded(document, faults, header)
    weights = _weights(path, header, faults)
    network = _built(header, unfolding, faults, weights) if header else None
    if network is None or faults.problems:
        raise InputError(faults.problems)
    return network


def _header(document: Document, faults: Faults) -> NetworkFile | None:
    """The file's top level, without its faulty keys if there are any; None without an input.

    So a misspelt key does not keep the layers from being checked.
    """
    header = faults.check(_FILE, document.data, (), _FILE.json_schema)
    if header is not None:
        return header
    faulty = faults.keys
    rest = {key: value for key, value in document.data.items() if key not in faulty}
    try:
        return _FILE.validate_python(_REQUIRED | rest)
    except ValidationError as error:
        if not faulty & {"input", "inputs"}:
            for found in findings(error, rest, {}):
                faults.note(found)
        return None


def _unfolded(document: Document, faults: Faults, header: NetworkFile | None) -> Unfolding:
    """All layers, whether the header could be read or not."""
    blocks, layers = document.data.get("blocks"), document.data.get("layers")
    inputs = header.input_shapes if header else {"input": ()}
    unfolding = Unfolding(blocks if isinstance(blocks, dict) else {}, faults)
    if isinstance(layers, dict):
        unfolding.unfold(Scope(path=("layers",), prefixes=("",), source=next(iter(inputs))), layers)
    taken = {*inputs, *(layer.name for layer in unfolding.layers)}
    for name in taken & set(unfolding.last):
        message = f"the name {name!r} is taken already; give each layer its own"
        faults.note(Finding(("layers", name.partition("/")[0]), message, at_key=True))
        del unfolding.last[name]
    return unfolding


def _weights(path: Path, header: NetworkFile | None, faults: Faults) -> Path | None:
    if header is None or header.weights is None:
        return None
    weights = path.parent / header.weights
    if weights.suffix != ".npz":
        faults.note(Finding(("weights",), f"expected an .npz file, found {header.weights!r}"))
    elif not os.path.isfile(weights):
        faults.note(Finding(("weights",), f"no such file: {weights}"))
    return weights


def _built(
    header: NetworkFile, unfolding: Unfolding, faults: Faults, weights: Path | None
) -> Network | None:
    """The network, or None and the faults kept; a layer that is faulty itself is not told again."""
    specs = [
        LayerSpec(layer.name, unfolding.owning(layer), tuple(map(unfolding.resolved, layer.inputs)))
        for layer in unfolding.layers
    ]
    try:
        network = build_network(
            header.name, header.input_shapes, specs, header.description, weights
        )
        network = replace(network, family=header.family)
        return _split(network, unfolding, faults)
    except GraphError as error:
        paths = {layer.name: layer.path for layer in unfolding.layers}
        for name, message in filter(lambda problem: problem[1], error.problems):
            faults.note(Finding(paths[name], message, at_key=True), name)
    return None


def _split(network: Network, unfolding: Unfolding, faults: Faults) -> Network:
    """The network of inference, which has the whole one with it where training has more."""
    paths = {layer.name: layer.path for layer in unfolding.layers}
    weights = {unfolding.resolved(name): at for name, at in unfolding.loss_weights.items()}
    if not weights:
        return network
    for name in weights:
        if readers := network.consumers[name]:
            message = f"is no output, for {readers[0]} reads it; only outputs have a loss"
            faults.note(Finding((*paths[name], "loss_weight"), message), name)
    kept = _behind(network, [name for name in network.outputs if name not in weights])
    if not kept:
        faults.note(Finding(("layers",), "every output has a loss_weight; one needs none"))
        return network
    whole = replace(network, loss_weights=weights)
    layers = tuple(layer for layer in network.layers if layer.name in kept)
    return replace(network, layers=layers, training=whole)


def _behind(network: Network, outputs: list[str]) -> set[str]:
    """Layers that some outputs need, and these themselves."""
    needed = set(outputs)
    for layer in reversed(network.layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return needed & set(network.by_name)

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
        unfolding.unfold(Scope(("layers",), "", next(iter(inputs))), layers)
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
        LayerSpec(layer.name, layer.op, tuple(map(unfolding.resolved, layer.inputs)))
        for layer in unfolding.layers
    ]
    try:
        network = build_network(
            header.name, header.input_shapes, specs, header.description, weights
        )
        return replace(network, family=header.family)
    except GraphError as error:
        paths = {layer.name: layer.path for layer in unfolding.layers}
        for name, message in filter(lambda problem: problem[1], error.problems):
            faults.note(Finding(paths[name], message, at_key=True), name)
    return None

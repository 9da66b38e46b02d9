"""Rewrites of a network: each takes one and returns another, and says what it requires and keeps.

`prepare_for_inference` is what a simulator wants of a trained network: no dropout, and every
batch norm that can be folded into the layer before it.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import BatchNorm, Conv, Dense, Dropout, Op

Array: TypeAlias = NDArray[np.floating]
Parameters: TypeAlias = Mapping[str, Mapping[str, Array]]


def prepare_for_inference(network: Network) -> Network:
    """The network without dropout, its batch norms folded where they can be.

    Ensures: the same function of the inputs, with `fold_parameters`' arrays in place of the old.
    `weights` still names the original network's file: its arrays go through `fold_parameters`.
    """
    return fold_batch_norm(remove_dropout(network))


def remove_dropout(network: Network) -> Network:
    """The network with every dropout left out; its readers read what it read.

    Ensures: all other layers keep name, type, order and shapes. Where a dropout was the
    network's output, the layer before it is.
    """
    dropped = {
        layer.name: layer.inputs[0] for layer in network.layers if isinstance(layer.op, Dropout)
    }
    return _rebuilt(network, _specs(network), dropped)


def fold_batch_norm(network: Network) -> Network:
    """The network with batch norms folded into the convolution or dense layer they follow.

    Folds where the batch norm is that layer's only reader and the layer has no activation.
    Requires: no dropout in between (`remove_dropout`). Ensures: the layer keeps its name, has
    a bias and the batch norm's activation; all other layers stay as they are.
    """
    assert not any(isinstance(each.op, Dropout) for each in network.layers), "remove_dropout first"
    folds = foldable(network)
    specs = {spec.name: spec for spec in _specs(network)}
    for norm, target in folds.items():
        specs[target] = replace(specs[target], op=_fused(specs[target].op, specs[norm].op))
    return _rebuilt(network, specs.values(), folds)


def foldable(network: Network) -> dict[str, str]:
    """Batch norms that can be folded, and the layer each goes into, in the network's order."""
    folds: dict[str, str] = {}
    activation = {layer.name: getattr(layer.op, "activation", None) for layer in network.layers}
    owners = {layer.op.owner_of_parameters for layer in network.layers}
    for layer in network.layers:
        if not isinstance(layer.op, BatchNorm):
            continue
        source = layer.inputs[0]
        target = folds.get(source, source)
        linear = target in network.by_name and type(network.by_name[target].op) in (Conv, Dense)
        own = linear and target not in owners and not network.by_name[target].op.owner_of_parameters
        if own and not activation[source] and network.consumers[source] == (layer.name,):
            folds[layer.name] = target
    return folds


def absorbed(network: Network) -> dict[str, str]:
    """What became of the layers that `prepare_for_inference` takes out: `is folded into conv1`."""
    dropped = [layer.name for layer in network.layers if isinstance(layer.op, Dropout)]
    folds = foldable(remove_dropout(network))
    return dict.fromkeys(dropped, "does nothing in inference") | {
        name: f"is folded into {target}" for name, target in folds.items()
    }


def _fused(op: Op, norm: Op) -> Op:
    assert isinstance(op, (Conv, Dense))
    assert isinstance(norm, BatchNorm)
    return replace(op, bias=True, activation=norm.activation)


def fold_parameters(
    network: Network, parameters: Parameters, without: Collection[str] = ()
) -> dict[str, dict[str, Array]]:
    """Parameters of a network that is prepared for inference, from those of `network`.

    Each layer has "weight", "bias"; a batch norm "gamma", "beta", "mean", "variance", all of
    shape (channels,). With scale = gamma / sqrt(variance + epsilon), per output channel:
    weight * scale and (bias - mean) * scale + beta. Batch norms in `without` are left out.
    """
    network = remove_dropout(network)
    folds = {norm: target for norm, target in foldable(network).items() if norm not in without}
    folded = {name: dict(arrays) for name, arrays in parameters.items() if name not in folds}
    for norm, target in folds.items():
        op = network.by_name[norm].op
        assert isinstance(op, BatchNorm)
        folded[target] = _folded(folded[target], parameters[norm], op.epsilon)
    return folded


def _folded(
    layer: Mapping[str, Array], norm: Mapping[str, Array], epsilon: float
) -> dict[str, Array]:
    weight = layer["weight"]
    scale = norm["gamma"] / np.sqrt(norm["variance"] + epsilon)
    bias = (layer.get("bias", 0) - norm["mean"]) * scale + norm["beta"]
    return {"weight": weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), "bias": bias}


def _specs(network: Network) -> list[LayerSpec]:
    return [LayerSpec(each.name, each.op, each.inputs, each.again) for each in network.layers]


def _rebuilt(network: Network, specs: Iterable[LayerSpec], dropped: Mapping[str, str]) -> Network:
    """`specs` without the dropped layers, whose readers read what stands for them."""

    def standing(name: str) -> str:
        while name in dropped:
            name = dropped[name]
        return name

    kept = [
        replace(spec, inputs=tuple(map(standing, spec.inputs)))
        for spec in specs
        if spec.name not in dropped
    ]
    built = build_network(network.name, network.inputs, kept, network.description, network.weights)
    stay = [(each.name, each.output_shape) for each in network.layers if each.name not in dropped]
    assert [(each.name, each.output_shape) for each in built.layers] == stay, (
        "a pass keeps the rest"
    )
    interface = network.interface and network.interface.renamed(standing)
    return replace(built, images=network.images, interface=interface)

"""From a network of sequences to what makes its next token, keys and values before it cached."""

from collections.abc import Iterator
from dataclasses import replace

from accelsim.errors import InputError, Problem
from accelsim.network.graph import GraphError, Layer, LayerSpec, Network, build_network
from accelsim.network.ops import (
    Append,
    AttentionContext,
    AttentionScores,
    Shape,
    Softmax,
    TokenLayer,
)

MOST_PAST = 2**24
_CACHES = ("past", "cache")
"""What inputs of keys and values are called."""


def decoding_step(network: Network, past: int) -> Network:
    """The network for one more token behind `past` ones.

    Requires: its inputs are sequences, their first axis the tokens, and it has causal attentions.
    Ensures: the same layers for one token; keys and values of each causal attention are appended
    to those of before, which are network inputs `NAME@past` and lie in DRAM, so that a run fetches
    them. Raises InputError for a network that cannot be decoded.
    """
    if not 0 < past <= MOST_PAST:
        raise InputError(
            Problem(message=f"expected 1 to {MOST_PAST} tokens, found {past}", key="--past")
        )
    cached = dict(_cached(network))
    if not cached:
        raise InputError(Problem(message=_nothing_cached(network), source=network.name))
    inputs: dict[str, Shape] = {name: (1, *shape[1:]) for name, shape in network.inputs.items()}
    specs: list[LayerSpec] = []
    for layer in network.layers:
        op = layer.op.moved(past) if isinstance(layer.op, TokenLayer) else layer.op
        read = (
            cached.get(name, name) if _reads_cache(layer, place) else name
            for place, name in enumerate(layer.inputs)
        )
        specs.append(LayerSpec(layer.name, op, tuple(read)))
    for name, whole in cached.items():
        shape = network.inputs.get(name) or network.by_name[name].output_shape
        inputs[f"{name}@past"] = (past, shape[-1])
        specs.append(LayerSpec(whole, Append(), (f"{name}@past", name)))
    return _built(network, inputs, specs, past)


def _nothing_cached(network: Network) -> str:
    """Why a network has nothing to decode, and what to do."""
    caches = [name for name in network.inputs if any(each in name.lower() for each in _CACHES)]
    if not caches:
        return "has no causal attention, so it makes no token from those before; leave --decode"
    more = ", ..." if len(caches) > 1 else ""
    return (
        f"has keys and values of before as inputs ({caches[0]}{more}), so it makes one more token "
        "as it is; leave --decode and --past, and give the sizes, such as "
        "--dim sequence_length=1 --dim past_sequence_length=512"
    )


def _reads_cache(layer: Layer, place: int) -> bool:
    """Whether an input of a layer is all keys, or all values, up to now."""
    return place == 1 and isinstance(layer.op, (AttentionScores, AttentionContext))


def _cached(network: Network) -> Iterator[tuple[str, str]]:
    """Keys and values of causal attentions, and what is to be read in their place."""
    for layer in network.layers:
        if not isinstance(layer.op, Softmax) or not layer.op.causal:
            continue
        scores = network.by_name.get(layer.inputs[0])
        readers = [network.by_name[name] for name in network.consumers[layer.name]]
        for each in (scores, *readers):
            if each is not None and isinstance(each.op, (AttentionScores, AttentionContext)):
                yield each.inputs[1], f"{each.inputs[1]}@cache"


def _built(
    network: Network, inputs: dict[str, Shape], specs: list[LayerSpec], past: int
) -> Network:
    try:
        built = build_network(
            f"{network.name}, a token after {past:,}",
            inputs,
            specs,
            network.description,
            network.weights,
        )
    except GraphError as error:
        raise InputError(
            Problem(
                message=f"cannot be decoded token by token: {message}",
                source=network.name,
                key=name,
            )
            for name, message in error.problems
        ) from None
    return replace(built, family=network.family)

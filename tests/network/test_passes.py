"""Rewrites of a network keep what it computes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from accelsim.frontend import load_network
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, BatchNorm, Conv, Dense, Dropout, Op, Relu, Shape
from accelsim.network.passes import (
    fold_batch_norm,
    fold_parameters,
    foldable,
    prepare_for_inference,
    remove_dropout,
)

POINT = Conv(out_channels=3, kernel=(1, 1), bias=False)
Arrays = dict[str, dict[str, NDArray[np.float64]]]


def network(*layers: tuple[str, Op, str], shape: Shape = (2, 4, 5)) -> Network:
    specs = [LayerSpec(name, op, tuple(inputs.split())) for name, op, inputs in layers]
    return build_network("n", {"input": shape}, specs)


def reads(network: Network) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.inputs for layer in network.layers}


def parameters(network: Network, seed: int) -> Arrays:
    """Random arrays of every layer, statistics included."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for layer in network.layers:
        arrays[layer.name] = {n: rng.normal(size=s) for n, s in layer.parameter_shapes.items()}
        if isinstance(layer.op, BatchNorm):
            channels = layer.output_shape[0]
            arrays[layer.name]["mean"] = rng.normal(size=channels)
            arrays[layer.name]["variance"] = rng.uniform(0.1, 2, size=channels)
    return {name: named for name, named in arrays.items() if named}


def computed(network: Network, arrays: Arrays, ifmap: NDArray[np.float64]) -> NDArray[np.float64]:
    """The last layer's ofmap, from the definitions of the few layer types used here."""
    tensors = {"input": ifmap}
    for layer in network.layers:
        inputs, p = [tensors[name] for name in layer.inputs], arrays.get(layer.name, {})
        x, op = inputs[0], layer.op
        if isinstance(op, Conv):  # 1x1: a matrix over the channels
            y = np.einsum("kc,chw->khw", p["weight"][:, :, 0, 0], x)
            y = y + p.get("bias", np.zeros(1))[:, None, None]
        elif isinstance(op, Dense):
            y = p["weight"] @ x.ravel() + p.get("bias", 0)
        elif isinstance(op, BatchNorm):
            m, v, g, b = (
                p[key].reshape(-1, *(1,) * (x.ndim - 1))
                for key in ("mean", "variance", "gamma", "beta")
            )
            y = g * (x - m) / np.sqrt(v + op.epsilon) + b
        else:
            y = sum(inputs) if isinstance(op, Add) else x
        relu = isinstance(op, Relu) or getattr(op, "activation", None) == "relu"
        tensors[layer.name] = np.maximum(y, 0) if relu else y
    return tensors[network.layers[-1].name]


CHAINS = {
    "conv": network(
        ("conv", POINT, "input"), ("bn", BatchNorm(activation="relu"), "conv"), ("r", Relu(), "bn")
    ),
    "conv with bias": network(
        ("conv", Conv(out_channels=3, kernel=(1, 1)), "input"),
        ("bn", BatchNorm(epsilon=0.1), "conv"),
        ("sum", Add(), "bn bn"),
    ),
    "dense": network(("fc", Dense(out_features=6), "input"), ("bn", BatchNorm(), "fc")),
    "two in a row": network(
        ("conv", POINT, "input"), ("bn1", BatchNorm(), "conv"), ("bn2", BatchNorm(), "bn1")
    ),
    "behind dropout": network(
        ("conv", POINT, "input"), ("drop", Dropout(), "conv"), ("bn", BatchNorm(), "drop")
    ),
    "not folded: two readers": network(
        ("conv", POINT, "input"), ("bn", BatchNorm(), "conv"), ("sum", Add(), "conv bn")
    ),
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_prepared_network_computes_the_same(name: str, seed: int) -> None:
    """Within 1e-12 relative: three extra float64 roundings per value."""
    original = CHAINS[name]
    prepared, arrays = prepare_for_inference(original), parameters(original, seed)
    ifmap = np.random.default_rng(seed + 100).normal(size=(2, 4, 5))
    folded = fold_parameters(original, arrays)
    for layer in prepared.layers:
        shapes = {key: folded[layer.name][key].shape for key in layer.parameter_shapes}
        assert shapes == layer.parameter_shapes
    np.testing.assert_allclose(
        computed(prepared, folded, ifmap), computed(original, arrays, ifmap), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv", {"conv": ("input",), "r": ("conv",)}),
        ("conv with bias", {"conv": ("input",), "sum": ("conv", "conv")}),
        ("two in a row", {"conv": ("input",)}),
        ("behind dropout", {"conv": ("input",)}),
        (
            "not folded: two readers",
            {"conv": ("input",), "bn": ("conv",), "sum": ("conv", "bn")},
        ),
    ],
)
def test_the_layer_keeps_its_name_and_readers_follow(
    name: str, expected: dict[str, tuple[str, ...]]
) -> None:
    assert reads(prepare_for_inference(CHAINS[name])) == expected


def test_the_layer_takes_over_bias_and_activation() -> None:
    conv = fold_batch_norm(CHAINS["conv"]).by_name["conv"].op
    assert conv == Conv(out_channels=3, kernel=(1, 1), bias=True, activation="relu")


@pytest.mark.parametrize(
    "layers",
    [
        [("a", Relu(), "input"), ("bn", BatchNorm(), "a")],
        [("bn", BatchNorm(), "input")],
        [("a", Conv(out_channels=3, kernel=(1, 1), activation="relu"), "input"),
         ("bn", BatchNorm(), "a")],
        [("a", POINT, "input"), ("bn", BatchNorm(activation="relu"), "a"),
         ("bn2", BatchNorm(), "bn")],
    ],
    ids=["behind relu", "at the input", "behind an activation", "second behind an activation"],
)  # fmt: skip
def test_what_is_not_folded(layers: list[tuple[str, Op, str]]) -> None:
    last = layers[-1][0]
    assert last not in foldable(network(*layers))
    assert last in fold_batch_norm(network(*layers)).by_name


def test_dropout_is_left_out() -> None:
    rest = remove_dropout(
        network(
            ("d1", Dropout(), "input"), ("d2", Dropout(), "d1"), ("a", Relu(), "d2"),
            ("sum", Add(), "d1 a"), ("d3", Dropout(), "sum"),
        )
    )  # fmt: skip
    assert reads(rest) == {"a": ("input",), "sum": ("input", "a")}
    assert rest.outputs == ("sum",)


def test_vgg_loses_its_two_dropouts_and_nothing_else() -> None:
    before, after = load_network("vgg16"), prepare_for_inference(load_network("vgg16"))
    assert set(before.by_name) - set(after.by_name) == {"drop6", "drop7"}
    assert (after.parameters, after.macs) == (before.parameters, before.macs)
    assert after.description == before.description

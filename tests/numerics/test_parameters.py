"""Random networks: reproducible, of a sensible range; parameter files: every mistake is listed."""

from pathlib import Path

import numpy as np
import pytest
from layers import FLOAT32, INT8, UINT8

from accelsim.errors import InputError
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    BatchNorm,
    Conv,
    Dense,
    Flatten,
    MatMul,
    MaxPool,
    Op,
    Reshape,
    Softmax,
)
from accelsim.network.passes import prepare_for_inference
from accelsim.numerics.arithmetic import Arithmetic, arithmetic_of
from accelsim.numerics.formats import Quantization
from accelsim.numerics.parameter_file import load_parameters
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference


def chain(*ops: Op, shape: tuple[int, ...] = (3, 32, 32), weights: Path | None = None) -> Network:
    """A network of layers one after another, called l0, l1, ..."""
    names = ["x", *(f"l{i}" for i in range(len(ops)))]
    triples = zip(names[1:], ops, names[:-1], strict=True)
    specs = [LayerSpec(name, op, (source,)) for name, op, source in triples]
    return build_network("chain", {"x": shape}, specs, weights=weights)


def loaded(network: Network, arithmetic: Arithmetic, seed: int = 0) -> Parameters:
    """The parameters of a network as inference takes it."""
    return load_parameters(network, prepare_for_inference(network), arithmetic, seed)


def same(channels: int) -> Conv:
    return Conv(out_channels=channels, kernel=(3, 3), padding=(1, 1, 1, 1), activation="relu")


DEEP = (
    *(same(16), same(16), MaxPool(kernel=(2, 2))),
    *(same(32), same(32), MaxPool(kernel=(2, 2))),
    *(same(64), same(64), MaxPool(kernel=(2, 2))),
    *(same(64), BatchNorm(), Dense(out_features=40)),
)


# --- Random ---------------------------------------------------------------------------------------


def test_weights_do_not_depend_on_the_order_of_layers() -> None:
    network = chain(same(8), same(8))
    forward, backward = (Parameters.of(network, INT8, seed=3) for _ in range(2))
    first = [forward.layer(layer).arrays["weight"] for layer in network.layers]
    second = [backward.layer(layer).arrays["weight"] for layer in reversed(network.layers)]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(second), strict=True))


def test_layers_and_seeds_differ() -> None:
    network = chain(same(3), same(3))
    one, two = (
        [
            Parameters.of(network, INT8, seed).layer(layer).arrays["weight"]
            for layer in network.layers
        ]
        for seed in (1, 2)
    )
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one[0], two[0])


@pytest.mark.parametrize(
    ("format_", "lowest", "highest"), [("int8", -128, 127), ("int4", -8, 7), ("uint8", 0, 255)]
)
def test_weights_fill_their_format(format_: str, lowest: int, highest: int) -> None:
    network = chain(Dense(out_features=100), shape=(101,))  # 10,100 values: not whole words
    arithmetic = arithmetic_of("int8", format_, "int32", "int8")
    parameters = Parameters.of(network, arithmetic).layer(network.layers[0])
    weight = parameters.arrays["weight"]
    assert (weight.min(), weight.max(), weight.shape) == (lowest, highest, (100, 101))
    assert np.unique(weight).size == highest - lowest + 1
    assert parameters.weight_zero_point == (128 if format_ == "uint8" else 0)


@pytest.mark.parametrize(
    "arithmetic", [INT8, UINT8, arithmetic_of("int16", "int8", "int48", "int16")]
)
def test_deep_networks_neither_vanish_nor_saturate(arithmetic: Arithmetic) -> None:
    network = chain(*DEEP)
    parameters = Parameters.of(network, arithmetic)
    half = arithmetic.activation.codes / 2
    for step, ofmap in reference(network, arithmetic, parameters):
        codes = ofmap.values.astype(int) - step.output.zero_point
        rms = np.sqrt((codes**2).mean())
        assert 0.05 * half < rms < 0.7 * half
        assert (codes >= half - 1).mean() < 0.1
        assert ofmap.overflowed == 0


def test_deep_float_networks_neither_vanish_nor_explode() -> None:
    network = chain(*DEEP)
    for _, ofmap in reference(network, FLOAT32, Parameters.of(network, FLOAT32)):
        assert 0.05 < np.sqrt(np.square(ofmap.values).mean()) < 2


def test_default_quantizations() -> None:
    network = build_network(
        "heads",
        {"x": (4, 8), "y": (8, 4)},
        [
            LayerSpec("scores", MatMul(), ("x", "y")),
            LayerSpec("shares", Softmax(), ("scores",)),
            LayerSpec("flat", Flatten(), ("shares",)),
            LayerSpec("out", Dense(out_features=2), ("flat",)),
        ],
    )
    parameters = Parameters.of(network, UINT8)
    assert parameters.quantization("x") == Quantization(1 / 16, 128)
    # rms: sqrt(8) (256 / sqrt(12) / 16)^2 = 60.3; over 32 codes: 1.9, in powers of two 2
    assert parameters.quantization("scores") == Quantization(2.0, 128)
    assert parameters.quantization("shares") == Quantization(1 / 256, 0)
    assert parameters.quantization("flat") == Quantization(1 / 256, 0)
    assert parameters.quantization("out") == Quantization(1 / 16, 128)


def test_batches_of_inputs_differ() -> None:
    network = chain(same(1))
    x = Parameters.of(network, INT8).input("x", (3, 32, 32), batch=2).values
    assert x.shape == (2, 3, 32, 32)
    assert not np.array_equal(x[0], x[1])


def test_narrow_psums_get_biases_that_fit() -> None:
    network = chain(Dense(out_features=500), shape=(1000,))
    arithmetic = arithmetic_of("int8", "int8", "int12", "int8")
    bias = Parameters.of(network, arithmetic).layer(network.layers[0]).arrays["bias"]
    assert -2048 <= bias.min() < -1900
    assert 1900 < bias.max() <= 2047


# --- Files ----------------------------------------------------------------------------------------


def saved(path: Path, *ops: Op, shape: tuple[int, ...] = (2,), **arrays: object) -> Network:
    """A chain whose parameters are `arrays`; the keys' dots are written as double underscores."""
    np.savez(path, **{key.replace("__", "."): np.asarray(value) for key, value in arrays.items()})
    return chain(*ops, shape=shape, weights=path)


def test_file_of_integers(tmp_path: Path) -> None:
    network = saved(
        tmp_path / "w.npz",
        Dense(out_features=1),
        x=np.array([[1, 2], [3, 4]], np.int16),
        x__scale=0.5,
        x__zero_point=1,
        l0__weight=[[1, 2]],
        l0__bias=[10],
        l0__weight_scale=[0.5],
        l0__weight_zero_point=-1,
        l0__output_scale=0.25,
        l0__output_zero_point=2,
    )
    parameters = loaded(network, INT8)
    (result,) = reference(network, INT8, parameters, batch=2)
    # (0, 1) . (2, 3) + 10 = 13; (2, 3) . (2, 3) + 10 = 23; times 0.5 * 0.5 / 0.25, + 2
    assert result[1].values.tolist() == [[15], [25]]
    with pytest.raises(InputError, match="x: a batch of 3 needs as many inputs; the file holds 2"):
        parameters.input("x", (2,), batch=3)


def test_quantizations_of_a_file_pass_through_layers_that_keep_them(tmp_path: Path) -> None:
    network = saved(
        tmp_path / "w.npz", Reshape(shape=(1, 2)), Flatten(), x__scale=0.5, x__zero_point=1
    )
    parameters = loaded(network, INT8)
    assert parameters.quantization("l1") == Quantization(0.5, 1)


def test_file_of_floats_is_rounded_to_the_format(tmp_path: Path) -> None:
    network = saved(
        tmp_path / "w.npz", Dense(out_features=1), l0__weight=[[1 + 2**-8, 1.0]], l0__bias=[2**-20]
    )
    arithmetic = arithmetic_of("bfloat16", "bfloat16", "float32", "bfloat16")
    layer = loaded(network, arithmetic).layer(network.layers[0])
    assert layer.arrays["weight"].tolist() == [[1.0, 1.0]]
    assert layer.arrays["bias"].tolist() == [2**-20]


def test_every_problem_of_a_file_is_listed(tmp_path: Path) -> None:
    network = saved(
        tmp_path / "w.npz",
        *(Dense(out_features=2), Dense(out_features=2), Dense(out_features=2), Flatten()),
        BatchNorm(),
        x=np.zeros((5, 3), np.int8),
        x__scale=0.0,
        l0__weight=[[1, 2, 3]],
        l0__bais=[1, 2],
        l1__weight=[[0.5, 1], [2, 3]],
        l1__bias=[0, 0],
        l2__weight=[[1, 2], [3, 128]],
        l2__bias=[0, 2**31],
        l2__weight_scale=[1, 2, 3],
        l3__output_scale=1.0,
        l4__gamma=[1.0, np.nan],
        l4__beta=[1.0, 1.0],
        l4__mean=[1.0, 1.0],
        l4__variance=[1.0, -1.0],
    )
    with pytest.raises(InputError) as caught:
        loaded(network, INT8)
    problems = {problem.key: problem.message for problem in caught.value.problems}
    expected = {
        "x": "has shape (5, 3), needs (N, ...) and (2,)",
        "x.scale": "must be positive",
        "l0.weight": "has shape (1, 3), needs (2, 2)",
        "l0.bias": "is missing; needs shape (2,)",
        "l0.bais": "no layer takes this; did you mean 'l0.bias'?",
        "l1.weight": "holds float64, int8 needs integer codes",
        "l2.weight": "holds 1 to 128, int8 reaches from -128 to 127",
        "l2.bias": "holds 0 to 2147483648, int32 reaches from",
        "l2.weight_scale": "has shape (3,), needs () or (2,)",
        "l3.output_scale": "no layer takes this",
        "l4.gamma": "needs finite real numbers",
        "l4.variance": "must be positive",
    }
    assert problems.keys() == expected.keys()
    for key, message in expected.items():
        assert message in problems[key], key
    assert all(problem.source == str(network.weights) for problem in caught.value.problems)


def test_scales_mean_nothing_to_floats(tmp_path: Path) -> None:
    network = saved(tmp_path / "w.npz", Flatten(), x__scale=0.5)
    with pytest.raises(InputError, match=r"x\.scale: no layer takes this"):
        loaded(network, FLOAT32)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 but no archive", b"text"])
def test_unreadable_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.npz: cannot be read as \.npz"):
        loaded(chain(Flatten(), weights=path), INT8)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    network = saved(tmp_path / "w.npz", Flatten(), x=np.array([{}, {}], object))
    with pytest.raises(InputError, match="x: cannot be read"):
        loaded(network, INT8)


def test_without_a_file_everything_is_random() -> None:
    network = chain(same(1))
    assert loaded(network, INT8, seed=4).seed == 4


def test_batch_norms_of_a_file_are_folded(tmp_path: Path) -> None:
    network = saved(
        tmp_path / "w.npz",
        *(Dense(out_features=1), BatchNorm(epsilon=0.0), Dense(out_features=1)),
        x=np.array([[1.0, 2.0]], np.float32),
        l0__weight=[[3.0, 4.0]],
        l0__bias=[1.0],
        l1__gamma=[2.0],
        l1__beta=[5.0],
        l1__mean=[8.0],
        l1__variance=[4.0],
        l2__weight=[[10.0]],
        l2__bias=[0.0],
    )
    prepared = prepare_for_inference(network)
    assert [layer.name for layer in prepared.layers] == ["l0", "l2"]
    results = reference(prepared, FLOAT32, loaded(network, FLOAT32))
    # 3 + 8 + 1 = 12; (12 - 8) * 2 / sqrt(4) + 5 = 9; times 10
    assert [ofmap.values.tolist() for _, ofmap in results] == [[[9.0]], [[90.0]]]


def test_integer_weights_cannot_follow_a_folded_batch_norm(tmp_path: Path) -> None:
    ones = {f"l1__{name}": [1.0, 1.0] for name in ("gamma", "beta", "mean", "variance")}
    weights = {"l0__weight": [[1, 2], [3, 4]], "l0__bias": [0, 0]}
    network = saved(tmp_path / "w.npz", Dense(out_features=2), BatchNorm(), **weights, **ones)
    with pytest.raises(InputError, match="l1: is folded into the layer before it"):
        loaded(network, INT8)

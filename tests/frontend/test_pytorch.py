"""Graphs of torch.export as networks: as text without torch, and with it where it is installed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import accelsim
from accelsim.errors import InputError, UncoveredError
from accelsim.frontend.pytorch import network_of_program
from accelsim.frontend.pytorch.program import program_of
from accelsim.network.graph import Network
from accelsim.network.ops import BatchNorm, Embedding, LayerNorm, Position, RmsNorm

GRAPHS = Path(__file__).parent / "torch_graphs"
PARAMETERS = {  # what torch counts of the modules of oracles/torch_models.py
    "residual": 4_890,
    "mobile": 697,
    "plain": 4_065,
    "enlarging": 396,
    "attending": 3_104,
    "encoding": 1_191,
}


CLASSICS = Path(__file__).parent / "torchvision_graphs"
PUBLISHED = {  # torchvision's parameters and GMACs, as its tables of models have them
    "resnet18": (11_689_512, 1.81),
    "googlenet": (6_624_904, 1.50),  # without the auxiliary classifiers
    "mobilenet_v3_large": (5_483_032, 0.22),
    "efficientnet_b0": (5_288_548, 0.39),
    "vit_b_16": (86_567_656, 17.56),
}


def document(name: str, folder: Path = GRAPHS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_torchvisions_models_have_its_parameters_and_products(name: str) -> None:
    parameters, billions = PUBLISHED[name]
    network = network_of_program(program_of(document(name, CLASSICS)))
    assert network.parameters == parameters
    assert round(network.macs / 1e9, 2) == billions


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_large"])
def test_torchvisions_models_run(name: str) -> None:
    network = network_of_program(program_of(document(name, CLASSICS)))
    assert accelsim.simulate(network, "edge_npu").macs == network.macs


def test_every_graph_has_a_count() -> None:
    assert {path.stem for path in GRAPHS.glob("*.json")} == set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_graphs_as_text_have_torchs_parameters_and_run(name: str) -> None:
    network = network_of_program(program_of(document(name)))
    assert network.parameters == PARAMETERS[name]
    assert accelsim.simulate(network, "edge_ws").macs == network.macs


def test_macs_of_the_residual_network_by_hand() -> None:
    """Of 32x32 images 16x16 places of the first convolution, 8x8 behind the pool, then 4x4."""
    network = network_of_program(program_of(document("residual")))
    first = 16 * 16 * 8 * 3 * 49
    block1 = 8 * 8 * (8 * 8 * 9 + 8 * 4 * 9 + 8 * 8)
    block2 = 4 * 4 * (16 * 8 * 9 + 16 * 8 * 9 + 16 * 8)
    assert network.macs == first + block1 + block2 + 16 * 10


def test_what_a_transformer_is_made_of_is_found() -> None:
    layers = network_of_program(program_of(document("attending"))).layers
    kinds = [type(layer.op) for layer in layers]
    for kind in (Embedding, Position, LayerNorm, RmsNorm):
        assert kinds.count(kind) == 1
    assert [layer.name for layer in layers if layer.op.name == "softmax"] == [
        "scaled_dot_product_attention/shares"
    ]


def test_batch_norms_of_eval_mode_fold_away() -> None:
    network = network_of_program(program_of(document("residual")))
    assert sum(isinstance(layer.op, BatchNorm) for layer in network.layers) == 7
    run = accelsim.simulate(network, "edge_ws")
    assert not any(layer.op == "batch_norm" for layer in run.layers)


def small(*calls: list[Any]) -> dict[str, Any]:
    return {
        "name": "small",
        "inputs": {"x": [2, 3, 4]},
        "parameters": {"w": [5, 4]},
        "calls": list(calls),
        "outputs": [calls[-1][0]],
    }


X, W = {"ref": "x"}, {"ref": "w"}


def test_what_no_layer_stands_for_is_told_with_its_name_and_share() -> None:
    given = small(
        ["a", "aten.linear.default", [X, W], {}, [2, 3, 5]],
        ["b", "aten.cummax.default", [{"ref": "a"}, 1], {}, [2, 3, 5]],
        ["c", "aten.relu.default", [{"ref": "b"}], {}, [2, 3, 5]],
    )
    with pytest.raises(UncoveredError, match=r"(?s)aten\.cummax\.default.*1 of 1 node") as caught:
        network_of_program(program_of(given))
    assert [row.refused for row in caught.value.rows] == [0, 1, 0]


def test_a_module_that_trains_is_told_to_be_put_into_eval_mode() -> None:
    norm = [X, None, None, W, W, True, 0.1, 1e-5, True]
    with pytest.raises(UncoveredError, match=r"say \.eval\(\) first"):
        network_of_program(program_of(small(["y", "aten.batch_norm.default", norm, {}, [2, 3, 4]])))


def test_arrays_of_a_program_are_the_layers_own() -> None:
    given = small(["y", "aten.linear.default", [X, W], {}, [2, 3, 5]])
    weight = np.arange(20, dtype=np.float32).reshape(5, 4)
    network = network_of_program(program_of(given, {"w": weight}))
    x = np.ones((2, 3, 4), np.float32)
    float32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    values = accelsim.compute(network, "edge_ws", inputs={"x": x}, set=[float32])
    np.testing.assert_array_equal(values.ofmaps["y"], x @ weight.T)


PLACES: dict[str, Any] = {
    "i": np.array([2, 0, -2, 1]),
    "j": np.array([0, 1, 2, 0]),
    "each": np.array([[[1, 3], [0, 0], [2, 1]]] * 2),
    "w": np.arange(20, dtype=np.float32).reshape(5, 4),
}
CHOICES: dict[str, tuple[list[list[Any]], Any]] = {
    "compared": (
        [
            ["a", "aten.gt.Scalar", [X, 0.25], {}, [2, 3, 4]],
            ["b", "aten.ne.Scalar", [X, 0.5], {}, [2, 3, 4]],
            ["c", "aten.logical_and.default", [{"ref": "a"}, {"ref": "b"}], {}, [2, 3, 4]],
            ["d", "aten.where.self", [{"ref": "c"}, X, {"ref": "b"}], {}, [2, 3, 4]],
        ],
        lambda x: np.where((x > 0.25) & (x != 0.5), x, x != 0.5),
    ),
    "masked": (
        [
            ["a", "aten.le.Scalar", [X, 0.0], {}, [2, 3, 4]],
            ["b", "aten.masked_fill.Scalar", [X, {"ref": "a"}, -9.0], {}, [2, 3, 4]],
            ["c", "aten.floor.default", [{"ref": "b"}], {}, [2, 3, 4]],
        ],
        lambda x: np.floor(np.where(x <= 0, -9, x)),
    ),
    "shifted round": (
        [["a", "aten.roll.default", [X, [1, -2], [1, 2]], {}, [2, 3, 4]]],
        lambda x: np.roll(x, (1, -2), (1, 2)),
    ),
    "backwards": ([["a", "aten.flip.default", [X, [-1]], {}, [2, 3, 4]]], lambda x: x[..., ::-1]),
    "at places of an axis": (
        [["a", "aten.index.Tensor", [X, [None, {"ref": "i"}]], {}, [2, 4, 4]]],
        lambda x: x[:, PLACES["i"]],
    ),
    "at places of two": (
        [["a", "aten.index.Tensor", [X, [None, {"ref": "j"}, {"ref": "i"}]], {}, [2, 4]]],
        lambda x: x[:, PLACES["j"], PLACES["i"]],
    ),
    "selected": (
        [["a", "aten.index_select.default", [X, 2, {"ref": "i"}], {}, [2, 3, 4]]],
        lambda x: x[..., PLACES["i"]],
    ),
    "one for each index": (
        [["a", "aten.gather.default", [X, 2, {"ref": "each"}], {}, [2, 3, 2]]],
        lambda x: np.take_along_axis(x, PLACES["each"], 2),
    ),
    "rows of a table at computed places": (
        [
            ["a", "aten.argmax.default", [X, -1], {}, [2, 3]],
            ["b", "aten.index.Tensor", [W, [{"ref": "a"}]], {}, [2, 3, 4]],
        ],
        lambda x: PLACES["w"][x.argmax(-1)],
    ),
    "summed up, from 1": (
        [
            ["a", "aten.cumsum.default", [X, 1], {}, [2, 3, 4]],
            ["b", "aten.rsub.Scalar", [{"ref": "a"}, 1.0], {}, [2, 3, 4]],
            ["c", "aten.clamp_min.default", [{"ref": "b"}, -0.5], {}, [2, 3, 4]],
        ],
        lambda x: np.maximum(1 - np.cumsum(x, 1), -0.5),
    ),
    "norms": (
        [["a", "aten.linalg_vector_norm.default", [X, 2, [-1], True], {}, [2, 3, 1]]],
        lambda x: np.linalg.norm(x, axis=-1, keepdims=True),
    ),
    "sums of products": (
        [["a", "aten.einsum.default", ["bij,bkj->bik", [X, X]], {}, [2, 3, 3]]],
        lambda x: np.einsum("bij,bkj->bik", x, x),
    ),
    "place": ([["a", "aten.argmax.default", [X, -1], {}, [2, 3]]], lambda x: x.argmax(-1)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_comparisons_and_choices_are_what_they_say(name: str) -> None:
    calls, truth = CHOICES[name]
    given = small(*calls)
    given["parameters"] |= {key: [*array.shape] for key, array in PLACES.items()}
    network = network_of_program(program_of(given, PLACES))
    x = (np.random.default_rng(0).integers(-4, 5, (2, 3, 4)) / 4).astype(np.float32)
    float32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    values = accelsim.compute(network, "edge_ws", inputs={"x": x}, set=[float32])
    np.testing.assert_array_equal(list(values.ofmaps.values())[-1], truth(x))


def test_a_module_without_torch_or_examples_is_told_what_it_needs() -> None:
    with pytest.raises(InputError, match="needs example_inputs"):
        accelsim.from_torch(object())


@pytest.mark.parametrize("name", PARAMETERS)
def test_values_are_those_of_torch(name: str) -> None:
    """Where torch is installed, which no other test needs."""
    torch = pytest.importorskip("torch")
    from oracles.torch_models import made

    module, example = made(name)
    network = accelsim.from_torch(module, (example,))
    assert network.parameters == sum(each.numel() for each in module.parameters())
    (key,) = network.inputs
    float32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    found = accelsim.compute(network, "edge_ws", inputs={key: example.numpy()}, set=[float32])
    with torch.no_grad():
        wanted = module(example).numpy()
    last = list(found.ofmaps.values())[-1]
    np.testing.assert_allclose(last.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama", "roberta", "swin", "vit"])
def test_values_are_those_of_hugging_face(name: str) -> None:
    """Where torch and transformers are installed, which no other test needs."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from oracles.hugging_face import made

    module, example = made(name)
    network = accelsim.from_torch(module, (example,))
    (key,) = network.inputs
    float32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    found = accelsim.compute(network, "edge_ws", inputs={key: example.numpy()}, set=[float32])
    with torch.no_grad():
        wanted = module(example).numpy()
    (output,) = found.outputs.values()
    np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def one_call(target: str, args: list[Any], shape: list[int], **parameters: list[int]) -> Network:
    inputs = {"x": [1, 4, 2, 3]}
    calls = [["y", f"aten.{target}.default", [{"ref": "x"}, *args], {}, shape]]
    document = {"name": "one", "inputs": inputs, "parameters": parameters, "calls": calls}
    return network_of_program(program_of({**document, "outputs": ["y"]}))


def test_squares_of_channels_become_pixels_and_a_product_keeps_all_axes() -> None:
    shuffled = one_call("pixel_shuffle", [2], [1, 1, 4, 6])
    assert shuffled.layers[-1].output_shape == (1, 4, 6)
    made = one_call("linear", [{"ref": "w"}, {"ref": "b"}], [1, 4, 2, 5], w=[5, 3], b=[5])
    assert (made.layers[-1].output_shape, made.parameters, made.macs) == ((4, 2, 5), 20, 8 * 15)


def test_what_is_constant_on_both_sides_is_refused_by_name() -> None:
    calls = [
        ["c", "aten.add.Tensor", [{"ref": "w"}, {"ref": "w"}], {}, [4]],
        ["y", "aten.relu.default", [{"ref": "x"}], {}, [1, 4]],
    ]
    document = {"name": "two", "inputs": {"x": [1, 4]}, "parameters": {"w": [4]}, "calls": calls}
    with pytest.raises(UncoveredError, match="of constants"):
        network_of_program(program_of({**document, "outputs": ["y", "c"]}))

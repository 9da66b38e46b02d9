"""ONNX models as networks: drawn ones against onnxruntime, what users trip over, and bad input."""

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import AccelsimError, InputError, UncoveredError
from accelsim.frontend import load_network
from accelsim.frontend.onnx.file import read_model
from accelsim.frontend.sweep_file import sweep_from
from accelsim.network.ops import Conv, Transpose
from accelsim.sweep.space import resolve

FLOAT = TensorProto.FLOAT
OPEN = ("N", 3, "h", "w")


def model(
    nodes: list[Any],
    arrays: dict[str, Any] | None = None,
    shape: tuple[Any, ...] = (2, 3, 9, 8),
    opset: int = 17,
    output: str = "y",
    made: int = FLOAT,
) -> Any:
    """A model from `x` to `output` of type `made`; `arrays` are its initializers."""
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info(output, made, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (arrays or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(op: str, inputs: str = "x", output: str = "y", **attributes: Any) -> Any:
    return helper.make_node(op, inputs.split(), [output], **attributes)


def feed(shape: tuple[int, ...], seed: int = 0) -> dict[str, Any]:
    return {"x": default_rng(seed).standard_normal(shape, dtype=np.float32)}


def right(given: Any, folder: Path, shape: tuple[int, ...] = (2, 3, 9, 8)) -> Path:
    """Our reference is what onnxruntime makes of the model; returns its file."""
    path, feeds = saved(given, folder), feed(shape)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    return path


def weights(seed: int, *shape: int) -> Any:
    return default_rng(seed).standard_normal(shape, dtype=np.float32) / 4


W33, C3 = weights(1, 6, 3, 3, 3), weights(2, 3)
POOL = {"kernel_shape": [3, 2], "strides": [2, 2]}
STATISTICS = {"g": C3, "b": C3 + 1, "m": C3 / 2, "v": np.abs(C3) + 1}
BN = node("BatchNormalization", "x g b m v", epsilon=1e-3)
SEMANTICS: dict[str, Any] = {
    "asymmetric pads": model([node("Conv", "x w", pads=[0, 1, 2, 3])], {"w": W33}),
    "same upper": model([node("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 3])], {"w": W33}),
    "same lower": model([node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])], {"w": W33}),
    "valid": model([node("Conv", "x w", auto_pad="VALID")], {"w": W33}),
    "dilated": model([node("Conv", "x w", dilations=[2, 3], strides=[1, 2])], {"w": W33}),
    "depthwise": model(
        [node("Conv", "x w b", group=3)], {"w": weights(3, 6, 1, 3, 2), "b": W33[:, 0, 0, 0]}
    ),
    "ceil": model([node("MaxPool", ceil_mode=1, pads=[1, 0, 1, 1], **POOL)]),
    "mean with padding": model(
        [node("AveragePool", count_include_pad=1, pads=[1, 0, 1, 1], **POOL)]
    ),
    "mean of data": model([node("AveragePool", pads=[1, 0, 1, 1], **POOL)]),
    "mean, same": model([node("AveragePool", auto_pad="SAME_UPPER", **POOL)]),
    "clip by inputs": model([node("Clip", "x l h")], {"l": np.float32(-0.5), "h": np.float32(1)}),
    "clip above": model([helper.make_node("Clip", ["x", "", "h"], ["y"])], {"h": np.float32(1)}),
    "clip, old": model([node("Clip", min=-0.25, max=0.75)], opset=6),
    "batch norm unfolded": model([BN], STATISTICS),
    "negative axes": model([node("Softmax", axis=-1)]),
    "softmax of channels": model([node("Softmax", axis=1)]),
    "softmax, old": model([node("Softmax", axis=2)], opset=11),
    "reshape 0 and -1": model([node("Reshape", "x s")], {"s": np.array([0, 9, -1])}),
    "flatten": model([node("Flatten", axis=-3)]),
    "one input": model([node("Concat", "x", "a", axis=1), node("Relu", "a")]),
    "concat of rows": model([node("Concat", "x x", axis=1)], shape=(2, 5, 4)),
    "from NHWC": model([node("Transpose", "x", perm=[0, 3, 1, 2])]),
    "swapped in five axes": model([
        node("Reshape", "x s", "a"), node("Transpose", "a", "c", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "c t"),
    ], {"s": np.array([2, 3, 3, 3, 8]), "t": np.array([2, 9, 3, 8])}),
    "scale and shift": model(
        [node("Mul", "x g", "a"), node("Add", "a b")],
        {"g": C3.reshape(3, 1, 1), "b": C3.reshape(1, 3, 1, 1)},
    ),
    "folded by constants": model(
        [
            node("Conv", "x w", "a"), node("Mul", "a k", "c"),
            node("Sub", "c k", "d"), node("Div", "d k"),
        ],
        {"w": W33, "k": np.float32(1.5)},
    ),
    "difference": model([node("Sigmoid", "x", "a"), node("Sub", "x a")]),
    "swish": model([node("Sigmoid", "x", "a"), node("Mul", "a x")]),
    "hard swish": model([node("HardSigmoid", "x", "a", alpha=1 / 6), node("Mul", "x a")]),
    "squeeze and excite": model([node("GlobalAveragePool", "x", "a"), node("Mul", "x a")]),
    "mean of axes": model([node("ReduceMean", "x", axes=[-1, 2], keepdims=0)]),
    "over lines": model(
        [node("Conv", "x w", pads=[2, 0], strides=[2])], {"w": weights(4, 4, 3, 3)}, (2, 3, 11)
    ),
    "shared through identity": model(
        [
            node("Identity", "w", "v"), node("Conv", "x w", "a"),
            node("Conv", "x v", "b"), node("Add", "a b"),
        ],
        {"w": W33},
    ),
    "zeros around": model(
        [
            node("Pad", "x p", "a"), node("Conv", "a w", "b", pads=[0, 1, 0, 0]),
            node("Conv", "a w", "c", strides=[1, 2]), node("Flatten", "b", "d"),
            node("Flatten", "c", "e"), node("Concat", "d e", axis=1),
        ],
        {"w": W33, "p": np.array([0, 0, 1, 0, 0, 0, 2, 1])},
    ),
    "split": model(
        [
            helper.make_node("Split", ["x", "n"], ["a", "b"], axis=1), node("Tanh", "a", "c"),
            node("Concat", "b c", axis=1),
        ],
        {"n": np.array([1, 2])},
    ),
    "sliced": model(
        [node("Slice", "x s e a t")],
        {
            "s": np.array([1, -7]), "e": np.array([2**40, -1]), "a": np.array([1, -1]),
            "t": np.array([1, 2]),
        },
    ),
    "sliced, old": model([node("Slice", starts=[2], ends=[7], axes=[2])], opset=9),
    "shapes that the model computes": model(
        [
            node("Shape", "x", "n"), node("Gather", "n zero", "b", axis=0),
            node("Concat", "b rest", "s", axis=0), node("Reshape", "x s"),
        ],
        {"zero": np.array([0]), "rest": np.array([-1, 6])},
    ),
}  # fmt: skip
W74, W47, ROW4 = weights(5, 7, 4), weights(5, 4, 7), weights(6, 4)
MATRICES: dict[str, Any] = {
    "gemm": model([node("Gemm", "x w c", alpha=0.5, beta=2.0)], {"w": W74, "c": ROW4}, (3, 7)),
    "gemm, turned": model(
        [node("Gemm", "x w c", transB=1)], {"w": W47, "c": ROW4[:1]}, (3, 7)
    ),
    "gemm, a row": model([node("Gemm", "x w c")], {"w": W74, "c": ROW4.reshape(1, 4)}, (3, 7)),
    "rows": model(
        [node("MatMul", "x w", "a"), node("Add", "a c")], {"w": W74, "c": ROW4}, (2, 5, 7)
    ),
    "rows of rows": model([node("MatMul", "x w")], {"w": W74}, (2, 3, 5, 7)),
    "turned by a node": model(
        [node("Transpose", "w", "v", perm=[1, 0]), node("MatMul", "x v")], {"w": W47}, (3, 7)
    ),
    "times itself": model(
        [node("Transpose", "x", "a", perm=[0, 2, 1]), node("MatMul", "x a")], None, (2, 5, 7)
    ),
}  # fmt: skip
CASES = SEMANTICS | MATRICES


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_what_users_trip_over(given: Any, tmp_path: Path) -> None:
    shape = tuple(dim.dim_value for dim in given.graph.input[0].type.tensor_type.shape.dim)
    right(given, tmp_path, shape)


# --- Drawn models ---------------------------------------------------------------------------------


FUNCTIONS = (
    *("Relu", "Tanh", "Sigmoid", "Elu", "LeakyRelu", "HardSigmoid", "Softplus", "Selu"),
    *("HardSwish", "Neg"),
)


def drawn(generator: Generator) -> Any:
    """Some layers behind each other, with a way around some of them."""
    pick: Callable[..., int] = lambda *of: int(generator.choice(of))  # noqa: E731
    nodes: list[Any] = []
    arrays: dict[str, Any] = {}
    channels, at = 3, "x"
    for index in range(pick(3, 4, 5)):
        before, at = at, f"t{index}"
        match generator.choice(["conv", "pool", "norm", "function", "around", "joined"]):
            case "conv":
                groups = pick(1, channels)
                kernel, outputs = [pick(1, 2, 3), pick(1, 2, 3)], groups * pick(1, 2)
                pads = [pick(0, 1, 2) for _ in range(4)]
                arrays[f"w{index}"] = weights(index, outputs, channels // groups, *kernel)
                arrays[f"b{index}"] = weights(index, outputs)
                given = {"pads": pads, "strides": [1, pick(1, 2)], "group": groups}
                nodes.append(node("Conv", f"{before} w{index} b{index}", at, **given))
                channels = outputs
            case "pool":
                op = str(generator.choice(["MaxPool", "AveragePool"]))
                pads = [pick(0, 1) for _ in range(4)]
                given = {"pads": pads, "ceil_mode": pick(0, 1), "strides": [pick(1, 2), 1]}
                nodes.append(node(op, before, at, kernel_shape=[2, 3], **given))
            case "norm":
                names = [f"{part}{index}" for part in "gcmv"]
                arrays |= {name: np.abs(weights(index, channels)) + 0.5 for name in names}
                nodes.append(node("BatchNormalization", " ".join([before, *names]), at))
            case "function":
                nodes.append(node(str(generator.choice(FUNCTIONS)), before, at))
            case "around":
                nodes.append(node("Sigmoid", before, f"s{index}"))
                nodes.append(node(str(generator.choice(["Add", "Mul"])), f"{before} s{index}", at))
            case "joined":
                nodes.append(node("Relu", before, f"r{index}"))
                nodes.append(node("Concat", f"{before} r{index}", at, axis=1))
                channels *= 2
    return model(nodes, arrays, output=at)


@pytest.mark.parametrize("seed", range(6))
def test_drawn_models_are_what_onnxruntime_computes(seed: int, tmp_path: Path) -> None:
    path = right(drawn(default_rng(seed)), tmp_path)
    assert wrong_tiles(path, feed((2, 3, 9, 8))) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 40))
def test_more_drawn_models(seed: int, tmp_path: Path) -> None:
    path = right(drawn(default_rng(seed)), tmp_path)
    assert wrong_tiles(path, feed((2, 3, 9, 8))) == []


# --- What is made of a model ----------------------------------------------------------------------


def test_what_is_constant_costs_nothing(tmp_path: Path) -> None:
    """A convolution, its batch norm and a relu are one layer; a swapped weight is a weight."""
    chain = [
        node("Conv", "x w", "a"), node("Mul", "a k", "c"), node("Add", "c k", "d"),
        node("Relu", "d"),
    ]  # fmt: skip
    k = weights(3, 6).reshape(6, 1, 1)
    network = load_network(saved(model(chain, {"w": W33, "k": k}), tmp_path))
    from accelsim.network.passes import prepare_for_inference

    (layer,) = prepare_for_inference(network).layers
    assert layer.op == Conv(out_channels=6, kernel=(3, 3), activation="relu")


def test_a_sweep_takes_models_and_knows_them_by_what_they_compute(tmp_path: Path) -> None:
    keys = []
    for op in ("Relu", "Relu", "Tanh"):
        path = saved(model([node("Conv", "x w", "a"), node(op, "a")], {"w": W33}, OPEN), tmp_path)
        said = {"name": "s", "networks": [str(path)], "base": "edge_ws", "dims": {"h": 9, "w": 8}}
        keys += [point.key for point in resolve(sweep_from(said)).points]
    assert len(set(keys)) == 2
    assert keys[0] == keys[1]


def test_without_the_library_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(model([node("Relu")]), tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'accelsim\[onnx\]'"):
        load_network(path)


def test_a_swap_is_a_layer_and_not_free(tmp_path: Path) -> None:
    swap, view = load_network(saved(SEMANTICS["from NHWC"], tmp_path)).layers[-2:]
    assert isinstance(swap.op, Transpose)
    assert view.output_shape == (8, 3, 9)


def test_an_open_batch_is_one_image_and_other_open_sizes_are_asked_for(tmp_path: Path) -> None:
    path = saved(model([node("Relu")], shape=OPEN), tmp_path)
    with pytest.raises(InputError, match="size 'h' is open; give --dim h=N"):
        load_network(path)
    assert load_network(path, {"h": 4, "w": 5}).inputs == {"x": (3, 4, 5)}
    with pytest.raises(InputError, match="no input has an open size 'q'"):
        load_network(path, {"h": 4, "w": 5, "q": 1})


def test_the_domain_of_onnx_has_two_names(tmp_path: Path) -> None:
    """Softmax is over one axis from opset 13 on, by either name."""
    given = model([node("Softmax", axis=1)])
    given.graph.node[0].domain = "ai.onnx"
    right(given, tmp_path)


def test_outputs_cut_a_model(tmp_path: Path) -> None:
    given = model([node("Relu", "x", "a"), node("NonZero", "a")], made=TensorProto.INT64)
    path = saved(given, tmp_path)
    with pytest.raises(UncoveredError, match="what lies before runs with --outputs a;"):
        load_network(path)
    assert [layer.op.name for layer in load_network(path, outputs=["a"]).layers] == ["relu"]
    with pytest.raises(InputError, match="b: nothing in the model is called so"):
        load_network(path, outputs=["b"])


def test_what_is_refused_is_counted_with_its_share(tmp_path: Path) -> None:
    chain = [
        node("Conv", "x w", "a"),
        node("ConvTranspose", "a w", auto_pad="SAME_UPPER", output_padding=[1, 1], strides=[2, 2]),
        node("Sinh", "y", "z"),
    ]
    with pytest.raises(UncoveredError) as caught:
        load_network(saved(model(chain, {"w": W33}, output="z"), tmp_path))
    rows = {row.operator: row for row in caught.value.rows}
    assert [(row.nodes, row.refused) for row in rows.values()] == [(1, 0), (1, 1), (1, 1)]
    convs = 2 * 6 * 7 * 6 * 27  # N K P Q C R S, and as many for each of its inputs turned
    assert (rows["Conv"].macs, rows["ConvTranspose"].macs) == (convs, convs)
    assert rows["ConvTranspose"].share == 0.5


def test_a_share_is_counted_or_said_to_be_unknown(tmp_path: Path) -> None:
    """Of 9 times and 8 features: 3 gates of 4 values, of a constant Einsum nothing is known."""
    arrays = {"w": weights(1, 1, 12, 8), "r": weights(2, 1, 12, 4), "v": weights(3, 4, 4)}
    nodes = [
        node("GRU", "x w r", "a", hidden_size=4, clip=0.1),
        node("Einsum", "a v", "y", equation="tdnh,hk->tdnk"),
    ]
    with pytest.raises(UncoveredError) as caught:
        load_network(saved(model(nodes, arrays, shape=(9, 2, 8)), tmp_path))
    rows = {row.operator: row for row in caught.value.rows}
    assert rows["GRU"].macs == 9 * 2 * 12 * (8 + 4)
    assert rows["Einsum"].told_share == "an unknown share"


def test_what_is_asked_to_be_free_says_so_everywhere(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "a"), node("Sinh", "a", "b"), node("Conv", "b v", "c"),
        node("Sinh", "c", "y"),
    ]  # fmt: skip
    path = saved(model(nodes, {"w": W33, "v": weights(5, 2, 6, 1, 1)}), tmp_path)
    network = load_network(path, free=True)
    assert network.name == "model (2 of 4 nodes free)"
    assert "taken as free: Sinh (2, 0.0% of MACs)" in network.description
    assert network.inputs == {"x": (3, 9, 8), "b/free": (6, 7, 6), "y/free": (2, 7, 6)}
    assert [layer.op.name for layer in network.layers] == ["conv", "conv", "reshape"]
    out = tmp_path / "out.json"
    arguments = ["run", str(path), "edge_ws", "--unsupported", "free", "--json", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert json.loads(out.read_text())["network"] == network.name
    assert CliRunner().invoke(app, arguments[:3]).exit_code == 2
    said = {"name": "s", "networks": [str(path)], "base": "edge_ws"}
    (point,) = resolve(sweep_from(said | {"unsupported": "free"})).points
    assert point.network == f"{path} (2 of 4 nodes free)"
    with pytest.raises(InputError, match="Sinh"):
        resolve(sweep_from(said))
    (point,) = resolve(sweep_from(said | {"outputs": ["a"]})).points
    assert (point.network, len(point.graph.layers)) == (str(path), 1)


COMMANDS = (
    *("show {}", "convert {}", "compute {} edge_ws", "explain {} edge_ws y", "verify {} edge_ws"),
    "train {} edge_ws --loss squared_error",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_what_is_free(command: str, tmp_path: Path) -> None:
    path = saved(model([node("Sinh", "x", "a"), node("Conv", "a w")], {"w": W33}), tmp_path)
    given = command.format(path).split()
    free = CliRunner().invoke(app, [*given, "--unsupported", "free"])
    assert free.exit_code == 0
    assert "1 of 2 nodes free" in free.output
    assert CliRunner().invoke(app, given).exit_code == 2


def test_what_has_no_shape_cannot_be_free(tmp_path: Path) -> None:
    with pytest.raises(UncoveredError, match="NonZero"):
        load_network(saved(model([node("NonZero")], made=TensorProto.INT64), tmp_path), free=True)


def test_stripped_weights_are_random_and_that_is_said(tmp_path: Path) -> None:
    fill = helper.make_node("ConstantOfShape", ["s"], ["w"])
    given = model([fill, node("Conv", "x w")], {"s": np.array([6, 3, 3, 3])})
    network = load_network(saved(given, tmp_path))
    assert "no weights of 1 layers: random ones" in network.description
    assert list(network.weights.opened()) == []  # type: ignore[union-attr]


def test_weights_in_a_file_of_their_own_are_mapped(tmp_path: Path) -> None:
    path = saved(SEMANTICS["valid"], tmp_path)
    feeds = feed((2, 3, 9, 8))
    inside = computed(path, feeds)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    assert np.array_equal(computed(path, feeds), inside)


# --- Quantized models -----------------------------------------------------------------------------

UINT8, INT8 = np.uint8, np.int8
INTEGERS = "precision={{ifmap: {0}, filter: int8, psum: int32, ofmap: {0}}}"


def quantization(name: str, scale: float, kind: Any, size: Any = None) -> dict[str, Any]:
    """A scale and a zero point of a tensor, or of the channels of a weight."""
    generator = default_rng(ord(name))
    zero = generator.integers(100, 150) if kind is UINT8 else generator.integers(-9, 9)
    scales = np.asarray(scale * generator.uniform(0.8, 1.25, size), np.float32)
    points = np.zeros(size, kind) if size else np.asarray(zero, kind)
    return {f"{name}s": scales, f"{name}z": points}


def quantized_arrays(kind: Any, largest: int) -> dict[str, Any]:
    """Two convolutions and a matrix product of codes; those of weights are up to `largest`."""
    g = default_rng(1)
    whole = {"low": -largest, "high": largest + 1}
    arrays: dict[str, Any] = {
        "w": g.integers(**whole, size=(5, 3, 3, 3)).astype(INT8),
        "v": g.integers(**whole, size=(4, 5, 2, 2)).astype(INT8),
        "u": g.integers(**whole, size=(12, 6)).astype(INT8),
        "wb": g.integers(-9999, 9999, 5).astype(np.int32),
    }
    for name, scale in {"x": 0.02, "a": 0.06, "b": 0.15, "d": 0.3}.items():
        arrays |= quantization(name, scale, kind)
    for name, size in {"w": 5, "v": None, "u": None}.items():
        arrays |= quantization(name, 0.02, INT8, size)
    return arrays | {"wbs": arrays["xs"] * arrays["ws"]}


def integer_operators() -> list[Any]:
    return [
        node("QuantizeLinear", "x xs xz", "q"),
        node("QLinearConv", "q xs xz w ws wz as az wb", "a", pads=[1, 0, 1, 0]),
        node("MaxPool", "a", "m", kernel_shape=[2, 2], strides=[2, 2]),
        node("QLinearConv", "m as az v vs vz bs bz", "b", dilations=[1, 2]),
        node("Flatten", "b", "f"),
        node("QLinearMatMul", "f bs bz u us uz ds dz", "y"),
    ]


def pairs() -> list[Any]:
    """The first convolution with a relu, as quantizers of frameworks write it."""
    return [
        node("QuantizeLinear", "x xs xz", "q"), node("DequantizeLinear", "q xs xz", "dq"),
        node("DequantizeLinear", "w ws wz", "dw", axis=0),
        node("DequantizeLinear", "wb wbs", "dwb", axis=0),
        node("Conv", "dq dw dwb", "c", pads=[1, 0, 1, 0]), node("Relu", "c", "r"),
        node("QuantizeLinear", "r as az", "y"),
    ]  # fmt: skip


def residual() -> list[Any]:
    """The sum of two convolutions, whose codes stand for different numbers, and its mean."""
    return [
        *pairs()[:3], node("Conv", "dq dw", "c", pads=[1, 0, 1, 0]),
        node("QuantizeLinear", "c as az", "qa"), node("DequantizeLinear", "qa as az", "da"),
        node("Conv", "dq dw", "e", pads=[0, 0, 2, 0]),
        node("QuantizeLinear", "e bs bz", "qb"), node("DequantizeLinear", "qb bs bz", "db"),
        node("Add", "da db", "s"), node("Relu", "s", "r"),
        node("QuantizeLinear", "r ds dz", "qd"), node("DequantizeLinear", "qd ds dz", "dd"),
        node("AveragePool", "dd", "g", kernel_shape=[2, 2]), node("QuantizeLinear", "g xs xz", "y"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "nodes", [integer_operators(), pairs(), residual()], ids=["integer", "pairs", "residual"]
)
@pytest.mark.parametrize("kind", [UINT8, INT8], ids=["uint8", "int8"])
@pytest.mark.parametrize("ours", ["uint8", "int8"])
def test_codes_are_those_of_onnxruntime_bit_for_bit(
    nodes: list[Any], kind: Any, ours: str, tmp_path: Path
) -> None:
    """Whether the hardware has signed codes or the model, the numbers are the same.

    Weights have 7 bits: without VNNI onnxruntime saturates sums of two larger products.
    """
    path, feeds = quantized_file(nodes, quantized_arrays(kind, 63), kind, tmp_path), feed(SHAPE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.run(None, feeds)[0].astype(int)
    assert len(np.unique(wanted)) > 6, "codes that say little"
    same_codes(path, wanted, kind, ours)


@pytest.mark.skipif(
    tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 23),
    reason="older reference implementations wrap codes around instead of clipping them",
)
@pytest.mark.parametrize("kind", [UINT8, INT8], ids=["uint8", "int8"])
def test_codes_of_all_sizes_are_those_of_onnx_itself(kind: Any, tmp_path: Path) -> None:
    path = quantized_file(integer_operators(), quantized_arrays(kind, 127), kind, tmp_path)
    wanted = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, feed(SHAPE))[0]
    same_codes(path, wanted.astype(int), kind, "int8")


SHAPE = (2, 3, 9, 8)


def quantized_file(nodes: list[Any], arrays: dict[str, Any], kind: Any, folder: Path) -> Path:
    given = model(nodes, arrays, SHAPE)
    given.graph.output[0].type.tensor_type.elem_type = 2 if kind is UINT8 else 3
    return saved(given, folder)


def same_codes(path: Path, wanted: Any, kind: Any, ours: str) -> None:
    """Our codes are `wanted`, but for the 128 between signed and unsigned ones."""
    arrays, limits = quantized_arrays(kind, 1), np.iinfo(kind)
    by = 128 * ((ours == "uint8") - (kind is UINT8))
    codes = np.rint(feed(SHAPE)["x"] / arrays["xs"]) + arrays["xz"].astype(int)
    feeds = {"x": np.clip(codes, limits.min, limits.max).astype(int) + by}
    settings = (INTEGERS.format(ours),)
    values = computed(path, feeds, settings).reshape(wanted.shape)
    assert np.array_equal(values.astype(int), wanted + by)
    assert wrong_tiles(path, feeds, settings) == []


# --- Bad input ------------------------------------------------------------------------------------


def external(location: str, **more: str) -> Any:
    """A convolution whose weight is said to lie elsewhere."""
    given = model([node("Conv", "x w")], {"w": W33})
    (tensor,) = given.graph.initializer
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return given


def short() -> Any:
    given = model([node("Conv", "x w")], {"w": W33})
    given.graph.initializer[0].raw_data = b"1234"
    return given


LOOP = model([node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b")])
BAD: dict[str, tuple[Any, str]] = {
    "a cycle": (LOOP, "a: lies on a cycle: it reads 'b'|b: lies on a cycle: it reads 'a'"),
    "nothing": (model([node("Relu", "q")]), "y: reads 'q', which nothing in the model makes"),
    "twice": (model([node("Relu"), node("Tanh")]), "y: 'y' is made twice"),
    "shapes": (model([node("Conv", "x w")], {"w": weights(1, 6, 4, 3, 3)}), "y: .*"),
    "reshape": (model([node("Reshape", "x s")], {"s": np.array([5, -1])}), "y: Reshape does not"),
    "kernel": (model([node("MaxPool", kernel_shape=[3, 3, 3])]), "y: MaxPool does not fit"),
    "stride": (model([node("MaxPool", kernel_shape=[2, 2], strides=[0, 0])]), "y: .* the strides"),
    "short": (short(), "w: has 4 bytes, but the shape .* takes 648"),
    "missing": (external("w.bin"), "w: its values should lie in .*w.bin, but no such file"),
    "hostile": (external("../../etc/passwd"), "w: its values lie outside of the model's folder"),
    "absolute": (external("/etc/passwd"), "w: its values lie outside of the model's folder"),
    "too little": (external("model.onnx", offset="100000"), "w: .* from 100,000 on are missing"),
    "too short": (external("model.onnx", length="40"), "w: has 40 bytes, but .* takes 648"),
    "too long": (external("model.onnx", length="1000"), "w: has 1,000 bytes, but .* takes 648"),
    "no length": (external("model.onnx", length="x"), "w: says a place that is none"),
    "no offset": (external("model.onnx", offset="x"), "w: says a place that is none"),
    "loop": (model([node("Loop", "x")]), "y: what it does depends on values"),
    "constant": (model([node("Shape")], made=TensorProto.INT64), "y: is a constant, so nothing"),
    "newer": (model([node("Relu")], opset=99), "has opset 99; the installed onnx knows"),
    "large": (model([node("Tile", "x s")], {"s": np.array([2**40, 2**20, 1, 1])}), "y: .*"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_bad_models_are_told_with_the_node(given: Any, message: str, tmp_path: Path) -> None:
    path = saved(given, tmp_path)
    with pytest.raises(InputError, match=message):
        load_network(path)


def test_a_model_cut_off_anywhere_is_told_so(tmp_path: Path) -> None:
    path = saved(SEMANTICS["depthwise"], tmp_path)
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(InputError):
            load_network(path)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_models_are_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Bytes of a model changed at random: never anything but a network or a message."""
    generator, path = default_rng(seed), tmp_path / "model.onnx"
    content = list(CASES.values())[seed].SerializeToString()
    for _ in range(60):
        damaged = bytearray(content)
        for place in generator.integers(len(damaged), size=3):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        with suppress(AccelsimError):
            load_network(path)


def test_a_pipe_or_a_folder_holds_no_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InputError, match="but that is a folder, a device or a pipe"):
            load_network(saved(external(name), tmp_path))


def large(folder: Path) -> tuple[Path, Any]:
    """A model whose weight takes a megabyte, within the file."""
    array = default_rng(2).standard_normal((512, 512), dtype=np.float32)
    return saved(model([node("MatMul", "x w")], {"w": array}, (1, 512)), folder), array


def test_large_weights_stay_in_the_file_until_they_are_asked_for(tmp_path: Path) -> None:
    path, array = large(tmp_path)
    file = read_model(path)
    assert file.proto.ByteSize() < 2**12
    (start, size) = file.places["w"]
    assert path.read_bytes()[start : start + size] == array.tobytes()
    feeds = feed((1, 512))
    np.testing.assert_allclose(computed(path, feeds), feeds["x"] @ array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("end", [2**20 - 1, 2**20, -20, -1])
def test_a_large_model_cut_off_is_told_so(end: int, tmp_path: Path) -> None:
    path, _ = large(tmp_path)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(InputError, match=r"is cut off|has .* bytes, but the shape"):
        load_network(path)


def test_a_large_array_of_another_length_than_its_shape(tmp_path: Path) -> None:
    path, _ = large(tmp_path)
    given = onnx.load(path)
    given.graph.initializer[0].dims[0] = 513
    with pytest.raises(InputError, match=r"w: has 1,048,576 bytes, but the shape \[513, 512\]"):
        load_network(saved(given, tmp_path))


@pytest.mark.parametrize("seed", range(3))
def test_a_damaged_large_model_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    """Bytes around its array changed at random: trimmed or not, a network or a message."""
    (path, _), generator = large(tmp_path), default_rng(seed)
    content = path.read_bytes()
    places = [*range(120), *range(len(content) - 60, len(content))]
    for _ in range(25):
        damaged = bytearray(content)
        for place in generator.choice(places, size=2):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        with suppress(AccelsimError):
            load_network(path)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(648))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="outside of the model's folder"):
        load_network(saved(external("w.bin"), folder))

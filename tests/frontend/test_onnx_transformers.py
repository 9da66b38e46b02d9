"""Transformers in ONNX: what is spelt out is found again, and values are onnxruntime's."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles
from test_onnx import model, node, right, weights

from accelsim.frontend import load_network
from accelsim.network.graph import Network

TOKENS = (2, 6, 16)
F = {"g": weights(1, 16) + 1, "b": weights(2, 16)}
LAST = {"axes": [-1]}


def f32(value: float) -> Any:
    return np.float32(value)


def layer_norm(x: str, y: str) -> list[Any]:
    return [
        node("ReduceMean", x, "n_mean", **LAST),
        node("Sub", f"{x} n_mean", "n_d"),
        node("Pow", "n_d two", "n_sq"),
        node("ReduceMean", "n_sq", "n_var", **LAST),
        node("Add", "n_var eps", "n_e"),
        node("Sqrt", "n_e", "n_s"),
        node("Div", "n_d n_s", "n_y"),
        node("Mul", "n_y g", "n_g"),
        node("Add", "n_g b", y),
    ]


def rms_norm(divides: bool) -> list[Any]:
    last = (
        [node("Div", "x s", "n")]
        if divides
        else [node("Reciprocal", "s", "r"), node("Mul", "x r", "n")]
    )
    return [
        node("Mul", "x x", "sq"),
        node("ReduceMean", "sq", "v", **LAST),
        node("Add", "v eps", "e"),
        node("Sqrt", "e", "s"),
        *last,
        node("Mul", "g n"),
    ]


NUMBERS = {
    "two": f32(2), "eps": f32(1e-5), "one": f32(1), "half": f32(0.5), "root": f32(math.sqrt(2)),
    "cube": f32(3), "kk": f32(0.044715), "c": f32(math.sqrt(2 / math.pi)),
}  # fmt: skip
GELU = [
    node("Div", "x root", "a"), node("Erf", "a", "e"), node("Add", "e one", "s"),
    node("Mul", "x s", "m"), node("Mul", "m half"),
]  # fmt: skip
HALVED = [
    node("Mul", "x half", "h"), node("Div", "x root", "a"), node("Erf", "a", "e"),
    node("Add", "one e", "s"), node("Mul", "h s"),
]  # fmt: skip
TANH = [
    node("Pow", "x cube", "p"), node("Mul", "p kk", "q"), node("Add", "x q", "r"),
    node("Mul", "r c", "t"), node("Tanh", "t", "u"), node("Add", "u one", "s"),
    node("Mul", "half x", "h"), node("Mul", "h s"),
]  # fmt: skip
PATTERNS = {
    "layer norm": (layer_norm("x", "y"), ["layer_norm"]),
    "rms norm, divided": (rms_norm(True), ["rms_norm"]),
    "rms norm, times its inverse": (rms_norm(False), ["rms_norm"]),
    "gelu": (GELU, ["gelu"]),
    "gelu, halved first": (HALVED, ["gelu"]),
    "gelu by tanh": (TANH, ["gelu"]),
    "layer norm of opset 17": ([node("LayerNormalization", "x g b")], ["layer_norm"]),
    "gelu of a sum": ([node("Add", "x x", "z"), *(
        helper.make_node(each.op_type, ["z" if i == "x" else i for i in each.input], each.output)
        for each in GELU
    )], ["add"]),
}  # fmt: skip


def ops(network: Network) -> list[str]:
    return [layer.op.name for layer in network.layers]


@pytest.mark.parametrize("name", PATTERNS)
def test_what_is_spelt_out_is_one_layer_again(name: str, tmp_path: Path) -> None:
    nodes, expected = PATTERNS[name]
    path = right(model(nodes, {**F, **NUMBERS}, TOKENS), tmp_path, TOKENS)
    assert ops(load_network(path)) == expected


def test_what_is_read_elsewhere_stays(tmp_path: Path) -> None:
    """The error function's values are read by themselves, too."""
    gelu = [*GELU[:-1], node("Mul", "m half", "z")]
    path = right(model([*gelu, node("Mul", "z e")], NUMBERS, TOKENS), tmp_path, TOKENS)
    assert {"gelu", "erf"} <= set(ops(load_network(path)))


@pytest.mark.parametrize("change", [{"root": f32(1.5)}, {"half": f32(0.6)}, {"one": f32(2)}])
def test_what_only_looks_like_it_is_not_taken_for_it(
    change: dict[str, Any], tmp_path: Path
) -> None:
    path = right(model(GELU, {**NUMBERS, **change}, TOKENS), tmp_path, TOKENS)
    assert "gelu" not in ops(load_network(path))


def test_a_norm_of_cubes_is_none(tmp_path: Path) -> None:
    arrays = {**F, **NUMBERS, "two": f32(3)}
    path = saved(model(layer_norm("x", "y"), arrays, TOKENS), tmp_path)
    assert "layer_norm" not in ops(load_network(path))


OF_ROWS = {
    "a row each": ([node("Mul", "x g", "a"), node("Add", "b a")], ["scale_shift", "position"]),
    "each of all": ([node("Mul", "x all")], ["scale_shift"]),
    "a token before": ([node("Concat", "token x", axis=1)], ["class_token"]),
    "as one matrix": (
        [
            node("Reshape", "x flat", "r"), node("Gemm", "r w bw", "m"),
            node("Reshape", "m back"),
        ],
        ["dense"],
    ),
    "guarded shares": (
        [
            node("Softmax", "x", "p", axis=-1), node("IsNaN", "p", "n"),
            node("Where", "n zero p"),
        ],
        ["softmax"],
    ),
}  # fmt: skip
ARRAYS = {
    **F, "all": weights(3, 6, 16), "token": weights(4, 1, 1, 16), "w": weights(5, 16, 5),
    "bw": weights(6, 5), "flat": np.array([-1, 16]), "back": np.array([-1, 6, 5]),
    "zero": f32(0),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_ROWS)
def test_constants_of_rows_and_what_exporters_write(name: str, tmp_path: Path) -> None:
    nodes, expected = OF_ROWS[name]
    shape = (1, 6, 16) if name == "a token before" else TOKENS
    path = right(model(nodes, ARRAYS, shape), tmp_path, shape)
    assert ops(load_network(path)) == expected
    feeds = {"x": default_rng(1).standard_normal(shape, dtype=np.float32)}
    assert wrong_tiles(path, feeds) == []


# --- A block ------------------------------------------------------------------------------------


def heads(x: str, y: str, turned: bool = False) -> list[Any]:
    order = [0, 2, 3, 1] if turned else [0, 2, 1, 3]
    return [
        node("MatMul", f"{x} w_{y}", f"{y}_m"),
        node("Add", f"{y}_m b_{y}", f"{y}_a"),
        node("Reshape", f"{y}_a split", f"{y}_r"),
        node("Transpose", f"{y}_r", y, perm=order),
    ]


def attention(mask: Sequence[Any] = (), scores: str = "scaled") -> list[Any]:
    return [
        *heads("x", "q"), *heads("x", "k", turned=True), *heads("x", "v"),
        node("MatMul", "q k", "qk"), node("Div", "qk two", "scaled"),
        *mask,
        node("Softmax", scores, "p", axis=-1), node("MatMul", "p v", "pv"),
        node("Transpose", "pv", "t", perm=[0, 2, 1, 3]), node("Reshape", "t joined", "j"),
        node("MatMul", "j w_o", "o_m"), node("Add", "o_m b_o", "o"), node("Add", "x o"),
    ]  # fmt: skip


BLOCK = {
    **NUMBERS, **F, **{f"w_{n}": weights(ord(n), 16, 16) for n in "qkvo"},
    **{f"b_{n}": weights(ord(n) + 1, 16) for n in "qkvo"},
    "split": np.array([0, 0, 4, 4]), "joined": np.array([0, 0, 16]),
    "tri": np.tri(6, dtype=bool)[None, None], "low": f32(-1e9),
    "added": np.where(np.tri(6, dtype=bool), 0, -np.inf).astype(np.float32)[None, None],
}  # fmt: skip
MASKS = {
    "none": attention(),
    "added": attention([node("Add", "scaled added", "masked")], "masked"),
    "chosen": attention([node("Where", "tri scaled low", "masked")], "masked"),
}


@pytest.mark.parametrize("mask", MASKS)
def test_attention_as_exporters_write_it(mask: str, tmp_path: Path) -> None:
    path = right(model(MASKS[mask], BLOCK, TOKENS), tmp_path, TOKENS)
    feeds = {"x": default_rng(1).standard_normal(TOKENS, dtype=np.float32)}
    assert wrong_tiles(path, feeds) == []
    found = load_network(path)
    products = [layer for layer in found.layers if layer.op.name == "attention_scores"]
    assert [each.op.scale for each in products] == [0.5]  # type: ignore[attr-defined]
    (softmax,) = (layer.op for layer in found.layers if layer.op.name == "softmax")
    assert softmax.causal == (mask != "none")  # type: ignore[attr-defined]


def test_masks_that_are_inputs(tmp_path: Path) -> None:
    """As BERT's: 1 for tokens, 0 for padding; what is hidden has -10,000 added."""
    mask = [
        node("Unsqueeze", "mask ax", "m4"), node("Cast", "m4", "mf", to=TensorProto.FLOAT),
        node("Sub", "one mf", "inv"), node("Mul", "inv lows", "bias"),
        node("Add", "scaled bias", "masked"),
    ]  # fmt: skip
    arrays = {**BLOCK, "ax": np.array([1, 2]), "lows": f32(-1e4)}
    given = model(attention(mask, "masked"), arrays, TOKENS)
    given.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.INT64, (2, 6)))
    path = saved(given, tmp_path)
    feeds = {
        "x": default_rng(1).standard_normal(TOKENS, dtype=np.float32),
        "mask": np.array([[1, 1, 1, 1, 0, 0], [1] * 6]),
    }
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, feeds)
    np.testing.assert_allclose(computed(path, feeds), wanted, rtol=1e-4, atol=1e-5)
    assert wrong_tiles(path, feeds) == []


def test_grouped_queries_and_rotary_places_as_exporters_write_them(tmp_path: Path) -> None:
    """Keys of two heads for four of queries; halves turned by constant cosines and sines."""
    angles = np.outer(np.arange(6), 100.0 ** (-np.arange(2) / 2))
    turned = np.concatenate([angles, angles], 1)[None, None]
    nodes = [
        *heads("x", "q"),
        node("Slice", "q at0 at2 at3", "first"), node("Slice", "q at2 at4 at3", "second"),
        node("Neg", "second", "minus"),
        helper.make_node("Concat", ["minus", "first"], ["rot"], axis=-1),
        node("Mul", "q cos", "qc"), node("Mul", "rot sin", "qs"), node("Add", "qc qs", "qr"),
        node("MatMul", "x w_kk", "k_m"), node("Reshape", "k_m split2", "k_r"),
        node("Transpose", "k_r", "k_t", perm=[0, 2, 1, 3]), node("Unsqueeze", "k_t at2", "k_u"),
        node("Expand", "k_u five", "k_e"), node("Reshape", "k_e four", "k"),
        node("Transpose", "k", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "qr kt", "qk"), node("Softmax", "qk", axis=-1),
    ]  # fmt: skip
    arrays = {
        **BLOCK, "w_kk": weights(9, 16, 8), "split2": np.array([0, 0, 2, 4]),
        "five": np.array([2, 2, 2, 6, 4]), "four": np.array([2, 4, 6, 4]),
        "cos": np.cos(turned).astype(np.float32), "sin": np.sin(turned).astype(np.float32),
        **{f"at{n}": np.array([n]) for n in (0, 2, 3, 4)},
    }  # fmt: skip
    path = right(model(nodes, arrays, TOKENS), tmp_path, TOKENS)
    feeds = {"x": default_rng(1).standard_normal(TOKENS, dtype=np.float32)}
    assert wrong_tiles(path, feeds) == []
    assert "expand" in ops(load_network(path))


def test_a_mask_that_hides_something_else_is_a_line_for_each_score(tmp_path: Path) -> None:
    arrays = {**BLOCK, "tri": np.tri(6, dtype=bool).T[None, None]}
    path = right(model(MASKS["chosen"], arrays, TOKENS), tmp_path, TOKENS)
    assert "scale_shift" in ops(load_network(path))


def test_tables_are_looked_up_by_an_input(tmp_path: Path) -> None:
    table, places = weights(1, 50, 16), weights(2, 6, 16)[None]
    nodes = [
        node("Cast", "x", "i", to=TensorProto.INT64), node("Gather", "table i", "t"),
        node("Add", "t places", "a"), node("LayerNormalization", "a g b", "n"),
        node("Gather", "n zero", "y", axis=1),
    ]  # fmt: skip
    arrays = {"table": table, "places": places, "zero": np.array(0), **F}
    graph = helper.make_graph(
        nodes,
        "tokens",
        [helper.make_tensor_value_info("x", TensorProto.INT32, (2, 6))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in arrays.items()],
    )
    given = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path, feeds = saved(given, tmp_path), {"x": default_rng(3).integers(0, 50, (2, 6), np.int32)}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, feeds)
    values = computed(path, feeds)
    np.testing.assert_allclose(values.reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    assert wrong_tiles(path, feeds) == []
    assert ops(load_network(path))[:3] == ["embedding", "position", "layer_norm"]

"""Attention spelt out head by head: one attention again, right, and decoded token by token."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.network.decoding import decoding_step
from accelsim.network.ops import Rotary

SPELT = {"spelt": 1}
"""A rotary embedding in slices, products and a sum."""
WIDE, TIMES, HEADS, SIZE = 24, 7, 6, 4
SEES = np.tri(TIMES, dtype=bool)
ONES = SEES.astype(np.float32)
LOW = np.float32(-1e4)
PLACES = np.arange(2, 2 + TIMES)
MASKS: dict[str, tuple[list[tuple[str, str]], dict[str, Any]]] = {
    "none": ([("Identity", "s")], {}),
    "added": ([("Add", "s mask")], {"mask": np.where(SEES, 0, -3e38).astype(np.float32)}),
    "added, infinite": ([("Add", "mask s")], {"mask": np.where(SEES, 0.0, -np.inf)[None, None]}),
    "chosen": ([("Where", "mask s low")], {"mask": SEES[None, None]}),
    "hidden": ([("Where", "mask low s")], {"mask": ~SEES}),
    "as GPT-2": (
        [("Mul", "s mask"), ("Sub", "{} less")],
        {"mask": ONES[None, None], "less": (1 - ONES[None, None]) * -LOW},
    ),
}


def model(
    mask: str = "added",
    shared: int = 1,
    scaled: str = "scores",
    read: str = "",
    turned: dict[str, int] | None = None,
) -> Any:
    """x through an attention of six heads to `y`; `shared` of them have one of keys and values.

    With `turned` queries and keys have a rotary embedding, of these attributes.
    """
    draw, own = default_rng(3), HEADS // shared
    arrays: dict[str, Any] = {
        "apart": np.array([0, 0, HEADS, SIZE]), "fewer": np.array([0, 0, own, SIZE]),
        "back": np.array([0, 0, WIDE]), "two": np.array([2]), "low": LOW,
        "many": np.array([1, own, shared, TIMES, SIZE]), "all": np.array([0, HEADS, TIMES, SIZE]),
        "root": np.float32(2), "half": np.float32(0.5), "root4": np.float32(2**-0.5),
    }  # fmt: skip
    nodes: list[Any] = []

    def then(op: str, inputs: str, output: str, **said: Any) -> str:
        nodes.append(helper.make_node(op, inputs.split(), [output], **said))
        return output

    made = {}
    for name, heads in (("q", HEADS), ("k", own), ("v", own)):
        arrays[f"w{name}"] = draw.standard_normal((WIDE, heads * SIZE)) / 4
        then("MatMul", f"x w{name}", f"{name}0")
        then("Reshape", f"{name}0 {'apart' if name == 'q' else 'fewer'}", f"{name}1")
        straight = name == "k" and shared == 1 and turned is None
        made[name] = then(
            "Transpose", f"{name}1", f"{name}2", perm=[0, 2, 3, 1] if straight else [0, 2, 1, 3]
        )
        if scaled == "both" and name != "v":
            made[name] = then("Mul", f"{made[name]} root4", f"{name}3")
        if turned == SPELT and name != "v":
            then("Slice", f"{made[name]} size0 half0 last", f"{name}lo")
            then("Slice", f"{made[name]} half0 most last", f"{name}hi")
            then("Concat", f"{then('Neg', f'{name}hi', f'{name}n')} {name}lo", f"{name}t", axis=-1)
            then("Mul", f"{made[name]} cos2", f"{name}c")
            then("Mul", f"sin2 {name}t", f"{name}s")
            made[name] = then("Add", f"{name}c {name}s", f"{name}r")
        elif turned is not None and name != "v":
            tables = f"{made[name]} cos sin places"
            made[name] = then("RotaryEmbedding", tables, f"{name}r", **turned)
        if shared > 1 and name != "q":
            then("Unsqueeze", f"{made[name]} two", f"{name}4")
            then("Expand", f"{name}4 many", f"{name}5")
            made[name] = then("Reshape", f"{name}5 all", f"{name}6")
        if name == "k" and not straight:
            made[name] = then("Transpose", made[name], f"{name}7", perm=[0, 1, 3, 2])
    angles = np.outer(np.arange(20), 500.0 ** (-np.arange(SIZE // 2) / (SIZE // 2)))
    arrays |= {"cos": np.cos(angles), "sin": np.sin(angles), "places": PLACES[None]}
    arrays |= {f"{each}2": np.tile(arrays[each][PLACES], 2)[None, None] for each in ("cos", "sin")}
    arrays |= {"size0": np.array([0]), "half0": np.array([SIZE // 2]), "last": np.array([-1])}
    arrays["most"] = np.array([2**62])
    scores = then("MatMul", f"{made['q']} {made['k']}", "s" if scaled == "both" else "raw")
    if scaled != "both":
        then("Div", f"{scores} root", "s")
    last = "s"
    for at, (op, inputs) in enumerate(MASKS[mask][0]):
        last = then(op, inputs.format(last), f"m{at}")
    arrays |= MASKS[mask][1]
    then("Softmax", last, "p", axis=-1)
    then("MatMul", f"p {made['v']}", "c")
    then("Transpose", "c", "t", perm=[0, 2, 1, 3])
    then("Reshape", "t back", "o")
    arrays["wo"] = draw.standard_normal((WIDE, WIDE)) / 4
    then("MatMul", "o wo", "y0")
    then("Add", "y0 x", "y")
    kinds = {"f": np.float32, "i": np.int64, "b": bool}
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", TIMES, WIDE))],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            for name in ("y", *read.split())
        ],
        [
            numpy_helper.from_array(array.astype(kinds[array.dtype.kind]), name)
            for name, array in arrays.items()
        ],
    )
    opset = 17 if turned is None else 23
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def kinds_of(path: Path) -> list[str]:
    return [layer.op.name for layer in load_network(path).layers]


RECOGNISED = ["dense"] * 3 + ["attention_scores", "softmax", "attention_context", "dense", "add"]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("shared", "scaled"), [(1, "scores"), (3, "scores"), (2, "both")])
def test_spelt_out_attention_is_one_again(
    mask: str, shared: int, scaled: str, tmp_path: Path
) -> None:
    path = saved(model(mask, shared, scaled), tmp_path)
    feeds = {"x": default_rng(1).standard_normal((2, TIMES, WIDE), dtype=np.float32)}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"x": feeds["x"][:1]} if shared > 1 else feeds  # whose Expand says one image
    (wanted,) = session.run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    assert sorted(kinds_of(path)) == sorted(RECOGNISED)
    assert wrong_tiles(path, feeds) == []


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("shared", [1, 3])
def test_a_mask_that_is_computed_is_part_of_it(guarded: bool, shared: int, tmp_path: Path) -> None:
    """Every image says which keys it hides; behind the softmax may be a guard of what is NaN."""
    given = model("none", shared)
    (last,) = [each for each in given.graph.node if each.output[0] == "m0"]
    last.CopyFrom(helper.make_node("Add", ["s", "hide"], ["m0"]))
    if guarded:
        at, soft = next(
            (at, each) for at, each in enumerate(given.graph.node) if each.op_type == "Softmax"
        )
        soft.output[0] = "p0"
        given.graph.node.insert(at + 1, helper.make_node("IsNaN", ["p0"], ["nan"]))
        given.graph.node.insert(at + 2, helper.make_node("Where", ["nan", "low", "p0"], ["p"]))
    images = 2 if shared == 1 else 1
    kind = TensorProto.FLOAT
    given.graph.input.append(helper.make_tensor_value_info("hide", kind, ("N", 1, 1, TIMES)))
    path, draw = saved(given, tmp_path), default_rng(1)
    feeds = {"x": draw.standard_normal((images, TIMES, WIDE), np.float32)}
    feeds["hide"] = np.where(draw.random((images, 1, 1, TIMES)) < 0.3, LOW, np.float32(0))
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    assert sorted({*kinds_of(path)} - {"reshape"}) == sorted({*RECOGNISED})


@pytest.mark.parametrize("shared", [1, 3])
def test_it_is_decoded_token_by_token(shared: int, tmp_path: Path) -> None:
    step = decoding_step(load_network(saved(model("chosen", shared), tmp_path)), 11)
    kept = WIDE // shared
    weights = WIDE * (2 * WIDE + 2 * kept)  # of queries, what comes out, keys and values
    assert step.macs == weights + 2 * 12 * WIDE
    assert {shape for name, shape in step.inputs.items() if name != "x"} == {(11, kept)}


def test_without_a_causal_mask_nothing_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no causal attention"):
        decoding_step(load_network(saved(model("none"), tmp_path)), 11)


@pytest.mark.parametrize("read", ["p", "q1", "k2", "c", "s"])
def test_what_is_read_elsewhere_stays_as_it_is_written(read: str, tmp_path: Path) -> None:
    path = saved(model(read=read), tmp_path)
    assert "attention_scores" not in kinds_of(path)


@pytest.mark.parametrize(
    ("shared", "turned"),
    [(1, {"interleaved": 0}), (2, {"interleaved": 1}), (1, SPELT), (2, SPELT)],
)
def test_turned_queries_and_keys_are_a_law_of_their_places(
    shared: int, turned: dict[str, int], tmp_path: Path
) -> None:
    path = saved(model("added", shared, turned=turned), tmp_path)
    interleaved = turned.get("interleaved", 0)
    feeds = {"x": default_rng(1).standard_normal((1, TIMES, WIDE), dtype=np.float32)}
    (wanted,) = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    network = load_network(path)
    laws = [layer.op for layer in network.layers if isinstance(layer.op, Rotary)]
    assert [(law.base, law.offset, law.interleaved) for law in laws] == [(500, 2, interleaved)] * 2
    step = decoding_step(network, 9)
    offsets = [layer.op.offset for layer in step.layers if isinstance(layer.op, Rotary)]
    assert offsets == [11, 11]


ROTARY: dict[str, tuple[tuple[int, ...], dict[str, int], str]] = {
    "heads in front": ((1, 3, 5, 8), {}, "tables"),
    "interleaved": ((1, 3, 5, 8), {"interleaved": 1}, "tables"),
    "some features": ((1, 3, 5, 8), {"rotary_embedding_dim": 4}, "places"),
    "some, interleaved": ((1, 3, 5, 8), {"interleaved": 1, "rotary_embedding_dim": 6}, "places"),
    "side by side": ((1, 5, 24), {"num_heads": 3}, "places"),
    "side by side, no law": ((1, 5, 24), {"num_heads": 3}, "drawn"),
    "side by side, some": ((1, 5, 24), {"num_heads": 3, "rotary_embedding_dim": 2}, "places"),
    "places asked for": ((1, 3, 5, 8), {}, "computed places"),
    "places asked for, flat": ((1, 5, 24), {"num_heads": 3, "interleaved": 1}, "computed places"),
    "tables asked for": ((1, 3, 5, 8), {}, "computed tables"),
}


@pytest.mark.parametrize(("shape", "said", "how"), ROTARY.values(), ids=ROTARY)
def test_rotary_embeddings_are_those_of_onnx(
    shape: tuple[int, ...], said: dict[str, int], how: str, tmp_path: Path
) -> None:
    draw = default_rng(5)
    half = (said.get("rotary_embedding_dim") or 8) // 2
    angles = np.outer(np.arange(9), 10000.0 ** (-np.arange(half) / half))
    if how == "drawn":
        angles = draw.uniform(0, 6, angles.shape)
    arrays: dict[str, Any] = {"cos": np.cos(angles), "sin": np.sin(angles)}
    if how.endswith("tables"):
        arrays = {name: each[None, 1:6] for name, each in arrays.items()}
    else:
        arrays["places"] = np.array([[3, 4, 5, 6, 8 if how == "drawn" else 7]])
    kinds = {"f": np.float32, "i": np.int64}
    arrays = {name: each.astype(kinds[each.dtype.kind]) for name, each in arrays.items()}
    asked = {
        name: arrays.pop(name)
        for name in list(arrays)
        if how == f"computed {'places' if name == 'places' else 'tables'}"
    }
    feeds = {"x": draw.standard_normal(shape, dtype=np.float32), **asked}
    names = ["x", "cos", "sin", *(["places"] if "places" in {*arrays, *asked} else [])]
    graph = helper.make_graph(
        [helper.make_node("RotaryEmbedding", names, ["y"], **said)],
        "rotary",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(each.dtype), ("N", *each.shape[1:])
            )
            for name, each in feeds.items()
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 23)]
    path = saved(helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path)
    (wanted,) = onnx.reference.ReferenceEvaluator(onnx.load(path)).run(None, feeds)
    values = computed(path, feeds).reshape(wanted.shape)
    np.testing.assert_allclose(values, wanted, rtol=1e-4, atol=1e-5)
    assert wrong_tiles(path, feeds) == []
    kinds_found = kinds_of(path)
    assert ("rotary" in kinds_found) == ("num_heads" in said and half == 4 and how == "places")

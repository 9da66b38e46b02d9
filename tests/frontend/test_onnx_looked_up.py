"""Tables that are looked up by what a model computes: places of tokens, as exporters write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import FLOAT32, outputs, saved, wrong_tiles
from test_onnx import node
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.frontend import load_network

WORDS, PLACES, FEATURES, TIMES = 30, 12, 8, 7
INT64 = {"to": TensorProto.INT64}
ROBERTA = [
    node("Equal", "ids pad", "is_pad"), node("Not", "is_pad", "seen"),
    node("Cast", "seen", "one", to=TensorProto.INT32), node("CumSum", "one along", "so_far"),
    node("Mul", "so_far one", "counted"), node("Cast", "counted", "wide", **INT64),
    node("Add", "wide pad", "at"),
]  # fmt: skip
OPT = [
    node("CumSum", "mask along", "so_far"), node("Mul", "so_far mask", "counted"),
    node("Cast", "counted", "wide", **INT64), node("Sub", "wide first", "from_0"),
    node("Add", "from_0 two", "at"),
]  # fmt: skip
LAST_IS_FIRST = [node("Mul", "ids negative", "at")]
KINDS = {"RoBERTa": ROBERTA, "OPT": OPT, "from the end": LAST_IS_FIRST}


def looking_up(nodes: list[Any]) -> Any:
    """Rows of words and of places, which `nodes` compute, added."""
    draw = default_rng(0)
    arrays = {
        "words": draw.standard_normal((WORDS, FEATURES), np.float32),
        "places": draw.standard_normal((PLACES, FEATURES), np.float32),
        "pad": np.array(1),
        "along": np.array(1),
        "first": np.array(1),
        "two": np.array(2),
        "negative": np.array(-1),
    }
    ends = [
        node("Gather", "words ids", "word"), node("Gather", "places at", "place"),
        node("Add", "word place", "y"),
    ]  # fmt: skip
    read = {name for each in nodes for name in each.input} & {"mask"}
    graph = helper.make_graph(
        [*nodes, *ends],
        "looking_up",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", TIMES))
            for name in ("ids", *read)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(each, name) for name, each in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


IDS = np.array([[5, 3, 1, 9, 7, 1, 1], [2, 2, 6, 4, 8, 11, 10]])
MASK = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("name", KINDS)
def test_places_that_a_model_computes_are_looked_up(name: str, tmp_path: Path) -> None:
    """To the bit: there is one sum of two rows."""
    path = saved(looking_up(KINDS[name]), tmp_path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = {"ids": IDS, "mask": MASK}
    feeds = {each.name: feeds[each.name] for each in session.get_inputs()}
    (wanted,) = session.run(None, feeds)
    assert np.array_equal(outputs(path, feeds)["y"], wanted)
    assert wrong_tiles(path, feeds) == []


def test_an_input_that_numbers_rows_and_is_computed_with_is_one_input(tmp_path: Path) -> None:
    path = saved(looking_up(ROBERTA), tmp_path)
    network = load_network(path)
    assert set(network.inputs) == {"ids"}
    assert network.by_name["ids/values"].op.name == "as_values"
    given, kept = tmp_path / "ids.npz", tmp_path / "y.npz"
    np.savez(given, ids=IDS)
    shown = CliRunner().invoke(
        app,
        [
            *("compute", str(path), "edge_ws", "--set", FLOAT32),
            *("--input", str(given), "--save", str(kept)),
        ],
    )
    assert shown.exit_code == 0, shown.output
    (wanted,) = onnxruntime.InferenceSession(path).run(None, {"ids": IDS})
    assert np.array_equal(np.load(kept)[network.outputs[0]], wanted)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_of_what_is_computed_at_a_computed_place(sign: int, tmp_path: Path) -> None:
    """The token that has the largest number, as CLIP takes it; or counted from the end."""
    nodes = [
        node("ArgMax", "ids", "last", axis=1, keepdims=0), node("Mul", "last sign", "at"),
        node("Gather", "words ids", "word"), node("Relu", "word", "tokens"),
        node("Flatten", "tokens", "rows", axis=2), node("Gather", "rows at", "y"),
    ]  # fmt: skip
    words = default_rng(0).standard_normal((WORDS, FEATURES), np.float32)
    graph = helper.make_graph(
        nodes,
        "picking",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, (1, TIMES))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.asarray(each), name)
            for name, each in {"words": words, "sign": np.array(sign)}.items()
        ],
    )
    given = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path, feeds = saved(given, tmp_path), {"ids": IDS[1:]}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    assert np.array_equal(wanted[0], np.maximum(words[IDS[1]][5 * sign], 0))
    assert np.array_equal(outputs(path, feeds)["y"], wanted)
    assert wrong_tiles(path, feeds) == []


def test_rows_of_computed_places_count_as_rows_of_words_do(tmp_path: Path) -> None:
    path, file = saved(looking_up(ROBERTA), tmp_path), tmp_path / "r.json"
    arguments = ["run", str(path), "edge_ws", "--batch", "2", "--json", str(file), "--quiet"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    found = json.loads(file.read_text())["layers"]
    read = [each["dram"]["ifmap_read_bytes"] for each in found if each["op"] == "embedding"]
    assert read == [2 * TIMES * FEATURES] * 2

"""Ifs whose conditions are constant: the branch that they take, and nothing of the other."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import outputs, saved, wrong_tiles

from accelsim.errors import InputError, UncoveredError
from accelsim.frontend import load_network

DRAW = default_rng(3)
X, K = (DRAW.standard_normal(shape).astype(np.float32) for shape in ((4, 3), (4, 5)))
WEIGHT = DRAW.standard_normal((3, 5)).astype(np.float32)


def value(name: str, shape: Any = None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: list[tuple[str, str, str]], given: Any = (), made: str = "o", **arrays: Any
) -> Any:
    """Nodes: an operator, what it reads, and what it makes; or nodes as they are."""
    return helper.make_graph(
        [
            helper.make_node(each[0], each[1].split(), [each[2]])
            if isinstance(each, tuple)
            else each
            for each in nodes
        ],
        "graph",
        list(given),
        [value(made)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
    )


def choice(asked: str, made: str, then: Any, other: Any) -> Any:
    return helper.make_node("If", [asked], [made], then_branch=then, else_branch=other)


def model(size: int) -> Any:
    """If the rows of x have `size` numbers, a product and another If; else another product."""
    inner = choice("wide", "q", graph([("Relu", "u", "o")]), graph([("Neg", "u", "o")]))
    then = graph([("MatMul", "x w", "u"), inner, ("Add", "q k", "o")], w=WEIGHT)
    other = graph([("MatMul", "x v", "u"), ("Tanh", "u", "o")], v=-WEIGHT)
    nodes = [
        ("Shape", "x", "shape"), ("Gather", "shape last", "columns"),
        ("Equal", "columns size", "wide"), choice("wide", "y", then, other),
    ]  # fmt: skip
    given = [value("x", X.shape), value("k", K.shape)]
    return finished(graph(nodes, given, "y", last=[1], size=[size]))


def finished(inner: Any) -> Any:
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("size", "names"), [(3, ["y/then/u", "y/then/o"]), (4, ["y/else/u"])], ids=["then", "else"]
)
def test_a_constant_condition_takes_its_branch(size: int, names: list[str], tmp_path: Path) -> None:
    path, feeds = saved(model(size), tmp_path), {"x": X, "k": K}
    (wanted,) = onnxruntime.InferenceSession(path).run(None, feeds)
    network = load_network(path)
    feeds = {name: feeds[name] for name in network.inputs}
    np.testing.assert_allclose(outputs(path, feeds)["y"], wanted, rtol=1e-6)
    assert wrong_tiles(path, feeds) == []
    assert [layer.name for layer in network.layers] == names
    assert ("k" in network.inputs) == (size == 3)


def test_a_branch_that_is_taken_may_be_cut_or_refused_by_name(tmp_path: Path) -> None:
    given = model(3)
    (then,) = (each.g for each in given.graph.node[-1].attribute if each.name == "then_branch")
    then.node[-1].op_type, then.node[-1].domain = "Own", "own"
    path = saved(given, tmp_path)
    with pytest.raises(UncoveredError, match=r"runs with --outputs y/then/q;(.|\n)*own.Own"):
        load_network(path)
    assert load_network(path, outputs=["y/then/q"]).outputs == ("y/then/u",)


def test_a_branch_in_no_order_is_told(tmp_path: Path) -> None:
    given = model(3)
    (then,) = (each.g for each in given.graph.node[-1].attribute if each.name == "then_branch")
    then.node.insert(0, then.node.pop())
    with pytest.raises(InputError, match="y/then/q: is read before it is made"):
        load_network(saved(given, tmp_path))

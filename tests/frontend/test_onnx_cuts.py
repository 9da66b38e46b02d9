"""Where a refused model is to be cut: the options that are told are tried."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import saved
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import InputError, UncoveredError
from accelsim.frontend import load_network

FLOAT, TRUTH, WHOLE = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
ARRAYS = {
    "w": np.ones((8, 4, 3, 3), np.float32), "t": np.float32(0.5), "three": np.array(3),
    "boxes": np.array([0, 36, 8]), "no": np.array([0]), "four": np.array([4]),
    "eight": np.array([8]), "two": np.array([2]), "state": np.zeros((8, 6, 6), np.float32),
}  # fmt: skip


def node(op: str, inputs: str, output: str, **said: Any) -> Any:
    return helper.make_node(op, inputs.split(), output.split(), **said)


def graph(inputs: dict[str, Any], outputs: dict[str, Any], *nodes: Any) -> Any:
    """A graph within a node: types and shapes by name."""
    given, made = (
        [helper.make_tensor_value_info(name, *said) for name, said in each.items()]
        for each in (inputs, outputs)
    )
    return helper.make_graph(list(nodes), "inner", given, made)


def branch(op: str, of: str) -> Any:
    return graph({}, {f"{op}_": (FLOAT, None)}, node(op, of, f"{op}_"))


def model(*nodes: Any, outputs: str = "y", declared: dict[str, Any] | None = None) -> Any:
    """A convolution of `x`, `c`, and what follows."""
    inner = helper.make_graph(
        [node("Conv", "x w", "c"), *nodes],
        "cut",
        [helper.make_tensor_value_info("x", FLOAT, ("N", 4, 8, 8))],
        [helper.make_tensor_value_info(each, 0, None) for each in outputs.split()],
        [numpy_helper.from_array(array, name) for name, array in ARRAYS.items()],
        value_info=[
            helper.make_tensor_value_info(name, FLOAT, shape)
            for name, shape in (declared or {}).items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(inner, opset_imports=opsets, ir_version=8)


def chosen(of: str) -> tuple[Any, ...]:
    """An If by the largest value of a tensor, its branches reading that as well."""
    return (
        node("ReduceMax", of, "m", keepdims=0),
        node("Cast", "m", "b", to=TRUTH),
        node("If", "b", "i", then_branch=branch("Relu", of), else_branch=branch("Neg", of)),
        node("Tanh", "i", "y"),
    )


LOOP = graph(
    {"at": (WHOLE, []), "more": (TRUTH, []), "v": (FLOAT, None)},
    {"again": (TRUTH, []), "u": (FLOAT, None)},
    node("Identity", "more", "again"),
    node("Relu", "v", "u"),
)
SCAN = graph(
    {"before": (FLOAT, None), "one": (FLOAT, None)},
    {"after": (FLOAT, None), "each": (FLOAT, None)},
    node("Add", "before one", "after"),
    node("Identity", "after", "each"),
)
CUTS: dict[str, tuple[Any, list[str]]] = {
    "If": (model(*chosen("c")), ["b"]),
    "If of an input": (model(*chosen("x")), ["b"]),
    "Loop": (
        model(helper.make_node("Loop", ["three", "", "c"], ["y"], body=LOOP)), ["c"],
    ),
    "Scan": (
        model(
            node("Relu", "c", "r"),
            node("Scan", "state r", "f y", num_scan_inputs=1, body=SCAN),
        ),
        ["r"],
    ),
    "NonZero behind what is unknown": (
        model(
            node("Sigmoid", "c", "s"), node("Det", "s", "g"), node("NonZero", "g", "z"),
            node("Transpose", "z", "zt"), node("GatherND", "s zt", "y"),
        ),
        ["s"],
    ),
    "NonMaxSuppression": (
        model(
            node("Reshape", "c boxes", "r"), node("Slice", "r no four two", "places"),
            node("Slice", "r four eight two", "wide"),
            helper.make_node("Transpose", ["wide"], ["of $classes"], perm=[0, 2, 1]),
            helper.make_node("NonMaxSuppression", ["places", "of $classes", "three"], ["y"]),
        ),
        ["places", "of $classes"],
    ),
    "Unique": (model(node("Unique", "c", "u"), node("Relu", "u", "y")), ["c"]),
    "Compress, and another output": (
        model(
            node("Relu", "c", "r"), node("Cast", "r", "b", to=TRUTH),
            node("Compress", "r b", "y"), node("Tanh", "r", "good"), outputs="y good",
        ),
        ["b", "good"],
    ),
    "one's own": (model(node("Own", "c", "o", domain="own"), node("Relu", "o", "y")), ["c"]),
}  # fmt: skip


@pytest.mark.parametrize(("given", "names"), CUTS.values(), ids=CUTS)
def test_the_cut_that_is_told_runs(given: Any, names: list[str], tmp_path: Path) -> None:
    path = saved(given, tmp_path)
    with pytest.raises(UncoveredError) as caught:
        load_network(path)
    head = str(caught.value).splitlines()[0]
    wanted = " ".join(f"--outputs {shlex.quote(name)}" for name in names)
    assert f"what lies before runs with {wanted}; " in head
    options = [word for name in names for word in ("--outputs", name)]
    assert shlex.split(wanted) == options
    result = CliRunner().invoke(app, ["run", str(path), "edge_ws", *options])
    assert result.exit_code == 0, result.output


def test_where_nothing_is_left_no_cut_is_told(tmp_path: Path) -> None:
    given = model(node("Relu", "c", "y"))
    given.graph.node[0].op_type, given.graph.node[0].domain = "Own", "own"
    with pytest.raises(UncoveredError, match="nothing before them runs by itself"):
        load_network(saved(given, tmp_path))


OWN = (node("Own", "c", "o", domain="own", name="mine"), node("Relu", "o", "y"))


def test_a_shape_that_nobody_knows_is_told_by_its_tensor(tmp_path: Path) -> None:
    path = saved(model(*OWN), tmp_path)
    for free in (False, True):
        with pytest.raises(UncoveredError) as caught:
            load_network(path, free=free)
        head, *rows = str(caught.value).splitlines()
        assert "the shape of 'o' is not known; declare it in the file (value_info)" in head
        assert "--unsupported" not in head
        assert any("y: it reads 'o', whose shape is not known" in row for row in rows)


def test_a_declared_shape_lets_ones_own_operator_be_free(tmp_path: Path) -> None:
    path = saved(model(*OWN, declared={"o": ("N", 5, 2)}), tmp_path)
    with pytest.raises(UncoveredError, match="--unsupported free takes them as free"):
        load_network(path)
    network = load_network(path, free=True)
    assert network.inputs == {"x": (4, 8, 8), "o/free": (5, 2)}
    assert [layer.output_shape for layer in network.layers] == [(8, 6, 6), (5, 2)]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (5, "its part 'y' holds nothing: 8 in 5 parts of axis 1"),
        (7, "axis 1 of .* does not divide into 7 parts of 2"),
    ],
)
def test_uneven_parts_that_hold_nothing_are_told(parts: int, message: str, tmp_path: Path) -> None:
    names = " ".join([*(f"p{at}" for at in range(parts - 1)), "y"])
    given = model(node("Split", "c", names, axis=1, num_outputs=parts), outputs="p0 y")
    given.opset_import[0].version = 18
    with pytest.raises(InputError, match=message):
        load_network(saved(given, tmp_path))

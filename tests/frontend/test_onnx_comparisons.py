"""Comparisons, choices, steps and rankings: drawn graphs against onnxruntime, equal to the bit."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from drawing import drawn as drawn_cases
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import computed, wrong_tiles

from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.facade import simulate, verify
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import (
    POINTWISE,
    ArgMax,
    Ceil,
    Dense,
    Floor,
    Less,
    Op,
    Relu,
    Remainder,
    Round,
    Sign,
    Sloped,
    Sort,
    Truncate,
    Where,
)

REAL, TRUTH, WHOLE = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64
COMPARE = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal")
JOIN = ("Add", "Sub", "Mul", "Max", "Min")
STEP = ("Floor", "Ceil", "Round", "Sign", "Abs", "Relu", "Neg")
TRUTHS = ("And", "Or", "Xor")
KINDS = ("step", "join", "compare", "truths", "not", "where", "mod", "cast", "rank", "sum so far")


class Graph:
    """A graph in the making: tensors by name with their type; all but the last have one shape."""

    def __init__(self, draw: Generator) -> None:
        self.draw = draw
        self.shape = tuple(map(int, draw.integers(1, 7, draw.integers(1, 4))))
        self.types: dict[str, int] = {"x": REAL, "y": REAL}
        self.nodes: list[Any] = []
        self.arrays: dict[str, Any] = {}

    def put(self, op: str, *inputs: str, makes: int, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        self.types[name] = makes
        return name

    def number(self, kind: int, many: bool) -> str:
        """A constant of quarters, or of truths; of one number or for some axes."""
        shape: tuple[int, ...] = ()
        if many:
            shape = tuple(size if self.draw.random() < 0.5 else 1 for size in self.shape)
        values = self.draw.integers(-6, 7, shape) / 4
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.asarray(values > 0 if kind == TRUTH else values.astype(np.float32))
        return name

    def any(self, kind: int, *, constant: float = 0.0) -> str:
        if self.draw.random() < constant:
            return self.number(kind, bool(self.draw.random() < 0.4))
        found = [name for name, own in self.types.items() if own == kind]
        if not found:
            return self.put("Less", self.any(REAL), self.any(REAL, constant=0.5), makes=TRUTH)
        return str(self.draw.choice(found))

    def one(self, *choices: str) -> str:
        return str(self.draw.choice(choices))

    def step(self) -> None:
        match self.one(*KINDS):
            case "step":
                self.put(self.one(*STEP), self.any(REAL), makes=REAL)
            case "join":
                self._quarters(self.put(self.one(*JOIN), *self._pair(REAL), makes=REAL))
            case "compare":
                self.put(self.one(*COMPARE), *self._pair(REAL), makes=TRUTH)
            case "truths":
                self.put(self.one(*TRUTHS), *self._pair(TRUTH), makes=TRUTH)
            case "not":
                self.put("Not", self.any(TRUTH), makes=TRUTH)
            case "where":
                others = self._pair(REAL)
                self.put("Where", self.any(TRUTH), *others, makes=REAL)
            case "mod":
                divisor = self.number(REAL, bool(self.draw.random() < 0.5))
                self.arrays[divisor] = np.abs(self.arrays[divisor]) + np.float32(0.75)
                self.put("Mod", self.any(REAL), divisor, makes=REAL, fmod=1)
            case "cast":
                kind = int(self.draw.choice([TRUTH, WHOLE, REAL]))
                made = self.put("Cast", self.any(REAL), makes=kind, to=kind)
                if kind == WHOLE:
                    self.put("Cast", made, makes=REAL, to=REAL)
            case "rank":
                self._rank()
            case "sum so far":
                axis = self.number(REAL, many=False)
                self.arrays[axis] = np.asarray(self.draw.integers(1, len(self.shape) + 1))
                given = {
                    "reverse": int(self.draw.integers(2)),
                    "exclusive": int(self.draw.integers(2)),
                }
                clipped = self.put("Clip", self.any(REAL), makes=REAL)
                self.nodes[-1].input.extend([self._bound(-8), self._bound(8)])
                self._quarters(self.put("CumSum", clipped, axis, makes=REAL, **given))

    def _bound(self, number: float) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = np.asarray(number, np.float32)
        return name

    def _quarters(self, name: str) -> None:
        """Keep numbers few, so that all that follows is exact."""
        del self.types[name]
        low, high = self._bound(-64), self._bound(64)
        clipped = self.put("Clip", name, low, high, makes=REAL)
        del self.types[clipped]
        many = self.put("Mul", clipped, self._bound(4), makes=REAL)
        del self.types[many]
        whole = self.put("Round", many, makes=REAL)
        del self.types[whole]
        self.put("Mul", whole, self._bound(0.25), makes=REAL)

    def _pair(self, kind: int) -> list[str]:
        pair = [self.any(kind), self.any(kind, constant=0.5)]
        return pair if self.draw.random() < 0.5 else pair[::-1]

    def _rank(self) -> None:
        """The place of the largest, or all in order."""
        axis = int(self.draw.integers(1, len(self.shape) + 1))
        source, size = self.any(REAL), self.shape[axis - 1]
        if self.draw.random() < 0.5:
            given = {"axis": axis, "select_last_index": int(self.draw.integers(2))}
            place = self.put(self.one("ArgMax", "ArgMin"), source, makes=WHOLE, **given)
            real = self.put("Cast", place, makes=REAL, to=REAL)
            del self.types[real]
            self.put("Add", real, self.any(REAL), makes=REAL)
            return
        k = self._bound(0)
        self.arrays[k] = np.asarray([size])
        values = self.put(
            "TopK", source, k, makes=REAL, axis=axis, largest=int(self.draw.integers(2))
        )
        self.nodes[-1].output.append(f"{values}_at")
        if self.draw.random() < 0.5:
            self.put("Cast", f"{values}_at", makes=REAL, to=REAL)

    def model(self) -> Any:
        """With the last tensor as output, as a real number."""
        last = list(self.types)[-1]
        self.nodes.append(helper.make_node("Cast", [last], ["out"], to=REAL))
        shape = ("N", *self.shape)
        graph = helper.make_graph(
            self.nodes,
            "drawn",
            [helper.make_tensor_value_info(name, REAL, shape) for name in "xy"],
            [helper.make_tensor_value_info("out", REAL, None)],
            [numpy_helper.from_array(each, name) for name, each in self.arrays.items()],
        )
        opset = [helper.make_opsetid("", int(self.draw.choice([13, 17, 21])))]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)


def drawn(seed: int) -> tuple[Any, dict[str, Any]]:
    draw = default_rng(seed)
    graph = Graph(draw)
    for _ in range(draw.integers(2, 9)):
        graph.step()
    shape = (2, *graph.shape)
    feeds = {n: (draw.integers(-8, 9, shape) / 4).astype(np.float32) for n in "xy"}
    return graph.model(), feeds


def held(seed: int, folder: Path) -> None:
    """Our values are onnxruntime's to the bit, and our tiles are the reference."""
    made, feeds = drawn(seed)
    path = folder / "model.onnx"
    onnx.save(made, path)
    session = onnxruntime.InferenceSession(path)
    read = [each.name for each in session.get_inputs()]
    used = {name: array for name, array in feeds.items() if name in read}
    (wanted,) = session.run(None, used)
    assert np.array_equal(computed(path, feeds).reshape(wanted.shape), wanted)
    assert wrong_tiles(path, feeds) == []


@pytest.mark.parametrize("seed", range(8))
def test_drawn_graphs_are_what_onnxruntime_computes(seed: int, tmp_path: Path) -> None:
    held(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8, 80))
def test_more_drawn_graphs(seed: int, tmp_path: Path) -> None:
    held(seed, tmp_path)


# --- Layers ---------------------------------------------------------------------------------------


MAP = (16, 8, 8)


def one(op: Op, *shapes: tuple[int, ...]) -> Any:
    inputs = {f"x{at}": shape for at, shape in enumerate(shapes)}
    return build_network("one", inputs, [LayerSpec("l", op, tuple(inputs))])


def layer(draw: Generator) -> Any:
    """A layer of these, alone."""
    shape = tuple(map(int, draw.integers(1, 14, draw.integers(1, 5))))
    row = draw.choice([*POINTWISE, ArgMax, Sort, Floor, Ceil, Round, Truncate, Sign])
    axis = int(draw.integers(len(shape)))
    if row is ArgMax:
        size = int(draw.integers(1, len(shape) - axis + 1))
        axes = tuple(range(axis, axis + size))
        return one(ArgMax(axes=axes, keep=True, smallest=bool(draw.integers(2))), shape)
    if row is Sort:
        gives = str(draw.choice(["values", "places"]))
        return one(Sort(axis=axis, gives=gives, smallest=bool(draw.integers(2))), shape)  # type: ignore[arg-type]
    if row not in POINTWISE:
        return one(row(), shape)
    numbers = [None if draw.random() < 0.7 else 0.25 for _ in range(row.operands)]
    numbers[draw.integers(row.operands)] = None
    read = [
        shape if at == 0 else tuple(size if draw.random() < 0.7 else 1 for size in shape)
        for at in range(numbers.count(None))
    ]
    keys = {} if None in {*numbers} == {None} else {"numbers": tuple(numbers)}
    return one(row(**keys), *read)


@given(st.integers(0, 2**32))
@drawn_cases(150)
def test_tiles_are_the_reference(seed: int) -> None:
    """Of any rank, broadcast or not, cut or whole, in codes and in reals."""
    draw = default_rng(seed)
    network = layer(draw)
    kind, size = draw.choice(["int8", "uint8", "int16", "float32", "bfloat16"]), draw.integers(3)
    psum = "int32" if "int" in kind else "float32"
    settings = [f"precision={{ifmap: {kind}, filter: {kind}, ofmap: {kind}, psum: {psum}}}"]
    room = ("2 KiB", "8 KiB", "64 KiB")[size]
    settings += [f"buffers.{each}_sram.size={room}" for each in ("ifmap", "ofmap")]
    found = verify(network, "edge_ws", set=settings, batch=int(draw.integers(1, 4)))
    assert found.passed, network.layers


def test_a_comparison_is_one_operation_of_a_lane_and_a_choice_too() -> None:
    relu = simulate(one(Relu(), MAP), "edge_ws").layers[0]
    for row in POINTWISE:
        result = simulate(one(row(), *(MAP,) * row.operands), "edge_ws")
        assert result.layers[0].array_cycles == relu.array_cycles
        assert result.layers[0].dram.read_bytes == row.operands * relu.dram.read_bytes


def test_sorting_takes_a_binary_search_for_each_value() -> None:
    sort, relu = (simulate(one(op, (64, 100)), "edge_ws").layers[0] for op in (Sort(), Relu()))
    assert sort.array_cycles == 7 * relu.array_cycles


def test_what_is_sorted_is_never_cut() -> None:
    """A tile of some would have to sort all."""
    told = explain(one(Sort(), (3, 90)), "edge_ws", "l")
    assert {each.tiling["channels"] for each in told.contenders} == {90}
    with pytest.raises(DoesNotFitError):
        simulate(one(Sort(), (3, 9000)), "edge_ws", set=["buffers.ifmap_sram.size=4 KiB"])


@pytest.mark.parametrize(
    ("op", "shapes", "told"),
    [
        (Remainder(numbers=(None,)), ((4,),), "numbers needs 2 entries, found 1"),
        (Remainder(numbers=(1.0, 2.0)), ((4,),), "takes 1 inputs beside numbers, found 1"),
        (Remainder(), ((4,),), "takes 2 inputs beside numbers, found 1"),
        (Remainder(), ((4,), (5,)), "input shapes differ"),
        (Sort(axis=1), ((4,),), "there is no axis 1"),
    ],
)
def test_what_does_not_fit_is_said(op: Op, shapes: Any, told: str) -> None:
    with pytest.raises(Exception, match=told):
        one(op, *shapes)


def learned(*specs: LayerSpec) -> Any:
    """A layer with parameters, `d`, and what reads it."""
    return build_network(
        "learned", {"x": (4,)}, [LayerSpec("d", Dense(out_features=3), ("x",)), *specs]
    )


@pytest.mark.parametrize(
    "row", [*(row for row in POINTWISE if not issubclass(row, Sloped)), ArgMax, Sort]
)
def test_no_gradient_goes_through_what_compares(row: type[Any]) -> None:
    read = ("d",) * getattr(row, "operands", 1)
    with pytest.raises(InputError, match=r"l: layers of type .* cannot be trained: what it"):
        training_step(learned(LayerSpec("l", row(), read)))


def test_a_condition_needs_no_gradient() -> None:
    less = LayerSpec("less", Less(numbers=(None, 0.0)), ("d",))
    chosen = LayerSpec("w", Where(numbers=(None, None, 1.0)), ("less", "d"))
    step = training_step(learned(less, chosen), "squared_error")
    assert step.by_name["w@operand1"].inputs == ("loss@gradient", "less")
    assert step.by_name["d@weight_gradient"].inputs == ("x", "w@operand1")


def test_what_is_only_compared_is_not_learned() -> None:
    less = LayerSpec("less", Less(numbers=(None, 0.0)), ("d",))
    chosen = LayerSpec("w", Where(numbers=(None, None, 1.0)), ("less", "e"))
    other = LayerSpec("e", Dense(out_features=3), ("x",))
    with pytest.raises(
        InputError, match="d: cannot be trained: what is made of it is only compared"
    ):
        training_step(learned(less, other, chosen))

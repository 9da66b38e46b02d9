"""Models that onnxruntime's quantize_dynamic writes: drawn ones against others, and by hand."""

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
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotImplemented_
from oracles.onnx_models import computed, wrong_tiles

from accelsim.errors import InputError, UncoveredError
from accelsim.facade import simulate, verify
from accelsim.frontend import load_network
from accelsim.network.backward import training_step
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Dense, DynamicQuantize

Nodes = list[onnx.NodeProto]


def model(nodes: Nodes, arrays: dict[str, Any], shape: tuple[int, ...], last: str) -> Any:
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", *shape))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


class Writer:
    """A model in the making, as quantize_dynamic writes it."""

    def __init__(self, generator: Generator, bits: int) -> None:
        self.draw, self.bits = generator, bits
        self.nodes, self.arrays = Nodes(), dict[str, Any]()

    def put(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def array(self, values: Any) -> str:
        name = f"c{len(self.arrays)}"
        self.arrays[name] = values
        return name

    def weight(self, shape: tuple[int, ...], outputs: int) -> tuple[str, str, str]:
        """Codes, their zero point and scale, of all or of each of the last axis."""
        signed, each = self.draw.random() < 0.5, outputs > 0 and self.draw.random() < 0.5
        kind = np.int8 if signed else np.uint8
        limits = np.iinfo(kind)
        middle, half = (limits.min + limits.max + 1) // 2, 2 ** (self.bits - 1)
        codes = (middle + self.draw.integers(-half, half, shape)).astype(kind)
        many = (outputs,) if each else ()
        zero = self.draw.integers(limits.min // 4, limits.max // 4, many).astype(kind)
        scale = self.draw.uniform(0.002, 0.01, many).astype(np.float32)
        return self.array(codes), self.array(zero), self.array(scale)

    def product(self, op: str, x: str, weight: tuple[str, str, str], **attributes: Any) -> str:
        codes, scale, zero = self.put("DynamicQuantizeLinear", x, outputs=3)
        (both,) = self.put("Mul", *self.draw.permutation([scale, weight[2]]))
        (sums,) = self.put(op, codes, weight[0], zero, weight[1], **attributes)
        (reals,) = self.put("Cast", sums, to=TensorProto.FLOAT)
        return self.put("Mul", *self.draw.permutation([reals, both]))[0]


def drawn(generator: Generator, bits: int) -> tuple[Any, tuple[int, ...]]:
    """Two to four products with biases, functions and a residual sum between them."""
    writer = Writer(generator, bits)
    maps = bool(generator.random() < 0.5)
    size = int(generator.integers(3, 9))
    width = int(generator.integers(3, 40))
    shape = (width, size, size) if maps else (size, width)
    name, kept = "x", ""
    for _ in range(generator.integers(2, 5)):
        outputs = width if generator.random() < 0.5 else int(generator.integers(2, 24))
        if maps:
            weight = writer.weight((outputs, width, 3, 3), 0)
            made = writer.product("ConvInteger", name, weight, pads=[1, 1, 1, 1])
            bias = generator.normal(size=(1, outputs, 1, 1))
        else:
            weight = writer.weight((width, outputs), outputs)
            made = writer.product("MatMulInteger", name, weight)
            bias = generator.normal(size=outputs)
        if generator.random() < 0.7:
            (made,) = writer.put("Add", made, writer.array(bias.astype(np.float32)))
        if generator.random() < 0.7:
            (made,) = writer.put(str(generator.choice(["Relu", "Tanh", "Sigmoid"])), made)
        if outputs == width and generator.random() < 0.5:
            (made,) = writer.put("Add", made, kept or name)
        kept = "" if outputs != width else name
        name, width = made, outputs
    return model(writer.nodes, writer.arrays, shape, name), shape


def session_of(path: Path) -> Any:
    """onnxruntime's, or, where a release of it has no kernel for some types, onnx's reference."""
    try:
        return onnxruntime.InferenceSession(path)
    except NotImplemented_:
        return ReferenceEvaluator(str(path))


def held(seed: int, folder: Path) -> float:
    """By how much of the largest value ours differ from the right ones, at most.

    onnxruntime's sums of two products of 8 bits saturate where a processor has no VNNI; weights of
    seven bits keep it from that, and those of eight are held against onnx's own reference.
    """
    bits = 7 + seed % 2
    made, shape = drawn(default_rng(seed), bits)
    path = folder / "model.onnx"
    onnx.save(made, path)
    feeds = {"x": default_rng(seed + 1).normal(size=(1, *shape)).astype(np.float32)}
    if seed % 3 == 0:  # as many, all on one side of zero
        feeds["x"] = np.abs(feeds["x"]) + np.float32(0.5)
    assert wrong_tiles(path, feeds) == []
    session = session_of(path) if bits == 7 else ReferenceEvaluator(made)
    (wanted,) = session.run(None, feeds)
    difference = np.abs(computed(path, feeds).reshape(wanted.shape) - wanted)
    return float(difference.max() / max(np.abs(wanted).max(), 1e-3))


@pytest.mark.parametrize("seed", range(6))
def test_drawn_models_are_what_others_compute(seed: int, tmp_path: Path) -> None:
    """None of these has a value so near the middle of two steps that it is rounded to the other."""
    assert held(seed, tmp_path) < 1e-5


def chain(shape: tuple[int, ...] = (6, 16), *, last: str = "") -> Any:
    writer = Writer(default_rng(0), 8)
    made = writer.product("MatMulInteger", "x", writer.weight((16, 8), 8))
    (made,) = writer.put("Add", made, writer.array(np.ones(8, np.float32)))
    return model(writer.nodes, writer.arrays, shape, last or made)


def test_a_product_is_one_layer_behind_one_that_quantizes(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(chain(), path)
    network = load_network(path)
    assert [type(layer.op) for layer in network.layers] == [DynamicQuantize, Dense]
    assert network.parameters == 16 * 8 + 8
    result = simulate(network, "edge_ws", batch=3)
    quantize, dense = result.layers
    assert quantize.macs == 0
    assert dense.macs == 3 * 6 * 16 * 8


def test_each_image_has_a_scale_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(chain(), path)
    feeds = default_rng(1).normal(size=(2, 6, 16)).astype(np.float32)
    feeds[1] *= 100
    session = ReferenceEvaluator(onnx.load(path))
    wanted = [session.run(None, {"x": each[None]})[0][0] for each in feeds]
    assert np.allclose(computed(path, {"x": feeds}), wanted, rtol=1e-5, atol=1e-3)


def test_a_file_of_several_images_is_one_here_with_one_scale(tmp_path: Path) -> None:
    path, made = tmp_path / "model.onnx", chain()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(made, path)
    assert load_network(path).inputs == {"x": (2, 6, 16)}


@pytest.mark.parametrize("last", ["t0_0", "t0_1", "t2_0"])
def test_codes_and_scales_by_themselves_are_refused(last: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    made = chain(last=last)
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.UNDEFINED
    onnx.save(made, path)
    with pytest.raises(UncoveredError, match="its codes, scale or zero point are read by"):
        load_network(path)


def test_what_is_trained_is_not_rounded(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(chain(), path)
    with pytest.raises(InputError, match="'dynamic_quantize' cannot be trained"):
        training_step(load_network(path))


@given(st.integers(0, 2**32))
@drawn_cases(40)
def test_tiles_of_a_dynamic_quantization_are_the_reference(seed: int) -> None:
    """Of any rank, in one tile or in passes, in codes and in reals."""
    draw = default_rng(seed)
    shape = tuple(map(int, draw.integers(1, 12, draw.integers(1, 5))))
    settings = draw.choice(["int8", "uint8", "float32", "bfloat16"])
    formats = f"precision={{ifmap: {settings}, filter: {settings}, ofmap: {settings}, psum: " + (
        "int32}" if "int" in settings else "float32}"
    )
    network = build_network("one", {"x": shape}, [LayerSpec("l", DynamicQuantize(), ("x",))])
    size = "buffers.{}_sram.size=" + str(draw.choice(["64 B", "512 B", "64 KiB"]))
    machine = [formats, *(size.format(each) for each in ("ifmap", "ofmap"))]
    assert verify(network, "edge_ws", set=machine, batch=int(draw.integers(1, 4))).passed

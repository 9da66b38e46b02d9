"""Hostile models, mappings, data sheets, inputs and outputs, and options of every command.

As in hostile.py: each case is a folder of files and the arguments of one command.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np
import typer
from hostile import (
    NAMES,
    ODD_ARRAYS,
    PATHS,
    RUNS,
    SCALARS,
    TINY,
    Case,
    changed_bytes,
    changed_yaml,
    network_text,
    shipped,
)
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from accelsim.cli import app

SIZES = (0, 1, 2, 3, 7, -1, -5, 2**31, 2**62, -(2**63))
ODD_ATTRIBUTES: Sequence[Any] = (*SIZES, 0.5, float("nan"), "SAME_UPPER", "\u202e", [1, 1], [2**40])
OPERATORS = (
    *("Conv", "Gemm", "MatMul", "Relu", "MaxPool", "AveragePool", "Flatten", "Add", "Reshape"),
    *("Transpose", "Concat", "Slice", "Softmax", "BatchNormalization", "Pad", "Resize", "Gather"),
    *("LSTM", "Loop", "If", "Cast", "Shape", "Tile", "Expand", "Range", "ConstantOfShape"),
    *("Split", "ReduceMean", "QLinearConv", "QuantizeLinear", "ConvTranspose", "Einsum"),
    *("Squeeze", "Unsqueeze", "Where", "NonZero", "OneHot", "LayerNormalization", "Clip"),
)
ATTRIBUTES = (
    *("kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "axis", "axes"),
    *("alpha", "perm", "epsilon", "transB", "ceil_mode", "mode", "to", "value", "keepdims"),
)


def plain_model() -> Any:
    """Three layers that every command takes."""
    draw = np.random.default_rng(0)
    arrays = {
        "w": draw.standard_normal((4, 3, 3, 3), np.float32),
        "v": draw.standard_normal((4 * 16, 5), np.float32),
        "s": np.array([0, -1]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Reshape", ["r", "s"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _odd_attribute(draw: Random, model: Any) -> None:
    node, value = draw.choice(model.graph.node), draw.choice(ODD_ATTRIBUTES)
    name = draw.choice(ATTRIBUTES)
    for at, each in enumerate(node.attribute):
        if each.name == name:
            del node.attribute[at]
    node.attribute.append(helper.make_attribute(name, value))


def _another_operator(draw: Random, model: Any) -> None:
    node = draw.choice(model.graph.node)
    node.op_type = draw.choice((*OPERATORS, *NAMES[:10]))
    node.domain = draw.choice(("", "", "", "ai.onnx.ml", "com.microsoft", "\x1b[2J"))


def _another_edge(draw: Random, model: Any) -> None:
    node = draw.choice(model.graph.node)
    name = draw.choice(("x", "w", "v", "s", "c", "r", "f", "y", "", *NAMES))
    draw.choice((node.input, node.output))[:] = [name] * draw.randint(0, 3)


def _another_node(draw: Random, model: Any) -> None:
    node = helper.make_node(draw.choice(OPERATORS), ["y", "s", "w"][: draw.randint(0, 3)], ["z"])
    model.graph.node.append(node)
    if draw.random() < 0.7:
        model.graph.output[0].name = "z"


def _odd_tensor(draw: Random, model: Any) -> None:
    tensor = draw.choice(model.graph.initializer)
    how = draw.randrange(5)
    if how == 0:
        tensor.dims[draw.randrange(len(tensor.dims))] = draw.choice(SIZES)
    elif how == 1:
        tensor.raw_data = draw.randbytes(draw.randint(0, 9))
    elif how == 2:
        tensor.data_type = draw.choice((*range(25), 10**6))
    elif how == 3:
        tensor.data_location = TensorProto.EXTERNAL
        places = ("../m.onnx", "/etc/passwd", "none.bin", "m.onnx", "", "d.yaml", "f.yaml", "a\0b")
        for key, value in (
            ("location", draw.choice((*places, "x" * 300))),
            ("offset", str(draw.choice((*SIZES, "x")))),
            ("length", str(draw.choice((*SIZES, "x")))),
        ):
            tensor.external_data.add(key=key, value=value)
    else:
        array = np.resize(np.array([0, 3, -1, 2**40]), draw.choice((1, 2, 4)))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _odd_input(draw: Random, model: Any) -> None:
    shape = model.graph.input[0].type.tensor_type.shape
    how = draw.randrange(4)
    if how == 0:
        draw.choice(shape.dim).dim_value = draw.choice(SIZES)
    elif how == 1:
        draw.choice(shape.dim).dim_param = draw.choice(NAMES)
    elif how == 2:
        del shape.dim[draw.randrange(len(shape.dim)) :]
    else:
        model.graph.input[0].type.tensor_type.elem_type = draw.choice((0, 7, 8, 10, 99))


def _odd_header(draw: Random, model: Any) -> None:
    how = draw.randrange(3)
    if how == 0:
        model.opset_import[0].version = draw.choice((*SIZES, 1, 6, 13, 99))
    elif how == 1:
        del model.opset_import[:]
    else:
        name = draw.choice(NAMES)
        model.graph.name = name
        draw.choice(model.graph.node).name = name


def _odd_graph(draw: Random, model: Any) -> None:
    """A cycle, a node twice, no output, or a graph in an attribute."""
    how, nodes = draw.randrange(4), model.graph.node
    if how == 0:
        nodes[0].input[:] = ["y", "w"]
    elif how == 1:
        nodes.append(draw.choice(nodes))
    elif how == 2:
        del model.graph.output[:]
    else:
        graph = AttributeProto(name="body", type=AttributeProto.GRAPH, g=model.graph)
        nodes[1].attribute.append(graph)
        nodes[1].op_type = draw.choice(("Loop", "If", "Scan"))


CHANGES: Sequence[Callable[[Random, Any], None]] = (
    *(_odd_attribute, _another_operator, _another_edge, _another_node),
    *(_odd_tensor, _odd_input, _odd_header, _odd_graph),
)


def model_case(draw: Random) -> Case:
    model = plain_model()
    for _ in range(draw.randint(1, 3)):
        with suppress(
            IndexError, ValueError
        ):  # an earlier change may have taken away what this one is of
            draw.choice(CHANGES)(draw, model)
    content = model.SerializeToString()
    if draw.random() < 0.2:
        content = changed_bytes(draw, content)
    commands: list[tuple[str, ...]] = [
        ("show", "m.onnx"),
        ("convert", "m.onnx", "-o", "o.yaml"),
        ("show", "m.onnx", "--dim", f"N={draw.choice((1, 2, 2**40, 'x', -1))}"),
        ("show", "m.onnx", "--outputs", draw.choice(("c", "f", "none", "", "\x1b[2J"))),
    ]
    if draw.random() < RUNS:
        free = ("--unsupported", "free")
        commands = [("run", "m.onnx", "edge_ws", *free), ("compute", "m.onnx")]
    return Case("model", {"m.onnx": content}, draw.choice(commands))


MAPPINGS = {
    "m.mapping": "[T] N1 C2 M2 P2 Q2 S3 R3 - [O] N1 C1 M1 P1 Q1 S1 R1 - [I] N1 C2 M2 P2 Q2 S3 R3\n",
    "m.yaml": (
        "layers:\n  c: {rows: 1, channels: 2, order: ofmap_stays}\n"
        "  '*': {filters: all, split: 1}\n"
    ),
    "t.yaml": (
        "mapping:\n"
        "  - {target: DRAM, type: temporal, factors: R=1 S=1 P=2 Q=1 C=1 M=2 N=1, "
        "permutation: RSCMQPN}\n"
        "  - {target: buffer, type: temporal, factors: [R=3, S=3, P=1, Q=2, C=2, M=1, N=1]}\n"
    ),
}


def mapping_case(draw: Random) -> Case:
    name = draw.choice([*MAPPINGS])
    content = changed_yaml(draw, MAPPINGS[name]).encode("utf-8", "replace")
    if draw.random() < 0.2:
        content = changed_bytes(draw, content)
    command = draw.choice(("run", "verify", "explain"))
    layer = ("c",) if command == "explain" else ()
    arguments = (command, "tiny.yaml", "edge_ws", *layer, "--mapping", name)
    return Case("mapping", {name: content, "tiny.yaml": TINY}, arguments)


CFG = """[general]
run_name = x
[architecture_presets]
ArrayHeight: 32
ArrayWidth: 32
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
Dataflow: ws
Bandwidth: 10
[run_presets]
InterfaceBandwidth: CALC
"""


def cfg_case(draw: Random) -> Case:
    content = changed_yaml(draw, CFG).encode("utf-8", "replace")
    command = draw.choice((("show", "h.cfg"), ("convert", "h.cfg"), ("run", "tiny.yaml", "h.cfg")))
    return Case("cfg", {"h.cfg": content, "tiny.yaml": TINY}, command)


def dram_case(draw: Random) -> Case:
    name = draw.choice(("DDR4-2400", "HBM2", "LPDDR5-6400"))
    content = changed_yaml(draw, shipped("configs/dram", name)).encode("utf-8", "replace")
    arguments = ("run", "tiny.yaml", "edge_ws", "--set", "dram.timing=m.yaml")
    trace = ("--trace-dram", draw.choice(("t.csv", "t.trc.gz", "t.trace")))
    return Case(
        "dram", {"m.yaml": content, "tiny.yaml": TINY}, (*arguments, *trace[: draw.choice((0, 2))])
    )


def training_case(draw: Random) -> Case:
    content = network_text(draw).encode("utf-8", "replace")
    floats = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
    form = draw.choice(
        (
            ("train", "n.yaml", "edge_ws"),
            ("verify", "n.yaml", "edge_ws", "--train", "--set", floats),
            ("show", "n.yaml", "--train"),
            ("compute", "n.yaml", "--train"),
            ("run", "n.yaml", "edge_ws", "--dataflow", "best"),
        )
    )
    return Case("training", {"n.yaml": content}, form)


def inputs_case(draw: Random) -> Case:
    file = io.BytesIO()
    good = np.zeros((1, 2, 4, 4), np.int8)
    arrays = {"input": good, draw.choice(("input", "input.scale", "c.weight", *NAMES)): None}
    values = (*ODD_ARRAYS, good, np.float32(0), np.array(10**20), np.zeros((0, 2, 4, 4), np.int8))
    np.savez(file, **{key or "_": draw.choice(values) for key in arrays if "/" not in key})
    content = file.getvalue()
    if draw.random() < 0.4:
        content = changed_bytes(draw, content)
    hardware = draw.choice(((), ("edge_ws",)))
    return Case(
        "inputs",
        {"i.npz": content, "tiny.yaml": TINY},
        ("compute", "tiny.yaml", *hardware, "--input", "i.npz", "--save", "o.npz"),
    )


OUTPUTS = {
    "run": (
        "--json",
        "--csv",
        "--report",
        "--trace",
        "--trace-dram",
        "--trace-sram",
        "--save-mapping",
    ),
    "train": ("--json", "--csv", "--report"),
    "verify": ("--json",),
    "compute": ("--save", "--json"),
}
ENDINGS = (".json", ".csv", ".html", ".npz", ".trc", ".yaml", ".gz", "")


def output_case(draw: Random) -> Case:
    """Two outputs, at odd places or at one, or over an input."""
    command = draw.choice([*OUTPUTS])
    options = draw.choices(OUTPUTS[command], k=2)
    places = [
        draw.choice((f"o{draw.choice(ENDINGS)}", "tiny.yaml", "h.yaml", *PATHS)) for _ in options
    ]
    if draw.random() < 0.4:
        places[1] = places[0]
    paired = [part for pair in zip(options, places, strict=True) for part in pair]
    files = {"tiny.yaml": TINY, "h.yaml": shipped("configs", "edge_ws").encode()}
    return Case("output", files, (command, "tiny.yaml", "h.yaml", *paired))


CALLS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("run", "train", "compute", "verify"), ("tiny.yaml", "edge_ws")),
    "compare": ("tiny.yaml", "--hardware", "edge_ws"),
    "explain": ("tiny.yaml", "edge_ws", "c"),
    "validate": ("--only", "nvdla"),
    "sweep": ("s.yaml", "--dry-run"),
    "results": ("m.sqlite",),
    "diff": ("a.json", "a.json"),
    "show": ("tiny.yaml",),
    "report": ("a.json", "-o", "o.html"),
    "plot": ("layers", "a.json", "-o", "o.svg"),
    "convert": ("t.csv",),
    "list": (),
    "schema": ("network",),
}
"""How each command is called well."""
SWEEP = b"{name: s, networks: [tiny.yaml], base: edge_ws, matrix: {array.rows: [8, 16]}}"
TOPOLOGY = b"Layer, M, N, K,\na, 3, 4, 5,\n"
VALUES = (
    *("1", "2", "best", "os", "a=1", "cycles,energy", "cycles=1%", "c", "block", "network", "sgd"),
    *("array.rows=8", "batch", "free", "m.sqlite", "a.json", "tiny.yaml", "t.csv", "m.mapping"),
    *("tcp://127.0.0.1:1", "x.html", "x.pdf", "x.svg", "x.csv", "x.json", "x.trc", "x.npz"),
    *("--json", "--", "=", "pareto", "heatmap", "timeline", "roofline", "hardware", "rows:1"),
)


def option_case(run: bytes, stored: bytes) -> Callable[[Random], Case]:
    """Every option and argument of every command, as the commands themselves name them."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    options = {
        name: [(each.opts[0], each.is_flag) for each in command.params if each.opts[0][0] == "-"]
        for name, command in commands.items()
    }
    files = {
        "tiny.yaml": TINY,
        "a.json": run,
        "m.sqlite": stored,
        "s.yaml": SWEEP,
        "t.csv": TOPOLOGY,
        "m.mapping": MAPPINGS["m.mapping"].encode(),
    }

    def make(draw: Random) -> Case:
        command = draw.choice([*CALLS])
        said = list(CALLS[command])

        def value() -> str:
            return draw.choice(draw.choice((VALUES, VALUES, SCALARS, PATHS, NAMES)))

        if said and draw.random() < 0.3:
            said[draw.randrange(len(said))] = value()
        elif draw.random() < 0.1:
            said = said[:-1]
        for _ in range(draw.randint(1, 3)):
            name, is_flag = draw.choice(options[command] or [("--zzz", False)])
            said += [name] if is_flag else [name, value()]
        if command == "validate" and "--only" not in said:
            said += ["--only", "nvdla"]
        return Case("option", files, (command, *(part for part in said if "\0" not in part)))

    return make


KINDS: Mapping[str, Callable[[Random], Case]] = {
    "model": model_case,
    "mapping": mapping_case,
    "cfg": cfg_case,
    "dram": dram_case,
    "training": training_case,
    "inputs": inputs_case,
    "output": output_case,
}

"""Language models as their exporters write them: caches, grouped queries, weights of few bits."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.random import Generator, default_rng
from onnx import TensorProto, helper, numpy_helper
from oracles.onnx_models import outputs, saved, wrong_tiles
from typer.testing import CliRunner

from accelsim.cli import app
from accelsim.errors import InputError, UncoveredError
from accelsim.frontend import load_network
from accelsim.network.decoding import decoding_step

HEADS, OWN, SIZE, PAST = 2, 1, 16, 4
KINDS = {**dict.fromkeys(("m", "ids", "kind"), TensorProto.INT32), "at": TensorProto.INT64}


def angles(size: int) -> dict[str, Any]:
    turns = np.arange(64)[:, None] * 10000.0 ** (-np.arange(size // 2) / (size // 2))
    return {"cos": np.float32(np.cos(turns)), "sin": np.float32(np.sin(turns))}


def model(
    op: str, read: str, shapes: dict[str, Any], arrays: dict[str, Any], made: str = "y", **said: Any
) -> Any:
    """One node of onnxruntime's; `_` is an input that is left out."""
    names = [name.strip("_") for name in read.split()]
    nodes = [
        helper.make_node(
            op, names, [name.strip("_") for name in made.split()], domain="com.microsoft", **said
        )
    ]
    if "q" in names and "x" in shapes:
        nodes.insert(0, helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    return modelled(nodes, shapes, [name for name in made.split() if name != "_"], arrays)


def modelled(
    nodes: list[Any], shapes: dict[str, Any], made: list[str], arrays: dict[str, Any]
) -> Any:
    """A model from inputs of some shapes to what is made of them."""
    graph = helper.make_graph(
        nodes,
        "drawn",
        [
            helper.make_tensor_value_info(name, KINDS.get(name, TensorProto.FLOAT), shape)
            for name, shape in shapes.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in made],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def drawn(given: Any, draw: Generator) -> dict[str, Any]:
    feeds: dict[str, Any] = {}
    for each in given.graph.input:
        shape = [dim.dim_value for dim in each.type.tensor_type.shape.dim]
        if each.name == "m":  # what hides the first two keys of the first image
            feeds["m"] = np.ones(shape, np.int32)
            feeds["m"][0, :2] = 0
        elif each.name in KINDS:
            feeds[each.name] = draw.integers(2, 9, shape).astype(
                np.int64 if each.name == "at" else np.int32
            )
        else:
            feeds[each.name] = draw.standard_normal(shape, np.float32)
    return feeds


def held(given: Any, folder: Path, tiles: bool) -> None:
    """Each output is onnxruntime's, and the tiles are the reference's."""
    path = saved(given, folder)
    feeds = drawn(given, default_rng(1))
    names = [each.name for each in given.graph.output]
    wanted = onnxruntime.InferenceSession(path).run(names, feeds)
    reals = {name: each.astype(np.float32) for name, each in feeds.items()}
    found = outputs(path, reals)
    for name, each in zip(names, wanted, strict=True):
        values = found[name].reshape(each.shape)
        assert np.abs(values - each).max() <= 2e-5 * np.abs(each).max()
    if tiles:
        assert wrong_tiles(path, reals) == []


def grouped(times: int, past: int, packed: bool = False, **said: Any) -> Any:
    wide = [HEADS * SIZE, OWN * SIZE, OWN * SIZE]
    shapes: dict[str, Any] = {"q": (1, times, sum(wide) if packed else wide[0])}
    if not packed:
        shapes |= dict.fromkeys("kv", (1, times, wide[1]))
    if past:
        shapes |= dict.fromkeys(("pk", "pv"), (1, OWN, past, SIZE))
    arrays = {"seen": np.array([times + past - 1], np.int32), "all": np.int32(times + past)}
    read = f"q {'_ _' if packed else 'k v'} {'pk pv' if past else '_ _'} seen all"
    if said.get("do_rotary"):
        arrays, read = arrays | angles(SIZE), f"{read} cos sin"
    heads = {"num_heads": HEADS, "kv_num_heads": OWN}
    return model("GroupQueryAttention", read, shapes, arrays, "y pk2 pv2", **heads, **said)


def many(times: int, past: int, read: str, **said: Any) -> Any:
    wide = HEADS * SIZE
    arrays = {"b": default_rng(2).standard_normal(3 * wide, np.float32)} if "b" in read else {}
    shapes: dict[str, Any] = dict.fromkeys("qkv", (2, times, wide))
    shapes |= {"m": (2, times + past)} if "m" in read else {}
    shapes |= {"a": (2, HEADS, times, times + past)} if "a" in read else {}
    shapes |= {name: (2, HEADS, past, SIZE) for name in ("pk", "pv") if past}
    return model("MultiHeadAttention", read, shapes, arrays, "y pk2 pv2", num_heads=HEADS, **said)


def joined(times: int, past: int) -> Any:
    """Keys and values of before in one tensor, as GPT-2's are."""
    draw = default_rng(3)
    arrays = {
        "w": draw.standard_normal((12, 3 * HEADS * SIZE), np.float32),
        "b": draw.standard_normal(3 * HEADS * SIZE, np.float32),
    }
    shapes = {"x": (1, times, 12), "m": (1, times + past)}
    shapes |= {"p": (2, 1, HEADS, past, SIZE)} if past else {}
    said = {"num_heads": HEADS, "unidirectional": 1}
    read = f"x w b m{' p' * bool(past)}"
    return model("Attention", read, shapes, arrays, "y both", **said)


def codes(each: int) -> Any:
    draw, wide = default_rng(4), 3 * HEADS * SIZE
    arrays = {
        "w": draw.integers(-63, 64, (12, wide)).astype(np.int8),
        "b": draw.standard_normal(wide, np.float32),
        "ws": np.float32(draw.uniform(0.01, 0.02, wide)) if each else np.float32(0.01),
        "wz": np.zeros(wide, np.int8) if each else np.int8(0),
    }
    read = "q w b s ws m z wz"
    return model("QAttention", read, {"x": (1, 5, 12), "m": (1, 5)}, arrays, num_heads=HEADS)


def blocks(bits: int, points: str) -> Any:
    """Rows of 70 in blocks of 16, the last of which is not full."""
    draw, rows, count = default_rng(5), 6, 5
    arrays: dict[str, Any] = {
        "w": draw.integers(0, 256, (rows, count, 2 * bits)).astype(np.uint8),
        "s": draw.uniform(0.01, 0.1, (rows, count)).astype(np.float32),
    }
    if points == "packed":
        arrays["z"] = draw.integers(0, 256, (rows, -(-count * bits // 8))).astype(np.uint8)
    elif points:
        arrays["z"] = draw.integers(0, 2**bits, (rows, count)).astype(np.float32)
    said = {"K": 70, "N": rows, "block_size": 16, "bits": bits}
    return model("MatMulNBits", "x w s z" if points else "x w s", {"x": (2, 3, 70)}, arrays, **said)


def rows() -> Any:
    draw = default_rng(6)
    sizes = {"words": 20, "places": 30, "kinds": 9}
    arrays = {name: draw.standard_normal((size, 8), np.float32) for name, size in sizes.items()}
    arrays |= {name: draw.standard_normal(8, np.float32) for name in ("g", "b")}
    read, shapes = "ids kind words places kinds g b", {"ids": (2, 5), "kind": (2, 5)}
    return model("EmbedLayerNormalization", read, shapes, arrays, "y _", epsilon=1e-5)


CASES = {
    "grouped, a token": grouped(1, PAST, do_rotary=1),
    "grouped, packed": grouped(3, PAST, packed=True, do_rotary=1, rotary_interleaved=1),
    "grouped, a window": grouped(3, PAST, do_rotary=1, local_window_size=3),
    "grouped, a prompt": grouped(3, 0, packed=True, do_rotary=1),
    "many, a token": many(1, PAST, "q k v b m _ pk pv"),
    "many, some": many(3, PAST, "q k v _ m a pk pv", unidirectional=1),
    "many, a prompt": many(3, 0, "q k v b _ a"),
    "joined, a token": joined(1, PAST),
    "joined, a prompt": joined(3, 0),
    "codes": codes(0),
    "codes by column": codes(1),
    "4 bits": blocks(4, ""),
    "4 bits, packed points": blocks(4, "packed"),
    "4 bits, points as they are": blocks(4, "real"),
    "8 bits": blocks(8, "packed"),
    "turned, heads not told": model(
        "RotaryEmbedding", "x at cos sin", {"x": (2, 5, 64), "at": (2, 5)}, angles(SIZE)
    ),
    "turned, in part": model(
        *("RotaryEmbedding", "x at cos sin", {"x": (2, HEADS, 5, 32), "at": (2, 5)}, angles(SIZE)),
        rotary_embedding_dim=SIZE,
        num_heads=HEADS,
        interleaved=1,
    ),
    "rows": rows(),
}


NEWER = ("grouped, a window", "8 bits")
"""What the oldest onnxruntime has no kernel for, or takes a window as one key wider."""


@pytest.mark.parametrize("name", CASES)
def test_what_onnxruntime_has_for_language_models(name: str, tmp_path: Path) -> None:
    if name in NEWER and int(onnxruntime.__version__.split(".")[1]) < 30:
        pytest.skip("this onnxruntime computes something else")
    held(CASES[name], tmp_path, tiles=name in ("grouped, a token", "many, some", "4 bits"))


# --- Whole files ----------------------------------------------------------------------------------


def put(*nodes: str) -> list[Any]:
    """Nodes as `op inputs > outputs key=value`."""
    found = []
    for text in nodes:
        left, right = text.split(" > ")
        op, *read = left.split()
        made = [word for word in right.split() if "=" not in word]
        said = {key: int(n) for key, n in (w.split("=") for w in right.split() if "=" in w)}
        if op == "Transpose":
            said = {"perm": [int(n) for n in str(said["perm"])[1:]]}
        found.append(helper.make_node(op, read, made, **said))
    return found


def step() -> Any:
    """A block behind a cache as optimum writes it: a mask for every token, keys repeated."""
    draw = default_rng(7)
    nodes = put(
        *(f"MatMul x w{name} > {name}0" for name in "qkv"),
        *("Reshape q0 apart > q1", "Transpose q1 > q2 perm=10213", "Mul q2 root > q3"),
        *(f"Reshape {name}0 fewer > {name}1" for name in "kv"),
        *(f"Transpose {name}1 > {name}2 perm=10213" for name in "kv"),
        *(f"Concat past.{name} {name}2 > present.{name} axis=-2" for name in "kv"),
        *(f"Unsqueeze present.{name} two > {name}4" for name in "kv"),
        *("Shape present.k > size", "Gather size two > total axis=0"),
        *("Concat one own share total features > wide axis=0",),
        *("Concat one heads total features > whole axis=0",),
        *(f"Expand {name}4 wide > {name}5" for name in "kv"),
        *(f"Reshape {name}5 whole > {name}6" for name in "kv"),
        *("Transpose k6 > k7 perm=10132", "Mul k7 root > k8", "MatMul q3 k8 > s0"),
        *("Cast m > m0 to=1", "Sub ones m0 > m1", "Mul m1 low > m2", "Unsqueeze m2 both > m3"),
        *("Add s0 m3 > s1", "Softmax s1 > s2 axis=-1", "IsNaN s2 > nan", "Where nan zero s2 > s3"),
        *("MatMul s3 v6 > c0", "Transpose c0 > c1 perm=10213", "Reshape c1 flat > c2"),
        "MatMul c2 wo > y",
    )
    arrays = {
        **{f"w{name}": draw.standard_normal((8, 8), np.float32) for name in "qo"},
        **{f"w{name}": draw.standard_normal((8, 4), np.float32) for name in "kv"},
        "apart": np.array([0, 0, 4, 2]),
        "fewer": np.array([0, 0, 2, 2]),
        "two": np.array([2]),
        "one": np.array([1]),
        "own": np.array([2]),
        "share": np.array([2]),
        "heads": np.array([4]),
        "features": np.array([2]),
        "both": np.array([1, 2]),
        "flat": np.array([0, 0, 8]),
        "root": np.float32(0.8),
        "ones": np.float32(1),
        "low": np.float32(-1e4),
        "zero": np.float32(0),
    }
    shapes = {
        "x": ("B", "new", 8),
        "m": ("B", "past + new"),
        **{f"past.{name}": ("B", 2, "past", 2) for name in "kv"},
    }
    return modelled(nodes, shapes, ["y", "present.k", "present.v"], arrays)


@pytest.mark.parametrize(("new", "past"), [(1, 5), (3, 5), (3, 0)])
def test_a_block_behind_a_cache(new: int, past: int, tmp_path: Path) -> None:
    """Sizes that are sums need not be given; no past at all is the prompt."""
    path, draw, total = saved(step(), tmp_path), default_rng(8), new + past
    dims = {"new": new, "past": past}
    feeds = {"x": draw.standard_normal((1, new, 8), np.float32)}
    feeds["m"] = np.ones((1, total), np.int32)
    feeds["m"][0, 0] = 0
    feeds |= {f"past.{name}": draw.standard_normal((1, 2, past, 2), np.float32) for name in "kv"}
    wanted = onnxruntime.InferenceSession(path).run(["y", "present.k", "present.v"], feeds)
    found = outputs(path, {name: each.astype(np.float32) for name, each in feeds.items()}, dims)
    for each, values in zip(wanted, found.values(), strict=True):
        assert np.abs(values.reshape(each.shape) - each).max() <= 2e-5
    kinds = [layer.op.name for layer in load_network(path, dims).layers]
    assert "expand" not in kinds  # the two heads of queries read one of keys
    assert kinds.count("append") == (2 if past else 0)  # where the cache is, nothing moves
    assert kinds.count("transpose") == (0 if new == 1 else 4)
    with pytest.raises(InputError, match=r"inputs \(past.k, ...\).*leave --decode"):
        decoding_step(load_network(path, {"new": 1, "past": 5}), 5)


def test_open_sizes_of_a_cache_are_told_by_their_parts(tmp_path: Path) -> None:
    path = str(saved(step(), tmp_path))
    said = CliRunner().invoke(app, ["show", path]).output
    assert "--dim new=N" in said
    assert "--dim past=N" in said
    assert "past + new" not in said
    all_given = ["--dim", "new=1", "--dim", "past=0", "--dim", "past + new=1"]
    assert CliRunner().invoke(app, ["show", path, *all_given]).exit_code == 0


def test_weights_of_few_bits_are_told(tmp_path: Path) -> None:
    network = load_network(saved(CASES["4 bits"], tmp_path))
    assert "weights of 1 products have 4 bits in the file" in network.description


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (grouped(1, PAST, smooth_softmax=1), "with smooth_softmax 1"),
        (blocks(3, ""), "of 3 bits in blocks of 16"),
    ],
)
def test_other_forms_are_refused_with_their_reason(given: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UncoveredError, match=reason):
        load_network(saved(given, tmp_path))

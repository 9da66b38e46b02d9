"""onnxruntime's attentions and embeddings, spelt out as the standard's.

Heads side by side stay so: (batch, times, heads * features). What is past lies (batch, heads,
times, features), as the standard has it.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from accelsim.frontend.onnx.spelling import HEAD_SIZE, KEY_MASK, WINDOW, Rule, Spelling, Unknown


def attention(on: Spelling) -> None:
    """Products with three parts of a weight, then the standard's attention."""
    _refuse(on, qkv_hidden_sizes=None, do_rotary=0, past_present_share_buffer=0)
    parts = [on.put("MatMul", on.input(0), each) for each in _slices(on, on.input(1), 1)]
    _attended(on, _biased(on, parts, 2), mask=3, bias=5, past=_pair(on, 4), present=1)


def quantized_attention(on: Spelling) -> None:
    """As `attention`, of codes: each part is a product of whole numbers, times both scales."""
    _refuse(on, do_rotary=0, past_present_share_buffer=0)
    weights = _slices(on, on.input(1), 1)
    scales, zeros = (
        _slices(on, on.input(at), 0)
        if math.prod(on.sizes.get(on.input(at), ())) > 1
        else [on.input(at)] * 3
        for at in (4, 7)
    )
    parts = []
    for weight, scale, zero in zip(weights, scales, zeros, strict=True):
        sums = on.put("MatMulInteger", on.input(0), weight, on.input(6), zero)
        reals = on.put("Cast", sums, to=on.onnx.TensorProto.FLOAT)
        parts.append(on.put("Mul", reals, on.put("Mul", on.input(3), scale)))
    _attended(on, _biased(on, parts, 2), mask=5, bias=99, past=_pair(on, 8), present=1)


def many_heads(on: Spelling) -> None:
    """The standard's attention of queries, keys and values with their biases."""
    if not (on.input(1) and on.input(2)):
        raise Unknown("with queries, keys and values in one")
    if on.input(8) or on.input(9):
        raise Unknown("whose past lies in a buffer that is longer than it, or of several beams")
    past = (on.input(6), on.input(7))
    parts = _biased(on, [on.input(at) for at in range(3)], 3)
    _attended(on, parts, mask=4, bias=5, past=past, present=1)


def grouped_queries(on: Spelling) -> None:
    """Attention of a cache, queries and keys turned before. All that the cache holds is seen."""
    _refuse(on, smooth_softmax=0, sliding_window_cache=0, k_quant_type="NONE", qk_output=0)
    if any(map(on.input, range(11, 17))):
        raise Unknown("with sinks, norms or a quantized cache")
    heads, own = int(on.said("num_heads", 1)), int(on.said("kv_num_heads", 1))
    parts = [on.input(at) for at in range(3)]
    if not parts[1]:
        parts = _apart(on, parts[0], heads, own)
    if on.said("do_rotary", 0):
        places = on.input(9) or _places(on, parts[0], on.input(3))
        parts[:2] = [
            _turned(on, part, places, count)
            for part, count in zip(parts, (heads, own), strict=False)
        ]
    causal = int(on.said("causal", 1))
    given = {"q_num_heads": heads, "kv_num_heads": own, "is_causal": causal}
    given |= on.kept("scale", "softcap")
    if on.said(WINDOW, -1) >= 0:
        given[WINDOW] = int(on.said(WINDOW, -1))
    _put(on, parts, on.input(10), (on.input(3), on.input(4)), (on.output(1), on.output(2)), given)


def rotary(on: Spelling) -> None:
    """The standard's, its tables before its places."""
    _refuse(on, is_packed_batching=0, scale=1.0)
    width = on.sizes.get(on.input(2), (0, 0))[-1]
    given = on.kept("interleaved", "num_heads", "rotary_embedding_dim")
    if not given.get("num_heads"):
        given |= {"num_heads": 1, HEAD_SIZE: 2 * width}
    on.put("RotaryEmbedding", *(on.input(at) for at in (0, 2, 3, 1)), out=on.output(), **given)


def embedded(on: Spelling) -> None:
    """The norm of a sum of rows of words, places and segments."""
    ids, places = on.input(0), on.input(8)
    if not places:
        places = _range(on, on.array(0), _size(on, ids, 1))
    rows = on.put("Add", on.put("Gather", on.input(2), ids), on.put("Gather", on.input(3), places))
    if on.input(1):
        rows = on.put("Add", rows, on.put("Gather", on.input(4), on.input(1)))
    if on.output(2):
        rows = on.put("Identity", rows, out=on.output(2))
    given = {"axis": -1, "epsilon": float(on.said("epsilon", 1e-12))}
    on.put("LayerNormalization", rows, on.input(5), on.input(6), out=on.output(), **given)


# --- Parts ----------------------------------------------------------------------------------------


def _refuse(on: Spelling, **plain: object) -> None:
    """Attributes that may say nothing else."""
    for name, value in plain.items():
        if on.said(name, value) != value:
            raise Unknown(f"with {name} {on.said(name, value)!r}")


def _slices(on: Spelling, source: str, axis: int) -> list[str]:
    """A constant in three, along an axis."""
    size = on.sizes.get(source, ())
    if len(size) <= axis or size[axis] % 3:
        raise Unknown(f"its {source!r} is no constant of three equal parts")
    part = size[axis] // 3
    bounds = [[at * part] for at in range(4)]
    return [
        on.put("Slice", source, *map(on.array, (bounds[at], bounds[at + 1], [axis])))
        for at in range(3)
    ]


def _biased(on: Spelling, parts: Sequence[str], place: int) -> list[str]:
    """Queries, keys and values, plus a third each of a constant if there is one."""
    if not on.input(place):
        return [*parts]
    pairs = zip(parts, _slices(on, on.input(place), 0), strict=True)
    return [on.put("Add", *pair) for pair in pairs]


def _pair(on: Spelling, place: int) -> tuple[str, str]:
    """Keys and values of an input that has both along its first axis."""
    if not on.input(place):
        return "", ""
    keys, values = (
        on.put("Gather", on.input(place), on.array(np.int64(at)), axis=0) for at in range(2)
    )
    return keys, values


def _attended(
    on: Spelling,
    parts: Sequence[str],
    mask: int,
    bias: int,
    past: tuple[str, str],
    present: int,
) -> None:
    """Attention of as many heads for keys as for queries; `mask` and the like are places."""
    heads = int(on.said("num_heads", 1))
    given: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": heads} | on.kept("scale")
    given["is_causal"] = int(on.said("unidirectional", 0))
    added = on.input(bias)
    if on.input(mask):
        hides = _of_keys(on, on.input(mask))
        added = on.put("Add", added, hides) if added else hides
        given[KEY_MASK] = 1
    two = (on.output(present), on.output(present + 1))
    joined = on.node.op_type != "MultiHeadAttention" and bool(two[0])
    names = (f"{two[0]}/keys", f"{two[0]}/values") if joined else two
    _put(on, parts, added, past, names, given)
    if joined:
        both = [_in_front(on, each) for each in names]
        on.put("Concat", *both, out=two[0], axis=0)


def _put(
    on: Spelling,
    parts: Sequence[str],
    mask: str,
    past: tuple[str, str],
    present: tuple[str, str],
    given: Mapping[str, Any],
) -> None:
    """The standard's node, as long as what it has."""
    inputs = [*parts, mask, *past]
    outputs = [on.output(), *present]
    while not inputs[-1]:
        inputs.pop()
    while not outputs[-1]:
        outputs.pop()
    name = f"{on.node.name or on.output()}/Attention{len(on.made)}"
    on.made.append(on.onnx.helper.make_node("Attention", inputs, outputs, name, **given))


def _of_keys(on: Spelling, mask: str) -> str:
    """What is added to scores by a mask (batch, keys): 0 for a one, else what hides."""
    reals = on.put("Cast", mask, to=on.onnx.TensorProto.FLOAT)
    low = np.float32(on.said("mask_filter_value", -10000.0))
    hidden = on.put("Mul", on.put("Sub", on.array(np.float32(1)), reals), on.array(low))
    size = on.put("Shape", mask)
    shape = on.put("Concat", _cut(on, size, 0), on.array([1, 1]), _cut(on, size, -1), axis=0)
    return on.put("Reshape", hidden, shape)


def _cut(on: Spelling, shape: str, at: int) -> str:
    """One size of a shape, as a list."""
    return on.put("Gather", shape, on.array(np.array([at])))


def _in_front(on: Spelling, source: str) -> str:
    """With an axis of one in front."""
    shape = on.put("Concat", on.array([1]), on.put("Shape", source), axis=0)
    return on.put("Reshape", source, shape)


def _size(on: Spelling, source: str, axis: int) -> str:
    """The size of an axis."""
    return on.put("Gather", on.put("Shape", source), on.array(np.int64(axis)))


def _range(on: Spelling, start: str, end: str) -> str:
    """Places from `start` to before `end`, of all images: (1, times)."""
    row = on.put("Range", start, end, on.array(np.int64(1)))
    return on.put("Reshape", row, on.array(np.array([1, -1])))


def _places(on: Spelling, source: str, past: str) -> str:
    """The places of (batch, times, features), behind those of the past."""
    start = _size(on, past, 2) if past else on.array(np.int64(0))
    return _range(on, start, on.put("Add", start, _size(on, source, 1)))


def _apart(on: Spelling, packed: str, heads: int, own: int) -> list[str]:
    """Queries, keys and values that lie side by side, each head of one size."""
    one = on.put("Div", _size(on, packed, 2), on.array(np.int64(heads + 2 * own)))
    sizes = on.put("Mul", one, on.array(np.array([heads, own, own])))
    names = [f"{on.output()}/part{at}" for at in range(3)]
    node = on.onnx.helper.make_node("Split", [packed, sizes], names, f"{on.output()}/parts", axis=2)
    on.made.append(node)
    return names


def _turned(on: Spelling, source: str, places: str, heads: int) -> str:
    width = on.sizes.get(on.input(7), (0, 0))[-1]
    given: dict[str, Any] = {"num_heads": heads}
    given["interleaved"] = int(on.said("rotary_interleaved", 0))
    given |= {"rotary_embedding_dim": 2 * width} if width else {}
    return on.put("RotaryEmbedding", source, on.input(7), on.input(8), places, **given)


RULES: Mapping[str, Rule] = {
    "Attention": attention,
    "QAttention": quantized_attention,
    "MultiHeadAttention": many_heads,
    "GroupQueryAttention": grouped_queries,
    "RotaryEmbedding": rotary,
    "EmbedLayerNormalization": embedded,
}

"""Attention as one node (opset 23)."""

import math
from dataclasses import dataclass

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Known
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.heads import LAWS
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    kept_shape,
    known,
    spread,
    tensor,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.concatenation import appended
from accelsim.frontend.onnx.rules.contractions import times_each
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.frontend.onnx.rules.rotary import by_law
from accelsim.frontend.onnx.spelling import KEY_MASK, WINDOW
from accelsim.network.ops import (
    Add,
    AttentionContext,
    AttentionScores,
    MatMul,
    ScaleShift,
    Shape,
    Softmax,
    Tanh,
    Transpose,
)

_KNOWN = {
    *("is_causal", "q_num_heads", "kv_num_heads", "scale", "softcap"),
    *("softmax_precision", "qk_matmul_output_mode", LAWS, KEY_MASK, WINDOW),
}
_HIDDEN = float(np.finfo(np.float32).min) / 2
_BOOL = 9
_MASK, _PAST_KEYS, _PAST_VALUES, _SIZES = 3, 4, 5, 6
_PRESENT_KEYS, _PRESENT_VALUES, _SCORES = 1, 2, 3
"""Places of inputs and outputs."""


@dataclass
class _Heads:
    """Keys and values of one node, and what it has of the past: layers and their shapes."""

    node: Node
    layers: Layers
    keys: tuple[str, Shape]
    values: tuple[str, Shape]
    past: int = 0


def attention(node: Node, layers: Layers) -> str:
    """Scores, shares and context, of heads side by side or one behind the other."""
    if _given(node, _SIZES):
        raise Refused("with sizes")
    if len(node.outputs) > _SCORES and layers.read_by.get(node.outputs[_SCORES].name):
        raise Refused(f"its output {node.outputs[_SCORES].name!r}, the scores, is read")
    unknown = node.attributes.keys() - _KNOWN
    if unknown:
        raise Refused(f"with {', '.join(sorted(unknown))}")
    ranks = {len(each.shape or ()) for each in node.inputs[:3] if each is not None}
    if len(ranks) > 1:
        raise Refused("of operands with not as many axes")
    heads = _Heads(
        node=node, layers=layers, keys=tensor(node, 1, layers), values=tensor(node, 2, layers)
    )
    if ranks == {3} and not _given(node, _PAST_KEYS):
        return _side_by_side(heads)
    if ranks == {3}:
        return _taken_apart(heads)
    _append_past(heads)
    return _stacked(heads, *_operand(heads, 0))


def _given(node: Node, place: int) -> bool:
    return place < len(node.inputs) and node.inputs[place] is not None


def _append_past(heads: _Heads) -> None:
    """Keys and values (heads, times, features) behind those of before, which are outputs too."""
    node, layers = heads.node, heads.layers
    if not _given(node, _PAST_KEYS):
        return
    whole = []
    pairs = ((_PAST_KEYS, heads.keys, "keys"), (_PAST_VALUES, heads.values, "values"))
    for place, (name, shape), what in pairs:
        past, before = tensor(node, place, layers)
        heads.past = before[-2]
        parts = [(past, before), (name, shape)]
        made = _cached(heads, place, f"{node.name}/{what}", parts)
        whole.append((made, (*shape[:-2], before[-2] + shape[-2], shape[-1])))
    heads.keys, heads.values = whole
    _present(heads)


def _cached(heads: _Heads, place: int, name: str, parts: list[tuple[str, Shape]]) -> str:
    """Keys or values behind those of before, in their cache if that is one."""
    node, layers = heads.node, heads.layers
    after = _PRESENT_KEYS if place == _PAST_KEYS else _PRESENT_VALUES
    given, made = node.inputs[place], node.outputs[after : after + 1]
    if given is not None and made:
        found = appended(layers, name, (given, made[0]), parts)
        if found is not None:
            return found
    return layers.joined(name, [each for each, _ in parts], len(parts[0][1]) - 2)


def _present(heads: _Heads) -> None:
    """Keys and values as outputs of the node."""
    whole = (heads.keys[0], heads.values[0])
    for place, made in zip((_PRESENT_KEYS, _PRESENT_VALUES), whole, strict=True):
        if place < len(heads.node.outputs):
            heads.layers.names[heads.node.outputs[place].name] = made


def _shares(heads: _Heads, scores: str, count: int) -> str:
    """The shares of scores, their last axes queries and keys, behind what hides some of them."""
    node, layers = heads.node, heads.layers
    shape = layers.shapes[scores]
    made = layers.view(scores, (count, *shape[-2:]))
    cap = float(node.attributes.get("softcap", 0.0))
    if cap:
        made = scaled(layers, f"{node.name}/by_cap", made, 1 / cap, 0.0)
        made = layers.add(f"{node.name}/tanh", Tanh(), made)
        made = scaled(layers, f"{node.name}/capped", made, cap, 0.0)
    if _given(node, _MASK):
        made = _masked(heads, made)
    causal = bool(node.attributes.get("is_causal", 0))
    plain = shape[-2] + heads.past == shape[-1]
    window = int(node.attributes.get(WINDOW, shape[-1]))
    plain = plain and window >= shape[-1]
    if causal and not plain:
        shown = np.tri(shape[-2], shape[-1], heads.past, dtype=bool)
        shown &= ~np.tri(shape[-2], shape[-1], heads.past - window, dtype=bool)
        if not shown.all():
            hides = np.where(shown, 0.0, _HIDDEN)[None]
            made = _hidden(layers, f"{node.name}/past", made, hides)
    op = Softmax(axis=-1, causal=causal and plain)
    return layers.add(f"{node.name}/shares", op, layers.view(made, shape))


def _masked(heads: _Heads, scores: str) -> str:
    node, layers = heads.node, heads.layers
    mask, name = node.inputs[_MASK], f"{node.name}/masked"
    assert mask is not None
    keys = layers.shapes[scores][-1]
    if KEY_MASK in node.attributes and (mask.shape or ())[-1:] != (keys,):
        raise Refused(f"with a mask that does not say of each of {keys:,} keys whether it is seen")
    if isinstance(mask, Value):
        if mask.element == _BOOL:
            raise Refused("with a computed mask of truths")
        read = tensor(node, _MASK, layers)
        return layers.add(name, Add(), *layers.aligned((scores, layers.shapes[scores]), read))
    values = known(mask, "mask")
    if values.dtype == bool:
        values = np.where(values, 0.0, _HIDDEN)
    own = spread(mask, 3)
    if len(own) > 3:
        raise Refused(f"with a mask {list(mask.shape)} across the batch")
    return _hidden(layers, name, scores, values.reshape(own))


def _hidden(layers: Layers, name: str, scores: str, added: Array) -> str:
    """Scores (heads, queries, keys), plus what hides some; never infinite."""
    values = np.maximum(added, _HIDDEN).astype(np.float32)
    beta = Constant(name=name, shape=values.shape, element=1, source=Known(values))
    learned = {"gamma": Learned(1.0), "beta": Learned(beta)}
    return layers.add(name, checked(ScaleShift, shape=values.shape), scores, learned=learned)


def _side_by_side(heads: _Heads) -> str:
    """Queries (T, heads d), and keys and values alike."""
    node, layers = heads.node, heads.layers
    count = int(node.attributes.get("q_num_heads", 1))
    own = int(node.attributes.get("kv_num_heads", count))
    scale = node.attributes.get("scale")
    scores = checked(AttentionScores, heads=count, key_heads=own, scale=scale)
    queries, keys = tensor(node, 0, layers)[0], heads.keys[0]
    laws = node.attributes.get(LAWS, (None, None))
    if laws[0] is not None:
        queries = layers.add(f"{node.name}/queries", by_law(laws[0], count), queries)
    if laws[1] is not None:
        keys = layers.add(f"{node.name}/keys", by_law(laws[1], own), keys)
    made = layers.add(f"{node.name}/scores", scores, queries, keys)
    context = checked(AttentionContext, heads=count, key_heads=own)
    values = heads.values[0]
    if any(layers.read_by.get(each.name) for each in node.outputs[1:]):
        heads.keys, heads.values = (
            _by_heads(layers, each, own) for each in (heads.keys, heads.values)
        )
        _present(heads)
    return layers.add(node.name, context, _shares(heads, made, count), values)


def _by_heads(layers: Layers, whole: tuple[str, Shape], count: int) -> tuple[str, Shape]:
    """(T, heads d) as (heads, T, d); of one time that is the same values in the same order."""
    name, (times, features) = whole
    shape = (count, times, features // count)
    if times > 1:
        apart = layers.view(name, (times, count, features // count))
        name = layers.add(f"{name}/by_heads", Transpose(order=(1, 0, 2)), apart)
    return layers.view(name, shape), shape


def _taken_apart(heads: _Heads) -> str:
    """Heads side by side, behind keys and values of before that are not."""
    node, layers = heads.node, heads.layers
    count = int(node.attributes.get("q_num_heads", 1))
    own = int(node.attributes.get("kv_num_heads", count))
    for _, shape in (heads.keys, heads.values):
        if len(shape) != 2 or shape[-1] % own:
            raise Refused(f"of {shape[-1]} features in {own} heads")
    heads.keys, heads.values = (_by_heads(layers, each, own) for each in (heads.keys, heads.values))
    _append_past(heads)
    name, (times, features) = tensor(node, 0, layers)
    if features % count:
        raise Refused(f"of {features} features in {count} heads")
    made = _stacked(heads, *_by_heads(layers, (name, (times, features)), count))
    wide = heads.values[1][-1]
    if times > 1:
        order = Transpose(order=(1, 0, 2))
        made = layers.add(
            f"{node.name}/side_by_side", order, layers.view(made, (count, times, wide))
        )
    return layers.view(made, (times, count * wide))


def _operand(heads: _Heads, place: int) -> tuple[str | Constant, Shape]:
    """Queries, computed or constant."""
    given = heads.node.inputs[place]
    if isinstance(given, Constant):
        return given, given.shape[1:]
    return tensor(heads.node, place, heads.layers)


def _stacked(heads: _Heads, source: str | Constant, shape: Shape) -> str:
    """Queries (heads, T, d); heads that share keys lie behind each other."""
    node, layers = heads.node, heads.layers
    (queries, size), (seen, key_shape) = shape[-2:], heads.keys
    keys, wide = key_shape[-2], heads.values[1][-1]
    count, own = math.prod(shape[:-2]), math.prod(key_shape[:-2])
    if count % own:
        raise Refused(f"{count} heads do not share {own}")
    share = count // own
    scale = float(node.attributes.get("scale", size**-0.5))
    name = f"{node.name}/scores"
    if isinstance(source, str):
        grouped = layers.view(source, (own, share, queries, size))
        op = checked(MatMul, transpose_second=True, scale=scale)
        scores = layers.add(name, op, grouped, layers.view(seen, (own, 1, keys, size)))
    else:
        turned = layers.view(seen, (own, keys, size))
        turned = layers.add(f"{node.name}/turned", Transpose(order=(0, 2, 1)), turned)
        matrices = Learned(source).times(scale), (own, share * queries, size)
        made = times_each(layers, name, matrices, (turned, (own, size, keys)))
        scores = layers.view(made, (own, share, queries, keys))
    shares = _shares(heads, scores, count)
    values = layers.view(heads.values[0], (own, 1, keys, wide))
    made = layers.add(node.name, MatMul(), shares, values)
    return layers.view(made, kept_shape((*shape[:-1], wide)))

"""Attention as one node (opset 23)."""

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import (
    Layers,
    Refused,
    checked,
    kept_shape,
    only_first_output,
    tensor,
)
from accelsim.network.ops import AttentionContext, AttentionScores, MatMul, Shape, Softmax

_KNOWN = {
    *("is_causal", "q_num_heads", "kv_num_heads", "scale", "softcap"),
    *("softmax_precision", "qk_matmul_output_mode"),
}


def attention(node: Node, layers: Layers) -> str:
    """Scores, shares and context, of heads side by side or one behind the other."""
    only_first_output(node, layers)
    for place, what in ((3, "a mask"), (4, "past keys"), (5, "past values"), (6, "sizes")):
        if place < len(node.inputs) and node.inputs[place] is not None:
            raise Refused(f"with {what}")
    if node.attributes.get("softcap"):
        raise Refused("with a softcap")
    unknown = node.attributes.keys() - _KNOWN
    if unknown:
        raise Refused(f"with {', '.join(sorted(unknown))}")
    three = [tensor(node, place, layers) for place in range(3)]
    names, shapes = [name for name, _ in three], [shape for _, shape in three]
    causal = bool(node.attributes.get("is_causal", 0))
    if causal and shapes[0][-2] != shapes[1][-2]:
        raise Refused("causal, with other times of queries than of keys")
    return (_side_by_side if len(shapes[0]) == 2 else _stacked)(node, layers, names, shapes)


def _shares(node: Node, layers: Layers, scores: str) -> str:
    op = Softmax(axis=-1, causal=bool(node.attributes.get("is_causal", 0)))
    return layers.add(f"{node.name}/shares", op, scores)


def _side_by_side(node: Node, layers: Layers, names: list[str], shapes: list[Shape]) -> str:
    """Queries (T, heads d), and keys and values alike."""
    heads = int(node.attributes.get("q_num_heads", 1))
    own = int(node.attributes.get("kv_num_heads", heads))
    scale = node.attributes.get("scale")
    scores = checked(AttentionScores, heads=heads, key_heads=own, scale=scale)
    made = layers.add(f"{node.name}/scores", scores, names[0], names[1])
    context = checked(AttentionContext, heads=heads, key_heads=own)
    return layers.add(node.name, context, _shares(node, layers, made), names[2])


def _stacked(node: Node, layers: Layers, names: list[str], shapes: list[Shape]) -> str:
    """Queries (heads, T, d); heads that share keys lie behind each other."""
    if any(len(shape) != 3 for shape in shapes):
        raise Refused(f"of shapes {[list(shape) for shape in shapes]}")
    (heads, queries, size), (own, keys, _), (_, _, wide) = shapes
    if heads % own:
        raise Refused(f"{heads} heads do not share {own}")
    share = heads // own
    scale = node.attributes.get("scale", size**-0.5)
    grouped = layers.view(names[0], (own, share, queries, size))
    seen = layers.view(names[1], (own, 1, keys, size))
    op = checked(MatMul, transpose_second=True, scale=scale)
    scores = layers.add(f"{node.name}/scores", op, grouped, seen)
    shares = _shares(node, layers, scores)
    values = layers.view(names[2], (own, 1, keys, wide))
    made = layers.add(node.name, MatMul(), shares, values)
    return layers.view(made, kept_shape((heads, queries, wide)))

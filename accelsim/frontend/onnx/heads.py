"""Attention that is spelt out head by head, as one node of heads side by side again.

Queries, keys and values of (batch, times, heads * features) are reshaped and transposed so that a
head is a matrix, multiplied, and put together again; keys and values may be repeated for groups of
queries (Unsqueeze, Expand, Reshape). One Attention node says the same of the tensors as they were.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import REALS
from accelsim.frontend.onnx.rotary import BASE

LAWS = "laws"
"""Attribute: by what laws queries and keys are turned before."""

Operand = Value | Constant | None
_APART, _TURNED, _SWAPPED = (0, 2, 1, 3), (0, 2, 3, 1), (0, 1, 3, 2)
"""Orders of axes: (B, T, h, d) to (B, h, T, d), to (B, h, d, T), and the last two swapped."""


class Seen(Protocol):
    """What a pattern asks of the nodes before."""

    def alone(self, operand: Operand, op: str) -> Node | None:
        """The node that makes an operand, if it is of a type and nothing else reads that."""


@dataclass(frozen=True, slots=True)
class _Heads:
    """A tensor (B, T, h * d), read as `count` heads, times a factor; `law`: how it is turned."""

    whole: Value
    count: int
    factor: float
    law: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Core:
    """softmax(queries keys^T * scale + mask) values; `turned`: its keys are transposed already."""

    queries: Operand
    keys: Operand
    values: Operand
    scale: float
    mask: Operand = None
    causal: bool = False
    turned: bool = False


def attention_of_matrices(node: Node, seen: Seen) -> Node | None:
    """The product of shares and values (batch, heads, times, features), as an attention."""
    core = _core(node, seen)
    if core is None:
        return None
    keys, before = _scale(core.keys, seen)
    swapped = seen.alone(keys, "Transpose")
    if swapped is None or not _order(swapped, _SWAPPED):
        return None
    keys, after = _scale(swapped.inputs[0], seen)
    values = core.values
    own = _unrepeated(keys, seen), _unrepeated(values, seen)
    if _shape(own[0])[:3] == _shape(own[1])[:3]:
        keys, values = own
    whole = all(isinstance(each, Value) for each in (core.queries, keys, values))
    size = _shape(keys)
    if not whole or len(size) != 4 or size[:3] != _shape(values)[:3] or not _masks(core, size[2]):
        return None
    said = {"scale": core.scale * before * after, "is_causal": int(core.causal)}
    return _attention(node, (core.queries, keys, values), core.mask, said)


def _core(product: Node, seen: Seen) -> _Core | None:
    """The parts of a product of shares and values, heads behind each other."""
    shares = seen.alone(as_given(product.inputs[0], seen), "Softmax")
    if shares is None or not _of_last(shares):
        return None
    operand, mask = _unmasked(shares.inputs[0], seen)
    operand, factor = _scale(operand, seen)
    scores = seen.alone(operand, "MatMul")
    if scores is None:
        return None
    queries, before = _scale(scores.inputs[0], seen)
    causal = bool(shares.attributes.get("causal"))
    scale = factor * before
    return _Core(
        queries=queries,
        keys=scores.inputs[1],
        values=product.inputs[1],
        scale=scale,
        mask=mask,
        causal=causal,
        turned=True,
    )


def _unmasked(operand: Operand, seen: Seen) -> tuple[Operand, Operand]:
    """Scores and what is added to them."""
    total = seen.alone(operand, "Add")
    for scores, mask in (total.inputs[:2], total.inputs[1::-1]) if total else ():
        below, _ = _scale(scores, seen)
        if seen.alone(below, "MatMul") and _shape(scores) == _shape(operand):
            return scores, mask
    return operand, None


def _masks(core: _Core, keys: int) -> bool:
    """Whether an attention of so many keys can have the mask: of all images, or of each."""
    size = _shape(core.queries)
    if len(size) != 4:
        return False
    batch, _, times, _ = size
    if core.mask is None:
        return not core.causal or times == keys
    shape = _shape(core.mask)
    if core.causal or len(shape) != 4 or shape[2] not in (1, times) or shape[3] != keys:
        return False
    if isinstance(core.mask, Constant):
        return shape[0] == 1 and core.mask.known is not None
    return shape[0] == batch


def attention_of_heads(node: Node, seen: Seen) -> Node | None:
    """A Reshape that puts heads together, as an attention of what they were taken from."""
    turned = seen.alone(node.inputs[0], "Transpose")
    if turned is None or not _order(turned, _APART):
        return None
    core = _stacked(turned.inputs[0], seen)
    if core is None:
        return None
    queries = _heads(core.queries, seen, turned=False)
    keys = _heads(core.keys, seen, turned=core.turned)
    values = _heads(core.values, seen, turned=False)
    if queries is None or keys is None or values is None or keys.count != values.count:
        return None
    times = [_shape(each.whole)[1] for each in (queries, keys)]
    out = (*_shape(queries.whole)[:2], queries.count * _shape(values.whole)[2] // values.count)
    changed = values.factor != 1 or values.law is not None
    if changed or _shape(node.outputs[0]) != out or (core.causal and times[0] != times[1]):
        return None
    said = {
        "q_num_heads": queries.count,
        "kv_num_heads": keys.count,
        "scale": core.scale * queries.factor * keys.factor,
        "is_causal": int(core.causal),
        LAWS: (queries.law, keys.law),
    }
    return _attention(node, (queries.whole, keys.whole, values.whole), core.mask, said)


def _attention(
    node: Node, operands: tuple[Operand, ...], mask: Operand, said: dict[str, Any]
) -> Node:
    """An attention that makes what `node` does."""
    return Node(
        name=node.name,
        op="Attention",
        version=node.version,
        inputs=(*operands, mask) if mask else operands,
        outputs=node.outputs,
        attributes=said,
    )


def _stacked(operand: Operand, seen: Seen) -> _Core | None:
    """An attention of heads behind each other, found before or spelt out."""
    product = seen.alone(operand, "MatMul")
    if product is not None:
        core = _core(product, seen)
        size = _shape(core.keys) if core else ()
        return core if core and len(size) == 4 and _masks(core, size[-1]) else None
    node = seen.alone(operand, "Attention")
    if node is None or len(node.outputs) > 1 or node.attributes.keys() - {"scale", "is_causal"}:
        return None
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    if len(node.inputs) > 4 or "scale" not in node.attributes:
        return None
    scale, causal = float(node.attributes["scale"]), bool(node.attributes.get("is_causal"))
    queries, keys, values = node.inputs[:3]
    return _Core(queries=queries, keys=keys, values=values, scale=scale, mask=mask, causal=causal)


def _heads(operand: Operand, seen: Seen, turned: bool) -> _Heads | None:
    """What a matrix for each head is taken from; `turned`: its transposed ones."""
    operand, before = _scale(operand, seen)
    apart = seen.alone(operand, "Transpose")
    wanted = _APART
    if turned and _order(apart, _TURNED):
        wanted = _TURNED
    elif turned:
        if not _order(apart, _SWAPPED):
            return None
        assert apart is not None
        operand = apart.inputs[0]
    operand, after = _scale(operand, seen)
    operand = _unrepeated(operand, seen)
    operand, inner = _scale(operand, seen)
    operand, law = _unturned(operand, seen)
    apart = seen.alone(operand, "Transpose")
    if not _order(apart, wanted):
        return None
    assert apart is not None
    split = seen.alone(apart.inputs[0], "Reshape")
    whole = split.inputs[0] if split else None
    if not isinstance(whole, Value) or split is None or len(_shape(whole)) != 3:
        return None
    batch, times, features = _shape(whole)
    shape = _shape(split.outputs[0])
    if len(shape) != 4 or shape[:2] != (batch, times) or shape[2] * shape[3] != features:
        return None
    return _Heads(whole, shape[2], before * after * inner, law)


def _unturned(operand: Operand, seen: Seen) -> tuple[Operand, Mapping[str, Any] | None]:
    """What a rotary embedding turns all features of by a law, and that law."""
    node = seen.alone(operand, "RotaryEmbedding")
    if node is None or BASE not in node.attributes:
        return operand, None
    if node.attributes.get("rotary_embedding_dim", 0) not in (0, _shape(node.outputs[0])[-1]):
        return operand, None
    return node.inputs[0], node.attributes


def _unrepeated(operand: Operand, seen: Seen) -> Operand:
    """Keys or values before each was repeated for the queries' heads that share it."""
    joined = seen.alone(operand, "Reshape")
    wide = seen.alone(joined.inputs[0], "Expand") if joined else None
    if joined is None or wide is None:
        return operand
    apart = seen.alone(wide.inputs[0], "Unsqueeze") or seen.alone(wide.inputs[0], "Reshape")
    own, shape = _shape(apart.inputs[0]) if apart else (), _shape(wide.outputs[0])
    if apart is None or len(own) != 4 or len(shape) != 5:
        return operand
    batch, heads, times, features = own
    share = shape[2]
    fits = (
        _shape(apart.outputs[0]) == (batch, heads, 1, times, features)
        and shape == (batch, heads, share, times, features)
        and _shape(joined.outputs[0]) == (batch, heads * share, times, features)
    )
    return apart.inputs[0] if fits else operand


def _scale(operand: Operand, seen: Seen) -> tuple[Operand, float]:
    """What is multiplied with, or divided by, a number, and that as a factor."""
    operand, factor = as_given(operand, seen), 1.0
    product, quotient = seen.alone(operand, "Mul"), seen.alone(operand, "Div")
    pairs = [
        (each.inputs[0], each.inputs[1], each.op == "Div") for each in (product, quotient) if each
    ]
    if product is not None:
        pairs.append((product.inputs[1], product.inputs[0], False))
    for rest, number, under in pairs:
        known = number.known if isinstance(number, Constant) else None
        same = _shape(rest) == _shape(operand)
        if known is not None and known.size == 1 and same and isinstance(rest, Value):
            said = float(known.reshape(-1)[0])
            if said:
                return as_given(rest, seen), factor / said if under else factor * said
    return operand, factor


def as_given(operand: Operand, seen: Seen) -> Operand:
    """What a node only hands on."""
    node = seen.alone(operand, "Identity") or seen.alone(operand, "Cast")
    if node is None or node.attributes.get("to", REALS[0]) not in REALS:
        return operand
    return as_given(node.inputs[0], seen)


def _order(node: Node | None, order: Sequence[int]) -> bool:
    return node is not None and tuple(node.attributes.get("perm", ())) == tuple(order)


def _of_last(softmax: Node) -> bool:
    """Whether a softmax of four axes is over the last one."""
    default = -1 if softmax.version >= 13 else 1
    return int(softmax.attributes.get("axis", default)) in (-1, 3)


def _shape(operand: Operand) -> tuple[int, ...]:
    return (operand.shape if operand is not None else None) or ()

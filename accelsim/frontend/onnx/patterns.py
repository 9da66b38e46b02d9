"""What a model spells out in several nodes and a layer here does at once, as one node again.

Each pattern looks back from the last of its nodes. It requires that nothing but the pattern's own
nodes reads what is between, or else that stays, too; it ensures the same values.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import is_

import numpy as np

from accelsim.frontend.onnx.constants import Array, Constant, Store
from accelsim.frontend.onnx.graph import Graph, Node, Value
from accelsim.frontend.onnx.heads import as_given, attention_of_heads, attention_of_matrices
from accelsim.frontend.onnx.rotary import of_halves, with_angles

Operand = Value | Constant | None
_CLOSE = 1e-3
"""By so much constants of a model may differ from the numbers that they stand for."""
_LARGEST_MASK = 2**24
_MOST_PASSES = 4
_HIDING = -1e3
_SAME_FROM = 17.0
"""From here on log(1 + exp(x)) is x in float32: exp(-17) is less than half of its last place."""
"""What is added to hide a score, at most."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The nodes so far by what they make, and how often each tensor is read."""

    makers: Mapping[str, Node]
    readers: Mapping[str, int]
    store: Store

    def values(self, operand: Operand) -> Array | None:
        """The values of a constant that is no larger than a mask can be."""
        if not isinstance(operand, Constant) or math.prod(operand.shape) > _LARGEST_MASK:
            return None
        return self.store.values(operand)

    def maker(self, operand: Operand, op: str) -> Node | None:
        """The node that makes an operand, if it is of a type."""
        node = self.makers.get(operand.name) if isinstance(operand, Value) else None
        return node if node is not None and node.op == op else None

    def alone(self, operand: Operand, op: str) -> Node | None:
        """As `maker`, if only one node reads what it makes."""
        node = self.maker(operand, op)
        return node if node is not None and self.readers[node.outputs[0].name] == 1 else None


def with_patterns(graph: Graph, store: Store) -> Graph:
    """The graph with what is spelt out as one node, and without nodes that nothing needs then.

    What is one node may be part of another pattern, for which nothing else may read it.
    """
    for _ in range(_MOST_PASSES):
        found = _with_patterns(graph, store)
        same = len(found.nodes) == len(graph.nodes)
        if same and all(map(is_, found.nodes, graph.nodes)):
            break
        graph = found
    return graph


def _with_patterns(graph: Graph, store: Store) -> Graph:
    readers: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    for node in graph.nodes:
        for value in node.inputs:
            if value is not None:
                readers[value.name] = readers.get(value.name, 0) + 1
    makers: dict[str, Node] = {}
    for node in graph.nodes:
        found = _one(node, _Seen(makers, readers, store))
        makers |= {value.name: found for value in node.outputs}
    return replace(graph, nodes=tuple(_needed(graph, makers)))


def _one(node: Node, seen: _Seen) -> Node:
    for pattern in _PATTERNS.get(node.op, ()):
        found = None if node.domain else pattern(node, seen)
        if found is not None:
            return found
    return node


def _needed(graph: Graph, makers: Mapping[str, Node]) -> Iterable[Node]:
    """Nodes that the outputs depend on, in the order of before."""
    wanted = set(graph.outputs)
    kept = []
    for old in reversed(graph.nodes):
        names = {value.name for value in old.outputs if value.name}
        if names & wanted:
            node = makers[old.outputs[0].name]
            kept.append(node)
            wanted |= {value.name for value in node.inputs if value is not None}
    return reversed(kept)


def _made(node: Node, op: str, *inputs: Operand, **attributes: object) -> Node:
    """A node in another one's place."""
    return replace(node, op=op, inputs=inputs, attributes=attributes)


# --- Operands -------------------------------------------------------------------------------------


def _number(operand: Operand) -> float | None:
    """A constant of one number."""
    if not isinstance(operand, Constant) or operand.known is None or operand.known.size != 1:
        return None
    return float(operand.known.reshape(-1)[0])


def _is(operand: Operand, number: float) -> bool:
    found = _number(operand)
    return found is not None and math.isclose(found, number, rel_tol=_CLOSE)


def _other(node: Node, number: float) -> Operand:
    """Of two operands of which one is a number, the other."""
    first, second = node.inputs[:2]
    return first if _is(second, number) else second if _is(first, number) else None


def _axes(node: Node) -> tuple[int, ...]:
    """The axes of a reduction."""
    given = node.inputs[1] if len(node.inputs) > 1 else None
    if isinstance(given, Constant) and given.known is not None:
        return tuple(int(axis) for axis in given.known.reshape(-1))
    return tuple(node.attributes.get("axes", ()))


# --- Normalisations -------------------------------------------------------------------------------


def _mean(node: Node | None, rank: int) -> tuple[int, Operand] | None:
    """How many of the last axes a mean is over, and of what; None for any other."""
    if node is None or not node.attributes.get("keepdims", 1):
        return None
    axes = sorted(axis % rank for axis in _axes(node))
    if not axes or axes != list(range(rank - len(axes), rank)) or axes[0] == 0:
        return None
    return len(axes), node.inputs[0]


def _square(operand: Operand, seen: _Seen) -> Operand:
    """What is squared."""
    power = seen.maker(operand, "Pow")
    if power is not None and _is(power.inputs[1], 2.0):
        return power.inputs[0]
    product = seen.maker(operand, "Mul")
    if product is not None and product.inputs[0] == product.inputs[1]:
        return product.inputs[0]
    return None


def _deviation(operand: Operand, rank: int, seen: _Seen) -> tuple[Operand, int, float] | None:
    """sqrt(mean of y^2 + epsilon): y, how many axes, epsilon."""
    root = seen.maker(operand, "Sqrt")
    total = seen.maker(root.inputs[0], "Add") if root else None
    if total is None:
        return None
    for mean, epsilon in (total.inputs[:2], total.inputs[1::-1]):
        found = _mean(seen.maker(mean, "ReduceMean"), rank)
        number = _number(epsilon)
        if found is not None and number is not None:
            return _square(found[1], seen), found[0], number
    return None


def _normal(node: Node, y: Operand, deviation: Operand, seen: _Seen) -> Node | None:
    """y by its deviation: a layer norm where y is something less its mean, else an RMS norm."""
    if not isinstance(y, Value) or y.shape is None:
        return None
    rank = len(y.shape)
    found = _deviation(deviation, rank, seen)
    if found is None:
        return None
    squared, axes, epsilon = found
    centred = _centred(y, rank, axes, seen)
    if centred is not None and _same(squared, y, seen):
        return _made(node, "LayerNormalization", centred, None, None, axis=-axes, epsilon=epsilon)
    if squared == y:
        return _made(node, "RMSNormalization", y, None, axis=-axes, epsilon=epsilon)
    return None


def _centred(y: Operand, rank: int, axes: int, seen: _Seen) -> Operand:
    """What y is less its mean of."""
    difference = seen.maker(y, "Sub")
    mean = _mean(seen.maker(difference.inputs[1], "ReduceMean"), rank) if difference else None
    fits = difference is not None and mean == (axes, difference.inputs[0])
    return difference.inputs[0] if fits and difference else None


def _same(one: Operand, other: Operand, seen: _Seen) -> bool:
    """Whether two operands are one, or the difference of the same two written twice."""
    first, second = seen.maker(one, "Sub"), seen.maker(other, "Sub")
    twice = first is not None and second is not None and first.inputs == second.inputs
    return one == other or twice


def _divided(node: Node, seen: _Seen) -> Node | None:
    return _normal(node, node.inputs[0], node.inputs[1], seen)


def _multiplied(node: Node, seen: _Seen) -> Node | None:
    """Times one over the deviation."""
    for y, inverse in (node.inputs[:2], node.inputs[1::-1]):
        one_over = seen.maker(inverse, "Reciprocal")
        quotient = seen.maker(inverse, "Div")
        deviation = one_over.inputs[0] if one_over else None
        if quotient is not None and _is(quotient.inputs[0], 1.0):
            deviation = quotient.inputs[1]
        found = _normal(node, y, deviation, seen) if deviation is not None else None
        if found is not None:
            return found
    return None


_NORMS = ("LayerNormalization", "RMSNormalization")


def _scaled(node: Node, seen: _Seen) -> Node | None:
    """A norm without gamma, times a constant of its axes."""
    for value, gamma in (node.inputs[:2], node.inputs[1::-1]):
        for op in _NORMS:
            norm = seen.alone(as_given(value, seen), op)
            if norm and norm.inputs[1] is None and _fits(gamma, value, norm):
                return replace(norm, outputs=node.outputs, inputs=_with(norm, 1, gamma))
    return None


def _shifted(node: Node, seen: _Seen) -> Node | None:
    """A layer norm without beta, plus a constant of its axes."""
    for value, beta in (node.inputs[:2], node.inputs[1::-1]):
        norm = seen.alone(value, "LayerNormalization")
        free = norm is not None and (len(norm.inputs) < 3 or norm.inputs[2] is None)
        if norm and free and norm.inputs[1] is not None and _fits(beta, value, norm):
            return replace(norm, outputs=node.outputs, inputs=_with(norm, 2, beta))
    return None


def _with(norm: Node, place: int, operand: Operand) -> tuple[Operand, ...]:
    inputs = [*norm.inputs, None, None][:3]
    inputs[place] = operand
    return tuple(inputs)


def _fits(operand: Operand, value: Operand, norm: Node) -> bool:
    """Whether a constant has one number for each value that a norm is over."""
    if not isinstance(operand, Constant) or not isinstance(value, Value) or not value.shape:
        return False
    axis = norm.attributes.get("axis", -1) % len(value.shape)
    shape = operand.shape
    while len(shape) > len(value.shape) - axis and shape[0] == 1:
        shape = shape[1:]
    return shape == value.shape[axis:]


# --- GELU -----------------------------------------------------------------------------------------


def _gelu(node: Node, seen: _Seen) -> Node | None:
    """0.5 x (1 + erf(x / sqrt 2)), or the same by tanh, in any order of the products."""
    factors = _factors(node, seen)
    for place, share in enumerate(factors):
        total = seen.maker(share, "Add")
        inner = _other(total, 1.0) if total else None
        rest = [each for at, each in enumerate(factors) if at != place]
        values = [each for each in rest if isinstance(each, Value)]
        numbers = [_number(each) for each in rest if isinstance(each, Constant)]
        if len(values) != 1 or None in numbers:
            continue
        if not math.isclose(math.prod(number or 0.0 for number in numbers), 0.5, rel_tol=_CLOSE):
            continue
        erf, tanh = seen.maker(inner, "Erf"), seen.maker(inner, "Tanh")
        if erf is not None and _by_root(erf.inputs[0], seen) == values[0]:
            return _made(node, "Gelu", values[0], approximate="none")
        if tanh is not None and _cubic(tanh.inputs[0], seen) == values[0]:
            return _made(node, "Gelu", values[0], approximate="tanh")
    return None


def _factors(node: Node, seen: _Seen) -> list[Operand]:
    """What a product of up to three is of."""
    found: list[Operand] = [*node.inputs[:2]]
    for place, operand in enumerate(found):
        inner = seen.maker(operand, "Mul")
        if inner is not None:
            return [*found[:place], *found[place + 1 :], *inner.inputs[:2]]
    return found


def _by_root(operand: Operand, seen: _Seen) -> Operand:
    """x of x / sqrt 2."""
    quotient, product = seen.maker(operand, "Div"), seen.maker(operand, "Mul")
    if quotient is not None and _is(quotient.inputs[1], math.sqrt(2)):
        return quotient.inputs[0]
    return _other(product, math.sqrt(0.5)) if product else None


def _cubic(operand: Operand, seen: _Seen) -> Operand:
    """x of sqrt(2 / pi) (x + 0.044715 x^3)."""
    product = seen.maker(operand, "Mul")
    total = seen.maker(_other(product, math.sqrt(2 / math.pi)), "Add") if product else None
    for x, part in (total.inputs[:2], total.inputs[1::-1]) if total else ():
        scaled = seen.maker(part, "Mul")
        cube = seen.maker(_other(scaled, 0.044715), "Pow") if scaled else None
        if cube is not None and _is(cube.inputs[1], 3.0) and cube.inputs[0] == x:
            return x
    return None


# --- Masks ----------------------------------------------------------------------------------------


def _causal(node: Node, seen: _Seen) -> Node | None:
    """A softmax of scores of which a constant hides what lies behind the time of a query."""
    value = node.inputs[0]
    total, choice = seen.alone(value, "Add"), seen.alone(value, "Where")
    rank = len(value.shape or ()) if isinstance(value, Value) else 0
    if node.attributes.get("axis", -1) % max(rank, 1) != rank - 1:
        return None
    found: tuple[Operand, Array | None] = None, None
    if total is not None:
        for scores, mask in (total.inputs[:2], total.inputs[1::-1]):
            added = seen.values(mask)
            if added is not None and isinstance(scores, Value):
                hides = (added <= _HIDING) | (added == 0)
                found = scores, np.asarray(added == 0) if hides.all() else None
    if choice is not None:
        found = _chosen(choice, seen)
    less = seen.alone(value, "Sub")
    if less is not None:
        found = _lowered(less, seen)
    scores, shown = found
    if not isinstance(scores, Value) or shown is None or not _is_past(shown, scores):
        return None
    return replace(node, inputs=(scores,), attributes={**node.attributes, "causal": 1})


def _chosen(choice: Node, seen: _Seen) -> tuple[Operand, Array | None]:
    """The scores that a Where takes, and where it takes them and nothing very low."""
    condition, first, second = choice.inputs
    for scores, hidden, taken in ((first, second, True), (second, first, False)):
        low = _number(hidden)
        asked = seen.values(condition) if low is not None and low <= _HIDING else None
        if asked is not None:
            return scores, asked.astype(bool) == taken
    return None, None


def _lowered(less: Node, seen: _Seen) -> tuple[Operand, Array | None]:
    """Scores times ones and zeros, less a number that hides those that are zero then (GPT-2)."""
    taken, product = seen.values(less.inputs[1]), seen.alone(less.inputs[0], "Mul")
    for scores, mask in (product.inputs[:2], product.inputs[1::-1]) if product else ():
        shown = seen.values(mask)
        if taken is None or shown is None or shown.shape != taken.shape:
            continue
        hides = (taken == 0) & (shown == 1) | (taken >= -_HIDING) & (shown == 0)
        if hides.all():
            return scores, shown == 1
    return None, None


def _is_past(shown: Array, scores: Value) -> bool:
    """Whether a mask shows each query its own time and all before it."""
    if not scores.shape or len(scores.shape) < 3:
        return False
    queries, keys = scores.shape[-2:]
    past = np.tri(queries, keys, keys - queries, dtype=bool)
    try:
        return bool((np.broadcast_to(shown.astype(bool), scores.shape or ()) == past).all())
    except ValueError:
        return False


def _guarded(node: Node, seen: _Seen) -> Node | None:
    """What stands in place of shares that are no numbers, as none are here."""
    condition, number, value = node.inputs
    asked = seen.maker(condition, "IsNaN")
    if asked is None or asked.inputs[0] != value or _number(number) is None:
        return None
    return _made(node, "Identity", value)


def _guarded_softplus(node: Node, seen: _Seen) -> Node | None:
    """A softplus, but x where that is large: the same numbers without an overflow."""
    condition, x, soft = node.inputs
    asked, made = seen.maker(condition, "Greater"), seen.maker(soft, "Softplus")
    if asked is None or made is None or made.inputs[0] != x or asked.inputs[0] != x:
        return None
    least = _number(asked.inputs[1])
    return None if least is None or least < _SAME_FROM else _made(node, "Softplus", x)


Pattern = Callable[[Node, _Seen], Node | None]
_PATTERNS: Mapping[str, tuple[Pattern, ...]] = {
    "Div": (_divided,),
    "Mul": (_multiplied, _gelu, _scaled),
    "Add": (_shifted, of_halves),
    "Softmax": (_causal,),
    "MatMul": (attention_of_matrices,),
    "Reshape": (attention_of_heads,),
    "RotaryEmbedding": (with_angles,),
    "Where": (_guarded, _guarded_softplus),
}

"""Einsum: sums of products by names of axes, as matrix products, sums and transposes.

The batch is the first axis of what is computed, and of the output.
"""

import math
from collections import Counter
from collections.abc import Sequence

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import Layers, Refused, checked, kept_shape, tensor
from accelsim.frontend.onnx.learned import Learned
from accelsim.network.ops import Dense, MatMul, Sum, Transpose

Axes = tuple[str, ...]


def einsum(node: Node, layers: Layers) -> str:
    """Of one or two operands, one of which may be constant."""
    terms, wanted = _parsed(node)
    sizes = _sizes(node, terms)
    if len(terms) > 2:
        raise Refused(f"of {len(terms)} operands; only one or two are known here")
    constants = [isinstance(each, Constant) for each in node.inputs]
    computed = [term[:1] for term, known in zip(terms, constants, strict=True) if not known]
    if any(first != wanted[:1] or not first for first in computed):
        raise Refused("whose operands and output have not the batch first")
    if any(constants):
        place = constants.index(False)
        made, axes = _with_constant(node, layers, (terms[place], terms[1 - place]), wanted)
    elif len(terms) == 1:
        made, axes = _operand(node, layers, 0, terms[0], wanted)
    else:
        made, axes = _of_two(node, layers, terms, wanted, sizes)
    made = layers.view(made, _shape(axes, sizes))
    return _moved(node, layers, made, axes, wanted[1:])


def _parsed(node: Node) -> tuple[list[Axes], Axes]:
    """The axes of each operand and of the output."""
    equation = str(node.attributes.get("equation", "")).replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = [tuple(each) for each in left.split(",")]
    counted = Counter(name for term in terms for name in term)
    wanted = tuple(right) if arrow else tuple(sorted(n for n in counted if counted[n] == 1))
    if "." in equation:
        raise Refused("with an ellipsis; name all axes")
    if len(terms) != len(node.inputs):
        raise Refused(f"of {len(terms)} terms for {len(node.inputs)} inputs")
    if any(len(set(term)) < len(term) for term in (*terms, wanted)):
        raise Refused("with an axis twice in one operand")
    return terms, wanted


def _sizes(node: Node, terms: Sequence[Axes]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        shape = None if value is None else value.shape
        if shape is None or len(shape) != len(term):
            raise Refused(f"names {len(term)} axes of a tensor of {len(shape or ())}")
        for name, size in zip(term, shape, strict=True):
            if sizes.setdefault(name, size) != size:
                raise Refused(f"with sizes {sizes[name]} and {size} of axis {name!r}")
    return sizes


def _shape(axes: Axes, sizes: dict[str, int]) -> tuple[int, ...]:
    return kept_shape(tuple(sizes[name] for name in axes))


def _operand(
    node: Node, layers: Layers, place: int, term: Axes, kept: Sequence[str]
) -> tuple[str, Axes]:
    """A computed operand, and its axes without the batch; those not `kept` are summed."""
    made, _ = tensor(node, place, layers)
    axes = term[1:]
    for name in axes:
        if name not in kept:
            op = checked(Sum, axes=(axes.index(name),))
            made = layers.add(f"{node.name}/sum_{name}", op, made)
            axes = tuple(each for each in axes if each != name)
    return made, axes


def _moved(node: Node, layers: Layers, made: str, axes: Axes, wanted: Axes) -> str:
    """The same values, with the axes in another order."""
    if sorted(axes) != sorted(wanted):
        raise Refused(f"whose output has an axis that no operand has: {''.join(wanted)}")
    if axes == wanted:
        return made
    order = tuple(axes.index(name) for name in wanted)
    return layers.add(f"{node.name}/moved", checked(Transpose, order=order), made)


def _of_two(
    node: Node, layers: Layers, terms: Sequence[Axes], wanted: Axes, sizes: dict[str, int]
) -> tuple[str, Axes]:
    """Axes that both have and the output has are groups; that both have and it has not, inner."""
    first, a = _operand(node, layers, 0, terms[0], (*wanted, *terms[1]))
    second, b = _operand(node, layers, 1, terms[1], (*wanted, *terms[0]))
    groups = tuple(name for name in a if name in b and name in wanted)
    inner = tuple(name for name in a if name in b and name not in wanted)
    rows = tuple(name for name in a if name not in b)
    cols = tuple(name for name in b if name not in a)
    first = _moved(node, layers, first, a, (*groups, *rows, *inner))
    second = _moved(node, layers, second, b, (*groups, *inner, *cols))
    count, m, n, k = (math.prod(sizes[x] for x in each) for each in (groups, rows, cols, inner))
    first = layers.view(first, (count, m, k))
    second = layers.view(second, (count, k, n))
    return layers.add(node.name, MatMul(), first, second), (*groups, *rows, *cols)


def _with_constant(
    node: Node, layers: Layers, terms: tuple[Axes, Axes], wanted: Axes
) -> tuple[str, Axes]:
    """A dense layer: its weight has the axes that are summed first, or last."""
    place = next(at for at, each in enumerate(node.inputs) if not isinstance(each, Constant))
    weight = node.inputs[1 - place]
    assert isinstance(weight, Constant)
    term, b = terms
    made, a = _operand(node, layers, place, term, (*wanted, *b))
    inner = tuple(name for name in b if name in a)
    cols = tuple(name for name in b if name not in a)
    if term[0] in b or any(name in wanted for name in inner):
        raise Refused("whose constant has an axis of the output that the other operand has, too")
    if any(name not in wanted for name in cols):
        raise Refused("whose constant has an axis that is summed alone")
    learned = Learned(weight)
    if b == (*inner, *cols):  # turned, all its axes are in the other order
        learned, inner, cols = learned.transposed(), inner[::-1], cols[::-1]
    elif b != (*cols, *inner):
        raise Refused(f"whose constant has its summed axes between others: {''.join(b)}")
    rows = tuple(name for name in a if name not in b)
    made = _moved(node, layers, made, a, (*rows, *inner))
    shape = dict(zip(b, weight.shape, strict=True))
    k, n = (math.prod(shape[name] for name in each) for each in (inner, cols))
    made = layers.view(made, (math.prod(layers.shapes[made]) // k, k))
    op = checked(Dense, out_features=n, bias=False)
    return layers.add(node.name, op, made, learned={"weight": learned}), (*rows, *cols)

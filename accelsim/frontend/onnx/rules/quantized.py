"""Quantized models: integer operators, and pairs of QuantizeLinear and DequantizeLinear.

A tensor here is its codes where the hardware's formats are integers, and what they stand for where
they are reals; so to quantize is to say what a layer's codes stand for, and costs nothing.
"""

from dataclasses import replace

from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.dynamic import SCALED
from accelsim.frontend.onnx.graph import Node, Value
from accelsim.frontend.onnx.layers import (
    REALS,
    Codes,
    Layers,
    Meaning,
    Refused,
    constant,
    number,
    optional,
    tensor,
    zero_point,
)
from accelsim.frontend.onnx.learned import Learned
from accelsim.frontend.onnx.rules.contractions import conv, matmul
from accelsim.frontend.onnx.rules.functions import scaled
from accelsim.network.graph import LayerSpec
from accelsim.network.ops import (
    Clip,
    Dense,
    DynamicQuantize,
    Expand,
    Flatten,
    Reshape,
    Taking,
    Transpose,
)

_MOVES = (Reshape, Transpose, Taking, Expand, Flatten)
_SIGNED = {2: False, 3: True}
"""Whether onnx's uint8 and int8 are signed."""


def _meaning(node: Node, place: int, element: int) -> Meaning:
    """The scale at an input, and the zero point behind it, of one tensor."""
    scale, zero = constant(node, place, "scale"), optional(node, place + 1, "zero point")
    if element not in _SIGNED:
        raise Refused("to codes that are neither uint8 nor int8")
    point = 0 if zero is None else int(number(zero, 0, "zero point of a tensor"))
    return Meaning(number(scale, 1.0, "scale of a tensor"), point, _SIGNED[element])


def dynamic_quantize(node: Node, layers: Layers) -> str:
    """What the codes of a tensor stand for that is quantized by its own range."""
    return layers.add(node.name, DynamicQuantize(), tensor(node, 0, layers)[0])


def quantize(node: Node, layers: Layers) -> str:
    """The codes of a tensor: those of the layer that makes it, which is told what they mean.

    What they cannot say is cut off there, below zero too; of what is read as it is, in a layer of
    its own.
    """
    source, _ = tensor(node, 0, layers)
    meaning, value = _meaning(node, 1, node.outputs[0].element), node.inputs[0]
    if not isinstance(value, Value) or not layers.is_read_as(value, node.op):
        layers.means(source, meaning)
        low, high = meaning.limits
        source = layers.add(f"{node.name}/cut", Clip(low=low, high=high), source)
    else:
        _saturate(layers.made_beneath(value), meaning, layers)
    layers.ends(source, meaning)
    return source


def _saturate(made: LayerSpec | None, meaning: Meaning, layers: Layers) -> None:
    """Give the layer that codes come from the function that they stand for by where they begin.

    A quantizer leaves a relu out before codes whose least is zero, and a relu6 where the largest is
    6, as codes saturate there; of the reals that they stand for it has to be said.
    """
    begins = meaning.zero_point == (-128 if meaning.signed else 0)
    if made is None or not begins or getattr(made.op, "activation", "") is not None:
        return
    six = abs(255 * meaning.scale - 6) < meaning.scale / 2
    op = replace(made.op, activation="relu6" if six else "relu")  # type: ignore[call-arg]
    layers.change(made.name, op, layers.learned[made.name])


def _looks_up(name: str, layers: Layers) -> str:
    """The layer whose values another one only moves."""
    while name in layers.specs and isinstance(layers.specs[name].op, _MOVES):
        name = layers.specs[name].inputs[0]
    return name


def _worth(node: Node, layers: Layers, place: int, scale: float, point: int) -> str:
    """What codes are worth that are looked up: by the table, if nothing else reads it."""
    source, _ = tensor(node, place, layers)
    value = node.inputs[place]
    table = layers.made_beneath(value) if isinstance(value, Value) else None
    if table is None or table.name not in layers.raw:
        return scaled(layers, f"{node.name}/worth", source, scale, -scale * point)
    learned = layers.learned[table.name]["weight"].plus(float(-point)).times(scale)
    layers.change(table.name, table.op, {"weight": learned})
    layers.raw.discard(table.name)
    return source


def dequantize(node: Node, layers: Layers) -> str:
    """What codes stand for: the same tensor here."""
    source, _ = tensor(node, 0, layers)
    codes = node.inputs[0]
    if _looks_up(source, layers) in layers.raw:
        means = _meaning(node, 1, codes.element if codes else 0)
        return _worth(node, layers, 0, means.scale, means.zero_point)
    if codes is not None and codes.element in _SIGNED and layers.under(source) not in layers.specs:
        layers.ends(source, _meaning(node, 1, codes.element))  # of an input of the model
    return source


def qlinear_conv(node: Node, layers: Layers) -> str:
    """A convolution of codes; its sums leave it as codes of the output."""
    inner = replace(node, op="Conv", inputs=(node.inputs[0], node.inputs[3], *node.inputs[8:9]))
    made = conv(inner, layers)
    if layers.under(made) != node.name:
        raise Refused("over one axis")
    return _integer(node, layers, made)


def qlinear_matmul(node: Node, layers: Layers) -> str:
    """Rows of codes times a constant matrix of codes."""
    constant(node, 3, "second matrix")
    inner = replace(node, op="MatMul", inputs=(node.inputs[0], node.inputs[3]))
    made = matmul(inner, layers)
    return _integer(node, layers, made)


def _looked_up(node: Node, layers: Layers) -> Node:
    """An integer operator; of codes that a table gives it reads what they are worth."""
    value = node.inputs[0]
    name = layers.names.get(value.name, "") if isinstance(value, Value) else ""
    if _looks_up(name, layers) not in layers.raw:
        return node
    assert isinstance(value, Value)
    worth = _worth(node, layers, 0, 1.0, zero_point(optional(node, 2, "zero point")))
    layers.names[f"{node.name}/worth"] = worth
    read = replace(value, name=f"{node.name}/worth", element=REALS[0])
    return replace(node, inputs=(read, *node.inputs[1:]))


def conv_integer(node: Node, layers: Layers) -> str:
    """A convolution of codes, each worth its distance from the zero point."""
    return _distances(node, layers, conv(replace(node, op="Conv", inputs=node.inputs[:2]), layers))


def matmul_integer(node: Node, layers: Layers) -> str:
    """A product of codes, each worth its distance from the zero point."""
    if not node.attributes.get(SCALED):
        node = _looked_up(node, layers)
    inner = replace(node, op="MatMul", inputs=node.inputs[:2])
    return _distances(node, layers, matmul(inner, layers))


def _distances(node: Node, layers: Layers, made: str) -> str:
    """What the codes of both operands of an integer operator are worth."""
    if node.attributes.get(SCALED):
        return _scaled(node, layers, made)
    for place in (0, 1):
        operand, zero = node.inputs[place], optional(node, 2 + place, "zero point")
        point = zero_point(zero)
        if isinstance(operand, Constant):
            layer = made
            while "weight" not in layers.learned[layer]:  # what was turned behind the product
                layer = layers.specs[layer].inputs[0]
            learned = layers.learned[layer]["weight"]
            layers.learned[layer] = {"weight": learned.plus(float(-point))}
        elif operand is not None and operand.element in REALS:
            continue  # what codes of a table are worth
        elif operand is None or operand.element not in _SIGNED:
            raise Refused("of codes that are neither uint8 nor int8")
        else:
            meaning = Meaning(1.0, point, _SIGNED[operand.element])
            layers.means(layers.names[operand.name], meaning)
    return made


def _scaled(node: Node, layers: Layers, made: str) -> str:
    """What the codes of the weight stand for, beside an operand that is no codes."""
    layer = layers.under(made)
    if "weight" not in layers.learned[layer]:
        raise Refused("of a weight that is no convolution's or matrix product's here")
    learned = layers.learned[layer]["weight"]
    zero, scale = (optional(node, place, "zero point or scale") for place in (3, 4))
    if zero is not None:
        learned = learned.plus(Learned(zero).times(-1.0))
    layers.learned[layer] = {"weight": learned if scale is None else learned.times(scale)}
    return made


def _integer(node: Node, layers: Layers, made: str) -> str:
    """The arrays of a layer of codes, as codes and as what they stand for."""
    x, weight = node.inputs[0], constant(node, 3, "weight")
    scale, zero = constant(node, 4, "scale"), optional(node, 5, "zero point")
    assert x is not None
    layers.means(layers.names[x.name], _meaning(node, 1, x.element))
    bias = optional(node, 8, "bias")
    layer = layers.under(made)
    turned = Learned(weight).transposed() if isinstance(layers.specs[layer].op, Dense) else None
    codes = turned or Learned(weight)
    real = codes.plus(float(-zero_point(zero))).times(scale)
    learned = {"weight": real}
    if bias is not None:
        unit = number(constant(node, 1, "scale"), 1.0, "scale of its input")
        learned["bias"] = Learned(bias).times(unit).times(scale)
    layers.learned[layer] = learned
    layers.codes[layer] = Codes(codes, scale, zero, None if bias is None else Learned(bias))
    meaning = _meaning(node, 6, node.outputs[0].element)
    layers.ends(made, meaning)
    _saturate(layers.specs[layer], meaning, layers)
    return made

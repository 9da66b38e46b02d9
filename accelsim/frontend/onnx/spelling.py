"""A node spelt out as several: what rules for operators beyond the standard write with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Sizes = Mapping[str, Sequence[int]]
WHY_NOT = "why_not"
"""Attribute of a node that is not spelt out: why, where that is known."""
KEY_MASK = "key_mask"
"""Attribute of an attention whose mask hides keys: one number for each."""
HEAD_SIZE = "head_size"
"""Attribute of a rotary embedding that says no number of heads."""
WINDOW = "local_window_size"
"""Attribute of an attention: how many keys before its own time a query sees at most."""
BEYOND = (KEY_MASK, HEAD_SIZE, WINDOW)
"""What nodes that are spelt out say beside what the standard's can."""


class Unknown(Exception):
    """A form that is not spelt out."""


@dataclass
class Spelling:
    """The nodes that a node becomes. `sizes` are the shapes of the model's initializers."""

    onnx: Any
    node: Any
    sizes: Sizes
    made: list[Any] = field(default_factory=list)

    def input(self, place: int) -> str:
        """The name of an input, "" where there is none."""
        return str(self.node.input[place]) if place < len(self.node.input) else ""

    def output(self, place: int = 0) -> str:
        """The name of an output, "" where there is none."""
        return str(self.node.output[place]) if place < len(self.node.output) else ""

    def said(self, name: str, default: Any) -> Any:
        """An attribute."""
        for each in self.node.attribute:
            if each.name == name:
                value = self.onnx.helper.get_attribute_value(each)
                return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return default

    def kept(self, *names: str) -> dict[str, Any]:
        """Those of the attributes that are there."""
        return {name: value for name in names if (value := self.said(name, None)) is not None}

    def put(self, op: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """A node of the standard; the name of what it makes."""
        out = out or f"{self.node.output[0]}/{op}{len(self.made)}"
        named = f"{self.node.name or self.node.output[0]}/{op}{len(self.made)}"
        self.made.append(self.onnx.helper.make_node(op, inputs, [out], named, **attributes))
        return out

    def array(self, values: Any) -> str:
        """A constant."""
        value = self.onnx.numpy_helper.from_array(np.asarray(values))
        return self.put("Constant", value=value)

    def real(self, place: int) -> str:
        """What codes stand for, whose scale and zero point follow them."""
        return self.put("DequantizeLinear", *(self.input(place + at) for at in range(3)))

    def codes(self, source: str, place: int, out: str = "") -> None:
        """The output, as codes; their scale is at a place, the zero point behind it."""
        scale, zero = self.input(place), self.input(place + 1)
        self.put("QuantizeLinear", source, scale, zero, out=out or self.output())

    def plus(self, source: str, place: int) -> str:
        """And an input, if there is one."""
        return self.put("Add", source, self.input(place)) if self.input(place) else source


Rule = Callable[[Spelling], None]

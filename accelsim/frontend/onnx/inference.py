"""Where onnx's own inference of shapes is asked of another opset or operator, or says nothing."""

from typing import Any

INFERRED_AS = {
    **dict.fromkeys(("MaxPool", "AveragePool"), 22),
    **dict.fromkeys(("LessOrEqual", "GreaterOrEqual"), 16),
    "Gelu": 20,
    "LayerNormalization": 17,
    "RMSNormalization": 23,
    "Attention": 23,
    **dict.fromkeys(("Concat", "Gather", "Squeeze", "Unsqueeze", "Flatten", "Split"), 11),
}
"""Opsets whose inference drops what starts in the padding under ceil_mode, and that take negative
axes, as runtimes do; and those in which operators are new that fused ones are spelt out with.
"""
KEEPS_SHAPE = ("GroupNormalization",)
"""Operators whose ofmap has the shape of their input, which the inference does not say."""
FUSED = "FusedMatMul"
"""onnxruntime's product with transposes and a factor of its own."""
INFERRED_WITH = {FUSED: "MatMul"}
"""Operators that onnx does not know, and which of its own have their shapes."""


def turned(node: Any) -> tuple[bool, bool]:
    """Whether the operands of a product with transposes of its own are swapped."""
    said = {each.name: each.i for each in node.attribute}
    return bool(said.get("transA")), bool(said.get("transB"))

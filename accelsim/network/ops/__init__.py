"""The layer types: one frozen record each, with its shape law, parameters and MACs.

Shapes leave the batch out: a feature map is (channels, height, width), a vector (features,),
a matrix (rows, features). The papers' letters: a convolution has C = in_channels / groups,
K = out_channels, an R x S kernel, a P x Q ofmap.

The records are also the schema of the network file: a frontend builds them through pydantic,
which turns `kernel: 3` into (3, 3) with the validators of `fields`. They raise ShapeError when
their inputs do not fit.
"""

from collections.abc import Mapping

from accelsim.network.ops.base import Op, Unary
from accelsim.network.ops.connections import CombinedConv, ConnectedConv, Maps, Mixture
from accelsim.network.ops.contractions import Conv, Dense
from accelsim.network.ops.elementwise import (
    ACTIVATIONS,
    ELEMENTWISE,
    Activation,
    Clip,
    Elementwise,
    Elu,
    Gelu,
    HardSigmoid,
    HardSwish,
    LeakyRelu,
    Relu,
    ScaledTanh,
    Sigmoid,
    Silu,
    Softplus,
    Tanh,
)
from accelsim.network.ops.fields import Padding, Pair, Positive, Shape
from accelsim.network.ops.functions import (
    FUNCTIONS,
    Abs,
    Ceil,
    Cos,
    Erf,
    Exp,
    Floor,
    Line,
    Log,
    Power,
    Reciprocal,
    Round,
    Sign,
    Sin,
    Sqrt,
    Truncate,
)
from accelsim.network.ops.joins import (
    Add,
    Broadcast,
    Concat,
    Dropout,
    Expand,
    Flatten,
    Joined,
    Mul,
    Reshape,
    Slice,
    SplitPart,
    Taking,
    Transpose,
)
from accelsim.network.ops.norms import (
    BatchNorm,
    DynamicQuantize,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Lrn,
    Normalised,
    RmsNorm,
    ScaleShift,
    Softmax,
)
from accelsim.network.ops.pointwise import (
    POINTWISE,
    Equal,
    Less,
    LessOrEqual,
    NotEqual,
    Or,
    Pointwise,
    Quotient,
    Remainder,
    Where,
)
from accelsim.network.ops.pooling import AvgPool, MaxPool, Pool, SubSampling
from accelsim.network.ops.products import AttentionContext, AttentionScores, MatMul, Product
from accelsim.network.ops.rankings import ArgMax, Sort
from accelsim.network.ops.reductions import Largest, Mean, OverAxes, Reduction, Sum
from accelsim.network.ops.spatial import ConvTranspose, Local, Pad, Phase, Phases, Resize
from accelsim.network.ops.stretch import Read, Stretch
from accelsim.network.ops.tokens import (
    Append,
    AsValues,
    Attention,
    ClassToken,
    Composite,
    Embedding,
    Position,
    Rotary,
    Split,
    TokenLayer,
)
from accelsim.network.ops.window import Window

__all__ = [
    "ACTIVATIONS",
    "COMPOSITES",
    "ELEMENTWISE",
    "FUNCTIONS",
    "LAYER_TYPES",
    "OPS",
    "POINTWISE",
    "Abs",
    "Activation",
    "Add",
    "Append",
    "ArgMax",
    "AsValues",
    "Attention",
    "AttentionContext",
    "AttentionScores",
    "AvgPool",
    "BatchNorm",
    "Broadcast",
    "Ceil",
    "ClassToken",
    "Clip",
    "CombinedConv",
    "Composite",
    "Concat",
    "ConnectedConv",
    "Conv",
    "ConvTranspose",
    "Cos",
    "Dense",
    "Dropout",
    "DynamicQuantize",
    "Elementwise",
    "Elu",
    "Embedding",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gelu",
    "GroupNorm",
    "HardSigmoid",
    "HardSwish",
    "InstanceNorm",
    "Joined",
    "Largest",
    "LayerNorm",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Line",
    "Local",
    "Log",
    "Lrn",
    "Maps",
    "MatMul",
    "MaxPool",
    "Mean",
    "Mixture",
    "Mul",
    "Normalised",
    "NotEqual",
    "Op",
    "Or",
    "OverAxes",
    "Pad",
    "Padding",
    "Pair",
    "Phase",
    "Phases",
    "Pointwise",
    "Pool",
    "Position",
    "Positive",
    "Power",
    "Product",
    "Quotient",
    "Read",
    "Reciprocal",
    "Reduction",
    "Relu",
    "Remainder",
    "Reshape",
    "Resize",
    "RmsNorm",
    "Rotary",
    "Round",
    "ScaleShift",
    "ScaledTanh",
    "Shape",
    "Sigmoid",
    "Sign",
    "Silu",
    "Sin",
    "Slice",
    "Softmax",
    "Softplus",
    "Sort",
    "Split",
    "SplitPart",
    "Sqrt",
    "Stretch",
    "SubSampling",
    "Sum",
    "Taking",
    "Tanh",
    "TokenLayer",
    "Transpose",
    "Truncate",
    "Unary",
    "Where",
    "Window",
]

_ALL: tuple[type[Op], ...] = (
    *(Conv, Dense, MatMul, MaxPool, AvgPool, SubSampling, Add, Mul, Concat, Flatten, Reshape),
    *(Transpose, Slice, SplitPart, Expand, Mean, Sum, Largest, AttentionScores, AttentionContext),
    *(*FUNCTIONS, *POINTWISE, ArgMax, Sort),
    *(*ELEMENTWISE, Softmax, Lrn, BatchNorm, Dropout),
    *(LayerNorm, RmsNorm, GroupNorm, InstanceNorm, ScaleShift, DynamicQuantize),
    *(Embedding, AsValues, Position, ClassToken, Rotary, Append),
    *(Pad, Resize, Maps, Mixture, Local, Phase, Phases),
)

OPS: Mapping[str, type[Op]] = {op.name: op for op in _ALL}
"""Every layer type by its name in network files."""

COMPOSITES: Mapping[str, type[Composite]] = {
    op.name: op for op in (Attention, ConvTranspose, ConnectedConv, CombinedConv, Split)
}
"""What network files have as one layer, and networks as several."""

LAYER_TYPES: Mapping[str, type[Op]] = {**OPS, **COMPOSITES}
"""Everything that a network file may call a layer's `op`."""

"""What operators ask of their inputs beyond what onnx's own inference looks at: one table.

A law is given a call of its operator and yields what is wrong, in words; all are those of ONNX's
operator specification. A call that breaks one is no valid model, whatever could be simulated.
"""

from collections.abc import Mapping

from accelsim.frontend.onnx.laws import computing, moving
from accelsim.frontend.onnx.laws.call import Call, Law

__all__ = ["LAWS", "Call", "broken"]


def broken(call: Call) -> str:
    """What of a call breaks the law of its operator; "" if nothing does."""
    law = LAWS.get(call.op)
    if law is None or not call.shapes:
        return ""
    return next(law(call), "")


LAWS: Mapping[str, Law] = {
    "Conv": computing.convolution(1, 2),
    "ConvInteger": computing.codes((2,), computing.convolution(1, None)),
    "QLinearMatMul": computing.codes((1, 2, 6, 7)),
    "QLinearConv": computing.codes((1, 2, 6, 7), computing.convolution(3, 8)),
    "ConvTranspose": computing.convolution(1, 2, turned=True),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), computing.pool),
    "Gemm": computing.gemm,
    "Einsum": computing.einsum,
    "InstanceNormalization": computing.channels,
    "GroupNormalization": computing.groups,
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), computing.normalized),
    "LRN": computing.lrn,
    **dict.fromkeys(("Softmax", "LogSoftmax", "LpNormalization"), computing.along_axis(-1)),
    "PRelu": computing.prelu,
    "Gelu": computing.gelu,
    "Clip": computing.clip,
    "RNN": computing.recurrent(1),
    "GRU": computing.recurrent(3),
    "LSTM": computing.recurrent(4),
    "Attention": computing.attention,
    "RotaryEmbedding": computing.rotary,
    "Reshape": moving.reshape,
    "Transpose": moving.transpose,
    "Flatten": moving.flatten,
    "Gather": moving.gather,
    "Slice": moving.sliced,
    "GatherElements": moving.gather_elements,
    **dict.fromkeys(("Scatter", "ScatterElements"), moving.scatter_elements),
    "GatherND": moving.gather_nd,
    "ScatterND": moving.scatter_nd,
    "TopK": moving.top_k,
    "CumSum": moving.running,
    "GridSample": moving.grid_sample,
    "Split": moving.split,
    "Tile": moving.tile,
    "Pad": moving.pad,
    "DepthToSpace": moving.depth_to_space,
    "SpaceToDepth": moving.space_to_depth,
    **dict.fromkeys(("Resize", "Upsample"), moving.resize),
    **dict.fromkeys(
        (
            *("ReduceMax", "ReduceMean", "ReduceSum", "ReduceMin", "ReduceL1", "ReduceL2"),
            *("ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd"),
        ),
        moving.reduction,
    ),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), computing.quantize),
}

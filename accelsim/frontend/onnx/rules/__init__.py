"""One table: operators of ONNX, and what layers each becomes.

A rule is given a node and the layers so far, adds its own, and returns the name of the one that is
the node's first output. It raises Refused, with the reason, for what our layers cannot express.
"""

from collections.abc import Callable, Mapping

from accelsim.frontend.onnx.graph import Node
from accelsim.frontend.onnx.layers import Layers
from accelsim.frontend.onnx.rules.attention import attention
from accelsim.frontend.onnx.rules.contractions import conv, gemm, matmul
from accelsim.frontend.onnx.rules.einsum import einsum
from accelsim.frontend.onnx.rules.functions import (
    clip,
    elu,
    gelu,
    hard_sigmoid,
    hard_swish,
    leaky_relu,
    negated,
    plain,
    power,
    prelu,
    relu,
    selu,
    sigmoid,
    softplus,
    swish,
    tanh,
)
from accelsim.frontend.onnx.rules.joins import add, concat, divide, multiply, subtract, total
from accelsim.frontend.onnx.rules.moves import (
    expand,
    flatten,
    gather,
    same,
    sliced,
    split,
    transpose,
)
from accelsim.frontend.onnx.rules.norms import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    lrn,
    rms_norm,
    softmax,
)
from accelsim.frontend.onnx.rules.pooling import (
    average_pool,
    global_average_pool,
    global_max_pool,
    max_pool,
    reduce_max,
    reduce_mean,
    reduce_sum,
)
from accelsim.frontend.onnx.rules.quantized import (
    conv_integer,
    dequantize,
    matmul_integer,
    qlinear_conv,
    qlinear_matmul,
    quantize,
)
from accelsim.frontend.onnx.rules.recurrent import gru, lstm, rnn
from accelsim.frontend.onnx.rules.spatial import conv_transpose, pad, resize
from accelsim.network.ops import Abs, Erf, Exp, Log, Reciprocal, Sqrt

Rule = Callable[[Node, Layers], str]

RULES: Mapping[str, Rule] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "Einsum": einsum,
    "BatchNormalization": batch_norm,
    "LRN": lrn,
    "Softmax": softmax,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
    "Attention": attention,
    "RNN": rnn,
    "LSTM": lstm,
    "GRU": gru,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalMaxPool": global_max_pool,
    "GlobalAveragePool": global_average_pool,
    "ReduceMax": reduce_max,
    "ReduceMean": reduce_mean,
    "ReduceSum": reduce_sum,
    "Relu": relu,
    "Clip": clip,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Sigmoid": sigmoid,
    "Tanh": tanh,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Elu": elu,
    "Selu": selu,
    "Softplus": softplus,
    "Gelu": gelu,
    "Swish": swish,
    "Neg": negated,
    "Pow": power,
    "Exp": plain(Exp()),
    "Log": plain(Log()),
    "Sqrt": plain(Sqrt()),
    "Reciprocal": plain(Reciprocal()),
    "Erf": plain(Erf()),
    "Abs": plain(Abs()),
    "Add": add,
    "Sum": total,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Concat": concat,
    "Flatten": flatten,
    "Transpose": transpose,
    "Slice": sliced,
    "Split": split,
    "Gather": gather,
    "Expand": expand,
    "Pad": pad,
    "Resize": resize,
    "Upsample": resize,
    "ConvTranspose": conv_transpose,
    "QuantizeLinear": quantize,
    "DequantizeLinear": dequantize,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "ConvInteger": conv_integer,
    "MatMulInteger": matmul_integer,
    **dict.fromkeys(("Reshape", "Squeeze", "Unsqueeze", "Dropout", "Identity", "Cast"), same),
}

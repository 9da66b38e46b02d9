"""One layer at a time: what the tests of the reference share."""

from collections.abc import Mapping

import numpy as np

from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Op
from accelsim.numerics.arithmetic import Arithmetic, arithmetic_of
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import LayerParameters
from accelsim.numerics.reference import Computation, compute

INT8 = arithmetic_of("int8", "int8", "int32", "int8")
UINT8 = arithmetic_of("uint8", "int8", "int32", "uint8")
INT16 = arithmetic_of("int16", "int16", "int48", "int16")
FLOAT32 = arithmetic_of("float32", "float32", "float32", "float32")
ONE = Quantization(1.0, 0)


def step_of(
    op: Op,
    *inputs: Tensor,
    output: Quantization = ONE,
    arithmetic: Arithmetic = INT8,
    arrays: Mapping[str, Array] | None = None,
    weight_scale: float | list[float] = 1.0,
    weight_zero_point: int = 0,
) -> Computation:
    """A network of only `op`, ready to compute."""
    names = [f"x{i}" for i in range(len(inputs))]
    shapes = {name: x.values.shape[1:] for name, x in zip(names, inputs, strict=True)}
    layer = build_network("one", shapes, [LayerSpec("y", op, tuple(names))]).layers[0]
    scale = np.asarray(weight_scale, np.float32)
    parameters = LayerParameters(arrays or {}, scale, weight_zero_point)
    return Computation(layer, inputs, parameters, output, arithmetic)


def ofmap_of(op: Op, *inputs: Tensor, **settings: object) -> Array:
    """The ofmap of a network of only `op`; settings as for `step_of`."""
    ofmap = compute(step_of(op, *inputs, **settings)).values  # type: ignore[arg-type]
    assert ofmap.dtype == inputs[0].values.dtype
    return ofmap


def int8(values: object, quantization: Quantization = ONE) -> Tensor:
    """An int8 tensor; `values` lacks the batch axis."""
    return Tensor(np.array([values], np.int8), quantization)


def uint8(values: object, quantization: Quantization) -> Tensor:
    """A uint8 tensor; `values` lacks the batch axis."""
    return Tensor(np.array([values], np.uint8), quantization)


def float32(values: object) -> Tensor:
    """A float32 tensor; `values` lacks the batch axis."""
    return Tensor(np.array([values], np.float32))

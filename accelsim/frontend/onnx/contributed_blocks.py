"""Products by weights whose codes of few bits have a scale for each block, spelt out in reals."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from accelsim.frontend.onnx.spelling import Rule, Spelling, Unknown

_PRODUCT = "MatMulNBits"
_BITS = (2, 4, 8)


def product(on: Spelling) -> None:
    """Codes (N, blocks, bytes) as real numbers (K, N): less a zero point, times a scale."""
    bits, size = int(on.said("bits", 4)), int(on.said("block_size", 0))
    width, rows = int(on.said("K", 0)), int(on.said("N", 0))
    if bits not in _BITS or size < 1 or on.said("weight_prepacked", 0) or on.input(4):
        raise Unknown(
            f"of {bits} bits in blocks of {size}, or in another order than the standard's"
        )
    blocks = -(-width // size)
    found, said = on.sizes.get(on.input(1)), (rows, blocks, size * bits // 8)
    if found is not None and math.prod(found) != math.prod(said):
        raise Unknown(f"with weights {list(found)} where it says {list(said)}")
    codes = _unpacked(on, on.input(1), bits, [rows, blocks, size])
    if on.input(3):
        zero = _zero_points(on, bits, (rows, blocks))
    else:
        zero = on.array(np.float32(2 ** (bits - 1)))
    scale = on.put("Reshape", on.input(2), on.array([rows, blocks, 1]))
    reals = on.put(
        "Mul", on.put("Sub", codes, zero), on.put("Cast", scale, to=on.onnx.TensorProto.FLOAT)
    )
    wide = on.put("Reshape", reals, on.array([rows, blocks * size]))
    weight = on.put("Slice", wide, *map(on.array, ([0], [width], [1])))
    turned = on.put("Transpose", weight, perm=[1, 0])
    bias = on.input(5)
    made = on.put("MatMul", on.input(0), turned, out="" if bias else on.output())
    if bias:
        on.put("Add", made, bias, out=on.output())


def _unpacked(on: Spelling, packed: str, bits: int, shape: list[int]) -> str:
    """Real numbers of codes that lie several in a byte, the first lowest; those beyond go."""
    whole = on.put("Cast", packed, to=on.onnx.TensorProto.INT32)
    rows = on.put("Reshape", whole, on.array([*shape[:-1], -1, 1]))
    steps = np.array([2**at for at in range(0, 8, bits)], np.int32)
    each = on.put("Mod", on.put("Div", rows, on.array(steps)), on.array(np.int32(2**bits)))
    flat = on.put("Reshape", each, on.array([*shape[:-1], -1]))
    ends = on.put("Slice", flat, *map(on.array, ([0], shape[-1:], [len(shape) - 1])))
    return on.put("Cast", ends, to=on.onnx.TensorProto.FLOAT)


def _zero_points(on: Spelling, bits: int, shape: tuple[int, int]) -> str:
    """(N, blocks, 1), packed as the codes are, or one number for each block."""
    rows, blocks = shape
    given = int(np.prod(on.sizes.get(on.input(3), (0,))))
    if given == rows * blocks and blocks > 1 and bits < 8:
        points = on.put("Cast", on.input(3), to=on.onnx.TensorProto.FLOAT)
    else:
        points = _unpacked(on, on.input(3), bits, [rows, blocks])
    return on.put("Reshape", points, on.array([rows, blocks, 1]))


def bits_of(nodes: Iterable[Any]) -> dict[int, int]:
    """How many products have weights of how many bits."""
    found: dict[int, int] = {}
    for node in nodes:
        if node.op_type == _PRODUCT:
            bits = next((each.i for each in node.attribute if each.name == "bits"), 4)
            found[bits] = found.get(bits, 0) + 1
    return found


RULES: Mapping[str, Rule] = {_PRODUCT: product}

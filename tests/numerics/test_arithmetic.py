"""Which formats work together, and properties of scalar arithmetic that layers rely on."""

import numpy as np
import pytest
from layers import INT8, INT16, UINT8

from accelsim.errors import InputError
from accelsim.network.ops import Relu, Sigmoid
from accelsim.numerics.arithmetic import (
    FloatArithmetic,
    IntegerArithmetic,
    arithmetic_of,
)
from accelsim.numerics.formats import FLOATS, IntegerFormat, Quantization, Tensor


def test_formats_by_name() -> None:
    int8 = IntegerFormat(8)
    assert arithmetic_of("int8", "int8", "int24", "int8", "saturate") == IntegerArithmetic(
        int8, int8, IntegerFormat(24), "saturate"
    )
    bfloat16 = FLOATS["bfloat16"]
    assert arithmetic_of("bfloat16", "bfloat16", "float32", "bfloat16") == FloatArithmetic(
        bfloat16, bfloat16, FLOATS["float32"]
    )


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("int8", "int8", "int32", "uint8"), ["precision.ofmap"]),
        (("int8", "int9000", "int32", "fp8"), ["precision.filter", "precision.ofmap"]),
        (("int8", "float16", "int32", "int8"), ["precision"]),
        (("int32", "int32", "int48", "int32"), ["precision.ifmap", "precision.filter"]),
        (("int8", "int8", "uint32", "int8"), ["precision.psum"]),
        (("int8", "int8", "int7", "int8"), ["precision.psum"]),
    ],
)
def test_formats_that_do_not_work_together(names: tuple[str, ...], keys: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        arithmetic_of(*names)
    assert [problem.key for problem in caught.value.problems] == keys


@pytest.mark.parametrize("arithmetic", [INT8, UINT8, INT16])
def test_relu_table_is_the_clip_at_the_zero_point(arithmetic: IntegerArithmetic) -> None:
    format_ = arithmetic.activation
    codes = np.arange(format_.lowest, format_.highest + 1).astype(format_.dtype)
    meaning = Quantization(0.3, 17)
    result = arithmetic.apply(Relu(), Tensor(codes, meaning), meaning)
    assert np.array_equal(result, np.maximum(codes, 17))


def test_softmax_does_not_depend_on_the_order_of_channels() -> None:
    generator = np.random.default_rng(0)
    x = generator.integers(-128, 128, (1, 1000), np.int8)
    order = generator.permutation(1000)
    meaning, output = INT8.activation.common, INT8.activation.fraction
    whole = INT8.softmax(Tensor(x, meaning), 1, output)
    shuffled = INT8.softmax(Tensor(x[:, order], meaning), 1, output)
    assert np.array_equal(whole[:, order], shuffled)


def test_sigmoid_does_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert Sigmoid().value(np.float32([-200, 0, 200])).tolist() == [0, 0.5, 1]


def test_float_sums_that_overflow_are_counted() -> None:
    arithmetic = arithmetic_of("float16", "float16", "float16", "float16")
    a, b = np.float32([[60000, 60000]]), np.float32([[1, 1], [1, 0]])
    psum = arithmetic.accumulate(arithmetic.preload(None), a, b.reshape(2, 2))
    assert psum.sums.tolist() == [[np.inf, 60000]]
    assert arithmetic.overflowed(psum) == 1

"""Formats: their ranges, their names and their rounding."""

import numpy as np
import pytest

from accelsim.numerics.formats import FLOATS, IntegerFormat, Quantization, parse_format


@pytest.mark.parametrize(
    ("name", "lowest", "highest", "dtype"),
    [
        ("int8", -128, 127, np.int8),
        ("uint8", 0, 255, np.uint8),
        ("int16", -32768, 32767, np.int16),
        ("int24", -(2**23), 2**23 - 1, np.int32),
        ("int32", -(2**31), 2**31 - 1, np.int32),
        ("int48", -(2**47), 2**47 - 1, np.int64),
        ("int4", -8, 7, np.int8),
    ],
)
def test_integer_range(name: str, lowest: int, highest: int, dtype: type) -> None:
    format_ = parse_format(name)
    assert isinstance(format_, IntegerFormat)
    assert (format_.lowest, format_.highest, format_.dtype) == (lowest, highest, dtype)
    assert str(format_) == name


@pytest.mark.parametrize("name", ["int", "int0", "int1", "int49", "int08", "fp8", "float64", ""])
def test_unknown_format(name: str) -> None:
    with pytest.raises(ValueError, match="unknown format"):
        parse_format(name)


def test_common_quantization_covers_eight() -> None:
    # int8: 128 codes above zero, 8 / 128 = 1/16; uint8 the same around 128; int16: 8 / 32768
    assert IntegerFormat(8).common == Quantization(1 / 16, 0)
    assert IntegerFormat(8, signed=False).common == Quantization(1 / 16, 128)
    assert IntegerFormat(16).common == Quantization(2**-12, 0)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (0x3F800000, 0x3F800000),  # 1.0 is representable
        (0x3F808000, 0x3F800000),  # half of the last place above even 0x3F80: down
        (0x3F818000, 0x3F820000),  # half above odd 0x3F81: up to even
        (0x3F808001, 0x3F810000),  # just over half: up
        (0x3F807FFF, 0x3F800000),  # just under half: down
        (0xBF808001, 0xBF810000),  # away from zero alike
        (0x7F7FFFFF, 0x7F800000),  # the largest float32 overflows to infinity
        (0x7F800000, 0x7F800000),  # infinity stays
        (0x00008000, 0x00000000),  # half the smallest subnormal: to even
        (0x80000000, 0x80000000),  # -0.0 keeps its sign
    ],
)
def test_bfloat16_rounds_to_nearest_even(pattern: int, expected: int) -> None:
    value = np.array([pattern], np.uint32).view(np.float32)
    assert FLOATS["bfloat16"].rounded(value).view(np.uint32)[0] == expected


def test_bfloat16_keeps_nan_and_shape() -> None:
    # a payload in the low half only would round to infinity, one of all ones wrap to zero
    patterns = np.array([[0x7F800001, 0x7FFFFFFF], [0xFFFFFFFF, 0x3F800000]], np.uint32)
    rounded = FLOATS["bfloat16"].rounded(patterns.view(np.float32))
    assert np.isnan(rounded).tolist() == [[True, True], [True, False]]


def test_bfloat16_does_not_write_its_operand() -> None:
    value = np.float32([1.001])
    FLOATS["bfloat16"].rounded(value)
    assert value[0] == np.float32(1.001)


def test_float16_rounds_and_overflows() -> None:
    # 2048 + 1 is half way between 2048 and 2050; 65520 half way to 2^16
    values = np.float32([2049, 2051, 65519, 65520])
    assert FLOATS["float16"].rounded(values).tolist() == [2048, 2052, 65504, np.inf]
    assert FLOATS["float16"].rounded(values).dtype == np.float32

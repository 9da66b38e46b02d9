"""The number formats that a hardware file may name."""

import re
from typing import Annotated

from pydantic import AfterValidator

from accelsim.text import shown

FLOATS = {"float32": 32, "float16": 16, "bfloat16": 16}
_INTEGER = re.compile(r"(u?)int([1-9][0-9]?)")


def format_bits(number_format: str) -> int:
    """Bits of a number format such as `int8`; ValueError for an unknown one."""
    integer = _INTEGER.fullmatch(number_format)
    if number_format in FLOATS:
        return FLOATS[number_format]
    if integer is None:
        raise ValueError(
            f"unknown number format {shown(number_format)}; use int8, uint8, int16, int32, "
            "float32, float16 or bfloat16"
        )
    return int(integer[2])


def _activation_format(value: str) -> str:
    if value not in ("int8", "uint8", "int16", *FLOATS):
        raise ValueError(
            f"unknown number format {shown(value)}; use int8, uint8, int16, float32, float16 or "
            "bfloat16"
        )
    return value


def _psum_format(value: str) -> str:
    if value not in FLOATS and not (value.startswith("int") and 8 <= format_bits(value) <= 48):
        raise ValueError(
            f"unknown psum format {shown(value)}; use int8 to int48 (an accumulator's own width, "
            "such as int24 or int32), float32, float16 or bfloat16"
        )
    return value


ActivationFormat = Annotated[str, AfterValidator(_activation_format)]
PsumFormat = Annotated[str, AfterValidator(_psum_format)]

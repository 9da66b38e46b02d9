"""The arithmetic that the formats of a hardware file stand for."""

from collections.abc import Mapping

from accelsim.errors import InputError, Problem
from accelsim.numerics.floats import FloatArithmetic
from accelsim.numerics.formats import FloatFormat, Format, IntegerFormat, parse_format
from accelsim.numerics.gemm import Overflow
from accelsim.numerics.integers import IntegerArithmetic
from accelsim.numerics.operations import Arithmetic

__all__ = ["Arithmetic", "FloatArithmetic", "IntegerArithmetic", "arithmetic_of"]


def arithmetic_of(
    ifmap: str, filter: str, psum: str, ofmap: str, overflow: Overflow = "wrap"
) -> Arithmetic:
    """The arithmetic of formats named as in the hardware file.

    An ofmap is the next layer's ifmap, so both have one format. All formats are integers or all
    are floats; integer operands have at most 16 bits, psums at most 48. InputError lists what is
    not so.
    """
    formats: dict[str, Format] = {}
    problems = []
    names = {"ifmap": ifmap, "filter": filter, "psum": psum, "ofmap": ofmap}
    for operand, name in names.items():
        try:
            formats[operand] = parse_format(name)
        except ValueError as error:
            problems.append(Problem(message=str(error), key=f"precision.{operand}"))
    problems += _mismatches(formats)
    if problems:
        raise InputError(problems)
    activation, weight, accumulator = formats["ifmap"], formats["filter"], formats["psum"]
    if isinstance(activation, IntegerFormat):
        assert isinstance(weight, IntegerFormat)
        assert isinstance(accumulator, IntegerFormat)
        return IntegerArithmetic(activation, weight, accumulator, overflow)
    assert isinstance(weight, FloatFormat)
    assert isinstance(accumulator, FloatFormat)
    return FloatArithmetic(activation, weight, accumulator)


def _mismatches(formats: Mapping[str, Format]) -> list[Problem]:
    """What keeps formats, each possible by itself, from working together."""
    problems = []
    ifmap, ofmap, psum = formats.get("ifmap"), formats.get("ofmap"), formats.get("psum")
    if ifmap and ofmap and ifmap != ofmap:
        message = f"{ofmap} differs from the ifmap's {ifmap}; use one for both"
        problems.append(Problem(message=message, key="precision.ofmap"))
    if len({isinstance(kind, IntegerFormat) for kind in formats.values()}) > 1:
        found = ", ".join(f"{operand} {kind}" for operand, kind in formats.items())
        problems.append(
            Problem(message=f"use integers only or floats only, found {found}", key="precision")
        )
    for operand in ("ifmap", "filter"):
        kind = formats.get(operand)
        if isinstance(kind, IntegerFormat) and kind.bits > 16:
            message = f"{kind} is too wide for values; use at most 16 bits"
            problems.append(Problem(message=message, key=f"precision.{operand}"))
    if isinstance(psum, IntegerFormat) and (not psum.signed or psum.bits < 8):
        message = f"{psum} cannot accumulate; use a signed format of 8 to 48 bits, such as int32"
        problems.append(Problem(message=message, key="precision.psum"))
    return problems

"""What keys of hardware files hold: names, and quantities in the unit they were written in."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from accelsim.units import Duration, Rate, parse_clock, parse_rate, parse_size, parse_time

Operand = Literal["ifmap", "filter", "psum", "ofmap"]
DataflowName = Literal["os", "ws", "is", "rs"] | Literal["best"]
Objective = Literal["time", "energy", "edp"]
FusedKind = Literal["activation", "add", "pool"]
Where = Literal["array", "vector"] | Literal["best"]
MappingObjective = Literal["time", "energy", "traffic"]
OPERANDS: tuple[Operand, ...] = get_args(Operand)
BEST: Final = "best"
"""As a dataflow: for each layer that of a systolic array which is best for it."""
SYSTOLIC: tuple[DataflowName, ...] = ("os", "ws", "is")
"""Dataflows of a systolic array: PEs have single registers and pass words to neighbours."""
WITH_SPADS: tuple[DataflowName, ...] = ("rs",)
"""Dataflows of an array whose PEs have scratch pads, and networks that bring words to them."""
DATAFLOWS: tuple[DataflowName, ...] = (*SYSTOLIC, *WITH_SPADS)


def _text(parse: Callable[[object], object], example: str) -> tuple[Any, Any]:
    """Annotations of a quantity that a file gives as text with a unit."""
    return BeforeValidator(parse), WithJsonSchema({"type": "string", "examples": [example]})


Size = Annotated[int, *_text(parse_size, "64 KiB")]
Clock = Annotated[int, *_text(parse_clock, "1 GHz")]
Bandwidth = Annotated[Rate, *_text(parse_rate, "16 GB/s")]
Time = Annotated[Duration, *_text(parse_time, "100 ns")]
Count = Annotated[int, Field(gt=0, le=2**16, strict=True)]


class Schema(BaseModel):
    """A part of a hardware file: frozen, and without keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

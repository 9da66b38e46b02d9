"""The memories of a hardware file: buffers on the chip, and the DRAM outside."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from accelsim.dram.sheet import DramTiming
from accelsim.hardware.quantities import OPERANDS, Bandwidth, Operand, Schema, Size, Time


class Buffer(Schema):
    """An SRAM on the chip."""

    holds: Annotated[tuple[Operand, ...], Field(min_length=1)] = Field(
        description="Operands kept here: ifmap, filter, psum, ofmap."
    )
    size: Size = Field(description="Capacity, such as 64 KiB.")
    bank: Size = Field(
        1,
        description="Operands take whole banks of this size (rs), such as 4 KiB, and what a pass "
        "reads of an image lies in one; a buffer without banks if left out.",
    )
    bandwidth: Bandwidth | None = Field(
        None, description="Rate at the array's side, such as 32 B/cycle; unlimited if left out."
    )


def holding_problems(holds: Mapping[str, Iterable[object]]) -> list[str]:
    """What is wrong with who holds what: every operand is held by exactly one buffer."""
    held = Counter(operand for operands in holds.values() for operand in operands)
    missing = ", ".join(operand for operand in OPERANDS if not held[operand])
    repeated = ", ".join(operand for operand in OPERANDS if held[operand] > 1)
    problems = []
    if missing:
        problems.append(f"no buffer holds {missing}; add it to a buffer's `holds`")
    if repeated:
        problems.append(f"more than one buffer holds {repeated}; keep one")
    return problems


class DramChannel(Schema):
    """The memory outside the chip: a plain rate, or a standard from whose data sheet it follows."""

    bandwidth: Bandwidth | None = Field(
        None, description="Peak rate, such as 16 GB/s; follows from `timing` if that is given."
    )
    latency: Time | None = Field(
        None,
        description="From the end of a transfer's turn on the channel to its data, such as 100 ns; "
        "none if left out, and as `timing` says if that is given.",
    )
    burst: Size | None = Field(
        None,
        description="Granularity of a transfer, such as 64 B; shorter ends cost a whole one. 1 B "
        "if left out, and as `timing` says if that is given.",
    )
    timing: DramTiming | None = Field(
        None,
        description="A DRAM standard instead of bandwidth, latency and burst: its name, or a "
        "mapping of `standard` and what is different from its data sheet.",
    )
    unread_rows: Literal["read", "skip"] = Field(
        "read",
        description="Rows of an ifmap that no tap reads, for a stride keeps windows apart: read "
        "with the others, or skipped by a DMA that takes rows with a stride, where that is no "
        "slower (systolic arrays).",
    )

    @model_validator(mode="before")
    @classmethod
    def _plain_defaults(cls, data: Any) -> Any:
        """Without `timing`, no latency and bursts of a byte are what is left out."""
        if not isinstance(data, dict) or data.get("timing") is not None:
            return data
        return {"latency": "0 cycles", "burst": "1 B", **data}

    @model_validator(mode="after")
    def _one_form(self) -> "DramChannel":
        plain = [name for name in ("bandwidth", "latency", "burst") if getattr(self, name)]
        if self.timing is not None and plain:
            raise ValueError(
                f"both timing and {', '.join(plain)} are given; leave out timing for a plain rate, "
                f"or {', '.join(plain)}, which follow from the standard"
            )
        if self.timing is None and self.bandwidth is None:
            raise ValueError(
                "give a bandwidth, such as 16 GB/s, or the timing of a standard, such as DDR4-2400"
            )
        return self

"""How a result says that its network was asked for: checked, for anybody may have written it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import findings
from accelsim.frontend.source import dotted
from accelsim.network.ops.gradients import Loss, Optimizer


class _Step(BaseModel):
    """A step of training."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    loss: Loss = "cross_entropy"
    optimizer: Optimizer = "sgd"
    recompute: bool = False


class Asked(BaseModel):
    """The network's name or path, and what else was given with it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    network: str
    dims: list[str] | None = None
    outputs: list[str] | None = None
    mapping: str | None = None
    unsupported: Literal["refuse", "free"] = "refuse"
    training: _Step | None = None
    past: Annotated[int, Field(ge=0, le=2**31)] | None = None


def checked_asked(path: str, data: Mapping[str, Any]) -> Asked:
    """`made_by.asked` of a result; raises InputError."""
    try:
        return Asked.model_validate(data)
    except ValidationError as error:
        found = findings(error, data, Asked.model_json_schema())
        raise InputError(
            Problem(message=each.message, source=path, key=dotted(("made_by", "asked", *each.path)))
            for each in found
        ) from None

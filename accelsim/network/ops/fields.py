"""Types of the keys that layers have in a network file, and how each may be written."""

from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field

from accelsim.text import shown

Shape = tuple[int, ...]


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value: object) -> object:
    """One number for both axes, or (height, width)."""
    if _whole(value):
        return value, value
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value
    raise ValueError(f"expected a whole number or a pair [height, width], found {shown(value)}")


def _kernel(value: object) -> object:
    """As `_pair`, or "global"."""
    try:
        return value if value == "global" else _pair(value)
    except ValueError:
        raise ValueError(
            f"expected a whole number, a pair [height, width] or 'global', found {shown(value)}"
        ) from None


def _padding(value: object) -> object:
    """One number, (height, width), or (top, bottom, left, right); "valid" is no padding."""
    if _whole(value):
        return (value,) * 4
    if isinstance(value, (list, tuple)) and len(value) == 2:
        return value[0], value[0], value[1], value[1]
    if value == "valid":
        return 0, 0, 0, 0
    if value == "same" or (isinstance(value, (list, tuple)) and len(value) == 4):
        return value
    raise ValueError(
        "expected a whole number, a pair [height, width], four sides [top, bottom, left, right], "
        f"'same' or 'valid', found {shown(value)}"
    )


def _sides(value: object) -> object:
    """As `_padding`, where the ofmap is not given and "same" says nothing."""
    try:
        if value != "same":
            return _padding(value)
    except ValueError:
        pass
    raise ValueError(
        "expected a whole number, a pair [height, width], four sides [top, bottom, left, right] "
        f"or 'valid', found {shown(value)}"
    )


LARGEST_SIZE, LARGEST_BATCH = 2**31, 2**16
"""Of any axis, and images at a time."""

Positive = Annotated[int, Field(gt=0, le=LARGEST_SIZE, strict=True)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST_SIZE, strict=True)]
Pair = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(_pair, json_schema_input_type=Positive | tuple[Positive, Positive]),
]
Kernel = Annotated[
    tuple[Positive, Positive] | Literal["global"],
    BeforeValidator(
        _kernel, json_schema_input_type=Positive | tuple[Positive, Positive] | Literal["global"]
    ),
]
Sides = tuple[NonNegative, NonNegative, NonNegative, NonNegative]
Padding = Annotated[
    Sides | Literal["same"],
    BeforeValidator(
        _padding,
        json_schema_input_type=NonNegative
        | tuple[NonNegative, NonNegative]
        | Sides
        | Literal["same", "valid"],
    ),
]
GivenPadding = Annotated[
    Sides,
    BeforeValidator(
        _sides,
        json_schema_input_type=NonNegative
        | tuple[NonNegative, NonNegative]
        | Sides
        | Literal["valid"],
    ),
]
MorePlaces = Annotated[
    tuple[NonNegative, NonNegative],
    BeforeValidator(_pair, json_schema_input_type=NonNegative | tuple[NonNegative, NonNegative]),
]
Real = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False, strict=True)]
"""A number written as one, so large at most that values of float32 stay finite."""
_LARGEST = float(np.finfo(np.float32).max)
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False, strict=True)]
"""A number that float32 holds."""
NonNegativeReal = Annotated[Real, Field(ge=0)]
MOST_AXES = 6
"""Axes of a tensor, the batch left out."""
Axis = Annotated[int, Field(ge=-MOST_AXES, lt=MOST_AXES, strict=True)]
"""An axis, the batch left out; -1 is the last one."""
Sizes = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=MOST_AXES)]
"""A positive number for each axis."""
STRICT = ConfigDict(extra="forbid")


def is_per_channel(shape: Shape, whole: Shape) -> bool:
    """Whether an input has one value for each channel of feature maps of `whole` shape."""
    return len(whole) == 3 and shape == (whole[0], 1, 1)

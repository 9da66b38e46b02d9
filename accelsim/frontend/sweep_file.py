"""Sweep files (`configs/sweeps/*.yaml`): which points, what to look for, and where each is said."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from accelsim.errors import InputError, Problem
from accelsim.frontend.builtin import find_file
from accelsim.frontend.findings import JsonSchema, findings, validation_problems
from accelsim.frontend.source import Data, Document, KeyPath, dotted, in_file_order, read_yaml
from accelsim.network.ops.fields import NonNegative, Positive
from accelsim.text import nearest, shown
from accelsim.units import parse_quantity, parse_size, split_quantity

LONGEST_AXIS = 100_000

Direction = Literal["min", "max"]


def _progression(value: object) -> tuple[Data, ...]:
    """The values of an axis: a list as it is, or what pow2 and range stand for."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError("expected at least one value, found an empty list")
        return tuple(value)
    if isinstance(value, dict) and len(value) == 1:
        ((kind, ends),) = value.items()
        if kind == "pow2":
            return _doublings(ends)
        if kind == "range":
            return _steps(ends)
    raise ValueError(
        "expected a list of values, {pow2: [32 KiB, 512 KiB]} or {range: [start, stop, step]}"
    )


def _doublings(ends: object) -> tuple[Data, ...]:
    """From the first end to the last, each twice the one before."""
    first, last = _numbers("pow2", "[first, last]", 2, ends)
    values, value = [], first.amount
    while value < last.amount:
        values.append(value)
        value *= 2
    if value != last.amount or first.amount > last.amount:
        raise ValueError(f"pow2: {last.text} is not {first.text} doubled some times")
    return tuple(first.like(each) for each in (*values, value))


def _steps(ends: object) -> tuple[Data, ...]:
    """From start to stop, both of them included."""
    start, stop, step = _numbers("range", "[start, stop, step]", 3, ends)
    count, rest = divmod(stop.amount - start.amount, step.amount)
    if rest or count < 0:
        near = start.like(start.amount + max(count, 0) * step.amount)
        raise ValueError(
            f"range: stop is included, but steps of {step.text} from {start.text} do not reach "
            f"{stop.text}; use {near}"
        )
    if count >= LONGEST_AXIS:
        raise ValueError(f"range: {count + 1:,} values are more than {LONGEST_AXIS:,}")
    return tuple(start.like(start.amount + index * step.amount) for index in range(count + 1))


@dataclass(frozen=True, slots=True)
class _Number:
    """A positive number as it is written: `amount` in base units of its `kind`."""

    text: str
    kind: str
    amount: Fraction
    unit: str
    unit_amount: Fraction

    def like(self, amount: Fraction) -> str | int | float:
        """Another amount in this one's unit, as a sweep file writes it."""
        number = amount / self.unit_amount
        written = int(number) if number.denominator == 1 else float(number)
        return f"{written} {self.unit}" if self.unit else written


def _number(value: object) -> _Number:
    if isinstance(value, str):
        kind, amount = parse_quantity(value)
        count, unit = split_quantity(value)
        unit_amount = amount / count if count else amount
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        kind, amount, unit, unit_amount = "number", Fraction(str(value)), "", Fraction(1)
    else:
        raise ValueError(
            f"expected numbers, with units where the key has one, found {shown(value)}"
        )
    if amount <= 0:
        raise ValueError(f"expected a positive number, found {shown(value)}")
    return _Number(text=str(value), kind=kind, amount=amount, unit=unit, unit_amount=unit_amount)


def _numbers(kind: str, form: str, count: int, ends: object) -> list[_Number]:
    """The ends of a progression, all of one kind; ValueError says what is expected."""
    if not isinstance(ends, (list, tuple)) or len(ends) != count:
        raise ValueError(f"{kind}: expected {form}")
    numbers = [_number(each) for each in ends]
    if len({number.kind for number in numbers}) > 1:
        listed = ", ".join(number.text for number in numbers)
        raise ValueError(f"{kind}: give all of them the same kind of unit, found {listed}")
    return numbers


_VALUE: JsonSchema = {"description": "As `--set` takes it, or a mapping of keys that move together"}
_AXIS: JsonSchema = {
    "anyOf": [
        {"type": "array", "items": _VALUE, "minItems": 1},
        *(
            {
                "type": "object",
                "required": [kind],
                "additionalProperties": False,
                "properties": {
                    kind: {
                        "type": "array",
                        "items": {"type": ["number", "string"]},
                        "minItems": count,
                        "maxItems": count,
                    }
                },
            }
            for kind, count in (("pow2", 2), ("range", 3))
        ),
    ]
}
Axis = Annotated[tuple[Any, ...], BeforeValidator(_progression), WithJsonSchema(_AXIS)]
Settings = Annotated[dict[str, Any], Field(min_length=1)]


def _amount(value: object) -> object:
    """A bound as a number; sizes in bytes."""
    return parse_size(value) if isinstance(value, str) else value


Amount = Annotated[
    float,
    BeforeValidator(_amount),
    Field(allow_inf_nan=False, strict=True),
    WithJsonSchema({"type": ["number", "string"], "examples": [0.3, "512 KiB"]}),
]


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
Over = Literal["sum", "geometric_mean"] | dict[str, Weight]


class _Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(_Schema):
    """What a quantity may be; sizes may have a unit."""

    min: Amount | None = Field(None, description="The least that is allowed.")
    max: Amount | None = Field(None, description="The most that is allowed.")

    _is_size: bool = PrivateAttr(False)

    @model_validator(mode="wrap")
    @classmethod
    def _as_written(cls, data: Any, validated: ModelWrapValidatorHandler["Bounds"]) -> "Bounds":
        bounds = validated(data)
        bounds._is_size = isinstance(data, dict) and any(isinstance(v, str) for v in data.values())
        return bounds

    @property
    def is_size(self) -> bool:
        """Whether an end was written with a unit."""
        return self._is_size

    @model_validator(mode="after")
    def _some_value_is_allowed(self) -> "Bounds":
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both, such as {max: 512 KiB}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Search(_Schema):
    """Sampling of a matrix that is too large for all of its points."""

    method: Literal["random", "nsga2", "tpe"] = Field(description="How the next trial is chosen.")
    trials: Annotated[int, Field(gt=0, le=10**6, strict=True)] = Field(
        description="Choices to try; repeats cost nothing."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32, strict=True)] = Field(
        0, description="The same seed gives the same trials with one job."
    )


class SweepFile(_Schema):
    """A sweep: the points of a matrix over one hardware, and what is wanted of them."""

    name: Annotated[str, Field(min_length=1)] = Field(
        description="What the sweep is called; a results file belongs to the sweep of one name."
    )
    description: str = Field("", description="One line on what it shows, for `accelsim list`.")
    networks: list[str] = Field(
        [], description="Built-in names, or paths from this file's folder; the slowest key."
    )
    dims: dict[str, NonNegative] = Field(
        {}, description="Sizes of the open axes of networks in ONNX, by name."
    )
    outputs: list[str] = Field(
        [], description="Tensors up to which networks in ONNX are taken; all of them if left out."
    )
    unsupported: Literal["refuse", "free"] = Field(
        "refuse",
        description="Whether what of a network in ONNX cannot be simulated is taken as free; the "
        "network's name then says so.",
    )
    base: str = Field(
        description="The hardware that the matrix varies: a built-in name, or a path from this "
        "file's folder."
    )
    matrix: dict[str, Axis] = Field(
        {},
        description="Values by key; every combination is a point, the last key fastest. Keys are "
        "those of hardware files with dots, `network`, `batch`, `dataflow`; `hardware` takes "
        "mappings of any hardware keys that move together.",
    )
    mapping: str | dict[str, Any] | None = Field(
        None,
        description="Tiles and loops that are forced on every point: a mapping file, by its path "
        "from this file's folder, or what it would hold.",
    )
    exclude: list[Settings] = Field(
        [],
        description="Points of the matrix to leave out: those with all of these values; a list is "
        "any of them.",
    )
    include: list[Settings] = Field(
        [], description="Further points: the base with these values, for every network."
    )
    objectives: Annotated[dict[str, Direction], Field(min_length=1)] = Field(
        {"cycles": "min"}, description="Quantities to minimise (min) or maximise (max)."
    )
    over_networks: Over | None = Field(
        None,
        description="Judge points over all networks, too: by the `sum` of each objective, its "
        "`geometric_mean`, or a sum weighted by a number for each network.",
    )
    constraints: dict[str, Bounds] = Field(
        {},
        description="Bounds of quantities: those of hardware (pes, buffer_bytes) leave points out "
        "before they run, those of results keep points from being called best.",
    )
    mode: Literal["inference", "training", "decoding"] = Field(
        "inference",
        description="What is timed: the network, a step of training it, or one more token of it.",
    )
    past: Positive | None = Field(
        None, description="Tokens before the one of decoding, whose keys and values are cached."
    )
    loss: Literal["cross_entropy", "squared_error"] = Field(
        "cross_entropy", description="Of a step of training."
    )
    optimizer: Literal["sgd", "momentum", "adam"] = Field(
        "sgd", description="What updates of a step of training cost."
    )
    recompute: Annotated[bool, Field(strict=True)] = Field(
        False,
        description="Whether a step of training keeps only what goes from block to block, and "
        "computes the rest again.",
    )
    max_points: Annotated[int, Field(gt=0, strict=True)] = Field(
        10_000, description="A matrix of more combinations than this is an error."
    )
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None = Field(
        None, description="Seconds after which a point is given up as failed; none if left out."
    )
    search: Search | None = Field(
        None, description="Sample the matrix instead of running all of it."
    )

    _document: Document | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _networks_once(self) -> "SweepFile":
        if not self.networks and "network" not in self.matrix:
            raise ValueError("name at least one network, such as `networks: [vgg16]`")
        if self.networks and "network" in self.matrix:
            raise ValueError("give `networks`, or `network` in the matrix, not both")
        return self

    @model_validator(mode="after")
    def _of_training(self) -> "SweepFile":
        given = [key for key in ("loss", "optimizer", "recompute") if key in self.model_fields_set]
        if given and self.mode != "training":
            raise ValueError(f"{given[0]} is of a step of training; give `mode: training`, too")
        if (self.past is None) == (self.mode == "decoding"):
            raise ValueError("`mode: decoding` and `past` go together; give both, or neither")
        return self

    @property
    def source(self) -> str:
        """The file's path; empty for a sweep that was made in Python."""
        return self._document.source if self._document else ""

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return Path(self.source).parent if self.source else Path()

    def problem(self, path: KeyPath, message: str, at_key: bool = False) -> Problem:
        """A problem with the value (or the key) at `path`, with its line."""
        if self._document is None:
            return Problem(message=message, key=dotted(path))
        return self._document.problem(path, message, at_key)


def load_sweep(name_or_path: str | Path) -> SweepFile:
    """A built-in sweep by name, or one from a YAML file; raises InputError with every problem.

    What only the networks and the hardware can tell is checked by `accelsim.sweep.space.resolve`.
    """
    document = read_yaml(find_file("configs/sweeps", name_or_path, (".yaml", ".yml")))
    problems = list(document.problems)
    try:
        sweep = SweepFile.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(error, document, SweepFile.model_json_schema())
    if problems:
        raise InputError(in_file_order(problems))
    sweep._document = document
    return sweep


def readable_rest(name_or_path: str | Path) -> tuple[SweepFile | None, list[Problem]]:
    """A sweep file without what is wrong with it, so that the rest can be checked in the same go.

    Misspelt keys are read as they were meant, and what is wrong within them comes beside. An axis
    without values has one that is nothing, for others may speak of its key. None where the rest is
    no sweep, or dims are wrong, for much hangs on them.
    """
    document = _as_meant(read_yaml(find_file("configs/sweeps", name_or_path, (".yaml", ".yml"))))
    data = {**document.data}
    if isinstance(axes := data.get("matrix"), dict):
        data["matrix"] = {**axes}
    problems = []
    try:
        SweepFile.model_validate(data)
    except ValidationError as error:
        problems = validation_problems(error, document, SweepFile.model_json_schema())
        for each in findings(error, document.data, SweepFile.model_json_schema()):
            _leave_out(each.path, data)
    try:
        rest = SweepFile.model_validate(data)
    except ValidationError:
        return None, problems
    rest._document = document
    return rest, problems


def _as_meant(document: Document) -> Document:
    """The file with the keys that its misspelt ones are near to, where it has none of these."""
    known, root = sorted(SweepFile.model_fields), document.root
    meant: dict[str, str] = {}
    for key in document.data:
        near = nearest(key, known) if key not in known else None
        if near and near not in {*document.data, *meant.values()}:
            meant[key] = near
    return replace(
        document,
        root=replace(
            root,
            data=_renamed(document.data, meant),
            parts=_renamed(root.parts, meant),
            keys=_renamed(root.keys, meant),
        ),
    )


def _renamed(mapping: Mapping[Any, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    return {names.get(key, key): value for key, value in mapping.items()}


def _leave_out(path: KeyPath, data: dict[str, Data]) -> None:
    """Take what is wrong out of the data of a sweep file, where it can be taken out alone."""
    if not path:
        return
    axes = data.get("matrix")
    if len(path) > 1 and path[0] == "matrix" and isinstance(axes, dict):
        axes[str(path[1])] = [None]
    elif path == ("name",):
        data["name"] = "unnamed"
    elif path[0] not in ("dims", "base", "matrix"):
        data.pop(str(path[0]), None)


def sweep_from(data: Mapping[str, Any]) -> SweepFile:
    """A sweep from Python, with the keys of a sweep file; raises InputError."""
    try:
        return SweepFile.model_validate(data)
    except ValidationError as error:
        found = findings(error, data, SweepFile.model_json_schema())
        raise InputError(
            [Problem(message=each.message, key=dotted(each.path)) for each in found]
        ) from None

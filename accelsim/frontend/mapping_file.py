"""Mapping files: tile sizes and loops that are forced on layers, by name or pattern."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import findings, validation_problems
from accelsim.frontend.foreign_mapping import (
    ONNXIM,
    Shaped,
    is_pytorchsim,
    is_timeloop,
    read_onnxim,
    read_pytorchsim,
    read_timeloop,
)
from accelsim.frontend.source import Document, KeyPath, dotted, in_file_order, read_yaml
from accelsim.frontend.zigzag_mapping import is_zigzag, read_zigzag
from accelsim.hardware import FusedKind, Objective

Size = Annotated[int, Field(ge=1, le=2**63, strict=True)]
Entry = Size | str
Forced = Mapping[str, Mapping[str, Entry]]
"""By name or pattern of layers: sizes of tiles by axis, and how their loops run."""


class _Keys(BaseModel):
    """What mapping files have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ForcedStay(_Keys):
    """An ofmap that stays on chip for the first of its readers."""

    address: int = Field(ge=0, le=2**63, strict=True, description="Where in the ifmaps' buffer")
    readers: tuple[str, ...] = Field(min_length=1, description="The layers that read it there")


class Plan(_Keys):
    """What else the lowering decides, beside the tiles; None is decided as without a mapping."""

    images: Size | None = Field(None, description="Images of the parts in which the batch runs")
    arrays: Size | None = Field(None, description="How many of the arrays are used")
    on_lanes: tuple[str, ...] | None = Field(
        None, description="The depthwise layers that the vector unit computes"
    )
    skips: tuple[str, ...] | None = Field(
        None, description="With unread_rows: skip: the layers that leave them in DRAM"
    )
    fused: tuple[FusedKind, ...] | None = Field(
        None, description="What is done on the way out of the array"
    )
    on_chip: dict[str, ForcedStay] | None = Field(
        None, description="The ofmaps that stay on chip, by layer, and no others"
    )
    rooms: dict[str, Size] | None = Field(
        None, description="With on_chip: bytes of the ifmaps' buffer for a layer's tiles, by layer"
    )
    shared_weights: Literal["stay", "fetched"] | None = Field(
        None, description="With on_chip: whether weights that several layers read stay there"
    )
    searched_for: Objective | None = Field(
        None, description="With an objective of energy: what the search of the rest minimises"
    )


class MappingFile(Plan):
    """A mapping file, or what of one is for a part of the network or of the batch."""

    layers: dict[str, dict[str, Entry]] = Field(
        description="By name or pattern: sizes by axis (`all`: the whole axis), order, split, ..."
    )


class _Parts(_Keys):
    """A mapping file of what runs in parts: one mapping for each kind of part."""

    parts: tuple[MappingFile, ...] = Field(min_length=1)


OF_ON_CHIP = ("rooms", "shared_weights")
"""What is said only beside on_chip."""


def mapping_schema() -> dict[str, Any]:
    """The JSON schema of our mapping files: a mapping, or one for each kind of part."""
    schema = TypeAdapter(MappingFile | _Parts).json_schema()
    return {"title": "MappingFile", **schema}


NO_PLAN = Plan()


@dataclass(frozen=True, slots=True)
class Source:
    """What is forced, and where that is said; by layer, and by the shape of layers.

    Where a batch runs in parts, it is meant for parts of `images`; of a smaller one tiles have at
    most what is there. `parts` are those of a file that has several, `path` where one is in it.
    `dataflows` are those that a layer may be given. `document` knows the lines.
    """

    layers: Forced
    name: str
    shaped: tuple[Shaped, ...] = ()
    images: int | None = None
    plan: Plan = NO_PLAN
    parts: "tuple[Source, ...]" = ()
    path: KeyPath = ()
    dataflows: tuple[str, ...] = ()
    document: Document | None = field(default=None, repr=False, compare=False)

    def problem(self, path: KeyPath, message: str, at_key: bool = False) -> Problem:
        """What is wrong with the value at `path`, or with its key."""
        path = (*self.path, *path)
        if self.document is None:
            return Problem(message=message, source=self.name, key=dotted(path))
        return self.document.problem(path, message, at_key)

    @property
    def content(self) -> object:
        """What it forces, wherever it was said."""
        shaped = [each.cases for each in self.shaped]
        return self.layers, shaped, self.plan, [each.content for each in self.parts]

    @property
    def pieces(self) -> "tuple[Source, ...]":
        """Its parts, or itself."""
        return self.parts or (self,)


def load_mapping(given: "str | Path | Forced | Source") -> Source:
    """A mapping from a file, or one that is given by pattern; raises InputError.

    Files are ours, ONNXim's lines (.mapping), Timeloop's lists, PyTorchSim's JSON, or ZigZag's
    temporal orders.
    """
    if isinstance(given, Source):
        return given
    if isinstance(given, Mapping):
        return _given(given)
    if Path(given).suffix.lower() == ONNXIM:
        return Source(layers={}, name=str(given), shaped=tuple(read_onnxim(Path(given))))
    document = read_yaml(Path(given), may_list=True)
    for is_of, read in (
        (is_zigzag, read_zigzag),
        (is_timeloop, read_timeloop),
        (is_pytorchsim, read_pytorchsim),
    ):
        if is_of(document):
            return Source(layers={}, name=str(given), shaped=tuple(read(document)))
    problems = list(document.problems)
    kind = _kind(document.data)
    try:
        found = kind.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(error, document, kind.model_json_schema())
    if problems:
        raise InputError(in_file_order(problems))
    return _source(found, Source(layers={}, name=str(given), document=document))


def _kind(data: object) -> type[_Keys]:
    return _Parts if isinstance(data, Mapping) and "parts" in data else MappingFile


def _source(found: _Keys, of: Source) -> Source:
    """What is forced by a file, or by a part of one, of which the name and the place are known."""
    if isinstance(found, _Parts):
        places = (replace(of, path=("parts", at)) for at in range(len(found.parts)))
        return replace(of, parts=tuple(map(_source, found.parts, places)))
    assert isinstance(found, MappingFile)
    source = replace(of, layers=found.layers, images=found.images, plan=found)
    alone = [each for each in OF_ON_CHIP if getattr(found, each) is not None]
    if alone and found.on_chip is None:
        message = "is of a plan of what stays on chip; give on_chip too, such as on_chip: {}"
        raise InputError(source.problem((each,), message, True) for each in alone)
    return source


def _given(given: Mapping[str, Any]) -> Source:
    """Of what a file says, or of its layers alone."""
    data, kind = _plain(given), _kind(given)
    is_file = isinstance(data.get("parts"), list) or _are_layers(data.get("layers"))
    if not is_file:
        data, kind = {"layers": data}, MappingFile
    try:
        return _source(kind.model_validate(data), Source(layers={}, name="mapping"))
    except ValidationError as error:
        found = findings(error, data, kind.model_json_schema())
        raise InputError(
            Problem(message=each.message, source="mapping", key=dotted(each.path[not is_file :]))
            for each in found
        ) from None


def _are_layers(data: object) -> bool:
    """Whether these are the layers of a file, and not the axes of a layer of that name."""
    return isinstance(data, dict) and all(isinstance(each, dict) for each in data.values())


def _plain(data: Any) -> Any:
    return {key: _plain(each) for key, each in data.items()} if isinstance(data, Mapping) else data

"""Mapping files: tile sizes and loops that are forced on layers, by name or pattern."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
from accelsim.frontend.source import dotted, in_file_order, read_yaml
from accelsim.frontend.zigzag_mapping import is_zigzag, read_zigzag

Size = Annotated[int, Field(ge=1, le=2**63, strict=True)]
Entry = Size | str
Forced = Mapping[str, Mapping[str, Entry]]
"""By name or pattern of layers: sizes of tiles by axis, and how their loops run."""


class MappingFile(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: dict[str, dict[str, Entry]] = Field(
        description="By name or pattern: sizes by axis (`all`: the whole axis), order, split, ..."
    )


@dataclass(frozen=True, slots=True)
class Source:
    """What is forced, and where that is said; by layer, and by the shape of layers.

    Where a batch runs in parts, it is meant for parts of `images`; of a smaller one tiles have at
    most what is there.
    """

    layers: Forced
    name: str
    shaped: tuple[Shaped, ...] = ()
    images: int | None = None


def load_mapping(given: "str | Path | Forced") -> Source:
    """A mapping from a file, or one that is given by pattern; raises InputError.

    Files are ours, ONNXim's lines (.mapping), Timeloop's lists, PyTorchSim's JSON, or ZigZag's
    temporal orders.
    """
    if isinstance(given, Mapping):
        return _given(given)
    if Path(given).suffix.lower() == ONNXIM:
        return Source({}, str(given), tuple(read_onnxim(Path(given))))
    document = read_yaml(Path(given), may_list=True)
    for is_of, read in (
        (is_zigzag, read_zigzag),
        (is_timeloop, read_timeloop),
        (is_pytorchsim, read_pytorchsim),
    ):
        if is_of(document):
            return Source({}, str(given), tuple(read(document)))
    problems = list(document.problems)
    try:
        found = MappingFile.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(error, document, MappingFile.model_json_schema())
    if problems:
        raise InputError(in_file_order(problems))
    return Source(found.layers, str(given))


def _given(layers: Forced) -> Source:
    data = {"layers": {name: _plain(each) for name, each in layers.items()}}
    try:
        return Source(MappingFile.model_validate(data).layers, "mapping")
    except ValidationError as error:
        found = findings(error, data, MappingFile.model_json_schema())
        raise InputError(
            Problem(each.message, "mapping", key=dotted(each.path[1:])) for each in found
        ) from None


def _plain(entries: object) -> object:
    return dict(entries) if isinstance(entries, Mapping) else entries

"""What a network file may hold: its records, and the JSON schema derived from them."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)

from accelsim.frontend.findings import JsonSchema
from accelsim.frontend.key_meanings import meaning
from accelsim.network.ops import LAYER_TYPES, Op, Positive, Shape
from accelsim.network.ops.fields import Sizes
from accelsim.text import shown

MOST_LAYERS = 20_000
"""Layers of a network with its blocks unfolded."""
RESERVED = ("op", "input", "inputs", "repeat", "loss_weight")


class _Record(BaseModel):
    """Names may be written as numbers: `input: 3` reads the layer called 3."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", coerce_numbers_to_str=True, use_attribute_docstrings=True
    )


class FeatureMap(_Record):
    """The shape of an image or feature map."""

    channels: Positive
    height: Positive
    width: Positive

    @property
    def shape(self) -> Shape:
        return self.channels, self.height, self.width


class Vector(_Record):
    """The shape of a vector."""

    features: Positive

    @property
    def shape(self) -> Shape:
        return (self.features,)


class Matrix(_Record):
    """The shape of a matrix, such as a sequence of `rows` tokens."""

    rows: Positive
    features: Positive

    @property
    def shape(self) -> Shape:
        return self.rows, self.features


class AnyShape(_Record):
    """The sizes of any axes, from the outermost to the last."""

    shape: Sizes


def _form(value: object) -> str:
    """Which of the four shapes the keys of `value` are meant for."""
    keys = value if isinstance(value, Mapping) else ()
    if "shape" in keys:
        return "any"
    return "matrix" if "rows" in keys else "vector" if "features" in keys else "feature_map"


def _numbers(value: object) -> object:
    """A count, or the first and the last number."""
    return (1, value) if isinstance(value, int) and not isinstance(value, bool) else value


Repeat = Annotated[
    tuple[Positive, Positive],
    BeforeValidator(_numbers, json_schema_input_type=Positive | tuple[Positive, Positive]),
]

InputShape = Annotated[
    Annotated[FeatureMap, Tag("feature_map")]
    | Annotated[Vector, Tag("vector")]
    | Annotated[Matrix, Tag("matrix")]
    | Annotated[AnyShape, Tag("any")],
    Discriminator(_form),
]


class LayerFile(_Record):
    """One layer, or one instance of a block; the keys beside these are the op's."""

    model_config = ConfigDict(extra="allow")

    op: str
    """The layer type, or the name of a block."""
    input: str | None = None
    """The layer or network input this layer reads; the layer before where not given."""
    inputs: Annotated[list[str], Field(min_length=1)] | None = None
    """What a layer with several inputs reads, in order."""
    repeat: Repeat | None = None
    """So many of them, each reading the one before: `conv: {repeat: 3}` is conv_1, conv_2 and
    conv_3, and `conv` the last. [first, last] numbers them from another one than 1."""

    loss_weight: Annotated[float, Field(gt=0, le=1000, strict=True)] | None = None
    """Of an output that only training has, such as an auxiliary classifier's: by how much its loss
    counts. Inference leaves out what only such outputs need."""

    @field_validator("input", mode="before")
    @classmethod
    def _one_name(cls, value: object) -> object:
        if isinstance(value, list):
            names = ", ".join(each if isinstance(each, str) else shown(each) for each in value[:8])
            raise ValueError(f"is one name; use inputs: [{names}]")
        return value

    @model_validator(mode="after")
    def _one_of_them(self) -> "LayerFile":
        if self.input is not None and self.inputs is not None:
            raise ValueError("give `input` or `inputs`, not both")
        if self.repeat and self.repeat[0] > self.repeat[1]:
            raise ValueError(f"repeat {list(self.repeat)} ends before it begins")
        if self.repeat and len(self.sources) > 1:
            raise ValueError("what is repeated reads the one before, so give it one input")
        if self.repeat and self.loss_weight is not None:
            raise ValueError("what is repeated is read by the next, so it has no loss_weight")
        return self

    def names(self, name: str) -> Iterator[str]:
        """What the layer called `name` is, or all that `repeat` makes of it are, called."""
        if self.repeat is None:
            return iter((name,))
        first, last = self.repeat
        return (f"{name}_{number}" for number in range(first, last + 1))

    @property
    def sources(self) -> list[str]:
        """The names in `input` or `inputs`, none where neither is given."""
        return self.inputs or ([] if self.input is None else [self.input])

    @property
    def arguments(self) -> dict[str, Any]:
        """The keys that belong to the op or are a block's parameters."""
        return dict(self.model_extra or {})


class BlockFile(_Record):
    """A group of layers with parameters, to be used as a layer's `op`."""

    parameters: list[str] = []
    """Names that an instance gives values to; `$name` stands for the value."""
    layers: Annotated[dict[str, object], Field(min_length=1)]
    """The layers by name; `$input` is what the instance reads, the default of the first."""

    @field_validator("parameters")
    @classmethod
    def _distinct(cls, names: list[str]) -> list[str]:
        for name in names:
            if name in RESERVED or names.count(name) > 1:
                reason = "has a meaning already" if name in RESERVED else "is given twice"
                raise ValueError(f"parameter {name!r} {reason}; choose another name")
        return names


class NetworkFile(_Record):
    """A network: its inputs, and its layers in order."""

    name: str
    """The name in reports."""
    description: str = ""
    """One sentence on what this network is and where it was published."""
    family: str = ""
    """What `accelsim list` groups it under."""
    input: InputShape | None = None
    """The shape of the only network input, which layers call `input`; the batch is left out."""
    inputs: Annotated[dict[str, InputShape], Field(min_length=1)] | None = None
    """The shapes of several network inputs by name."""
    weights: str | None = None
    """An .npz file of parameters, relative to this file; seeded random ones where not given."""
    blocks: dict[str, object] = {}
    """Parameterised groups of layers by name."""
    layers: Annotated[
        dict[str, object], Field(min_length=1, json_schema_extra={"maxProperties": MOST_LAYERS})
    ]
    """The layers by name; each reads the one before unless it says otherwise."""

    @model_validator(mode="after")
    def _inputs(self) -> "NetworkFile":
        if (self.input is None) == (self.inputs is None):
            raise ValueError("give the network's `input`, or several under `inputs`, but not both")
        return self

    @property
    def input_shapes(self) -> dict[str, Shape]:
        """Shapes of the network inputs by name."""
        shapes = self.inputs or ({"input": self.input} if self.input else {})
        return {name: record.shape for name, record in shapes.items()}


_NAME: JsonSchema = {"type": ["string", "number"]}
_PARAMETER: JsonSchema = {"type": "string", "pattern": r"^\$", "title": "A block's parameter"}


def layer_schema(op: type[Op]) -> JsonSchema:
    """JSON schema of a layer of one type: the op's own keys beside `op`, `input`, `inputs`."""
    schema = TypeAdapter(op).json_schema()
    given = {key.name for key in fields(op) if key.init}
    own = {
        key: value | {"description": meaning(op.name, key)}
        for key, value in schema["properties"].items()
        if key in given
    }
    told = LayerFile.model_json_schema()["properties"]
    common = {
        "op": {"const": op.name, "description": "The layer type."},
        "input": _NAME | {"description": told["input"]["description"]},
        "inputs": {
            "type": "array",
            "items": _NAME,
            "minItems": 1,
            "description": told["inputs"]["description"],
        },
        **{key: told[key] for key in ("repeat", "loss_weight")},
    }
    required = ["op", *schema.get("required", [])]
    return schema | {"properties": common | own, "required": required}


def network_schema() -> JsonSchema:
    """JSON schema of a network file, derived from the records that read it."""
    schema = NetworkFile.model_json_schema()
    block = BlockFile.model_json_schema()
    instance = {
        "title": "Instance of a block",
        "type": "object",
        "required": ["op"],
        "properties": {"op": {"type": "string", "not": {"enum": sorted(LAYER_TYPES)}}},
    }
    layers = [layer_schema(op) for op in LAYER_TYPES.values()]
    schema["$defs"] |= {
        "Layer": {"anyOf": [*layers, instance]},
        "BlockLayer": {"anyOf": [*map(_parameterised, layers), instance]},
        "Block": block,
    }
    block["properties"]["layers"]["additionalProperties"] = {"$ref": "#/$defs/BlockLayer"}
    schema["properties"]["layers"]["additionalProperties"] = {"$ref": "#/$defs/Layer"}
    schema["properties"]["blocks"]["additionalProperties"] = {"$ref": "#/$defs/Block"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _parameterised(layer: JsonSchema) -> JsonSchema:
    """The same layer inside a block, where `$name` may stand for any value."""
    properties = {
        name: value if name in ("op", "input", "inputs") else _or_parameter(value)
        for name, value in layer["properties"].items()
    }
    return layer | {"properties": properties}


def _or_parameter(schema: JsonSchema) -> JsonSchema:
    inner = {
        key: [_or_parameter(part) for part in value] if key in ("anyOf", "prefixItems") else value
        for key, value in schema.items()
    }
    return {"anyOf": [inner, _PARAMETER]}

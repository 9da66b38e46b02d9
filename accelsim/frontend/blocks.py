"""Blocks unfolded: a network file's layers and block instances as one flat list of layers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from accelsim.errors import InputError, Problem, ShapeError
from accelsim.frontend.findings import Finding, JsonSchema, findings, unknown
from accelsim.frontend.network_file import MOST_LAYERS, BlockFile, LayerFile, layer_schema
from accelsim.frontend.source import MOST_VALUES, Data, Document, KeyPath, in_file_order
from accelsim.network.ops import LAYER_TYPES, Composite, Op, Phase, Shape

T = TypeVar("T")

DEEPEST_BLOCKS = 50
"""Blocks inside blocks."""

_LAYER = TypeAdapter(LayerFile)
_BLOCK = TypeAdapter(BlockFile)


@dataclass(frozen=True, slots=True)
class FlatLayer:
    """A layer of the flat network, and the path in the file that describes it.

    `owners` begin the names of layers in the groups where it finds the owner of its weight.
    """

    name: str
    path: KeyPath
    op: Op
    inputs: tuple[str, ...]
    owners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyOp(Op):
    """Stands for a layer that is reported already, so that its readers still find it."""

    def output_shape(self, inputs: tuple[Shape, ...]) -> Shape:
        raise ShapeError("")


@dataclass(frozen=True, slots=True)
class Scope:
    """A group of layers: the top of the file, or a block's body as one instance sees it.

    `source` is what the first layer reads and `$input` means, `values` what the block's
    parameters stand for, `around` the blocks this one is nested in, itself last. `prefixes` begin
    the names of its layers and of those of the groups around it, innermost first; `owners` those
    of the groups in which a layer finds the owner of its weight.
    """

    path: KeyPath
    prefixes: tuple[str, ...]
    source: str
    values: Mapping[str, Data] = field(default_factory=dict)
    around: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What begins the names of its own layers."""
        return self.prefixes[0]

    def of(self, data: object) -> "Scope":
        """As the layer sees it that is `data` in the file.

        A name that a parameter stands for is one of the groups outside.
        """
        named = [data.get(key) for key in ("shares", "owner")] if isinstance(data, dict) else []
        given = any(isinstance(name, str) and name.startswith("$") for name in named)
        return replace(self, owners=self.prefixes[1:] if given else self.prefixes)

    def named(self, sources: list[str]) -> tuple[str, ...]:
        """The flat names of what the group's layers call `sources`."""
        return tuple(self.source if name == "$input" else self.prefix + name for name in sources)


class Faults:
    """What is wrong in a document; a fault that all instances of a block share is told once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._layers: dict[Finding, list[str]] = {}
        self._told: set[tuple[KeyPath, str]] = set()

    def __len__(self) -> int:
        """How many were met, each layer for itself."""
        return len(self._told)

    def note(self, finding: Finding, layer: str = "") -> None:
        """Keep a finding; `layer` is the flat name of the layer it was met in."""
        self._layers.setdefault(finding, []).append(layer)
        self._told.add((finding.path, layer))

    def check(
        self,
        adapter: TypeAdapter[T],
        data: object,
        path: KeyPath,
        schema: Callable[[], JsonSchema],
        layer: str = "",
    ) -> T | None:
        """`data` as the adapter's record; None, and the faults kept, where it is none.

        What was noted about a value before (an unknown parameter) says enough about it.
        """
        try:
            return adapter.validate_python(data)
        except ValidationError as error:
            for found in findings(error, data, schema()):
                full = (*path, *found.path)
                if (full, layer) not in self._told:
                    self.note(Finding(full, found.message, found.at_key), layer)
        return None

    def refuse(self, path: KeyPath, message: str) -> NoReturn:
        """Raise InputError at once: to go on would take too long."""
        raise InputError(self._document.problem(path, message, at_key=True))

    @property
    def keys(self) -> set[str | int]:
        """The top-level keys in which something is wrong."""
        return {finding.path[0] for finding in self._layers if finding.path}

    @property
    def problems(self) -> list[Problem]:
        """Everything found, the document's own problems included, in file order."""
        found = [
            self._document.problem(
                finding.path, finding.message + self._used(finding.path, layers), finding.at_key
            )
            for finding, layers in self._layers.items()
        ]
        return in_file_order([*self._document.problems, *found])

    def _used(self, path: KeyPath, layers: list[str]) -> str:
        """Which layers a fault in a block's body was met in, and where the first is asked for."""
        if path[:1] != ("blocks",) or not layers[0]:
            return ""
        more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
        line, _ = self._document.key_position(("layers", layers[0].partition("/")[0]))
        return f" (in {layers[0]}{more}, from line {line})"


@cache
def _op_adapter(name: str) -> TypeAdapter[Op]:
    return TypeAdapter(LAYER_TYPES[name])


class Unfolding:
    """`layers` collects the flat network; `last` says which layer an instance's name means.

    `loss_weights` has those of layers and instances that only training has.
    """

    def __init__(self, blocks: Mapping[str, object], faults: Faults) -> None:
        self.layers: list[FlatLayer] = []
        self.last: dict[str, str] = {}
        self.loss_weights: dict[str, float] = {}
        self._faults = faults
        self._values = 0
        self._blocks: dict[str, BlockFile | None] = {}
        for name, data in blocks.items():
            path = ("blocks", name)
            if name in LAYER_TYPES:
                message = f"{name!r} is a layer type; give the block another name"
                faults.note(Finding(path, message, at_key=True))
            self._blocks[name] = faults.check(_BLOCK, data, path, _BLOCK.json_schema)

    def unfold(self, scope: Scope, layers: Mapping[str, object]) -> None:
        """Add all layers of a group, those of its block instances in their place."""
        previous = scope.source
        for name, data in layers.items():
            path, flat_name = (*scope.path, name), scope.prefix + name
            self._refuse_too_many(path)
            given = self._substituted(data, path, flat_name, scope)
            layer = self._faults.check(_LAYER, given, path, _LAYER.json_schema, flat_name)
            if layer is None:
                self.layers.append(FlatLayer(name=flat_name, path=path, op=FaultyOp(), inputs=()))
            else:
                inputs = scope.named(layer.sources) or (previous,)
                if layer.loss_weight is not None:
                    self.loss_weights[flat_name] = layer.loss_weight
                self._add_all(layer, flat_name, path, inputs, scope.of(data))
            previous = flat_name

    def _add_all(
        self, layer: LayerFile, name: str, path: KeyPath, inputs: tuple[str, ...], scope: Scope
    ) -> None:
        """Add a layer, or all that it is repeated as, one behind the other."""
        for copy in layer.names(name):
            self._refuse_too_many(path)
            before = len(self._faults)
            self._add(layer, copy, path, inputs, scope)
            inputs = (copy,)
            if len(self._faults) > before:
                break  # the others are wrong alike
        if copy != name:
            self.last[name] = copy

    def _refuse_too_many(self, path: KeyPath) -> None:
        if len(self.layers) >= MOST_LAYERS:
            self._faults.refuse(path, f"this network has more than {MOST_LAYERS:,} layers")

    def resolved(self, name: str) -> str:
        """The layer that a name means, which may be a block instance's."""
        while name in self.last:
            name = self.last[name]
        return name

    def owning(self, layer: FlatLayer) -> Op:
        """A layer's op, which names the owner of its weight as the flat network does.

        That is the one of this name in the innermost group around it that has one.
        """
        op, owner = layer.op, layer.op.owner_of_parameters
        if owner is None or not layer.owners:
            return op
        candidates = (prefix + owner for prefix in layer.owners)
        found = next((name for name in candidates if name in self._names), owner)
        return replace(op, **{"owner" if isinstance(op, Phase) else "shares": found})

    @cached_property
    def _names(self) -> set[str]:
        """Of all layers, once they are there."""
        return {layer.name for layer in self.layers}

    def _add(
        self, layer: LayerFile, name: str, path: KeyPath, inputs: tuple[str, ...], scope: Scope
    ) -> None:
        op: Op | None = None
        if layer.op in LAYER_TYPES:
            adapter, schema = _op_adapter(layer.op), partial(layer_schema, LAYER_TYPES[layer.op])
            op = self._faults.check(adapter, layer.arguments, path, schema, name)
        elif layer.op not in self._blocks:
            message = unknown("op", layer.op, [*LAYER_TYPES, *self._blocks])
            self._faults.note(Finding((*path, "op"), message), name)
        elif block := self._blocks[layer.op]:
            misfits = list(_misfits(layer, block, path, inputs, scope))
            for finding in misfits:
                self._faults.note(finding, name)
            if not misfits:
                self._unfold_instance(layer, block, name, inputs[0], scope)
                return
        if isinstance(op, Composite):
            self._add_parts(op, name, path, inputs)
        else:
            self.layers.append(
                FlatLayer(
                    name=name, path=path, op=op or FaultyOp(), inputs=inputs, owners=scope.owners
                )
            )

    def _add_parts(self, op: Composite, name: str, path: KeyPath, inputs: tuple[str, ...]) -> None:
        """The layers that one of the file stands for."""
        try:
            parts = op.parts(name, inputs)
        except ShapeError as error:
            self._faults.note(Finding((*path, "inputs"), str(error)), name)
            self.layers.append(FlatLayer(name=name, path=path, op=FaultyOp(), inputs=inputs))
            return
        self.layers += [
            FlatLayer(name=part, path=path, op=own, inputs=sources) for part, own, sources in parts
        ]
        if op.one_ofmap:
            self.last[name] = parts[-1][0]

    def _unfold_instance(
        self, layer: LayerFile, block: BlockFile, name: str, source: str, scope: Scope
    ) -> None:
        path, prefix = ("blocks", layer.op, "layers"), name + "/"
        around = (*scope.around, layer.op)
        if len(around) > DEEPEST_BLOCKS:
            message = f"blocks lie in blocks more than {DEEPEST_BLOCKS} deep"
            self._faults.refuse((*scope.path, name.rpartition("/")[2]), message)
        inner = Scope(
            path=path,
            prefixes=(prefix, *scope.prefixes),
            source=source,
            values=layer.arguments,
            around=around,
        )
        self.unfold(inner, block.layers)
        self.last[name] = prefix + list(block.layers)[-1]

    def _substituted(self, data: Any, path: KeyPath, layer: str, scope: Scope) -> Any:
        """`data` with the parameters' values in place of their `$name`s."""
        if isinstance(data, dict):
            return {
                key: self._substituted(value, (*path, key), layer, scope)
                for key, value in data.items()
            }
        if isinstance(data, list):
            return [
                self._substituted(value, (*path, index), layer, scope)
                for index, value in enumerate(data)
            ]
        if not isinstance(data, str) or not data.startswith("$"):
            return data
        if data[1:] in scope.values:
            value = scope.values[data[1:]]
            self._values += _size(value)
            if self._values > MOST_VALUES:
                message = f"the blocks' parameters stand for more than {MOST_VALUES:,} values"
                self._faults.refuse(path, message)
            return value
        if not scope.around:
            message = f"{data!r} has no meaning here; parameters stand inside blocks"
            self._faults.note(Finding(path, message), layer)
        elif data != "$input":
            message = unknown("parameter", data, [f"${name}" for name in ("input", *scope.values)])
            self._faults.note(Finding(path, message), layer)
        return data


def _size(value: Data) -> int:
    """A value and all values in it, counted."""
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list) else 1


def _misfits(
    layer: LayerFile, block: BlockFile, path: KeyPath, inputs: tuple[str, ...], scope: Scope
) -> Iterator[Finding]:
    """What keeps `layer` from being an instance of `block`."""
    if layer.op in scope.around:
        chain = " -> ".join((*scope.around, layer.op))
        yield Finding((*path, "op"), f"a block cannot use itself: {chain}")
    if len(inputs) != 1:
        yield Finding((*path, "inputs"), f"a block takes one input, found {len(inputs)}")
    for name in block.parameters:
        if name not in layer.arguments:
            yield Finding((*path, name), f"missing parameter {name!r} of block {layer.op!r}")
    for name in layer.arguments:
        if name not in block.parameters:
            yield Finding((*path, name), unknown("parameter", name, block.parameters), at_key=True)

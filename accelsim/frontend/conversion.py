"""Other formats' files as ours: what they say, and what of it our YAML does not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem
from accelsim.frontend import load_network
from accelsim.frontend.builtin import builtin_names
from accelsim.frontend.copies import file_text, yaml_text
from accelsim.frontend.hardware_file import SCALESIM
from accelsim.frontend.scalesim_cfg import unheeded
from accelsim.network.graph import Layer, Network, Stored
from accelsim.network.ops import Op, Shape

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Converted:
    """A file of ours as text, and what was left out of it, in words."""

    text: str
    left_out: tuple[str, ...]


@checked
def converted(
    name: str | Path,
    dims: Mapping[str, int] | None = None,
    outputs: Sequence[str] = (),
    free: bool = False,
) -> Converted:
    """SCALE-Sim's .cfg as a hardware file; its .csv, or a model in ONNX, as a network file.

    With `free` what of a model cannot be simulated is left out, too. The text begins with what was
    left out, as comments. Raises InputError as loading does, and for
    a file that is YAML already.
    """
    name = str(name)
    suffix = Path(name).suffix.lower()
    if suffix in (".yaml", ".yml"):
        raise InputError(
            Problem(message="is YAML already; .cfg, .csv and .onnx are converted", source=name)
        )
    if suffix == SCALESIM:
        return _told(name, file_text(name), tuple(unheeded(Path(name))))
    network = load_network(name, dims, outputs, free)
    left_out = (*_spelt_out(name), *_left_out(network))
    return _told(name, network_text(network), left_out)


def _told(name: str, text: str, left_out: tuple[str, ...]) -> Converted:
    source = ascii(Path(name).name)[1:-1]
    head = [
        f"# Converted from {source}.",
        *(f"# Left out or changed: {each}." for each in left_out),
    ]
    return Converted("\n".join([*head, text]), left_out)


def _spelt_out(name: str) -> Iterator[str]:
    """What is to be said of a network that is built in, and so is YAML already."""
    if name in builtin_names("workloads"):
        yield f"blocks, each layer stands by itself; `accelsim show {name} --yaml` has them"


def _left_out(network: Network) -> Iterator[str]:
    _, free, operators = network.description.partition("taken as free: ")
    if free:
        yield f"{free}{operators}"
    if isinstance(network.weights, Stored):
        arrays = len(network.weights.opened())
        if arrays:
            yield f"the values of {arrays:,} arrays of weights, which are random then"
    if network.images is not None:
        yield "that rows are measurements one by one; as a network they run together"
        batches = {name: count for name, count in network.images.items() if count != 1}
        if batches:
            yield f"the batches of {', '.join(f'{name} ({n})' for name, n in batches.items())}"


# --- A network as text ----------------------------------------------------------------------------


def network_text(network: Network) -> str:
    """A network file of a network, without blocks and weights; loading it gives the same layers."""
    data: dict[str, Any] = {"name": network.name}
    if network.description:
        data["description"] = network.description
    if network.family:
        data["family"] = network.family
    data["inputs"] = {name: _shape(shape) for name, shape in network.inputs.items()}
    before = next(iter(network.inputs))
    layers = {}
    for layer in network.layers:
        layers[layer.name] = _layer(layer, before)
        before = layer.name
    data["layers"] = layers
    return yaml_text(data, _Dumper, width=_WIDTH)


class _Dumper(yaml.SafeDumper):
    """Layers and shapes a line each."""


class _Line(dict[str, Any]):
    """What is written in one line."""


_Dumper.add_representer(
    _Line,
    lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True),
)


def _shape(shape: Shape) -> _Line:
    if len(shape) == 3:
        return _Line(zip(("channels", "height", "width"), shape, strict=True))
    if len(shape) == 2:
        return _Line(zip(("rows", "features"), shape, strict=True))
    return _Line(features=shape[0]) if len(shape) == 1 else _Line(shape=list(shape))


def _layer(layer: Layer, before: str) -> _Line:
    """A layer's type, the keys that are not their defaults, and what it reads."""
    line = _Line(op=layer.op.name, **_keys(layer.op))
    if len(layer.inputs) > 1:
        line["inputs"] = list(layer.inputs)
    elif layer.inputs != (before,):
        line["input"] = layer.inputs[0]
    return line


def _keys(op: Op) -> dict[str, Any]:
    return {
        field.name: _plain(value)
        for field in fields(op)
        if (value := getattr(op, field.name)) != field.default
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value

"""ONNX models as we compute them: the network of a file, its reference and its tiles in float32."""

from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from drawing import is_plain
from numpy.typing import NDArray

from accelsim.facade import compile_program
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.network.passes import prepare_for_inference
from accelsim.numerics.compare import checks, precision_arithmetic
from accelsim.numerics.formats import Array
from accelsim.numerics.parameter_file import load_parameters
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference

FLOAT32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
SMALL = (
    *("array.rows=4", "array.cols=5"),
    *(f"buffers.{name}_sram.size=2 KiB" for name in ("ifmap", "filter", "ofmap")),
    *(("residency=off",) if is_plain() else ()),
)
"""A small machine; plainly each layer by itself, for what may stay on chip takes long to find."""


def saved(model: Any, folder: Path) -> Path:
    """The file of a model."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


@cache
def edge_ws(*settings: str) -> Hardware:
    """The machine with these settings, read once."""
    return load_hardware("edge_ws", settings)


def network_of(path: Path, outputs: tuple[str, ...] = ()) -> Network:
    """The network of a file, read once for all that is asked of it."""
    return _read(path, path.read_bytes(), outputs)


@lru_cache(maxsize=2)
def _read(path: Path, content: bytes, outputs: tuple[str, ...]) -> Network:
    return load_network(path, outputs=outputs)


def images_first(feeds: dict[str, Array], network: Network) -> dict[str, Array]:
    """Inputs as our networks take them."""
    assert network.interface is not None
    return {
        name: tensor.images_first(feeds[name]).reshape(-1, *network.inputs[name])
        for name, tensor in network.interface.inputs.items()
        if name in feeds
    }


def given(network: Network, settings: tuple[str, ...], feeds: dict[str, Array]) -> Parameters:
    """The model's own arrays, and inputs."""
    arithmetic = precision_arithmetic(edge_ws(*settings).precision)
    parameters = load_parameters(network, prepare_for_inference(network), arithmetic)
    return replace(parameters, given={**parameters.given, **feeds})


def computed(
    path: Path,
    feeds: dict[str, Array],
    settings: tuple[str, ...] = (FLOAT32,),
    outputs: tuple[str, ...] = (),
) -> NDArray[Any]:
    """What our reference makes of a model's one output, or of that which is asked for."""
    model = network_of(path, outputs)
    feeds = images_first(feeds, model)
    network = prepare_for_inference(model)
    parameters = given(model, settings, feeds)
    batch = len(next(iter(feeds.values())))
    *_, (_, last) = reference(network, parameters.arithmetic, parameters, batch)
    assert network.interface is not None
    (output,) = network.interface.outputs.values()
    return output.tensor.as_in_file(np.asarray(last.values))


def outputs(
    path: Path, feeds: dict[str, Array], dims: dict[str, int] | None = None
) -> dict[str, NDArray[Any]]:
    """What our reference makes of each output of a model, as that has them."""
    network = prepare_for_inference(load_network(path, dims or {}))
    feeds = images_first(feeds, network)
    parameters = given(network, (FLOAT32,), feeds)
    batch = len(next(iter(feeds.values())))
    computed = {
        work.layer.name: ofmap.values
        for work, ofmap in reference(network, parameters.arithmetic, parameters, batch)
    }
    assert network.interface is not None
    return {
        name: each.tensor.as_in_file(np.asarray(computed[each.layer]))
        for name, each in network.interface.outputs.items()
    }


def wrong_tiles(
    path: Path, feeds: dict[str, Array], settings: tuple[str, ...] = (FLOAT32,)
) -> list[str]:
    """Layers whose tiled values on a small machine are not the reference's."""
    network = network_of(path)
    feeds = images_first(feeds, network)
    batch = len(next(iter(feeds.values())))
    program = compile_program(network, edge_ws(*SMALL, *settings), batch=batch)
    return [
        str(check) for check in checks(program, given(network, settings, feeds)) if not check.passed
    ]

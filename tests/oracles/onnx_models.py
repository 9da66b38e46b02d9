"""ONNX models as we compute them: the network of a file, its reference and its tiles in float32."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from accelsim.facade import compile_program
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.frontend.onnx import assembled
from accelsim.frontend.onnx.constants import Store
from accelsim.frontend.onnx.file import read_model
from accelsim.frontend.onnx.graph import Graph, resolved
from accelsim.frontend.onnx.reading import read_as_layers
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
)


def saved(model: Any, folder: Path) -> Path:
    """The file of a model."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def read_graph(path: Path, outputs: tuple[str, ...] = ()) -> Graph:
    """The graph of a model as it is simulated, with where the file has the batch."""
    file = read_model(path)
    graph, *_ = read_as_layers(resolved(file, {}, outputs), Store(file))
    return graph


def batch_first(feeds: dict[str, Array], network: Network, graph: Graph) -> dict[str, Array]:
    """Inputs as our networks take them."""
    return {
        name: _moved(array, graph.batch_axes.get(name, 0)).reshape(-1, *network.inputs[name])
        for name, array in feeds.items()
        if name in network.inputs
    }


def _moved(array: Array, axis: int) -> Array:
    return np.moveaxis(array, axis, 0) if axis else array


def given(network: Network, settings: tuple[str, ...], feeds: dict[str, Array]) -> Parameters:
    """The model's own arrays, and inputs."""
    arithmetic = precision_arithmetic(load_hardware("edge_ws", settings).precision)
    parameters = load_parameters(network, arithmetic)
    return replace(parameters, given={**parameters.given, **feeds})


def computed(
    path: Path,
    feeds: dict[str, Array],
    settings: tuple[str, ...] = (FLOAT32,),
    outputs: tuple[str, ...] = (),
) -> NDArray[Any]:
    """What our reference makes of a model's one output, or of that which is asked for."""
    model, graph = load_network(path, outputs=outputs), read_graph(path, outputs)
    feeds = batch_first(feeds, model, graph)
    network = prepare_for_inference(model)
    parameters = given(model, settings, feeds)
    batch = len(next(iter(feeds.values())))
    *_, (_, last) = reference(network, parameters.arithmetic, parameters, batch)
    ends = graph.batch_axes.keys() - feeds.keys()
    return np.moveaxis(np.asarray(last.values), 0, graph.batch_axes[ends.pop()] if ends else 0)


def outputs(
    path: Path, feeds: dict[str, Array], dims: dict[str, int] | None = None
) -> dict[str, NDArray[Any]]:
    """What our reference makes of each output of a model, images first."""
    file = read_model(path)
    graph, layers, _ = read_as_layers(resolved(file, dims or {}, ()), Store(file))
    stands = assembled(path.stem, str(path), graph, layers).stands
    names = {name: layers.output(name) for name in graph.outputs}
    network = prepare_for_inference(load_network(path, dims or {}))
    if graph.whole:
        feeds = {name: array[None] for name, array in feeds.items()}
    feeds = batch_first(feeds, network, graph)
    parameters = given(network, (FLOAT32,), feeds)
    batch = len(next(iter(feeds.values())))
    computed = {
        work.layer.name: ofmap.values
        for work, ofmap in reference(network, parameters.arithmetic, parameters, batch)
    }
    return {name: np.asarray(computed[stands.get(at, at)]) for name, at in names.items()}


def wrong_tiles(
    path: Path, feeds: dict[str, Array], settings: tuple[str, ...] = (FLOAT32,)
) -> list[str]:
    """Layers whose tiled values on a small machine are not the reference's."""
    network = load_network(path)
    feeds = batch_first(feeds, network, read_graph(path))
    batch = len(next(iter(feeds.values())))
    program = compile_program(network, load_hardware("edge_ws", (*SMALL, *settings)), batch=batch)
    return [
        str(check) for check in checks(program, given(network, settings, feeds)) if not check.passed
    ]

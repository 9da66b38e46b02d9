"""Values: what every layer of a network computes, by the reference or by the timed tiles."""

import struct
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import numpy as np

from accelsim.arguments import checked
from accelsim.errors import InputError, Problem, UnknownNameError, did_you_mean, reason
from accelsim.facade import refuse_integer_gradients
from accelsim.files import MADE, written
from accelsim.given import HardwareLike, NetworkLike, hardware_of, network_of, prepared
from accelsim.hardware import Hardware, Precision
from accelsim.network.graph import Network
from accelsim.numerics.archive import Archive
from accelsim.numerics.calibration import told
from accelsim.numerics.compare import precision_arithmetic
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array, Tensor
from accelsim.numerics.parameter_file import input_problems, load_parameters
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import Compute, reference
from accelsim.numerics.reference import compute as by_definition
from accelsim.numerics.spread import spread_of
from accelsim.numerics.tiled import execute_parts
from accelsim.programs import compiled_parts, refuse_beyond_limits
from accelsim.results.records import SCHEMA
from accelsim.results.values import Calibration, Spread
from accelsim.text import parts_of, visible

Inputs = Mapping[str, Array] | str | Path


@dataclass(frozen=True, slots=True)
class LayerValues:
    """What a layer computed, in a few numbers. `shape` is that of its ofmap, images first.

    A stored value stands for scale * (value - zero_point).
    """

    name: str
    op: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    spread: Spread


@dataclass(frozen=True, slots=True, repr=False)
class Values:
    """What a network computed; `ofmaps` are those of the layers that were asked for.

    `outputs` are those of a framework's model, by its names and as it has them.
    `hardware` is whose tiles computed it, or None: the reference did, from the definitions.
    `calibration` says which scales were chosen, None where all were given or random.
    """

    network: str
    hardware: str | None
    batch: int
    seed: int
    formats: str
    exact: bool
    layers: tuple[LayerValues, ...]
    ofmaps: Mapping[str, Array]
    calibration: Calibration | None = None
    outputs: Mapping[str, Array] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: what was computed, and how many ofmaps are kept."""
        by = f"by the tiles of {self.hardware}" if self.hardware else "by the reference"
        what = visible(f"{self.network}, batch {self.batch}, {by}")
        return f"<Values {what}: {len(self.layers)} layers, {len(self.ofmaps)} ofmaps kept>"

    @checked
    def real(self, name: str) -> Array:
        """The real numbers that a layer's values stand for, float64.

        Raises UnknownNameError, a KeyError, for a layer that is not kept.
        """
        if name not in self.ofmaps:
            raise UnknownNameError("layer", name, self.ofmaps)
        layer = next(each for each in self.layers if each.name == name)
        values: Array = layer.scale * (self.ofmaps[name].astype(np.float64) - layer.zero_point)
        return values

    @checked
    def save(self, path: str | Path) -> None:
        """Write the ofmaps as .npz, with <layer>.output_scale and _zero_point of integers.

        Of a framework's model also its outputs; where a layer has that name, the output is meant.
        Raises InputError where the system does not let it, and leaves what was there.
        """
        arrays: dict[str, Any] = {**self.ofmaps, **self.outputs}
        for layer in self.layers:
            if self.exact and layer.name in self.ofmaps.keys() - self.outputs.keys():
                arrays[f"{layer.name}.output_scale"] = np.float64(layer.scale)
                arrays[f"{layer.name}.output_zero_point"] = np.int64(layer.zero_point)
        try:
            with written(str(path)) as beside, ZipFile(beside, "w") as archive:
                archive.comment = MADE
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, array, allow_pickle=False)
        except (OSError, ValueError, struct.error) as error:  # of a device that cannot seek
            raise InputError(
                Problem(message=f"cannot be written: {reason(error)}", source=str(path))
            ) from None

    def as_dict(self) -> dict[str, Any]:
        """The JSON form, without the ofmaps."""
        return {
            "schema": SCHEMA,
            "network": self.network,
            "hardware": self.hardware,
            "batch": self.batch,
            "seed": self.seed,
            "formats": self.formats,
            "calibration": self.calibration and asdict(self.calibration),
            "layers": [asdict(layer) for layer in self.layers],
        }


@checked
def compute(
    network: NetworkLike,
    hardware: HardwareLike | None = None,
    dataflow: str | None = None,
    inputs: Inputs | None = None,
    batch: int | None = None,
    seed: int = 0,
    layers: Iterable[str] | None = None,
    set: Sequence[str] = (),
) -> Values:
    """Compute `network`: by the timed tiles of `hardware`, in its formats, or by the reference.

    Without a hardware the formats are int8, float32 for a step of training. `inputs` are arrays by
    name, (N, *shape) or (*shape), or an .npz file of them; those of a framework's model are as it
    has them. What is not given comes from the network's file, or from `seed`. `batch` is as many
    as there are, or 1. `layers` names whose ofmaps, or outputs of a model, are kept; all if None.
    Raises InputError for bad input and DoesNotFitError as `simulate` does.
    """
    network = network_of(network)
    machine = None if hardware is None else hardware_of(hardware, dataflow, set)
    precision = _formats(network) if machine is None else machine.precision
    arithmetic = precision_arithmetic(precision)
    given, origin = _given(inputs)
    wrong = input_problems(network, arithmetic, given)
    problems = [Problem(message=message, source=origin, key=key) for key, message in wrong]
    given = given if problems else _images_first(network, given)
    if batch is None:
        batch = 1 if problems else _images(network, given)
    ready = prepared(network)
    refuse_beyond_limits(ready, batch)
    if problems := problems + _unknown_layers(ready, layers):
        raise InputError(problems)
    parameters = load_parameters(network, ready, arithmetic, seed, given)
    kept = None if layers is None else {*layers}
    found, ofmaps = [], {}
    outputs: dict[str, Array] = {}
    for work, ofmap in _computed(ready, machine, parameters, batch):
        found.append(_layer_values(work, ofmap))
        if kept is None or work.layer.name in kept:
            ofmaps[work.layer.name] = ofmap.values
        outputs |= _outputs_of(ready, work, ofmap, kept)
    return Values(
        network=network.name,
        hardware=None if machine is None else machine.name,
        batch=batch,
        seed=seed,
        formats=precision.flow,
        exact=precision.is_integer,
        layers=tuple(found),
        ofmaps=ofmaps,
        outputs=outputs,
        calibration=told(parameters),
    )


def _outputs_of(
    network: Network, work: Computation, ofmap: Ofmap, kept: AbstractSet[str] | None
) -> dict[str, Array]:
    """The outputs of a framework's model that a layer's values are, of those `kept`."""
    reals = Tensor(ofmap.values, work.output).reals
    return {
        name: output.of(reals)
        for name, output in (network.interface.outputs.items() if network.interface else ())
        if output.layer == work.layer.name and (kept is None or name in kept)
    }


def _computed(
    network: Network, machine: Hardware | None, parameters: Parameters, batch: int
) -> Iterator[tuple[Computation, Ofmap]]:
    """Every layer, by the tiles of a machine or from its definition."""
    for part, each in network.parts(batch):
        by = by_definition if machine is None else _tiled(part, machine, each)
        yield from reference(part, parameters.arithmetic, parameters, each, by)


def _formats(network: Network) -> Precision:
    """Of what has no hardware."""
    if all(layer.op.phase == "forward" for layer in network.layers):
        return Precision()
    return Precision(ifmap="float32", filter="float32", psum="float32", ofmap="float32")


def _given(inputs: Inputs | None) -> tuple[Mapping[str, Array], str]:
    """The arrays, and what to call where they come from."""
    if inputs is None:
        return {}, "inputs"
    if isinstance(inputs, (str, Path)):
        return Archive(Path(inputs)), str(inputs)
    return {name: np.asarray(array) for name, array in inputs.items()}, "inputs"


def _unknown_layers(network: Network, layers: Iterable[str] | None) -> list[Problem]:
    """What is asked for and is no layer of a network that is prepared for inference."""
    known = [layer.name for layer in network.layers]
    known += network.interface.outputs if network.interface else ()
    unknown = [name for name in layers or () if name not in known]
    return [
        Problem(
            message="is no layer that computes anything by itself" + (f"; {hint}" if hint else ""),
            source=network.name,
            key=name,
        )
        for name in unknown
        for hint in (parts_of(name, known) or did_you_mean(name, known).rstrip(),)
    ]


def _images(network: Network, given: Mapping[str, Array]) -> int:
    """As many images as every input given has; 1 if none says."""
    counts = [
        len(given[name])
        for name, shape in network.inputs.items()
        if name in given and given[name].ndim > len(shape)
    ]
    return min(counts, default=1)


def _images_first(network: Network, given: Mapping[str, Array]) -> Mapping[str, Array]:
    """Inputs that are as a framework's file has them as networks here have them."""
    interface = network.interface
    if interface is None:
        return given
    moved = {
        name: tensor.images_first(given[name]).reshape(-1, *network.inputs[name])
        for name, tensor in interface.inputs.items()
        if name in given and name in network.inputs
    }
    return ChainMap(moved, cast(MutableMapping[str, Array], given))


def _tiled(network: Network, machine: Hardware, batch: int) -> Compute:
    """What computes a layer by the tiles that are timed on `machine`."""
    refuse_integer_gradients(network, machine)
    programs = compiled_parts(network, machine, batch)
    names = [layer.name for layer in programs[0].network.layers]

    def by_tiles(work: Computation) -> Ofmap:
        at = names.index(work.layer.name)
        return execute_parts([(each.layers[at], each.batch) for each in programs], work)

    return by_tiles


def _layer_values(work: Computation, ofmap: Ofmap) -> LayerValues:
    layer, meaning = work.layer, work.output
    return LayerValues(
        name=layer.name,
        op=layer.op.name,
        shape=ofmap.values.shape,
        scale=meaning.scale,
        zero_point=meaning.zero_point,
        spread=spread_of(ofmap.values, work.arithmetic.activation, meaning),
    )

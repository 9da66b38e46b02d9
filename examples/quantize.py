"""A network that has learned, quantized to int8 for accelsim: codes, scales, images and labels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from accelsim.learning import Learner
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference

HIGHEST = 127
SHIPPED = 100
"""Images in the file."""

Array = NDArray[np.floating]


def shipped(
    learner: Learner, images: Array, tested: tuple[Array, NDArray[np.int64]], folder: Path
) -> None:
    """Write digits.npz: symmetric codes, scales calibrated on `images`, and `tested` images."""
    scales = _largest(learner, images)
    arrays: dict[str, NDArray[np.generic]] = {}
    for layer in learner.network.layers:
        scale = scales[layer.name] / HIGHEST
        arrays[f"{layer.name}.output_scale"] = np.float64(scale)
        if layer.parameter_shapes:
            before = scales[layer.inputs[0]] / HIGHEST
            arrays |= _codes(layer.name, learner, before)
    (name,) = learner.network.inputs
    step = scales[name] / HIGHEST
    arrays[f"{name}.scale"] = np.float64(step)
    arrays[name] = np.rint(tested[0][:SHIPPED] / step).astype(np.int8)
    arrays["labels"] = tested[1][:SHIPPED].astype(np.int8)
    np.savez_compressed(folder / "digits.npz", **arrays)


def _codes(name: str, learner: Learner, before: float) -> dict[str, NDArray[np.generic]]:
    """A layer's weights as int8 with a scale for each channel, its bias as psums."""
    weight, bias = learner.arrays[f"{name}.weight"], learner.arrays[f"{name}.bias"]
    rows = np.abs(weight).reshape(len(weight), -1).max(1).astype(np.float64) / HIGHEST
    scale = rows.reshape(-1, *(1,) * (weight.ndim - 1))
    return {
        f"{name}.weight": np.rint(weight / scale).astype(np.int8),
        f"{name}.weight_scale": rows,
        f"{name}.bias": np.rint(bias / (rows * before)).astype(np.int32),
    }


def _largest(learner: Learner, images: Array) -> dict[str, float]:
    """The largest magnitude of each tensor; a pooling keeps the scale of what it reads."""
    network = learner.network
    (name,) = network.inputs
    given = {**learner.arrays, name: images}
    parameters = Parameters.of(network, learner.parameters.arithmetic, given=given)
    found = {name: float(np.abs(images).max())}
    for work, ofmap in reference(network, parameters.arithmetic, parameters, len(images)):
        layer = work.layer
        own = float(np.abs(ofmap.values).max())
        found[layer.name] = own if layer.parameter_shapes else found[layer.inputs[0]]
    return found

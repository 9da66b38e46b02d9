"""How many images a network with real weights is right about."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from accelsim.errors import InputError, Problem
from accelsim.network.graph import Network
from accelsim.numerics.formats import Array
from accelsim.numerics.parameter_file import LABELS
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference
from accelsim.results.checks import Accuracy

_AT_ONCE = 256
"""Images that are computed together."""


def accuracy(network: Network, parameters: Parameters) -> Accuracy | None:
    """Of the labelled images in a network's file, by the reference; None without labels.

    `network` is prepared for inference. Raises InputError where labels have no images.
    """
    given = parameters.given
    if LABELS not in given or LABELS in network.inputs:
        return None
    labels = np.asarray(given[LABELS]).reshape(-1)
    _refuse_misfits(network, given, len(labels))
    right = 0
    for start in range(0, len(labels), _AT_ONCE):
        chosen = slice(start, start + _AT_ONCE)
        images = {
            name: np.asarray(given[name]).reshape(-1, *shape)[chosen]
            for name, shape in network.inputs.items()
        }
        here = replace(parameters, given={**given, **images})
        *_, (_, ofmap) = reference(network, here.arithmetic, here, len(labels[chosen]))
        found = ofmap.values.reshape(len(ofmap.values), -1).argmax(1)
        right += int((found == labels[chosen]).sum())
    return Accuracy(right, len(labels))


def _refuse_misfits(network: Network, given: Mapping[str, Array], count: int) -> None:
    """Raise InputError where not every label has an image, or there is not one output."""
    problems = []
    if len(network.outputs) != 1:
        problems.append(f"are of one output; the network has {', '.join(network.outputs)}")
    for name, shape in network.inputs.items():
        images = np.asarray(given[name]).size // np.prod(shape) if name in given else 0
        if images != count:
            problems.append(f"are {count}, images of {name} {images}")
    if problems:
        raise InputError(
            Problem(message=each, source=str(network.weights), key=LABELS) for each in problems
        )

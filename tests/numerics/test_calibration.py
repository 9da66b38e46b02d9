"""Scales that are calibrated: ofmaps fill their format, whatever the own weights are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, conv, dense, machine, max_pool, networks

import accelsim
from accelsim.network.graph import Network, learned_shapes
from accelsim.network.ops import Conv, Dense
from accelsim.network.passes import prepare_for_inference
from accelsim.numerics.arithmetic import Arithmetic, arithmetic_of
from accelsim.numerics.calibration import calibrated, told
from accelsim.numerics.formats import IntegerFormat
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference

FORMATS = [
    arithmetic_of(*each)
    for each in (
        ("int8", "int8", "int32", "int8"),
        ("uint8", "int8", "int32", "uint8"),
        ("int16", "int4", "int48", "int16"),
        ("int4", "int2", "int32", "int4"),
    )
]


def own_weights(network: Network, arithmetic: Arithmetic, most: int, seed: int) -> dict[str, Any]:
    """Codes of at most so much, not all of them zero."""
    rng, kind = np.random.default_rng(seed), arithmetic.filter
    assert isinstance(kind, IntegerFormat)
    made: dict[str, Any] = {}
    for layer in network.layers:
        for name, shape in learned_shapes(layer).items():
            top = min(most, kind.highest) if name == "weight" else most
            values = rng.integers(-top, top + 1, shape)
            values.flat[0] = top or 1
            made[f"{layer.name}.{name}"] = values.astype(np.int32 if name == "bias" else kind.dtype)
    return made


@given(
    networks(), st.sampled_from(FORMATS), st.integers(1, 127), st.sampled_from(["", "w", "o", "wo"])
)
@drawn(60)
def test_ofmaps_of_own_weights_reach_the_end_of_their_format(
    network: Network, arithmetic: Arithmetic, most: int, said: str
) -> None:
    """One element or more has the last code, and no more than have the largest number."""
    prepared = prepare_for_inference(network)
    given = own_weights(prepared, arithmetic, most, seed=most)
    weighted = [each for each in prepared.layers if isinstance(each.op, Conv | Dense)]
    for layer in weighted:
        if "w" in said:
            given[f"{layer.name}.weight_scale"] = np.float32(0.37)
        if "o" in said:
            given[f"{layer.name}.output_scale"] = np.float32(3.1)
    parameters = calibrated(prepared, Parameters.of(prepared, arithmetic, 0, given))
    if said == "wo" or not weighted:
        assert told(parameters) is None
        return
    found = told(parameters)
    format_ = arithmetic.activation
    assert isinstance(format_, IntegerFormat)
    for work, ofmap in reference(prepared, arithmetic, parameters):
        if work.layer not in weighted or found is None or work.layer.name not in found.layers:
            continue
        codes = ofmap.values.astype(int)
        ends = (codes == format_.highest) | (codes <= format_.lowest + format_.signed)
        assert ends.any()
        assert ends.mean() < 0.5 or codes.size <= 8 or format_.bits < 8


def test_what_weights_are_multiplied_by_does_not_matter() -> None:
    """Twice the weights make psums twice as large, and their scale half: the codes are the same."""
    network = chain((3, 6, 6), conv(4, 3), max_pool(2), dense(5))
    arithmetic, codes = FORMATS[0], []
    for factor in (1, 2, 9):
        given = own_weights(network, arithmetic, 6, seed=1)
        given = {key: each * factor for key, each in given.items()}
        parameters = calibrated(network, Parameters.of(network, arithmetic, 0, given))
        codes.append([ofmap.values for _, ofmap in reference(network, arithmetic, parameters)])
    for one, *others in zip(*codes, strict=True):
        assert all((other == one).all() for other in others)


def test_of_rectified_sums_those_above_zero_fill_the_format() -> None:
    network = chain((1, 2, 2), Conv(out_channels=2, kernel=(1, 1), activation="relu"))
    x = np.array([[[[1, 2], [3, 4]]]], np.int8)
    weight = np.array([1, -100], np.int8).reshape(2, 1, 1, 1)
    given = {"x": x, "a.weight": weight, "a.bias": np.zeros(2, np.int32)}
    parameters = calibrated(network, Parameters.of(network, FORMATS[0], 0, given))
    (found,) = (ofmap.values for _, ofmap in reference(network, FORMATS[0], parameters))
    assert found[0].tolist() == [[[32, 64], [95, 127]], [[0, 0], [0, 0]]]


def test_psums_that_are_all_zero_leave_the_scale_alone() -> None:
    network = chain((1, 2, 2), conv(1))
    given = {"a.weight": np.zeros((1, 1, 1, 1), np.int8), "a.bias": np.zeros(1, np.int32)}
    assert told(calibrated(network, Parameters.of(network, FORMATS[0], 0, given))) is None


@pytest.mark.parametrize(("images", "on"), [(0, "1 image"), (3, "3 images"), (20, "8 images")])
def test_it_is_said(tmp_path: Path, images: int, on: str) -> None:
    """In what verify and compute print, and in their JSON; on the images that are given."""
    arrays = own_weights(chain((1, 5, 5), conv(2, 3)), FORMATS[0], 5, seed=2)
    rng = np.random.default_rng(3)
    if images:
        arrays["x"] = rng.integers(-128, 128, (images, 1, 5, 5), np.int8)
    np.savez(tmp_path / "w.npz", **arrays)
    network = replace(chain((1, 5, 5), conv(2, 3)), weights=tmp_path / "w.npz")
    result = accelsim.verify(network, machine())
    assert result.passed
    assert result.as_dict()["calibration"] == {"layers": ("a",), "images": int(on.split()[0])}
    values = accelsim.compute(network)
    assert values.as_dict()["calibration"]["layers"] == ("a",)
    assert on in str(values.calibration)

"""Learning: steps by tiles are those of the reference, and they lower the loss."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.learning import Learner
from accelsim.network.backward import TARGET
from accelsim.network.ops.gradients import Update
from accelsim.numerics.formats import Array
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOATS = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
BATCH = 4


def machine(*settings: str) -> Hardware:
    return load_hardware("edge_ws", [FLOATS, *settings])


def lesson() -> tuple[Array, Array]:
    """Four images, each of another digit."""
    images = np.random.default_rng(0).standard_normal((BATCH, 1, 8, 8)).astype(np.float32)
    return images, np.where(np.eye(10)[:BATCH] > 0, 1, -1).astype(np.float32)


def test_a_step_takes_the_references_gradients_away() -> None:
    learner, (images, targets) = Learner.of("bouvrie", machine(), BATCH, "squared_error"), lesson()
    before = dict(learner.arrays)
    step = learner.program.network
    given = {**before, "input": images, TARGET: targets}
    parameters = Parameters.of(step, learner.parameters.arithmetic, given=given)
    outputs = learner.outputs(images)
    loss = learner.learn(images, targets)
    assert loss == pytest.approx(np.square(outputs - targets).sum() / 2 / BATCH, rel=1e-5)
    for work, ofmap in reference(step, parameters.arithmetic, parameters, BATCH):
        op = work.layer.op
        if isinstance(op, Update):
            key = f"{op.owner}.{op.parameter}"
            after = ofmap.values.reshape(before[key].shape)
            assert (after != before[key]).any(), key
            assert learner.arrays[key] == pytest.approx(after, rel=1e-4, abs=1e-6), key


def test_the_loss_falls() -> None:
    learner, (images, targets) = Learner.of("bouvrie", machine(), BATCH, "squared_error"), lesson()
    losses = [learner.learn(images, targets) for _ in range(6)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 1.2


def test_integers_cannot_learn() -> None:
    with pytest.raises(InputError, match="float32"):
        Learner.of("bouvrie", "edge_ws", BATCH)


# --- The network that has learned -----------------------------------------------------------------


def test_digits_are_right(cli) -> None:
    outcome = cli("verify", "digits", "edge_ws", "--batch", "7")
    assert "98 of 100 labelled images, 98.0 %" in outcome.stdout
    data = json.loads(cli("verify", "digits", "edge_ws", "--json", "-").stdout)
    assert data["accuracy"] == {"right": 98, "images": 100, "share": 0.98}
    assert json.loads(cli("verify", "lenet5", "edge_ws", "--json", "-").stdout)["accuracy"] is None


def test_digits_are_not_for_real_numbers(cli) -> None:
    outcome = cli("verify", "digits", "edge_ws", "--set", FLOATS)
    assert outcome.status == 2
    assert "choose integers" in outcome.stderr


LABELLED = """
name: labelled
input: {features: 3}
weights: labelled.npz
layers: {out: {op: dense, out_features: 3, bias: false}}
"""


@pytest.mark.parametrize(
    ("labels", "images", "message"),
    [
        (np.array([0, 1, 2, 2]), 4, ""),
        (np.array([0, 1]), 4, "labels: are 2, images of input 4"),
        (np.array([0.5, 1, 2, 2]), 4, "labels: holds float64"),
        (np.array([0, 1, 2, 2]), 0, "labels: are 4, images of input 0"),
    ],
)
def test_labels_belong_to_images(
    cli, tmp_path: Path, labels: Array, images: int, message: str
) -> None:
    """Of the identity, image i of which has its largest value at i, so the last label is wrong."""
    network = tmp_path / "labelled.yaml"
    network.write_text(LABELLED)
    arrays = {"out.weight": 100 * np.eye(3, dtype=np.int8), "labels": labels}
    if images:
        arrays["input"] = np.eye(4, 3, dtype=np.int8) * 50 + np.eye(4, 3, -3, dtype=np.int8)
    np.savez(tmp_path / "labelled.npz", **arrays)
    outcome = cli("verify", network, "edge_ws", "--json", "-")
    assert outcome.status == (2 if message else 0)
    assert message in outcome.stderr
    if not message:
        assert json.loads(outcome.stdout)["accuracy"]["right"] == 3


@pytest.mark.slow
def test_the_example_learns(tmp_path: Path) -> None:
    """One epoch each; the shipped network took twelve."""
    pytest.importorskip("sklearn")
    command = [sys.executable, EXAMPLES / "digits.py", "--epochs", "1", "--ship", tmp_path]
    outcome = subprocess.run(command, capture_output=True, text=True, check=True)
    said = [line for line in outcome.stdout.splitlines() if "test accuracy" in line]
    shares = [float(line.partition("test accuracy ")[2].partition("%")[0]) for line in said]
    assert len(shares) == 2
    assert min(shares) > 50
    with (
        np.load(tmp_path / "digits.npz") as shipped,
        np.load(EXAMPLES.parent / "workloads/digits.npz") as known,
    ):
        assert set(shipped.files) == set(known.files)
        assert (shipped["input"] == known["input"]).all()

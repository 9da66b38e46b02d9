"""Training on the command line: what is printed, what is written, what is refused."""

import json
from pathlib import Path

import pytest

FLOATS = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
PHASES = ["forward", "loss", "input_gradient", "weight_gradient", "update"]


def test_train_tells_every_phase(cli) -> None:
    data = json.loads(cli("train", "lenet5", "edge_ws", "--batch", "4", "--json", "-").stdout)
    assert list(data["phases"]) == PHASES
    for key in ("macs", "layer_cycles", "dram_read_bytes", "dram_write_bytes"):
        parts = sum(part[key] for part in data["phases"].values())
        assert parts == data["totals"][key]
    assert {layer["phase"] for layer in data["layers"]} == set(PHASES)
    forward = json.loads(cli("run", "lenet5", "edge_ws", "--batch", "4", "--json", "-").stdout)
    assert "phases" not in forward
    macs = {name: part["macs"] for name, part in data["phases"].items()}
    assert macs["forward"] == macs["weight_gradient"] == forward["totals"]["macs"]


def test_optimizers_read_and_write_what_they_keep(cli, concat: Path) -> None:
    """Of 3,058 parameters: 2 + 1 arrays; twice that; 2 + 1, 2 + 1 and 3 + 1."""
    bytes_of = {}
    for optimizer in ("sgd", "momentum", "adam"):
        outcome = cli("train", concat, "edge_ws", "--optimizer", optimizer, "--json", "-")
        dram = json.loads(outcome.stdout)["phases"]["update"]
        bytes_of[optimizer] = (dram["dram_read_bytes"], dram["dram_write_bytes"])
    words = 4 * (4 + 1) + 4 * (4 * 9 + 1) + 10 * (2 * 4 * 36 + 1)
    assert bytes_of["sgd"][0] == 2 * words
    assert bytes_of["momentum"][0] == 4 * words
    assert bytes_of["adam"][0] == 7 * words


def test_verify_train_computes_the_step_and_refuses_integers(cli, concat: Path) -> None:
    outcome = cli("verify", concat, "edge_ws", "--train", "--layers", "--set", FLOATS)
    assert outcome.status == 0
    assert "right@weight_gradient" in outcome.stdout
    refused = cli("verify", concat, "edge_ws", "--train")
    assert refused.status == 2
    assert "float32" in refused.stderr


def test_memory_of_training_vgg16(cli) -> None:
    """Its ofmaps sum to 15,087,080 values, 58 MiB in float32; not the 24M that are often quoted."""
    outcome = cli("show", "vgg16", "--train", "--batch", "32", "--memory", "12 GiB", "--json", "-")
    data = json.loads(outcome.stdout)
    image, dropped, probabilities = 3 * 224 * 224, 2 * 4096, 1000
    values = 15_087_080 + image + probabilities
    assert 4 * (values - 1000) <= data["activation_bytes_per_image"] <= 4 * (values + dropped)
    assert data["parameter_bytes"] == data["gradient_bytes"] == 4 * 138_357_544
    assert data["optimizer_bytes"] == 0
    fixed, each = 8 * 138_357_544, data["activation_bytes_per_image"]
    assert data["total_bytes"] == fixed + 32 * each
    assert fixed + data["largest_batch"] * each <= 12 * 2**30
    assert fixed + (data["largest_batch"] + 1) * each > 12 * 2**30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "vgg16", "--train", "--memory", "lots"), "--memory"),
        (("train", "edge_ws", "vgg16"), "is hardware, but a network is expected"),
    ],
)
def test_what_is_refused(cli, arguments: tuple[str, ...], message: str) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert message in outcome.stderr

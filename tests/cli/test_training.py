"""Training on the command line: what is printed, what is written, what is refused."""

import json
from pathlib import Path

import numpy as np
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


def test_the_largest_batch_is_one_that_runs(cli, concat: Path) -> None:
    outcome = cli("show", concat, "--train", "--memory", "1 TB")
    assert "65,536 images, the most at a time" in outcome.stdout


def test_a_memory_of_not_one_image_is_told_what_one_needs(cli, concat: Path) -> None:
    """Two convolutions and 288 x 10 weights, with gradients; the image, what the last one reads."""
    needs = 4 * (2 * (20 + 148 + 2890) + 144 + 288)
    told = cli("show", concat, "--train", "--memory", "1 KiB").stdout
    assert f"not even one; one needs {needs / 1024:.1f} KiB" in " ".join(told.split())
    assert "0 images" not in told


def test_run_and_compare_train_as_train_does(cli, concat: Path) -> None:
    step = json.loads(cli("train", concat, "edge_ws", "--json", "-").stdout)
    same = json.loads(cli("run", concat, "edge_ws", "--train", "--json", "-").stdout)
    assert same["totals"] == step["totals"]
    assert same["phases"] == step["phases"]
    outcome = cli("compare", concat, "--hardware", "edge_ws", "--train", "--json", "-")
    compared = json.loads(outcome.stdout)
    own = compared["best"][0]["own_cycles"]
    phases = compared["best"][0]["phases"]
    assert list(phases) == PHASES
    for flow, cycles in own.items():
        assert sum(phase["own_cycles"][flow] for phase in phases.values()) == cycles
    for phase in phases.values():
        assert phase["own_cycles"][phase["dataflow"]] == min(phase["own_cycles"].values())


def test_train_tells_the_phase_of_each_layer_and_writes_a_page(
    cli, concat: Path, tmp_path: Path
) -> None:
    page, table = tmp_path / "step.html", tmp_path / "step.csv"
    energy = ("--set", "energy=horowitz_45nm")
    outcome = cli("train", concat, "edge_ws", *energy, "--columns", "only,phase", "--report", page)
    assert {line.split()[-1] for line in outcome.stdout.splitlines() if "@" in line} >= {
        "loss",
        "input_gradient",
        "weight_gradient",
        "update",
    }
    heads = next(line for line in outcome.stdout.splitlines() if line.startswith("phase "))
    assert heads.split()[-1] == "energy"
    of_phases = page.read_text().partition("Phases of the training step")[2]
    assert ">energy<" in of_phases.partition("</table>")[0]
    cli("train", concat, "edge_ws", "--csv", table)
    assert "phase" in table.read_text().splitlines()[0]


def test_train_writes_what_run_writes(cli, concat: Path, tmp_path: Path) -> None:
    names = {
        "--trace": "t.json",
        "--trace-dram": "d.csv",
        "--trace-sram": "s.csv",
        "--save-mapping": "m.yaml",
        "--json": "r.json",
    }
    ours, theirs = tmp_path / "train", tmp_path / "run"
    for folder, command in ((ours, ["train"]), (theirs, ["run", "--train"])):
        folder.mkdir()
        files = [part for key, name in names.items() for part in (key, folder / name)]
        assert cli(*command, concat, "edge_ws", *files).status == 0
    for name in names.values():
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    forced = tmp_path / "forced.json"
    cli("train", concat, "edge_ws", "--mapping", ours / "m.yaml", "--json", forced)
    lines = forced.read_text().splitlines()
    assert [line for line in lines if '"mapping": "' not in line] == (
        (ours / "r.json").read_text().splitlines()
    )
    told = cli("diff", ours / "r.json", forced).stdout
    assert "Nothing changed" in told
    assert "mapping" in told


def test_a_sweep_of_training_steps(cli, concat: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "steps.yaml"
    sweep.write_text(
        f"name: steps\nnetworks: [{concat}]\nbase: edge_ws\nmode: training\noptimizer: adam\n"
        "matrix: {batch: [1, 2]}\nobjectives: {images_per_second: max}\n"
    )
    results = tmp_path / "steps.sqlite"
    assert cli("sweep", sweep, "--results", results, "--jobs", "1").status == 0
    outcome = cli("results", results, "--json", "-")
    cycles = {row["batch"]: row["cycles"] for row in json.loads(outcome.stdout)["records"]}
    for batch in (1, 2):
        arguments = ("--batch", str(batch), "--optimizer", "adam", "--json", "-")
        step = json.loads(cli("train", concat, "edge_ws", *arguments).stdout)
        assert cycles[batch] == step["totals"]["cycles"]
    sweep.write_text(sweep.read_text().replace("mode: training\n", ""))
    refused = cli("sweep", sweep, "--results", results)
    assert refused.status == 2
    assert "mode: training" in refused.stderr


def test_googlenet_has_its_auxiliary_classifiers_for_training_only(cli) -> None:
    """Caffe's bvlc_googlenet has 13,378,280 parameters, 6,998,552 without these."""
    data = json.loads(cli("show", "googlenet", "--json", "-").stdout)
    assert data["totals"]["parameters"] == 6_998_552
    assert data["training"]["parameters"] == 13_378_280
    assert data["training"]["loss_weights"] == {"loss1/classifier": 0.3, "loss2/classifier": 0.3}
    memory = json.loads(cli("show", "googlenet", "--train", "--json", "-").stdout)
    assert memory["parameter_bytes"] == 4 * 13_378_280


HEADED = """
name: headed
input: {features: 6}
layers:
  a: {op: dense, out_features: 5}
  b: {op: dense, out_features: 3, loss_weight: 0.5}
  c: {op: dense, input: a, out_features: 3}
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", ""),
        ("5}", "5, loss_weight: 1}", "reads it"),
        ("input: a, out_features: 3", "input: a, out_features: 3, loss_weight: 1", "needs none"),
        ("0.5", "-1", "expected a number above 0"),
    ],
)
def test_outputs_of_training_only(cli, tmp_path: Path, old: str, new: str, message: str) -> None:
    network = tmp_path / "headed.yaml"
    network.write_text(HEADED.replace(old, new) if old else HEADED)
    outcome = cli("run", network, "edge_ws", "--json", "-")
    assert outcome.status == (2 if message else 0)
    assert message in outcome.stderr
    if not message:
        assert [layer["name"] for layer in json.loads(outcome.stdout)["layers"]] == ["a", "c"]


@pytest.mark.parametrize("command", ["run", "verify", "compare", "compute", "show"])
def test_every_command_has_the_options_of_a_step_and_refuses_them_without(
    cli, concat: Path, command: str
) -> None:
    hardware = {"compare": ("--hardware", "edge_ws"), "show": (), "compute": ()}
    asked = (command, concat, *hardware.get(command, ("edge_ws",)))
    step = ("--loss", "squared_error", "--optimizer", "momentum", "--recompute")
    formats = ("--set", FLOATS) if command == "verify" else ()
    assert cli(*asked, *step, *formats, "--train").status == 0
    refused = cli(*asked, *step, *formats)
    assert refused.status == 2
    for option in ("--loss", "--optimizer", "--recompute"):
        assert f"{option}: is of a step of training; give --train, too" in refused.stderr


def test_running_averages_are_known_and_not_needed(cli, tmp_path: Path) -> None:
    network = tmp_path / "bn.yaml"
    network.write_text(
        "name: bn\ninput: {channels: 2, height: 4, width: 4}\nweights: bn.npz\nlayers:\n"
        "  c: {op: conv, out_channels: 3, kernel: 3}\n  b: {op: batch_norm}\n"
        "  d: {op: dense, out_features: 2}\n"
    )
    shapes = {"c.weight": (3, 2, 3, 3), "c.bias": 3, "d.weight": (2, 12), "d.bias": 2}
    learned = {key: np.ones(shape, np.float32) for key, shape in shapes.items()}
    norm = {f"b.{key}": np.ones(3, np.float32) for key in ("gamma", "beta", "mean", "variance")}
    for held in (norm, {key: norm[key] for key in ("b.gamma", "b.beta")}):
        np.savez(tmp_path / "bn.npz", **learned, **held)
        assert cli("verify", network, "edge_ws", "--train", "--set", FLOATS).status == 0
    np.savez(tmp_path / "bn.npz", **learned, **norm, **{"b.means": norm["b.mean"]})
    assert "b.means" in cli("verify", network, "edge_ws", "--train", "--set", FLOATS).stderr


def test_a_step_by_run_is_that_by_train(cli, concat: Path) -> None:
    step = ("--loss", "squared_error", "--optimizer", "adam", "--batch", "2", "--json", "-")
    trained = cli("train", concat, "edge_ws", *step).stdout
    assert cli("run", concat, "edge_ws", "--train", *step).stdout == trained
    assert ".weight/square@update" in trained
    assert "loss/softmax" not in trained


def test_what_has_nothing_to_learn_is_refused(cli, tmp_path: Path) -> None:
    network = tmp_path / "pool.yaml"
    network.write_text(
        "name: pool\ninput: {channels: 1, height: 4, width: 4}\n"
        "layers:\n  pool: {op: max_pool, kernel: 2}\n"
    )
    outcome = cli("train", network, "edge_ws")
    assert (outcome.status, "has no parameters" in outcome.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "vgg16", "--train", "--memory", "lots"), "--memory"),
        (("show", "lenet5", "--memory", "1 GiB"), "--memory: is of a step of training"),
        (("show", "lenet5", "--batch", "2"), "--batch: is of a step of training"),
        (("train", "lenet5", "edge_ws", "--loss", "x"), "'--loss': 'x' is not one of"),
        (("train", "edge_ws", "vgg16"), "is hardware, but a network is expected"),
    ],
)
def test_what_is_refused(cli, arguments: tuple[str, ...], message: str) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert message in outcome.stderr


def test_what_is_not_kept_is_computed_again(cli) -> None:
    shown, plain = (
        json.loads(cli("show", "lenet5", "--train", *more, "--json", "-").stdout)
        for more in (["--recompute"], [])
    )
    assert shown["activation_bytes_per_image"] < plain["activation_bytes_per_image"]
    assert 0 < shown["recomputed_bytes_per_image"] < plain["activation_bytes_per_image"]
    assert "recomputed_bytes_per_image" not in plain
    told = cli("show", "lenet5", "--train", "--recompute").stdout
    assert "computed again, of the largest block" in told
    data = json.loads(cli("train", "lenet5", "edge_ws", "--recompute", "--json", "-").stdout)
    run = ("run", "lenet5", "edge_ws", "--train", "--recompute", "--json", "-")
    assert json.loads(cli(*run).stdout) == data
    assert list(data["phases"]) == [
        *("forward", "loss", "recompute", "input_gradient", "weight_gradient", "update")
    ]


def test_comparisons_and_sweeps_compute_again_too(cli, concat: Path, tmp_path: Path) -> None:
    step = json.loads(cli("train", concat, "edge_ws", "--recompute", "--json", "-").stdout)
    compare = ("compare", concat, "--hardware", "edge_ws", "--dataflows", "ws")
    asked = (*compare, "--train", "--recompute", "--json", "-")
    (compared,) = json.loads(cli(*asked).stdout)["runs"]
    assert (compared["totals"], compared["phases"]) == (step["totals"], step["phases"])
    sweep, results = tmp_path / "steps.yaml", tmp_path / "steps.sqlite"
    sweep.write_text(
        f"name: steps\nnetworks: [{concat}]\nbase: edge_ws\nmode: training\nrecompute: true\n"
        "matrix: {batch: [1]}\nobjectives: {images_per_second: max}\n"
    )
    assert cli("sweep", sweep, "--results", results, "--jobs", "1").status == 0
    (row,) = json.loads(cli("results", results, "--json", "-").stdout)["records"]
    assert row["cycles"] == step["totals"]["cycles"]
    refused = cli(*compare, "--recompute")
    assert (refused.status, "give --train, too" in refused.stderr) == (2, True)

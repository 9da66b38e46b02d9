"""What is beyond the limits is refused at once, in a short message with its place."""

import time
import tracemalloc
from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.frontend.hardware_file import load_hardware
from accelsim.frontend.onnx.file import LARGEST_MODEL
from accelsim.frontend.source import LARGEST_FILE, read_bytes, read_text
from accelsim.frontend.sweep_file import sweep_from
from accelsim.network.graph import GraphError, LayerSpec, build_network
from accelsim.network.ops import Relu
from accelsim.number_formats import format_bits
from accelsim.units import parse_quantity, parse_size

HEAD = "name: n\ninput: {channels: 3, height: 8, width: 8}\nlayers:\n"


def network(folder: Path, text: str) -> None:
    path = folder / "n.yaml"
    path.write_text(text, encoding="utf-8")
    load_network(path)


@pytest.mark.parametrize(
    "text", ["1e99999999 KiB", "1e-99999999 s", f"{'9' * 41} B", "\u0666\u0664 KiB", "1e9999 GB/s"]
)
def test_quantities_are_not_computed_before_they_are_bounded(text: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match="expected a number with a unit"):
        parse_quantity(text)
    assert time.process_time() - start < 1
    with pytest.raises(ValueError, match="is beyond what can be simulated"):
        parse_size("1e999 KiB")


@pytest.mark.parametrize("name", ["int\u0668", "int08", "int999", "int" + "9" * 5000])
def test_number_formats_are_plain_and_small(name: str) -> None:
    with pytest.raises(ValueError, match="unknown number format") as refused:
        format_bits(name)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{op: lrn, alpha: .nan}", "n.yaml:4:23: layers.a.alpha: expected a finite number"),
        ("{op: lrn, bias: 0.0}", "layers.a.bias: expected a number of at least 1e-06"),
        ("{op: batch_norm, epsilon: -5.0}", "epsilon: expected a number of at least 0.0"),
        ("{op: leaky_relu, slope: .inf}", "slope: expected a "),
        ("{op: leaky_relu, slope: 1.0e+9}", "slope: expected a number of at most 1000000.0"),
        ("{op: dropout, rate: true}", "rate: expected a number, found true"),
        ("{op: dropout, rate: '0.5'}", "rate: expected a number, found '0.5'"),
        ("{op: relu, " + "x" * 900 + ": 1}", "unknown key 'xxx"),
    ],
)
def test_numbers_of_layers(tmp_path: Path, layer: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        network(tmp_path, f"{HEAD}  a: {layer}\n")
    assert message in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("energy", ["true", "'2.5'", "1e-3", ".inf", "-1.0"])
def test_energies_are_numbers(tmp_path: Path, energy: str) -> None:
    from accelsim.frontend.builtin import builtin_path

    text = builtin_path("configs/energy", "horowitz_45nm").read_text(encoding="utf-8")
    assert "energy: 2.5" in text
    (tmp_path / "e.yaml").write_text(text.replace("energy: 2.5", f"energy: {energy}"))
    with pytest.raises(InputError, match=r"e.yaml:\d+:\d+: .*energy: expected a .*number"):
        load_hardware("edge_ws", [f"energy={tmp_path / 'e.yaml'}"])


def test_data_buses_of_a_dram_are_counted() -> None:
    load_hardware("edge_ws", ["dram.timing={standard: HBM2, channels: 64}"])
    with pytest.raises(InputError, match="channels x data_buses are at most 512, found "):
        load_hardware("edge_ws", ["dram.timing={standard: HBM2, channels: 4096}"])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("banks: 4096", "data_buses x bank_groups x banks are at most 256, found"),
        ("bank_groups: 4096", "data_buses x bank_groups x banks are at most 256, found"),
        ("nRC: 1000000", "nRC is at most 4,096 clocks, found 1,000,000"),
    ],
)
def test_replays_of_a_dram_stay_short(keys: str, told: str) -> None:
    """Each of these ran for over 100 s."""
    with pytest.raises(InputError, match=told):
        load_hardware("edge_ws", [f"dram.timing={{standard: DDR4-2400, {keys}}}"])


def blocks(levels: int, each: int) -> str:
    inner = ", ".join(f"x{at}: {{op: relu}}" for at in range(each))
    lines = [f"  b0: {{layers: {{{inner}}}}}"]
    for level in range(1, levels):
        inner = ", ".join(f"x{at}: {{op: b{level - 1}}}" for at in range(each))
        lines.append(f"  b{level}: {{layers: {{{inner}}}}}")
    return f"{HEAD}  a: {{op: b{levels - 1}}}\nblocks:\n" + "\n".join(lines) + "\n"


def test_blocks_unfold_to_a_limit(tmp_path: Path) -> None:
    network(tmp_path, blocks(3, 5))
    with pytest.raises(InputError, match=r"n.yaml:\d+:\d+: .*: this network has more than 20,000"):
        network(tmp_path, blocks(8, 10))
    with pytest.raises(InputError, match="blocks lie in blocks more than 50 deep"):
        network(tmp_path, blocks(60, 1))


def test_parameters_stand_for_so_many_values(tmp_path: Path) -> None:
    long = "[" + ",".join(["1"] * 5000) + "]"
    uses = "".join(f"  a{at}: {{op: b, p: {'*p ' if at else f'&p {long}'}}}\n" for at in range(40))
    body = "{x: {op: relu, z: $p}, y: {op: relu, z: $p}}"
    with pytest.raises(InputError, match="stand for more than 250,000 values"):
        network(tmp_path, f"{HEAD}{uses}blocks:\n  b: {{parameters: [p], layers: {body}}}\n")


def test_unknown_names_by_the_thousand_take_no_time() -> None:
    specs = [LayerSpec(f"layer_{at}", Relu(), (f"lajer_{at}",)) for at in range(2000)]
    start = time.process_time()
    with pytest.raises(GraphError) as refused:
        build_network("n", {"input": (3, 8, 8)}, specs)
    assert time.process_time() - start < 5
    assert len(refused.value.problems) == 2000
    assert "did you mean" in refused.value.problems[0][1]


def test_thousands_of_faults_are_told_in_short(tmp_path: Path) -> None:
    keys = ", ".join(f"k{at}: 1" for at in range(5000))
    with pytest.raises(InputError) as refused:
        network(tmp_path, f"{HEAD}  a: {{op: relu, {keys}}}\n")
    assert str(refused.value).count("\n") == 50


def test_a_model_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)
    tracemalloc.start()
    with pytest.raises(InputError, match=f"is larger than {LARGEST_MODEL:,} bytes"):
        read_bytes(path, LARGEST_MODEL)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20


def test_files_are_regular_and_not_too_large(tmp_path: Path) -> None:
    large = tmp_path / "large.yaml"
    with large.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match=f"is larger than {LARGEST_FILE:,} bytes"):
        read_text(large)
    for name, told in (("\0", "cannot be read: .*embedded null"), ("x" * 300, "name too long")):
        with pytest.raises(InputError, match=told):
            read_text(Path(name))
    with pytest.raises(InputError, match="is a device or a pipe, expected a file"):
        read_text(Path("/dev/zero"))


@pytest.mark.parametrize("bound", [True, "x", float("nan"), "1e99999999 B"])
def test_bounds_of_sweeps_are_numbers(bound: object) -> None:
    said = {"name": "s", "networks": ["lenet5"], "base": "edge_ws"}
    with pytest.raises(InputError, match=r"constraints\.pes\.max: expected"):
        sweep_from({**said, "constraints": {"pes": {"max": bound}}})

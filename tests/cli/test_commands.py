"""What each command prints and writes when its input is right."""

import csv
import io
import json
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from machines import SYSTOLIC

import accelsim
from accelsim.errors import InputError, Problem
from accelsim.facade import simulate
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.hardware_file import load_hardware
from accelsim.results import LayerCheck, VerifyResult


def rows(stdout: str) -> dict[str, list[str]]:
    """The cells of each line of a table by its first."""
    return {line.split()[0]: line.split()[1:] for line in stdout.splitlines() if line.split()}


def test_run_prints_what_json_says(cli) -> None:
    outcome = cli("run", "lenet5", "edge_ws", "--dataflow", "os")
    data = json.loads(cli("run", "lenet5", "edge_ws", "--dataflow", "os", "--json", "-").stdout)
    printed = rows(outcome.stdout)
    for layer in data["layers"]:
        assert f"{layer['cycles']:,}" in printed[layer["name"]]
        assert layer["bound"] == printed[layer["name"]][-1]
    assert f"{data['totals']['cycles']:,}" in printed["whole"]
    assert f"{data['totals']['cycles'] / 1000:.3f} us at 1 GHz" in outcome.stdout
    assert (outcome.status, outcome.stderr) == (0, "")


def test_run_json_is_the_result_of_simulate(cli, tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    cli("run", "lenet5", "edge_ws", "--dataflow", "is", "--batch", 2, "--json", path)
    result = simulate("lenet5", "edge_ws", "is", 2)
    assert json.loads(path.read_text()) == result.as_dict()


def test_run_again_gives_the_same_bytes(cli) -> None:
    once, again = (cli("run", "lenet5", "edge_ws", "--json", "-").stdout for _ in range(2))
    assert once == again


def test_settings_replace_the_file(cli) -> None:
    arguments = ("run", "lenet5", "edge_ws", "--json", "-", "--set", "array.dataflow=os")
    data = json.loads(cli(*arguments, "--set", "array.rows=16").stdout)
    wanted = load_hardware("edge_ws", ["array.dataflow=os", "array.rows=16"])
    settings = ["array.dataflow=os", "array.rows=16"]
    same = simulate("lenet5", wanted).as_dict()
    assert data == same | {"made_by": same["made_by"] | {"settings": settings}}


def test_free_layers_do_not_mislead(cli, concat: Path) -> None:
    outcome = cli("run", concat, "edge_ws")
    assert rows(outcome.stdout)["both"] == ["concat", "8x6x6", *"-" * 6, "none"]
    assert rows(outcome.stdout)["flat"] == ["flatten", "288", *"-" * 6, "none"]
    assert outcome.stdout.count("A concat whose inputs are written in place costs nothing.") == 1


def test_brackets_are_no_markup(cli, concat: Path) -> None:
    verified = ("verify", concat, "edge_ws", "--layers")
    for command in (("run", concat, "edge_ws"), ("show", concat), verified):
        outcome = cli(*command)
        assert outcome.stdout.startswith("[b]two[/b]"), command
        assert "[red]left[/red]" in outcome.stdout, command
    assert "[red]left[/red]" in cli("compare", concat, "--hardware", "edge_ws").stdout


def test_csv_has_a_row_per_layer_of_each_run(cli) -> None:
    outcome = cli("compare", "lenet5", "--hardware", "edge_ws", "--csv", "-")
    table = list(csv.DictReader(io.StringIO(outcome.stdout)))
    assert [row["dataflow"] for row in table] == [name for name in SYSTOLIC for _ in range(7)]
    result = simulate("lenet5", "edge_ws", "os")
    assert [int(row["cycles"]) for row in table[:7]] == [layer.cycles for layer in result.layers]
    assert table[0]["output_shape"] == "6x28x28"
    assert (table[0]["m"], table[1]["m"]) == ("784", "")


def test_compare_prints_all_blocks_and_a_summary(cli, concat: Path) -> None:
    outcome = cli("compare", "mlp", concat, "--hardware", "edge_ws", "scalesim_default")
    titles = [line for line in outcome.stdout.splitlines() if ", batch 1: " in line]
    assert [title.partition(",")[0] for title in titles] == [
        "mlp on edge_ws",
        "[b]two[/b] on edge_ws",
        "mlp on scalesim_default",
        "[b]two[/b] on scalesim_default",
    ]
    summary = outcome.stdout.partition("\nSummary\n")[2]
    assert summary.count("mlp ") == summary.count("[b]two[/b] ") == 2 * len(SYSTOLIC)


@pytest.mark.parametrize(
    "arguments",
    [
        ("lenet5", "--hardware", "edge_ws", "scalesim_default"),
        ("lenet5", "--hardware", "edge_ws", "--hardware", "scalesim_default"),
        ("--hardware", "edge_ws", "lenet5", "--hardware", "scalesim_default"),
        ("lenet5", "lenet5", "--hardware", "edge_ws", "scalesim_default", "edge_ws"),
    ],
)
def test_ways_to_name_several_hardware(cli, arguments: tuple[str, ...]) -> None:
    data = json.loads(cli("compare", *arguments, "--dataflows", "os", "--json", "-").stdout)
    assert [run["hardware"] for run in data["runs"]] == ["edge_ws", "scalesim_default"]
    assert [best["hardware"] for best in data["best"]] == ["edge_ws", "scalesim_default"]


def test_compare_json_names_the_best(cli) -> None:
    data = json.loads(cli("compare", "lenet5", "--hardware", "edge_ws", "--json", "-").stdout)
    runs, (best,) = data["runs"], data["best"]
    assert data["schema"] == 1
    assert [run["dataflow"] for run in runs] == list(SYSTOLIC)
    assert best["cycles"] == min(run["totals"]["cycles"] for run in runs)
    for index, layer in enumerate(best["layers"]):
        fewest = min(run["layers"][index]["cycles"] for run in runs)
        assert layer["own_cycles"] == fewest  # a chain waits for no other layer
    assert [layer["dataflow"] is None for layer in best["layers"]] == [
        run_layer["gemm"] is None for run_layer in runs[0]["layers"]
    ]


def test_verify_passes(cli) -> None:
    outcome = cli("verify", "lenet5", "edge_ws", "--seed", 3)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert "All 8,094 elements are equal." in outcome.stdout
    assert "seed 3" in outcome.stdout


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that computes one layer wrong."""
    layers = (
        LayerCheck("good", "conv", 100, 0, 0.0, 0),
        LayerCheck("bad", "conv", 200, 3, 7.0, 2),
    )
    formats = "int8 x int8 -> int32 -> int8"
    result = VerifyResult("lenet5", "edge_ws", "ws", 1, 0, formats, exact=True, layers=layers)
    monkeypatch.setattr(import_module("accelsim.facade"), "verify", lambda *_, **__: result)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("arguments", [("verify",), ("run", "--verify")])
def test_a_failed_check_is_status_1(cli, arguments: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "check.json"
    outcome = cli(*arguments, "lenet5", "edge_ws", "--json", path)
    assert outcome.status == 1
    assert "FAIL: 3 elements are not equal, in bad." in outcome.stdout
    assert rows(outcome.stdout)["bad"] == ["conv", "200", "3", "7", "2", *"----", "FAIL"]
    data = json.loads(path.read_text())
    assert data.get("verify", data)["passed"] is False


def test_a_time_of_other_tiles_is_status_1(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values are right, but not the tiles that are timed: the first wrong ones are told."""
    problem = "layer odd, array 0, task 3 (...): 7 operations are timed for 8"
    layers = (LayerCheck("odd", "conv", 100, 0, 0.0, 0, (problem,)),)
    result = VerifyResult("lenet5", "edge_ws", "ws", 1, 0, "int8", exact=True, layers=layers)
    monkeypatch.setattr(import_module("accelsim.facade"), "verify", lambda *_, **__: result)
    outcome = cli("verify", "lenet5", "edge_ws")
    assert outcome.status == 1
    assert "what is timed is not what is computed" in outcome.stdout
    assert problem in " ".join(outcome.stdout.split())


def test_show_network_counts_activations(cli) -> None:
    """Conv, pool and fc rows with the input: 15.2 M values, 58 MiB in fp32, not 93 MB."""
    data = json.loads(cli("show", "vgg16", "--json", "-").stdout)
    softmax = 1000
    assert data["totals"]["activation_values"] == 15_237_608 + softmax
    assert data["totals"]["parameters"] == 138_357_544
    printed = rows(cli("show", "vgg16").stdout)
    assert printed["activations"][:2] == ["15,238,608", "values:"]
    assert printed["as"] == ["float32", "58.1", "MiB"]


def test_show_network_lists_what_writes_nothing(cli, concat: Path) -> None:
    stdout = cli("show", concat).stdout
    assert "No values of their own are written by: concat, flatten." in stdout
    both = next(line for line in stdout.splitlines() if line.startswith("both"))
    assert "[red]left[/red], right" in both
    assert both.endswith("-")
    assert rows(stdout)["total"][-1] == f"{4 * 36 + 2 * 4 * 36 + 10:,}"  # input, two convs, out


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_shown_settings_are_a_hardware_file(cli, name: str, tmp_path: Path) -> None:
    data = json.loads(cli("show", name, "--json", "-").stdout)
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(data["settings"]))
    assert load_hardware(path) == load_hardware(name)


def test_show_hardware_derives(cli) -> None:
    """edge_ws: 1,024 PEs at 1 GHz; 16 GB/s is 16 B/cycle; 1,024 / 16 = 64 MACs per byte."""
    stdout = cli("show", "edge_ws").stdout
    assert "1.02 TMAC/s (2.05 TOPS)" in stdout
    assert "16.00 B/cycle, 16.00 GB/s" in stdout
    assert "64.0 MACs per byte" in stdout
    assert rows(stdout)["precision.psum_overflow"][0] == "wrap"
    assert "psum 8,192 or ofmap 32,768" in stdout


def test_show_by_content_of_a_path(cli) -> None:
    network = cli("show", builtin_path("workloads", "lenet5"))
    hardware = cli("show", builtin_path("configs", "edge_ws"))
    assert "OUTPUT" in network.stdout
    assert "array.rows" in hardware.stdout


def test_list_names_everything_built_in(cli) -> None:
    printed = rows(cli("list").stdout)
    assert set(builtin_names("workloads") + builtin_names("configs")) <= printed.keys()
    assert printed["vgg16"][:4] == ["15.47", "G", "138.36", "M"]
    assert printed["tpu_v1"][0] == "65,536"


def test_version(cli) -> None:
    assert cli("--version").stdout == f"accelsim {accelsim.__version__}\n"


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        *(("network", "workloads"), ("hardware", "configs")),
        *(("energy", "configs/energy"), ("dram", "configs/dram")),
    ],
)
def test_schema_accepts_what_is_built_in(cli, kind: str, folder: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(cli("schema", kind).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    if kind != "network":  # that and all workloads are in tests/frontend
        validator.check_schema(schema)
    for name in builtin_names(folder)[:2]:
        validator.validate(yaml.safe_load(builtin_path(folder, name).read_text()))
    assert not validator.is_valid({"name": "no more"})


def test_schema_accepts_what_a_run_saves(cli, tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(cli("schema", "mapping").stdout)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    cli("run", "lenet5", "edge_ws", "--save-mapping", str(tmp_path / "m.yaml"))
    saved = yaml.safe_load((tmp_path / "m.yaml").read_text())
    validator.validate(saved)
    validator.validate({"parts": [saved, {"images": 3, **saved}]})
    assert not validator.is_valid({**saved, "on_chip": {"C1": {"address": -1}}})


def test_compare_takes_every_dataflow_that_a_machine_can_run(cli) -> None:
    arguments = ("compare", "lenet5", "--hardware", "edge_ws", "eyeriss", "--json", "-")
    runs = json.loads(cli(*arguments).stdout)["runs"]
    flows = {
        name: [run["dataflow"] for run in runs if run["hardware"] == name]
        for name in arguments[3:5]
    }
    assert flows == {"edge_ws": ["os", "ws", "is"], "eyeriss": ["os", "ws", "is", "rs"]}


def test_compare_takes_rs_where_there_are_spads(cli) -> None:
    arguments = ("compare", "lenet5", "--dataflows", "ws,rs", "--json", "-", "--hardware")
    runs = json.loads(cli(*arguments, "eyeriss").stdout)["runs"]
    assert [run["dataflow"] for run in runs] == ["ws", "rs"]
    mappings = [[layer["mapping"] is not None for layer in run["layers"]] for run in runs]
    computes = [layer["gemm"] is not None for layer in runs[0]["layers"]]
    assert mappings == [[False] * len(computes), computes]
    refused = cli(*arguments, "edge_ws")
    assert (refused.status, refused.stdout) == (2, "")
    assert "add array.row_stationary (as configs/eyeriss.yaml does)" in refused.stderr


# --- Columns, energy and why ----------------------------------------------------------------------

TABLE = ("--set", "energy=horowitz_45nm")


def test_run_with_columns(cli) -> None:
    plain = rows(cli("run", "lenet5", "edge_ws").stdout.partition("\nTotals")[0])
    outcome = cli("run", "lenet5", "edge_ws", *TABLE, "--columns", "energy,fill_drain")
    table = rows(outcome.stdout.partition("\nTotals")[0])
    data = json.loads(cli("run", "lenet5", "edge_ws", *TABLE, "--json", "-").stdout)
    assert (outcome.status, outcome.stderr) == (0, "")
    for layer in data["layers"]:
        share = 100 * layer["buckets"]["fill_drain"] / layer["cycles"]
        printed = table[layer["name"]]
        assert float(printed[-1]) == pytest.approx(share, abs=0.1)
        assert printed[:-3] == plain[layer["name"]]  # then an energy with its unit, and a share
    assert "Where the energy went" in outcome.stdout


def test_the_energy_of_compare_is_that_of_run(cli) -> None:
    data = json.loads(
        cli("compare", "lenet5", "--hardware", "edge_ws", *TABLE, "--json", "-").stdout
    )
    for run in data["runs"]:
        alone = simulate(
            "lenet5", load_hardware("edge_ws", ["energy=horowitz_45nm"]), run["dataflow"]
        )
        assert alone.energy is not None
        assert run["totals"]["energy_pj"] == alone.energy.total
    csv_rows = list(
        csv.DictReader(io.StringIO(cli("run", "lenet5", "edge_ws", *TABLE, "--csv", "-").stdout))
    )
    assert float(csv_rows[0]["energy_pj"]) > float(csv_rows[0]["energy_dram_pj"]) > 0
    assert csv_rows[1]["energy_pj_per_mac"] == ""
    assert float(csv_rows[0]["energy_buffer_ifmap_sram_pj"]) > 0


def test_run_ends_with_why(cli, concat: Path, tmp_path: Path) -> None:
    plain, why = tmp_path / "plain.json", tmp_path / "why.json"
    cli("run", concat, "edge_ws", "--json", plain)
    without = cli("run", concat, "edge_ws")
    outcome = cli("run", concat, "edge_ws", "--why", "--json", why)
    sentence = accelsim.what_would_help(concat, "edge_ws").sentence
    assert outcome.stdout.startswith(f"{without.stdout}\n[b]two[/b] on edge_ws (ws): what each")
    assert outcome.stdout.endswith(f"\n\n{sentence}\n")
    changes = rows(outcome.stdout)
    assert changes["pipelining"][-1] == "KiB"  # the shadow registers that it costs
    assert json.loads(why.read_text())["why"]["sentence"] == sentence
    assert "why" not in json.loads(plain.read_text())


def test_compare_says_why_of_the_best_of_each(cli, concat: Path, tmp_path: Path) -> None:
    path = tmp_path / "why.json"
    asked = ("--hardware", "edge_ws", "scalesim_default", "--dataflows", "os,ws", "--why")
    printed = cli("compare", concat, *asked, "--json", path).stdout.splitlines()
    sentences = [line for line in printed if ") is bound by" in line]
    data = json.loads(path.read_text())
    assert sentences == [best["why"]["sentence"] for best in data["best"]]
    for best, sentence in zip(data["best"], sentences, strict=True):
        assert sentence.startswith(
            f"[b]two[/b] on {best['hardware']} ({best['dataflow']}) is bound by"
        )


@pytest.mark.parametrize("command", ["run", "compare"])
def test_help_names_every_column(cli, command: str) -> None:
    from accelsim.report.columns import GROUPS, ONLY, QUANTITIES

    words = cli(command, "--help").stdout.replace("│", " ").split()
    text = " ".join(words)
    for name in (*QUANTITIES, *GROUPS, ONLY):
        assert name in text, name


def test_list_names_the_energy_tables(cli) -> None:
    assert set(builtin_names("configs/energy")) <= rows(cli("list").stdout).keys()


def test_shown_energy_settings_are_a_hardware_file(cli, tmp_path: Path) -> None:
    chip = tmp_path / "chip.yaml"
    chip.write_text(builtin_path("configs", "edge_ws").read_text() + "energy: horowitz_45nm\n")
    again = tmp_path / "again.yaml"
    again.write_text(
        yaml.safe_dump(json.loads(cli("show", chip, "--json", "-").stdout)["settings"])
    )
    assert load_hardware(again) == load_hardware(chip)
    stdout = cli("show", chip).stdout
    assert "0.300 pJ" in stdout  # of a MAC: 0.2 + 0.1
    assert rows(stdout)["energy.multiply.integer.8"][0] == "0.2"
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(cli("schema", "hardware").stdout)
    for path in (chip, again):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("horowitz_45nm", "energy table"),
        ("DDR4-2400", "DRAM data sheet"),
        ("array_shape", "sweep"),
    ],
)
def test_show_takes_every_name_that_is_built_in(cli, name: str, kind: str) -> None:
    data = json.loads(cli("show", name, "--json", "-").stdout)
    assert (data["kind"], cli("show", name).stdout.splitlines()[0]) == (kind, f"{name}: {kind}")
    copied = yaml.safe_load(cli("show", name, "--yaml").stdout)
    assert json.loads(json.dumps(copied)) == data["settings"]  # whose keys are text


def test_convert_says_what_it_does_to_a_built_in_network(cli) -> None:
    outcome = cli("convert", "lenet5")
    assert "left out or changed: blocks, each layer stands by itself" in outcome.stderr


def test_problems_that_differ_only_by_their_keys_are_one_line() -> None:
    names = "abcd"
    few, many = ([Problem("is wrong", "f", key=key) for key in names[:count]] for count in (3, 4))
    assert str(InputError(few)).splitlines() == [f"f: {key}: is wrong" for key in "abc"]
    assert str(InputError(many)) == "f: 4 keys (a, b, c, ...): is wrong"
    told = [*many, Problem("is another", "f", key="e")]
    assert len(str(InputError(told)).splitlines()) == 2

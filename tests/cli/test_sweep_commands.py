"""results, diff, schema sweep and list: what they print of sweeps."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from accelsim.facade import simulate
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.sweep_file import load_sweep, sweep_from
from accelsim.report.sheet import rendered
from accelsim.report.sweep import dry_run_sheets
from accelsim.sweep.quantities import UNLIKE_BATCHES, UNLIKE_CLOCKS
from accelsim.sweep.records import NO_RESULT, Outcome, packed
from accelsim.sweep.space import resolve
from accelsim.sweep.store import Store

SAID = {
    "name": "small",
    "networks": ["lenet5", "mlp"],
    "base": "edge_ws",
    "matrix": {"array.rows": [8, 16], "dataflow": ["os", "ws"]},
    "objectives": {"cycles": "min", "pes": "min"},
    "constraints": {"utilization": {"max": 1}},
}


def stored(path: Path, **said: object) -> Path:
    """A results file in which the last point failed and the one before has not run."""
    sweep = resolve(sweep_from({**SAID, **said}))
    with Store.open(path, sweep) as store:
        for point in sweep.points[:-2]:
            run = simulate(point.network, point.hardware, batch=point.batch).as_dict()
            store.put(
                point,
                Outcome(
                    point.key, "done", run["totals"], packed(run["totals"], run["layers"]), 0.1
                ),
            )
        last = sweep.points[-1]
        store.put(
            last, Outcome(last.key, "failed", {}, NO_RESULT, 0.1, "[bold]no tile fits[/bold]")
        )
    return path


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("sweep") / "small.sqlite")


def test_results_prints_fronts_bests_and_failures(cli, results: Path) -> None:
    outcome = cli("results", results)
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = [line.split() for line in outcome.stdout.splitlines()]
    assert lines[:4] == [
        *[["small:", "8", "points"], ["done", "6"], ["failed", "1"]],
        ["not", "run", "yet", "1"],
    ]
    for network in ("lenet5", "mlp"):
        assert f"{network}: points; * Pareto front of cycles (min), pes (min)" in outcome.stdout
    assert "[bold]no tile fits[/bold]" in outcome.stdout


def test_results_say_where_objectives_do_not_compare_batches(cli, tmp_path: Path) -> None:
    matrix = {"array.rows": [8, 16], "batch": [1, 2]}
    for name, objectives in (("a", {"cycles": "min"}), ("b", {"cycles_per_image": "min"})):
        path = stored(tmp_path / name, networks=["mlp"], matrix=matrix, objectives=objectives)
        assert (UNLIKE_BATCHES[:40] in cli("results", path).stdout) == (name == "a")


def test_results_say_where_objectives_do_not_compare_clocks(cli, tmp_path: Path) -> None:
    matrix = {"clock": ["200 MHz", "1 GHz"]}
    for name, objectives in (("a", {"cycles": "min"}), ("b", {"seconds": "min"})):
        path = stored(tmp_path / name, matrix=matrix, objectives=objectives)
        assert (UNLIKE_CLOCKS[:40] in cli("results", path).stdout) == (name == "a")


def test_a_dry_run_gives_hints(cli, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps({**SAID, "exclude": [{"array.rows": 9}]}))
    said = cli("sweep", path, "--dry-run").stderr
    assert said.startswith(f"hint: {path}:1:")
    assert said.endswith(": exclude[0]: leaves out no point that is left\n")
    assert cli("sweep", path, "--dry-run", "--quiet").stderr == ""


def test_results_name_what_varies_in_the_sweep_for_every_network(cli, results: Path) -> None:
    """Of mlp's points only those with 8 rows were simulated."""
    printed = cli("results", results).stdout
    table = printed.partition("mlp: points;")[2].splitlines()
    assert table[1].split()[:3] == ["*", "rows", "dataflow"]
    assert table[0].endswith("; keys begin with array.")
    marked = [line.split() for line in table[3:5]]
    assert [[each for each in line if each != "*"][:2] for line in marked] == [
        ["8", "os"],
        ["8", "ws"],
    ]
    best = printed.partition("mlp: best per objective")[2].splitlines()
    assert re.search(r"min cycles +[\d,]+  array.rows=8, array.dataflow=[ow]s$", best[3])


def test_failures_that_differ_in_numbers_are_told_once(cli, tmp_path: Path) -> None:
    sweep = resolve(sweep_from({**SAID, "matrix": {"array.rows": [8, 16, 32]}}))
    with Store.open(tmp_path / "a", sweep) as store:
        for point in sweep.points:
            rows = point.hardware.array.rows
            error = f"{point.network}: layer a1: needs {rows} of {rows:,}.\n{'b ' * 60}end"
            store.put(point, Outcome(point.key, "failed", {}, NO_RESULT, 0.1, error))
    printed = cli("results", tmp_path / "a").stdout.partition("Failed: 6 points\n")[2]
    assert printed.splitlines()[:8] == [
        line
        for network in ("lenet5", "mlp")
        for line in (
            f"3 alike, the first network={network}, array.rows=8:",
            f"{network}: layer a1: needs 8 of 8.",
            ("b " * 50).rstrip(),
            "b " * 10 + "end",
        )
    ]


def test_results_json_and_csv(cli, results: Path) -> None:
    data = json.loads(cli("results", results, "--json", "-").stdout)
    rows = list(csv.DictReader(io.StringIO(cli("results", results, "--csv", "-").stdout)))
    assert (data["points"], data["done"], data["failed"], data["waiting"]) == (8, 6, 1, 1)
    assert len(rows) == len(data["records"]) == 7
    assert list(rows[0]) == list(data["records"][0])
    by_key = {record["key"]: record for record in data["records"]}
    lenet = [each for each in data["records"] if each["network"] == "lenet5"]
    fastest = by_key[data["best"]["lenet5"]["cycles"]]
    assert fastest["cycles"] == min(record["cycles"] for record in lenet)
    assert fastest["key"] in data["front"]["lenet5"]
    assert {by_key[key]["network"] for key in data["front"]["mlp"]} == {"mlp"}


def test_results_by_layer_are_the_rows_of_run(cli, results: Path) -> None:
    rows = list(
        csv.DictReader(io.StringIO(cli("results", results, "--csv", "-", "--by-layer").stdout))
    )
    run = ("run", "mlp", "edge_ws", "--dataflow", "ws", "--set", "array.rows=8", "--csv", "-")
    expected = list(csv.DictReader(io.StringIO(cli(*run).stdout)))
    found = [
        row
        for row in rows
        if (row["network"], row["array.rows"], row["array.dataflow"]) == ("mlp", "8", "ws")
    ]
    assert [row["layer"] for row in found] == [row["layer"] for row in expected]
    for row, layer in zip(found, expected, strict=True):
        assert {name: row[name] for name in list(layer)[5:]} == dict(list(layer.items())[5:])
    assert {row["network"] for row in rows} == {"lenet5", "mlp"}
    refused = cli("results", results, "--by-layer")
    assert (refused.status, refused.stdout) == (2, "")
    assert "--by-layer: is for --csv" in refused.stderr


def test_diff_of_sweeps_matches_points_by_what_they_are_called(
    cli, results: Path, tmp_path: Path
) -> None:
    assert "Nothing changed: all 7 points" in cli("diff", results, results).stdout
    faster = builtin_path("configs", "edge_ws").read_text().replace("16 GB/s", "32 GB/s")
    (tmp_path / "faster.yaml").write_text(faster)
    other = stored(
        tmp_path / "other.sqlite",
        base=str(tmp_path / "faster.yaml"),
        matrix={"array.rows": [8, 16, 64], "dataflow": ["os", "ws"]},
    )
    data = json.loads(cli("diff", results, other, "--json", "-").stdout)
    assert (data["kind"], data["same"], data["compared"]) == ("sweep", False, 7)
    one, two = (
        simulate("lenet5", resolve(sweep_from({**SAID, "base": base})).points[0].hardware)
        for base in ("edge_ws", str(tmp_path / "faster.yaml"))
    )
    name = "network=lenet5, array.rows=8, array.dataflow=os"
    changes = {each["quantity"]: each for each in data["changes"] if each["name"] == name}
    assert (changes["cycles"]["before"], changes["cycles"]["after"]) == (one.cycles, two.cycles)
    assert changes["cycles"]["relative"] == pytest.approx(two.cycles / one.cycles - 1)
    assert "pes" not in changes
    last = "network=mlp, array.rows=16, array.dataflow=ws"
    assert data["status"] == {last: "failed before, done after"}
    assert "network=lenet5, array.rows=64, array.dataflow=os" in data["only_after"]


def test_diff_of_runs(cli, tmp_path: Path) -> None:
    for flow in ("os", "ws"):
        cli("run", "lenet5", "edge_ws", "--dataflow", flow, "--json", tmp_path / f"{flow}.json")
    paths = tmp_path / "os.json", tmp_path / "ws.json"
    outcome = cli("diff", *paths)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert ["dataflow", "os", "->", "ws"] in [line.split() for line in outcome.stdout.splitlines()]
    rows = list(csv.DictReader(io.StringIO(cli("diff", *paths, "--csv", "-").stdout)))
    found = {(row["name"], row["quantity"]): row for row in rows}
    one, other = (simulate("lenet5", "edge_ws", flow) for flow in ("os", "ws"))
    assert int(found["whole run", "cycles"]["after"]) == other.cycles
    for name in ("C1", "C3", "C5"):
        assert int(found[name, "cycles"]["before"]) == one.layer(name).cycles
    assert "Nothing changed: all 8 layers" in cli("diff", paths[0], paths[0]).stdout


@pytest.fixture
def grown(cli, tmp_path: Path) -> tuple[Path, Path]:
    """Two runs: with half the rows, and a slower DRAM, the second."""
    paths = tmp_path / "a.json", tmp_path / "b.json"
    cli("run", "mlp", "edge_ws", "--json", paths[0])
    slower = ("--set", "array.rows=16", "--set", "dram.bandwidth=8 GB/s")
    cli("run", "mlp", "edge_ws", *slower, "--json", paths[1])
    return paths


def test_diff_tells_the_settings_that_differ_before_the_numbers(cli, grown) -> None:
    text = cli("diff", *grown).stdout
    told = text.partition("Settings that differ")[2].partition("What changed")
    assert [line.split() for line in told[0].splitlines()[3:5]] == [
        ["array.rows", "32", "16"],
        ["dram.bandwidth", "16", "GB/s", "8", "GB/s"],
    ]
    assert told[2]
    settings = json.loads(cli("diff", *grown, "--json", "-").stdout)["settings"]
    assert settings[0] == {"key": "array.rows", "before": "32", "after": "16"}
    assert "Settings that differ" not in cli("diff", grown[0], grown[0]).stdout


def test_diff_of_results_that_do_not_say_their_settings(cli, grown) -> None:
    for path in grown:
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"made_by": None}))
    assert "Settings that differ" not in cli("diff", *grown).stdout


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (("cycles=1%",), 1),
        (("cycles=1000%",), 0),
        (("macs=0%",), 0),
        (("cycles=1000%", "dram_cycles=0.5%"), 1),
    ],
)
def test_diff_fails_above_a_limit(cli, grown, limits: tuple[str, ...], status: int) -> None:
    options = [part for limit in limits for part in ("--fail-above", limit)]
    outcome = cli("diff", *grown, *options)
    assert outcome.status == status
    assert outcome.stderr.count("is allowed") == status
    assert cli("diff", grown[0], grown[0], *options).status == 0


@pytest.mark.parametrize("limit", ["cycles", "cycles=1", "cycles=-1%", "cicles=1%", "=1%"])
def test_diff_refuses_what_is_no_limit(cli, grown, limit: str) -> None:
    outcome = cli("diff", *grown, "--fail-above", limit)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "--fail-above" in outcome.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is neither a results file nor JSON"),
        ("[]", "is not what `accelsim run --json` writes"),
        ('{"schema": 1, "runs": []}', "is not what `accelsim run --json` writes"),
        (
            '{"schema": 9, "totals": {}, "layers": [], "network": "x", "batch": 1}',
            "has schema 9; this version of accelsim reads 1",
        ),
    ],
)
def test_diff_of_what_does_not_compare(
    cli, results: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    for arguments, expected in (
        ((path, path), message),
        ((path, results), "one is a sweep's results file and the other is not"),
        ((path, tmp_path / "none"), "no such file"),
    ):
        outcome = cli("diff", *arguments)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert expected in outcome.stderr


def test_results_of_what_is_none(cli, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("name: x")
    for path, message in (("x.yaml", "is not a results file"), ("y", "no such file")):
        outcome = cli("results", tmp_path / path)
        assert (outcome.status, outcome.stdout) == (2, "")
        assert message in outcome.stderr


def test_the_schema_takes_the_shipped_sweeps(cli) -> None:
    from jsonschema import Draft202012Validator
    from yaml import safe_load

    schema = json.loads(cli("schema", "sweep").stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    for name in builtin_names("configs/sweeps"):
        data = safe_load(builtin_path("configs/sweeps", name).read_text())
        assert not list(validator.iter_errors(data))
        assert list(validator.iter_errors(data | {"matrix": {"array.rows": {"pow2": [1]}}}))
        assert list(validator.iter_errors(data | {"objective": {}}))


def test_list_names_the_sweeps(cli) -> None:
    printed = cli("list").stdout
    assert all(name in printed for name in builtin_names("configs/sweeps"))


def test_a_dry_run_of_a_search_says_nothing_of_points_that_are_not_known_yet() -> None:
    said = SAID | {"search": {"method": "random", "trials": 4}}
    text = rendered(dry_run_sheets(resolve(sweep_from(said | {"include": []}))))
    assert re.match(r"small: 4 trials of \d+ combinations\n", text)
    assert "share" not in text
    assert "in order" not in text
    text = rendered(dry_run_sheets(resolve(sweep_from(said | {"include": [{"array.rows": 5}]}))))
    assert re.match(r"small: 4 trials of \d+ combinations and 2 points\n", text)
    assert "The points beside the trials, in order" in text


def test_a_dry_run_says_what_points_share() -> None:
    sweep = resolve(load_sweep("buffer_vs_bandwidth"))
    text = rendered(dry_run_sheets(sweep))
    pairs = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    facts = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    assert facts["combinations of the matrix"] == "35"
    assert facts["left out by constraints on hardware"] == "5"
    assert facts["to simulate"] == facts["different hardware"] == "30"
    assert facts["of which different in `dram`"] == "5"
    assert facts["layers of all points"] == f"{30 * len(sweep.networks['alexnet'].layers)}"

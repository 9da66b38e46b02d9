"""Points of a sweep: which there are, that each is what `--set` gives, and what identifies it."""

from itertools import product
from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend.builtin import builtin_names
from accelsim.frontend.hardware_file import load_hardware
from accelsim.frontend.sweep_file import load_sweep, sweep_from
from accelsim.hardware import Hardware
from accelsim.sweep.quantities import UNLIKE_BATCHES, UNLIKE_CLOCKS
from accelsim.sweep.space import Sweep, resolve, resolve_file


def sweep_of(**said: object) -> Sweep:
    return resolve(sweep_from({"name": "s", "networks": ["lenet5"], "base": "edge_ws", **said}))


def faults(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        resolve(load_sweep(path))
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


def faults_of_file(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        resolve_file(path)
    return [str(problem).removeprefix(f"{path}:") for problem in caught.value.problems]


# --- Which points there are -----------------------------------------------------------------------


def test_every_combination_the_last_key_fastest() -> None:
    sweep = sweep_of(
        networks=["lenet5", "alexnet"],
        matrix={"array.rows": [8, 16], "dataflow": ["os", "ws", "is"], "batch": [1, 4]},
    )
    found = [
        (p.network, p.hardware.array.rows, p.hardware.array.dataflow, p.batch) for p in sweep.points
    ]
    assert found == list(product(["lenet5", "alexnet"], [8, 16], ["os", "ws", "is"], [1, 4]))
    assert sweep.points[1].parameters == {
        "network": "lenet5",
        "array.rows": 8,
        "array.dataflow": "os",
        "batch": 4,
    }


def test_points_are_what_set_gives() -> None:
    """Each part is validated once and shared; the hardware must be that of a fresh load."""
    sweep = sweep_of(
        matrix={
            "array": [{"rows": 8, "cols": 128}, {"rows": 64, "fold_overlap": "pipelined"}],
            "buffers.ifmap_sram.size": {"pow2": ["32 KiB", "128 KiB"]},
            "dram": [
                {"bandwidth": "8 GB/s"},
                {"timing": "DDR4-2400"},
            ],
            "energy": [None, "horowitz_45nm", "eyeriss_65nm"],
            "hardware": [{}, {"clock": "500 MHz", "vector_unit": {"lanes": 8}}],
        }
    )
    assert len(sweep.points) == 2 * 3 * 2 * 3 * 2
    choices = [axis.choices for axis in sweep.axes]
    for point, choice in zip(sweep.points, product(*choices), strict=True):
        settings = [
            f"{each.key}={'null' if each.value is None else each.value}"
            for chosen in choice
            for each in chosen
            if each.key != "network"
        ]
        assert point.hardware == load_hardware("edge_ws", settings)


@pytest.mark.parametrize("base", ["edge_ws", "tpu_v1"])
@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        (
            {"dram.timing": ["DDR4-2400", {"standard": "HBM2", "channels": 2}]},
            [
                {"dram.timing": each}
                for each in ("DDR4-2400", '{"standard": "HBM2", "channels": 2}')
            ],
        ),
        (
            {"dram": [{"timing": "HBM2"}, {"bandwidth": "8 GB/s"}]},
            [
                {"dram.timing": "HBM2", "dram.bandwidth": None},
                {"dram.timing": None, "dram.bandwidth": "8 GB/s"},
            ],
        ),
    ],
)
def test_a_dram_is_a_standard_or_a_plain_rate(base: str, matrix: dict, shown: list) -> None:
    sweep = sweep_of(base=base, matrix=matrix)
    assert [
        {key: value for key, value in point.parameters.items() if key != "network"}
        for point in sweep.points
    ] == shown
    for point, choice in zip(sweep.points, sweep.axes[1].choices, strict=True):
        settings = [f"{each.key}={each.shown}" for each in choice]
        assert point.hardware == load_hardware(base, settings)


def test_what_a_point_has_no_more_is_not_excluded() -> None:
    matrix = {"dram": [{"timing": "HBM2"}, {}, {"bandwidth": "8 GB/s"}]}
    sweep = sweep_of(matrix=matrix, exclude=[{"dram.bandwidth": "16 GB/s"}])
    assert [point.parameters["dram.timing"] for point in sweep.points] == ["HBM2", None]


def test_keys_of_a_standard_that_the_base_merely_names(tmp_path: Path) -> None:
    text = Path(__file__).parents[2].joinpath("configs/edge_ws.yaml").read_text()
    named = text.replace("bandwidth: 16 GB/s, latency: 100 ns, burst: 64 B", "timing: HBM2")
    (tmp_path / "named.yaml").write_text(named)
    sweep = sweep_of(base=str(tmp_path / "named.yaml"), matrix={"dram.timing.channels": [1, 4]})
    timings = [point.hardware.dram.timing for point in sweep.points]
    assert [(each.standard, each.channels) for each in timings if each] == [
        ("HBM2", 1),
        ("HBM2", 4),
    ]


def test_points_share_what_they_do_not_vary() -> None:
    """Else a point of a large sweep would be as large as a hardware."""
    first, *others = sweep_of(matrix={"array.rows": [8, 16], "array.cols": [8, 16]}).points
    for point in others:
        assert point.hardware.dram is first.hardware.dram
        assert point.hardware.buffers is first.hardware.buffers


def test_checking_many_parts_is_told_now_and_then() -> None:
    """2,250 arrays and a network."""
    told: list[tuple[int, int]] = []
    data = {"name": "s", "networks": ["lenet5"], "base": "edge_ws"}
    matrix = {"array.rows": {"range": [1, 50, 1]}, "array.cols": {"range": [1, 45, 1]}}
    resolve(sweep_from({**data, "matrix": matrix}), lambda *how_far: told.append(how_far))
    assert told == [(1000, 2251), (2000, 2251)]


def test_exclude_takes_values_in_any_form_and_any_of_a_list() -> None:
    matrix = {"array.rows": [8, 16, 32], "buffers.ifmap_sram.size": ["64 KiB", "128 KiB"]}
    exclude = [
        {"array.rows": [8, 16], "buffers.ifmap_sram.size": "65536 B"},
        {"array.rows": 32, "array.cols": 32, "network": "lenet5"},
        {"array.rows": 16, "array.cols": 64},  # the base has 32 columns
    ]
    sweep = sweep_of(matrix=matrix, exclude=exclude)
    left = [(p.hardware.array.rows, p.hardware.buffers["ifmap_sram"].size) for p in sweep.points]
    assert left == [(8, 2**17), (16, 2**17)]
    assert sweep.census.excluded == (2, 2, 0)


def test_include_adds_the_base_with_other_values_for_every_network() -> None:
    sweep = sweep_of(
        networks=["lenet5", "alexnet"],
        matrix={"array.rows": [8]},
        include=[{"array.cols": 64}, {"array": {"rows": 8}, "network": "vgg16", "batch": 2}],
    )
    found = [
        (p.network, p.hardware.array.rows, p.hardware.array.cols, p.batch) for p in sweep.points
    ]
    assert found == [
        *[("lenet5", 8, 32, 1), ("alexnet", 8, 32, 1)],
        *[("lenet5", 32, 64, 1), ("alexnet", 32, 64, 1), ("vgg16", 8, 32, 2)],
    ]
    keys = ["network", "array.rows", "array.cols", "batch"]
    assert [list(point.parameters) for point in sweep.points] == [keys] * 5


def test_repeats_are_left_out() -> None:
    sweep = sweep_of(matrix={"array.rows": [8, 16, 8]}, include=[{"array.rows": 16}])
    assert [point.hardware.array.rows for point in sweep.points] == [8, 16]
    assert sweep.census.repeated == 2


def test_constraints_on_hardware_leave_points_out_before_they_run() -> None:
    sizes = {"pow2": ["64 KiB", "256 KiB"]}
    sweep = sweep_of(
        matrix={"array.count": [1, 2], "buffers.ifmap_sram.size": sizes},
        constraints={"buffer_bytes": {"max": "512 KiB"}, "utilization": {"min": 0.9}},
    )
    totals = [
        point.hardware.array.count * sum(each.size for each in point.hardware.buffers.values())
        for point in sweep.points
    ]
    assert totals == [192 * 1024, 256 * 1024, 384 * 1024, 384 * 1024, 512 * 1024]
    assert sweep.census.infeasible == 1


def test_a_sampled_sweep_gives_the_point_of_a_choice() -> None:
    said = {
        "matrix": {"array.rows": {"range": [1, 200, 1]}, "array.cols": {"range": [1, 200, 1]}},
        "exclude": [{"array.rows": 3}],
        "include": [{"array.rows": 7}],
        "constraints": {"pes": {"max": 10_000}},
        "search": {"method": "random", "trials": 5},
        "max_points": 100,
    }
    sweep = sweep_of(**said)
    assert [axis.key for axis in sweep.axes] == ["network", "array.rows", "array.cols"]
    assert [point.hardware.array.rows for point in sweep.points] == [7]
    point = sweep.point((0, 6, 9))
    assert point
    assert (point.hardware.array.rows, point.hardware.array.cols) == (7, 10)
    assert sweep.point((0, 2, 9)) is None  # excluded
    assert sweep.point((0, 199, 199)) is None  # more PEs than allowed
    with pytest.raises(InputError, match="40,000 combinations are more than max_points, 100;"):
        sweep_of(**{key: value for key, value in said.items() if key != "search"})


# --- What identifies a point ----------------------------------------------------------------------


def key_of(**said: object) -> str:
    (point,) = sweep_of(**said).points
    return point.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"buffers.ifmap_sram.size": ["64 KiB"]}, {"buffers.ifmap_sram.size": ["65536 B"]}),
        ({"array.rows": [32]}, {}),
        ({"array.fold_overlap": ["serial"]}, {}),
        ({"clock": ["1000 MHz"]}, {"batch": [1]}),
        ({"array": [{"rows": 8, "cols": 4}]}, {"array.cols": [4], "array.rows": [8]}),
        ({"energy": [None]}, {}),
    ],
)
def test_equal_content_has_an_equal_key(one: dict, other: dict) -> None:
    assert key_of(matrix=one) == key_of(matrix=other)


def test_different_content_has_a_different_key() -> None:
    matrices = [
        *[{}, {"batch": [2]}, {"array.rows": [16]}, {"dataflow": ["os"]}, {"clock": ["2 GHz"]}],
        *[{"residency": ["off"]}, {"energy": ["horowitz_45nm"]}, {"energy": ["eyeriss_65nm"]}],
        *[{"dram.latency": ["0 cycles"]}, {"array.rows": [1], "array.cols": [1]}],
    ]
    keys = [key_of(matrix=matrix) for matrix in matrices] + [key_of(networks=["alexnet"])]
    assert len(set(keys)) == len(keys)


def test_a_copy_under_another_name_has_the_same_key(tmp_path: Path) -> None:
    """The content counts, not file names, names or comments."""
    hardware = Path("configs/edge_ws.yaml")
    root = Path(__file__).parents[2]
    text = (root / hardware).read_text().replace("name: edge_ws", "name: mine")
    (tmp_path / "mine.yaml").write_text(text)
    network = (root / "workloads/lenet5.yaml").read_text()
    (tmp_path / "net.yaml").write_text(network.replace("name: lenet5", "name: other"))
    (tmp_path / "s.yaml").write_text("name: s\nnetworks: [net.yaml]\nbase: mine.yaml\n")
    sweep = resolve(load_sweep(tmp_path / "s.yaml"))
    assert [point.key for point in sweep.points] == [key_of()]
    assert list(sweep.networks) == [sweep.points[0].network] == [str(tmp_path / "net.yaml")]
    assert sweep.points[0].parameters["network"] == "net.yaml"


def test_every_key_of_the_schema_is_in_the_key() -> None:
    """Nothing but names and descriptions may be left out of a hardware's content."""
    from accelsim.sweep.content import LABELS, hardware_text

    full = load_hardware(
        "tpu_v1",
        [
            *("energy=horowitz_45nm", "precision.psum=int24", "residency=off", "tile_loads=all"),
            *("depthwise=best", "batch_split=2", "fused=[add]"),
        ],
    )
    parts = {line.partition(" ")[0] for line in hardware_text(full).split("\n")}
    assert parts == set(Hardware.model_fields) - set(LABELS)


# --- Mistakes -------------------------------------------------------------------------------------


def test_mistakes_of_points_where_they_are_written(tmp_path: Path) -> None:
    text = """\
name: bad
networks: [lenet5]
base: edge_ws
matrix:
  array.rows: [4, x]
  dataflow: [os, rs]
  batch: [1, 2]
  dram.bursts: [3]
  vector_unit: [{lanes: 3, lane: 4}]
"""
    found = faults(tmp_path, text)
    assert [line.partition(" (in")[0] for line in found] == [
        "5:19: matrix.array.rows[1]: expected a whole number, found 'x'",
        "6:18: matrix.dataflow[1]: array: dataflow rs needs the spads and networks of the PEs: add "
        "array.row_stationary (as configs/eyeriss.yaml does), or choose os, ws or is",
        "8:16: matrix.dram.bursts[0]: unknown key 'bursts'; did you mean 'burst'?",
        "9:28: matrix.vector_unit[0].lane: unknown key 'lane'; did you mean 'lanes'?",
    ]


def test_mistakes_of_the_file_all_at_once(tmp_path: Path) -> None:
    text = """\
name: bad
networks: [lenet6, none.yaml]
base: edge_wz
matrix:
  array: [{rows: 8}]
  array.rows: [4]
  name: [a]
  hardware: [3]
  batch: [0, a]
  energy: [joules]
objectives: {cyclez: min}
"""
    found = faults(tmp_path, text)
    expected = [
        "2:12: networks[0]: unknown network 'lenet6'; did you mean 'lenet5'?",
        f"2:20: networks[1]: {tmp_path / 'none.yaml'}: no such file",
        "3:7: base: unknown hardware 'edge_wz'; did you mean 'edge_ws'?",
        "6:3: matrix.array.rows: array.rows is set by matrix.array, too; keep one of them",
        "7:",
        "8:14: matrix.hardware[0]: expected a mapping of hardware keys",
        "9:11: matrix.batch[0]: expected a whole number of images, 1 to 65,536, found 0",
        "9:14: matrix.batch[1]: expected a whole number of images, 1 to 65,536, found 'a'",
        "11:14: objectives.cyclez: unknown quantity 'cyclez'; did you mean 'cycles'?",
    ]
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("bacth", "unknown key 'bacth'; did you mean 'batch'?"),
        ("networks", "unknown key 'networks'; did you mean 'network'?"),
        ("colour", "unknown key 'colour'; use one of array, batch, batch_split, buffers, clock"),
        ("array.dataflow", "array.dataflow is set by matrix.dataflow, too; keep one of them"),
        ("hardware", "network is set by networks, too; keep one of them"),
    ],
)
def test_a_mistaken_key_of_the_matrix(tmp_path: Path, key: str, message: str) -> None:
    text = f"""\
name: bad
networks: [lenet5]
base: edge_ws
matrix:
  dataflow: [os]
  {key}: [{"{network: alexnet}" if key == "hardware" else "ws"}]
"""
    (found,) = faults(tmp_path, text)
    assert found.startswith(f"6:3: matrix.{key}: {message}")


def test_each_included_point_needs_an_energy_table_too(tmp_path: Path) -> None:
    text = """\
name: bad
networks: [lenet5, alexnet]
base: edge_ws
matrix:
  energy: [horowitz_45nm]
include:
  - {array.rows: 7, energy: eyeriss_65nm}
  - {array.rows: 8, array.cols: 9}
objectives: {cycles: min, energy_pj: min}
"""
    message = "objectives.energy_pj needs an energy table; add `energy: horowitz_45nm`"
    assert faults(tmp_path, text) == [f"8:5: include[1]: {message}"]
    matrix_has_none = text.replace("  energy: [horowitz_45nm]\n", "  clock: [1 GHz]\n")
    assert [line[:4] for line in faults(tmp_path, matrix_has_none)] == ["8:5:", "9:27"]


@pytest.mark.parametrize(
    ("rows", "place", "counts"),
    [
        ("[8, 16, 32]", "7:1: constraints", "leaves out 1, constraints on hardware 2"),
        ("[8, 8, 16]", "6:1: exclude", "leaves out 2, constraints on hardware 1"),
    ],
)
def test_what_leaves_no_point(tmp_path: Path, rows: str, place: str, counts: str) -> None:
    text = f"""\
name: bad
networks: [lenet5]
base: edge_ws
matrix:
  array.rows: {rows}
exclude: [{{array.rows: 8}}]
constraints: {{pes: {{max: 3}}}}
"""
    message = f"{place}: no point is left: `exclude` {counts}; loosen them"
    assert faults(tmp_path, text) == [message]


def test_hints_of_what_is_seldom_meant(tmp_path: Path) -> None:
    text = """\
name: s
networks: [lenet5, alexnet]
base: edge_ws
matrix:
  array.rows: [8, 16]
  batch: [1, 2]
exclude:
  - {array.rows: 8}
  - {array.rows: 9}
objectives: {cycles: min, pes: min}
"""

    def hints(text: str) -> list[tuple[int, str]]:
        (tmp_path / "s.yaml").write_text(text)
        found = resolve(load_sweep(tmp_path / "s.yaml")).hints
        return [(problem.line, problem.message) for problem in found]

    unused = (9, "leaves out no point that is left")
    assert hints(text) == [unused, (10, UNLIKE_BATCHES)]
    assert hints(text.replace("pes: min", "images_per_second: max")) == [unused]
    one_batch_each = text + "include: [{network: vgg16, batch: 4}]\n"
    assert hints(one_batch_each.replace("[1, 2]", "[1]")) == [unused]


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        ("{cycles: min}", True),
        ("{cycles_per_image: min, dram_bytes: min}", True),
        ("{cycles: min, seconds: min}", False),
        ("{images_per_second: max}", False),
        ("{dram_bytes: min}", False),
    ],
)
def test_cycles_of_different_clocks_do_not_compare(
    tmp_path: Path, objectives: str, told: bool
) -> None:
    """The slowest clock takes the fewest: DRAM keeps up with it."""
    text = "name: s\nnetworks: [lenet5]\nbase: edge_ws\nmatrix: {clock: [200 MHz, 1 GHz]}\n"
    (tmp_path / "s.yaml").write_text(f"{text}objectives: {objectives}\n")
    found = resolve(load_sweep(tmp_path / "s.yaml")).hints
    assert [(each.line, each.message) for each in found] == [(5, UNLIKE_CLOCKS)] * told


def test_one_clock_of_each_network_is_no_hint(tmp_path: Path) -> None:
    text = "name: s\nnetworks: [lenet5]\nbase: edge_ws\nmatrix: {clock: [200 MHz]}\n"
    (tmp_path / "s.yaml").write_text(text + "include: [{network: alexnet, clock: 1 GHz}]\n")
    assert resolve(load_sweep(tmp_path / "s.yaml")).hints == ()


def test_on_and_off_are_shown_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "{name: s, networks: [lenet5], base: edge_ws, matrix: {residency: [on, off]}}"
    )
    sweep = resolve(load_sweep(tmp_path / "s.yaml"))
    assert [point.parameters["residency"] for point in sweep.points] == ["on", "off"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"objectives": {"energy_pj": "min"}}, "objectives.energy_pj: needs an energy table"),
        ({"exclude": [{"array.rowz": 3}]}, "unknown key 'array.rowz'; did you mean 'array.rows'?"),
        (
            {"constraints": {"utilization": {"min": 30}}},
            "constraints.utilization: utilization is a share of 1, so no point has 30; write 30 %",
        ),
        ({"constraints": {"cycles": {"max": -1}}}, "cycles is never below 0"),
        (
            {"constraints": {"utilization": {"min": "30 KiB"}}},
            "constraints.utilization: utilization is no size in bytes; give a number without",
        ),
        ({"matrix": {"energy": ["joules"]}}, "unknown energy table 'joules'"),
        ({"matrix": {"dram.burst.x": [3]}}, "dram.burst is no mapping, so it has no keys"),
        ({"matrix": {"dram.timing": ["DDR9"]}}, "unknown DRAM standard 'DDR9'"),
    ],
)
def test_a_mistake(said: dict, message: str) -> None:
    with pytest.raises(InputError) as caught:
        sweep_of(**said)
    assert message in str(caught.value)


def test_a_wrong_value_is_told_once_however_many_points_have_it() -> None:
    with pytest.raises(InputError) as caught:
        sweep_of(matrix={"array.rows": ["x", "y"], "array.cols": {"range": [1, 100, 1]}})
    assert [each.key for each in caught.value.problems] == [
        "matrix.array.rows[0]",
        "matrix.array.rows[1]",
    ]


# --- The shipped sweeps ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", builtin_names("configs/sweeps"))
def test_shipped_sweeps_resolve(name: str) -> None:
    sweep = resolve(load_sweep(name))
    assert sweep.name == name
    assert len(sweep.points) >= 12
    assert load_sweep(name).description


def test_array_shapes_are_fed_alike() -> None:
    """A byte per row and cycle from the ifmap's SRAM, whatever the shape."""
    for point in resolve(load_sweep("array_shape")).points:
        assert point.hardware.pes == 1024
        assert point.hardware.buffer_bytes_per_cycle("ifmap_sram") == point.hardware.array.rows


# --- Everything at once ---------------------------------------------------------------------------

MANY = """\
name: 3
networks: [lenet5, lenet6]
base: edge_ws
matrix:
  array.rows: []
  nonsense: [1]
  energy: 3
  batch: {pow2: [1]}
exclude: [{array.rows: 8}, {array.rws: 8}]
objectives: {cycles: min, cyles: min, energy_pj: min}
constraints: {utilization: {least: 3}}
"""


def test_mistakes_of_form_and_of_what_is_named_at_once(tmp_path: Path) -> None:
    """The axes that have no values are still known to `exclude` and to the energy objective."""
    found = faults_of_file(tmp_path, MANY)
    lines = [int(each.partition(":")[0]) for each in found]
    assert lines == [1, 2, 5, 6, 7, 8, 9, 10, 11]
    named = "unknown network 'lenet6'", "key 'nonsense'", "key 'array.rws'", "quantity 'cyles'"
    for line, text in zip((2, 6, 9, 10), named, strict=True):
        assert text in found[lines.index(line)]


@pytest.mark.parametrize(
    ("old", "new"),
    [("networks: [lenet5, lenet6]\n", ""), ("base: edge_ws\n", "")],
)
def test_nothing_is_told_that_follows_from_a_mistake(tmp_path: Path, old: str, new: str) -> None:
    """Where much hangs on what is wrong, its mistakes of form stand alone."""
    path = tmp_path / "bad.yaml"
    text = MANY.replace(old, new, 1)
    found = faults_of_file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_sweep(path)
    assert found == [str(each).removeprefix(f"{path}:") for each in caught.value.problems]


@pytest.mark.parametrize(
    ("key", "written"),
    [
        *(("networks", "network"), ("base", "bases"), ("matrix", "matrx"), ("exclude", "exlude")),
        *(("objectives", "objektives"), ("constraints", "constrants"), ("name", "nme")),
    ],
)
def test_a_misspelt_key_comes_beside_all_others(tmp_path: Path, key: str, written: str) -> None:
    """What is within it is told, too; and nothing that would be wrong without it."""
    before = faults_of_file(tmp_path, MANY)
    line = MANY[: MANY.index(f"{key}:")].count("\n") + 1
    found = faults_of_file(tmp_path, MANY.replace(f"{key}:", f"{written}:", 1))
    told = [each for each in found if f"unknown key '{written}'" in each]
    assert [each.partition(":")[0] for each in told] == [str(line)]
    others = {each.partition(": ")[2] for each in found if each not in told}
    missing = {each for each in others if "missing key" in each}
    assert {each.partition(": ")[2] for each in before} <= others
    assert others - {each.partition(": ")[2] for each in before} == missing


def test_points_are_checked_beside_networks_and_quantities_that_are_unknown(tmp_path: Path) -> None:
    text = """\
name: s
networks: [lenet6, lenet5]
base: edge_ws
matrix: {array.rows: [8, -3]}
objectives: {cyles: min}
"""
    found = faults(tmp_path, text)
    assert [each.partition(":")[0] for each in found] == ["2", "4", "5"]
    assert "array.rows[1]: expected a number above 0, found -3" in found[1]

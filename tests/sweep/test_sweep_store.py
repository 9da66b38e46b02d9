"""The results file: what is put comes back, survives a kill, and never mixes two sweeps."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from drawing import texts
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError, TryAgainError
from accelsim.facade import simulate
from accelsim.frontend.sweep_file import sweep_from
from accelsim.report.sweep import results_sheets
from accelsim.sweep import about as about_module
from accelsim.sweep import store as store_module
from accelsim.sweep.quantities import quantity_names
from accelsim.sweep.records import NO_RESULT, Outcome, Point, packed, unpacked
from accelsim.sweep.space import Sweep, resolve
from accelsim.sweep.store import Store
from accelsim.sweep.summary import brief_summary_of, summary_of
from accelsim.sweep.work import failed

SAID = {
    "name": "small",
    "networks": ["lenet5"],
    "base": "edge_ws",
    "matrix": {"array.rows": [8, 16, 32]},
    "objectives": {"cycles": "min", "pes": "min"},
}


def sweep_of(**said: object) -> Sweep:
    return resolve(sweep_from({**SAID, **said}))


def outcome_of(point: Point, cycles: int = 0) -> Outcome:
    """A real run's outcome, or one with a made-up number of cycles."""
    run = simulate(point.network, point.hardware, batch=point.batch).as_dict()
    totals = run["totals"] | ({"cycles": cycles} if cycles else {})
    return Outcome(point.key, "done", totals, packed(totals, run["layers"]), wall_seconds=0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small.sqlite"


def test_what_is_put_comes_back(path: Path) -> None:
    sweep = sweep_of()
    first, second, _ = sweep.points
    lost = Outcome(second.key, "failed", {}, NO_RESULT, 1.5, "does not fit", attempts=2)
    with Store.open(path, sweep) as store:
        assert (store.done_keys(), store.count()) == (set(), 3)
        store.put(first, outcome_of(first))
        store.put(second, lost)
    with Store.read(path) as store:
        assert store.outcome(first.key) == outcome_of(first)
        assert store.outcome(second.key) == lost
        assert store.outcome("none") is None
        assert (store.done_keys(), store.failed_keys()) == ({first.key}, {second.key})
        assert (store.about.name, store.about.objectives) == ("small", SAID["objectives"])
        assert json.loads(store.hardware(first.key).split("\n")[0].partition(" ")[2])["rows"] == 8


def test_records_are_flat_and_have_the_same_keys(path: Path) -> None:
    sweep = sweep_of(matrix={"array.rows": [8, 16], "energy": ["horowitz_45nm"], "batch": [2]})
    first, second = sweep.points
    with Store.open(path, sweep) as store:
        store.put(second, Outcome(second.key, "failed", {}, NO_RESULT, 0.0, "no"))
        store.put(first, outcome_of(first))
        one, other = store.records()
    assert list(one) == list(other)
    assert (one["array.rows"], one["status"], other["status"]) == (8, "done", "failed")
    run = simulate("lenet5", first.hardware, batch=2)
    assert one["cycles"] == run.cycles
    assert one["cycles_per_image"] == run.cycles / 2
    assert one["dram_bytes"] == run.dram.read_bytes + run.dram.write_bytes
    assert one["energy_delay_pj_s"] == run.energy.total * run.seconds
    assert one["buckets_fill_drain"] == run.buckets.fill_drain
    assert one["pes"] == other["pes"] / 2 == 256
    assert other["cycles"] is None
    assert set(quantity_names()) <= set(one)
    assert not [value for value in one.values() if isinstance(value, (dict, list))]


def test_brief_records_are_records_with_fewer_quantities(path: Path) -> None:
    sweep = sweep_of()
    with Store.open(path, sweep) as store:
        store.put(sweep.points[0], failed(sweep.points[0], "no"))
        for point in sweep.points[1:]:
            store.put(point, outcome_of(point))
        names = ["utilization", "energy_pj", "pes", "seconds"]
        for brief, whole in zip(store.brief_records(names), store.records(), strict=True):
            assert brief["pes"] == whole["pes"]
            assert [brief[name] for name in names] == [whole.get(name) for name in names]
            assert brief.items() <= (whole | {"energy_pj": None}).items()
        assert results_sheets(brief_summary_of(store)) == results_sheets(summary_of(store))


scalars = st.one_of(st.none(), st.integers(), texts(3), st.booleans())
layer_tables = st.lists(st.dictionaries(st.sampled_from("abcd"), scalars), max_size=4)


@given(layer_tables)
def test_layers_come_back_from_columns(layers: list[dict]) -> None:
    totals, found = unpacked(packed({"cycles": 3}, layers))
    assert totals == {"cycles": 3}
    assert found == layers
    assert [list(each) for each in found] == [list(each) for each in layers]


# --- Continuing, and never mixing -----------------------------------------------------------------


def test_an_edited_sweep_keeps_what_is_done(path: Path) -> None:
    sweep = sweep_of()
    with Store.open(path, sweep) as store:
        for point in sweep.points:
            store.put(point, outcome_of(point))
    edited = sweep_of(matrix={"array.rows": [16, 64]}, objectives={"seconds": "min"})
    with Store.open(path, edited) as store:
        waiting = [point for point in edited.points if point.key not in store.done_keys()]
        assert [point.hardware.array.rows for point in waiting] == [64]
        assert [record["array.rows"] for record in store.records()] == [16]
        assert store.about.objectives == {"seconds": "min"}
        assert summary_of(store).waiting == 1
    with Store.open(path, sweep) as store:  # the edit undone
        assert [record["array.rows"] for record in store.records()] == [8, 16, 32]


def test_another_sweep_is_refused(path: Path) -> None:
    Store.open(path, sweep_of()).close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="holds the sweep 'small', not 'large'; results of two"):
        Store.open(path, sweep_of(name="large"))
    assert path.read_bytes() == before


def test_another_version_is_refused_but_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(path, sweep_of()).close()
    monkeypatch.setattr(about_module, "__version__", "99.0")
    with pytest.raises(
        InputError, match=r"was written by accelsim .*may differ from those of 99.0"
    ):
        Store.open(path, sweep_of())
    with Store.read(path) as store:
        assert store.about.version != "99.0"


def test_sampled_points_become_members_until_the_search_is_another(path: Path) -> None:
    search = {"method": "random", "trials": 9}
    sweep = sweep_of(search=search)
    point = sweep.point((0, 1))
    assert point
    with Store.open(path, sweep) as store:
        assert store.count() == 0
        store.put(point, outcome_of(point))
    with Store.open(path, sweep) as store:
        assert [record["key"] for record in store.records()] == [point.key]
    with Store.open(path, sweep_of(search=search | {"seed": 1})) as store:
        assert (store.records(), store.done_keys()) == ([], {point.key})
        store.adopt(point)
        store.adopt(point)
        assert [record["key"] for record in store.records()] == [point.key]


def test_a_later_outcome_replaces_the_first(path: Path) -> None:
    sweep = sweep_of()
    point = sweep.points[0]
    with Store.open(path, sweep) as store:
        store.put(point, Outcome(point.key, "failed", {}, NO_RESULT, 0.0, "killed"))
        store.put(point, outcome_of(point))
        assert [record["status"] for record in store.records()] == ["done"]
        assert store.failed_keys() == set()


# --- The file -------------------------------------------------------------------------------------


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE about (key, value)")
    connection.close()


def newer(path: Path) -> None:
    Store.open(path, sweep_of()).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()


def text(path: Path) -> None:
    path.write_text("name: small\n" * 200)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (foreign, "is not a results file of `accelsim sweep`; give another path"),
        (text, "is not a results file of `accelsim sweep`; give another path"),
        (newer, "has schema 7, and accelsim .* reads schema 2"),
        (Path.mkdir, "is a directory, expected a file|no such file"),
    ],
)
def test_what_is_no_results_file_is_left_alone(path: Path, make, message: str) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    for opened in (lambda: Store.open(path, sweep_of()), lambda: Store.read(path)):
        with pytest.raises(InputError, match=message):
            opened()
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_no_file_and_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; `accelsim sweep` writes one"):
        Store.read(tmp_path / "none.sqlite")
    with pytest.raises(InputError, match=r"x.sqlite: there is no directory .*none"):
        Store.open(tmp_path / "none" / "x.sqlite", sweep_of())
    for folder in (tmp_path, "."):
        with pytest.raises(InputError, match="is a directory, expected a file"):
            Store.open(folder, sweep_of())


def test_one_writes_and_others_read(path: Path) -> None:
    sweep = sweep_of()
    with Store.open(path, sweep) as store:
        with pytest.raises(InputError, match="another process is writing to it"):
            Store.open(path, sweep)
        with Store.read(path) as reader:
            for count, point in enumerate(sweep.points, 1):
                store.put(point, outcome_of(point))
                assert len(reader.records()) == count
            with pytest.raises(TryAgainError, match="readonly"):
                reader.put(sweep.points[0], outcome_of(sweep.points[0]))
    Store.open(path, sweep).close()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_full_disk_loses_nothing_that_was_put(path: Path) -> None:
    sweep = sweep_of()
    first, second, _ = sweep.points
    with Store.open(path, sweep) as store:
        store.put(first, outcome_of(first))
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(TryAgainError, match=r"small.sqlite: .* disk is full"):
            store.put(second, failed(second, "no" * 100_000))
        assert (store.done_keys(), store.failed_keys()) == ({first.key}, set())
        store._connection.execute(f"PRAGMA max_page_count = {pages + 100}")
        store.put(second, outcome_of(second))
        assert store.done_keys() == {first.key, second.key}


def test_a_file_that_cannot_be_made_is_not_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filled(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("CREATE TABLE half (made)")
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr(store_module, "create", filled)
    with pytest.raises(TryAgainError, match="disk is full"):
        Store.open(path, sweep_of())
    assert not [*path.parent.iterdir()]


def test_a_damaged_file_is_told_to_whoever_opens_or_reads_it(path: Path) -> None:
    Store.open(path, sweep_of()).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes([9]) * (len(whole) - 4096))  # the first page is well
    for opened in (lambda: Store.open(path, sweep_of()), lambda: Store.read(path)):
        with pytest.raises(
            InputError, match=r"small.sqlite: is damaged \(database disk image is m"
        ):
            opened()


_WRITER = """
import sys
from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.records import NO_RESULT, Outcome
from accelsim.sweep.space import resolve
from accelsim.sweep.store import Store
import json
sweep = resolve(sweep_from(json.loads(sys.argv[2])))
store = Store.open(sys.argv[1], sweep)
for point in sweep.points[:2]:
    store.put(point, Outcome(point.key, "done", {}, NO_RESULT, 0.0))
    print(point.key, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX's")
def test_a_killed_writer_loses_nothing_and_leaves_no_lock(path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(path), json.dumps(SAID)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdout
    keys = {writer.stdout.readline().strip() for _ in range(2)}
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    with Store.open(path, sweep_of()) as store:
        assert store.done_keys() == keys
        assert len(store.records()) == 2

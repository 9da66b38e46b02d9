"""Nothing wrong under a right name: damage, loss, two writers, other sources, copies."""

import json
import os
import pickle
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from sweeps import small_sweep

import accelsim
from accelsim.errors import InputError
from accelsim.sweep import records, results_file
from accelsim.sweep.claim import Claim
from accelsim.sweep.code import CODE
from accelsim.sweep.execute import runner_for
from accelsim.sweep.records import NO_RESULT, Outcome, packed, unpacked
from accelsim.sweep.store import Store
from accelsim.sweep.summary import brief_summary_of, load_results
from accelsim.sweep.work import evaluate

SWEEP = small_sweep(matrix={"array.rows": [8, 16, 32]})
LAYERS = packed({"cycles": 7}, [{"name": "a", "dram": {}}])


def outcome(key: str) -> Outcome:
    totals = {"cycles": 7, "seconds": 1.0, "dram_read_bytes": 1, "dram_write_bytes": 2}
    return Outcome(key, "done", totals, LAYERS, 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Results of three points."""
    path = tmp_path / "r.sqlite"
    with Store.open(path, SWEEP) as store:
        for point in SWEEP.points:
            store.put(point, outcome(point.key))
    return path


def changed(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(sql)
    connection.close()


# --- Damage ---------------------------------------------------------------------------------------

COLUMNS = [
    (table.name, column) for table in results_file.TABLES for column in (*table.columns, "checksum")
]


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_changed_value_is_found_and_named(path: Path, table: str, column: str) -> None:
    value = "x'00'" if column == "result" else "9"
    changed(path, f"UPDATE {table} SET {column} = {value} WHERE rowid = 2")
    key = sqlite3.connect(path).execute(f"SELECT * FROM {table} WHERE rowid = 2").fetchone()
    name = str(key[1] if table == "members" else key[0])
    told = f"is damaged: 1 rows of `{table}` are not what was stored: {name}; .*--repair"
    for opened in (lambda: Store.read(path), lambda: Store.open(path, SWEEP)):
        with pytest.raises(InputError, match=told):
            opened()


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_repaired_it_is_as_if_never_damaged(path: Path, table: str, column: str) -> None:
    before = load_results(path)
    changed(path, f"UPDATE {table} SET {column} = '9' WHERE rowid = 2")
    with Store.open(path, SWEEP, repair=True) as store:
        assert store.count() == 3
        lost = [point for point in SWEEP.points if point.key not in store.done_keys()]
        assert len(lost) == (table == "outcomes")
        for point in lost:
            store.put(point, outcome(point.key))
    assert load_results(path) == before


def test_results_alone_are_repaired_too(path: Path) -> None:
    changed(path, "UPDATE outcomes SET quantities = '{}' WHERE rowid = 1")
    Store.repair(path)
    assert len(load_results(path).records) == 2
    changed(path, "UPDATE members SET batch = 9 WHERE rowid = 1")
    Store.repair(path)
    assert load_results(path).points == 3
    with Store.open(path, SWEEP) as store:
        assert store.count() == 3
    changed(path, "UPDATE about SET value = 'x' WHERE key = 'constraints'")
    with pytest.raises(InputError, match="is damaged"):
        Store.repair(path)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE members",
        "ALTER TABLE outcomes DROP COLUMN error",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON outcomes BEGIN DELETE FROM members; END",
        "DELETE FROM about WHERE key = 'objectives'",
    ],
)
def test_other_tables_are_damage_and_no_reason_to_try_again(path: Path, sql: str) -> None:
    changed(path, sql)
    with pytest.raises(InputError, match="is damaged: "):
        load_results(path)


def test_names_of_tables_that_are_no_text_are_told(path: Path) -> None:
    """SQLite says in its message whose definition it does not understand."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET name = CAST(x'9b' AS TEXT), sql = 'CREATE X'")
    connection.close()
    with pytest.raises(InputError, match="is not a results file"):
        load_results(path)


def test_a_name_in_the_file_is_no_sql(path: Path) -> None:
    with Store.open(path, SWEEP) as store:
        hostile = replace(store.about, objectives={"x') FROM members; --": "min"})
        with store._transaction():
            store._write_about(hostile)
    with Store.read(path) as store:
        assert brief_summary_of(store).records[0]["x') FROM members; --"] is None


def test_layers_that_unfold_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import zlib

    assert 2**24 < records.LARGEST_RESULT < 2**30
    monkeypatch.setattr(records, "LARGEST_RESULT", 2**20)
    bomb = zlib.compress(bytes(3 * 2**20), 1)
    with pytest.raises(ValueError, match="more than"):
        unpacked(bomb)


# --- Loss -----------------------------------------------------------------------------------------


def deleted(path: Path) -> None:
    path.unlink()


def folder_deleted(path: Path) -> None:
    shutil.rmtree(path.parent)


def replaced(path: Path) -> None:
    (path.parent / "other").write_bytes(path.read_bytes())
    (path.parent / "other").rename(path)


def overwritten(path: Path) -> None:
    path.write_text("something else")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (deleted, "was moved or deleted during the run: the 3 points that it held are lost"),
        (folder_deleted, "was moved or deleted during the run: the 3 points"),
        (replaced, "was replaced by another file during the run"),
        (overwritten, "was overwritten during the run"),
    ],
)
def test_a_file_that_goes_ends_the_run_with_what_is_lost(path: Path, harm, told: str) -> None:
    store = Store.open(path, SWEEP)
    harm(path)
    with pytest.raises(InputError, match=told):
        store.put(SWEEP.points[0], outcome(SWEEP.points[0].key))
    with pytest.raises(InputError, match=told):  # as `execute` asks at its end
        store.check_in_place()
    store.close()


def test_the_lock_holds_though_its_sign_is_tidied_away(path: Path) -> None:
    sign = path.with_name("r.sqlite-lock")
    first = Claim(path)
    assert sign.exists()
    sign.unlink()
    pid = os.fork()
    if not pid:
        try:
            Claim(path)
        except InputError as error:
            os._exit(3 if "another process is writing" in str(error) else 4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    first.release()
    Claim(path).release()
    assert not sign.exists()


@pytest.mark.parametrize("odd", ["folder", "text"])
def test_an_odd_lock_file_stops_nobody(path: Path, odd: str) -> None:
    sign = path.with_name("r.sqlite-lock")
    sign.mkdir() if odd == "folder" else sign.write_text("hello")
    Store.open(path, SWEEP).close()


def test_a_log_is_read_where_nothing_can_be_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after kill -9, in a folder that is read-only (for root, every folder can be written)."""
    point = SWEEP.points[0]
    with Store.open(path, SWEEP) as store:
        store.put(point, replace(outcome(point.key), error="in the log alone"))
        killed = tmp_path / "killed"
        killed.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", killed / f"r.sqlite{suffix}")
    real = results_file._connect

    def read_only(file: Path, mode: str) -> sqlite3.Connection:
        if file.parent == killed and "immutable" not in mode:
            raise sqlite3.OperationalError("unable to open database file")
        return real(file, mode)

    monkeypatch.setattr(results_file, "_connect", read_only)
    errors = [record["error"] for record in load_results(killed / "r.sqlite").records]
    assert errors == ["in the log alone", "", ""]


# --- Sources and copies ---------------------------------------------------------------------------


def test_a_worker_with_other_sources_computes_nothing() -> None:
    point = replace(SWEEP.points[0], code="000000000000")
    found = evaluate(pickle.loads(pickle.dumps(point)))
    assert (found.status, found.totals) == ("failed", {})
    assert f"({CODE}) than what started the sweep (000000000000)" in found.error


def test_other_sources_are_told_when_a_sweep_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Store.open(path, SWEEP) as store, store._transaction() as connection:
        store._write_about(replace(store.about, code="0" * 12))
        connection.execute("DELETE FROM outcomes WHERE rowid > 1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("accelsim.sweep.store.CODE", "1" * 12)
        Store.open(path, SWEEP).close()
    assert "1 stored points were computed by other sources of accelsim" in caplog.text
    assert load_results(path).as_dict()["code"] == CODE


def test_a_copy_is_whole_while_a_sweep_writes(path: Path, tmp_path: Path) -> None:
    with Store.open(path, SWEEP) as writer:
        writer.put(SWEEP.points[0], outcome(SWEEP.points[0].key))
        with Store.read(path) as reader:
            reader.export(tmp_path / "copy.sqlite")
        assert load_results(tmp_path / "copy.sqlite").records == load_results(path).records
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.sqlite", "r.sqlite"]


def test_results_are_no_pickles(path: Path) -> None:
    assert b"\x80\x04" not in path.read_bytes()
    assert json.loads(accelsim.load_results(path).about.rows()["objectives"])
    assert unpacked(NO_RESULT) == ({}, [])


@pytest.mark.parametrize("jobs", [0, -1])
def test_no_jobs_are_refused(jobs: int) -> None:
    with pytest.raises(InputError, match=f"--jobs: expected 1 or more processes, found {jobs}"):
        runner_for(jobs)

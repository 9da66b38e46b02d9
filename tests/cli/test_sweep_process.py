"""`accelsim sweep` as a process: kill -9, Ctrl-C, resuming, exit statuses."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "tests" / "sweep" / "two_layers.yaml"
SWEEP = f"""
name: trial
networks: [{NETWORK}]
base: edge_ws
matrix:
  array.rows: {{range: [8, 32, 1]}}
"""
POINTS = 25

if os.name == "nt":
    pytest.skip("POSIX signals", allow_module_level=True)


@pytest.fixture(autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """So that processes started here hear Ctrl-C where the tests are a job behind `&`, too."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    (folder / "sweep.yaml").write_text(SWEEP, encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "accelsim", "sweep", "sweep.yaml", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def stored(folder: Path) -> int:
    """Outcomes in the results file."""
    path = folder / "trial.sqlite"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(path) as connection:
            return int(connection.execute("SELECT count(*) FROM outcomes").fetchone()[0])
    except sqlite3.Error:
        return 0


def when_some_are_stored(folder: Path, command: subprocess.Popen[str], number: int) -> int:
    """Send a signal to the process (Ctrl-C: to all of its terminal's) after three points."""
    while stored(folder) < 3:
        assert command.poll() is None, command.communicate()
        time.sleep(0.02)
    group = number == signal.SIGINT
    (os.killpg if group else os.kill)(command.pid, number)
    return stored(folder)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (signal.SIGTERM, signal.SIGHUP)),
    ],
)
def test_a_stop_is_clean(tmp_path: Path, number: int) -> None:
    command = started(tmp_path, "--jobs", "2")
    before = when_some_are_stored(tmp_path, command, number)
    output, errors = command.communicate(timeout=60)
    assert command.returncode == 130
    assert output == ""
    assert "finished points are safe in trial.sqlite; the same command goes on" in errors
    assert "Traceback" not in errors
    assert "leaked" not in errors
    assert before <= stored(tmp_path) < POINTS


@pytest.mark.slow
def test_after_ctrl_c_the_same_command_goes_on(tmp_path: Path) -> None:
    command = started(tmp_path, "--jobs", "2")
    when_some_are_stored(tmp_path, command, signal.SIGINT)
    command.communicate(timeout=60)
    again = started(tmp_path, "--jobs", "1")
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0
    assert "points are stored already" in errors
    assert stored(tmp_path) == POINTS


@pytest.mark.slow
def test_a_sweep_that_is_killed_loses_no_stored_point_and_leaves_no_process(tmp_path: Path) -> None:
    command = started(tmp_path, "--jobs", "2")
    before = when_some_are_stored(tmp_path, command, signal.SIGKILL)
    command.wait()
    end = time.monotonic() + 20
    while _alive(command.pid):
        assert time.monotonic() < end, "its workers live on"
        time.sleep(0.05)
    assert stored(tmp_path) >= before
    again = started(tmp_path, "-q")
    assert again.communicate(timeout=120) == ("", "")
    assert again.returncode == 0
    assert stored(tmp_path) == POINTS


def _alive(group: int) -> bool:
    """Whether a process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_point_that_fails_is_a_row_and_exit_1(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = SWEEP.replace(
        "array.rows: {range: [8, 32, 1]}", "buffers.ifmap_sram.size: [1 B, 64 KiB]"
    )
    Path("sweep.yaml").write_text(text, encoding="utf-8")
    for _ in range(2):  # failed points are not tried again
        outcome = cli("sweep", "sweep.yaml", "--jobs", "1")
        assert outcome.status == 1
        assert "make buffers.ifmap_sram.size at least" in outcome.stdout
        assert stored(tmp_path) == 2

"""A sweep from Python and on the command line, in process but for its workers."""

import inspect
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from sweeps import NETWORK, small_sweep

import accelsim
from accelsim.cli import app
from accelsim.errors import InputError
from accelsim.frontend.sweep_file import sweep_from
from accelsim.report.sheet import rendered
from accelsim.report.sweep import results_sheets
from accelsim.report.sweep_progress import (
    _bar_on,
    _Best,
    _line,
    _lines,
    _Rate,
    sweep_progress,
)
from accelsim.sweep import execute as execution
from accelsim.sweep.execute import Tally, default_path, execute, runner_for
from accelsim.sweep.local import Finished
from accelsim.sweep.records import Point
from accelsim.sweep.space import resolve
from accelsim.sweep.store import Store
from accelsim.sweep.summary import summary_of
from accelsim.sweep.work import evaluate, failed

SWEEP = {
    "name": "a/b",
    "networks": [str(NETWORK)],
    "base": "edge_ws",
    "matrix": {"array.rows": [8, 9]},
}


def test_from_python(tmp_path: Path) -> None:
    path = tmp_path / "found.sqlite"
    summary = accelsim.sweep(SWEEP, path, jobs=1)
    assert [record["array.rows"] for record in summary.records] == [8, 9]
    again = accelsim.sweep(SWEEP, path, jobs=1)
    assert again.records == summary.records
    assert accelsim.load_results(path) == summary
    assert str(summary) == f"a/b: 2 points, 2 done, 0 failed, 0 not run yet, in {path}"
    assert "wall_seconds" not in repr(summary)


def test_layers_from_python(tmp_path: Path) -> None:
    sweep = resolve(sweep_from(SWEEP))
    with Store.open(tmp_path / "found.sqlite", sweep) as store:
        execute(sweep, store, lambda points: ((each, evaluate(each)) for each in points))
        summary = summary_of(store)
    rows = list(summary.layers())
    run = accelsim.simulate(NETWORK, accelsim.load_hardware("edge_ws", ["array.rows=9"]))
    found = [row for row in rows if row["array.rows"] == 9]
    assert [(row["layer"], row["cycles"]) for row in found] == [
        (layer.name, layer.cycles) for layer in run.layers
    ]
    assert {row["key"] for row in rows} == {record["key"] for record in summary.records}


def test_the_public_names_can_be_discovered() -> None:
    assert set(dir(accelsim)) == {*accelsim.__all__, "__version__"}
    assert all(getattr(accelsim, name) for name in accelsim.__all__)
    called, meant = accelsim.sweep, accelsim.sweep.execute.sweep
    assert inspect.signature(called).parameters == inspect.signature(meant).parameters
    assert "accelsim.sweep(" in (accelsim.sweep.__doc__ or "")


def test_a_name_becomes_a_file_name() -> None:
    assert default_path(small_sweep(name="a/b c")) == Path("a_b_c.sqlite")


def test_jobs_and_scheduler_exclude_each_other() -> None:
    with pytest.raises(InputError, match="--jobs: is for this machine"):
        runner_for(jobs=2, scheduler="tcp://127.0.0.1:8786")


def test_more_jobs_than_cores_are_as_many_as_these(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def local(points: list[Point], jobs: int, timeout_s: float | None) -> object:
        asked.append(jobs)
        return iter(())

    monkeypatch.setattr(execution, "available_cores", lambda: 4)
    monkeypatch.setattr(execution, "local_outcomes", local)
    for jobs in (None, 3, 4, 1000):
        list(runner_for(jobs)([]))
    assert asked == [4, 3, 4, 4]
    assert caplog.messages == ["4 processes start, not 1,000: there are no more cores"]


def test_failed_points_wait_until_they_are_asked_for(tmp_path: Path) -> None:
    sweep = small_sweep(matrix={"array.rows": [8, 9]})

    def harmed(points: object) -> object:
        for point in points:  # type: ignore[attr-defined]
            harm = point == sweep.points[0]
            yield point, failed(point, "no memory", 2) if harm else evaluate(point)

    def never(points: object) -> Iterator[Finished]:
        raise AssertionError("there is nothing to do")

    def well(points: object) -> object:
        return ((point, evaluate(point)) for point in points)  # type: ignore[attr-defined]

    with Store.open(tmp_path / "a.sqlite", sweep) as store:
        first = execute(sweep, store, harmed)  # type: ignore[arg-type]
        second = execute(sweep, store, well)  # type: ignore[arg-type]
        third = execute(sweep, store, well, retry_failed=True)  # type: ignore[arg-type]
        execute(sweep, store, never)
    assert (first.done, first.failed) == (1, 1)
    assert (second.done, second.failed, second.stored) == (0, 0, 2)
    assert (third.done, third.failed, third.stored) == (1, 0, 1)


def test_progress_without_a_terminal_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = small_sweep(matrix={"array.rows": [8, 9]})
    point: Point = sweep.points[0]
    with sweep_progress(sweep, quiet=True) as none:
        assert none is None
    watch = _lines(_Best(sweep), every_s=0)
    outcome = evaluate(point)
    watch(Tally(total=3, stored=1, done=1), point, outcome)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "2 of 3 points, 0 failed" in printed.err
    assert f"best cycles {outcome.totals['cycles']:,} ({point.network})" in printed.err


def test_the_rate_counts_from_the_first_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers came after 1,000 s; two points per second since."""
    clock = iter([0.0, 1000.0, 1005.0])
    monkeypatch.setattr("accelsim.report.sweep_progress.time.monotonic", lambda: next(clock))
    rate = _Rate()
    speeds = [rate.of(Tally(total=50, done=done, failed=1)) for done in (-1, 0, 10)]
    assert speeds == [0.0, 0.0, 2.0]
    assert "left" not in _line(Tally(total=50), speeds[0], "")
    assert "2.0 per second, 20 s left" in _line(Tally(total=50, done=10), speeds[2], "")


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_keeps_the_count(width: int) -> None:
    console = Console(width=width, file=StringIO(), force_terminal=True)
    bar = _bar_on(console)
    bar.add_task("8.0/s, 0 failed, best cycles 10,803 (lenet5)", total=10_500, completed=3_120)
    with console.capture() as printed:
        console.print(bar.get_renderable())
    assert "3120/10500" in printed.get()
    assert "8.0/s" in printed.get()


def test_what_failed_before_is_said_and_how_to_try_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = small_sweep(matrix={"array.rows": [8, 9, 10]})
    with Store.open(tmp_path / "a.sqlite", sweep) as store:
        store.put(sweep.points[0], failed(sweep.points[0], "no"))
        store.put(sweep.points[1], evaluate(sweep.points[1]))
        execute(sweep, store, lambda points: iter(()), _lines(_Best(sweep)))
        said = capsys.readouterr().err
        execute(sweep, store, lambda points: iter(()), _lines(_Best(sweep)), retry_failed=True)
        assert "--retry-failed tries them again" in rendered(results_sheets(summary_of(store)))
    wanted = "2 of 3 points are stored already, 1 of them failed; --retry-failed tries these again"
    assert said == f"{wanted}\n"
    assert capsys.readouterr().err == "1 of 3 points are stored already\n"


def test_dry_run_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        app(["sweep", "array_shape", "--dry-run"], prog_name="accelsim")
    assert not left.value.code
    assert "points" in capsys.readouterr().out
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_what_tpu_whatif_says_of_its_results(tmp_path: Path) -> None:
    """Gains over the chip, as the file's comment has them: bandwidth, clock (two), array (two)."""
    summary = accelsim.sweep("tpu_whatif", tmp_path / "x.sqlite")
    gains = {}
    for name, records in summary.by_network.items():
        chip, *others = [float(str(record["images_per_second"])) for record in records]
        gains[Path(name).stem] = [round(other / chip, 1) for other in others]
    assert gains == {
        "tpu_mlp0": [3.6, 1.0, 1.0, 1.0, 1.0],
        "googlenet": [1.0, 3.7, 3.7, 1.0, 1.0],
        "vgg16": [1.2, 2.0, 2.1, 1.0, 1.0],
    }

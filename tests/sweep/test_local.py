"""Processes on this machine: every point is done once, whatever happens to its worker."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children
from pathlib import Path

import pytest
from sweeps import edited_sweep, evaluate_or_harm, harmful, small_sweep

from accelsim.facade import simulate
from accelsim.sweep.local import _Task, _Worker, local_outcomes
from accelsim.sweep.records import Outcome, Point

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills by POSIX signals")
POINTS = small_sweep().points


def played(points: list[Point], jobs: int, timeout_s: float | None = None) -> dict[str, Outcome]:
    """Outcomes by key; each point comes once."""
    found = [*local_outcomes(points, jobs, timeout_s, evaluate_or_harm)]
    assert all(point.key == outcome.key for point, outcome in found)
    assert len({point.key for point, _ in found}) == len(found) == len(points)
    return {outcome.key: outcome for _, outcome in found}


def is_of_a_run(point: Point, outcome: Outcome) -> bool:
    """Whether an outcome is what the command that runs one point says."""
    run = simulate(point.network, point.hardware, batch=point.batch).as_dict()
    assert (outcome.status, outcome.error) == ("done", "")
    return (outcome.totals, outcome.layers) == (run["totals"], run["layers"])


def test_no_more_processes_start_than_there_are_points_and_leaving_early_ends_them() -> None:
    points = [harmful(POINTS[0], "endless"), POINTS[1]]
    outcomes = local_outcomes(points, 1000, None, evaluate_or_harm)
    point, outcome = next(outcomes)
    assert len(active_children()) == 2
    assert (point, outcome.attempts) == (POINTS[1], 1)
    assert is_of_a_run(point, outcome)
    outcomes.close()  # type: ignore[attr-defined]
    assert not active_children()


def test_a_network_file_edited_since_changes_nothing_under_its_key(tmp_path: Path) -> None:
    """What a point computes with is what its key says, however long its worker takes to start."""
    edited, kept = edited_sweep(tmp_path, ("out_channels: 6", "out_channels: 64"))
    assert [point.key for point in edited.points] == [point.key for point in kept.points]
    found = played([*edited.points], jobs=1)
    for point in kept.points:
        assert found[point.key].totals == evaluate_or_harm(point).totals
    assert small_sweep(networks=[str(tmp_path / "edited.yaml")]).points[0].key not in found


@pytest.mark.slow
def test_a_point_that_ends_its_worker_fails_alone() -> None:
    harms = ("killed", "memory")
    outcomes = played([*(harmful(POINTS[0], harm) for harm in harms), *POINTS[:4]], jobs=2)
    for harm in harms:
        assert outcomes[harm].status == "failed"
        assert outcomes[harm].attempts == 2
        assert "its worker ended twice" in outcomes[harm].error
    others = [outcomes[point.key] for point in POINTS[:4]]
    assert [(each.status, each.attempts) for each in others] == [("done", 1)] * 4


def test_points_are_taken_when_a_process_is_free_and_a_worker_killed_once_costs_a_retry(
    tmp_path: Path,
) -> None:
    victim = harmful(POINTS[0], f"once:{tmp_path / 'killed'}")
    taken, found = [], {}

    def source() -> object:
        for point in (*POINTS[1:4], victim):
            taken.append(point)
            yield point

    outcomes = local_outcomes(source(), 1, None, evaluate_or_harm)  # type: ignore[arg-type]
    for finished, (point, outcome) in enumerate(outcomes, start=1):
        assert len(taken) == finished
        found[point.key] = outcome
    assert (found[victim.key].status, found[victim.key].attempts) == ("done", 2)
    assert is_of_a_run(POINTS[0], found[victim.key])
    assert all(is_of_a_run(point, found[point.key]) for point in POINTS[1:4])
    assert {found[point.key].attempts for point in POINTS[1:4]} == {1}


def test_a_point_that_takes_too_long_fails_alone_and_its_worker_ends() -> None:
    begun = time.monotonic()
    outcomes = played([harmful(POINTS[0], "endless"), *POINTS[:2]], jobs=1, timeout_s=1)
    assert time.monotonic() - begun < 60
    assert outcomes["endless"].status == "failed"
    assert "timeout_s: 1" in outcomes["endless"].error
    assert outcomes["endless"].attempts == 1
    assert {outcomes[point.key].status for point in POINTS[:2]} == {"done"}
    assert not active_children()


@pytest.mark.slow
def test_a_worker_killed_while_idle_costs_nothing() -> None:
    """The points come from a source that kills the only worker between two of them."""

    def source() -> object:
        yield POINTS[0]
        (worker,) = active_children()
        os.kill(worker.pid or 0, signal.SIGKILL)
        worker.join()
        time.sleep(0.2)
        yield POINTS[1]

    outcomes = [outcome for _, outcome in local_outcomes(source(), 1)]  # type: ignore[arg-type]
    assert [(each.status, each.attempts) for each in outcomes] == [("done", 1)] * 2


@pytest.mark.slow
def test_the_next_of_a_list_is_begun_before_an_outcome_is_used(tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    outcomes = local_outcomes(
        [POINTS[0], harmful(POINTS[1], f"once:{mark}")], 1, None, evaluate_or_harm
    )
    next(outcomes)
    deadline = time.monotonic() + 30
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    outcomes.close()  # type: ignore[attr-defined]


def test_a_process_that_is_not_up_yet_is_ended_too() -> None:
    worker = _Worker(_Task(evaluate_or_harm, None))
    worker.end()
    assert isinstance(worker.started.exception(), BrokenProcessPool)


@pytest.mark.slow
def test_a_storm_of_kills_loses_no_point() -> None:
    """Points are never marked failed unless killed twice, and all come back.

    There are fewer kills than starts that a worker has, so that not even a slow machine runs out.
    """
    import random
    import threading

    over = threading.Event()

    def storm() -> None:
        kills = 4
        while kills and not over.wait(0.5 + random.random()):
            kills -= 1
            for worker in random.sample(active_children(), k=min(1, len(active_children()))):
                worker.kill()

    killer = threading.Thread(target=storm)
    killer.start()
    try:
        outcomes = played([*POINTS], jobs=2)
    finally:
        over.set()
        killer.join()
    assert {(each.status, each.attempts) for each in outcomes.values()} <= {
        *(("done", 1), ("done", 2), ("failed", 2))
    }

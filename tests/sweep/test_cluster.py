"""A Dask scheduler and workers as processes of their own, on loopback."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sweeps import edited_sweep, evaluate_or_harm, harmful, small_sweep

from accelsim.errors import InputError
from accelsim.facade import simulate
from accelsim.sweep.execute import Runner, Tally, Watcher, execute
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.store import Store

pytest.importorskip("distributed")
from accelsim.sweep import cluster

ROOT = Path(__file__).parents[2]
SWEEP = small_sweep(matrix={"array.rows": {"range": [8, 40, 1]}})


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    started = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield started
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler on a free port of loopback; its address."""
    file = folder / f"scheduler-{time.monotonic_ns()}.json"
    options = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file")
    with process("dask_scheduler", *options, str(file)) as started:
        wait_until(lambda: file.exists() and file.read_text(encoding="utf-8").endswith("}"))
        import json

        yield json.loads(file.read_text(encoding="utf-8"))["address"], started


def worker(address: str, *options: str) -> "contextmanager[subprocess.Popen[bytes]]":
    fixed = ("--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", *options)
    return process("dask_worker", address, *fixed)  # type: ignore[return-value]


def swept(folder: Path, runner: Runner, watch: Watcher | None = None) -> Tally:
    """SWEEP, run into a file in `folder`, or what is left of it."""
    with Store.open(folder / "results.sqlite", SWEEP) as store:
        return execute(SWEEP, store, runner, watch)


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler that has a worker."""
    with scheduler(tmp_path_factory.mktemp("ready")) as (address, _), worker(address, "--no-nanny"):
        yield address


def test_outcomes_are_those_of_a_run_and_harm_stays_with_its_point(ready: str) -> None:
    points = [*SWEEP.points[:4], harmful(SWEEP.points[0], "memory")]
    run = cluster.cluster_runner(ready, None, evaluate_or_harm)
    outcomes = {outcome.key: outcome for _, outcome in run(points)}
    assert outcomes["memory"].status == "failed"
    assert outcomes["memory"].attempts == 2
    for point in points[:4]:
        expected = simulate(point.network, point.hardware, batch=point.batch).as_dict()
        assert outcomes[point.key].totals == expected["totals"]
        assert outcomes[point.key].layers == expected["layers"]


def test_a_worker_reads_no_network_file_of_its_own(ready: str, tmp_path: Path) -> None:
    """At the same path there is another network, as in the folder of a worker elsewhere."""
    edited, kept = edited_sweep(tmp_path, ("out_channels: 6", "out_channels: 64"))
    found = {point.key: outcome for point, outcome in cluster.cluster_runner(ready)(edited.points)}
    for point in kept.points:
        expected = simulate(point.network, point.hardware, batch=point.batch)
        assert found[point.key].totals == expected.totals


def test_a_point_out_of_time_is_a_failed_row() -> None:
    def endless(point: Point) -> Outcome:
        while True:
            time.sleep(0.01)

    point = SWEEP.points[0]
    outcome = cluster._Task(endless, 0.3)(point)
    assert (outcome.key, outcome.status) == (point.key, "failed")
    assert "timeout_s: 0.3" in outcome.error


def test_another_version_of_accelsim_is_refused() -> None:
    task = cluster._Task(evaluate_or_harm, None)
    task.version = "0.0.0"
    with pytest.raises(InputError, match="install the same"):
        task(SWEEP.points[0])


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers"),
        ("scheduler", r"scheduler: is no scheduler's address .*; give tcp://HOST:PORT"),
        ("pigeon://127.0.0.1:9", "is no scheduler's address"),
    ],
)
def test_no_scheduler_is_the_users_to_mend_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE_S", 1)
    with pytest.raises(InputError, match=message):
        cluster.cluster_runner(address)


@pytest.mark.slow
def test_a_cluster_without_a_worker_is_waited_for_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[object] = []
    with scheduler(tmp_path) as (address, _):
        run = cluster.cluster_runner(address)
        waiting = threading.Thread(target=lambda: done.extend(run(SWEEP.points[:4])))
        waiting.start()
        wait_until(lambda: bool(caplog.messages))
        with worker(address, "--no-nanny"):
            waiting.join()
    assert caplog.messages == [f"waiting for a worker; `dask worker {address}` starts one"]
    assert len(done) == 4


@pytest.mark.slow
def test_workers_come_and_go(tmp_path: Path) -> None:
    """One of two is killed after some points, then another joins: each point is stored once."""
    order: list[str] = []
    with scheduler(tmp_path) as (address, _), worker(address, "--no-nanny") as first:
        run = cluster.cluster_runner(address)
        joined = threading.Event()

        def watch(tally: object, point: Point | None, outcome: Outcome | None) -> None:
            if point:
                order.append(point.key)
            if len(order) == 5:
                os.killpg(first.pid, signal.SIGKILL)
                joined.set()

        def join() -> None:
            joined.wait()
            time.sleep(1)
            stack.append(worker(address, "--no-nanny"))
            stack[0].__enter__()

        stack: list = []
        late = threading.Thread(target=join)
        late.start()
        tally = swept(tmp_path, run, watch)
        late.join()
        stack[0].__exit__(None, None, None)
    assert (tally.done, tally.failed) == (len(SWEEP.points), 0)
    assert sorted(order) == sorted(point.key for point in SWEEP.points)


@pytest.mark.slow
def test_a_point_that_kills_its_workers_fails_alone(tmp_path: Path) -> None:
    points = [harmful(SWEEP.points[0], "killed"), *SWEEP.points[:6]]
    with scheduler(tmp_path) as (address, _), worker(address), worker(address):
        run = cluster.cluster_runner(address, None, evaluate_or_harm)
        outcomes = {outcome.key: outcome for _, outcome in run(points)}
    assert outcomes["killed"].status == "failed"
    assert {outcomes[point.key].status for point in SWEEP.points[:6]} == {"done"}


@pytest.mark.slow
def test_a_lost_scheduler_loses_no_stored_point(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after five points; another one finishes the sweep, and repeats none of them."""
    before: list[str] = []
    monkeypatch.setattr(logging.getLogger("distributed"), "handlers", [caplog.handler])
    with scheduler(tmp_path) as (address, started), worker(address, "--no-nanny"):

        def watch(tally: object, point: Point | None, outcome: Outcome | None) -> None:
            if point:
                before.append(point.key)
            if len(before) == 5:
                os.killpg(started.pid, signal.SIGKILL)

        with pytest.raises(cluster.ClusterLostError):
            swept(tmp_path, cluster.cluster_runner(address), watch)
    assert not [record for record in caplog.records if record.name.startswith("distributed")]
    assert 5 <= len(before) < len(SWEEP.points)
    with scheduler(tmp_path) as (address, _), worker(address, "--no-nanny"):
        tally = swept(tmp_path, cluster.cluster_runner(address))
    assert (tally.stored, tally.done) == (len(before), len(SWEEP.points) - len(before))

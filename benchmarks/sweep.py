"""A sweep of 10,000 points of VGG-16: points per second, the second job, memory, resuming.

python benchmarks/sweep.py                 # all of it, some 10 minutes
python benchmarks/sweep.py --points 700    # blocks of neighbours, evenly drawn from the 10,500
"""

import argparse
import os
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.execute import execute
from accelsim.sweep.local import local_outcomes
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep, resolve
from accelsim.sweep.store import Store

SWEEP = {
    "name": "benchmark",
    "networks": ["vgg16"],
    "base": "edge_ws",
    "matrix": {
        "hardware": [
            {"array.rows": rows, "array.cols": cols}
            for rows in (8, 16, 32, 64, 128)
            for cols in (8, 16, 32, 64, 128)
        ],
        "dataflow": ["os", "ws", "is"],
        "buffers.ifmap_sram.size": {"pow2": ["64 KiB", "1024 KiB"]},
        "buffers.filter_sram.size": {"pow2": ["64 KiB", "512 KiB"]},
        "dram.bandwidth": {"pow2": ["2 GB/s", "128 GB/s"]},
    },
    "max_points": 20_000,
}


BLOCK = 140
"""Points of one array and dataflow, which share work as they do in the whole sweep."""


def part_of(sweep: Sweep, count: int) -> Sweep:
    """About `count` of the points: whole blocks, evenly spread over all."""
    blocks = -(-count // BLOCK)
    starts = [i * (len(sweep.points) // BLOCK) // blocks * BLOCK for i in range(blocks)]
    points = [sweep.points[start : start + BLOCK] for start in starts]
    return replace(sweep, points=tuple(point for block in points for point in block))


def run(sweep: Sweep, path: Path, jobs: int) -> tuple[float, list[float]]:
    """Seconds of a run into a new file, and when each tenth of its points was done."""
    begun, finished, marks = time.perf_counter(), 0, []

    def watch(_: object, point: Point | None, outcome: Outcome | None) -> None:
        nonlocal finished
        finished += point is not None
        if finished * 10 // len(sweep.points) > len(marks):
            marks.append(time.perf_counter() - begun)

    with Store.open(path, sweep) as store:
        execute(sweep, store, lambda points: local_outcomes(points, jobs), watch)
    return time.perf_counter() - begun, marks


def mebibytes(who: int) -> float:
    """Peak memory of this process, or of the largest of its children."""
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    begun = time.perf_counter()
    whole = resolve(sweep_from(SWEEP))
    print(f"{len(whole.points):,} points resolved in {time.perf_counter() - begun:.2f} s")
    sweep = part_of(whole, min(options.points, len(whole.points)))
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for jobs in options.jobs:
            path = Path(folder) / f"{jobs}.sqlite"
            seconds, marks = run(sweep, path, jobs)
            rates.append(len(sweep.points) / seconds)
            first, last = marks[4], marks[-1] - marks[4]
            print(
                f"{jobs} jobs: {seconds:.1f} s, {rates[-1]:.2f} points per second; second half "
                f"{last / first:.2f} x the first; {path.stat().st_size / len(sweep.points):,.0f} "
                "bytes per point"
            )
            begun = time.perf_counter()
            with Store.open(path, sweep) as store:
                execute(sweep, store, lambda points: local_outcomes(points, 1))
            print(f"  run again, nothing to do: {time.perf_counter() - begun:.2f} s")
    if len(rates) > 1:
        gain = rates[-1] / rates[0]
        jobs = options.jobs[-1] / options.jobs[0]
        print(f"efficiency of {options.jobs[-1]} jobs: {gain / jobs:.0%}")
    print(
        f"peak memory: {mebibytes(resource.RUSAGE_SELF):.0f} MiB, a worker "
        f"{mebibytes(resource.RUSAGE_CHILDREN):.0f} MiB; {os.cpu_count()} cores"
    )
    per_core = rates[0] / options.jobs[0]
    print(f"1,000,000 points: {1e6 / per_core / 3600:.0f} core-hours")


if __name__ == "__main__":
    main()
